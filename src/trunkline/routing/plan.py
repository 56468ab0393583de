"""The plan of one request: which offers can take it, in which order, what must be left out, and the reason for each.

In: the request's facts, the model's offers that can be reached, what is measured of them. Out: `Plan`. Pure, and says why (design.md section 1).
"""

from collections.abc import Callable, Sequence

import msgspec

from trunkline.catalog.types import PARAMETERS, PROTOCOLS, Model, Offer
from trunkline.errors import (
    InvalidParams,
    ModelNotSupported,
    NoProviderAvailable,
    PayloadTooLarge,
    RateLimited,
    RequestError,
)
from trunkline.ir.facts import RequestFacts
from trunkline.records.types import Candidate
from trunkline.routing.health import Figures

_NOTHING: frozenset[str] = frozenset()
_NO_LIMIT = 2**62
_SPOKEN = frozenset(PROTOCOLS)

SURE_BYTES_PER_TOKEN = 16
"""Common tokens have 4 bytes, those of Indic scripts up to 8 on average; a prompt of more bytes than this times the limit is refused without counting."""


class Step(msgspec.Struct, frozen=True):
    """One offer to try. `dropped` are parameters that it does not take, left out with notice; `emulated` those that we do on the answer.

    `native`: it speaks the caller's protocol, so nothing has to be translated.
    """

    offer: Offer
    dropped: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()
    native: bool = True


class Plan(msgspec.Struct, frozen=True):
    """The ordered offers, and the reason for every candidate."""

    model: Model
    steps: tuple[Step, ...]
    candidates: tuple[Candidate, ...]


class Eligible(msgspec.Struct, frozen=True):
    """The offers that can take requests of one kind: what does not depend on measurements, so it may be kept for the next one.

    Holds for every request with the same facts whose prompt has at most `sure_bytes`, as long as the catalog and the day stay.
    """

    model: Model
    steps: tuple[Step, ...]
    excluded: tuple[Candidate, ...]
    sure_bytes: int


class _Exclusion(msgspec.Struct, frozen=True):
    """Why an offer cannot take the request, and how that is told when it holds for all of them."""

    reason: str
    error: type[RequestError] = ModelNotSupported
    param: str | None = None


def plan(
    facts: RequestFacts,
    model: Model,
    offers: Sequence[Offer],
    figures: Callable[[str], Figures],
    *,
    require_parameters: bool,
    today: str,
) -> Plan:
    """`eligible`, then `order`."""
    return order(eligible(facts, model, offers, require_parameters=require_parameters, today=today), figures)


def eligible(
    facts: RequestFacts, model: Model, offers: Sequence[Offer], *, require_parameters: bool, today: str
) -> Eligible:
    """The offers that can take the request. Raises a `RequestError` that says why none can.

    `today` is an ISO date; `offers` are those whose provider can be reached.
    """
    able, excluded = _able(facts, model, offers, today)
    if not able:
        raise _none_left(model, excluded)
    missing = {offer.id: _unsupported(facts.parameters, offer) for offer in able}
    unknown = frozenset.intersection(*missing.values())
    if unknown and require_parameters:
        names = ", ".join(sorted(unknown))
        raise ModelNotSupported(
            f"No offer of {model.slug} supports: {names}. Leave it out, or leave `provider.require_parameters` out.",
            param=min(unknown),
        )
    able, refused = _keep_those_that_miss_least(able, missing, unknown, require_parameters)
    excluded.update(refused)
    if not able:
        raise _none_left(model, excluded)
    return Eligible(
        model,
        tuple([_step(offer, facts, missing[offer.id]) for offer in able]),
        _excluded(excluded),
        min([_limit(model, offer) for offer in offers]),
    )


def order(found: Eligible, figures: Callable[[str], Figures]) -> Plan:
    """Those that miss least first, then those that have not just failed, then those of the caller's own protocol; among these
    unmeasured offers, then the lowest first-token latency. Raises where all ask to be left alone."""
    rows = []
    resting: list[tuple[Step, Figures]] = []
    for place, step in enumerate(found.steps):
        known = figures(step.offer.id)
        if known.rest_s > 0:
            resting.append((step, known))
        else:
            rows.append(
                (
                    len(step.dropped),
                    known.failed_lately,
                    not step.native,
                    known.first_token_ms or 0.0,
                    place,
                    step,
                    known,
                )
            )
    waiting = [Candidate(step.offer.id, None, _rest_reason(known)) for step, known in resting]
    if not rows:
        error = _resting(found.model, [known for _, known in resting])
        error.candidates = (*waiting, *found.excluded)
        raise error
    rows.sort()
    taken = [Candidate(row[5].offer.id, rank, _reason(row[5], row[6])) for rank, row in enumerate(rows, 1)]
    return Plan(found.model, tuple([row[5] for row in rows]), (*taken, *waiting, *found.excluded))


def _able(
    facts: RequestFacts, model: Model, offers: Sequence[Offer], today: str
) -> tuple[list[Offer], dict[str, _Exclusion]]:
    able: list[Offer] = []
    excluded: dict[str, _Exclusion] = {}
    for offer in offers:
        why = _exclusion(facts, model, offer, today)
        if why is None:
            able.append(offer)
        else:
            excluded[offer.id] = why
    return able, excluded


def _exclusion(facts: RequestFacts, model: Model, offer: Offer, today: str) -> _Exclusion | None:
    if offer.shutdown_on is not None and offer.shutdown_on <= today:
        return _Exclusion(f"shut down on {offer.shutdown_on}")
    if _SPOKEN.isdisjoint(offer.protocols):
        return _Exclusion("speaks none of the protocols that this gateway speaks")
    return (
        _modality(facts, model, offer)
        or _need(facts, model, offer)
        or _output_limit(facts, model, offer)
        or _size(facts, model, offer)
    )


def _modality(facts: RequestFacts, model: Model, offer: Offer) -> _Exclusion | None:
    taken = offer.input if offer.input is not None else model.input
    for kind in facts.modalities:
        if kind not in taken:
            return _Exclusion(f"takes no {kind} input", param="messages")
    return None


def _need(facts: RequestFacts, model: Model, offer: Offer) -> _Exclusion | None:
    for need in facts.needs:
        if need == "reasoning":
            if not model.reasoning:
                return _Exclusion("does not reason", param="reasoning_effort")
        elif offer.supported_parameters is not None and need not in offer.supported_parameters:
            return _Exclusion(f"does not support `{need}`", param=need)
    return None


def _output_limit(facts: RequestFacts, model: Model, offer: Offer) -> _Exclusion | None:
    limit = offer.max_output_tokens or model.max_output_tokens
    asked = facts.max_output_tokens
    if limit and asked is not None and asked > limit:
        return _Exclusion(
            f"gives at most {limit} output tokens, {asked} were asked for", InvalidParams, "max_completion_tokens"
        )
    return None


def _limit(model: Model, offer: Offer) -> int:
    """Tokens that go in at most; a prompt of as many bytes fits for sure."""
    return offer.max_input_tokens or offer.context_tokens or model.context_tokens or _NO_LIMIT


def _size(facts: RequestFacts, model: Model, offer: Offer) -> _Exclusion | None:
    limit = _limit(model, offer)
    if facts.prompt_bytes <= limit:
        return None
    tokens = facts.prompt_bytes // SURE_BYTES_PER_TOKEN
    if tokens > limit:
        return _Exclusion(f"prompt is too long: {tokens} tokens > {limit} maximum", PayloadTooLarge, "messages")
    return None


def _unsupported(parameters: tuple[str, ...], offer: Offer) -> frozenset[str]:
    supported = offer.supported_parameters
    if supported is None or not parameters:
        return _NOTHING
    return frozenset(
        name
        for name in parameters
        if name in PARAMETERS
        and name not in supported
        and name not in offer.emulated_parameters
        and not _covered(name, offer)
    )


def _covered(name: str, offer: Offer) -> bool:
    """A word that is renamed on its way is supported when its target is."""
    supported = offer.supported_parameters or ()
    return name == "reasoning" and "reasoning_effort" in supported


def _keep_those_that_miss_least(
    offers: list[Offer], missing: dict[str, frozenset[str]], unknown: frozenset[str], require_parameters: bool
) -> tuple[list[Offer], dict[str, _Exclusion]]:
    """Offers that miss nothing but what all of them miss; where there is none, those that miss least, unless all is required."""
    if not any(missing.values()):
        return offers, {}
    least = min(len(missing[offer.id]) for offer in offers)
    allowed = len(unknown) if require_parameters else max(least, len(unknown))
    kept = [offer for offer in offers if len(missing[offer.id]) <= allowed]
    refused = {
        offer.id: _Exclusion(
            f"does not support: {', '.join(sorted(missing[offer.id] - unknown))}", param=min(missing[offer.id])
        )
        for offer in offers
        if len(missing[offer.id]) > allowed
    }
    return kept, refused


def _step(offer: Offer, facts: RequestFacts, missing: frozenset[str]) -> Step:
    native = facts.protocol in offer.protocols
    if not facts.parameters:
        return Step(offer, native=native)
    emulated = tuple([name for name in facts.parameters if name in offer.emulated_parameters])
    return Step(offer, tuple(sorted(missing)), emulated, native)


def _reason(step: Step, figures: Figures) -> str:
    lately = "" if step.native else ", by translation"
    lately += ", failed lately" if figures.failed_lately else ""
    if figures.first_token_ms is None:
        return f"first-token latency not measured yet{lately}"
    return f"first-token latency {figures.first_token_ms:.0f} ms{lately}"


def _rest_reason(figures: Figures) -> str:
    return f"asked to be left alone for {figures.rest_s:.0f} s (status {figures.rest_status})"


def _none_left(model: Model, excluded: dict[str, _Exclusion]) -> RequestError:
    """The answer where no offer can take the request: if one cause holds for all, it is told as such."""
    reasons = "; ".join(f"{offer.rpartition(':')[2]} {why.reason}" for offer, why in excluded.items())
    errors = {why.error for why in excluded.values()}
    if not excluded:
        return NoProviderAvailable(f"No offer of {model.slug} can be reached.")
    kind = errors.pop() if len(errors) == 1 else ModelNotSupported
    error = kind(
        f"No offer of {model.slug} can take this request: {reasons}.{_instead(model)}",
        param=next(iter(excluded.values())).param,
    )
    error.candidates = _excluded(excluded)
    return error


def _instead(model: Model) -> str:
    return f" Its successor is {model.replacement}." if model.replacement else ""


def _excluded(excluded: dict[str, _Exclusion]) -> tuple[Candidate, ...]:
    return tuple([Candidate(offer, None, why.reason) for offer, why in excluded.items()])


def _resting(model: Model, figures: list[Figures]) -> RequestError:
    soonest = min(figures, key=lambda known: known.rest_s)
    message = f"Every offer of {model.slug} asked to be left alone for now."
    if soonest.rest_status == 429:
        return RateLimited(message, retry_after_s=soonest.rest_s)
    return NoProviderAvailable(message, retry_after_s=soonest.rest_s)

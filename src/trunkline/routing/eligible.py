"""Which offers can take a request at all, what must be left out for each, and why the others cannot. In: facts, the model's offers that can be reached.

Out: `Eligible`. Pure, and without anything that was measured, so that it may be kept for the next request of the same kind.
"""

from collections.abc import Sequence

import msgspec

from trunkline.catalog.types import PARAMETERS, PROTOCOLS, Model, Offer
from trunkline.errors import InvalidParams, ModelNotSupported, NoProviderAvailable, PayloadTooLarge, RequestError
from trunkline.ir.facts import RequestFacts
from trunkline.records.types import Candidate
from trunkline.routing.types import Eligible, Step

_NOTHING: frozenset[str] = frozenset()
_NO_LIMIT = 2**62
_SPOKEN = frozenset(PROTOCOLS)

SURE_BYTES_PER_TOKEN = 16
"""Common tokens have 4 bytes, those of Indic scripts up to 8 on average; a prompt of more bytes than this times the limit is refused without counting."""


class _Exclusion(msgspec.Struct, frozen=True):
    """Why an offer cannot take the request, and how that is told when it holds for all of them."""

    reason: str
    error: type[RequestError] = ModelNotSupported
    param: str | None = None


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

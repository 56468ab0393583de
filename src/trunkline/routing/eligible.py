"""Which offers can take a request at all, what must be left out for each, and why the others cannot. In: facts, the offers that can be reached.

Out: `Eligible`. Pure, and without anything that was measured, so that it may be kept for the next request of the same kind.
"""

from collections.abc import Mapping, Sequence

import msgspec

from trunkline.catalog.types import PARAMETERS, PROTOCOLS, DataPolicy, Model, Offer, Provider
from trunkline.errors import (
    AccessDenied,
    InvalidParams,
    ModelNotSupported,
    NoProviderAvailable,
    PayloadTooLarge,
    RequestError,
)
from trunkline.ir.facts import RequestFacts
from trunkline.ir.wish import NO_WISH, PolicyWish, RoutingWish
from trunkline.records.types import Candidate
from trunkline.routing.tokens import Learned, Prompt, Room, doubt, sure_bytes, too_long
from trunkline.routing.types import Choice, Eligible, Step
from trunkline.routing.wished import against_policy, same_price_bytes, unwished

_NOTHING: frozenset[str] = frozenset()
_NO_LIMIT = 2**62
_NO_POLICY = DataPolicy()
_SPOKEN = frozenset(PROTOCOLS)


class Rules(msgspec.Struct, frozen=True):
    """What holds for every model of one request. `today` is an ISO date; the wish names providers by their slugs."""

    today: str
    require_parameters: bool = False
    wish: RoutingWish = NO_WISH
    providers: Mapping[str, Provider] = {}
    """For their data policies."""
    learned: Learned = msgspec.field(default_factory=Learned)
    allowed_providers: tuple[str, ...] = ()
    """Of the caller's key; empty: all."""
    floor: PolicyWish = PolicyWish()
    """What a data policy must promise, whatever the request wishes."""


class _Exclusion(msgspec.Struct, frozen=True):
    """Why an offer cannot take the request, and how that is told when it holds for all of them."""

    reason: str
    error: type[RequestError] = ModelNotSupported
    param: str | None = None


def eligible(facts: RequestFacts, choices: Sequence[Choice], rules: Rules) -> Eligible:
    """The offers that can take the request, of all models that may answer it, in the order of the models.

    Raises a `RequestError` that says why none can.
    """
    found: list[Eligible] = []
    errors: list[RequestError] = []
    excluded: list[Candidate] = []
    for choice in choices:
        try:
            one = _of_model(facts, choice, rules)
        except RequestError as error:
            errors.append(error)
            excluded += error.candidates or [Candidate(choice.model.slug, None, error.message)]
        else:
            found.append(one)
            excluded += one.excluded
    if not found:
        raise _none_of_all(errors, tuple(excluded))
    if len(choices) == 1:
        return found[0]
    steps = tuple([step for one in found for step in one.steps])
    sure = min([_sure_bytes(facts, choice.model, offer, rules.wish) for choice in choices for offer in choice.offers])
    return Eligible(found[0].model, steps, tuple(excluded), sure)


def _of_model(facts: RequestFacts, choice: Choice, rules: Rules) -> Eligible:
    if choice.error is not None:
        raise choice.error
    model, offers = choice.model, choice.offers
    able, excluded = _able(facts, model, offers, rules)
    if not able:
        raise _none_left(model, excluded)
    missing = {offer.id: _unsupported(facts.parameters, offer) for offer in able}
    unknown = frozenset.intersection(*missing.values())
    if unknown and rules.require_parameters:
        names = ", ".join(sorted(unknown))
        raise ModelNotSupported(
            f"No offer of {model.slug} supports: {names}. Leave it out, or leave `provider.require_parameters` out.",
            param=min(unknown),
        )
    able, refused = _keep_those_that_miss_least(able, missing, unknown, rules.require_parameters)
    excluded.update(refused)
    if not able:
        raise _none_left(model, excluded)
    able, doubtful = _without_doubtful(facts, model, able, rules.learned)
    excluded.update(doubtful)
    shown = "" if choice.is_asked_for else model.slug
    return Eligible(
        model,
        tuple([_step(offer, facts, missing[offer.id], shown) for offer in able]),
        (*_excluded(excluded), *_strangers(rules.wish, model, offers)),
        min([_sure_bytes(facts, model, offer, rules.wish) for offer in offers]),
    )


def _none_of_all(errors: list[RequestError], told: tuple[Candidate, ...]) -> RequestError:
    error = errors[0]
    if len(errors) > 1:
        others = " ".join(other.message for other in errors[1:])
        error = type(error)(
            f"{error.message} No model to fall back to can take it either: {others}",
            param=error.param,
            retry_after_s=error.retry_after_s,
        )
    error.candidates = told
    return error


def _able(
    facts: RequestFacts, model: Model, offers: Sequence[Offer], rules: Rules
) -> tuple[list[Offer], dict[str, _Exclusion]]:
    able: list[Offer] = []
    excluded: dict[str, _Exclusion] = {}
    for offer in offers:
        why = _exclusion(facts, model, offer, rules)
        if why is None:
            able.append(offer)
        else:
            excluded[offer.id] = why
    return able, excluded


def _exclusion(facts: RequestFacts, model: Model, offer: Offer, rules: Rules) -> _Exclusion | None:
    if offer.shutdown_on is not None and offer.shutdown_on <= rules.today:
        return _Exclusion(f"shut down on {offer.shutdown_on}")
    if _SPOKEN.isdisjoint(offer.protocols):
        return _Exclusion("speaks none of the protocols that this gateway speaks")
    return (
        _denied(offer, rules)
        or (None if rules.wish is NO_WISH else _wish(facts, offer, rules))
        or _modality(facts, model, offer)
        or _need(facts, model, offer)
        or _output_limit(facts, model, offer)
        or _size(facts, model, offer, rules.learned)
    )


def _denied(offer: Offer, rules: Rules) -> _Exclusion | None:
    """By the rules of the caller's key."""
    if rules.allowed_providers and offer.provider not in rules.allowed_providers:
        return _Exclusion("is not one of the providers that this key may use", AccessDenied, "model")
    why = against_policy(rules.floor, policy_of(offer, rules.providers))
    return (
        None
        if why is None
        else _Exclusion(f"{why.reason}, and this key's data policy wants more", AccessDenied, "model")
    )


def _wish(facts: RequestFacts, offer: Offer, rules: Rules) -> _Exclusion | None:
    why = unwished(rules.wish, offer, policy_of(offer, rules.providers), facts.prompt_bytes, rules.today)
    return None if why is None else _Exclusion(why.reason, param=why.param)


def policy_of(offer: Offer, providers: Mapping[str, Provider]) -> DataPolicy:
    """The offer's own data policy, else that of its provider."""
    provider = providers.get(offer.provider)
    return offer.data_policy or (_NO_POLICY if provider is None else provider.data_policy)


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


def _room(model: Model, offer: Offer) -> Room:
    context = offer.context_tokens or model.context_tokens
    return Room(offer.max_input_tokens or context, context)


def _prompt(facts: RequestFacts, model: Model) -> Prompt:
    return Prompt(facts.prompt_bytes, model.author, facts.prompt_tokens if facts.counted_for == model.author else None)


def _size(facts: RequestFacts, model: Model, offer: Offer, learned: Learned) -> _Exclusion | None:
    room = _room(model, offer)
    if not room.input_tokens or facts.prompt_bytes <= room.input_tokens:
        return None
    tokens = too_long(room, _prompt(facts, model), learned)
    if tokens is not None:
        why = f"prompt is too long: {tokens} tokens > {room.input_tokens} maximum"
        return _Exclusion(why, PayloadTooLarge, "messages")
    return None


def _without_doubtful(
    facts: RequestFacts, model: Model, offers: list[Offer], learned: Learned
) -> tuple[list[Offer], dict[str, _Exclusion]]:
    """Offers that the prompt probably does not fit into give way to those that it does fit into; where there are none, they stay."""
    asked, prompt = facts.max_output_tokens or 0, _prompt(facts, model)
    doubts = {offer.id: why for offer in offers if (why := doubt(_room(model, offer), prompt, asked, learned))}
    if not doubts or len(doubts) == len(offers):
        return offers, {}
    refused = {one: _Exclusion(why, PayloadTooLarge, "messages") for one, why in doubts.items()}
    return [offer for offer in offers if offer.id not in doubts], refused


def _sure_bytes(facts: RequestFacts, model: Model, offer: Offer, wish: RoutingWish) -> int:
    """Prompts of at most so many bytes are told of this offer what this one is."""
    sure = [sure_bytes(_room(model, offer), facts.max_output_tokens or 0)]
    if wish.max_price:
        sure.append(same_price_bytes(offer))
    return min([one for one in sure if one is not None], default=_NO_LIMIT)


def _strangers(wish: RoutingWish, model: Model, offers: Sequence[Offer]) -> tuple[Candidate, ...]:
    """Providers that the caller wants first and that do not serve the model here: told, since a mistyped name is easily overlooked."""
    if not wish.order:
        return ()
    known = {offer.provider for offer in offers}
    reason = "is in the order that was asked for, but serves no offer of this model that can be called"
    return tuple(Candidate(f"{model.slug}:{name}", None, reason) for name in wish.order if name not in known)


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


def _step(offer: Offer, facts: RequestFacts, missing: frozenset[str], shown_model: str) -> Step:
    native = facts.protocol in offer.protocols
    if not facts.parameters:
        return Step(offer, native=native, shown_model=shown_model)
    emulated = tuple([name for name in facts.parameters if name in offer.emulated_parameters])
    return Step(offer, tuple(sorted(missing)), emulated, native, shown_model)


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

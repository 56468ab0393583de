"""The plan of a request, remembered: callers ask for the same few kinds of request again and again. In: the request's facts. Out: a `Plan` in force."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from trunkline.accounts.types import NO_RULES, KeyRules
from trunkline.catalog.query import Found, auto_factor, find, folded, nearest, provider_names
from trunkline.catalog.types import Catalog, Model, Offer
from trunkline.errors import AccessDenied, InvalidModel, InvalidParams, ModelNotSupported
from trunkline.execution.affinity import held_of
from trunkline.execution.asked import Asked
from trunkline.execution.exchange import Exchange
from trunkline.execution.gateway import Gateway, RememberedPlan, Snapshot
from trunkline.execution.permitted import allows_model, allows_offer, check_model, part_of_kind
from trunkline.execution.tokenizer import COUNTED_FROM_BYTES, count
from trunkline.ir.facts import RequestFacts
from trunkline.ir.usage import Usage
from trunkline.ir.wish import NO_WISH, AutoWish, Factor, PolicyWish, RoutingWish
from trunkline.pricing.types import Cost
from trunkline.providers.accounts import Absent
from trunkline.records.types import Candidate
from trunkline.routing.affinity import Held
from trunkline.routing.auto import AutoChoice, Features, Rated, choose, features, features_of, rate
from trunkline.routing.eligible import Rules, eligible, policy_of
from trunkline.routing.order import Ranked, draw, order
from trunkline.routing.order import Rated as RatedOffer
from trunkline.routing.types import Choice, Plan, Step
from trunkline.routing.wished import unwished

MAX_MODEL_NAME = 256
ORDER_HOLDS_S = 0.1
"""Latencies drift slowly; whatever changes at once (a failure, a first measurement) grows `Health.changes`."""
MOST_AUTO_MODELS = 4
"""The one that the gateway chooses, and those to fall back to."""
_MAX_REMEMBERED = 4096
_MAX_NAMES = 32
"""In the wish of a kind that is remembered: what callers write there must not fill the memory."""
_MAX_RATED = 64
_NO_POLICY = PolicyWish()
TYPICAL_OUTPUT_TOKENS = 500
"""What an answer is taken to have for an estimate, where the request sets no limit."""


class Foreseen(msgspec.Struct, frozen=True):
    """An offer that could take the request. `usage` is an estimate, see `TYPICAL_OUTPUT_TOKENS` for that of the answer."""

    step: Step
    rank: int
    """By which the offers are tried when the first one is not drawn by chance."""
    share: float
    """Of requests of this kind that go to it first."""
    weight: float
    """What its share is by, among offers that stand alike."""
    rated_ms: float | None
    """First-token latency as far as it is believed."""
    usage: Usage
    cost: Cost
    reason: str


class Explained(msgspec.Struct, frozen=True):
    """What would become of a request. Nobody was called, and no chance was drawn: the best offer is the first."""

    models: tuple[str, ...]
    """In the order in which they are tried."""
    offers: tuple[Foreseen, ...]
    excluded: tuple[Candidate, ...]
    wish: RoutingWish
    """As it was understood, with slugs of providers."""
    auto: AutoChoice | None = None
    """Where the gateway chooses the model."""
    held: Held | None = None
    """What a provider has of the conversation."""


def plan(
    gateway: Gateway,
    snapshot: Snapshot,
    facts: RequestFacts,
    asked: Asked | None = None,
    exchange: Exchange | None = None,
) -> Plan:
    """The offers to try. Raises a `RequestError` where none can take the request, with what would mend it.

    `asked` is the request itself, of which the automatic model needs the words; with its `exchange` it stays where its conversation is.
    """
    known, choice = _known(gateway, snapshot, facts, asked, NO_RULES if exchange is None else exchange.rules)
    ranked = in_order(gateway, known, gateway.clock.now_s())
    held = None if asked is None or exchange is None else held_of(gateway, asked, exchange, ranked)
    made = draw(ranked, gateway.chance if snapshot.policy.spread else best, held)
    return made if choice is None else _with_choice(made, facts.model, choice)


async def measure(gateway: Gateway, snapshot: Snapshot, asked: Asked) -> None:
    """Have a long prompt counted, where a tokenizer is at hand and its bytes do not tell that it fits. To be awaited before `plan`."""
    facts = asked.facts
    if gateway.tokenizer is None or facts.prompt_bytes < COUNTED_FROM_BYTES:
        return
    known = snapshot.plans.get(_kind(facts, _requires(snapshot, facts), gateway.clock.today()))
    found = find(snapshot.catalog, facts.model[:MAX_MODEL_NAME])
    if found is not None and (known is None or facts.prompt_bytes > known.eligible.sure_bytes):
        await count(gateway.tokenizer, asked, found.model.slug)


def explain(
    gateway: Gateway,
    snapshot: Snapshot,
    facts: RequestFacts,
    asked: Asked | None = None,
    exchange: Exchange | None = None,
) -> Explained:
    """What `plan` would make of the request, with figures and estimated prices. Raises as `plan` does; the error has the candidates."""
    known, choice = _known(gateway, snapshot, facts, asked, NO_RULES if exchange is None else exchange.rules)
    ranked = in_order(gateway, known, gateway.clock.now_s())
    held = None if asked is None or exchange is None else held_of(gateway, asked, exchange, ranked)
    made = draw(ranked, best, held)
    reasons = {one.offer: one.reason for one in made.candidates}
    shares = ranked.shares if snapshot.policy.spread else [1.0] + [0.0] * (len(ranked.rated) - 1)
    offers = tuple(
        _foreseen(gateway, snapshot, facts, rank, one, share, reasons.get(one.step.offer.id, ""))
        for rank, (one, share) in enumerate(zip(ranked.rated, shares, strict=True), 1)
    )
    return Explained(
        models=tuple(dict.fromkeys(one.step.offer.model for one in offers)),
        offers=offers,
        excluded=tuple(one for one in made.candidates if one.rank is None),
        wish=known.wish,
        auto=choice,
        held=held,
    )


def learn(gateway: Gateway, offer: Offer, facts: RequestFacts, usage: Usage) -> None:
    """Take in how many tokens a provider counted of a prompt that is nothing but text."""
    if not usage.estimated and len(facts.modalities) == 1:
        gateway.learned.observe(_family(offer), facts.prompt_bytes, usage.total_input_tokens)


def offers_of(snapshot: Snapshot, name: str, today: str, rules: KeyRules = NO_RULES) -> tuple[Model, list[Offer]]:
    """The model that a name means and the offers of it that can be called. Raises where there is none, with what would mend it."""
    if auto_factor(snapshot.catalog, name) is not None:
        # Nobody chooses before there is a request: any of those that may be chosen will do.
        rated = _permitted(snapshot, _rated(snapshot, AutoWish(), today), today, rules)
        name = next((one.model.slug for one in rated), name)
    choice = _choice(snapshot, _named(snapshot.catalog, name, "model"), today)
    check_model(rules, choice.model.slug)
    if choice.error is not None:
        raise choice.error
    return choice.model, [offer for offer in choice.offers if allows_offer(rules, offer, snapshot.catalog.providers)]


def best() -> float:
    """No chance: the offer that stands best."""
    return 0.0


def _foreseen(
    gateway: Gateway, snapshot: Snapshot, facts: RequestFacts, rank: int, one: RatedOffer, share: float, reason: str
) -> Foreseen:
    offer = one.step.offer
    usage = Usage(
        input_tokens=math.ceil(facts.prompt_bytes / gateway.learned.factor(_family(offer))),
        output_tokens=facts.max_output_tokens or TYPICAL_OUTPUT_TOKENS,
        estimated=True,
    )
    cost = snapshot.price(offer, usage, gateway.clock.unix_ms(), None)
    return Foreseen(one.step, rank, share, one.weight, one.rated_ms, usage, cost, reason)


def _family(offer: Offer) -> str:
    """Models of one author share tokenizers."""
    return offer.model.partition("/")[0]


# --- remembering


def remembered(
    gateway: Gateway, snapshot: Snapshot, facts: RequestFacts, rules: KeyRules = NO_RULES
) -> RememberedPlan | None:
    """The offers that requests of this kind have, where that depends on nothing but the kind."""
    if auto_factor(snapshot.catalog, facts.model) is not None:
        return None
    kind = _kind(facts, _requires(snapshot, facts), gateway.clock.today())
    return snapshot.plans.get(kind if rules is NO_RULES else (*kind, part_of_kind(rules)))


def _known(
    gateway: Gateway, snapshot: Snapshot, facts: RequestFacts, asked: Asked | None, rules: KeyRules
) -> tuple[RememberedPlan, AutoChoice | None]:
    """The offers that can take the request, and which model was chosen where that was left to the gateway."""
    require_parameters = _requires(snapshot, facts)
    today = gateway.clock.today()
    kind = _kind(facts, require_parameters, today)
    if rules is not NO_RULES:
        kind = (*kind, part_of_kind(rules))
    known = snapshot.plans.get(kind)
    if known is not None and facts.prompt_bytes <= known.eligible.sure_bytes:
        return known, None
    choice = None
    if auto_factor(snapshot.catalog, facts.model) is not None:
        choice = _chosen(snapshot, facts, asked, today, rules)
        kind = (*kind, choice.models)
        known = snapshot.plans.get(kind)
        if known is not None and facts.prompt_bytes <= known.eligible.sure_bytes:
            return known, choice
    chosen = () if choice is None else choice.models
    known = _find(gateway, snapshot, facts, chosen, today, rules, require_parameters=require_parameters)
    _remember(snapshot, kind, known, facts)
    return known, choice


def _requires(snapshot: Snapshot, facts: RequestFacts) -> bool:
    asked = facts.require_parameters
    return snapshot.policy.require_parameters if asked is None else asked


def _kind(facts: RequestFacts, require_parameters: bool, today: str) -> tuple[Any, ...]:
    kind = (
        facts.model,
        facts.protocol,
        facts.parameters,
        facts.needs,
        facts.modalities,
        facts.max_output_tokens,
        require_parameters,
        today,
    )
    if facts.wish is NO_WISH:
        return kind
    # Of the rest nothing depends: not how long a hedge waits, nor where a fallback stood.
    return (*kind, msgspec.structs.replace(facts.wish, hedge=None, places=()))


def _remember(snapshot: Snapshot, kind: tuple[Any, ...], known: RememberedPlan, facts: RequestFacts) -> None:
    wish = facts.wish
    names = len(wish.order) + len(wish.only) + len(wish.ignore) + len(wish.models) + len(wish.auto.available_models)
    if facts.prompt_bytes > known.eligible.sure_bytes or names > _MAX_NAMES:
        return
    if len(snapshot.plans) >= _MAX_REMEMBERED:
        snapshot.plans.clear()
    snapshot.plans[kind] = known


def in_order(gateway: Gateway, known: RememberedPlan, now_s: float) -> Ranked:
    """The offers in their order, found anew where it may have changed."""
    health = gateway.health
    if known.ranked is None or known.changes != health.changes or now_s >= known.until_s:
        known.ranked = order(known.eligible, lambda offer: health.figures(offer, now_s), known.wish)
        known.changes = health.changes
        known.until_s = now_s + ORDER_HOLDS_S
    return known.ranked


# --- finding


def _find(
    gateway: Gateway,
    snapshot: Snapshot,
    facts: RequestFacts,
    chosen: tuple[str, ...],
    today: str,
    key_rules: KeyRules,
    *,
    require_parameters: bool,
) -> RememberedPlan:
    catalog = snapshot.catalog
    wish, models = facts.wish, [catalog.models[slug] for slug in chosen]
    if models:
        found = [Found(model) for model in models]
        factor: Factor = auto_factor(catalog, facts.model) or ""
    else:
        found = [_named(catalog, facts.model, "model")]
        check_model(key_rules, found[0].model.slug)
        factor = found[0].factor
    asked_for = 0 if models else 1
    found += _fallbacks(snapshot, wish, found[0])
    choices = _choices(snapshot, [one for one in found if allows_model(key_rules, one.model.slug)], today, asked_for)
    wish = _resolved(catalog, wish, factor)
    rules = Rules(
        today,
        require_parameters,
        wish,
        catalog.providers,
        gateway.learned,
        key_rules.providers,
        key_rules.data_policy,
    )
    return RememberedPlan(eligible(facts, choices, rules), wish)


def _named(catalog: Catalog, name: str, param: str) -> Found:
    if len(name) > MAX_MODEL_NAME:
        raise InvalidModel(
            f"The model's name has {len(name)} characters; none has more than {MAX_MODEL_NAME}.", param=param
        )
    found = find(catalog, name)
    if found is None:
        near = nearest(catalog, name)
        hint = f"Did you mean {', '.join(near)}?" if near else "GET /api/v1/models lists what can be called."
        where = "" if param == "model" else f" (`{param}`)"
        raise InvalidModel(f"There is no model `{name}`{where}. {hint}", param=param)
    return found


def _fallbacks(snapshot: Snapshot, wish: RoutingWish, first: Found) -> list[Found]:
    """The models to fall back to: those of the request, or where it names none, that of the settings.

    A caller that pins a provider, or wants no fallbacks, does not get the settings' model either.
    """
    if wish.models:
        return [_named(snapshot.catalog, name, place) for name, place in zip(wish.models, wish.places, strict=True)]
    name = snapshot.policy.fallback_model
    if not name or first.provider is not None or not (wish.default_fallback and wish.allow_fallbacks):
        return []
    found = find(snapshot.catalog, name)
    return [] if found is None else [found]


def _choices(snapshot: Snapshot, found: list[Found], today: str, asked_for: int) -> list[Choice]:
    """What can be called of each, every offer once, where it is named first. `asked_for` is how many of them the caller asked for by name."""
    choices: list[Choice] = []
    seen: set[str] = set()
    for place, one in enumerate(found):
        choice = _choice(snapshot, one, today)
        offers = tuple([offer for offer in choice.offers if offer.id not in seen])
        if offers or choice.error is not None:
            choices.append(msgspec.structs.replace(choice, offers=offers, is_asked_for=place < asked_for))
        seen.update(offer.id for offer in offers)
    return choices


def _choice(snapshot: Snapshot, found: Found, today: str) -> Choice:
    model = found.model
    offers = [offer for offer in model.offers if found.provider in (None, offer.provider)]
    reachable = [offer for offer in snapshot.reachable(model) if offer in offers]
    if reachable:
        return Choice(model, tuple(reachable))
    return Choice(model, (), ModelNotSupported(_how_to_reach(snapshot, model, offers, today), param="model"))


def _how_to_reach(snapshot: Snapshot, model: Model, offers: list[Offer], today: str) -> str:
    mends = []
    for offer in offers:
        account = snapshot.accounts.get(offer.provider)
        if isinstance(account, Absent):
            mends.append(f"{account.provider.name}: {account.reason}")
    models = snapshot.catalog.models.items()
    callable_now = next((slug for slug, other in models if snapshot.callable_offers(other, today)), None)
    now = f" A model that can be called now is `{callable_now}`." if callable_now else " No model can be called now."
    return f"No provider of `{model.slug}` is set up here. {'; '.join(mends)}.{now}"


def _resolved(catalog: Catalog, wish: RoutingWish, factor: Factor) -> RoutingWish:
    """The wish with slugs of providers, whatever way the caller spells them, and with the factor that the model's name asks for."""
    if factor and not wish.factor:
        wish = msgspec.structs.replace(wish, factor=factor)
    if not (wish.order or wish.only or wish.ignore):
        return wish
    slugs = provider_names(catalog)

    def known(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(slugs.get(folded(name), name) for name in names))

    return msgspec.structs.replace(wish, order=known(wish.order), only=known(wish.only), ignore=known(wish.ignore))


# --- the automatic model


def _chosen(snapshot: Snapshot, facts: RequestFacts, asked: Asked | None, today: str, rules: KeyRules) -> AutoChoice:
    """Which models answer a request that leaves it to the gateway, the best first."""
    wish = facts.wish.auto
    rated = _as_wished(snapshot, facts, _rated(snapshot, wish, today), today)
    if rules is not NO_RULES:
        rated = _permitted(snapshot, rated, today, rules)
    choice = choose(_features(facts, asked), rated, wish.preference)
    if not choice.models:
        raise ModelNotSupported(
            f"`{facts.model}` has no model to choose from: give a provider's key, or name models that can be called in "
            "`model_routing_config.available_models`.",
            param="model",
        )
    return msgspec.structs.replace(choice, models=choice.models[:MOST_AUTO_MODELS])


def _features(facts: RequestFacts, asked: Asked | None) -> Features:
    if asked is None:
        return features("", facts)
    try:
        return features_of(asked.canonical(), facts)
    except InvalidParams:
        # A body that the provider takes and our reader does not is told by its size and needs alone.
        return features("", facts)


def _rated(snapshot: Snapshot, wish: AutoWish, today: str) -> tuple[Rated, ...]:
    """The candidates: the caller's, else the operator's, else every model that can be called. Rated once for each list and day."""
    key = (today, wish.available_models)
    known = snapshot.rated.get(key)
    if known is None:
        known = rate([model for model in _candidates(snapshot, wish) if snapshot.callable_offers(model, today)])
        if len(snapshot.rated) >= _MAX_RATED:
            snapshot.rated.clear()
        if len(wish.available_models) <= _MAX_NAMES:
            snapshot.rated[key] = known
    return known


def _as_wished(snapshot: Snapshot, facts: RequestFacts, rated: tuple[Rated, ...], today: str) -> tuple[Rated, ...]:
    """Those of which an offer is as the caller wishes; all of them where there is none, for the plan to say why."""
    wish = facts.wish
    if not (wish.only or wish.ignore or wish.max_price or wish.data_policy != _NO_POLICY):
        return rated
    wish, providers = _resolved(snapshot.catalog, wish, ""), snapshot.catalog.providers

    def is_wished(offer: Offer) -> bool:
        return unwished(wish, offer, policy_of(offer, providers), facts.prompt_bytes, today) is None

    wished = tuple([one for one in rated if any(map(is_wished, snapshot.callable_offers(one.model, today)))])
    return wished or rated


def _permitted(snapshot: Snapshot, rated: tuple[Rated, ...], today: str, rules: KeyRules) -> tuple[Rated, ...]:
    """Those of which the key may call an offer. Raises AccessDenied where there is none."""
    providers = snapshot.catalog.providers

    def is_permitted(one: Rated) -> bool:
        return any(allows_offer(rules, offer, providers) for offer in snapshot.callable_offers(one.model, today))

    found = tuple(filter(is_permitted, rated))
    if rated and not found:
        raise AccessDenied("This key may call none of the models that there are to choose from.", param="model")
    return found


def _candidates(snapshot: Snapshot, wish: AutoWish) -> Iterator[Model]:
    catalog = snapshot.catalog
    if wish.available_models:
        for at, name in enumerate(wish.available_models):
            yield _named(catalog, name, f"model_routing_config.available_models[{at}]").model
    elif snapshot.policy.auto_models:
        yield from (found.model for name in snapshot.policy.auto_models if (found := find(catalog, name)))
    else:
        yield from (model for model in catalog.models.values() if "text" in model.output)


def _with_choice(made: Plan, name: str, choice: AutoChoice) -> Plan:
    row = Candidate(name, None, choice.reason)
    return msgspec.structs.replace(made, candidates=(row, *made.candidates))

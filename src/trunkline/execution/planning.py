"""The plan of a request, remembered: callers ask for the same few kinds of request again and again. In: the request's facts. Out: a `Plan` in force."""

from trunkline.catalog.query import find, nearest
from trunkline.catalog.types import Model, Offer
from trunkline.errors import InvalidModel, ModelNotSupported
from trunkline.execution.gateway import Gateway, RememberedPlan, Snapshot
from trunkline.ir.facts import RequestFacts
from trunkline.providers.accounts import Absent
from trunkline.routing.eligible import eligible
from trunkline.routing.order import order
from trunkline.routing.types import Plan

MAX_MODEL_NAME = 256
ORDER_HOLDS_S = 0.1
"""Latencies drift slowly; whatever changes at once (a failure, a first measurement) grows `Health.changes`."""
_MAX_REMEMBERED = 4096


def plan(gateway: Gateway, snapshot: Snapshot, facts: RequestFacts) -> Plan:
    """The offers to try. Raises a `RequestError` where none can take the request, with what would mend it."""
    asked = facts.require_parameters
    require_parameters = snapshot.policy.require_parameters if asked is None else asked
    today = gateway.clock.today()
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
    known = snapshot.plans.get(kind)
    if known is None or facts.prompt_bytes > known.eligible.sure_bytes:
        known = _find(snapshot, facts, today, require_parameters=require_parameters)
        if facts.prompt_bytes <= known.eligible.sure_bytes:
            if len(snapshot.plans) >= _MAX_REMEMBERED:
                snapshot.plans.clear()
            snapshot.plans[kind] = known
    now_s, health = gateway.clock.now_s(), gateway.health
    if known.plan is None or known.changes != health.changes or now_s >= known.until_s:
        known.plan = order(known.eligible, lambda offer: health.figures(offer, now_s))
        known.changes = health.changes
        known.until_s = now_s + ORDER_HOLDS_S
    return known.plan


def _find(snapshot: Snapshot, facts: RequestFacts, today: str, *, require_parameters: bool) -> RememberedPlan:
    model, offers = offers_of(snapshot, facts.model, today)
    return RememberedPlan(eligible(facts, model, offers, require_parameters=require_parameters, today=today))


def offers_of(snapshot: Snapshot, name: str, today: str) -> tuple[Model, list[Offer]]:
    """The model that a name means and the offers of it that can be called. Raises where there is none, with what would mend it."""
    if len(name) > MAX_MODEL_NAME:
        raise InvalidModel(
            f"The model's name has {len(name)} characters; none has more than {MAX_MODEL_NAME}.", param="model"
        )
    found = find(snapshot.catalog, name)
    if found is None:
        near = nearest(snapshot.catalog, name)
        hint = f"Did you mean {', '.join(near)}?" if near else "GET /api/v1/models lists what can be called."
        raise InvalidModel(f"There is no model `{name}`. {hint}", param="model")
    offers = [offer for offer in found.model.offers if found.provider in (None, offer.provider)]
    reachable = [offer for offer in snapshot.reachable(found.model) if offer in offers]
    if not reachable:
        raise ModelNotSupported(_how_to_reach(snapshot, found.model, offers, today), param="model")
    return found.model, reachable


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

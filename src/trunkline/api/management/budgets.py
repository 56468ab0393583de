"""`/api/v1/management/budgets`: the most that an organisation, project, member or key may spend in a period. In: an actor. Out: budgets and how they stand."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field, field_validator

from trunkline.accounts.keys import IssuedKey
from trunkline.accounts.repeats import MAX_CHARS, REPEATED_WITHIN_MS
from trunkline.accounts.roles import covers, demand, organisation_of, reach
from trunkline.accounts.types import Actor, Budget, Period, Scope
from trunkline.api.management.access import Caller, ConsoleOf
from trunkline.api.management.key_bodies import Body, Card, Id, Limit, NewKey, iso
from trunkline.api.management.key_changes import KEY_REUSED, Desk, desk_of, make_key
from trunkline.api.management.parameters import MOST, Repeated, Wanted
from trunkline.errors import InvalidParams, KeyReused, NotFound
from trunkline.pricing.money import usd
from trunkline.storage import people, projects
from trunkline.storage.api_keys import KeyQuery, find_keys
from trunkline.storage.budgets import (
    BudgetQuery,
    BudgetStanding,
    change_budget,
    create_budget,
    end_budget,
    find_budgets,
    get_budget,
    standings,
)

PICO = 10**12
_ID_BYTES = 10
Percents = Annotated[list[Annotated[int, Field(ge=1, le=1000)]], Field(max_length=10)]


class NewBudget(Body):
    """What a budget is made from."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"scope": "project", "scope_id": "prj_0123", "period": "month", "limit_usd": "250.00"}]
        },
    )

    scope: Scope
    scope_id: Id = ""
    """The id of the project, member or key; of an organisation, empty."""
    period: Period
    """Days, weeks (from Monday) and months of the calendar, in UTC; `total` never begins anew."""
    limit_usd: Limit
    alerts: Percents = Field([80, 100])
    """Percent of the limit at which somebody is told."""
    organisation: Id | None = None
    """For the master key; everyone else's own."""

    @field_validator("alerts")
    @classmethod
    def _in_order(cls, value: list[int]) -> list[int]:
        return sorted(set(value))


class ChangedBudget(Body):
    """Another limit or other alerts, from now on, in the period that is under way too."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"limit_usd": "300.00"}]})

    limit_usd: Limit | None = None
    alerts: Percents | None = None


class BudgetCard(Card):
    """A budget and how it stands in the period that is under way. Money is exact, as text. Requests under way are not in it yet."""

    id: str
    organisation: str
    scope: Scope
    scope_id: str
    period: Period
    limit_usd: str
    spent_usd: str
    left_usd: str
    period_started_at: str | None
    """None for `total`."""
    resets_at: str | None
    alerts: list[int]
    created_at: str
    ended_at: str | None


class BudgetList(Card):
    """`next` is the `after` of the following page, null on the last one."""

    data: list[BudgetCard]
    next: str | None


router = APIRouter(prefix="/api/v1/management/budgets", tags=["Budgets"])


@router.post("", status_code=201, summary="Set a budget")
async def create(body: NewBudget, actor: Caller, console: ConsoleOf, repeated: Repeated = "") -> BudgetCard:
    """What was spent in the period before counts too. Several may cover a request: each must have room."""
    desk = desk_of(console)
    return await _card(desk, await make_budget(desk, actor, body, repeated))


@router.get("", summary="List budgets")
async def list_(
    actor: Caller,
    console: ConsoleOf,
    scope: Literal["", "organisation", "project", "member", "key"] = "",
    scope_id: Wanted = "",
    organisation: Annotated[str, Query(max_length=60)] = "",
    ended: bool = False,
    after: Wanted = "",
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> BudgetList:
    """Newest first. Members see their own and those of their keys. `ended`: those that have ended, too."""
    desk = desk_of(console)
    query = BudgetQuery(organisation, scope, scope_id, ended, after, limit)
    found = await list_budgets(desk, actor, query)
    seen = await standings(desk.store, await visible(desk, actor, found), desk.now_ms)
    return BudgetList(data=[budget_card(one) for one in seen], next=found[-1].id if len(found) == limit else None)


@router.get("/{budget_id}", summary="Show a budget")
async def get(budget_id: str, actor: Caller, console: ConsoleOf) -> BudgetCard:
    """With what is left of it."""
    desk = desk_of(console)
    return await _card(desk, await seen_budget(desk, actor, budget_id))


@router.patch("/{budget_id}", summary="Change a budget")
async def patch(budget_id: str, body: ChangedBudget, actor: Caller, console: ConsoleOf) -> BudgetCard:
    """What is not named stays as it is. Gateways go by it within a second."""
    desk = desk_of(console)
    return await _card(desk, await change(desk, actor, budget_id, body))


@router.delete("/{budget_id}", summary="End a budget")
async def delete(budget_id: str, actor: Caller, console: ConsoleOf) -> BudgetCard:
    """From now on it holds nobody back. One that has ended already is shown as it is."""
    desk = desk_of(console)
    return await _card(desk, await end(desk, actor, budget_id))


async def make_budget(desk: Desk, actor: Actor, wanted: NewBudget, idempotency_key: str = "") -> Budget:
    """A new budget. The same call with the same `Idempotency-Key` within a day is done once."""
    demand(actor, "budgets")
    org_id = organisation_of(actor, wanted.organisation)
    if org_id != actor.org_id and await people.organisation(desk.store, org_id) is None:
        raise NotFound(f"there is no organisation {org_id}", param="organisation")
    budget = Budget(
        id=f"bud_{desk.draws(actor, 'budgets', idempotency_key)(_ID_BYTES).hex()}",
        org_id=org_id,
        scope=wanted.scope,
        scope_id=await _scope_id(desk, org_id, wanted),
        period=wanted.period,
        limit_pico_usd=_pico(wanted.limit_usd),
        created_ms=desk.now_ms,
        alerts=tuple(wanted.alerts),
    )
    kept = await create_budget(desk.store, budget, actor)
    is_late = desk.now_ms - kept.created_ms > REPEATED_WITHIN_MS
    if is_late or kept != msgspec.structs.replace(budget, created_ms=kept.created_ms):
        raise KeyReused(KEY_REUSED, param="Idempotency-Key")
    return kept


async def make_key_with_budgets(desk: Desk, actor: Actor, wanted: NewKey, idempotency_key: str = "") -> IssuedKey:
    """A new key and its budgets. It is there a moment before them, but its secret is not told before they hold."""
    if wanted.budgets:
        demand(actor, "budgets")
        most_chars = MAX_CHARS - len("/0")
        if len(idempotency_key) > most_chars:
            raise InvalidParams(
                f"Idempotency-Key: at most {most_chars} characters with budgets", param="Idempotency-Key"
            )
    issued = await make_key(desk, actor, wanted, idempotency_key)
    for number, one in enumerate(wanted.budgets):
        budget = NewBudget(
            scope="key",
            scope_id=issued.key.id,
            period=one.period,
            limit_usd=one.limit_usd,
            organisation=issued.key.org_id,
        )
        await make_budget(desk, actor, budget, f"{idempotency_key}/{number}" if idempotency_key else "")
    return issued


async def list_budgets(desk: Desk, actor: Actor, query: BudgetQuery) -> list[Budget]:
    """Those of the query in the actor's organisations; `visible` says which of them the actor may see."""
    if demand(actor, "budgets.see") != "everything":
        query = msgspec.structs.replace(query, org_id=organisation_of(actor, query.org_id or None))
    return await find_budgets(desk.store, query)


async def visible(desk: Desk, actor: Actor, found: Sequence[Budget]) -> list[Budget]:
    """Of these, those that the actor may see: a member's own, and those of the member's keys."""
    if reach(actor, "budgets.see") != "own":
        return list(found)
    keys: set[str] = set()
    if any(one.scope == "key" for one in found):
        query = KeyQuery(org_id=actor.org_id, member_id=actor.id, limit=10_000)
        keys = {key.id for key in await find_keys(desk.store, query, desk.now_ms)}
    return [one for one in found if one.scope_id in (keys if one.scope == "key" else {actor.id})]


async def seen_budget(desk: Desk, actor: Actor, budget_id: str) -> Budget:
    """NotFound for one that the actor may not see."""
    found = await get_budget(desk.store, budget_id)
    is_near = found is not None and (reach(actor, "budgets.see") == "everything" or found.org_id == actor.org_id)
    if found is None or not is_near or not await visible(desk, actor, [found]):
        raise NotFound(
            f"there is no budget {budget_id[:60]}; GET /api/v1/management/budgets lists them", param="budget_id"
        )
    return found


async def change(desk: Desk, actor: Actor, budget_id: str, wanted: ChangedBudget) -> Budget:
    """Other terms for a budget that holds."""
    found = await _own(desk, actor, budget_id)
    if found.ended_ms is not None:
        raise InvalidParams(f"the budget {budget_id} has ended; set a new one", param="budget_id")
    kept = await change_budget(
        desk.store,
        budget_id,
        actor,
        desk.now_ms,
        limit_pico_usd=None if wanted.limit_usd is None else _pico(wanted.limit_usd),
        alerts=None if wanted.alerts is None else tuple(sorted(set(wanted.alerts))),
    )
    assert kept is not None, "budgets are never deleted"
    return kept


async def end(desk: Desk, actor: Actor, budget_id: str) -> Budget:
    """From now on it holds nobody back."""
    await _own(desk, actor, budget_id)
    kept = await end_budget(desk.store, budget_id, actor, desk.now_ms)
    assert kept is not None, "budgets are never deleted"
    return kept


async def _own(desk: Desk, actor: Actor, budget_id: str) -> Budget:
    """One that the actor may change."""
    found = await seen_budget(desk, actor, budget_id)
    if not covers(actor, "budgets", found.org_id):
        demand(actor, "budgets")
    return found


async def _scope_id(desk: Desk, org_id: str, wanted: NewBudget) -> str:
    """Of what is there in the organisation."""
    id_ = wanted.scope_id
    if wanted.scope == "organisation":
        if id_ not in ("", org_id):
            raise NotFound(f"there is no organisation {id_}", param="scope_id")
        return org_id
    if not id_:
        raise InvalidParams(f"scope_id: name the {wanted.scope} by its id", param="scope_id")
    found: Any = None
    if wanted.scope == "project":
        found = await projects.project(desk.store, id_)
    elif wanted.scope == "member":
        found = await people.member(desk.store, id_)
    else:
        found = await desk.store.get_key(id_)
    if found is None or found.org_id != org_id:
        raise NotFound(
            f"there is no {wanted.scope} {id_}; GET /api/v1/management/{wanted.scope}s lists them", param="scope_id"
        )
    # Of a rotated key: that of the first, so that it goes on over the next rotation.
    return found.rotated_from or found.id if wanted.scope == "key" else id_


def _pico(amount_usd: Decimal) -> int:
    return int(amount_usd * PICO)


async def _card(desk: Desk, budget: Budget) -> BudgetCard:
    (standing,) = await standings(desk.store, [budget], desk.now_ms)
    return budget_card(standing)


def budget_card(standing: BudgetStanding) -> BudgetCard:
    """For showing."""
    budget = standing.budget
    return BudgetCard(
        id=budget.id,
        organisation=budget.org_id,
        scope=budget.scope,
        scope_id=budget.scope_id,
        period=budget.period,
        limit_usd=usd(budget.limit_pico_usd),
        spent_usd=usd(standing.spent_pico_usd),
        left_usd=usd(standing.left_pico_usd),
        period_started_at=iso(standing.start_ms) if standing.start_ms else None,
        resets_at=iso(standing.ends_ms),
        alerts=list(budget.alerts),
        created_at=iso(budget.created_ms) or "",
        ended_at=iso(budget.ended_ms),
    )

"""`/platform/budgets`: budgets and how they stand; set, changed and ended by administrators. In: a signed-in reader. Out: pages.

The rules are those of the API (`api.management.budgets`): this is a face for them. A member sees their own budgets and those of their keys.
"""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from trunkline.accounts.types import Budget
from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.budgets import (
    ChangedBudget,
    NewBudget,
    change,
    end,
    list_budgets,
    make_budget,
    seen_budget,
    visible,
)
from trunkline.api.management.console import Console
from trunkline.api.management.key_changes import desk_of
from trunkline.errors import RequestError
from trunkline.pricing.money import usd
from trunkline.storage.api_keys import KeyQuery, find_keys
from trunkline.storage.budgets import BudgetQuery, BudgetStanding, standings
from trunkline.storage.people import MemberQuery, find_members, organisation
from trunkline.storage.projects import ProjectQuery, find_projects
from trunkline.web.key_form import MOST_CHOICES, read_form
from trunkline.web.render import pages_of
from trunkline.web.session import ChangingReader, FormFields, PlatformReader, Reader, demand
from trunkline.web.session_key import NAME as SESSION_KEY

PATH = "/platform/budgets"
MOST = 100
PERIODS = (("day", "a day"), ("week", "a week"), ("month", "a month"), ("total", "in all"))
SCOPES = {"organisation": "Organisation", "project": "Project", "member": "Member", "key": "Key"}
NEAR = 0.8
"""Of the limit: from here on the bar warns."""

router = APIRouter(include_in_schema=False)


class BudgetRow(msgspec.Struct, frozen=True):
    """A budget as the list shows it."""

    standing: BudgetStanding
    scope: str
    name: str
    link: str
    period: str
    share: float
    """Of the limit that is spent; 1 where the limit is nothing."""

    @property
    def level(self) -> str:
        return "good" if self.share < NEAR else "fair" if self.share < 1 else "bad"


@router.api_route(PATH, methods=["GET", "HEAD"], response_class=Response)
async def budgets(
    request: Request,
    console: ConsoleOf,
    reader: PlatformReader,
    after: str = "",
    ended: str = "",
    told: str = "",
    key: str = "",
) -> Response:
    """Those that the reader may see, newest first."""
    demand(reader, "budgets.see")
    desk = desk_of(console)
    query = BudgetQuery(ended=bool(ended), after=after[:60], limit=MOST)
    page = await list_budgets(desk, reader.actor, query)
    shown = await standings(console.store, await visible(desk, reader.actor, page), desk.now_ms)
    names = await _names(console, reader)
    view = {
        "rows": [_row(one, names) for one in shown],
        "next": f"{PATH}?after={page[-1].id}{'&ended=1' if ended else ''}" if len(page) == MOST else "",
        "with_ended": bool(ended),
        "told": {
            "set": "The budget is set.",
            "changed": "The budget was changed.",
            "ended": "The budget has ended.",
        }.get(told, ""),
        "faults": [],
        "filled": {"of": f"key:{key}"} if key else {},
    }
    return pages_of(request).page(request, "budgets.html", _form(reader, names) | view)


@router.post(PATH, response_class=Response)
async def make(request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields) -> Response:
    """Set one."""
    demand(reader, "budgets")
    scope, _, scope_id = form.get("of", "").partition(":")
    fields = {
        "scope": scope,
        "scope_id": scope_id,
        "period": form.get("period", ""),
        "limit_usd": _amount(form),
        "alerts": _percents(form),
    }
    wanted, faults = read_form(NewBudget, fields)
    if wanted is not None:
        try:
            await make_budget(desk_of(console), reader.actor, wanted)
            return RedirectResponse(f"{PATH}?told=set", 303)
        except RequestError as error:
            faults = [error.message]
    view = _form(reader, await _names(console, reader)) | {"faults": faults, "filled": form}
    return pages_of(request).page(request, "budget_new.html", view, 400)


@router.api_route(f"{PATH}/{{budget_id}}", methods=["GET", "HEAD"], response_class=Response)
async def show(request: Request, console: ConsoleOf, reader: PlatformReader, budget_id: str) -> Response:
    """One, to be changed or ended."""
    budget = await seen_budget(desk_of(console), reader.actor, budget_id)
    return await _shown(request, console, reader, budget, {})


@router.post(f"{PATH}/{{budget_id}}", response_class=Response)
async def change_it(
    request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields, budget_id: str
) -> Response:
    """Another limit, other alerts."""
    demand(reader, "budgets")
    desk = desk_of(console)
    budget = await seen_budget(desk, reader.actor, budget_id)
    wanted, faults = read_form(ChangedBudget, {"limit_usd": _amount(form), "alerts": _percents(form)})
    if wanted is not None:
        try:
            await change(desk, reader.actor, budget_id, wanted)
            return RedirectResponse(f"{PATH}?told=changed", 303)
        except RequestError as error:
            faults = [error.message]
    return await _shown(request, console, reader, budget, {"faults": faults, "filled": form}, 400)


@router.post(f"{PATH}/{{budget_id}}/end", response_class=Response)
async def end_it(console: ConsoleOf, reader: ChangingReader, budget_id: str) -> Response:
    """It holds nobody back any more."""
    demand(reader, "budgets")
    await end(desk_of(console), reader.actor, budget_id)
    return RedirectResponse(f"{PATH}?told=ended", 303)


Names = dict[tuple[str, str], str]
"""(scope, id) -> name."""


async def _names(console: Console, reader: Reader) -> Names:
    """Of what budgets may be for, as far as the reader may see it."""
    actor = reader.actor
    query = KeyQuery(org_id=actor.org_id, state="valid", limit=MOST_CHOICES)
    if not reader.may("budgets"):
        query = msgspec.structs.replace(query, member_id=actor.id)
    own = await organisation(console.store, actor.org_id)
    found: Names = {("organisation", actor.org_id): own.name if own else actor.org_id}
    for project in await find_projects(
        console.store, ProjectQuery(org_id=actor.org_id, archived=False, limit=MOST_CHOICES)
    ):
        found["project", project.id] = project.name
    if reader.may("members"):
        for member in await find_members(console.store, MemberQuery(org_id=actor.org_id, limit=MOST_CHOICES)):
            found["member", member.id] = member.name or member.email
    else:
        found["member", actor.id] = actor.name
    for key in await find_keys(console.store, query, console.now_ms()):
        if key.name != SESSION_KEY:
            # A budget is of the first of those that took each other's place.
            found["key", key.rotated_from or key.id] = key.name
    return found


def _form(reader: Reader, names: Names) -> dict[str, Any]:
    choices = {
        words: [(f"{scope}:{id_}", name) for (kind, id_), name in names.items() if kind == scope]
        for scope, words in SCOPES.items()
    }
    return {"choices": choices, "periods": PERIODS, "sets": reader.may("budgets")}


def _row(standing: BudgetStanding, names: Names) -> BudgetRow:
    budget = standing.budget
    limit = budget.limit_pico_usd
    share = standing.spent_pico_usd / limit if limit else 1.0
    name = names.get((budget.scope, budget.scope_id), budget.scope_id)
    link = f"/platform/keys/{budget.scope_id}" if budget.scope == "key" else ""
    return BudgetRow(standing, SCOPES[budget.scope], name, link, dict(PERIODS)[budget.period], share)


async def _shown(
    request: Request, console: Console, reader: Reader, budget: Budget, more: dict[str, Any], status: int = 200
) -> Response:
    names = await _names(console, reader)
    (standing,) = await standings(console.store, [budget], console.now_ms())
    filled = {"limit": usd(budget.limit_pico_usd), "alerts": ", ".join(map(str, budget.alerts))}
    view = _form(reader, names) | {"row": _row(standing, names), "faults": [], "filled": filled} | more
    return pages_of(request).page(request, "budget.html", view, status)


def _amount(form: dict[str, str]) -> str:
    return form.get("limit", "").strip().removeprefix("$").replace(",", "")


def _percents(form: dict[str, str]) -> list[str]:
    return form.get("alerts", "").replace("%", " ").replace(",", " ").split()

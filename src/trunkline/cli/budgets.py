"""`trunkline budgets`: the most that may be spent in a period. In: the configuration file, which names the store. Out: a table, or JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from trunkline.cli.desk import at_desk, body, common, date
from trunkline.cli.opening import ROOT

SCOPES = ("organisation", "project", "member", "key")
PERIODS = ("day", "week", "month", "total")
MOST = 100_000


@click.group()
def budgets() -> None:
    """The most that an organisation, project, member or key may spend in a period."""


@budgets.command(name="set")
@click.argument("limit_usd", metavar="USD")
@click.option(
    "--for", "scope", type=click.Choice(SCOPES), default="organisation", show_default=True, help="What it is for."
)
@click.option("--id", "scope_id", default="", help="Of the project, member or key.")
@click.option(
    "--period", type=click.Choice(PERIODS), default="month", show_default=True, help="Of the calendar, in UTC."
)
@click.option(
    "--alert",
    "alerts",
    type=click.IntRange(1, 1000),
    multiple=True,
    help="Percent at which somebody is told [default: 80 and 100].",
)
@click.option("--org", "organisation", help="Organisation [default: the first].")
@common
def set_(
    limit_usd: str,
    scope: str,
    scope_id: str,
    period: str,
    alerts: tuple[int, ...],
    organisation: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Set a budget of so many USD. What was spent in the period before counts too."""
    from trunkline.api.management.budgets import NewBudget, make_budget

    fields = {
        "scope": scope,
        "scope_id": scope_id,
        "period": period,
        "limit_usd": limit_usd,
        "organisation": organisation,
    }
    wanted = body(NewBudget, fields | ({"alerts": list(alerts)} if alerts else {}))

    async def act(desk: Any) -> list[Any]:
        from trunkline.storage.budgets import standings

        return await standings(desk.store, [await make_budget(desk, ROOT, wanted)], desk.now_ms)

    _tell(at_desk(config, act), as_json)


@budgets.command(name="list")
@click.option("--for", "scope", type=click.Choice(SCOPES), default=None, help="Only those for one of these.")
@click.option("--id", "scope_id", default="", help="Of the project, member or key.")
@click.option("--org", "org_id", default="", help="Organisation [default: all].")
@click.option("--ended", is_flag=True, help="Those that have ended, too.")
@common
def list_(scope: str | None, scope_id: str, org_id: str, ended: bool, config: Path | None, as_json: bool) -> None:
    """Show budgets and what is left of them, newest first. Requests under way are not in it."""
    from trunkline.storage.budgets import BudgetQuery, find_budgets, standings

    query = BudgetQuery(org_id, scope or "", scope_id, ended, limit=MOST)

    async def act(desk: Any) -> list[Any]:
        return await standings(desk.store, await find_budgets(desk.store, query), desk.now_ms)

    _tell(at_desk(config, act), as_json)


@budgets.command()
@click.argument("id_", metavar="ID")
@click.option("--limit", "limit_usd", help="USD.")
@click.option(
    "--alert", "alerts", type=click.IntRange(1, 1000), multiple=True, help="Percent at which somebody is told."
)
@common
def change(id_: str, limit_usd: str | None, alerts: tuple[int, ...], config: Path | None, as_json: bool) -> None:
    """Another limit or other alerts, from now on, in the period under way too."""
    from trunkline.api.management.budgets import ChangedBudget
    from trunkline.api.management.budgets import change as change_budget

    if limit_usd is None and not alerts:
        raise click.UsageError("nothing is to be changed; name --limit or --alert")
    wanted = body(ChangedBudget, {"limit_usd": limit_usd, "alerts": list(alerts) or None})

    async def act(desk: Any) -> list[Any]:
        from trunkline.storage.budgets import standings

        return await standings(desk.store, [await change_budget(desk, ROOT, id_, wanted)], desk.now_ms)

    _tell(at_desk(config, act), as_json)


@budgets.command()
@click.argument("id_", metavar="ID")
@common
def end(id_: str, config: Path | None, as_json: bool) -> None:
    """End a budget: it holds nobody back any more."""
    from trunkline.api.management.budgets import end as end_budget

    async def act(desk: Any) -> list[Any]:
        from trunkline.storage.budgets import standings

        return await standings(desk.store, [await end_budget(desk, ROOT, id_)], desk.now_ms)

    _tell(at_desk(config, act), as_json)


def _tell(found: list[Any], as_json: bool) -> None:
    from trunkline.api.management.budgets import budget_card

    cards = [budget_card(one) for one in found]
    if as_json:
        click.echo(json.dumps([card.model_dump() for card in cards]))
        return
    from rich.console import Console
    from rich.table import Column, Table

    columns = ("for", "period", "limit USD", "spent USD", "left USD", "begins anew (UTC)", "state")
    table = Table(Column("id", no_wrap=True), *columns, box=None, header_style="bold")
    for one, card in zip(found, cards, strict=True):
        resets = "never" if one.ends_ms is None else date(one.ends_ms)
        state = "in force" if one.budget.ended_ms is None else f"ended {date(one.budget.ended_ms)}"
        whose = f"{card.scope} {card.scope_id}"
        table.add_row(card.id, whose, card.period, card.limit_usd, card.spent_usd, card.left_usd, resets, state)
    Console(width=None).print(table if found else "There are no budgets; set one with: trunkline budgets set USD")

"""`trunkline audit`: who did what, newest first. In: filters; the configuration file, which names the store. Out: a table, or a line of JSON an act."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from trunkline.cli.opening import open_store
from trunkline.settings import Settings, load_settings

if TYPE_CHECKING:
    from trunkline.accounts.types import AuditEntry
    from trunkline.storage.audit import AuditQuery


@click.command()
@click.option("--actor", default="", help="Id of a member or a key, or `master`.")
@click.option("--action", default="", help="E.g. `key.create`, or `key` for all of these.")
@click.option("--target", default="", help="Id of what was changed.")
@click.option("--org", "org_id", default="", help="Organisation [default: all].")
@click.option("--since", default=None, type=click.DateTime(), help="In UTC.")
@click.option("--until", default=None, type=click.DateTime(), help="In UTC.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 500))
@click.option("--before", default=None, type=click.IntRange(0), help="Number of an act: those that are older.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON an act.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file [default: ./trunkline.toml, if there].",
)
def audit(
    actor: str,
    action: str,
    target: str,
    org_id: str,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    before: int | None,
    as_json: bool,
    config: Path | None,
) -> None:
    """Show the log of administrative acts."""
    from trunkline.storage.audit import AuditQuery

    query = AuditQuery(org_id, actor, action, target, _unix_ms(since), _unix_ms(until), before, limit)
    found = asyncio.run(_find(load_settings(config), query))
    if as_json:
        for act in found:
            click.echo(msgspec.json.encode(act).decode())
        return
    _print_table(found)


async def _find(settings: Settings, query: AuditQuery) -> list[AuditEntry]:
    from trunkline.storage.audit import acts

    async with await open_store(settings) as store:
        return await acts(store, query)


def _print_table(found: list[AuditEntry]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("number", "time (UTC)", "act", "who", "to what", "from", "more", box=None, header_style="bold")
    for act in found:
        more = ", ".join(f"{name}={value}" for name, value in act.detail.items() if value not in ("", None, "{}"))
        at = f"{datetime.fromtimestamp(act.at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
        table.add_row(str(act.number), at, act.action, act.actor_id, act.target, act.address, more)
    Console().print(table if found else "There is no such act.")


def _unix_ms(at: datetime | None) -> int | None:
    return None if at is None else int(at.replace(tzinfo=UTC).timestamp() * 1000)

"""`trunkline ledger`: the statement of an organisation's money, and the proof that it adds up. In: the configuration file, which names the store."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from trunkline.accounts.types import DEFAULT_ORGANISATION
from trunkline.cli.opening import open_store
from trunkline.pricing.money import usd
from trunkline.settings import Settings, load_settings

if TYPE_CHECKING:
    from trunkline.accounts.types import Transaction
    from trunkline.storage.ledger_check import Checked

_CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file [default: ./trunkline.toml, if there].",
)


@click.group()
def ledger() -> None:
    """The double-entry ledger behind credits."""


@ledger.command()
@click.option("--org", "org_id", default=DEFAULT_ORGANISATION, show_default=True, help="Organisation.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--spending", is_flag=True, help="Also what requests spent, a line for each batch.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_CONFIG
def show(org_id: str, limit: int, spending: bool, as_json: bool, config: Path | None) -> None:
    """Transactions, the newest first."""
    found = asyncio.run(_statement(load_settings(config), org_id, limit, spending))
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    for transaction in found:
        at = datetime.fromtimestamp(transaction.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        click.echo(f"{at}  {transaction.kind:<10}  {transaction.actor}  {transaction.note}".rstrip())
        for entry in transaction.entries:
            click.echo(f"    {entry.account:<40} {usd(entry.amount_pico_usd):>24}")


@ledger.command()
@_CONFIG
def check(config: Path | None) -> None:
    """Add everything up anew: transactions, balances, and the charges in all records. Exit code 1 where something differs."""
    found = asyncio.run(_check(load_settings(config)))
    click.echo(
        f"{found.transactions} transactions, {found.records} records, {found.prepaid} of them prepaid: "
        + ("everything adds up." if not found.faults else f"{len(found.faults)} faults.")
    )
    for fault in found.faults:
        click.echo(f"  {fault}", err=True)
    if found.faults:
        raise click.exceptions.Exit(1)


async def _statement(settings: Settings, org_id: str, limit: int, spending: bool) -> list[Transaction]:
    from trunkline.storage.ledger import statement

    async with await open_store(settings) as store:
        return await statement(store, org_id, limit=limit, spending=spending)


async def _check(settings: Settings) -> Checked:
    from trunkline.storage.ledger_check import check as check_ledger

    async with await open_store(settings) as store:
        return await check_ledger(store)

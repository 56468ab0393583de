"""`trunkline credits`: put money in, put it right, see what is left. In: the configuration file, which names the store. Out: a table, or JSON."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trunkline.accounts.types import DEFAULT_ORGANISATION, WalletKind
from trunkline.cli.opening import ROOT, Usd, open_store
from trunkline.pricing.money import usd
from trunkline.settings import Settings, load_settings

if TYPE_CHECKING:
    from trunkline.storage.ledger import Credits

_DAY_S = 86_400


def _common(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all of these have."""
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
    command = click.option("--org", "org_id", default=DEFAULT_ORGANISATION, show_default=True, help="Organisation.")(
        command
    )
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Configuration file [default: ./trunkline.toml, if there].",
    )(command)


@click.group()
def credits() -> None:
    """Money of prepaid organisations: put it in, put it right, see what is left."""


@credits.command()
@click.argument("amount", type=Usd())
@click.option("--kind", type=click.Choice(["top_up", "bonus"]), default="top_up", show_default=True)
@click.option("--name", default="", help="Of the wallet [default: after its kind].")
@click.option("--expires-days", type=click.IntRange(1, 36_500), help="Days until what is left is taken out again.")
@click.option("--note", default="", help="For the statement.")
@click.option("--reference", help="Of this act, e.g. an invoice: the same one, given twice, counts once.")
@_common
def add(
    amount: int,
    kind: WalletKind,
    name: str,
    expires_days: int | None,
    note: str,
    reference: str | None,
    org_id: str,
    config: Path | None,
    as_json: bool,
) -> None:
    """Put AMOUNT (USD) in."""
    from trunkline.storage.ledger import Credit, add_credit

    at_ms = time.time_ns() // 1_000_000
    expires_ms = None if expires_days is None else at_ms + expires_days * _DAY_S * 1000
    credit = Credit(org_id, kind, amount, reference or secrets.token_hex(12), name, expires_ms, note)
    _change(
        load_settings(config),
        org_id,
        lambda store: add_credit(store, credit, ROOT, at_ms=at_ms, new_id=lambda: secrets.token_hex(10)),
        as_json,
    )


@credits.command()
@click.argument("wallet")
@click.argument("amount", type=Usd())
@click.option("--take-out", is_flag=True, help="Take it out of the wallet.")
@click.option("--note", required=True, help="Why.")
@click.option("--reference", help="Of this act: the same one, given twice, counts once.")
@_common
def adjust(
    wallet: str,
    amount: int,
    take_out: bool,
    note: str,
    reference: str | None,
    org_id: str,
    config: Path | None,
    as_json: bool,
) -> None:
    """Put right what is in WALLET: AMOUNT (USD) more, or less."""
    from trunkline.errors import NotFound
    from trunkline.storage.ledger import adjust as adjust_wallet
    from trunkline.storage.queries import Store

    async def change(store: Store) -> None:
        at_ms, name = time.time_ns() // 1_000_000, reference or secrets.token_hex(12)
        more = -amount if take_out else amount
        if await adjust_wallet(store, wallet, more, ROOT, at_ms=at_ms, reference=name, note=note) is None:
            raise NotFound(f"there is no wallet {wallet}; `trunkline credits show` lists them")

    _change(load_settings(config), org_id, change, as_json)


@credits.command()
@click.argument("state", type=click.Choice(["on", "off"]))
@_common
def prepaid(state: str, org_id: str, config: Path | None, as_json: bool) -> None:
    """Have an organisation pay from its wallets (on), or keep an account of its cost only (off)."""
    from trunkline.storage.people import change_organisation

    at_ms = time.time_ns() // 1_000_000
    _change(
        load_settings(config),
        org_id,
        lambda store: change_organisation(store, org_id, {"prepaid": state == "on"}, ROOT, at_ms),
        as_json,
    )


@credits.command()
@_common
def show(org_id: str, config: Path | None, as_json: bool) -> None:
    """What is left, in the order in which it is spent."""

    async def nothing(_: Any) -> None:
        pass

    _change(load_settings(config), org_id, nothing, as_json)


def _change(settings: Settings, org_id: str, change: Callable[[Any], Any], as_json: bool) -> None:
    """Do it, then show what is left."""
    from trunkline.storage.ledger import credits_of

    async def run() -> Credits:
        async with await open_store(settings) as store:
            await change(store)
            return await credits_of(store, org_id)

    found = asyncio.run(run())
    if as_json:
        click.echo(json.dumps(_public(found)))
    else:
        _print(found)


def _print(found: Credits) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(
        Column("wallet", no_wrap=True), "kind", "name", "until (UTC)", Column("left, USD", justify="right"), box=None
    )
    for balance in found.balances:
        wallet = balance.wallet
        until = "" if wallet.expires_ms is None else _date(wallet.expires_ms)
        table.add_row(wallet.id, wallet.kind, wallet.name, until, usd(balance.left_pico_usd))
    if found.balances:
        Console().print(table)
    click.echo(
        f"{found.org_id}: {usd(found.funded_pico_usd)} USD put in, {usd(found.spent_pico_usd)} USD spent, "
        f"{usd(found.left_pico_usd)} USD left"
    )


def _public(found: Credits) -> dict[str, Any]:
    return {
        "organisation": found.org_id,
        "funded_usd": usd(found.funded_pico_usd),
        "spent_usd": usd(found.spent_pico_usd),
        "left_usd": usd(found.left_pico_usd),
        "wallets": [
            {
                "id": one.wallet.id,
                "kind": one.wallet.kind,
                "name": one.wallet.name,
                "expires_ms": one.wallet.expires_ms,
                "left_usd": usd(one.left_pico_usd),
            }
            for one in found.balances
        ],
    }


def _date(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")

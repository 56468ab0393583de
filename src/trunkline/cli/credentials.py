"""`trunkline credentials`: keys of providers that the store keeps, encrypted. In: the configuration file; a key from standard input. Out: a table, or JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from trunkline.cli.desk import body, common
from trunkline.cli.opening import ROOT, open_store
from trunkline.settings import load_settings

if TYPE_CHECKING:
    from trunkline.accounts.types import StoredCredential
    from trunkline.api.management.console import Console

Answer = TypeVar("Answer")


@click.group()
def credentials() -> None:
    """Keys of providers that the store keeps, encrypted, beside those of files and environment."""


@credentials.command()
@click.argument("provider")
@click.option("--name", default="", help="To tell it apart.")
@click.option("--member", "member_id", default="", help="Whose own it is, by id [default: the organisation's].")
@click.option("--org", "organisation", help="Organisation [default: the first].")
@common
def add(provider: str, name: str, member_id: str, organisation: str | None, config: Path | None, as_json: bool) -> None:
    """Keep a key of PROVIDER: from standard input, or typed. Gateways use it within a second."""
    from trunkline.api.management.stored_credentials import NewCredential, keep

    fields = {"provider": provider, "name": name, "member_id": member_id, "organisation": organisation}
    wanted = body(NewCredential, fields | {"secret": _secret()})
    _tell([_ask(config, lambda console: keep(console, ROOT, wanted))], as_json)


@credentials.command(name="list")
@click.option("--provider", default="", help="Of this one alone.")
@click.option("--org", "organisation", help="Organisation [default: the first].")
@click.option("--revoked", is_flag=True, help="The revoked ones, too.")
@common
def list_(provider: str, organisation: str | None, revoked: bool, config: Path | None, as_json: bool) -> None:
    """Show what is kept, newest first; of each only the end of its secret."""
    from trunkline.api.management.stored_credentials import seen

    found = _ask(config, lambda console: seen(console, ROOT, organisation, provider=provider))
    _tell([one for one in found if revoked or one.revoked_ms is None], as_json)


@credentials.command()
@click.argument("id_", metavar="ID")
@common
def rotate(id_: str, config: Path | None, as_json: bool) -> None:
    """Put another key in its place: from standard input, or typed."""
    from trunkline.api.management.stored_credentials import NewSecret, renew

    wanted = body(NewSecret, {"secret": _secret()})
    _tell([_ask(config, lambda console: renew(console, ROOT, id_, wanted))], as_json)


@credentials.command()
@click.argument("id_", metavar="ID")
@common
def revoke(id_: str, config: Path | None, as_json: bool) -> None:
    """Use it no more, and delete what is kept of it. At the provider it goes on holding."""
    from trunkline.api.management.stored_credentials import revoke as revoke_credential

    _tell([_ask(config, lambda console: revoke_credential(console, ROOT, id_))], as_json)


def _secret() -> str:
    """Never an option: other users of the machine see those."""
    if sys.stdin.isatty():
        return str(click.prompt("The provider's key", hide_input=True))
    return sys.stdin.read().strip()


def _ask(config: Path | None, act: Callable[[Console], Awaitable[Answer]]) -> Answer:
    from trunkline.api.management.console import Console

    settings = load_settings(config)

    async def ask() -> Answer:
        async with await open_store(settings):
            pass
        console = await Console.open(settings)
        try:
            return await act(console)
        finally:
            await console.close()

    return asyncio.run(ask())


def _tell(found: list[StoredCredential], as_json: bool) -> None:
    import msgspec

    if as_json:
        click.echo(json.dumps([msgspec.structs.asdict(one) for one in found]))
        return
    from rich.console import Console
    from rich.table import Column, Table

    from trunkline.cli.desk import date

    table = Table(
        Column("id", no_wrap=True),
        "provider",
        "name",
        "for",
        "ends in",
        "since (UTC)",
        "state (UTC)",
        box=None,
        header_style="bold",
    )
    for one in found:
        whose = one.member_id or one.org_id
        state = "in use" if one.revoked_ms is None else f"revoked {date(one.revoked_ms)}"
        table.add_row(one.id, one.provider, one.name, whose, one.hint, date(one.created_ms), state)
    Console().print(table if found else "None is kept; keep one with: trunkline credentials add PROVIDER")

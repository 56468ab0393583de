"""`trunkline organisations`: who shares an installation. In: the configuration file, which names the store. Out: a table, or JSON."""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from trunkline.accounts.types import Organisation
from trunkline.cli.opening import ROOT, ask_store, common_options
from trunkline.settings import load_settings

MOST = 10_000


@click.group()
def organisations() -> None:
    """Who shares this installation: make, list, rename; let one pay beforehand."""


@organisations.command(name="list")
@common_options
def list_(config: Path | None, as_json: bool) -> None:
    """Show all organisations, the oldest first."""
    from trunkline.storage.people import find_organisations

    found = ask_store(load_settings(config), lambda store: find_organisations(store, limit=MOST))
    if as_json:
        click.echo(json.dumps([msgspec.structs.asdict(one) for one in found]))
        return
    _print_table(found)


@organisations.command()
@click.argument("name")
@click.option("--prepaid", is_flag=True, help="Its requests are paid from its wallets.")
@common_options
def create(name: str, prepaid: bool, config: Path | None, as_json: bool) -> None:
    """Make an organisation with this NAME."""
    from trunkline.storage.people import make_organisation

    new = Organisation(f"org_{secrets.token_hex(10)}", _checked(name), _now_ms(), prepaid)
    kept = ask_store(load_settings(config), lambda store: make_organisation(store, new, ROOT))
    _tell(kept, "is made", as_json=as_json)


@organisations.command()
@click.argument("id_", metavar="ID")
@click.argument("name")
@common_options
def rename(id_: str, name: str, config: Path | None, as_json: bool) -> None:
    """Give the organisation with this ID another NAME."""
    _change(config, id_, {"name": _checked(name)}, "is renamed", as_json=as_json)


@organisations.command()
@click.argument("id_", metavar="ID")
@click.argument("on", metavar="on|off", type=click.Choice(["on", "off"]))
@common_options
def prepaid(id_: str, on: str, config: Path | None, as_json: bool) -> None:
    """Have the requests of the organisation with this ID paid from its wallets, and refused when these are empty; or not."""
    _change(
        config, id_, {"prepaid": on == "on"}, "is prepaid" if on == "on" else "is not prepaid any more", as_json=as_json
    )


def _change(config: Path | None, id_: str, changed: dict[str, str | bool], what: str, *, as_json: bool) -> None:
    from trunkline.storage.people import change_organisation

    after = ask_store(load_settings(config), lambda store: change_organisation(store, id_, changed, ROOT, _now_ms()))
    _tell(after, what, as_json=as_json)


def _checked(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= 100:
        raise click.UsageError("a name has 1 to 100 characters")
    return name


def _tell(one: Organisation, what: str, *, as_json: bool) -> None:
    click.echo(json.dumps(msgspec.structs.asdict(one)) if as_json else f"{one.id} ({one.name}) {what}.")


def _print_table(found: list[Organisation]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column("id", no_wrap=True), "name", "prepaid", "made (UTC)", box=None, header_style="bold")
    for one in found:
        made = f"{datetime.fromtimestamp(one.created_ms / 1000, UTC):%Y-%m-%d %H:%M}"
        table.add_row(one.id, one.name, "yes" if one.prepaid else "no", made)
    Console().print(table)


def _now_ms() -> int:
    return int(time.time() * 1000)

"""`trunkline keys`: make, list and revoke API keys. In: the configuration file, which names the store. Out: a table, or
JSON for programs. A secret is shown when its key is made, and never again."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from trunkline.accounts.keys import ApiKey, IssuedKey, is_valid, issue_key
from trunkline.accounts.secrets_file import load_or_make
from trunkline.settings import Settings, load_settings

if TYPE_CHECKING:
    from trunkline.storage.queries import Store

_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class _Lifetime(click.ParamType[int]):
    """`30d`, `12h`: a whole number and a unit. Gives seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([1-9][0-9]{0,5})([smhdw])", value)
        if match is None:
            self.fail(f"{value!r} is no time; write for example 90s, 15m, 12h, 30d or 8w", param, ctx)
        return int(match[1]) * _UNIT_S[match[2]]


def _common(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all three commands have."""
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Configuration file [default: ./trunkline.toml, if there].",
    )(command)


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.option("--name", default="unnamed", show_default=True, help="Who or what the key is for.")
@click.option("--expires", "expires_s", type=_Lifetime(), help="End of the key from now on, e.g. 30d [default: never].")
@click.option("--zero-retention", is_flag=True, help="Store no responses and no state of what is said with it.")
@_common
def create(name: str, expires_s: int | None, zero_retention: bool, config: Path | None, as_json: bool) -> None:
    """Make a key. Its secret is shown this once."""
    settings = load_settings(config)
    now_ms = _now_ms()
    expires_ms = None if expires_s is None else now_ms + expires_s * 1000
    pepper = load_or_make(settings.secrets_path).pepper
    issued = issue_key(
        name, pepper, secrets.token_bytes, now_ms=now_ms, expires_ms=expires_ms, zero_retention=zero_retention
    )
    asyncio.run(_keep(settings, issued.key))
    if as_json:
        click.echo(json.dumps({"secret": issued.secret, **_public(issued.key)}))
        return
    _print_issued(issued)


@keys.command(name="list")
@_common
def list_(config: Path | None, as_json: bool) -> None:
    """Show all keys, newest first; of each only the end of its secret."""
    found = asyncio.run(_list(load_settings(config)))
    if as_json:
        click.echo(json.dumps([_public(key) for key in found]))
        return
    _print_table(found, _now_ms())


@keys.command()
@click.argument("id_", metavar="ID")
@_common
def revoke(id_: str, config: Path | None, as_json: bool) -> None:
    """End a key for good. Requests that are under way go on; the next ones are refused."""
    key = asyncio.run(_revoke(load_settings(config), id_))
    if key is None:
        raise click.ClickException(f"there is no key {id_}; `trunkline keys list` shows them")
    if as_json:
        click.echo(json.dumps(_public(key)))
        return
    click.echo(f"{key.id} ({key.name}) is revoked.")


async def _keep(settings: Settings, key: ApiKey) -> None:
    async with await _open(settings) as store:
        await store.create_key(key)


async def _list(settings: Settings) -> list[ApiKey]:
    async with await _open(settings) as store:
        return await store.list_keys()


async def _revoke(settings: Settings, id_: str) -> ApiKey | None:
    async with await _open(settings) as store:
        return await store.revoke_key(id_, now_ms=_now_ms())


async def _open(settings: Settings) -> Store:
    """The store, made or brought up to date first: keys may be made before the gateway's first start."""
    from trunkline.storage.migrate import is_current, upgrade
    from trunkline.storage.queries import Store

    if not is_current(settings.store.url):
        await asyncio.to_thread(upgrade, settings.store.url)
    return await Store.open(settings.store.url)


def _print_issued(issued: IssuedKey) -> None:
    click.echo(f"{issued.secret}\n")
    click.secho("This is the only time that the key is shown: keep it now.", bold=True, err=True)
    click.echo(f"{issued.key.id} ({issued.key.name}), {_state(issued.key, issued.key.created_ms)}", err=True)


def _print_table(found: list[ApiKey], now_ms: int) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    id_ = Column("id", no_wrap=True)
    table = Table(id_, "name", "ends in", "made (UTC)", "state (UTC)", box=None, header_style="bold")
    for key in found:
        table.add_row(key.id, key.name, key.hint, _date(key.created_ms), _state(key, now_ms))
    Console().print(table if found else "There are no keys yet; make one with: trunkline keys create --name NAME")


def _state(key: ApiKey, now_ms: int) -> str:
    if key.revoked_ms is not None:
        return f"revoked {_date(key.revoked_ms)}"
    if not is_valid(key, now_ms):
        return f"expired {_date(key.expires_ms or now_ms)}"
    return "valid" if key.expires_ms is None else f"until {_date(key.expires_ms)}"


def _date(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _public(key: ApiKey) -> dict[str, Any]:
    """Without the hash: nobody needs it who may see this."""
    fields = msgspec.structs.asdict(key)
    fields.pop("hash")
    return fields


def _now_ms() -> int:
    return int(time.time() * 1000)

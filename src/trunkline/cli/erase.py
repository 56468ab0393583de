"""`trunkline erase`: takes out of the store what tells who somebody was. In: the configuration file, which names the store; an id. Out: what was taken out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trunkline.cli.opening import ROOT, open_store
from trunkline.settings import Settings, load_settings

if TYPE_CHECKING:
    from trunkline.storage.erase import Erased


def _common(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--yes", is_flag=True, help="Do not ask.")(command)
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Configuration file [default: ./trunkline.toml, if there].",
    )(command)


@click.group()
def erase() -> None:
    """Take out what tells who somebody was; what their requests cost stays. It cannot be undone."""


@erase.command()
@click.argument("id_", metavar="ID")
@_common
def member(id_: str, yes: bool, config: Path | None) -> None:
    """Of a member: name, address, password, keys, and what is kept of their requests."""
    from trunkline.storage.erase import erase_member

    _confirm(yes, f"Member {id_} is disabled, and everything that tells who it was is taken out.")
    _run(load_settings(config), erase_member, id_)


@erase.command(name="end-user")
@click.argument("id_", metavar="ID")
@_common
def end_user(id_: str, yes: bool, config: Path | None) -> None:
    """Of an application's user: what is kept of requests that named ID as `session_id`, `prompt_cache_key` or `metadata.user_id`."""
    from trunkline.storage.erase import erase_end_user

    _confirm(yes, "Everything that is kept of this user's requests, but for their cost, is taken out.")
    _run(load_settings(config), erase_end_user, id_)


def _confirm(yes: bool, words: str) -> None:
    if not yes:
        click.confirm(f"{words} It cannot be undone. Go on?", abort=True, err=True)


def _run(settings: Settings, act: Callable[..., Any], id_: str) -> None:
    async def run() -> Erased:
        async with await open_store(settings) as store:
            erased: Erased = await act(store, settings.store.url, id_, ROOT, time.time_ns() // 1_000_000)
            return erased

    erased = asyncio.run(run())
    click.echo(
        f"Taken out: what {erased.records} records said of the caller, {erased.bodies} bodies, {erased.kept} kept answers. "
        "Copies of the store, and exports, still have it."
    )

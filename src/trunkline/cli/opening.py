"""What commands over accounts share: their options, the open store, and who acts. In: settings. Out: a store of the current schema."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from trunkline.accounts.keys import MASTER_ID
from trunkline.accounts.types import Actor
from trunkline.pricing.money import pico_usd
from trunkline.settings import Settings

if TYPE_CHECKING:
    from trunkline.storage.queries import Store

Answer = TypeVar("Answer")
ROOT = Actor("master", MASTER_ID, "master key", "admin", address="command line")
"""Whoever may read the secrets file may do everything."""


async def open_store(settings: Settings) -> Store:
    """The store, made or brought up to date first."""
    from trunkline.storage.migrate import is_current, upgrade
    from trunkline.storage.queries import Store

    if not await asyncio.to_thread(is_current, settings.store.url):
        await asyncio.to_thread(upgrade, settings.store.url)
    return await Store.open(settings.store.url)


def ask_store(settings: Settings, question: Callable[[Store], Awaitable[Answer]]) -> Answer:
    """The answer to one question."""

    async def ask() -> Answer:
        async with await open_store(settings) as store:
            return await question(store)

    return asyncio.run(ask())


def common_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--config` and `--json`."""
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Configuration file [default: ./trunkline.toml, if there].",
    )(command)


class Usd(click.ParamType[int]):
    """`12.50`, in USD. Gives pico-USD."""

    name = "usd"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return pico_usd(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)

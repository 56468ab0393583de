"""What commands over accounts share: the open store, and who acts. In: settings. Out: a store of the current schema."""

import asyncio
from typing import TYPE_CHECKING

import click

from trunkline.accounts.keys import MASTER_ID
from trunkline.accounts.types import Actor
from trunkline.pricing.money import pico_usd
from trunkline.settings import Settings

if TYPE_CHECKING:
    from trunkline.storage.queries import Store

ROOT = Actor("master", MASTER_ID, "master key", "admin", address="command line")
"""Whoever may read the secrets file may do everything."""


async def open_store(settings: Settings) -> "Store":
    """The store, made or brought up to date first."""
    from trunkline.storage.migrate import is_current, upgrade
    from trunkline.storage.queries import Store

    if not await asyncio.to_thread(is_current, settings.store.url):
        await asyncio.to_thread(upgrade, settings.store.url)
    return await Store.open(settings.store.url)


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

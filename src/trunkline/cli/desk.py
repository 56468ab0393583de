"""What `keys`, `budgets` and `credentials` have in common: their options, the store, JSON and dates. In: the configuration file. Out: answers of the store."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trunkline.accounts.secrets_file import load_or_make
from trunkline.cli.opening import open_store
from trunkline.settings import Settings, load_settings

if TYPE_CHECKING:
    from pydantic import BaseModel

    from trunkline.api.management.key_changes import Desk

_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
Answer = TypeVar("Answer")
Body = TypeVar("Body", bound="BaseModel")


class Lifetime(click.ParamType[int]):
    """`30d`, `12h`: a whole number and a unit. Gives seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([1-9][0-9]{0,5})([smhdw])", value)
        if match is None:
            self.fail(f"{value!r} is no time; write for example 90s, 15m, 12h, 30d or 8w", param, ctx)
        return int(match[1]) * _UNIT_S[match[2]]


def common(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all of these have."""
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Configuration file [default: ./trunkline.toml, if there].",
    )(command)


def at_desk(config: Path | None, act: Callable[[Desk], Awaitable[Answer]], *, names_models: bool = False) -> Answer:
    """Do it over the store of a configuration. `names_models`: the whole catalog is needed, not only what is shipped."""
    from trunkline.api.management.key_changes import Desk
    from trunkline.catalog.load import shipped_catalog
    from trunkline.snapshot import build_with_servers

    settings = load_settings(config)
    catalog = build_with_servers(settings, {}).catalog if names_models else shipped_catalog()

    async def acted() -> Answer:
        async with await open_store(settings) as store:
            return await act(Desk(store, catalog, pepper_of(settings), now_ms(), secrets.token_bytes))

    return asyncio.run(acted())


def body(kind: type[Body], fields: dict[str, Any]) -> Body:
    """Options as a body of the API, checked by its rules; what is None was not given."""
    from pydantic import ValidationError

    try:
        return kind.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise click.ClickException(f"{place}: {first['msg']}" if place else str(first["msg"])) from None


def pepper_of(settings: Settings) -> bytes:
    return load_or_make(settings.secrets_path).pepper


def now_ms() -> int:
    return int(time.time() * 1000)


def date(time_ms: int) -> str:
    """In UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")

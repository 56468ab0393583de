"""`trunkline export records`: all records of a time as a file. In: the configuration file, which names the store; a format. Out: the file."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click

from trunkline.cli.opening import open_store
from trunkline.records.export import WRITERS, Format
from trunkline.settings import Settings, load_settings

_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


@click.group()
def export() -> None:
    """Write what the store holds to files that other programs read."""


@export.command()
@click.option("--format", "format_", type=click.Choice(["csv", "jsonl", "parquet"]), default="csv", show_default=True)
@click.option("--since", type=_MOMENT, help="First day or moment, in UTC [default: the first record].")
@click.option("--until", type=_MOMENT, help="End, not included, in UTC [default: now].")
@click.option("--org", "org_id", default="", help="Only requests with keys of this organisation.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The file [default: standard output].")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file [default: ./trunkline.toml, if there].",
)
def records(
    format_: Format, since: datetime | None, until: datetime | None, org_id: str, out: Path | None, config: Path | None
) -> None:
    """Write the records of a time, the oldest first. Nothing needs to be stopped for it."""
    settings = load_settings(config)
    span = _unix_ms(since, 0.0), _unix_ms(until, time.time() * 1000)
    if out is None:
        asyncio.run(_write(settings, format_, span, org_id, sys.stdout.buffer))
        return
    with _opened(out) as file:
        count = asyncio.run(_write(settings, format_, span, org_id, file))
    click.echo(f"{count} records are in {out}.", err=True)


async def _write(settings: Settings, format_: Format, span: tuple[float, float], org_id: str, file: BinaryIO) -> int:
    from trunkline.storage.export import Span, pieces

    writer, count = WRITERS[format_](), 0
    async with await open_store(settings) as store:
        file.write(writer.start())
        async for found in pieces(store, Span(*span, org_id)):
            file.write(writer.add(found))
            count += len(found)
        file.write(writer.end())
        file.flush()
    return count


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("xb")
    except FileExistsError:
        raise click.ClickException(f"{path} is there already; name another file, or remove it") from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None


def _unix_ms(moment: datetime | None, otherwise: float) -> float:
    return otherwise if moment is None else moment.replace(tzinfo=UTC).timestamp() * 1000

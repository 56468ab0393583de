"""`GET /api/v1/management/records/export`: all records of a time as a file. In: a format, a time. Out: CSV, JSON lines or Parquet, as it is made."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from trunkline.accounts.roles import organisation_of
from trunkline.accounts.types import Actor
from trunkline.api.management.access import ConsoleOf, allowed
from trunkline.errors import ConfigError, InvalidParams
from trunkline.records.export import MEDIA_TYPES, WRITERS, Format, Writer
from trunkline.storage.export import Span, pieces
from trunkline.storage.queries import Store

router = APIRouter()


@router.get("/api/v1/management/records/export", response_class=StreamingResponse)
async def export_records(
    console: ConsoleOf,
    actor: Annotated[Actor, Depends(allowed("export"))],
    format: Format = "csv",
    since: Annotated[datetime | None, Query(description="First moment; without an offset it is UTC.")] = None,
    until: Annotated[datetime | None, Query(description="End, not included; now, where there is none.")] = None,
    organisation: Annotated[str | None, Query(max_length=100)] = None,
) -> StreamingResponse:
    """The oldest first. Administrators get the requests of their organisation, the master key all of them, or those of the one that it names.

    A very long answer is cut after five minutes: ask for it by days, or use `trunkline export`.
    """
    org_id = "" if actor.kind == "master" and not organisation else organisation_of(actor, organisation)
    span = Span(_unix_ms(since, 0.0), _unix_ms(until, console.now_ms()), org_id)
    try:
        writer = WRITERS[format]()
    except ConfigError as error:
        raise InvalidParams(str(error), param="format") from error
    headers = {"content-disposition": f'attachment; filename="records.{format}"', "cache-control": "no-store"}
    return StreamingResponse(_written(console.store, span, writer), media_type=MEDIA_TYPES[format], headers=headers)


async def _written(store: Store, span: Span, writer: Writer) -> AsyncIterator[bytes]:
    yield writer.start()
    async for found in pieces(store, span):
        # In a thread: the console has pages to answer meanwhile.
        yield await asyncio.to_thread(writer.add, found)
    yield await asyncio.to_thread(writer.end)


def _unix_ms(moment: datetime | None, otherwise: float) -> float:
    if moment is None:
        return otherwise
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000

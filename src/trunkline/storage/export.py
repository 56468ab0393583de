"""All records of a time, piece by piece, the oldest first. In: a `Span`. Out: lists of records, in a memory that does not grow with them.

Each piece is a question of its own, which goes on behind the last record of the one before: an export holds no transaction open, however long it takes.
"""

from collections.abc import AsyncIterator

import msgspec
from sqlalchemy import ColumnElement, Connection, or_, select, tuple_

from trunkline.accounts.keys import MASTER_ID
from trunkline.accounts.types import DEFAULT_ORGANISATION
from trunkline.records.types import Record
from trunkline.storage.columns import RECORD_COLUMNS
from trunkline.storage.queries import Store
from trunkline.storage.rows import read_record
from trunkline.storage.schema import api_keys, records

PIECE = 1_000
_RECORD = tuple(records.c[name] for name in RECORD_COLUMNS)
_PLACE = (records.c.received_ms, records.c.id)


class Span(msgspec.Struct, frozen=True):
    """Requests that were received from `since_ms` on and before `until_ms`. `org_id`: asked with keys of one organisation; empty: of all."""

    since_ms: float
    until_ms: float
    org_id: str = ""


async def pieces(store: Store, span: Span, size: int = PIECE) -> AsyncIterator[list[Record]]:
    """Every record of the span once."""
    place: tuple[float, str] | None = None
    while True:
        found = await store.ask(lambda connection, place=place: _piece(connection, span, place, size))  # type: ignore[misc]
        if found:
            yield found
        if len(found) < size:
            return
        place = found[-1].received_ms, found[-1].id


def _piece(connection: Connection, span: Span, place: tuple[float, str] | None, size: int) -> list[Record]:
    received = records.c.received_ms
    conditions: list[ColumnElement[bool]] = [received >= span.since_ms, received < span.until_ms]
    if place is not None:
        conditions += [received >= place[0], tuple_(*_PLACE) > tuple_(*place)]
    if span.org_id:
        conditions.append(of_organisation(span.org_id))
    query = select(*_RECORD).where(*conditions).order_by(*_PLACE).limit(size)
    return [read_record(row) for row in connection.execute(query)]


def of_organisation(org_id: str) -> ColumnElement[bool]:
    """Of records: asked with one of its keys. The master key belongs to the first organisation."""
    ours = records.c.key_id.in_(select(api_keys.c.id).where(api_keys.c.org_id == org_id))
    return or_(ours, records.c.key_id == MASTER_ID) if org_id == DEFAULT_ORGANISATION else ours

"""How a store stands: how much it holds, how far its figures are. In: an open store. Out: `Standing`, from a handful of rows."""

import sqlite3
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, func, literal_column, select

from trunkline.storage.columns import FOLDED, OFFERS_ROLLED, USE_ROLLED
from trunkline.storage.migrate import HEAD
from trunkline.storage.queries import Store
from trunkline.storage.schema import meta, records

_LAST: Select[Any] = select(func.max(literal_column("rowid"))).select_from(records)
_FIRST_MS = select(func.min(records.c.received_ms))
_LAST_MS = select(func.max(records.c.received_ms))


class Standing(msgspec.Struct, frozen=True):
    """`written` counts records by their numbers, without reading them; `folded` are those of them that the figures hold. Times are Unix."""

    written: int
    folded: int
    first_ms: float | None
    last_ms: float | None
    offers_rolled_s: int
    """Until when minutes are part of the rows of hours and days."""
    use_rolled_s: int
    schema: str = HEAD
    sqlite: str = sqlite3.sqlite_version


async def standing(store: Store) -> Standing:
    """As it is now."""
    return await store.ask(_look)


def _look(connection: Connection) -> Standing:
    marks = {row.key: row.value for row in connection.execute(select(meta.c.key, meta.c.value))}
    return Standing(
        written=connection.execute(_LAST).scalar() or 0,
        folded=int(marks.get(FOLDED, 0)),
        first_ms=connection.execute(_FIRST_MS).scalar(),
        last_ms=connection.execute(_LAST_MS).scalar(),
        offers_rolled_s=int(marks.get(OFFERS_ROLLED, 0)),
        use_rolled_s=int(marks.get(USE_ROLLED, 0)),
    )

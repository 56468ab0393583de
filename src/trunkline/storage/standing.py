"""How a store stands: how much it holds, how far its figures are. In: an open store. Out: `Standing`, from a handful of rows."""

import sqlite3

import msgspec
from sqlalchemy import JSON, Connection, and_, cast, func, or_, select, text

from trunkline.records.figures import DAY_S, HOUR_S
from trunkline.storage.columns import FOLDED, OFFERS_ROLLED, USE_ROLLED
from trunkline.storage.migrate import HEAD
from trunkline.storage.order import newest
from trunkline.storage.queries import Store
from trunkline.storage.schema import meta, records, unfolded, use_rollups

_FIRST_MS = select(func.min(records.c.received_ms))
_LAST_MS = select(func.max(records.c.received_ms))
_WAITING = select(func.sum(func.json_array_length(cast(unfolded.c.record_ids, JSON))))
_VERSION = text("SHOW server_version")


class Standing(msgspec.Struct, frozen=True):
    """`written` counts records by their numbers, without reading them; `folded` are those of them that the figures hold. Times are Unix."""

    written: int
    folded: int
    first_ms: float | None
    last_ms: float | None
    offers_rolled_s: int
    """Until when minutes are part of the rows of hours and days."""
    use_rolled_s: int
    engine: str
    """`SQLite` or `PostgreSQL`."""
    version: str
    schema: str = HEAD


async def standing(store: Store) -> Standing:
    """As it is now."""
    return await store.ask(_look)


def _look(connection: Connection) -> Standing:
    marks = {row.key: row.value for row in connection.execute(select(meta.c.key, meta.c.value))}
    is_postgres = connection.dialect.name == "postgresql"
    written, folded = (
        _counts(connection, int(marks.get(USE_ROLLED, 0)))
        if is_postgres
        else (newest(connection), int(marks.get(FOLDED, 0)))
    )
    return Standing(
        written=written,
        folded=folded,
        first_ms=connection.execute(_FIRST_MS).scalar(),
        last_ms=connection.execute(_LAST_MS).scalar(),
        offers_rolled_s=int(marks.get(OFFERS_ROLLED, 0)),
        use_rolled_s=int(marks.get(USE_ROLLED, 0)),
        engine="PostgreSQL" if is_postgres else "SQLite",
        version=_postgres_version(connection) if is_postgres else sqlite3.sqlite_version,
    )


def _postgres_version(connection: Connection) -> str:
    # "15.8 (Debian 15.8-0+deb12u1)"
    return str(connection.execute(_VERSION).scalar_one()).partition(" ")[0]


def _counts(connection: Connection, rolled_s: int) -> tuple[int, int]:
    """Of PostgreSQL, whose rows have no numbers: what the rollups hold, and what is to come to them."""
    rows = use_rollups.c
    whole = and_(rows.width_s == HOUR_S, rows.start_s >= rolled_s)
    folded = connection.execute(select(func.sum(rows.requests)).where(or_(rows.width_s == DAY_S, whole))).scalar()
    waiting = connection.execute(_WAITING).scalar()
    return int(folded or 0) + int(waiting or 0), int(folded or 0)

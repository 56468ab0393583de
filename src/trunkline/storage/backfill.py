"""Puts a made-up past into a new store. In: its URL, records that no request caused, oldest first. Out: rollups of them all; the last records.

For the demo and for tests. The store remembers until when its figures are made up, so that pages can say so.
"""

import sqlite3
from collections import deque
from collections.abc import Iterable
from itertools import islice

from sqlalchemy import Connection, select

from trunkline.errors import StoreError
from trunkline.records.types import Record
from trunkline.storage import rows
from trunkline.storage.columns import MADE_UP_UNTIL, RECORD_COLUMNS
from trunkline.storage.queries import Store
from trunkline.storage.rollups import Rollups, progress, start_anew
from trunkline.storage.schema import meta
from trunkline.storage.sqlite_file import connect
from trunkline.storage.statements import insert
from trunkline.storage.url import sqlite_path
from trunkline.storage.writer_claim import WriterClaim

_AT_ONCE = 2_000
_INSERT_RECORDS = insert("records", RECORD_COLUMNS, "DO NOTHING")
_REMEMBER = "INSERT INTO meta (key, value) VALUES (?, ?)"


def backfill(url: str, records: Iterable[Record], now_ms: float, keep: int) -> int:
    """How many records went into the rollups; the last `keep` are kept as such. StoreError where the store has records already, or a gateway writes to it."""
    path = sqlite_path(url)
    with WriterClaim(url):
        connection = connect(path)
        try:
            connection.execute("BEGIN IMMEDIATE")
            if progress(connection)[1]:
                raise StoreError(f"{path}: has records already; a past can be made up for a new store only")
            count = _fill(connection, iter(records), now_ms, keep)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from error
        finally:
            connection.close()
    return count


async def made_up_until_ms(store: Store) -> int | None:
    """Figures and records before this time (Unix) are made up; None where none are."""
    query = select(meta.c.value).where(meta.c.key == MADE_UP_UNTIL)

    def ask(connection: Connection) -> int | None:
        found = connection.execute(query).scalar()
        return None if found is None else int(found)

    return await store.ask(ask)


def _fill(connection: sqlite3.Connection, records: Iterable[Record], now_ms: float, keep: int) -> int:
    start_anew(connection, now_ms)
    rollups, last, count = Rollups(), deque[Record](maxlen=keep), 0
    while some := list(islice(records, _AT_ONCE)):
        # What is seen is all there is: no record lies behind it.
        rollups.folded(is_all=True)
        rollups.see(some)
        rollups.fold(connection, now_ms)
        last.extend(some)
        count += len(some)
    _INSERT_RECORDS.run(connection, map(rows.RecordEncoder().row, last))
    # These are in the rollups: the mark goes over them.
    rollups.folded(is_all=True)
    rollups.fold(connection, now_ms)
    connection.execute(_REMEMBER, (MADE_UP_UNTIL, str(int(now_ms))))
    return count

"""Makes all rollups anew from the records. In: the store's URL. Out: rows as if they had been kept up from the first record on; progress meanwhile.

For a store whose figures are in doubt. Stopped half-way, the gateway goes on with it by itself.
"""

import sqlite3
from collections.abc import Callable

from trunkline.errors import StoreError
from trunkline.storage.rollups import Rollups, progress, start_anew
from trunkline.storage.sqlite_file import connect
from trunkline.storage.url import PostgresStore, store_of
from trunkline.storage.writer_claim import WriterClaim


def rebuild(url: str, now_ms: float, on_progress: Callable[[int, int], None]) -> None:
    """`on_progress` is given how far it is, of how much. StoreError where a gateway is writing to the file, or the store cannot be written."""
    store = store_of(url)
    if isinstance(store, PostgresStore):
        from trunkline.storage import postgres_rebuild

        return postgres_rebuild.rebuild(store, now_ms, on_progress)
    path = store.path
    with WriterClaim(url):
        connection = connect(path)
        try:
            _rebuild(connection, now_ms, on_progress)
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from error
        finally:
            connection.close()
    return None


def _rebuild(connection: sqlite3.Connection, now_ms: float, on_progress: Callable[[int, int], None]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    start_anew(connection, now_ms)
    connection.execute("COMMIT")
    rollups, is_all = Rollups(), False
    while not is_all:
        on_progress(*progress(connection))
        connection.execute("BEGIN IMMEDIATE")
        is_all = rollups.fold(connection, now_ms)
        connection.execute("COMMIT")
        rollups.folded(is_all=is_all)
    on_progress(*progress(connection))

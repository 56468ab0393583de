"""Makes all rollups anew on PostgreSQL, also while gateways write. In: the store. Out: rows as if they had been kept up from the first record on.

All records are marked as not folded, in the transaction that deletes the rows; then they are folded like those that a dead gateway left, piece by piece.
Stopped half-way, the gateways go on with it by themselves.
"""

import time
from collections.abc import Callable

import asyncpg

from trunkline.errors import StoreError
from trunkline.storage.columns import OFFERS_ROLLED, USE_ROLLED
from trunkline.storage.postgres import FAILURES, Blocking, reason
from trunkline.storage.postgres_rollups import FOLD_LOCK, PostgresRollups
from trunkline.storage.rollups import marks_at
from trunkline.storage.url import PostgresStore

_RECORDS_A_ROW = 1_000
_LONG_S = 3_600.0
_MARK_ALL = (
    "INSERT INTO unfolded (at_ms, record_ids) SELECT 0, json_agg(id)::text FROM "  # noqa: S608 - a number of ours
    f"(SELECT id, (row_number() OVER (ORDER BY received_ms, id) - 1) / {_RECORDS_A_ROW} AS piece FROM records) AS numbered "
    "GROUP BY piece ORDER BY piece"
)
_SET_MARK = "UPDATE meta SET value = $2 WHERE key = $1"
_LEFT = "SELECT coalesce(sum(json_array_length(record_ids::json)), 0)::bigint FROM unfolded"
_RECORDS = "SELECT count(*) FROM records"


def rebuild(store: PostgresStore, now_ms: float, on_progress: Callable[[int, int], None]) -> None:
    """`on_progress` is given how far it is, of how much. StoreError where the store cannot be written."""
    blocking = Blocking(store, statement_timeout_s=_LONG_S)
    try:
        blocking.run(_rebuild(blocking.connection, now_ms, on_progress))
    except FAILURES as error:
        raise StoreError(f"{store.shown}: {reason(error)}") from error
    finally:
        blocking.close()


async def _rebuild(connection: asyncpg.Connection, now_ms: float, on_progress: Callable[[int, int], None]) -> None:
    await start_anew(connection, now_ms)
    rollups, is_all = PostgresRollups(time.monotonic), False
    total = await connection.fetchval(_RECORDS)
    while not is_all:
        on_progress(max(0, total - await connection.fetchval(_LEFT)), total)
        is_all = await rollups.fold(connection, now_ms, look=True)
    on_progress(total, total)


async def start_anew(connection: asyncpg.Connection, now_ms: float) -> None:
    """Delete all rows and mark all records as not folded."""
    # Before the transaction: with its first statement this one sees the store as it is then, and no fold may change it meanwhile.
    await connection.execute("SELECT pg_advisory_lock($1)", FOLD_LOCK)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            await connection.execute("DELETE FROM unfolded")
            await connection.execute("DELETE FROM offer_rollups")
            await connection.execute("DELETE FROM use_rollups")
            for key, mark_s in zip((OFFERS_ROLLED, USE_ROLLED), marks_at(int(now_ms // 1000)), strict=True):
                await connection.execute(_SET_MARK, key, str(mark_s))
            await connection.execute(_MARK_ALL)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", FOLD_LOCK)

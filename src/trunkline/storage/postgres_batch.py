"""Writes in batches to PostgreSQL. In: records, intents, ended intents, what is kept. Out: one durable transaction, or StoreError.

As `sqlite_batch` does it, but that several gateways write to one store: an intent says whose it is, and what records add up to (`postgres_rollups`) goes
into the same rows from all of them.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from trunkline.errors import StoreError
from trunkline.records.journal import StillWriting, newest_intent
from trunkline.records.types import Forgotten, Intent, Kept, Record
from trunkline.storage import postgres_statements as statements
from trunkline.storage import rows
from trunkline.storage.careful import Careful, Changes
from trunkline.storage.columns import INTENT_COLUMNS, KEPT_COLUMNS
from trunkline.storage.postgres import FAILURES, Blocking, reason
from trunkline.storage.postgres_ledger import payers, post_spending
from trunkline.storage.postgres_rollups import PostgresRollups
from trunkline.storage.url import PostgresStore

# What the encoder, the driver and the server say of values that they cannot take; the last is of a text too long for an index.
_UNSTORABLE = (
    ValueError,
    OverflowError,
    TypeError,
    AttributeError,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)


def _without_cipher(kept: Kept) -> bytes:
    raise TypeError(f"{kept!r} came to a store that was opened without a cipher")


class _Parts(NamedTuple):
    """Of a batch, in the order of its statement."""

    records: Sequence[Record]
    intents: Sequence[Intent]
    ended: Sequence[str]
    kept: Sequence[tuple[Any, ...]]
    forgotten: Sequence[str]


class PostgresBatch:
    """The writer's connection to the store. Lives until it fails or is closed; used by one thread at a time.

    `gateway` is whose intents these are, `rejected` the file for what cannot be stored. A write that the server has not answered within `patience_s` is
    `StillWriting` for now: it goes on, and whatever is asked next waits for it. The same batch, asked again, is not written again then: where the server
    takes longer than that for each, none would ever be done.
    """

    def __init__(
        self,
        store: PostgresStore,
        rejected: Path,
        seal: Callable[[Kept], bytes] = _without_cipher,
        *,
        gateway: str = "",
        patience_s: float | None = None,
        rollups: PostgresRollups | None = None,
    ) -> None:
        self._store = store
        self._seal = seal
        self._gateway = gateway
        self._patience_s = patience_s
        self._blocking = Blocking(store)
        self._encoder = rows.RecordEncoder()
        self._rollups = rollups or PostgresRollups(time.monotonic)
        self._careful = Careful(self._write, _UNSTORABLE, rejected)
        self._under_way: asyncio.Task[Any] | None = None
        self._under_way_is: tuple[Any, ...] = ()
        """What tells its batch from others."""

    def write(
        self,
        records: Sequence[Record],
        intents: Sequence[Intent],
        ended: Sequence[str],
        changes: Sequence[Kept | Forgotten] = (),
    ) -> None:
        """Durable on return. StoreError when the store cannot take it now: then the same batch may come again."""
        try:
            self._careful.write(records, intents, ended, changes)
        except FAILURES as error:
            raise StoreError(f"{self._store.shown}: {reason(error)}") from error

    def fold(self, now_ms: float) -> bool:
        """Add the records that were written since the last fold to the rollups, and those that no living gateway does; False where more are left for
        the next one. StoreError when that cannot be now."""
        if not self._rollups.is_pending:
            return True
        is_all: bool = self._ask(self._rollups.fold(self._blocking.connection, now_ms))
        return is_all

    def purge(self, now_ms: float, rows: int) -> int:
        """Bring the rollups forward, and delete at most so many of the kept rows that have expired, the oldest first; how many it was."""
        count: int = self._ask(self._purge(now_ms, rows))
        return count

    def open_intents(self) -> list[Intent]:
        """Intents of this gateway without an end, oldest first."""
        found = self._ask(self._blocking.connection.fetch(statements.INTENTS_OF, self._gateway))
        return [Intent(*row) for row in found]

    def payers(self, key_ids: Iterable[str]) -> dict[str, str]:
        """Key -> the prepaid organisation that pays for it now."""
        found: dict[str, str] = self._ask(payers(self._blocking.connection, key_ids))
        return found

    def close(self) -> None:
        """Give the connection up; whatever state it is in, this does not raise. What was not folded is by the next one."""
        if self._under_way is not None:
            self._under_way.cancel()
            with contextlib.suppress(Exception):
                self._blocking.run(asyncio.wait({self._under_way}))
            self._under_way = None
        self._blocking.close()

    def _ask(self, work: Any) -> Any:
        try:
            return self._blocking.run(self._after_what_is_under_way(work))
        except FAILURES as error:
            raise StoreError(f"{self._store.shown}: {reason(error)}") from error

    async def _after_what_is_under_way(self, work: Any) -> Any:
        await self._ended()
        return await work

    async def _ended(self) -> bool:
        """Wait for what is under way; whether something was, and is stored."""
        if self._under_way is None:
            return False
        task, self._under_way = self._under_way, None
        await asyncio.wait({task})
        return task.exception() is None

    async def _purge(self, now_ms: float, rows: int) -> int:
        connection = self._blocking.connection
        await self._rollups.tend(connection, now_ms)
        tag = await connection.execute(statements.PURGE_KEPT, int(now_ms), rows)
        return int(tag.rpartition(" ")[2])

    def _write(
        self, records: Sequence[Record], intents: Sequence[Intent], ended: Sequence[str], changes: Changes
    ) -> None:
        kept = [rows.kept_row(one, self._seal(one)) for one in changes if type(one) is Kept]
        forgotten = [one.key for one in changes if type(one) is Forgotten]
        parts = _Parts(records, _newest(intents), ended, kept, forgotten)
        batch_is = ([record.id for record in records], parts.intents, list(ended), [_of(one) for one in changes])
        self._blocking.run(self._patiently(parts, batch_is))

    async def _patiently(self, parts: "_Parts", batch_is: tuple[Any, ...]) -> None:
        if await self._ended() and batch_is == self._under_way_is:
            return None
        if self._patience_s is None:
            return await self._store_parts(parts)
        task = asyncio.ensure_future(self._store_parts(parts))
        done, _ = await asyncio.wait({task}, timeout=self._patience_s)
        if not done:
            self._under_way, self._under_way_is = task, batch_is
            raise StillWriting(f"{self._store.shown}: has not answered within {self._patience_s:g} s")
        return task.result()

    async def _store_parts(self, parts: "_Parts") -> None:
        connection = self._blocking.connection
        if not any(record.prepaid_by for record in parts.records):
            return await self._execute(connection, parts)
        async with connection.transaction():
            charged = await post_spending(connection, parts.records)
            return await self._execute(connection, parts._replace(records=charged))

    async def _execute(self, connection: asyncpg.Connection, parts: "_Parts") -> None:
        flags = [bool(part) for part in parts]
        if not any(flags):
            return
        values: list[Any] = []
        if parts.records:
            values.append(list(map(self._encoder.row, parts.records)))
        if parts.intents:
            intents = [rows.intent_row(intent) for intent in parts.intents]
            values += [*statements.columns_of(intents, len(INTENT_COLUMNS)), self._gateway]
        if parts.ended:
            values.append(parts.ended)
        if parts.kept:
            values += statements.columns_of(parts.kept, len(KEPT_COLUMNS))
        if parts.forgotten:
            values.append(parts.forgotten)
        [(mark, count)] = await connection.fetch(_statement(*flags), *values)
        if mark is not None:
            self._rollups.see(mark, parts.records if count == len(parts.records) else None)


@lru_cache(maxsize=32)
def _statement(records: bool, intents: bool, ended: bool, kept: bool, forgotten: bool) -> str:
    return statements.batch(records=records, intents=intents, ended=ended, kept=kept, forgotten=forgotten)


def _newest(intents: Sequence[Intent]) -> list[Intent]:
    """One of each request: a statement may change a row once only."""
    by_id: dict[str, Intent] = {}
    for intent in intents:
        by_id[intent.id] = newest_intent(by_id.get(intent.id), intent)
    return list(by_id.values())


def _of(change: Kept | Forgotten) -> tuple[Any, ...]:
    return (change.key, change.created_ms) if type(change) is Kept else (change.key,)

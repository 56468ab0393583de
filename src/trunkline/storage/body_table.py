"""Captured bodies on PostgreSQL: a table with a partition a day. In: sealed rows, from the record writer's thread. Out: rows of `bodies`.

A day is deleted by dropping its partition: https://www.postgresql.org/docs/14/ddl-partitioning.html. A loss of power may cost the last bodies.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import asyncpg

from trunkline.storage.bodies import RowsOfDays
from trunkline.storage.postgres import Blocking, transaction
from trunkline.storage.url import PostgresStore

_LOCK = 0x7472756E6B000007
"""Of making and dropping partitions, as `migrate.MIGRATION_LOCK`."""
_QUICKLY = "lock_timeout = '2s'"
"""Making and dropping a partition waits for those who read, and makes others wait behind it."""
_AHEAD = 1
_WITHIN_S = 5.0
_INSERT = (
    "INSERT INTO bodies (day, id, key_id, data) SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::bytea[]) "
    "ON CONFLICT DO NOTHING"
)
_PARTITIONS = (
    "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'bodies'::regclass"
)
_NAME = "bodies_"


class BodyTable:
    """Lives as long as the process; used by the writer's thread. Its connection is opened when it is needed."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self._connection: Blocking | None = None
        self._days: set[int] = set()
        """Those that have a partition."""

    def write(self, by_day: RowsOfDays) -> None:
        """One transaction. StoreError where it cannot be done now."""
        rows = [(day, *row) for day, found in by_day.items() for row in found]
        if not rows:
            return
        self._have(set(by_day))
        columns = list(zip(*rows, strict=True))
        self._open().ask(lambda connection: _insert(connection, columns))

    def purge(self, oldest_day: int) -> None:
        """Drop the partitions of the days before, and make that of the day to come once there are any."""
        names = [row[0] for row in self._open().fetch(_PARTITIONS)]
        days = {int(name.removeprefix(_NAME)) for name in names if name.removeprefix(_NAME).isdecimal()}
        over = {day for day in days if day < oldest_day}
        self._days = days - over
        if over:
            self._change([f"DROP TABLE IF EXISTS {_NAME}{day}" for day in sorted(over)])

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._days.clear()

    def _have(self, days: set[int]) -> None:
        missing = days - self._days
        if not missing:
            return
        wanted = {day + ahead for day in missing for ahead in range(_AHEAD + 1)}
        self._change([_making(day) for day in sorted(wanted)])
        self._days |= wanted

    def _change(self, statements: Sequence[str]) -> None:
        self._open().ask(lambda connection: _execute(connection, statements))

    def _open(self) -> Blocking:
        if self._connection is None or self._connection.is_closed:
            with contextlib.suppress(Exception):
                self.close()
            self._connection = Blocking(self._store, statement_timeout_s=_WITHIN_S)
        return self._connection


def _making(day: int) -> str:
    return f"CREATE TABLE IF NOT EXISTS {_NAME}{day} PARTITION OF bodies FOR VALUES FROM ({day}) TO ({day + 1})"


async def _execute(connection: asyncpg.Connection, statements: Sequence[str]) -> None:
    async with transaction(connection, _QUICKLY):
        # Several gateways make the same day: one after the other.
        await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
        for statement in statements:
            await connection.execute(statement)


async def _insert(connection: asyncpg.Connection, columns: Sequence[Sequence[Any]]) -> None:
    async with transaction(connection, "synchronous_commit = off"):
        await connection.execute(_INSERT, *columns)

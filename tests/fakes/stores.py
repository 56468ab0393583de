"""A store of either kind, for tests of what must hold on both: to write to it, and to look into it with a connection of one's own."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.fakes.kept import CIPHER
from trunkline.records.types import Record
from trunkline.storage.columns import RECORD_COLUMNS
from trunkline.storage.postgres_batch import PostgresBatch
from trunkline.storage.rows import read_record
from trunkline.storage.sqlite_batch import SqliteBatch
from trunkline.storage.url import PostgresStore, store_of

AnyBatch = SqliteBatch | PostgresBatch


class AnyStore:
    """Lives as long as a test."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.store = store_of(url)
        self.rejected = folder / "trunkline.db.rejected"

    @property
    def is_postgres(self) -> bool:
        return isinstance(self.store, PostgresStore)

    def batch(self, gateway: str = "gw_1") -> AnyBatch:
        """A writer's connection. `gateway` is of PostgreSQL only."""
        if isinstance(self.store, PostgresStore):
            return PostgresBatch(self.store, self.rejected, CIPHER.seal, gateway=gateway)
        return SqliteBatch(self.store.path, CIPHER.seal)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds."""
        if isinstance(self.store, PostgresStore):
            return [tuple(row) for row in self._in_postgres("fetch", query)]
        connection = sqlite3.connect(self.store.path)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def execute(self, statement: str) -> None:
        """A change made behind the gateway's back."""
        if isinstance(self.store, PostgresStore):
            self._in_postgres("execute", statement)
            return
        connection = sqlite3.connect(self.store.path, isolation_level=None)
        connection.executescript(statement)
        connection.close()

    def fold_what_was_left(self, now_ms: float) -> None:
        """As another gateway does it some seconds later."""
        self.execute("UPDATE unfolded SET at_ms = 0")
        batch = self.batch()
        while not batch.fold(now_ms):
            pass
        batch.close()

    def count(self, table: str) -> int:
        """The rows of a table."""
        found: int = self.rows(f"SELECT count(*) FROM {table}")[0][0]
        return found

    def records(self) -> list[Record]:
        """By their ids."""
        return [read_record(row) for row in self.rows(f"SELECT {', '.join(RECORD_COLUMNS)} FROM records ORDER BY id")]

    def _in_postgres(self, method: str, statement: str) -> Any:
        found: list[Any] = []

        async def ask() -> None:
            connection = await asyncpg.connect(self.url)
            try:
                found.append(await getattr(connection, method)(statement))
            finally:
                await connection.close()

        # A thread of its own: the test's may be running a loop.
        thread = threading.Thread(target=lambda: asyncio.run(ask()))
        thread.start()
        thread.join()
        return found[0]


@pytest.fixture
def any_store(store_url: str, tmp_path: Path) -> AnyStore:
    """Of each kind."""
    return AnyStore(store_url, tmp_path)


@pytest.fixture
def postgres_store(postgres_url: str, tmp_path: Path) -> AnyStore:
    return AnyStore(postgres_url, tmp_path)

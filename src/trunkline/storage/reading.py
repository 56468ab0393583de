"""Reads the store on the driver, for threads of the data plane. In: statements with `?` for values. Out: rows, or StoreError. Without SQLAlchemy.

The same statements for SQLite and PostgreSQL. A reader opens its connection at the first question, and another after any failure.
"""

import contextlib
import itertools
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trunkline.errors import StoreError
from trunkline.storage.sqlite_file import connect
from trunkline.storage.url import PostgresStore, store_of

if TYPE_CHECKING:
    from trunkline.storage.postgres import Blocking

BUSY_TIMEOUT_MS = 250


class Reader(Protocol):
    """Lives as long as the process; used by one thread at a time."""

    def rows(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]: ...
    def view(self) -> contextlib.AbstractContextManager[None]:
        """All questions within see the store as it is at the first one."""
        ...

    def close(self) -> None:
        """Give the connection up; the next question opens another."""
        ...


def reader_of(url: str, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS, within_s: float = 5.0) -> Reader:
    """Of a store that may come later. `busy_timeout_ms` is for SQLite; PostgreSQL answers `within_s`, or is taken to be away."""
    store = store_of(url)
    if isinstance(store, PostgresStore):
        return PostgresReader(store, within_s)
    return SqliteReader(store.path, busy_timeout_ms)


class SqliteReader:
    """Lives as long as the process; used by one thread at a time."""

    def __init__(self, path: Path, busy_timeout_ms: int) -> None:
        self._path = path
        self._busy_timeout_ms = busy_timeout_ms
        self._connection: sqlite3.Connection | None = None

    def rows(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        try:
            return self._open().execute(statement, values).fetchall()
        except sqlite3.Error as error:
            self.close()
            raise StoreError(f"{self._path}: {error}") from error

    @contextlib.contextmanager
    def view(self) -> Iterator[None]:
        self.rows("BEGIN")
        try:
            yield
        finally:
            # After a failure the connection is another one, without a transaction.
            if self._connection is not None:
                self.rows("COMMIT")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self._path, busy_timeout_ms=self._busy_timeout_ms, read_only=True)
        return self._connection


class PostgresReader:
    """Lives as long as the process; used by one thread at a time."""

    def __init__(self, store: PostgresStore, within_s: float) -> None:
        self._store = store
        self._within_s = within_s
        self._connection: Blocking | None = None

    def rows(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        try:
            return self._open().fetch(_numbered(statement), *values)
        except StoreError:
            self.close()
            raise

    @contextlib.contextmanager
    def view(self) -> Iterator[None]:
        self.rows("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            if self._connection is not None:
                self.rows("COMMIT")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> "Blocking":
        from trunkline.storage.postgres import Blocking

        if self._connection is None:
            self._connection = Blocking(self._store, statement_timeout_s=self._within_s)
        return self._connection


def _numbered(statement: str) -> str:
    """`$1`, `$2` and so on for each `?`, which our statements have for nothing else."""
    numbers = itertools.count(1)
    return re.sub(r"\?", lambda _: f"${next(numbers)}", statement)

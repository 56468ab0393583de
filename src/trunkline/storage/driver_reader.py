"""Reads the store on its driver, for the data plane, which starts without SQLAlchemy. In: the store's URL, statements without parameters. Out: rows."""

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trunkline.errors import StoreError
from trunkline.storage.sqlite_file import connect
from trunkline.storage.tails import POSTGRES_TAIL, SQLITE_TAIL
from trunkline.storage.url import SqliteStore, store_of

if TYPE_CHECKING:
    from trunkline.storage.postgres import Blocking

_BUSY_TIMEOUT_MS = 250


class DriverReader:
    """Lives until it is closed; used by one thread at a time. The connection is made at the first question, and anew after a failure."""

    def __init__(self, url: str) -> None:
        self._store = store_of(url)
        self._sqlite: sqlite3.Connection | None = None
        self._postgres: Blocking | None = None

    @property
    def is_sqlite(self) -> bool:
        return isinstance(self._store, SqliteStore)

    @property
    def tail(self) -> str:
        """The condition of `tails`."""
        return SQLITE_TAIL if self.is_sqlite else POSTGRES_TAIL

    def fetch(self, statement: str) -> Sequence[Sequence[Any]]:
        """All rows. StoreError where they cannot be had."""
        if not isinstance(self._store, SqliteStore):
            if self._postgres is None:
                from trunkline.storage.postgres import Blocking

                self._postgres = Blocking(self._store)
            try:
                return self._postgres.fetch(statement)
            except StoreError:
                self.close()
                raise
        try:
            if self._sqlite is None:
                self._sqlite = connect(self._store.path, busy_timeout_ms=_BUSY_TIMEOUT_MS, read_only=True)
            return self._sqlite.execute(statement).fetchall()
        except sqlite3.Error as error:
            self.close()
            raise StoreError(f"{self._store.shown}: {error}") from error

    def close(self) -> None:
        """The next question opens another connection."""
        sqlite, postgres = self._sqlite, self._postgres
        self._sqlite = self._postgres = None
        if sqlite is not None:
            sqlite.close()
        if postgres is not None:
            postgres.close()

"""Captured bodies on the disk, beside a store of SQLite: a file a day. In: sealed rows, from the record writer's thread. Out: them, by a request's id."""

import contextlib
import datetime
import sqlite3
from pathlib import Path

from trunkline.errors import StoreError
from trunkline.records.bodies import DAY_MS, Captured
from trunkline.storage import sqlite_file
from trunkline.storage.bodies import BodyDays, RowsOfDays, opened
from trunkline.storage.cipher import Cipher
from trunkline.storage.statements import insert
from trunkline.storage.url import PostgresStore, sqlite_path, store_of

_OPEN_DAYS = 2
_TABLE = "CREATE TABLE bodies (id TEXT PRIMARY KEY, key_id TEXT NOT NULL, data BLOB NOT NULL)"
_INSERT = insert("bodies", ("id", "key_id", "data"), "DO NOTHING")
_FIND = "SELECT key_id, data FROM bodies WHERE id = ?"


def bodies_folder(url: str) -> Path:
    """Beside the store of this URL."""
    path = sqlite_path(url)
    return path.with_name(path.name + ".bodies")


def day_file(folder: Path, day: int) -> Path:
    """`day` counts from 1970, UTC."""
    return folder / f"bodies-{datetime.date(1970, 1, 1) + datetime.timedelta(days=day)}.db"


def days_of(url: str) -> BodyDays:
    """Where bodies go of the store of this URL, whichever it is."""
    store = store_of(url)
    if isinstance(store, PostgresStore):
        from trunkline.storage.body_table import BodyTable

        return BodyTable(store)
    return BodyFiles(bodies_folder(url))


class BodyFiles:
    """Lives as long as the process; used by the writer's thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._days: dict[int, sqlite3.Connection] = {}

    def write(self, by_day: RowsOfDays) -> None:
        """A transaction a day. StoreError where the disk does not take them."""
        try:
            for day, rows in by_day.items():
                self._write(day, rows)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(str(error) or type(error).__name__) from error

    def purge(self, oldest_day: int) -> None:
        """Delete the files of the days before."""
        for path in self._folder.glob("bodies-????-??-??.db"):
            day = _day_of(path)
            if day is not None and day < oldest_day:
                self._forget(day, path)

    def close(self) -> None:
        """Let go of the files; the next rows open them again."""
        for connection in self._days.values():
            with contextlib.suppress(sqlite3.Error):
                connection.close()
        self._days.clear()

    def _write(self, day: int, rows: list[tuple[str, str, bytes]]) -> None:
        connection = self._open(day)
        connection.execute("BEGIN IMMEDIATE")
        try:
            _INSERT.run(connection, rows)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _open(self, day: int) -> sqlite3.Connection:
        connection = self._days.pop(day, None) or self._make(day_file(self._folder, day))
        # The one that was used last is the last.
        self._days[day] = connection
        while len(self._days) > _OPEN_DAYS:
            self._days.pop(next(iter(self._days))).close()
        return connection

    def _make(self, path: Path) -> sqlite3.Connection:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            # Whoever reads finds no file, or one with its table.
            made = path.with_suffix(".new")
            made.unlink(missing_ok=True)
            sqlite_file.create(made)
            with contextlib.closing(sqlite_file.connect(made)) as connection:
                sqlite_file.set_page_size(connection)
                connection.execute(_TABLE)
            made.rename(path)
        connection = sqlite_file.connect(path)
        try:
            sqlite_file.use_wal(connection)
            # A loss of power may cost the last bodies, not the file.
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _forget(self, day: int, path: Path) -> None:
        connection = self._days.pop(day, None)
        if connection is not None:
            connection.close()
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            with contextlib.suppress(OSError):
                path.with_name(name).unlink()


class BodyReader:
    """Finds bodies again, for the console. Holds nothing open; may be used from any thread."""

    def __init__(self, folder: Path, cipher: Cipher) -> None:
        self._folder = folder
        self._cipher = cipher

    def find(self, id_: str, received_ms: float) -> Captured | None:
        """The views of a request that was received then; None where none are kept. StoreError where they cannot be read."""
        path = day_file(self._folder, int(received_ms // DAY_MS))
        if not path.exists():
            return None
        try:
            with contextlib.closing(sqlite_file.connect(path, read_only=True)) as connection:
                row = connection.execute(_FIND, (id_,)).fetchone()
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from error
        if row is None:
            return None
        return opened(self._cipher, id_, row[0], row[1])


def _day_of(path: Path) -> int | None:
    try:
        return (datetime.date.fromisoformat(path.stem.removeprefix("bodies-")) - datetime.date(1970, 1, 1)).days
    except ValueError:
        return None

"""Captured bodies on the disk: an SQLite file a day in a folder beside the store, compressed and encrypted like what is `Kept`.

In: `Captured`, from the event loop; which records were stored, in the record writer's thread. Out: rows, found again by a request's id. Bodies are no
records: they follow theirs within a second or two, and when too many wait, or the disk takes none, they are dropped and counted, never held up for.
"""

import contextlib
import datetime
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from trunkline.errors import StoreError
from trunkline.records.bodies import DAY_MS, Captured, CapturePolicy, redacted
from trunkline.records.types import Intent, Kept, Record
from trunkline.records.writer import Batch, Change
from trunkline.storage import sqlite_file
from trunkline.storage.cipher import Cipher
from trunkline.storage.statements import insert
from trunkline.storage.url import sqlite_path

MAX_WAITING_BYTES = 64 * 1024 * 1024
WITH_RECORDS_S = 0.010
"""Between two batches of records so long is given to bodies, lest records wait."""
BETWEEN_S = 0.030
_OPEN_DAYS = 2
_TABLE = "CREATE TABLE bodies (id TEXT PRIMARY KEY, key_id TEXT NOT NULL, data BLOB NOT NULL)"
_INSERT = insert("bodies", ("id", "key_id", "data"), "DO NOTHING")
_FIND = "SELECT key_id, data FROM bodies WHERE id = ?"
_decoder = msgspec.msgpack.Decoder(Captured)


def bodies_folder(url: str) -> Path:
    """Beside the store of this URL."""
    path = sqlite_path(url)
    return path.with_name(path.name + ".bodies")


def day_file(folder: Path, day: int) -> Path:
    """`day` counts from 1970, UTC."""
    return folder / f"bodies-{datetime.date(1970, 1, 1) + datetime.timedelta(days=day)}.db"


class BodyStats(msgspec.Struct, frozen=True):
    """Since the start. `last_error` is empty while bodies can be written."""

    waiting_bytes: int
    kept: int
    dropped: int
    last_error: str


class Bodies:
    """Lives as long as the process. `put` belongs to the event loop, everything else to the writer's thread; each counter has one writer."""

    def __init__(
        self,
        folder: Path,
        cipher: Cipher,
        policy: CapturePolicy,
        on_error: Callable[[str], None] = lambda _: None,
        *,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        clock: Callable[[], float] = time.monotonic,
        unix_ms: Callable[[], float] = lambda: time.time() * 1000,
    ) -> None:
        self._folder = folder
        self._cipher = cipher
        self.policy = policy
        """May be replaced at any time."""
        self._on_error = on_error
        """Told of each error that is new."""
        self._max_waiting_bytes = max_waiting_bytes
        self._clock = clock
        self._unix_ms = unix_ms
        self._waiting: dict[str, Captured] = {}
        """Until their records are stored."""
        self._ready: deque[Captured] = deque()
        self._put_bytes = self._done_bytes = 0
        self._kept = self._dropped = self._dropped_here = 0
        self._last_error = ""
        self._days: dict[int, sqlite3.Connection] = {}
        self._encoder = msgspec.msgpack.Encoder()

    def put(self, captured: Captured) -> bool:
        """Before its record goes to the sink. False where too many wait: then it is not kept. Never waits."""
        size = captured.kept_bytes
        if self._put_bytes - self._done_bytes + size > self._max_waiting_bytes:
            self._dropped += 1
            return False
        self._put_bytes += size
        self._waiting[captured.id] = captured
        return True

    def stats(self) -> BodyStats:
        waiting = self._put_bytes - self._done_bytes
        return BodyStats(waiting, self._kept, self._dropped + self._dropped_here, self._last_error)

    # From here on: the writer's thread.

    def stored(self, records: Sequence[Record]) -> None:
        """Their records are in the store."""
        for record in records:
            captured = self._waiting.pop(record.id, None)
            if captured is not None:
                self._ready.append(captured)

    def store(self, within_s: float) -> bool:
        """Write what is ready, for about so long; whether that was all. What the disk does not take is tried again later."""
        if not self._ready:
            return True
        until = self._clock() + within_s
        taken: list[Captured] = []
        by_day: dict[int, list[tuple[str, str, bytes]]] = {}
        while self._ready and (not taken or self._clock() < until):
            captured = self._ready.popleft()
            taken.append(captured)
            row = self._row(captured)
            if row is not None:
                by_day.setdefault(captured.day, []).append(row)
        try:
            for day, rows in by_day.items():
                self._write(day, rows)
        except (sqlite3.Error, OSError, StoreError) as error:
            before, self._last_error = self._last_error, str(error) or type(error).__name__
            if self._last_error != before:
                self._on_error(self._last_error)
            self._ready.extendleft(reversed(taken))
            self._let_go_of_days()
            # Until the next turn: what is wrong with the disk is not mended at once.
            return True
        self._last_error = ""
        self._kept += sum([len(rows) for rows in by_day.values()])
        self._done_bytes += sum([captured.kept_bytes for captured in taken])
        return not self._ready

    def purge(self) -> None:
        """Delete the files of days that are over for as long as they are kept."""
        oldest = int((self._unix_ms() - self.policy.days * DAY_MS) // DAY_MS)
        for path in self._folder.glob("bodies-????-??-??.db"):
            day = _day_of(path)
            if day is not None and day < oldest:
                self._forget(day, path)

    def close(self) -> None:
        """Write what is left, and let go of the files. Whatever state they are in, this does not raise."""
        while not self.store(1.0):
            pass
        self._let_go_of_days()

    def _row(self, captured: Captured) -> tuple[str, str, bytes] | None:
        try:
            kept = _kept(captured.id, captured.key_id, self._encoder.encode(redacted(captured, self.policy)))
            return captured.id, captured.key_id, self._cipher.seal(kept)
        except Exception:  # noqa: BLE001 - a background loop: one that cannot be redacted must neither be stored nor stop the others
            self._dropped_here += 1
            return None

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

    def _let_go_of_days(self) -> None:
        for connection in self._days.values():
            with contextlib.suppress(sqlite3.Error):
                connection.close()
        self._days.clear()


class WithBodies:
    """A batch of the record writer that looks after bodies, too: once their records are stored, and between. Lives as long as the connection."""

    def __init__(self, batch: Batch, bodies: Bodies) -> None:
        self._batch = batch
        self._bodies = bodies

    def write(
        self,
        records: Sequence[Record],
        intents: Sequence[Intent],
        ended: Sequence[str],
        changes: Sequence[Change] = (),
    ) -> None:
        """One transaction; then a few bodies in theirs."""
        self._batch.write(records, intents, ended, changes)
        self._bodies.stored(records)
        _harmlessly(self._bodies.store, WITH_RECORDS_S)

    def fold(self, now_ms: float) -> bool:
        """As the batch does; asked again soon where bodies are left."""
        done = _harmlessly(self._bodies.store, BETWEEN_S)
        return self._batch.fold(now_ms) and done is not False

    def purge(self, now_ms: float, rows: int) -> int:
        """As the batch does, and old bodies with it."""
        _harmlessly(self._bodies.store, BETWEEN_S)
        _harmlessly(self._bodies.purge)
        return self._batch.purge(now_ms, rows)

    def close(self) -> None:
        """As the batch does."""
        self._batch.close()


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
        return _decoder.decode(self._cipher.open(_kept(id_, row[0], row[1])).data)


def _kept(id_: str, key_id: str, data: bytes) -> Kept:
    """What the cipher takes: the id and the key are the row's place, in which alone it can be read."""
    return Kept(id_, "body", key_id, 0, 0, data)


def _day_of(path: Path) -> int | None:
    try:
        return (datetime.date.fromisoformat(path.stem.removeprefix("bodies-")) - datetime.date(1970, 1, 1)).days
    except ValueError:
        return None


def _harmlessly(act: Callable[..., Any], *arguments: Any) -> Any:
    """Bodies must not stop records, whatever is wrong with them."""
    with contextlib.suppress(Exception):
        return act(*arguments)
    return None

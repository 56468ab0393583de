"""Writes in batches on the driver itself. In: records, intents, ended intents, what is kept. Out: one durable transaction, or StoreError.

Exactly once: ids that are there already are left as they are, and of what is kept the newest counts, so a batch may be given again after any failure, even one
that came after its commit. What the records add up to (`rollups`) follows in transactions of its own, each record once.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from trunkline.errors import StoreError
from trunkline.records.types import Forgotten, Intent, Kept, Record
from trunkline.storage import ledger_batch, rows
from trunkline.storage.answer_index import AnswerIndex
from trunkline.storage.careful import Careful
from trunkline.storage.columns import INTENT_COLUMNS, KEPT_COLUMNS, RECORD_COLUMNS
from trunkline.storage.rollups import Rollups
from trunkline.storage.sqlite_file import connect
from trunkline.storage.statements import Rows, insert

# Short, so that a store locked by another process shows in the writer's figures; the writer tries again by itself.
_BUSY_TIMEOUT_MS = 250
# What the encoder and the driver raise for values that they cannot take; all else (locked, full, malformed) is the store's.
_UNSTORABLE = (
    ValueError,
    OverflowError,
    TypeError,
    AttributeError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
)

_INSERT_RECORDS = insert("records", RECORD_COLUMNS, "DO NOTHING")
_INSERT_BRIEF = insert("records", rows.BRIEF_COLUMNS, "DO NOTHING", rows.BRIEF_REST)
_HAS_RECORD = "SELECT 1 FROM records WHERE id = ?"
# A request that goes to its next offer says so again: the newest attempt counts, from the request's first start on.
_INSERT_INTENTS = insert(
    "intents",
    INTENT_COLUMNS,
    "(id) DO UPDATE SET started_ms = min(started_ms, excluded.started_ms), offer = excluded.offer, "
    "provider = excluded.provider, reserved_pico_usd = max(reserved_pico_usd, excluded.reserved_pico_usd)",
)
_DELETE_INTENTS = Rows("DELETE FROM intents WHERE id IN (", "?", ")")
_SELECT_INTENTS = f"SELECT {', '.join(INTENT_COLUMNS)} FROM intents ORDER BY started_ms, id"  # noqa: S608
_KEEP = insert(
    "kept",
    KEPT_COLUMNS,
    "(key) DO UPDATE SET kind = excluded.kind, key_id = excluded.key_id, created_ms = excluded.created_ms, "
    "expires_ms = excluded.expires_ms, data = excluded.data",
)
_FORGET = Rows("DELETE FROM kept WHERE key IN (", "?", ")")
_PURGE = "DELETE FROM kept WHERE key IN (SELECT key FROM kept WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?)"


def _without_cipher(kept: Kept) -> bytes:
    raise TypeError(f"{kept!r} came to a store that was opened without a cipher")


class SqliteBatch:
    """The writer's connection to the store. Lives until it fails or is closed; used by one thread at a time.

    `seal` encrypts what is kept (`storage.cipher`); without it nothing can be.
    """

    def __init__(
        self,
        path: Path,
        seal: Callable[[Kept], bytes] = _without_cipher,
        *,
        busy_timeout_ms: int = _BUSY_TIMEOUT_MS,
    ) -> None:
        self._path = path
        self._seal = seal
        self._connection = connect(path, busy_timeout_ms=busy_timeout_ms)
        self._inode = _inode(path)
        self._encoder = rows.RecordEncoder()
        self._rollups = Rollups()
        self._answers = AnswerIndex()
        self._careful = Careful(self._write, _UNSTORABLE, path.with_name(path.name + ".rejected"))

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
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self._path}: {error}") from error

    def purge(self, now_ms: float, rows: int) -> int:
        """Bring the rollups forward, and delete at most so many of the kept rows that have expired, the oldest first; how many it was. StoreError when
        that cannot be now."""
        try:
            self._tend(now_ms)
            return self._connection.execute(_PURGE, (now_ms, rows)).rowcount
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def fold(self, now_ms: float) -> bool:
        """Add the records that were written since the last fold to the rollups, and to the index of answers; False where more are left for the next one.
        StoreError when that cannot be now."""
        if not (self._rollups.is_pending or self._answers.is_pending):
            return True
        try:
            with self._light_transaction() as connection:
                is_all = self._rollups.fold(connection, now_ms)
                is_indexed = self._answers.fold(connection)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error
        self._rollups.folded(is_all=is_all)
        self._answers.folded()
        return is_all and is_indexed

    def open_intents(self) -> list[Intent]:
        """Intents without an end, oldest first."""
        try:
            found = self._connection.execute(_SELECT_INTENTS).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error
        return [Intent(*row) for row in found]

    def payers(self, key_ids: Iterable[str]) -> dict[str, str]:
        """Key -> the prepaid organisation that pays for it now."""
        try:
            return ledger_batch.payers(self._connection, key_ids)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def close(self) -> None:
        """Give the connection up; whatever state it is in, this does not raise. What was not folded is by the next one."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _write(
        self,
        records: Sequence[Record],
        intents: Sequence[Intent],
        ended: Sequence[str],
        changes: Sequence[Kept | Forgotten],
    ) -> None:
        kept_rows = [rows.kept_row(change, self._seal(change)) for change in changes if type(change) is Kept]
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            inserted = self._insert(records)
            if intents:
                _INSERT_INTENTS.run(connection, [rows.intent_row(intent) for intent in intents])
            if ended:
                _DELETE_INTENTS.run(connection, [(id_,) for id_ in ended])
            if changes:
                _KEEP.run(connection, kept_rows)
                _FORGET.run(connection, [(change.key,) for change in changes if type(change) is Forgotten])
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        if inserted == len(records):
            self._rollups.see(records)
            self._answers.see(records)
        else:
            # Some were there before. Rare, so that which ones is left to the store to say.
            self._forget()
        self._check_file_is_there()

    def _insert(self, records: Sequence[Record]) -> int:
        """How many were new."""
        connection, row = self._connection, self._encoder.row
        if any([record.prepaid_by for record in records]):  # noqa: C419 - a generator takes twice as long
            records = ledger_batch.post_spending(connection, records)
        others: list[Record] = []
        inserted = _INSERT_BRIEF.run(connection, self._brief_rows(records, others))
        return inserted + _INSERT_RECORDS.run(connection, [row(record) for record in others])

    def _brief_rows(self, records: Sequence[Record], others: list[Record]) -> Iterator[rows.Row]:
        """Each as it is taken, so that no long list of them is made while requests wait for the interpreter. Those that are not brief go to `others`."""
        brief_row = self._encoder.brief_row
        for record in records:
            row = brief_row(record)
            if row is None:
                others.append(record)
            else:
                yield row

    def _tend(self, now_ms: float) -> None:
        with self._light_transaction() as connection:
            self._rollups.tend(connection, now_ms)

    @contextlib.contextmanager
    def _light_transaction(self) -> Iterator[sqlite3.Connection]:
        """One that a loss of power may undo, as a whole: what it writes is made of records, and would be made of them again."""
        connection = self._connection
        connection.execute("PRAGMA synchronous = NORMAL")
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        finally:
            connection.execute("PRAGMA synchronous = FULL")

    def _forget(self) -> None:
        self._rollups.forget()
        self._answers.forget()

    def _roll_back(self) -> None:
        self._forget()
        # After some errors (a full disk) SQLite has rolled back by itself: https://www.sqlite.org/lang_transaction.html
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _check_file_is_there(self) -> None:
        # SQLite writes on without an error into a file that was deleted or replaced.
        if _inode(self._path) != self._inode:
            raise StoreError(f"{self._path}: the file was deleted or replaced while in use")


def _inode(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    return status.st_dev, status.st_ino

"""Which records have an answer's id, on SQLite: four bytes of each, in rows of some thousand. In: records as they are stored. Out: `answer_index`.

These ids come in no order, so an index of them would have each record write a page of its own (measured: 24 KB a record, and more the larger the store).
Instead a row has the hashes of a stretch of records, in the order in which they were stored: who asks looks through the rows, then through the stretch
(see `answer_search`). The last record of the newest row is the mark: what was stored after it is in no row yet.
"""

import sqlite3
import struct
from collections.abc import Sequence
from zlib import crc32

from trunkline.records.types import Record

STRETCH = 1_024
"""Records of a row, at least."""
TAIL_ROWS = 5_000
"""Records that are read back in one fold."""
_MARK = "SELECT rowid FROM records WHERE id = (SELECT last_id FROM answer_index ORDER BY number DESC LIMIT 1)"
_SELECT_TAIL = "SELECT answer_id, id FROM records WHERE rowid > ? ORDER BY rowid LIMIT ?"
_NEWEST = "SELECT id FROM records ORDER BY rowid DESC LIMIT 1"
_ADD = "INSERT INTO answer_index (last_id, records, hashes) VALUES (?, ?, ?)"


def hash_of(answer_id: str) -> bytes:
    """As it is in the rows; others may have the same."""
    return struct.pack("<I", crc32(answer_id.encode("utf-8", "replace")))


class AnswerIndex:
    """Lives as long as the writer's connection. `fold` runs inside a transaction of the caller's: `folded` after its commit, `forget` where it, or one
    that wrote records, may not have come to that."""

    def __init__(self, stretch: int = STRETCH, tail_rows: int = TAIL_ROWS) -> None:
        self._stretch = stretch
        self._tail_rows = tail_rows
        self._pending: list[str] | None = None
        """The ids of the answers of all records that are in no row; None where only the store knows them."""
        self._left: list[str] | None = None

    def see(self, records: Sequence[Record]) -> None:
        """These have been stored, all of them new."""
        if self._pending is not None:
            self._pending += [record.answer_id for record in records]

    def forget(self) -> None:
        """What is remembered may not be what the store has."""
        self._pending = None

    @property
    def is_pending(self) -> bool:
        """There may be a row to write."""
        return self._pending is None or len(self._pending) >= self._stretch

    def fold(self, connection: sqlite3.Connection) -> bool:
        """Write a row, where there is enough for one; whether that was all. What was left by an earlier process goes in pieces."""
        pending, is_all, last_id = self._pending, True, ""
        if pending is None:
            (mark,) = connection.execute(_MARK).fetchone() or (0,)
            found = connection.execute(_SELECT_TAIL, (mark, self._tail_rows)).fetchall()
            pending, is_all = [answer_id for answer_id, _ in found], len(found) < self._tail_rows
            last_id = found[-1][1] if found else ""
        self._left = pending
        if len(pending) >= self._stretch or not is_all:
            last_id = last_id or connection.execute(_NEWEST).fetchone()[0]
            connection.execute(_ADD, (last_id, len(pending), _packed(pending)))
            self._left = [] if is_all else None
        return is_all

    def folded(self) -> None:
        """The fold is in the store."""
        self._pending = self._left


def _packed(answer_ids: Sequence[str]) -> bytes:
    hashes = [crc32(answer_id.encode("utf-8", "replace")) for answer_id in answer_ids if answer_id]
    return struct.pack(f"<{len(hashes)}I", *hashes)

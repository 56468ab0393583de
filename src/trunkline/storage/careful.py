"""Writes a batch whatever is in it. In: items, and a way to write them. Out: all of them stored: as given, else cleaned, else one by one.

What cannot be stored even then (a field of a wrong type, a fault of ours) goes to a file beside the store, so that it neither is lost nor stops all that
come after it.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trunkline.records.types import Forgotten, Intent, Kept, Record
from trunkline.storage.storable import storable_intent, storable_record

Changes = Sequence[Kept | Forgotten]
Write = Callable[[Sequence[Record], Sequence[Intent], Sequence[str], Changes], None]


class Careful:
    """Lives as long as the connection that `write` uses. `unstorable` is what the driver raises for values that it cannot take; all else is the store's."""

    def __init__(self, write: Write, unstorable: tuple[type[Exception], ...], rejected: Path) -> None:
        self._write = write
        self._unstorable = unstorable
        self._rejected = rejected

    def write(
        self, records: Sequence[Record], intents: Sequence[Intent], ended: Sequence[str], changes: Changes
    ) -> None:
        """As given where that is possible."""
        try:
            self._write(records, intents, ended, changes)
        except self._unstorable:
            # One of the values cannot be stored. Rare, so the batch is cleaned as a whole, and only now.
            self._write_cleaned(
                [storable_record(record) for record in records],
                [storable_intent(intent) for intent in intents],
                ended,
                changes,
            )

    def _write_cleaned(
        self, records: Sequence[Record], intents: Sequence[Intent], ended: Sequence[str], changes: Changes
    ) -> None:
        try:
            self._write(records, intents, ended, changes)
        except self._unstorable:
            self._write_one_by_one(records, intents, ended, changes)

    def _write_one_by_one(
        self, records: Sequence[Record], intents: Sequence[Intent], ended: Sequence[str], changes: Changes
    ) -> None:
        for record in records:
            self._write_or_reject(record, [record], [], [])
        for intent in intents:
            self._write_or_reject(intent, [], [intent], [])
        for change in changes:
            self._write_or_reject(change, [], [], [change])
        self._write([], [], ended, [])

    def _write_or_reject(
        self, item: Any, records: Sequence[Record], intents: Sequence[Intent], changes: Changes
    ) -> None:
        """Of `Kept` only the name is told: its data is nobody's to read."""
        try:
            self._write(records, intents, [], changes)
        except self._unstorable as error:
            # A line each: PostgreSQL says more on further lines.
            append_synced(self._rejected, f"{str(error).partition(chr(10))[0]}\t{item!r}\n")


def append_synced(path: Path, line: str) -> None:
    """A line at the end of a file of its owner's alone, on the disk on return."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(line)
        file.flush()
        os.fsync(fd)

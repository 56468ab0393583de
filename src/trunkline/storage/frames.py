"""Batches as frames of the spool and back. In: what a batch is to write. Out: bytes, what is kept in them encrypted as in the store.

A record is there as the row that it will be. What cannot be written is cleaned or, at last, put aside, as a store's writer does it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from trunkline.errors import StoreError
from trunkline.records.journal import Items
from trunkline.records.types import Forgotten, Intent, Kept, Record
from trunkline.records.writer import Change
from trunkline.storage import rows
from trunkline.storage.careful import Careful
from trunkline.storage.cipher import Cipher

_UNSTORABLE = (ValueError, OverflowError, TypeError, AttributeError)


class _Intent(Intent, frozen=True, array_like=True):
    pass


_decoder = msgspec.msgpack.Decoder(
    tuple[list[list[Any]], list[_Intent], list[str], list[tuple[str, str, str, int, int, bytes]], list[str]]
)


class Frames:
    """Lives as long as its spool. `rejected` is the file for what cannot be written at all."""

    def __init__(self, cipher: Cipher, rejected: Path) -> None:
        self._cipher = cipher
        self._record_encoder = rows.RecordEncoder()
        self._encoder = msgspec.msgpack.Encoder()
        self._rejected = rejected

    def encode(
        self, records: Sequence[Record], intents: Sequence[Intent], ended: Sequence[str], changes: Sequence[Change]
    ) -> bytes:
        """One frame of a batch."""
        frames: list[list[Any]] = []
        Careful(lambda *items: frames.append(self._parts(*items)), _UNSTORABLE, self._rejected).write(
            records, intents, ended, changes
        )
        # One, unless an item had to be looked at by itself.
        together = [[item for frame in frames for item in frame[at]] for at in range(5)]
        return self._encoder.encode(together)

    def decode(self, frame: bytes) -> Items:
        """What the batch was to write. StoreError where this version cannot read it."""
        try:
            record_rows, intents, ended, kept, forgotten = _decoder.decode(frame)
        except msgspec.MsgspecError as error:
            raise StoreError(f"a spooled batch cannot be read: {error}") from error
        changes: list[Change] = [self._cipher.open(Kept(*row)) for row in kept]  # type: ignore[arg-type]
        changes += [Forgotten(key) for key in forgotten]
        return (
            [rows.read_record(row) for row in record_rows],
            [Intent(*msgspec.structs.astuple(intent)) for intent in intents],
            ended,
            changes,
        )

    def _parts(
        self, records: Sequence[Record], intents: Sequence[Intent], ended: Sequence[str], changes: Sequence[Change]
    ) -> list[Any]:
        parts = [
            [self._record_encoder.row(record) for record in records],
            [rows.intent_row(intent) for intent in intents],
            list(ended),
            [rows.kept_row(one, self._cipher.seal(one)) for one in changes if type(one) is Kept],
            [one.key for one in changes if type(one) is Forgotten],
        ]
        # Whether it can be written, and read again, is found out now.
        _decoder.decode(self._encoder.encode(parts))
        return parts

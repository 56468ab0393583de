"""A gateway's hold on the store that it writes to, of either kind. In: its URL, where records may wait. Out: connections for the writer, a journal.

At its start what earlier gateways left is brought in: first the batches that wait on this machine, then the intents without an end, as `interrupted` records.
"""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trunkline.records.journal import Journal, bring_over
from trunkline.records.recovery import recover
from trunkline.records.spool import Slot, Spool, abandoned, claim
from trunkline.records.types import Record
from trunkline.storage.cipher import Cipher
from trunkline.storage.frames import Frames
from trunkline.storage.sqlite_batch import SqliteBatch
from trunkline.storage.url import PostgresStore, store_of
from trunkline.storage.writer_claim import WriterClaim

if TYPE_CHECKING:
    from trunkline.storage.postgres_batch import PostgresBatch
    from trunkline.storage.postgres_rollups import PostgresRollups

PATIENCE_S = 0.05
"""A batch that the store has not taken by then goes to the journal, so that it is on a disk within the 100 ms after which an answer must survive."""


class WritingPlace(msgspec.Struct, frozen=True):
    """Where a gateway writes."""

    url: str
    beside: Path
    """What the names of files beside the store begin with."""
    spool: Path
    spool_bytes: int
    """0: nothing waits on the disk."""


class Left(msgspec.Struct):
    """What gateways that are gone left behind, for whoever settles it where it was held. Grows in other threads."""

    records: list[Record] = []
    """Requests that a stop interrupted."""
    gateways: list[str] = []
    """Those that are gone, each after its records."""
    ours: str = ""
    """The name of this one."""


class GatewayStore:
    """Lives from `opened` to the end of its block."""

    def __init__(self, place: WritingPlace, cipher: Cipher, slot: Slot | None, left: Left | None = None) -> None:
        self._place = place
        self._store = store_of(place.url)
        self._cipher = cipher
        self._slot = slot
        name = f"gw_{secrets.token_hex(8)}"
        self.gateway = name if slot is None else slot.owner(name)
        """Its name, the same after each start on this machine."""
        self._rejected = place.beside.with_name(place.beside.name + ".rejected")
        self._frames = Frames(cipher, self._rejected)
        self.journal: Journal | None = None
        """None where nothing waits on the disk."""
        self.brought_over = 0
        """Batches that waited since the last run."""
        self._left = Left() if left is None else left
        self._left.ours = self.gateway
        self.interrupted = 0
        """Requests that an earlier stop interrupted."""
        self._rollups: PostgresRollups | None = None

    def batch(self) -> "SqliteBatch | PostgresBatch":
        """A connection for the writer, which has one at a time."""
        patience_s = None if self._slot is None else PATIENCE_S
        if isinstance(self._store, PostgresStore) and self._rollups is None:
            from trunkline.storage.postgres_rollups import PostgresRollups

            self._rollups = PostgresRollups(time.monotonic)
        return self._open(self.gateway, patience_s, self._rollups)

    def close_intents(self, gateway: str) -> None:
        """Of a gateway that will not do it itself."""
        batch = self._open(gateway, None)
        try:
            closed = recover(batch, time.time() * 1000)
            self._left.records += closed
            self.interrupted += len(closed)
            if closed and isinstance(self._store, PostgresStore):
                batch.fold(time.time() * 1000)
        finally:
            batch.close()
        name = gateway.partition(" ")[0]
        if name and name != self.gateway:
            self._left.gateways.append(name)

    def fold_left(self) -> None:
        """Figures of records whose gateway will not do it itself."""
        batch = self._open(self.gateway, None)
        try:
            while not batch.fold(time.time() * 1000):
                pass
        finally:
            batch.close()

    def bring_in(self) -> None:
        """What earlier gateways of this machine left. StoreError where the store does not take it now."""
        if self._slot is None:
            return self.close_intents(self.gateway)
        self._bring_in(self._slot, self.gateway)
        for slot in abandoned(self._place.spool):
            try:
                self._bring_in(slot, slot.owner(""))
            finally:
                slot.release()
        self.journal = Journal(Spool(self._slot.folder, self._place.spool_bytes), self._frames)
        return None

    def _bring_in(self, slot: Slot, gateway: str) -> None:
        spool = Spool(slot.folder, 0)
        if not spool.is_empty:
            batch = self._open(gateway, None)
            try:
                self.brought_over += bring_over(spool, self._frames, batch.write)
            finally:
                batch.close()
                spool.close()
        if gateway or not isinstance(self._store, PostgresStore):
            self.close_intents(gateway)

    def _open(
        self, gateway: str, patience_s: float | None, rollups: "PostgresRollups | None" = None
    ) -> "SqliteBatch | PostgresBatch":
        if isinstance(self._store, PostgresStore):
            from trunkline.storage.postgres_batch import PostgresBatch

            return PostgresBatch(
                self._store,
                self._rejected,
                self._cipher.seal,
                gateway=gateway,
                patience_s=patience_s,
                rollups=rollups,
            )
        if patience_s is None:
            return SqliteBatch(self._store.path, self._cipher.seal)
        return SqliteBatch(self._store.path, self._cipher.seal, busy_timeout_ms=int(patience_s * 1000))


@contextlib.contextmanager
def opened(
    place: WritingPlace, cipher: Cipher, on_error: Callable[[str], None], left: Left | None = None
) -> Iterator[GatewayStore]:
    """The hold, with what earlier gateways left brought in. StoreError where another process writes to the file, or the store does not take it now.

    `left` gets what gateways that are gone left behind, then and later on."""
    with contextlib.ExitStack() as stack:
        store = store_of(place.url)
        if not isinstance(store, PostgresStore):
            stack.enter_context(WriterClaim(place.url))
        slot = claim(place.spool) if place.spool_bytes else None
        if slot is not None:
            stack.callback(slot.release)
        held = GatewayStore(place, cipher, slot, left)
        if isinstance(store, PostgresStore):
            from trunkline.storage.presence import Presence

            presence = Presence(store, held.gateway, held.close_intents, on_error, fold_left=held.fold_left)
            presence.start()
            stack.callback(presence.stop)
        held.bring_in()
        yield held

"""What the store does not take now goes to the spool, and from there to the store, in order and in a thread of its own. In: batches. Out: the same, stored.

While anything waits in the spool, everything goes there, so that the order holds. Batches may be stored twice, which a store takes as once.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from trunkline.errors import StoreError
from trunkline.records.spool import Spool
from trunkline.records.types import Forgotten, Intent, Kept, Record

BACK_OFF_FIRST_S = 0.05
BACK_OFF_LAST_S = 2.0
Items = tuple[list[Record], list[Intent], list[str], list[Kept | Forgotten]]
"""What a batch writes: records, intents, ended intents, changes of what is kept."""


class StillWriting(StoreError):
    """The store has not answered yet: it may do what it was asked, and takes nothing else meanwhile."""


class Codec(Protocol):
    """Batches as bytes."""

    def encode(
        self,
        records: Sequence[Record],
        intents: Sequence[Intent],
        ended: Sequence[str],
        changes: Sequence[Kept | Forgotten],
    ) -> bytes: ...

    def decode(self, frame: bytes) -> Items: ...


class Owner(Protocol):
    """Whose batches these are. All but `write` are told in the journal's thread, and `write` is asked there only while something waits."""

    def write(self, items: Items) -> None: ...

    def failed(self, error: Exception) -> None: ...

    def stored(self, changes: int, kept_bytes: int) -> None: ...

    def emptied(self) -> None: ...


class _Stamp(msgspec.Struct, frozen=True, gc=False):
    changes: int
    kept_bytes: int


class Journal:
    """Lives from `start` to `stop`; its spool is empty before. `put` belongs to one thread."""

    def __init__(self, spool: Spool, codec: Codec) -> None:
        self._spool = spool
        self._codec = codec
        self._lock = threading.Lock()
        self._stamps: deque[_Stamp] = deque()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self.is_direct = True
        """Nothing waits: batches go to the store itself."""

    @property
    def waiting_bytes(self) -> int:
        """That wait."""
        return self._spool.waiting_bytes

    def start(self, owner: Owner) -> None:
        self._owner = owner
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def put(self, items: Items, changes: int, kept_bytes: int, *, after_failure: bool) -> bool:
        """Durable on return; False where nothing waits any more, so that the store can be asked. StoreError where the spool takes no more."""
        with self._lock:
            if self.is_direct and not after_failure:
                return False
            self._spool.append(self._codec.encode(*items))
            self._stamps.append(_Stamp(changes, kept_bytes))
            self.is_direct = False
        self._wake.set()
        return True

    def stop(self, timeout_s: float) -> bool:
        """Bring over what the store takes at once; the rest waits for the next start. False where the store held it up for longer."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        self._spool.close()
        return True

    def _run(self) -> None:
        while self._wake.wait() and not (self._stopping.is_set() and self.is_direct):
            self._bring_over()
            if self._stopping.is_set():
                return

    def _bring_over(self) -> None:
        back_off_s = BACK_OFF_FIRST_S
        while not self._is_over():
            try:
                self._bring_one()
            except StillWriting as error:
                # The next try waits until the store has answered.
                self._owner.failed(error)
            except Exception as error:  # noqa: BLE001 - a background loop: whatever the store says, the frame stays and is tried again
                self._owner.failed(error)
                if self._stopping.wait(back_off_s):
                    return
                back_off_s = min(2 * back_off_s, BACK_OFF_LAST_S)
            else:
                back_off_s = BACK_OFF_FIRST_S

    def _is_over(self) -> bool:
        """Whether the spool is empty; from then on batches go to the store."""
        with self._lock:
            if not self._spool.is_empty:
                return False
            self.is_direct = True
            self._wake.clear()
        self._owner.emptied()
        return True

    def _bring_one(self) -> None:
        if _bring(self._spool, self._codec, self._owner.write):
            stamp = self._stamps.popleft()
            self._owner.stored(stamp.changes, stamp.kept_bytes)


def bring_over(spool: Spool, codec: Codec, write: Callable[..., None]) -> int:
    """Store all that an earlier run left; how many batches it was. StoreError where the store does not take it."""
    count = 0
    while not spool.is_empty:
        count += _bring(spool, codec, lambda items: write(*items))
    return count


def _bring(spool: Spool, codec: Codec, write: Callable[[Items], None]) -> bool:
    """Store the oldest batch, if there is one."""
    frame = spool.peek()
    if frame is None:
        return False
    try:
        items = codec.decode(frame)
    except StoreError:
        # Of a newer version, or under another secrets file: nobody waits for it, and it is not thrown away.
        spool.put_aside()
        return True
    write(items)
    spool.done()
    return True

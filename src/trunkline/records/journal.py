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
MOST_AT_ONCE = 64
"""Batches that are stored in one: when a store was away they are many and small, and each would wait for its commit."""
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
        self.taken = 0
        """Batches that ever came here."""
        self.brought = 0
        """The first so many of them are in the store."""

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
            self.taken += 1
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
        # The first by itself: the store may be at it still, and needs not be asked again then.
        back_off_s, most = BACK_OFF_FIRST_S, 1
        while not self._is_over():
            try:
                self._bring_some(most)
            except StillWriting as error:
                # The next try waits until the store has answered.
                self._owner.failed(error)
            except Exception as error:  # noqa: BLE001 - a background loop: whatever the store says, the frame stays and is tried again
                self._owner.failed(error)
                if self._stopping.wait(back_off_s):
                    return
                back_off_s = min(2 * back_off_s, BACK_OFF_LAST_S)
            else:
                back_off_s, most = BACK_OFF_FIRST_S, min(2 * most, MOST_AT_ONCE)

    def _is_over(self) -> bool:
        """Whether the spool is empty; from then on batches go to the store."""
        with self._lock:
            if not self._spool.is_empty:
                return False
            self.is_direct = True
            self.brought = self.taken
            self._wake.clear()
        self._owner.emptied()
        return True

    def _bring_some(self, most: int) -> None:
        for _ in range(_bring(self._spool, self._codec, self._owner.write, most)):
            stamp = self._stamps.popleft()
            self._owner.stored(stamp.changes, stamp.kept_bytes)
            self.brought += 1


def bring_over(spool: Spool, codec: Codec, write: Callable[..., None]) -> int:
    """Store all that an earlier run left; how many batches it was. StoreError where the store does not take it."""
    count = 0
    while not spool.is_empty:
        count += _bring(spool, codec, lambda items: write(*items), MOST_AT_ONCE)
    return count


def _bring(spool: Spool, codec: Codec, write: Callable[[Items], None], most: int) -> int:
    """Store the oldest batches, at most so many, as one; how many there were."""
    frames = spool.peek_some(most)
    if not frames:
        return 0
    readable: list[Items] = []
    for frame in frames:
        try:
            readable.append(codec.decode(frame))
        except StoreError:
            # Of a newer version, or under another secrets file: nobody waits for it, and it is not thrown away.
            spool.put_aside(frame)
    if readable:
        write(readable[0] if len(readable) == 1 else merged(readable))
    count = len(frames)
    spool.done()
    return count


def merged(batches: Sequence[Items]) -> Items:
    """Batches in their order as one that does the same. An intent whose record comes with it is not worth a row."""
    records: list[Record] = []
    intents: dict[str, Intent] = {}
    ended: list[str] = []
    changes: dict[str, Kept | Forgotten] = {}
    for more, begun, over, changed in batches:
        for intent in begun:
            intents[intent.id] = newest_intent(intents.get(intent.id), intent)
        records += more
        ended += over
        for id_ in (*over, *[record.id for record in more]):
            intents.pop(id_, None)
        changes.update({change.key: change for change in changed})
    return records, list(intents.values()), ended, list(changes.values())


def newest_intent(earlier: Intent | None, intent: Intent) -> Intent:
    """A request that goes to its next offer intends again: that offer counts, from the request's first start on."""
    if earlier is None:
        return intent
    return msgspec.structs.replace(
        intent,
        started_ms=min(earlier.started_ms, intent.started_ms),
        reserved_pico_usd=max(earlier.reserved_pico_usd, intent.reserved_pico_usd),
    )

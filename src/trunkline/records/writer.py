"""The durable writer: takes intents, records and what is to be kept without waiting, stores them in batches from a thread of its own.

In: `intend`, `end`, `keep`, `forget` (an append to a deque), `room`. Out: one durable transaction at most every `min_interval_s`. A store
that fails is tried again until it takes the batch; nothing is dropped, `room` holds new requests back, `stats` shows it. Between
batches what was stored is folded into the figures, about once a second; once a minute what has expired is deleted, a few rows at a time.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from trunkline.errors import StoreError
from trunkline.records.journal import BACK_OFF_FIRST_S, BACK_OFF_LAST_S, Items, Journal, StillWriting, newest_intent
from trunkline.records.types import Forgotten, Intent, Kept, Record

_BATCH_ITEMS = 2_000
_BATCH_BYTES = 32 * 1024 * 1024
"""Of what is kept: a batch ends with the item that passes it, so that one commit does not take seconds."""
MAX_KEPT_BYTES = 256 * 1024 * 1024
"""As much of it may wait; then new requests do."""
PURGE_EVERY_S = 60.0
_PURGE_ROWS = 100
_PURGE_PAUSE_S = 1.0
FOLD_EVERY_S = 1.0
"""Figures are as old at most: the rows that a second's records share are written once, not with each batch."""
_FOLD_PAUSE_S = 0.2
_STORED_WITHIN_S = 3.0
_LOOK_AGAIN_S = 0.02


Change = Kept | Forgotten


class Batch(Protocol):
    """A connection to a store. `write` is one transaction, durable on return, and may be given the same items again."""

    def write(
        self,
        records: Sequence[Record],
        intents: Sequence[Intent],
        ended: Sequence[str],
        changes: Sequence["Change"] = (),
    ) -> None:
        """`changes` are of different keys."""
        ...

    def fold(self, now_ms: float) -> bool:
        """Add what was written to the figures; False where some is left for the next time."""
        ...

    def purge(self, now_ms: float, rows: int) -> int:
        """Delete at most so many rows that have expired; how many it was."""
        ...

    def close(self) -> None: ...


class WriterStats(msgspec.Struct, frozen=True):
    """`queued` and `written` count records, intents and changes of what is kept; `last_error` is empty while the store is well."""

    queued: int
    written: int
    batches: int
    failures: int
    last_error: str
    oldest_waiting_s: float
    """At most this long the oldest item has waited; 0 when nothing waits."""
    figures_error: str = ""
    """Why the figures are not up to date; empty while they are. Records do not wait for it."""
    spooled_bytes: int = 0
    """On the local disk, for a store that does not take them now."""
    is_spooling: bool = False
    """The store does not take what comes, and the local disk does."""


class _Waiter(msgspec.Struct, frozen=True):
    """A task that waits for the thread, in the loop that it belongs to."""

    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[None]"

    def wake(self) -> None:
        # A loop that has ended has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(_resolve, self.future)


class _Bell:
    """Wakes the one thread that waits, or the next one that would. An Event makes a lock and a condition for each wait, 13,000 instructions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        # It rings already.
        with contextlib.suppress(RuntimeError):
            self._lock.release()

    def wait(self, timeout_s: float) -> None:
        """Until it rings, at most so long."""
        self._lock.acquire(timeout=timeout_s)


class _Work(msgspec.Struct):
    """What the thread took from the queue and has not stored yet. `barriers` wait for it."""

    records: list[Record] = []
    intents: dict[str, Intent] = {}
    ended: list[str] = []
    changes: dict[str, Change] = {}
    """The last one of each key."""
    change_count: int = 0
    kept_bytes: int = 0
    barriers: list[_Waiter] = []
    taken: int = 0

    @property
    def items(self) -> Items:
        return self.records, list(self.intents.values()), self.ended, list(self.changes.values())


class RecordWriter:
    """Implements `RecordSink`. Lives from `start` to `stop`; `intend`, `end` and `room` belong to the event loop's side.

    Each flag is written by one side and read by the other in an order that loses no wake-up; there is no lock per item. With a journal, what the store
    does not take at once waits on the local disk instead of in memory; then the connection belongs to the journal's thread until it has brought it over.
    """

    def __init__(
        self,
        open_batch: Callable[[], Batch],
        *,
        max_queue: int = 20_000,
        min_interval_s: float = 0.02,
        max_kept_bytes: int = MAX_KEPT_BYTES,
        journal: Journal | None = None,
        clock: Callable[[], float] = time.monotonic,
        unix_ms: Callable[[], float] = lambda: time.time() * 1000,
    ) -> None:
        self._open_batch = open_batch
        self._max_queue = max_queue
        self._min_interval_s = min_interval_s
        self._max_kept_bytes = max_kept_bytes
        self._journal = journal
        self._clock = clock
        self._unix_ms = unix_ms
        self._queue: deque[Record | Intent | Change | _Waiter] = deque()
        # Two counters, each with one writer: what was handed over, counted by the loop, and what is durable, counted by the thread.
        self._changes = self._kept_bytes = 0
        self._durable_changes = self._durable_bytes = 0
        self._purge_at = clock() + PURGE_EVERY_S
        self._fold_at: float | None = clock()
        """When the figures are due; None while there is nothing new. Due at the start: the last run may have left some."""
        self._room_waiters: deque[_Waiter] = deque()
        self._work = _Work()
        self._batch: Batch | None = None
        # Intents that are in the store, or may be: their end must delete them.
        self._stored_intents: set[str] = set()
        self._wake, self._hurry = _Bell(), _Bell()
        self._asleep = False
        self._stopping = threading.Event()
        self._abandon = threading.Event()
        self._thread = threading.Thread(target=self._run, name="record-writer", daemon=True)
        self._written = 0
        self._batches = 0
        self._failures = 0
        self._last_error = ""
        self._figures_error = ""
        self._is_spool_full = False
        self._waiting_since: float | None = None

    def start(self) -> None:
        """Start the thread. A store that cannot be opened is tried again like one that cannot be written."""
        if self._journal is not None:
            self._journal.start(self)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Store what is there and end the thread. Blocks. StoreError when the store did not take everything in time."""
        self._stopping.set()
        self._wake.ring()
        self._hurry.ring()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._abandon.set()
            self._thread.join()
        if self._journal is None or self._journal.stop(timeout_s):
            self._end_batch()
        left = self._queued()
        if left:
            raise StoreError(
                f"{left} records, intents and kept items could not be stored before the stop: {self._last_error}"
            )

    def intend(self, intent: Intent) -> None:
        """Note an attempt that is about to be sent. Never waits."""
        self._queue.append(intent)
        if self._asleep:
            self._rouse()

    def end(self, record: Record) -> None:
        """Hand over the record of a request. Never waits; it is durable after about `min_interval_s` and a commit."""
        self._queue.append(record)
        if self._asleep:
            self._rouse()

    def keep(self, kept: Kept) -> int:
        """Hand over what a later request may ask for; durable like a record. Never waits."""
        self._kept_bytes += len(kept.data)
        return self._change(kept)

    def forget(self, key: str) -> int:
        """Delete what was kept under a key, with the next batch. Never waits."""
        return self._change(Forgotten(key))

    @property
    def durable_changes(self) -> int:
        """How many calls of `keep` and `forget`, in their order, are in the store."""
        return self._durable_changes

    @property
    def is_full(self) -> bool:
        """The queue is at its mark: whoever brings more must wait for `room`."""
        return self._queued() >= self._max_queue or self._kept_bytes - self._durable_bytes >= self._max_kept_bytes

    async def room(self) -> None:
        """Wait until the queue is below its mark; returns at once when it is."""
        while self.is_full:
            waiter = _new_waiter()
            self._room_waiters.append(waiter)
            # The thread may have made room between the check and the append, and then not have seen this waiter.
            if not self.is_full:
                return
            await waiter.future

    async def flushed(self) -> None:
        """Wait until everything handed over so far is durable."""
        barrier = _new_waiter()
        self._queue.append(barrier)
        if self._asleep:
            self._rouse()
        await barrier.future

    async def all_stored(self) -> None:
        """Wait until everything handed over so far is in the store. StoreError where some of it waits on the local disk, and goes on waiting."""
        await self.flushed()
        journal, until_s = self._journal, self._clock() + _STORED_WITHIN_S
        # What comes later may go there too, and is not waited for: under load a slow store would never see it empty.
        taken = 0 if journal is None else journal.taken
        while journal is not None and journal.brought < taken:
            # A slow commit puts a batch there for a moment; a store that is away, for as long as it is.
            if self._clock() >= until_s:
                raise StoreError("records wait on the local disk for the store")
            await asyncio.sleep(_LOOK_AGAIN_S)

    def stats(self) -> WriterStats:
        since = self._waiting_since
        return WriterStats(
            queued=self._queued(),
            written=self._written,
            batches=self._batches,
            failures=self._failures,
            last_error=self._last_error,
            oldest_waiting_s=0.0 if since is None else self._clock() - since,
            figures_error=self._figures_error,
            spooled_bytes=0 if self._journal is None else self._journal.waiting_bytes,
            is_spooling=not self._is_direct and not self._is_spool_full,
        )

    def _queued(self) -> int:
        return len(self._queue) + self._work.taken

    def _change(self, change: Change) -> int:
        self._changes += 1
        self._queue.append(change)
        if self._asleep:
            self._rouse()
        return self._changes

    def _rouse(self) -> None:
        self._asleep = False
        self._wake.ring()

    # From here on: the thread.

    def _run(self) -> None:
        while self._await_work():
            # Waiting before taking lets a short request's intent and record meet in one batch, where the intent falls away.
            if not self._stopping.is_set():
                self._hurry.wait(self._min_interval_s)
            self._store_queue()
            self._keep_house()

    def _await_work(self) -> bool:
        """True when there is something to store, False when the thread is to end."""
        while not self._queue:
            if self._stopping.is_set():
                return False
            self._waiting_since = None
            self._let_in(len(self._room_waiters))
            self._asleep = True
            # Whoever appended before `_asleep` was set did not rouse: look again before sleeping.
            if not self._queue and not self._stopping.is_set():
                due = self._purge_at if self._fold_at is None else min(self._purge_at, self._fold_at)
                self._wake.wait(max(0.0, due - self._clock()))
            self._asleep = False
            self._keep_house()
        if self._waiting_since is None:
            self._waiting_since = self._clock()
        return not self._abandon.is_set()

    def _store_queue(self) -> None:
        """Take the next items and store them, or put them into the journal, however often it takes."""
        taken_at = self._clock()
        self._work = self._take()
        back_off_s = BACK_OFF_FIRST_S
        while not (self._try_store() if self._is_direct else self._try_spool(after_failure=False)):
            if self._abandon.wait(back_off_s):
                return
            back_off_s = min(2 * back_off_s, BACK_OFF_LAST_S)
        # What is in the queue now came after the last taking.
        self._waiting_since = taken_at if self._queue else None

    @property
    def _is_direct(self) -> bool:
        return self._journal is None or self._journal.is_direct

    def _take(self) -> _Work:
        """Up to `_BATCH_ITEMS` of the queue. An intent whose record comes in the same batch is not worth a row."""
        work = _Work()
        records, intents, stored_intents, next_item = (
            work.records,
            work.intents,
            self._stored_intents,
            self._queue.popleft,
        )
        for _ in range(min(len(self._queue), _BATCH_ITEMS)):
            if work.kept_bytes > _BATCH_BYTES:
                break
            item = next_item()
            work.taken += 1
            if type(item) is Record:
                id_ = item.id
                records.append(item)
                intents.pop(id_, None)
                if id_ in stored_intents:
                    work.ended.append(id_)
            elif type(item) is Intent:
                earlier = intents.get(item.id)
                intents[item.id] = item if earlier is None else newest_intent(earlier, item)
            elif type(item) is _Waiter:
                work.barriers.append(item)
            else:
                _add_change(work, item)  # type: ignore[arg-type]
        return work

    def _try_store(self) -> bool:
        work = self._work
        # Before the attempt: one that fails may have been stored all the same.
        self._stored_intents.update(work.intents)
        try:
            if work.records or work.intents or work.changes:
                self.write(work.items)
        except Exception as error:  # noqa: BLE001 - a background loop: whatever the store says, the batch is kept and tried again
            self.failed(error)
            return self._try_spool(after_failure=True)
        self._last_error = ""
        self.stored(work.change_count, work.kept_bytes)
        self._account(work)
        return True

    def _try_spool(self, *, after_failure: bool) -> bool:
        """Put the items into the journal. False where there is none, it takes no more, or the store takes them again."""
        work = self._work
        if self._journal is None:
            return False
        self._stored_intents.update(work.intents)
        if not (work.records or work.intents or work.changes):
            self._account(work)
            return True
        try:
            if not self._journal.put(work.items, work.change_count, work.kept_bytes, after_failure=after_failure):
                return self._try_store()
        except Exception as error:  # noqa: BLE001 - the same
            self._is_spool_full = True
            self._last_error = str(error) or type(error).__name__
            return False
        self._is_spool_full = False
        self._account(work)
        return True

    def _account(self, work: _Work) -> None:
        """These are durable."""
        self._stored_intents.difference_update(work.ended)
        self._written += work.taken - len(work.barriers)
        if work.records and self._fold_at is None:
            self._fold_at = self._clock() + FOLD_EVERY_S
        self._batches += 1
        self._work = _Work()
        for barrier in work.barriers:
            barrier.wake()
        self._let_in(0 if self.is_full else self._max_queue - len(self._queue))

    def _let_in(self, places: int) -> None:
        # As many as there are places, since all of them at once would pass the mark together. One that was woken may not use its
        # place (it was cancelled), so whoever is still there when the queue is empty is let in before the thread sleeps.
        while self._room_waiters and places > 0:
            self._room_waiters.popleft().wake()
            places -= 1

    def _keep_house(self) -> None:
        if self._is_direct:
            self._fold()
            self._purge()

    def _fold(self) -> None:
        """Bring the figures up to date, if it is time. What cannot be folded now is, later: the store knows which records are."""
        now = self._clock()
        if self._fold_at is None or now < self._fold_at or self._stopping.is_set():
            return
        try:
            is_all = self._open().fold(self._unix_ms())
        except Exception as error:  # noqa: BLE001 - a background loop: it is tried again in a second
            # No failure of storing: records are safe, and the next batch finds out by itself what is wrong with the store.
            self._figures_error = str(error) or type(error).__name__
            self._fold_at = now + FOLD_EVERY_S
            return
        self._figures_error = ""
        self._fold_at = None if is_all else now + _FOLD_PAUSE_S

    def _end_batch(self) -> None:
        """The last figures, then the end."""
        if self._batch is not None and self._is_direct:
            # What fails here is done at the next start.
            with contextlib.suppress(Exception):
                self._batch.fold(self._unix_ms())
        self._close_batch()

    def _purge(self) -> None:
        """A few rows that have expired, if it is time. Many are deleted in many small transactions: none holds up a batch."""
        now = self._clock()
        if now < self._purge_at or self._stopping.is_set():
            return
        self._purge_at = now + PURGE_EVERY_S
        try:
            if self._open().purge(self._unix_ms(), _PURGE_ROWS) == _PURGE_ROWS:
                self._purge_at = now + _PURGE_PAUSE_S
        except Exception:  # noqa: BLE001 - a background loop: it is tried again in a minute
            self._failures += 1
            self._close_batch()

    # What the journal asks and tells, in its thread while something waits there; else this one's own.

    def write(self, items: Items) -> None:
        """One transaction."""
        self._open().write(*items)

    def failed(self, error: Exception) -> None:
        """The store did not take a batch. One that is still at it keeps its connection."""
        self._failures += 1
        self._last_error = str(error) or type(error).__name__
        if not isinstance(error, StillWriting):
            self._close_batch()

    def stored(self, changes: int, kept_bytes: int) -> None:
        """So many changes of what is kept are in the store."""
        self._durable_changes += changes
        self._durable_bytes += kept_bytes

    def emptied(self) -> None:
        """The journal has brought over everything."""
        self._last_error = ""
        self._fold_at = self._clock()
        self._rouse()

    def _open(self) -> Batch:
        if self._batch is None:
            self._batch = self._open_batch()
        return self._batch

    def _close_batch(self) -> None:
        if self._batch is not None:
            self._batch.close()
            self._batch = None


def _add_change(work: _Work, change: Change) -> None:
    work.changes[change.key] = change
    work.change_count += 1
    work.kept_bytes += len(change.data) if type(change) is Kept else 0


def _new_waiter() -> _Waiter:
    loop = asyncio.get_running_loop()
    return _Waiter(loop, loop.create_future())


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)

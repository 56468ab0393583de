"""Captured bodies on their way into the store (`body_files`, `body_table`): by day, compressed and encrypted like what is `Kept`.

In: `Captured`, from the event loop; which records were stored, in the record writer's thread. Out: rows, found again by a request's id. Bodies are no
records: they follow theirs within a second or two, and when too many wait, or the store takes none, they are dropped and counted, never held up for.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from trunkline.errors import StoreError
from trunkline.records.bodies import DAY_MS, Captured, CapturePolicy, redacted
from trunkline.records.types import Intent, Kept, Record
from trunkline.records.writer import Batch, Change
from trunkline.storage.cipher import Cipher

MAX_WAITING_BYTES = 64 * 1024 * 1024
WITH_RECORDS_S = 0.010
"""Between two batches of records so long is given to bodies, lest records wait."""
BETWEEN_S = 0.030
RowsOfDays = dict[int, list[tuple[str, str, bytes]]]
"""Day (from 1970, UTC) -> id, key id, sealed data."""
_decoder = msgspec.msgpack.Decoder(Captured)


class BodyDays(Protocol):
    """Where rows go; used by the writer's thread."""

    def write(self, by_day: RowsOfDays) -> None:
        """StoreError where they cannot be written now; ids that are there already are left as they are."""
        ...

    def purge(self, oldest_day: int) -> None:
        """Delete all of the days before."""
        ...

    def close(self) -> None:
        """Let go of the store, whatever state it is in; the next rows open it again."""
        ...


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
        days: BodyDays,
        cipher: Cipher,
        policy: CapturePolicy,
        on_error: Callable[[str], None] = lambda _: None,
        *,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        clock: Callable[[], float] = time.monotonic,
        unix_ms: Callable[[], float] = lambda: time.time() * 1000,
    ) -> None:
        self._place = days
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
        by_day: RowsOfDays = {}
        while self._ready and (not taken or self._clock() < until):
            captured = self._ready.popleft()
            taken.append(captured)
            row = self._row(captured)
            if row is not None:
                by_day.setdefault(captured.day, []).append(row)
        try:
            self._place.write(by_day)
        except StoreError as error:
            before, self._last_error = self._last_error, str(error)
            if self._last_error != before:
                self._on_error(self._last_error)
            self._ready.extendleft(reversed(taken))
            self._place.close()
            # Until the next turn: what is wrong with the disk is not mended at once.
            return True
        self._last_error = ""
        self._kept += sum([len(rows) for rows in by_day.values()])
        self._done_bytes += sum([captured.kept_bytes for captured in taken])
        return not self._ready

    def purge(self) -> None:
        """Delete days that are over for as long as they are kept."""
        self._place.purge(int((self._unix_ms() - self.policy.days * DAY_MS) // DAY_MS))

    def close(self) -> None:
        """Write what is left, and let go of the store. Whatever state it is in, this does not raise."""
        while not self.store(1.0):
            pass
        self._place.close()

    def _row(self, captured: Captured) -> tuple[str, str, bytes] | None:
        try:
            kept = _kept(captured.id, captured.key_id, self._encoder.encode(redacted(captured, self.policy)))
            return captured.id, captured.key_id, self._cipher.seal(kept)
        except Exception:  # noqa: BLE001 - a background loop: one that cannot be redacted must neither be stored nor stop the others
            self._dropped_here += 1
            return None


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


def opened(cipher: Cipher, id_: str, key_id: str, data: bytes) -> Captured:
    """The views, out of a row."""
    return _decoder.decode(cipher.open(_kept(id_, key_id, data)).data)


def _kept(id_: str, key_id: str, data: bytes) -> Kept:
    """What the cipher takes: the id and the key are the row's place, in which alone it can be read."""
    return Kept(id_, "body", key_id, 0, 0, data)


def _harmlessly(act: Callable[..., Any], *arguments: Any) -> Any:
    """Bodies must not stop records, whatever is wrong with them."""
    with contextlib.suppress(Exception):
        return act(*arguments)
    return None

"""What later requests may ask for again: in memory what was kept lately, behind it the store. In: `Kept`, keys. Out: data that has not expired.

Keeping never waits; it goes to the records' writer. What is not durable yet is always found here, so one process never misses what it kept.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Protocol

from trunkline.errors import Overloaded, StoreError
from trunkline.records.types import Kept, RecordSink

MAX_ITEMS = 20_000
MAX_BYTES = 64 * 1024 * 1024
DAY_MS = 86_400_000


class KeptSource(Protocol):
    """Reads the store. Blocks, and is asked by one thread at a time. StoreError when it cannot be read."""

    def find(self, keys: Sequence[str], now_ms: float) -> Sequence[Kept]: ...


class _Place:
    """What is known of a key: the last change of it. `kept` is None where that was its end."""

    __slots__ = ("change", "kept")

    def __init__(self, kept: Kept | None, change: int) -> None:
        self.kept = kept
        self.change = change
        """Its running number at the sink; 0 where it came from the store, or never goes there."""


class Shelf:
    """Lives as long as the process; belongs to its event loop. `thread` is an executor with one thread, which may be shared."""

    def __init__(
        self,
        sink: RecordSink,
        source: KeptSource,
        thread: Executor,
        unix_ms: Callable[[], float],
        *,
        max_items: int = MAX_ITEMS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._sink = sink
        self._source = source
        self._thread = thread
        self._unix_ms = unix_ms
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._bytes = 0

    def keep(self, kept: Kept) -> int:
        """Find it from now on, until it expires. Never waits. Gives its number for `is_durable`."""
        change = self._sink.keep(kept)
        self._put(kept.key, _Place(kept, change))
        return change

    def is_durable(self, change: int) -> bool:
        """Whether what was kept would outlive this process."""
        return change <= self._sink.durable_changes

    def here(self, key: str) -> Kept | None:
        """What is in memory."""
        place = self._places.get(key)
        kept = None if place is None else place.kept
        return kept if kept is not None and kept.expires_ms > self._unix_ms() else None

    def keep_here(self, kept: Kept) -> None:
        """The same, in memory only: it is gone with the process, or when others need its room."""
        self._put(kept.key, _Place(kept, 0))

    def forget(self, key: str) -> None:
        """Find it no more. Never waits."""
        self._put(key, _Place(None, self._sink.forget(key)))

    async def find(self, keys: Sequence[str]) -> dict[str, Kept]:
        """Those that are known. Raises Overloaded while the store cannot be read."""
        known = {key: self._places[key].kept for key in keys if key in self._places}
        missing = [key for key in keys if key not in known]
        if missing:
            known |= {kept.key: kept for kept in await self._look_up(missing)}
        now_ms = self._unix_ms()
        newest = {key: self._newest(key, kept) for key, kept in known.items()}
        return {key: kept for key, kept in newest.items() if kept is not None and kept.expires_ms > now_ms}

    def _newest(self, key: str, known: Kept | None) -> Kept | None:
        """What was kept or forgotten while the store was read is newer than what is known from before."""
        place = self._places.get(key)
        if place is not None:
            self._places.move_to_end(key)
            return place.kept
        if known is not None:
            self._put(key, _Place(known, 0))
        return known

    async def _look_up(self, keys: list[str]) -> Sequence[Kept]:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._source.find, keys, self._unix_ms())
        except StoreError as error:
            raise Overloaded("The store cannot be read at the moment.", retry_after_s=1.0) from error

    def _put(self, key: str, place: _Place) -> None:
        self._take_out(key)
        self._places[key] = place
        self._bytes += _size(place)
        while len(self._places) > self._max_items or self._bytes > self._max_bytes:
            oldest = next(iter(self._places))
            if self._places[oldest].change > self._sink.durable_changes:
                # Nobody else has it yet. The sink takes no requests while too much waits, so this has an end.
                return
            self._take_out(oldest)

    def _take_out(self, key: str) -> None:
        place = self._places.pop(key, None)
        if place is not None:
            self._bytes -= _size(place)


def _size(place: _Place) -> int:
    return len(place.kept.data) if place.kept is not None else 0

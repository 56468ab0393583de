"""Follows a part of the store that gateways act by: keys, stored credentials, budgets. In: how to read it. Out: it, whenever it has changed.

On SQLite a poll is one primary-key read of a file that is in memory (some 10 µs), and in WAL mode never waits for a writer. A question to PostgreSQL may
take long, so a thread asks it some times a second, and a poll only looks at what that has found: the event loop is never held up.
"""

import contextlib
import math
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from trunkline.errors import StoreError
from trunkline.storage.columns import KEYS_REVISION
from trunkline.storage.reading import Reader, reader_of
from trunkline.storage.url import is_postgres

_SELECT_REVISION = "SELECT value FROM meta WHERE key = ?"
_BUSY_TIMEOUT_MS = 20
_EACH_S = 0.25
_WAIT_S = 0.05
"""At most so long somebody may wait for news."""
_GAP_S = 1.0
"""So long after a wait that brought no news the next one comes at the soonest: whoever sends keys that nobody has does not hold the loop up. Those that were
just made are found by a poll meanwhile."""
_WITHIN_S = 2.0
Part = TypeVar("Part")


class Following(Generic[Part]):
    """Lives as long as the gateway; polled by one thread. StoreError at the begin when the store cannot be read."""

    def __init__(self, url: str, read: Callable[[Reader], Part]) -> None:
        self._source = _Watched(url, read) if is_postgres(url) else _Polled(url, read)

    def poll(self) -> Part | None:
        """All of it if there was a change since the last poll (the first one always tells), else None. StoreError when the store cannot be read: then
        what is known so far goes on holding."""
        return self._source.poll()

    def poll_now(self) -> Part | None:
        """The same for what may have changed a moment ago: on PostgreSQL the store is asked and waited for, for a moment, and not each time in a row."""
        return self._source.poll_now()

    def close(self) -> None:
        self._source.close()


class _Revised(Generic[Part]):
    """Reads it where its revision has grown. Lives as long as its reader."""

    def __init__(self, reader: Reader, read: Callable[[Reader], Part]) -> None:
        self._reader = reader
        self._read = read
        self._revision = -1

    def news(self) -> Part | None:
        # The revision first: a change in between is then told once more, never missed.
        revision = int(self._reader.rows(_SELECT_REVISION, KEYS_REVISION)[0][0])
        if revision == self._revision:
            return None
        found = self._read(self._reader)
        self._revision = revision
        return found


class _Polled(Generic[Part]):
    """Of SQLite."""

    def __init__(self, url: str, read: Callable[[Reader], Part]) -> None:
        self._reader = reader_of(url, busy_timeout_ms=_BUSY_TIMEOUT_MS)
        self._revised = _Revised(self._reader, read)
        self._reader.rows("SELECT 1")

    def poll(self) -> Part | None:
        return self._revised.news()

    def poll_now(self) -> Part | None:
        return self._revised.news()

    def close(self) -> None:
        self._reader.close()


class _Watched(Generic[Part]):
    """Of PostgreSQL. Its thread ends with `close`."""

    def __init__(self, url: str, read: Callable[[Reader], Part]) -> None:
        self._reader = reader_of(url, within_s=_WITHIN_S)
        self._revised = _Revised(self._reader, read)
        self._changed = threading.Condition()
        self._asked = self._answered = 0
        self._is_closed = False
        self._fault: StoreError | None = None
        self._waited_s = -math.inf
        self._found: Part | None = None
        try:
            self._found = self._revised.news()
        except BaseException:
            self._reader.close()
            raise
        self._thread = threading.Thread(target=self._watch, name="following", daemon=True)
        self._thread.start()

    def poll(self) -> Part | None:
        with self._changed:
            found, self._found = self._found, None
            if found is None and self._fault is not None:
                raise self._fault
            return found

    def poll_now(self) -> Part | None:
        if self._fault is None and time.monotonic() - self._waited_s >= _GAP_S:
            with self._changed:
                self._asked += 1
                mine = self._asked
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._answered >= mine or self._is_closed, _WAIT_S)
                if self._found is None:
                    self._waited_s = time.monotonic()
        return self.poll()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()
        self._reader.close()

    def _watch(self) -> None:
        while not self._is_closed:
            with self._changed:
                asked = self._asked
            found, fault = self._look()
            with self._changed:
                self._found = found if found is not None else self._found
                self._fault, self._answered = fault, asked
                self._changed.notify_all()
                # An iteration is short, and what was asked for meanwhile is asked at once.
                self._changed.wait_for(lambda: self._asked > self._answered or self._is_closed, _EACH_S)

    def _look(self) -> tuple[Part | None, StoreError | None]:
        try:
            return self._revised.news(), None
        except StoreError as error:
            return None, error
        except Exception as error:  # noqa: BLE001 - a background loop: told by the next poll, then it goes on
            with contextlib.suppress(Exception):
                self._reader.close()
            return None, StoreError(f"what gateways follow in the store cannot be read: {error}")

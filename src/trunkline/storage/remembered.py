"""Remembers answers about times that are over. In: a question, the time that it is asked in, how to read the answer. Out: the answer.

The rows of such times change only where records come to the store late. Who asks says by the number of the time until when an answer holds.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sized
from typing import Any, TypeVar

MOST_ROWS = 60_000
MOST_ROWS_OF_ONE = 20_000
Answer = TypeVar("Answer", bound=Sized)


class Remembered:
    """Lives as long as its store is open; used by any thread. What it gives is shared: nobody may change it."""

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most_rows = most_rows
        self._known: OrderedDict[Hashable, tuple[int, Any]] = OrderedDict()
        """The one asked for last is the last."""
        self._rows = 0
        self._lock = threading.Lock()

    def answer(self, question: Hashable, time: int, read: Callable[[], Answer]) -> Answer:
        """From memory, or read now. Of an answer its length counts against the bounds."""
        with self._lock:
            known = self._known.get(question)
            if known is not None and known[0] == time:
                self._known.move_to_end(question)
                found: Answer = known[1]
                return found
        found = read()
        if len(found) <= MOST_ROWS_OF_ONE:
            self._remember(question, time, found)
        return found

    def _remember(self, question: Hashable, time: int, found: Sized) -> None:
        with self._lock:
            self._forget(question)
            self._known[question] = time, found
            self._rows += len(found) + 1
            while self._rows > self._most_rows:
                self._forget(next(iter(self._known)))

    def _forget(self, question: Hashable) -> None:
        known = self._known.pop(question, None)
        if known is not None:
            self._rows -= len(known[1]) + 1

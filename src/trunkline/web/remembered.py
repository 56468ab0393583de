"""What a page worked out a few seconds ago, for the next reader. In: a key, how to work it out. Out: the value, at most `HOLDS_MS` old.

Pages that anyone may open are asked for at any rate: their figures then cost the store the same as one reader does.
Who asks for some while they are worked out waits for those.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

HOLDS_MS = 5_000
MOST = 200
Value = TypeVar("Value")


class Remembered:
    """Values with their times, the newest of so many. Lives as long as the app."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._pending: dict[Hashable, asyncio.Task[Any]] = {}

    async def get(self, key: Hashable, now_ms: float, work_out: Callable[[], Awaitable[Value]]) -> Value:
        """The value of a key; one that is too old, or of a clock that was set back, is worked out anew."""
        known = self._known.get(key)
        if known is not None and 0 <= now_ms - known[0] < HOLDS_MS:
            value: Value = known[1]
            return value
        task = self._pending.get(key)
        if task is None:
            task = self._pending[key] = asyncio.create_task(self._worked_out(key, now_ms, work_out))
            task.add_done_callback(lambda done: self._settled(key, done))
        # A reader who leaves takes nothing away from the others.
        found: Value = await asyncio.shield(task)
        return found

    async def _worked_out(self, key: Hashable, now_ms: float, work_out: Callable[[], Awaitable[Value]]) -> Value:
        found = await work_out()
        self._known[key] = (now_ms, found)
        self._known.move_to_end(key)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return found

    def _settled(self, key: Hashable, task: "asyncio.Task[Any]") -> None:
        del self._pending[key]
        # Looked at, so that a fault of which every reader has left is not reported as a surprise.
        if not task.cancelled():
            task.exception()

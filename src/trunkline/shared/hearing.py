"""What gateways tell each other of offers: once a second, mostly in one round trip. In: words of ours, and who takes those of the others. Out: nothing.

Words that are told while Redis is away are told to nobody: `tell` is not asked then.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from trunkline.errors import StoreError
from trunkline.shared.link import Link

EVERY_S = 1.0
KEPT_MS = 60_000
"""Who starts hears of the last minute."""


class Hearing:
    """Lives as long as the process; `keep_up` runs beside it."""

    def __init__(self, link: Link, tell: Callable[[], Iterator[bytes]], hear: Callable[[bytes, float], None]) -> None:
        """`tell` gives what is new, in pieces; `hear` takes one, and how many seconds ago they were said."""
        self._link = link
        self._tell = tell
        self._hear = hear
        self._last: bytes = b""

    async def keep_up(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.exchange()

    async def exchange(self) -> None:
        """Tell and hear once."""
        if self._link.is_away:
            return
        told = self._tell()
        with contextlib.suppress(StoreError):
            await self._swap(next(told, b""))
            for words in told:
                await self._swap(words)

    async def _swap(self, words: bytes) -> None:
        last, *told = await self._link.run("news", self._link.gate, self._last, words, str(KEPT_MS))
        self._last = last
        for at in range(0, len(told), 2):
            self._hear(told[at + 1], int(told[at]) / 1000)
            # Of many gateways, and many offers: requests go in between.
            await asyncio.sleep(0)

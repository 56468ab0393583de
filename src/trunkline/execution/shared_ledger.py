"""`Idempotency-Key` where several gateways answer: one of them answers, and all find its answer. In: names of requests. Out: as `idempotency.Ledger` says.

Names are claimed in what gateways share, answers lie in the store, which all of them read: a name is let go once its answer is there. Looked for is
after the claim, never before, so that nothing comes in between. Where nobody can be asked, this gateway goes on by itself.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from trunkline.execution.idempotency import Answer, LocalLedger, in_progress, read_answer, refuse_other
from trunkline.execution.shelf import Shelf
from trunkline.records.types import Kept

STORED_WITHIN_S = 2.0
LOOK_S = 0.05


class Held(Protocol):
    """A request that another gateway answers, see `shared.names.Elsewhere`."""

    @property
    def asked(self) -> bytes: ...

    @property
    def age_s(self) -> float: ...

    @property
    def is_ending(self) -> bool: ...


class Names(Protocol):
    """See `shared.names.Names`."""

    async def claim(self, name: str, asked: bytes) -> Held | None: ...

    def finish(self, name: str, is_there: Callable[[], bool]) -> None: ...

    def release(self, name: str) -> None: ...


class SharedLedger(LocalLedger):
    """Implements `Ledger` for one of several processes. Lives as long as that."""

    def __init__(self, shelf: Shelf, now_s: Callable[[], float], names: Names, spools: Callable[[], bool]) -> None:
        """`spools`: what is durable waits here for a store that is away, where nobody else finds it."""
        super().__init__(shelf, now_s)
        self._names = names
        self._spools = spools
        self._ending: dict[str, int] = {}
        """Name -> number of the answer that was kept."""

    async def claim(self, name: str, asked: bytes) -> Answer | None:
        self._refuse_held(name, asked)
        here = read_answer(self._shelf.here(name))
        if here is not None:
            refuse_other(here.asked, asked)
            return here
        other = await self._names.claim(name, asked)
        try:
            answer = await self._find(name, other)
        except BaseException:
            self._leave(name, other)
            raise
        if answer is None and other is None:
            self._hold(name, asked)
            return None
        self._leave(name, other)
        if answer is not None:
            refuse_other(answer.asked, asked)
            return answer
        assert other is not None, "it is not ours"
        refuse_other(other.asked, asked)
        raise in_progress(other.age_s)

    async def keep(self, kept: Kept) -> None:
        self._ending[kept.key] = self._shelf.keep(kept)

    async def release(self, name: str) -> None:
        await super().release(name)
        change = self._ending.pop(name, None)
        if change is None:
            self._names.release(name)
        else:
            self._names.finish(name, lambda: self._shelf.is_durable(change) and not self._spools())

    async def _find(self, name: str, other: Held | None) -> Answer | None:
        """Of one that is answered elsewhere, and not stored yet, it is waited for."""
        answer = await self._stored(name)
        if other is None or not other.is_ending:
            return answer
        until_s = self._now_s() + STORED_WITHIN_S
        while answer is None and self._now_s() < until_s:
            await asyncio.sleep(LOOK_S)
            answer = await self._stored(name)
        return answer

    def _leave(self, name: str, other: Held | None) -> None:
        if other is None:
            self._names.release(name)

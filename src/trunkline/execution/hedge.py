"""Two attempts at once: the second begins when the first says nothing for too long, and whoever has something useful first answers.

In: a first `Try`, how long it may be silent, what to try then. Out: the answer through the winner; each attempt that was begun, for its account.
Nothing reaches the caller but through `Race.may_commit`, which says yes to one attempt only, and at once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from trunkline.execution.exchange import Exchange
from trunkline.execution.respond import Headers, Reply

if TYPE_CHECKING:
    from trunkline.execution.attempt import Attempting
    from trunkline.execution.failure import Failure


class Lane(Reply):
    """One attempt's way to the caller while another runs beside it. Until it has won it is open to nothing; when it has lost it takes
    everything and passes nothing on, as a reply does whose caller has left: so an answer that must be paid for can be read to its usage."""

    __slots__ = ("_reply", "lost", "won")

    def __init__(self, reply: Reply) -> None:
        # Not a reply of its own: it stands before the one that there is.
        self._reply = reply
        self.won = False
        self.lost = False

    @property
    def left(self) -> bool:  # type: ignore[override]
        """Nobody waits for what this lane brings."""
        return self.lost or self._reply.left

    @property
    def is_full(self) -> bool:
        return self.won and self._reply.is_full

    def room(self) -> "asyncio.Future[None]":
        return self._reply.room()

    def start(self, status: int, headers: Headers, first: bytes = b"") -> None:
        if self.won:
            self._reply.start(status, headers, first)

    def write(self, data: bytes) -> bool:
        return self.won and self._reply.write(data)

    def pass_on(self, chunk: bytes, size: int, at_s: float) -> bool:
        return self.won and self._reply.pass_on(chunk, size, at_s)

    def end(self) -> None:
        if self.won:
            self._reply.end()

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        if self.won:
            self._reply.whole(status, headers, body)


class Race:
    """Who may answer. Lives as long as its attempts run, the beaten one too: it may be read on behind the end of the answer."""

    def __init__(
        self,
        exchange: Exchange,
        reply: Reply,
        drain_cap_s: float,
        on_won: "Callable[[Attempting], None]",
        on_lost: "Callable[[Attempting], None]",
    ) -> None:
        """`on_won` is told of the attempt that may answer, before its first byte; `on_lost` of each other one, once it has ended."""
        self._loop = asyncio.get_running_loop()
        self._exchange = exchange
        self._reply = reply
        self._drain_cap_s = drain_cap_s
        self._on_won = on_won
        self._on_lost = on_lost
        self._running: dict[asyncio.Task[Failure | None], Attempting] = {}
        self._decided: asyncio.Future[None] = self._loop.create_future()
        self.winner: Attempting | None = None
        self.ended: list[Attempting] = []
        """In the order of their ends, without those that `on_lost` was told of."""
        self.broken: BaseException | None = None
        """A mistake of ours in an attempt."""

    def may_commit(self, attempt: "Attempting") -> bool:
        """Whether this attempt answers the caller: the first that asks. The others end, or are read to their usage."""
        if self.winner is None:
            self.winner = attempt
            self._on_won(attempt)
            for task, other in self._running.items():
                if other is not attempt:
                    other.lose()
                    self._let_go(task, other)
            for other in self.ended:
                self._on_lost(other)
            self.ended.clear()
            if not self._decided.done():
                self._decided.set_result(None)
        return self.winner is attempt

    @property
    def is_running(self) -> bool:
        return bool(self._running)

    async def run(
        self, first: "Attempting", second: "Callable[[], Awaitable[Attempting | None]]", after_s: float
    ) -> None:
        """`second` gives None where none is to be begun after all.

        Returns when the winner has ended, or both have without one. Whoever lost may run on: see `rest`."""
        self._start(first)
        self._reply.watch(self._caller_left)
        try:
            either: list[asyncio.Future[Any]] = [*self._running, self._decided]
            await asyncio.wait(either, timeout=after_s, return_when=asyncio.FIRST_COMPLETED)
            if self._running and self.winner is None and not self._reply.left:
                other = await second()
                if other is not None:
                    self._start(other)
            while self._running and self.winner not in self.ended:
                await asyncio.wait(list(self._running), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.stop()
            await self.rest()
            raise
        if self.winner is None and self.broken is not None:
            raise self.broken

    async def rest(self) -> None:
        """Wait for what still runs."""
        if self._running:
            await asyncio.wait(list(self._running))

    def stop(self) -> None:
        """The gateway is being stopped."""
        for task in self._running:
            task.cancel()

    def _start(self, attempt: "Attempting") -> None:
        task = self._loop.create_task(attempt.run())
        self._running[task] = attempt
        # Not by the task itself: one that is cancelled before its first step takes none at all.
        task.add_done_callback(self._has_ended)

    def _has_ended(self, task: "asyncio.Task[Failure | None]") -> None:
        attempt = self._running.pop(task)
        # A cancelled one was so by the race or by the leaving caller; nobody else knows of this task.
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # The other attempt goes on; raised where none does.
            self.broken = error
        if self.winner is None or self.winner is attempt:
            self.ended.append(attempt)
        else:
            self._on_lost(attempt)

    def _caller_left(self) -> None:
        if self._exchange.drains:
            return
        for task, attempt in self._running.items():
            self._let_go(task, attempt)

    def _let_go(self, task: "asyncio.Task[Failure | None]", attempt: "Attempting") -> None:
        """Nobody waits for it: end it where that stops the provider's meter, else read on for its usage, within the cap."""
        if attempt.offer.abortable or not attempt.is_begun:
            task.cancel()
        else:
            cap = self._loop.call_later(self._drain_cap_s, task.cancel)
            task.add_done_callback(lambda _: cap.cancel())

"""Two attempts at once: the second begins when the first says nothing for too long, and whoever has something useful first answers.

In: a first `Try`, how long it may be silent, what to try then. Out: the answer through the winner; each attempt that ran, for its account.
Nothing reaches the caller but through `Race.may_commit`, which says yes to one attempt only, and at once.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from trunkline.execution.asked import Ending
from trunkline.execution.exchange import Exchange
from trunkline.execution.respond import Headers, Reply

if TYPE_CHECKING:
    from trunkline.execution.attempt import Attempting


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

    def end(self) -> None:
        if self.won:
            self._reply.end()

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        if self.won:
            self._reply.whole(status, headers, body)


class Race:
    """Who may answer. Lives as long as its attempts run."""

    def __init__(
        self,
        exchange: Exchange,
        reply: Reply,
        drain_cap_s: float,
        on_won: "Callable[[Attempting], None]",
        on_lost: "Callable[[Attempting], None]",
    ) -> None:
        """`on_won` is told of the attempt that may answer, before its first byte; `on_lost` of each other one that has ended since."""
        self._loop = asyncio.get_running_loop()
        self._exchange = exchange
        self._reply = reply
        self._drain_cap_s = drain_cap_s
        self._on_won = on_won
        self._on_lost = on_lost
        self._running: dict[asyncio.Task[None], Attempting] = {}
        self._decided: asyncio.Future[None] = self._loop.create_future()
        self.winner: Attempting | None = None
        self.ending: Ending | None = None
        """Who ends the winner's stream."""
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

    async def run(self, first: "Attempting", second: "Callable[[], Attempting]", after_s: float) -> None:
        """Returns when every attempt has ended."""
        self._start(first)
        self._reply.watch(self._caller_left)
        try:
            await asyncio.wait([*self._running, self._decided], timeout=after_s, return_when=asyncio.FIRST_COMPLETED)
            if self._running and self.winner is None and not self._reply.left:
                self._start(second())
            while self._running:
                await asyncio.wait(list(self._running), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._stop()
            raise
        if self.winner is None and self.broken is not None:
            raise self.broken

    def _start(self, attempt: "Attempting") -> None:
        task = self._loop.create_task(self._attempt(attempt))
        self._running[task] = attempt

    async def _attempt(self, attempt: "Attempting") -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await attempt.run()
        except asyncio.CancelledError:
            # By the race or by the leaving caller; nobody else knows of this task.
            pass
        except Exception as error:  # noqa: BLE001 - the other attempt goes on; raised where none does
            self.broken = error
        finally:
            del self._running[task]
            if self.winner is None or self.winner is attempt:
                self.ended.append(attempt)
            else:
                self._on_lost(attempt)

    def _caller_left(self) -> None:
        if self._exchange.drains:
            return
        for task, attempt in self._running.items():
            self._let_go(task, attempt)

    def _let_go(self, task: "asyncio.Task[None]", attempt: "Attempting") -> None:
        """Nobody waits for it: end it where that stops the provider's meter, else read on for its usage, within the cap."""
        if attempt.offer.abortable:
            task.cancel()
        else:
            cap = self._loop.call_later(self._drain_cap_s, task.cancel)
            task.add_done_callback(lambda _: cap.cancel())

    async def _stop(self) -> None:
        """The gateway is being stopped."""
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

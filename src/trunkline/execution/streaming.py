"""What all streams have in common on their way to the caller: held until something useful came, then written as they come.

In: pieces of the provider's body, by `take`. Out: bytes to the caller; at the end None, or the `Failure`. What a piece becomes is the subclass's.
"""

import asyncio
from collections.abc import Callable

from trunkline.errors import TransportError
from trunkline.execution.bill import Bill
from trunkline.execution.failure import Failure, of_provider
from trunkline.execution.respond import Headers, Reply
from trunkline.execution.seen import StreamObserved
from trunkline.execution.transport.types import UpstreamResponse
from trunkline.ir.usage import Usage
from trunkline.protocols import sse
from trunkline.records.types import Attempt

MAX_EVENT_BYTES = 64 * 1024 * 1024
MAX_HELD_BYTES = 1024 * 1024
"""Of events that tell a caller nothing yet: no provider opens a stream with more."""
AFTER_DONE_S = 1.0


class Terms:
    """What holds for one stream, whatever becomes of its events. Made once for an attempt."""

    __slots__ = ("earlier", "first_event_s", "head", "idle_s", "include_cost")

    def __init__(
        self, *, head: Headers, first_event_s: float, idle_s: float, include_cost: bool, earlier: list[Attempt]
    ) -> None:
        self.head = head
        self.first_event_s = first_event_s
        self.idle_s = idle_s
        self.include_cost = include_cost
        self.earlier = earlier
        """Attempts of the same request before this one: they cost, too."""


class Streaming:
    """One stream on its way. Lives as long as its attempt."""

    __slots__ = (
        "_bill", "_broke", "_framer", "_held", "_now_s", "_on_commit", "_reply", "_response", "_terms", "committed", "failure", "is_kept", "is_one", "observed",
    )  # fmt: skip

    def __init__(
        self,
        response: UpstreamResponse,
        reply: Reply,
        bill: Bill,
        terms: Terms,
        observed: StreamObserved,
        now_s: Callable[[], float],
        on_commit: Callable[[float], object],
    ) -> None:
        """`on_commit` is told the time at which the first useful event goes to the caller."""
        self._response = response
        self._reply = reply
        self._bill = bill
        self._terms = terms
        self.observed = observed
        self._now_s = now_s
        self._on_commit = on_commit
        self._framer = sse.Framer()
        self._held: list[bytes] = []
        self._broke = False
        """The connection did, behind the last word of the answer: what is left to be said at its end is ours to say."""
        self.committed = False
        """Something useful went to the caller."""
        self.failure: Failure | None = None
        self.is_one = True
        """One answer is asked for: its reason to finish is the end of all of it."""
        self.is_kept = False
        """What the caller has is known, so that another offer may go on: then an event that cannot be read is the end, for something would be missing."""

    @property
    def usage(self) -> Usage | None:
        """So far, estimated where the provider told nothing."""
        self._bill.settle(self.observed)
        return self._bill.usage

    async def run(self) -> Failure | None:
        """Bring the stream to its end. A TransportError where it breaks."""
        try:
            await self._response.pump(self.take)
        except TransportError:
            # What ends it may be we ourselves; and after the protocol's own end nothing that goes wrong matters any more.
            if self.failure is None and not self._is_whole:
                raise
            self._broke = self.failure is None
        return self.failure or self._ended()

    @property
    def _is_whole(self) -> bool:
        """Nothing of the answer is missing, though the provider may not have said goodbye."""
        observed = self.observed
        return observed.done or (observed.finish_reason != "" and observed.usage is not None)

    def take(self, chunk: bytes) -> "asyncio.Future[None] | None":
        """One piece of the body."""
        block = self._framer.feed(chunk)
        if block:
            self._look(block)
        elif self._framer.waiting_bytes > MAX_EVENT_BYTES:
            self._fail(of_provider("malformed", "an event has no end"))
        return self._reply.room() if self._reply.is_full else None

    def _look(self, block: bytes) -> None:
        """Whole events."""
        shown, failure = self._made_of(block)
        observed = self.observed
        if self.committed:
            self._reply.write(shown)
        else:
            self._held.append(shown)
            if failure is None and observed.useful:
                self._commit()
        if failure is not None:
            self._fail(failure)
        elif not self.committed:
            self._not_yet()
        elif observed.done:
            # Nothing that comes after it is waited for long.
            self._response.idle_s = AFTER_DONE_S

    def _made_of(self, block: bytes) -> tuple[bytes, Failure | None]:
        """What the caller gets for whole events, and the error that the provider told in them, if it did."""
        raise NotImplementedError

    def _finish(self) -> bytes:
        """The last bytes of an answer that came to its end."""
        raise NotImplementedError

    def _fail(self, failure: Failure) -> None:
        self.failure = failure
        self._response.abort()

    def _not_yet(self) -> None:
        """Events came, none of them useful: how long, and how much, may this go on?"""
        if sum([len(block) for block in self._held]) > MAX_HELD_BYTES:
            self._fail(of_provider("malformed", "the stream opens with events that say nothing"))
            return
        left_s = self._terms.first_event_s - (self._now_s() - self._response.sent_at)
        if left_s <= 0:
            self._fail(of_provider("timeout_first_event", "no useful event in time"))
        else:
            self._response.idle_s = AFTER_DONE_S if self.observed.done else left_s

    def _commit(self) -> None:
        self.committed = True
        self._response.idle_s = self._terms.idle_s
        self._on_commit(self._now_s())
        first, self._held = b"".join(self._held), []
        self._reply.start(200, self._terms.head, first)

    def _ended(self) -> Failure | None:
        observed = self.observed
        if not observed.useful:
            return of_provider("malformed" if observed.malformed else "empty", "the stream ended without an answer")
        if not observed.finish_reason and not observed.done:
            return of_provider("truncated", "the stream ended before its answer did")
        self._reply.write(self._finish())
        self._reply.end()
        return None

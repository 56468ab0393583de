"""A stream that the caller gets in another protocol than the provider's, and one of its own protocol that is watched through its codec.

In: pieces of the provider's body. Out: the caller's events, and what was seen. Each event is written in the turn of the loop in which it came;
nothing waits for the end of a part (design.md 3.3).
"""

from collections.abc import Callable

import msgspec

from trunkline.errors import RequestError
from trunkline.execution.bill import Bill
from trunkline.execution.failure import Failure, of_provider, told_inside
from trunkline.execution.rescue import MAX_KEPT_CHARACTERS, Continuation, Splice, merged
from trunkline.execution.respond import Reply
from trunkline.execution.seen import Seen
from trunkline.execution.streaming import Streaming, Terms
from trunkline.execution.transport.types import UpstreamResponse
from trunkline.ir.events import Delta, Event, UsageSeen
from trunkline.protocols import cost_in, sse
from trunkline.protocols.alike import Alike
from trunkline.protocols.codec import StreamReader, StreamWriter
from trunkline.protocols.openai_responses import cut_short
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.protocols.resuming import GOODBYES, Saying, is_json
from trunkline.protocols.stopping import StopAt
from trunkline.protocols.tools import Restore


class Route(msgspec.Struct, frozen=True):
    """Through whose hands an event goes."""

    reader: StreamReader
    writer: StreamWriter
    stop_at: StopAt | None = None
    restore: Restore | None = None
    splice: Splice | None = None
    """Where an answer of another offer is gone on with."""


class _Read(Streaming):
    """A stream that is read into canonical events."""

    __slots__ = ("_alike", "_reader", "seen")

    def __init__(
        self,
        response: UpstreamResponse,
        reply: Reply,
        bill: Bill,
        terms: Terms,
        reader: StreamReader,
        now_s: Callable[[], float],
        on_commit: Callable[[float], object],
    ) -> None:
        self.seen = Seen()
        super().__init__(response, reply, bill, terms, self.seen, now_s, on_commit)
        self._reader = reader
        self._alike = Alike(reader)

    @property
    def _is_whole(self) -> bool:
        return super()._is_whole or (self.is_one and self.seen.has_ended)

    def _is_hole(self, _one: bytes) -> bool:
        """Whether the caller would miss something of an event that cannot be read."""
        return True

    def _made_of(self, block: bytes) -> tuple[bytes, Failure | None]:
        seen, at_s, alike = self.seen, self._now_s(), self._alike
        out: list[bytes] = []
        for one in sse.events(block):
            text = alike.text(one)
            if text:
                more = Delta(alike.index, text)
                seen.see(more, at_s)
                out.append(self._shown_more(one, more))
                continue
            try:
                events = self._reader.feed(one)
            except UNREADABLE:
                if self.is_kept and self._is_hole(one):
                    return b"".join(out), of_provider("malformed", "an event could not be read")
                if not seen.malformed:
                    self._bill.notes.append("an event of the stream could not be read")
                seen.malformed = True
                events = []
            alike.learn(one, events)
            for event in events:
                seen.see(event, at_s)
            if seen.failed is not None:
                return b"".join(out), told_inside(seen.failed.fault, seen.failed.status)
            # Some wires (Gemini's) have no end of their own: then the answer is whole once its finish and usage are known.
            seen.done = self._reader.done or (seen.has_ended and seen.usage is not None)
            out.append(self._shown(one, events))
        return out[0] if len(out) == 1 else b"".join(out), None

    def _shown(self, one: bytes, events: list[Event]) -> bytes:
        """What the caller gets for one event of the provider's."""
        raise NotImplementedError

    def _shown_more(self, one: bytes, more: Delta) -> bytes:
        """The same for one that says more of a part, and nothing else."""
        return self._shown(one, [more])

    def _ended(self) -> Failure | None:
        """Some wires say nothing at their end; what is owed then comes before it is judged."""
        at_s = self._now_s()
        last = self._reader.end()
        for event in last:
            self.seen.see(event, at_s)
        # Of an answer that was cut, what is open stays so: another offer may go on with it.
        shown = self._shown(b"", last) if self.seen.finish_reason else b""
        if self.committed:
            self._reply.write(shown)
        else:
            self._held.append(shown)
            if self.seen.useful and self.seen.failed is None:
                self._commit()
        if self.seen.failed is not None:
            return told_inside(self.seen.failed.fault, self.seen.failed.status)
        # In canonical form every whole answer has a finish; the end of the wire alone is none.
        self.seen.done = self.seen.finish_reason != ""
        return super()._ended()


class Translation(_Read):
    """One stream on its way into another protocol."""

    __slots__ = ("_is_direct", "_route", "kept")

    def __init__(
        self,
        response: UpstreamResponse,
        reply: Reply,
        bill: Bill,
        terms: Terms,
        route: Route,
        now_s: Callable[[], float],
        on_commit: Callable[[float], object],
    ) -> None:
        super().__init__(response, reply, bill, terms, route.reader, now_s, on_commit)
        self._route = route
        self._is_direct = route.stop_at is None and route.restore is None and route.splice is None
        """Events go from the reader to the writer as they are."""
        self.kept = Saying()
        """What was written, where `is_kept`."""

    def _shown(self, one: bytes, events: list[Event]) -> bytes:
        del one
        route = self._route
        if self._is_direct and not self.is_kept and len(events) == 1:
            return route.writer.feed(events[0])
        shown = events
        if route.stop_at is not None:
            shown = [stopped for event in shown for stopped in route.stop_at.feed(event)]
        if route.restore is not None:
            shown = [restored for event in shown if (restored := route.restore.feed(event)) is not None]
        if route.splice is not None:
            shown = [spliced for event in shown for spliced in route.splice.feed(event)]
        if self.is_kept:
            self.kept.feed(shown)
            self.is_kept = self.kept.characters < MAX_KEPT_CHARACTERS
        return b"".join([route.writer.feed(event) for event in shown])

    def _shown_more(self, one: bytes, more: Delta) -> bytes:
        if self._is_direct and not self.is_kept:
            return self._route.writer.feed(more)
        return self._shown(one, [more])

    def _finish(self) -> bytes:
        self._bill.settle(self.seen)
        usage = self._bill.usage
        estimated = b""
        if self.seen.usage is None and usage is not None:
            # The caller is shown what it is billed for, and that it is an estimate.
            estimated = self._route.writer.feed(UsageSeen(usage, msgspec.Raw(b"null")))
        return estimated + self._route.writer.end(
            self._bill.shown(self._terms.earlier, include=self._terms.include_cost)
        )


class Rescue(Translation):
    """A stream that goes on with one that another offer began."""

    __slots__ = ("_continuation", "_is_under_way")

    def __init__(
        self,
        response: UpstreamResponse,
        reply: Reply,
        bill: Bill,
        terms: Terms,
        route: Route,
        continuation: Continuation,
        now_s: Callable[[], float],
        on_commit: Callable[[float], object],
    ) -> None:
        super().__init__(response, reply, bill, terms, route, now_s, on_commit)
        self._continuation = continuation
        self._is_under_way = False
        # Nothing is held: where the writer is, the caller must be.
        self.committed = True

    def _look(self, block: bytes) -> None:
        super()._look(block)
        if not self._is_under_way and self.observed.useful and self.failure is None:
            self._is_under_way = True
            self._on_commit(self._now_s())
            if not self.observed.done:
                self._response.idle_s = self._terms.idle_s

    def _made_of(self, block: bytes) -> tuple[bytes, Failure | None]:
        shown, failure = super()._made_of(block)
        self.seen.answer_id = self._continuation.answer_id
        splice = self._route.splice
        if failure is None and splice is not None and splice.strays:
            failure = of_provider("malformed", "the answer was not gone on with, but thought over again")
        return shown, failure

    def _finish(self) -> bytes:
        usage = self.usage
        whole = merged(self._continuation.usage, usage) if usage is not None else self._continuation.usage
        counted = b""
        if whole is not None:
            counted = self._route.writer.feed(UsageSeen(whole, msgspec.Raw(b"null"), self.seen.service_tier or ""))
        return counted + self._route.writer.end(self._bill.shown(self._terms.earlier, include=self._terms.include_cost))


class Watching(_Read):
    """One stream of the caller's own protocol: its bytes, with the cost in the event that ends it."""

    __slots__ = ("_first", "_last", "_protocol")

    def __init__(
        self,
        response: UpstreamResponse,
        reply: Reply,
        bill: Bill,
        terms: Terms,
        reader: StreamReader,
        protocol: str,
        now_s: Callable[[], float],
        on_commit: Callable[[float], object],
    ) -> None:
        super().__init__(response, reply, bill, terms, reader, now_s, on_commit)
        self._protocol = protocol
        self._first = self._last = b""
        """Events that were passed on."""

    def _is_hole(self, one: bytes) -> bool:
        # What is only of a shape that we do not know is passed on, and the caller's to read.
        return not is_json(one)

    def fail(self, error: RequestError) -> bytes:
        """The end of a Responses stream of which the provider wrote the beginning: numbered on, without a life of its own."""
        return cut_short.failed(self._first, self._last, error)

    def _shown_more(self, one: bytes, more: Delta) -> bytes:
        del more
        self._last = one
        self._first = self._first or one
        return one

    def _shown(self, one: bytes, events: list[Event]) -> bytes:
        del events
        seen = self.seen
        self._last = one or self._last
        self._first = self._first or one
        last = cost_in.is_last_usage(self._protocol, one) or (seen.has_ended and cost_in.has_usage(self._protocol, one))
        if not self._terms.include_cost or seen.usage is None or not last:
            return one
        self._bill.settle(seen)
        try:
            return cost_in.put_into_event(self._protocol, one, *self._bill.written(self._terms.earlier))
        except UNREADABLE as error:
            self._bill.notes.append(f"cost could not be put in: {error}")
            return one

    def _finish(self) -> bytes:
        return GOODBYES[self._protocol] if self._broke and not self._reader.done else self._framer.rest()

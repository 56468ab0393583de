"""A stream whose protocol is the caller's own, Chat Completions: bytes through (design.md 3.7).

In: pieces of the provider's body. Out: the same events to the caller, and what was seen of them. Whole events are written first and looked at
afterwards, in the same turn of the loop, but for those that must be held, edited or taken out.
"""

import asyncio
from collections.abc import Callable

import msgspec

from trunkline.execution.bill import Bill
from trunkline.execution.failure import Failure, of_provider, told_inside
from trunkline.execution.respond import Reply
from trunkline.execution.streaming import Streaming, Terms
from trunkline.execution.transport.exchange import Exchange
from trunkline.execution.transport.types import UpstreamResponse
from trunkline.protocols import sse
from trunkline.protocols.codec import CHAT
from trunkline.protocols.openai_chat import errors, stream
from trunkline.protocols.openai_chat.stop import StopStream
from trunkline.protocols.openai_chat.usage import write_usage
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.protocols.resuming import GOODBYES, is_json


class ChatTerms(msgspec.Struct, frozen=True):
    """What the caller and the offer ask of a Chat stream."""

    upstream_model: str
    stop_words: tuple[str, ...]
    """Watched for by us."""
    wants_usage: bool
    created_s: int


class Passthrough(Streaming):
    """One stream on its way. Lives as long as its attempt."""

    __slots__ = ("_asked", "_stops", "seen")

    def __init__(
        self,
        response: UpstreamResponse,
        reply: Reply,
        bill: Bill,
        terms: Terms,
        asked: ChatTerms,
        now_s: Callable[[], float],
        on_commit: Callable[[float], object],
    ) -> None:
        self.seen = stream.StreamObserver()
        super().__init__(response, reply, bill, terms, self.seen, now_s, on_commit)
        self._asked = asked
        self._stops = StopStream(asked.stop_words) if asked.stop_words else None

    async def run(self) -> Failure | None:
        if isinstance(self._response, Exchange):
            self._response.pass_on = self.pass_on
        return await super().run()

    def pass_on(self, chunk: bytes, start: int, size: int, at_s: float) -> bool:
        """The ordinary case: one more event like those before, alone in its chunk. To the caller first."""
        seen = self.seen
        text_bytes = seen.envelope.text_bytes_in_chunk(chunk, start, size)
        if text_bytes < 0 or self._framer.waiting_bytes or not self._reply.pass_on(chunk, size, at_s):
            return False
        seen.characters += text_bytes
        seen.last_at = at_s
        return True

    def take(self, chunk: bytes) -> "asyncio.Future[None] | None":
        reply, seen, framer = self._reply, self.seen, self._framer
        plain = self.committed and self._stops is None
        if plain and not framer.waiting_bytes and (size := seen.envelope.text_bytes(chunk, 0, len(chunk))) >= 0:
            # Events like those before, to the caller first.
            full = reply.write(chunk)
            seen.characters += size
            seen.last_at = self._now_s()
            return reply.room() if full else None
        if plain and not framer.waiting_bytes and chunk.endswith(b"}\n\n") and stream.is_plain(chunk):
            full = reply.write(chunk)
            seen.pass_by(chunk, self._now_s())
            seen.envelope.learn(chunk)
            return reply.room() if full else None
        return super().take(chunk)

    def _made_of(self, block: bytes) -> tuple[bytes, Failure | None]:
        seen, stops, at = self.seen, self._stops, self._now_s()
        out: list[bytes] = []
        for one in sse.events(block):
            seen.see(one, at)
            if seen.malformed and self.is_kept and not is_json(one):
                return b"".join(out), of_provider("malformed", "an event could not be read")
            if seen.error is not None:
                return b"".join(out), told_inside(errors.read_stream_fault(seen.error))
            if seen.done and seen.usage is None:
                out.append(self._estimate_event())
            shown = self._with_cost(one) if stream.has_usage(one) else one
            out.append(stops.feed(shown) if stops is not None and shown else shown)
        return b"".join(out), None

    @property
    def _is_whole(self) -> bool:
        return super()._is_whole or (self.is_one and self.seen.finish_reason != "")

    def _finish(self) -> bytes:
        if not self._broke or self.seen.done:
            return self._framer.rest()
        return (self._estimate_event() if self.seen.usage is None else b"") + GOODBYES[CHAT]

    def _with_cost(self, one: bytes) -> bytes:
        """The event that carries usage: taken out if it was we who asked for it, else with its cost."""
        seen = self.seen
        if seen.usage is None:
            return one
        if seen.is_usage_only and not self._asked.wants_usage:
            return b""
        if not self._terms.include_cost:
            return one
        self._bill.settle(seen)
        try:
            return stream.put_cost(one, seen.usage, *self._bill.written(self._terms.earlier))
        except UNREADABLE as error:
            self._bill.notes.append(f"cost could not be put in: {error}")
            return one

    def _estimate_event(self) -> bytes:
        """The usage event that the caller asked for and the provider did not send, estimated and saying so."""
        seen, asked = self.seen, self._asked
        if not asked.wants_usage or not self._terms.include_cost or not seen.useful:
            return b""
        self._bill.settle(seen)
        assert self._bill.usage is not None, "something useful was seen"
        usage = write_usage(self._bill.usage)
        plain = stream.usage_event(seen.answer_id, asked.upstream_model, asked.created_s, usage)
        return stream.put_cost(plain, usage, *self._bill.written(self._terms.earlier))

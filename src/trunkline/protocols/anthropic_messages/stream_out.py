"""Canonical events -> a stream for a Messages client. In: events. Out: bytes of named events, in the order and with the indexes its SDKs go by.

https://platform.claude.com/docs/en/build-with-claude/streaming
Of a delta only its text is encoded: what stands around it is made once a block.
"""

from collections.abc import Callable, Mapping
from typing import Any

from trunkline.errors import RequestError
from trunkline.ir.events import Cited, Delta, Event, Finish, PartEnd, PartStart, Start, UsageSeen
from trunkline.ir.parts import Carry, Refusal, Text, Thinking, ToolCall
from trunkline.protocols.anthropic_messages.answer_out import raw_usage, stop_reason
from trunkline.protocols.anthropic_messages.blocks_out import Block, write_citation
from trunkline.protocols.anthropic_messages.errors import error_event
from trunkline.protocols.anthropic_messages.state_out import StateOut, own_fields
from trunkline.protocols.anthropic_messages.wire import encode, named_event
from trunkline.protocols.codec import AnswerContext, Bill, own_id

_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
_DELTA_END = b"}}\n\n"
_STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
# The counts come at the end: https://platform.claude.com/docs/en/build-with-claude/streaming, `usage` of `message_delta` is cumulative.
_NO_USAGE = {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}


class _Block:
    """A part that has begun."""

    __slots__ = ("head", "index", "part", "texts")

    def __init__(self, part: Any) -> None:
        self.part = part
        self.index = -1
        """On the wire; -1 where it has no block of its own."""
        self.head = b""
        """What stands before the text of each delta; empty where deltas are not shown."""
        self.texts: list[str] = []
        """What is kept of deltas, because it is hidden, or not shown."""


class Writer:
    """Writes one stream. Lives as long as it."""

    __slots__ = ("_blocks", "_context", "_finish", "_next", "_refused", "_started", "_state", "_usage")

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._state = StateOut(context)
        self._blocks: dict[int, _Block] = {}
        self._next = 0
        self._started = False
        self._refused = False
        self._finish: Finish | None = None
        self._usage: UsageSeen | None = None

    def go_on(self, open_block: int | None, next_block: int) -> None:
        """Be where a stream is that somebody else has begun: in this block, whose part is 0, and with this one as the next."""
        self._started, self._next = True, next_block
        if open_block is not None:
            block = self._blocks[0] = _Block(Text(""))
            block.index, block.head = open_block, _DELTA % (open_block, b"text_delta", b"text")

    def feed(self, event: Event) -> bytes:
        """The bytes for an event."""
        if type(event) is Delta:
            return self._delta(event)
        write = _WRITE.get(type(event))
        return b"" if write is None else write(self, event)

    def end(self, bill: Bill) -> bytes:
        """What is held until the cost is known, and the end."""
        finish, seen = self._finish, self._usage
        last = [self._opening()]
        last += [self._part_end(PartEnd(index)) for index in list(self._blocks)]
        delta = {
            "stop_reason": stop_reason(finish.reason if finish else None, refused=self._refused),
            "stop_sequence": finish.stop_sequence if finish else None,
        }
        usage = raw_usage(seen.usage if seen else None, bill, seen.service_tier if seen else "")
        last += (
            named_event(b"message_delta", encode({"type": "message_delta", "delta": delta, "usage": usage})),
            _MESSAGE_STOP,
        )
        return b"".join(last)

    def fail(self, error: RequestError) -> bytes:
        """The error event; SDKs take it at any place."""
        return error_event(error, self._context.request_id)

    def _opening(self) -> bytes:
        if self._started:
            return b""
        self._started = True
        message: Block = {
            "id": own_id("msg_", self._context.request_id),
            "type": "message",
            "role": "assistant",
            "model": self._context.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _NO_USAGE,
        }
        return named_event(b"message_start", encode({"type": "message_start", "message": message}))

    def _start(self, _event: Start) -> bytes:
        return self._opening()

    def _part_start(self, event: PartStart) -> bytes:
        if event.choice:
            return b""
        part, opening = event.part, self._opening()
        block = _Block(part)
        self._blocks[event.index] = block
        if isinstance(part, Text | Refusal):
            return opening + self._text_start(block, part)
        if isinstance(part, Thinking) and not part.redacted:
            return opening + self._thinking_start(block, part)
        if isinstance(part, ToolCall):
            started = self._open(block, self._state.call(part, event.index), b"input_json_delta", b"partial_json")
            return opening + started + self._first_text(block, part.arguments)
        if isinstance(part, Thinking):
            return opening  # redacted: its state may come with its end
        return opening + b"".join(map(self._whole, self._state.blocks(part, event.index)))

    def _text_start(self, block: _Block, part: Text | Refusal) -> bytes:
        if isinstance(part, Refusal):
            self._refused = True
        before = self._state.before_text(part.carry)
        written = b"" if before is None else self._whole(before)
        if before is not None and not part.text:
            return written  # there may be no text at all, only its state
        started = self._open(block, {"type": "text", "text": "", **own_fields(part.carry)}, b"text_delta", b"text")
        return written + started + self._first_text(block, part.text)

    def _thinking_start(self, block: _Block, part: Thinking) -> bytes:
        if part.text:
            block.texts.append(part.text)
        if self._state.shows == "nothing":
            return b""
        started = self._open(
            block, {"type": "thinking", "thinking": "", "signature": ""}, b"thinking_delta", b"thinking"
        )
        if self._state.shows == "state":
            block.head = b""
            return started
        block.texts.clear()
        return started + self._first_text(block, part.text)

    def _first_text(self, block: _Block, text: str) -> bytes:
        return block.head + encode(text) + _DELTA_END if text else b""

    def _open(self, block: _Block, fields: Block, delta: bytes, member: bytes) -> bytes:
        block.index = self._next
        block.head = _DELTA % (block.index, delta, member)
        return self._start_of(fields)

    def _whole(self, fields: Block) -> bytes:
        """A block that has no deltas."""
        started = self._start_of(fields)
        return started + _STOP % (self._next - 1)

    def _start_of(self, fields: Block) -> bytes:
        index, self._next = self._next, self._next + 1
        return named_event(
            b"content_block_start", encode({"type": "content_block_start", "index": index, "content_block": fields})
        )

    def _delta(self, event: Delta) -> bytes:
        block = self._blocks.get(event.index)
        if block is None or not event.text:
            return b""
        if block.head:
            return b"%b%b}}\n\n" % (block.head, encode(event.text))
        if isinstance(block.part, Text | Refusal):
            fields: Block = {"type": "text", "text": ""}
            return self._open(block, fields, b"text_delta", b"text") + self._first_text(block, event.text)
        block.texts.append(event.text)
        return b""

    def _cited(self, event: Cited) -> bytes:
        block = self._blocks.get(event.index)
        if block is None or block.index < 0:
            return b""
        delta = {"type": "citations_delta", "citation": write_citation(event.citation)}
        return self._block_delta(block, delta)

    def _block_delta(self, block: _Block, delta: Block) -> bytes:
        return named_event(
            b"content_block_delta", encode({"type": "content_block_delta", "index": block.index, "delta": delta})
        )

    def _part_end(self, event: PartEnd) -> bytes:
        block = self._blocks.pop(event.index, None)
        if block is None:
            return b""
        signed = b""
        if isinstance(block.part, Thinking):
            signed = self._sign(block, event.carry or block.part.carry, event.index)
        return signed if block.index < 0 else signed + _STOP % block.index

    def _sign(self, block: _Block, carry: Carry | None, number: int) -> bytes:
        part = Thinking("".join(block.texts), block.part.redacted, carry)
        if block.index < 0:
            return b"".join(map(self._whole, self._state.blocks(part, number)))
        signature = self._state.signature(part).get("signature", "")
        return self._block_delta(block, {"type": "signature_delta", "signature": signature})

    def _finished(self, event: Finish) -> bytes:
        if not event.choice:
            self._finish = event
        return b""

    def _used(self, event: UsageSeen) -> bytes:
        self._usage = event
        return b""


_WRITE: Mapping[type, Callable[[Writer, Any], bytes]] = {
    Start: Writer._start,
    PartStart: Writer._part_start,
    Cited: Writer._cited,
    PartEnd: Writer._part_end,
    Finish: Writer._finished,
    UsageSeen: Writer._used,
}

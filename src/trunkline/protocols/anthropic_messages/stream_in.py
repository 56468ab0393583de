"""A stream of Messages -> canonical events. In: whole SSE events. Out: events, deltas at once.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from collections.abc import Callable, Mapping

import msgspec

from trunkline.ir.events import Cited, Delta, Event, Failed, Finish, PartEnd, PartStart, Start, UsageSeen
from trunkline.ir.parts import Carry, Part, Text, Thinking, ToolCall
from trunkline.ir.response import FinishReason
from trunkline.protocols.anthropic_messages import NAME
from trunkline.protocols.anthropic_messages.answer_in import finish_of
from trunkline.protocols.anthropic_messages.blocks_in import BlockReader, read_citation
from trunkline.protocols.anthropic_messages.errors import fault_of, status_of
from trunkline.protocols.anthropic_messages.usage import merged, read_usage, service_tier
from trunkline.protocols.anthropic_messages.wire import encode, fields_of, peek_text, take
from trunkline.protocols.carry import carry, origin
from trunkline.protocols.codec import UNHEARD, Target
from trunkline.protocols.rawjson import UNREADABLE, Fields, is_null, join
from trunkline.protocols.sse import data_of

_EMPTY = msgspec.Raw(b"")
_EMPTY_INPUT = (b"", b"{}")


class _Delta(msgspec.Struct, gc=False):
    type: str = ""
    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    signature: str = ""
    citation: msgspec.Raw = _EMPTY
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Message(msgspec.Struct):
    id: str = ""
    model: str = ""
    usage: msgspec.Raw = _EMPTY


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    delta: _Delta | None = None
    content_block: msgspec.Raw = _EMPTY
    message: _Message | None = None
    usage: msgspec.Raw = _EMPTY


class _Open:
    """A block that has begun and not ended."""

    __slots__ = ("fields", "index", "kind", "seen", "signature")

    def __init__(self, kind: str, fields: Fields) -> None:
        self.kind = kind
        self.fields = fields
        """Of its beginning; of a block that is not known, with all that its deltas have set since."""
        self.index = -1
        """Ours; -1 until the part has begun, which of a text without a carry is with its first delta."""
        self.seen = False
        self.signature = ""


_decoder = msgspec.json.Decoder(_Event)
_raw_delta = msgspec.json.Decoder(dict[str, msgspec.Raw])
_DELTAS = {"text": "text_delta", "thinking": "thinking_delta"}
_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use")


class Reader:
    """Reads one stream. Lives as long as it."""

    __slots__ = ("_calls", "_finished", "_next", "_open", "_origin", "_usage", "done")

    def __init__(self, target: Target) -> None:
        self._origin = origin(NAME, target.dialect)
        self._open: dict[int, _Open] = {}
        self._next = 0
        self._calls = False
        self._finished = False
        self._usage: list[msgspec.Raw] = []
        self.done = False

    def feed(self, event: bytes) -> list[Event]:
        """The events of one whole SSE event."""
        data = data_of(event)
        if data is None or not data.strip():
            return []
        found = _decoder.decode(data)
        if found.type == "content_block_delta" and found.delta is not None:
            return self._delta(found, found.delta, data)
        read = _READ.get(found.type)
        return read(self, found, data) if read is not None else []

    def going_on(self, index: int) -> Callable[[str], object] | None:  # noqa: ARG002
        return UNHEARD

    def end(self) -> list[Event]:
        """Nothing: what a stream of Messages owes, it says."""
        return []

    def _delta(self, found: _Event, delta: _Delta, data: bytes) -> list[Event]:
        block = self._open.get(found.index)
        if block is None:
            return self._unannounced(found, delta, data)
        if delta.type == "text_delta" and block.kind == "text":
            return self._begun(block, Delta(block.index, delta.text)) if delta.text else []
        if delta.type == "input_json_delta" and block.kind in _CALLS:
            block.seen = block.seen or bool(delta.partial_json)
            return [Delta(block.index, delta.partial_json)] if delta.partial_json else []
        if delta.type == "thinking_delta" and block.kind == "thinking":
            return [Delta(block.index, delta.thinking)] if delta.thinking else []
        if delta.type == "signature_delta" and block.kind == "thinking":
            block.signature = delta.signature
            return []
        if delta.type == "citations_delta" and block.kind == "text":
            return self._begun(block, Cited(block.index, read_citation(delta.citation, self._origin)))
        return self._unknown_delta(block, data)

    def _unannounced(self, found: _Event, delta: _Delta, data: bytes) -> list[Event]:
        """Some vendors leave out the beginning of a text."""
        kind = next((kind for kind, word in _DELTAS.items() if word == delta.type), None)
        if kind is None:
            raise msgspec.ValidationError(f"no block has begun at index {found.index}")
        block = self._open[found.index] = _Open(kind, {})
        return [*self._start_part(block), *self._delta(found, delta, data)]

    def _start_part(self, block: _Open) -> list[Event]:
        if block.kind == "thinking":
            return [self._part(block, Thinking())]
        return []

    def _begun(self, block: _Open, event: Delta | Cited) -> list[Event]:
        if block.index >= 0:
            return [event]
        started = self._part(block, Text("", carry=carry(self._origin, block.fields)))
        return [started, msgspec.structs.replace(event, index=block.index)]

    def _part(self, block: _Open, part: Part) -> PartStart:
        block.index, self._next = self._next, self._next + 1
        return PartStart(block.index, part)

    def _unknown_delta(self, block: _Open, data: bytes) -> list[Event]:
        """Of a block that is not known, all that its deltas set; of one that is known, a word that is not."""
        if block.kind not in ("text", "thinking", *_CALLS):
            delta = _raw_delta.decode(_raw_delta.decode(data)["delta"])
            block.fields.update({name: value for name, value in delta.items() if name != "type"})
        return []

    def _message_start(self, found: _Event, _data: bytes) -> list[Event]:
        message = found.message or _Message()
        return [Start(message.id, message.model), *self._usage_seen(message.usage)]

    def _block_start(self, found: _Event, _data: bytes) -> list[Event]:
        fields = fields_of(found.content_block)
        block = self._open[found.index] = _Open(peek_text(fields, "type"), fields)
        if block.kind == "text":
            return self._text_start(block)
        if block.kind == "thinking":
            return self._thinking_start(block)
        if block.kind in _CALLS:
            return self._call_start(block)
        return []

    def _text_start(self, block: _Open) -> list[Event]:
        text = peek_text(block.fields, "text")
        for name in ("type", "text", "citations"):
            block.fields.pop(name, None)
        events: list[Event] = []
        if block.fields:
            events.append(self._part(block, Text("", carry=carry(self._origin, block.fields))))
        return events + (self._begun(block, Delta(block.index, text)) if text else [])

    def _thinking_start(self, block: _Open) -> list[Event]:
        text, block.signature = peek_text(block.fields, "thinking"), peek_text(block.fields, "signature")
        for name in ("type", "thinking", "signature"):
            block.fields.pop(name, None)
        started = self._part(block, Thinking())
        return [started, Delta(block.index, text)] if text else [started]

    def _call_start(self, block: _Open) -> list[Event]:
        self._calls = self._calls or block.kind == "tool_use"
        whole = take(block.fields, "input")
        block.fields["input"] = msgspec.Raw(b"{}")
        parts: list[Part] = []
        BlockReader(self._origin).add(parts, msgspec.Raw(encode(block.fields)))
        call = parts[0]
        assert isinstance(call, ToolCall)
        block.fields = {} if whole is None else {"input": whole}
        return [self._part(block, msgspec.structs.replace(call, arguments=""))]

    def _block_stop(self, found: _Event, _data: bytes) -> list[Event]:
        block = self._open.pop(found.index, None)
        return [] if block is None else self._end(block)

    def _end(self, block: _Open) -> list[Event]:
        if block.kind == "text":
            return [] if block.index < 0 else [PartEnd(block.index)]
        if block.kind == "thinking":
            return [PartEnd(block.index, self._signed(block))]
        if block.kind in _CALLS:
            return self._call_end(block)
        return self._whole(block)

    def _signed(self, block: _Open) -> Carry | None:
        if block.signature:
            block.fields["signature"] = msgspec.Raw(encode(block.signature))
        return carry(self._origin, block.fields)

    def _call_end(self, block: _Open) -> list[Event]:
        """Arguments that came whole at the beginning, or none at all, of which an empty object is how every protocol says it."""
        whole = bytes(block.fields.get("input", b"{}")).decode()
        events: list[Event] = [] if block.seen else [Delta(block.index, whole or "{}")]
        return [*events, PartEnd(block.index)]

    def _whole(self, block: _Open) -> list[Event]:
        """A block that is told at once: redacted thinking, results of the provider's own tools, and what is not known."""
        parts: list[Part] = []
        BlockReader(self._origin).add(parts, msgspec.Raw(join(block.fields)))
        events: list[Event] = []
        for part in parts:
            events += (self._part(block, part), PartEnd(block.index))
        return events

    def _message_delta(self, found: _Event, _data: bytes) -> list[Event]:
        events = self._usage_seen(found.usage)
        delta = found.delta
        if delta is not None and delta.stop_reason and not self._finished:
            events += self._finish(Finish(finish_of(delta.stop_reason), delta.stop_reason, delta.stop_sequence))
        return events

    def _finish(self, finish: Finish) -> list[Event]:
        self._finished = True
        events = [event for block in self._open.values() for event in self._end(block)]
        self._open.clear()
        return [*events, finish]

    def _usage_seen(self, usage: msgspec.Raw) -> list[Event]:
        if not bytes(usage) or is_null(usage):
            return []
        try:
            raw = merged([*self._usage, usage])
            seen = UsageSeen(read_usage(raw), raw, service_tier(raw))
        except UNREADABLE:
            return []  # counts that make no sense are not worth an answer
        self._usage.append(usage)
        return [seen]

    def _message_stop(self, _found: _Event, _data: bytes) -> list[Event]:
        self.done = True
        if self._finished:
            return []
        return self._finish(Finish(FinishReason.TOOL_CALLS if self._calls else FinishReason.END))

    def _error(self, _found: _Event, data: bytes) -> list[Event]:
        self.done = True
        fault = fault_of(data)
        return [Failed(fault, status_of(fault))]


_READ: Mapping[str, Callable[[Reader, _Event, bytes], list[Event]]] = {
    "message_start": Reader._message_start,
    "content_block_start": Reader._block_start,
    "content_block_stop": Reader._block_stop,
    "message_delta": Reader._message_delta,
    "message_stop": Reader._message_stop,
    "error": Reader._error,
}

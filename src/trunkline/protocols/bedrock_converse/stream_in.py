"""A stream of ConverseStream -> canonical events. In: whole SSE events, each an object with the event's name as its one key. Out: events, deltas at once.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html, .../userguide/conversation-inference-call.html
"""

import base64
import binascii

import msgspec

from trunkline.ir.events import Cited, Delta, Event, Failed, Finish, PartEnd, PartStart, Start, UsageSeen
from trunkline.ir.fault import Fault
from trunkline.ir.parts import Part, Text, Thinking, ToolCall
from trunkline.protocols.bedrock_converse import NAME
from trunkline.protocols.bedrock_converse.answer_in import NO_USAGE, More, Tier, finish_of
from trunkline.protocols.bedrock_converse.blocks_in import Cited as WireCited
from trunkline.protocols.bedrock_converse.blocks_in import ToolUse, citation, redacted, signed
from trunkline.protocols.bedrock_converse.errors import status_of
from trunkline.protocols.bedrock_converse.usage import usage_of
from trunkline.protocols.carry import origin
from trunkline.protocols.codec import Target
from trunkline.protocols.sse import data_of

_NO_ARGUMENTS = "{}"


class _Input(msgspec.Struct):
    input: str = ""


class _Thought(msgspec.Struct, rename="camel"):
    text: str = ""
    signature: str = ""
    redacted_content: str = ""


class _Delta(msgspec.Struct, rename="camel"):
    text: str = ""
    tool_use: _Input | None = None
    reasoning_content: _Thought | None = None
    citation: WireCited | None = None


class _Begun(msgspec.Struct, rename="camel"):
    tool_use: ToolUse | None = None


class _MessageStart(msgspec.Struct):
    role: str = ""


class _BlockStart(msgspec.Struct, rename="camel"):
    content_block_index: int = 0
    start: _Begun | None = None


class _BlockDelta(msgspec.Struct, rename="camel"):
    content_block_index: int = 0
    delta: _Delta | None = None


class _BlockStop(msgspec.Struct, rename="camel"):
    content_block_index: int = 0


class _MessageStop(msgspec.Struct, rename="camel"):
    stop_reason: str = ""
    additional_model_response_fields: More | None = None


class _Metadata(msgspec.Struct, rename="camel"):
    usage: msgspec.Raw = NO_USAGE
    service_tier: Tier | None = None


class _Error(msgspec.Struct):
    message: str = ""


class _Event(msgspec.Struct, rename="camel"):
    content_block_delta: _BlockDelta | None = None
    message_start: _MessageStart | None = None
    content_block_start: _BlockStart | None = None
    content_block_stop: _BlockStop | None = None
    message_stop: _MessageStop | None = None
    metadata: _Metadata | None = None
    error: _Error | None = None
    exception: str = ""


class _Open:
    """A block that has begun and not ended."""

    __slots__ = ("hidden", "index", "part", "seen", "signature")

    def __init__(self, index: int, part: Part) -> None:
        self.index = index
        self.part = part
        self.seen = False
        self.signature = ""
        self.hidden: list[str] = []
        """Pieces of redacted reasoning, which is shown when it is whole."""


_decoder = msgspec.json.Decoder(_Event)


class Reader:
    """Reads one stream. Lives as long as it."""

    __slots__ = ("_calls", "_named", "_next", "_open", "done")

    def __init__(self, target: Target) -> None:
        self._named = origin(NAME, target.dialect)
        self._open: dict[int, _Open] = {}
        self._next = 0
        self._calls = False
        self.done = False

    def feed(self, event: bytes) -> list[Event]:
        """The events of one whole SSE event."""
        data = data_of(event)
        if data is None or not data.strip():
            return []
        found = _decoder.decode(data)
        if found.content_block_delta is not None and found.content_block_delta.delta is not None:
            return self._delta(found.content_block_delta.content_block_index, found.content_block_delta.delta)
        if found.content_block_start is not None:
            return self._block_start(found.content_block_start)
        if found.content_block_stop is not None:
            return self._block_stop(found.content_block_stop.content_block_index)
        if found.message_start is not None:
            return [Start()]
        if found.message_stop is not None:
            return self._message_stop(found.message_stop)
        if found.metadata is not None:
            return self._metadata(found.metadata)
        if found.error is not None:
            self.done = True
            return [Failed(Fault(found.error.message, type=found.exception), status_of(found.exception))]
        return []

    def going_on(self, index: int) -> None:  # noqa: ARG002
        """Its frames are of another kind."""
        return

    def end(self) -> list[Event]:
        """Nothing: what the stream owes, it says."""
        return []

    def _block_start(self, found: _BlockStart) -> list[Event]:
        """Told of calls alone; all other blocks begin with their first delta."""
        call = found.start.tool_use if found.start is not None else None
        if call is None or call.type:
            return []
        self._calls = True
        return self._begin(found.content_block_index, ToolCall(call.tool_use_id, call.name))

    def _begin(self, at: int, part: Part) -> list[Event]:
        before = self._block_stop(at)
        block = self._open[at] = _Open(self._next, part)
        self._next += 1
        return [*before, PartStart(block.index, part)]

    def _delta(self, at: int, delta: _Delta) -> list[Event]:
        if delta.text:
            return self._more(at, Text, delta.text)
        if delta.tool_use is not None:
            return self._arguments(at, delta.tool_use.input)
        if delta.reasoning_content is not None:
            return self._reasoning(at, delta.reasoning_content)
        if delta.citation is not None:
            events, block = self._block(at, Text)
            return [*events, Cited(block.index, citation(delta.citation))]
        return []

    def _block(self, at: int, kind: type[Text] | type[Thinking]) -> tuple[list[Event], _Open]:
        """The open block of a kind at a place, begun where it is not."""
        block = self._open.get(at)
        if block is not None and isinstance(block.part, kind):
            return [], block
        return self._begin(at, kind("")), self._open[at]

    def _more(self, at: int, kind: type[Text] | type[Thinking], text: str) -> list[Event]:
        events, block = self._block(at, kind)
        return [*events, Delta(block.index, text)]

    def _arguments(self, at: int, piece: str) -> list[Event]:
        block = self._open.get(at)
        if block is None or not isinstance(block.part, ToolCall):
            # Of a tool that the provider runs itself, whose beginning was left out.
            return []
        block.seen = block.seen or bool(piece)
        return [Delta(block.index, piece)] if piece else []

    def _reasoning(self, at: int, found: _Thought) -> list[Event]:
        if found.text:
            return self._more(at, Thinking, found.text)
        block = self._open.get(at)
        if found.redacted_content:
            if block is None:
                block = self._open[at] = _Open(-1, Thinking(redacted=True))
            block.hidden.append(found.redacted_content)
            return []
        if not found.signature:
            return []
        events, block = self._block(at, Thinking)
        block.signature += found.signature
        return events

    def _block_stop(self, at: int) -> list[Event]:
        block = self._open.pop(at, None)
        return [] if block is None else self._end(block)

    def _end(self, block: _Open) -> list[Event]:
        if block.index < 0:
            index, self._next = self._next, self._next + 1
            return [PartStart(index, redacted(_joined(block.hidden), self._named)), PartEnd(index)]
        if isinstance(block.part, ToolCall) and not block.seen:
            return [Delta(block.index, _NO_ARGUMENTS), PartEnd(block.index)]
        return [PartEnd(block.index, signed(block.signature, self._named))]

    def _message_stop(self, found: _MessageStop) -> list[Event]:
        events = [event for block in self._open.values() for event in self._end(block)]
        self._open.clear()
        more = found.additional_model_response_fields
        reason = finish_of(found.stop_reason, calls=self._calls)
        return [*events, Finish(reason, found.stop_reason, more.stop_sequence if more is not None else None)]

    def _metadata(self, found: _Metadata) -> list[Event]:
        """The last event of all."""
        self.done = True
        usage = usage_of(found.usage)
        if usage is None:
            return []
        return [UsageSeen(usage, found.usage, found.service_tier.type if found.service_tier is not None else "")]


def _joined(pieces: list[str]) -> str:
    """One base64 text of several, each of which is whole in itself."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return base64.b64encode(b"".join(map(base64.b64decode, pieces))).decode()
    except (binascii.Error, ValueError):
        return "".join(pieces)

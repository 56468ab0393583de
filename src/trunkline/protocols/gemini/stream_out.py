"""Streams, written. In: canonical events. Out: bytes of SSE events, or of one JSON array where the caller did not say `alt=sse`.

Text goes out as it comes; a call goes out when it is whole, since this wire has no pieces of calls. Each event is a `GenerateContentResponse`:
exactly `data: {json}` and a blank line, no comments, no [DONE]: the SDKs parse nothing else.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from trunkline.errors import RequestError
from trunkline.ir.events import Cited, Delta, Event, Finish, PartEnd, PartStart, Start, UsageSeen
from trunkline.ir.parts import Carry, Citation, Media, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from trunkline.ir.response import FinishReason
from trunkline.protocols.codec import AnswerContext, Bill, own_id
from trunkline.protocols.gemini import grounding
from trunkline.protocols.gemini.answer_out import shows_thoughts, usage_with_cost, write_logprobs
from trunkline.protocols.gemini.errors import error_body
from trunkline.protocols.gemini.names import BLOCKED, native_of
from trunkline.protocols.gemini.parts_out import PartWriter
from trunkline.protocols.gemini.slots import Slots, is_own
from trunkline.protocols.gemini.usage import write_usage
from trunkline.protocols.gemini.wire import merged
from trunkline.protocols.media import Blobs
from trunkline.protocols.rawjson import split

_replace = msgspec.structs.replace
_encode = msgspec.json.Encoder().encode
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


class _Open:
    """A part while it comes."""

    __slots__ = ("choice", "citations", "part", "signed", "text")

    def __init__(self, part: Part, choice: int) -> None:
        self.part = part
        self.choice = choice
        self.text: list[str] = []
        self.citations: list[Citation] = []
        self.signed = False
        """A text's slot has been written, or it needs none."""


class _Choice:
    """A candidate while it comes."""

    __slots__ = ("cited", "end", "parts", "slots", "sources")

    def __init__(self, secret: bytes) -> None:
        self.slots = Slots(secret)
        self.parts = 0
        self.cited: list[tuple[int, Text]] = []
        self.sources: list[Citation] = []
        self.end: Finish | None = None


class Writer:
    """Writes one stream. Lives as long as that."""

    __slots__ = ("_begun", "_choices", "_context", "_open", "_shows", "_sse", "_tail", "_usage", "_writer")

    def __init__(self, context: AnswerContext, names: Mapping[str, Any] | None = None) -> None:
        """`names` are the id and model of a stream that somebody else has begun."""
        self._context = context
        self._sse = not context.array_framing
        self._shows = shows_thoughts(context)
        self._begun = False
        self._open: dict[int, _Open] = {}
        self._choices: dict[int, _Choice] = {}
        self._usage: UsageSeen | None = None
        self._writer = PartWriter(Blobs(), own=True)
        members = {"modelVersion": context.model, "responseId": own_id("", context.request_id), **(names or {})}
        self._tail = b"," + _encode(members)[1:]
        """What stands at the end of each event."""

    def feed(self, event: Event) -> bytes:
        if isinstance(event, Delta):
            return self._delta(event)
        if isinstance(event, PartStart):
            return self._part_start(event)
        if isinstance(event, PartEnd):
            return self._part_end(event)
        if isinstance(event, Cited):
            self._open[event.index].citations.append(event.citation)
        elif isinstance(event, Finish):
            return self._finish(event)
        elif isinstance(event, UsageSeen):
            self._usage = event
        elif isinstance(event, Start):
            return b""
        return b""

    def end(self, bill: Bill) -> bytes:
        """The last event: why each candidate ended, and the usage."""
        members: list[bytes] = []
        blocked = self._blocked()
        if blocked:
            members.append(b'"promptFeedback":' + _encode({"blockReason": blocked}))
        elif self._choices:
            ends = [self._end_of(index, choice) for index, choice in sorted(self._choices.items())]
            members.append(b'"candidates":' + _encode(ends))
        if self._usage is not None:
            members.append(b'"usageMetadata":' + usage_with_cost(write_usage(self._usage.usage), bill))
        last = self._frame(b"{%b%b" % (b",".join(members), self._tail if members else self._tail[1:]))
        return last if self._sse else last + b"]"

    def fail(self, error: RequestError) -> bytes:
        """The error. Whatever was open stays so: this wire has no borders of parts."""
        last = self._frame(error_body(error, self._context.request_id))
        return last if self._sse else last + b"]"

    def _part_start(self, event: PartStart) -> bytes:
        part, choice = event.part, self._choice(event.choice)
        opened = self._open[event.index] = _Open(part, event.choice)
        if isinstance(part, Text | Refusal):
            opened.signed = part.carry is None and not choice.slots.waiting
            return self._text(opened, part.text, ()) if part.text else b""
        if isinstance(part, Thinking) and part.text:
            return self._thought(opened, part.text)
        return b""

    def _delta(self, event: Delta) -> bytes:
        opened = self._open[event.index]
        part = opened.part
        if isinstance(part, Text | Refusal):
            return self._text(opened, event.text, event.logprobs)
        if isinstance(part, Thinking):
            return self._thought(opened, event.text)
        opened.text.append(event.text)
        return b""

    def _text(self, opened: _Open, text: str, logprobs: Any) -> bytes:
        opened.text.append(text)
        part = b'{"text":%b}' % _encode(text)
        if not opened.signed and text:
            opened.signed = True
            keys = self._choice(opened.choice).slots.keys(opened.part.carry)
            part = _encode(merged({"text": text}, keys))
        more = b',"logprobsResult":' + _encode(write_logprobs(logprobs)) if logprobs else b""
        return self._event(opened.choice, part, more)

    def _thought(self, opened: _Open, text: str) -> bytes:
        opened.text.append(text)
        return self._event(opened.choice, b'{"text":%b,"thought":true}' % _encode(text)) if self._shows else b""

    def _part_end(self, event: PartEnd) -> bytes:
        opened = self._open.pop(event.index)
        part, carry = opened.part, event.carry or opened.part.carry
        choice = self._choice(opened.choice)
        if isinstance(part, Text | Refusal):
            return self._text_end(opened, choice, event.carry)
        if isinstance(part, Thinking):
            return self._thought_end(_replace(part, text="".join(opened.text), carry=carry), opened.choice)
        if isinstance(part, ToolCall):
            return self._call_end(_replace(part, arguments=part.arguments + "".join(opened.text), carry=carry), opened)
        if isinstance(part, ToolResult):
            choice.sources += part.sources
            return b""
        return self._whole(part if carry is part.carry else _replace(part, carry=carry), opened.choice)

    def _text_end(self, opened: _Open, choice: _Choice, late: Carry | None) -> bytes:
        """Signatures of texts may come at their end, and then stand on an empty one, as Google's own do."""
        if isinstance(opened.part, Text) and (opened.citations or opened.part.citations):
            cited = _replace(
                opened.part, text="".join(opened.text), citations=(*opened.part.citations, *opened.citations)
            )
            choice.cited.append((choice.parts - 1, cited))
        carry = late if late is not None else None if opened.signed else opened.part.carry
        if carry is None and not (choice.slots.waiting and not opened.signed and opened.text):
            return b""
        keys = choice.slots.keys(carry)
        return self._event(opened.choice, _encode(merged({"text": ""}, keys))) if keys else b""

    def _thought_end(self, part: Thinking, choice: int) -> bytes:
        if part.carry is None:
            return b""
        if is_own(part.carry) and self._shows:
            keys = self._choice(choice).slots.keys(part.carry)
            return self._event(choice, _encode(merged({"text": "", "thought": True}, keys)))
        self._choice(choice).slots.hide(part)
        return b""

    def _call_end(self, call: ToolCall, opened: _Open) -> bytes:
        if call.kind == "server":
            return b""
        keys = self._choice(opened.choice).slots.keys(call.carry, call.id)
        return self._event(opened.choice, _encode(merged(self._writer.part(call), keys)))

    def _whole(self, part: Media | Opaque, choice: int) -> bytes:
        slots = self._choice(choice).slots
        if isinstance(part, Opaque):
            if is_own(part.carry):
                return self._event(choice, _encode(split(bytes(part.carry.data))))
            slots.hide(part)
            return b""
        writer = PartWriter(Blobs(), own=True)
        written = _encode(merged(writer.part(part), slots.keys(part.carry)))
        return writer.blobs.fill(self._event(choice, written))

    def _finish(self, event: Finish) -> bytes:
        choice = self._choice(event.choice)
        choice.end = event
        rest = choice.slots.rest()
        return b"" if rest is None else self._event(event.choice, _encode(rest))

    def _end_of(self, index: int, choice: _Choice) -> dict[str, Any]:
        written: dict[str, Any] = {"content": {"parts": [{"text": ""}], "role": "model"}}
        if choice.end is not None:
            written["finishReason"] = native_of(choice.end.reason, choice.end.native)
        if found := grounding.written(choice.cited, choice.sources):
            written["groundingMetadata"] = found
        return written | {"index": index}

    def _blocked(self) -> str:
        only = self._choices.get(0)
        if only is None or only.end is None or only.parts or not only.end.native.startswith(BLOCKED):
            return ""
        return only.end.native.removeprefix(BLOCKED) if only.end.reason is FinishReason.CONTENT_FILTER else ""

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice(self._context.secret)
        return choice

    def _event(self, choice: int, part: bytes, more: bytes = b"") -> bytes:
        self._choices[choice].parts += 1
        return self._frame(
            b'{"candidates":[{"content":{"parts":[%b],"role":"model"},"index":%d%b}]%b'
            % (part, choice, more, self._tail)
        )

    def _frame(self, body: bytes) -> bytes:
        if self._sse:
            if body.find(b"\n") >= 0 or body.find(b"\r") >= 0:
                # Arguments are as the model wrote them, perhaps on several lines; within its texts JSON has no bare line ends.
                body = body.translate(_ONE_LINE)
            return b"data: %b\n\n" % body
        before, self._begun = b"," if self._begun else b"[", True
        return b"%b%b\r\n" % (before, body)

"""A stream for a caller of Chat Completions. In: canonical events. Out: its bytes, each delta at once (https://platform.openai.com/docs/api-reference/chat/streaming).

Entries of lists (calls, details, annotations, images) have an `index`, since accumulators of SDKs put lists together by it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from trunkline.errors import RequestError
from trunkline.ir.events import Cited, Delta, Event, Finish, PartEnd, PartStart, Start, UsageSeen
from trunkline.ir.parts import Carry, Logprob, Media, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from trunkline.protocols.codec import AnswerContext, Bill, own_id
from trunkline.protocols.openai_chat import pieces_out
from trunkline.protocols.openai_chat.answer_out import BETWEEN_THOUGHTS, ID_KIND, shows_thinking
from trunkline.protocols.openai_chat.details import Detail, Slots
from trunkline.protocols.openai_chat.errors import error_event
from trunkline.protocols.openai_chat.finish import word_of
from trunkline.protocols.openai_chat.tools_in import is_legacy
from trunkline.protocols.openai_chat.usage_both import with_bill

_encode = msgspec.json.encode
_replace = msgspec.structs.replace
_AFTER = b'},"finish_reason":null}]}\n\n'
_NOTHING = b""


class _Sent(msgspec.Struct):
    """A part that is being sent. A delta is `before`, its text, `after`; where there is `between`, the text again."""

    part: Part
    choice: int
    before: bytes = b""
    between: bytes = b""
    after: bytes = _AFTER
    pieces: list[str] | None = None
    """Of reasoning, and of calls that the provider ran: their whole text may have to be sealed."""
    has_text: bool = False
    call_id: str = ""
    offset: int = 0
    """Of a text: where it begins in the content, in characters."""


class _Candidate:
    """What one candidate has had: numbers of its calls, annotations, images; its length in characters."""

    __slots__ = ("annotations", "calls", "finish", "images", "length", "slots", "thoughts")

    def __init__(self, context: AnswerContext) -> None:
        self.slots = Slots(context)
        self.calls = 0
        self.annotations = 0
        self.images = 0
        self.length = 0
        self.thoughts = 0
        self.finish: Finish | None = None


class ChatWriter:
    """Lives as long as its stream."""

    __slots__ = ("_candidates", "_context", "_head", "_legacy", "_parts", "_shows", "_usage")

    def __init__(self, context: AnswerContext, names: Mapping[str, Any] | None = None) -> None:
        """`names` are the id, time and model of a stream that somebody else has begun."""
        self._context = context
        self._legacy = is_legacy(context.request.tools)
        self._shows = shows_thinking(context)
        self._candidates: dict[int, _Candidate] = {}
        self._parts: dict[int, _Sent] = {}
        self._usage: UsageSeen | None = None
        head = {
            "id": own_id(ID_KIND, context.request_id),
            "object": "chat.completion.chunk",
            "created": context.created_s,
            "model": context.model,
            **(names or {}),
        }
        self._head = b"data: %b," % _encode(head)[:-1]

    def feed(self, event: Event) -> bytes:
        return _FEED[type(event)](self, event)

    def end(self, bill: Bill) -> bytes:
        """Reasons to finish, usage if it was asked for, and the mark of the end."""
        chunks = [self._finish(number, one.finish) for number, one in self._candidates.items() if one.finish]
        usage = self._usage
        if usage is not None and self._context.request.include_usage:
            last = {"choices": [], **pieces_out.tier(usage.service_tier), "usage": with_bill(usage.usage, bill)}
            chunks.append(b"%b%b\n\n" % (self._head, _encode(last)[1:]))
        return b"".join((*chunks, b"data: [DONE]\n\n"))

    def fail(self, error: RequestError) -> bytes:
        return error_event(error, self._context.request_id)

    def _start(self, _event: Start) -> bytes:
        return self._begin(0)

    def _begin(self, choice: int) -> bytes:
        """The chunk with the role, once for each candidate."""
        if choice in self._candidates:
            return _NOTHING
        self._candidates[choice] = _Candidate(self._context)
        return self._chunk(choice, {"role": "assistant", "content": ""})

    def _part_start(self, event: PartStart) -> bytes:
        begun = self._begin(event.choice)
        sent = self._parts[event.index] = _Sent(event.part, event.choice)
        start = _START.get(type(event.part))
        return begun if start is None else begun + start(self, sent)

    def _start_text(self, sent: _Sent) -> bytes:
        sent.offset = self._candidates[sent.choice].length
        sent.before = self._before(sent.choice, b'{"content":')
        return _NOTHING

    def _start_refusal(self, sent: _Sent) -> bytes:
        sent.before = self._before(sent.choice, b'{"refusal":')
        return _NOTHING

    def _start_thinking(self, sent: _Sent) -> bytes:
        sent.pieces = []
        if not self._shows:
            return _NOTHING
        candidate = self._candidates[sent.choice]
        sent.before = self._before(sent.choice, b'{"reasoning":')
        sent.between = b',"reasoning_content":'
        candidate.thoughts += 1
        return _NOTHING

    def _start_call(self, sent: _Sent) -> bytes:
        call, candidate = sent.part, self._candidates[sent.choice]
        assert isinstance(call, ToolCall)
        if call.kind == "server":
            sent.pieces = []
        if call.kind == "server" or (self._legacy and candidate.calls):
            return _NOTHING
        number = candidate.calls
        candidate.calls += 1
        if self._legacy:
            sent.before = self._before(sent.choice, b'{"function_call":{"arguments":')
            sent.after = b"}" + _AFTER
            return self._chunk(sent.choice, {"function_call": {"name": call.name, "arguments": ""}})
        sent.call_id = candidate.slots.call_id(call)
        word = b'"custom":{"input":' if call.kind == "custom" else b'"function":{"arguments":'
        sent.before = self._before(sent.choice, b'{"tool_calls":[{"index":%d,%b' % (number, word))
        sent.after = b"}}]" + _AFTER
        delta: dict[str, Any] = {}
        if call.carry is not None and pieces_out.is_foreign(call.carry):
            delta["reasoning_details"] = candidate.slots.beside(call.carry, sent.call_id)
        delta["tool_calls"] = [{"index": number, **pieces_out.call(call, sent.call_id, "")}]
        return self._chunk(sent.choice, delta)

    def _start_media(self, sent: _Sent) -> bytes:
        part, candidate, context = sent.part, self._candidates[sent.choice], self._context
        assert isinstance(part, Media)
        if part.kind == "audio":
            return self._chunk(sent.choice, {"audio": pieces_out.sound(part, context.request_id, context.created_s)})
        if part.kind != "image":
            return _NOTHING
        candidate.images += 1
        return self._chunk(sent.choice, {"images": [{"index": candidate.images - 1, **pieces_out.image(part)}]})

    def _start_opaque(self, sent: _Sent) -> bytes:
        part = sent.part
        assert isinstance(part, Opaque)
        own = pieces_out.own(part.carry)
        if own:
            return self._chunk(sent.choice, {"content": [own]})
        return self._details(sent.choice, self._candidates[sent.choice].slots.hidden(part))

    def _delta(self, event: Delta) -> bytes:
        sent = self._parts[event.index]
        if event.logprobs:
            return self._probable(sent, event.text, event.logprobs)
        if sent.pieces is not None:
            return self._thought(sent, event.text)
        if not sent.before:
            return _NOTHING
        sent.has_text = True
        if type(sent.part) is Text:
            self._candidates[sent.choice].length += len(event.text)
        return b"%b%b%b" % (sent.before, _encode(event.text), sent.after)

    def _thought(self, sent: _Sent, text: str) -> bytes:
        assert sent.pieces is not None
        apart = BETWEEN_THOUGHTS if not sent.pieces and self._candidates[sent.choice].thoughts > 1 else ""
        sent.pieces.append(text)
        if not sent.before:
            return _NOTHING
        written = _encode(apart + text)
        return b"%b%b%b%b%b" % (sent.before, written, sent.between, written, sent.after)

    def _probable(self, sent: _Sent, text: str, found: tuple[Logprob, ...]) -> bytes:
        """A delta with log probabilities, which stand beside it."""
        name = "refusal" if isinstance(sent.part, Refusal) else "content"
        if name == "content":
            self._candidates[sent.choice].length += len(text)
        choice = {
            "index": sent.choice,
            "delta": {name: text},
            "logprobs": {"content": None, "refusal": None, name: pieces_out.logprobs(found)},
            "finish_reason": None,
        }
        return self._choices(choice)

    def _cited(self, event: Cited) -> bytes:
        sent = self._parts[event.index]
        candidate = self._candidates[sent.choice]
        candidate.annotations += 1
        place = pieces_out.annotation(event.citation, sent.offset, candidate.length - sent.offset)
        found = {"index": candidate.annotations - 1, **place}
        return self._chunk(sent.choice, {"annotations": [found]})

    def _part_end(self, event: PartEnd) -> bytes:
        sent = self._parts.pop(event.index)
        carry = event.carry or sent.part.carry
        end = _END.get(type(sent.part))
        return _NOTHING if end is None else end(self, sent, carry)

    def _end_text(self, sent: _Sent, carry: Carry | None) -> bytes:
        if carry is None or not pieces_out.is_foreign(carry):
            return _NOTHING
        return self._details(sent.choice, self._candidates[sent.choice].slots.beside(carry))

    def _end_thinking(self, sent: _Sent, carry: Carry | None) -> bytes:
        part = sent.part
        assert isinstance(part, Thinking)
        whole = _replace(part, text=part.text + "".join(sent.pieces or ()), carry=carry)
        slots = self._candidates[sent.choice].slots
        return self._details(sent.choice, (not whole.text and slots.plain(whole)) or slots.hidden(whole))

    def _end_call(self, sent: _Sent, carry: Carry | None) -> bytes:
        call, empty = sent.part, _NOTHING
        assert isinstance(call, ToolCall)
        if call.kind == "server":
            whole = _replace(call, arguments=call.arguments + "".join(sent.pieces or ()), carry=carry)
            return self._details(sent.choice, self._candidates[sent.choice].slots.searched(whole))
        if sent.before and not sent.has_text and call.kind == "function":
            # Clients parse it.
            empty = b"%b%b%b" % (sent.before, b'"{}"', sent.after)
        if carry is None or carry is call.carry or not pieces_out.is_foreign(carry) or not sent.call_id:
            return empty
        return empty + self._details(sent.choice, self._candidates[sent.choice].slots.beside(carry, sent.call_id))

    def _end_result(self, sent: _Sent, carry: Carry | None) -> bytes:
        """Of a search that the provider ran."""
        result = sent.part
        assert isinstance(result, ToolResult)
        whole = result if carry is result.carry else _replace(result, carry=carry)
        return self._details(sent.choice, self._candidates[sent.choice].slots.searched(whole))

    def _see_finish(self, event: Finish) -> bytes:
        begun = self._begin(event.choice)
        self._candidates[event.choice].finish = event
        return begun

    def _see_usage(self, event: UsageSeen) -> bytes:
        self._usage = event
        return _NOTHING

    def _finish(self, number: int, finish: Finish) -> bytes:
        word = word_of(finish.reason, finish.native, self._legacy)
        return self._choices({"index": number, "delta": {}, "finish_reason": word})

    def _details(self, choice: int, details: list[Detail]) -> bytes:
        return self._chunk(choice, {"reasoning_details": details}) if details else _NOTHING

    def _chunk(self, choice: int, delta: dict[str, Any]) -> bytes:
        return self._choices({"index": choice, "delta": delta, "finish_reason": None})

    def _choices(self, choice: dict[str, Any]) -> bytes:
        return b'%b"choices":[%b]}\n\n' % (self._head, _encode(choice))

    def _before(self, choice: int, delta: bytes) -> bytes:
        return b'%b"choices":[{"index":%d,"delta":%b' % (self._head, choice, delta)


_FEED: dict[type, Callable[[ChatWriter, Any], bytes]] = {
    Start: ChatWriter._start,
    PartStart: ChatWriter._part_start,
    Delta: ChatWriter._delta,
    Cited: ChatWriter._cited,
    PartEnd: ChatWriter._part_end,
    Finish: ChatWriter._see_finish,
    UsageSeen: ChatWriter._see_usage,
}
_START: dict[type, Callable[[ChatWriter, _Sent], bytes]] = {
    Text: ChatWriter._start_text,
    Refusal: ChatWriter._start_refusal,
    Thinking: ChatWriter._start_thinking,
    ToolCall: ChatWriter._start_call,
    Media: ChatWriter._start_media,
    Opaque: ChatWriter._start_opaque,
}
_END: dict[type, Callable[[ChatWriter, _Sent, Carry | None], bytes]] = {
    Text: ChatWriter._end_text,
    Thinking: ChatWriter._end_thinking,
    ToolCall: ChatWriter._end_call,
    ToolResult: ChatWriter._end_result,
}


def stream_writer(context: AnswerContext) -> ChatWriter:
    return ChatWriter(context)

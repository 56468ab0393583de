"""A stream of Responses, written to the caller. In: canonical events. Out: SSE bytes, in the order and with the numbers that SDKs and Codex need.

Every item is whole in its `output_item.done`, and the same again in `response.completed`. A whole answer is written by the same class (`answer_out`),
so both are the same. https://developers.openai.com/api/reference/resources/responses/streaming-events
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from trunkline.errors import RequestError
from trunkline.ir.events import Cited, Delta, Event, Finish, PartEnd, PartStart, Start, UsageSeen
from trunkline.ir.parts import Carry, Citation, Logprob, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from trunkline.ir.response import FinishReason
from trunkline.protocols.carry import Kept, carried, seal, understands
from trunkline.protocols.codec import RESPONSES, AnswerContext, Bill, own_id
from trunkline.protocols.openai_responses import answer_out, parts_out
from trunkline.protocols.openai_responses.errors import answer_error
from trunkline.protocols.openai_responses.items_in import CONTENT
from trunkline.protocols.rawjson import Fields

_replace = msgspec.structs.replace
_encode = msgspec.json.encode
_SEARCHES = frozenset({"web_search", "web_search_preview", "google_search", "googleSearch", "web_fetch", "url_context"})
"""Names under which the other protocols' searches may come."""
_GROWING = msgspec.Raw(b"null")
_NO_KEYS: Fields = {}
_REFUSED = "The model refused to answer."
_DELTA = b'event: %b\ndata: {"type":"%b","sequence_number":'
_WORDS = {
    "text": b"response.output_text.delta",
    "refusal": b"response.refusal.delta",
    "thinking": b"response.reasoning_summary_text.delta",
    "function": b"response.function_call_arguments.delta",
    "custom": b"response.custom_tool_call_input.delta",
}


class _Message:
    """A message item. Lives until its last part has ended and something else has begun."""

    __slots__ = ("at", "contents", "id", "is_left", "keys", "open")

    def __init__(self, at: int, item_id: str, keys: Fields) -> None:
        self.at = at
        self.id = item_id
        self.keys = keys
        self.contents: list[msgspec.Raw] = []
        self.open = 0
        self.is_left = False


class _Part:
    """A part that has begun, and all of it so far."""

    __slots__ = (
        "after",
        "before",
        "citations",
        "content",
        "hidden",
        "id",
        "inner",
        "kind",
        "logprobs",
        "message",
        "middle",
        "part",
        "texts",
    )

    def __init__(self, kind: str, part: Any, at: int, item_id: str) -> None:
        self.kind = kind
        self.part = part
        self.id = item_id
        self.content = 0
        self.texts: list[str] = []
        self.logprobs: list[Logprob] = []
        self.citations: list[Citation] = []
        self.message: _Message | None = None
        self.inner = _NO_KEYS
        self.hidden = False
        word = _WORDS.get(kind, b"")
        self.before = _DELTA % (word, word)
        self.middle = b',"item_id":"%b","output_index":%d,' % (item_id.encode(), at)
        self.after = b"}\n\n"

    @property
    def text(self) -> str:
        return "".join(self.texts)


class Begun(msgspec.Struct, frozen=True):
    """Where a stream is that somebody else has begun. `items` are None while they grow; the last that does is the message `at`, with `keys` of its own."""

    head: Fields
    """Of the response, as it was told first."""
    number: int
    items: list[msgspec.Raw | None]
    at: int | None = None
    id: str = ""
    keys: Fields = _NO_KEYS
    contents: tuple[msgspec.Raw | None, ...] = ()
    """None: the text that grows."""
    text: str = ""
    """So far, of that one, whose part is 0."""


class StreamWriter:
    """Writes one stream. Lives as long as it."""

    __slots__ = (
        "_begun", "_context", "_ended_body", "_finish", "_head", "_message", "_number", "_output", "_parts", "_refused", "_searches", "_shown", "_usage",
    )  # fmt: skip

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._head = answer_out.head(context)
        self._number = 0
        self._begun = False
        self._output: list[msgspec.Raw | None] = []
        """Items by their index; None while they grow."""
        self._parts: dict[int, _Part] = {}
        self._message: _Message | None = None
        self._searches: dict[str, tuple[int, ToolCall]] = {}
        """Searches that wait for what they found, by call id."""
        self._finish: Finish | None = None
        self._usage: UsageSeen | None = None
        self._refused = False
        asked = context.request.reasoning
        self._shown = asked is None or asked.shown is not False
        self._ended_body = b""

    @property
    def body(self) -> bytes:
        """The whole response, once it has ended: what is stored."""
        return self._ended_body

    def go_on(self, begun: Begun) -> None:
        """Be at that place."""
        self._begun, self._number = True, begun.number
        self._head.update(begun.head)
        self._output = list(begun.items)
        if begun.at is None:
            return
        message = self._message = _Message(begun.at, begun.id, begun.keys)
        message.contents = [_GROWING if one is None else one for one in begun.contents]
        message.open = begun.contents.count(None)
        if message.open:
            state = self._parts[0] = self._text_part("text", Text(""), message, begun.contents.index(None))
            state.texts.append(begun.text)

    def feed(self, event: Event) -> bytes:
        """The bytes for an event."""
        if type(event) is Delta:
            return self._delta(event)
        begin = b"" if self._begun else self._begin()
        handle = _HANDLE.get(type(event))
        return begin + handle(self, event) if handle is not None else begin

    def end(self, bill: Bill) -> bytes:
        """Whatever is still open, and the last event, with usage and cost."""
        out = [b"" if self._begun else self._begin()]
        out += [self._part_end(PartEnd(index)) for index in list(self._parts)]
        out += [self._searched(call_id, ()) for call_id in list(self._searches)]
        finish = self._finish
        if finish is not None and finish.reason == FinishReason.REFUSAL and not self._refused:
            out += [self.feed(one) for one in (PartStart(-1, Refusal("")), Delta(-1, _REFUSED), PartEnd(-1))]
        status, reason = answer_out.status_of(finish)
        out.append(self._leave_message(status))
        ended = answer_out.ended(self._head, status, reason, self._items(), self._usage, bill)
        self._ended_body = _encode(ended)
        out.append(self._event(f"response.{status}", b'"response":%b' % self._ended_body))
        return b"".join(out)

    def fail(self, error: RequestError) -> bytes:
        """`response.failed`, with the items that were whole."""
        begin = b"" if self._begun else self._begin()
        failed = answer_out.failed(self._head, answer_error(error), self._items(), self._usage)
        self._ended_body = _encode(failed)
        return begin + self._event("response.failed", b'"response":%b' % self._ended_body)

    def _items(self) -> list[msgspec.Raw]:
        return [item for item in self._output if item is not None]

    def _event(self, kind: str, members: bytes) -> bytes:
        word = kind.encode()
        number = self._number
        self._number = number + 1
        return b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n' % (word, word, number, members)

    def _begin(self) -> bytes:
        self._begun = True
        members = b'"response":%b' % _encode(answer_out.begun(self._head))
        return self._event("response.created", members) + self._event("response.in_progress", members)

    def _delta(self, event: Delta) -> bytes:
        part = self._parts.get(event.index)
        if part is None:
            return b""
        part.texts.append(event.text)
        if part.hidden or part.kind == "search":
            return b""
        number = self._number
        after = part.after
        if event.logprobs:
            part.logprobs += event.logprobs
            after = b',"logprobs":%b}\n\n' % _encode([parts_out.logprob(one) for one in event.logprobs])
        first = b""
        if part.kind == "thinking" and len(part.texts) == 1:
            first = self._summary_begin(part)
            number = self._number
        self._number = number + 1
        return b'%b%b%d%b"delta":%b%b' % (first, part.before, number, part.middle, _encode(event.text), after)

    def _part_start(self, event: PartStart) -> bytes:
        if event.choice:
            return b""
        part = event.part
        if isinstance(part, Text | Refusal):
            return self._say(event.index, part)
        left = self._leave_message("completed")
        if isinstance(part, Thinking):
            return left + self._think(event.index, part)
        if isinstance(part, ToolCall):
            return left + (self._search(event.index, part) if part.kind == "server" else self._call(event.index, part))
        if isinstance(part, ToolResult):
            return left + self._searched(part.call_id, part.sources)
        return left + self._whole(part)

    def _new(self, kind: str) -> tuple[int, str]:
        at = len(self._output)
        self._output.append(None)
        return at, own_id(kind, self._context.request_id, at)

    def _added(self, at: int, item: Mapping[str, Any]) -> bytes:
        return self._event("response.output_item.added", b'"output_index":%d,"item":%b' % (at, _encode(item)))

    def _done(self, at: int, item: Mapping[str, Any]) -> bytes:
        encoded = _encode(item)
        self._output[at] = msgspec.Raw(encoded)
        return self._event("response.output_item.done", b'"output_index":%d,"item":%b' % (at, encoded))

    def _own(self, carry: Carry | None) -> Fields:
        """What a carry of this protocol brings back. Ids are the answer's own."""
        own = dict(carried(carry, RESPONSES, ""))
        own.pop("id", None)
        return own

    def _slot(self, kept: Kept) -> bytes:
        """A reasoning item made only to bear what the caller must return."""
        at, item_id = self._new("rs_")
        item = {
            "type": "reasoning",
            "id": item_id,
            "summary": [],
            "encrypted_content": seal(kept, self._context.secret),
        }
        return self._added(at, item) + self._done(at, item)

    def _is_foreign(self, carry: Carry | None) -> bool:
        return carry is not None and not understands(carry, RESPONSES, "")

    def _slot_before(self, carry: Carry | None) -> bytes:
        return self._slot(Kept(carry=carry, place="next")) if self._is_foreign(carry) else b""

    def _slot_behind(self, carry: Carry | None) -> bytes:
        """A state that came with the end of a part whose item is already on the wire."""
        return self._slot(Kept(carry=carry)) if self._is_foreign(carry) else b""

    # Messages

    def _say(self, index: int, part: Text | Refusal) -> bytes:
        keys = self._own(part.carry)
        inner = keys.pop(CONTENT, None)
        out = b""
        message = self._message
        if message is None or keys or self._is_foreign(part.carry):
            out = self._leave_message("completed") + self._slot_before(part.carry)
            at, item_id = self._new("msg_")
            message = self._message = _Message(at, item_id, keys)
            out += self._added(at, self._message_item(message, "in_progress"))
        kind = "refusal" if isinstance(part, Refusal) else "text"
        self._refused = self._refused or kind == "refusal"
        state = self._parts[index] = self._text_part(kind, part, message, len(message.contents))
        state.inner = msgspec.json.decode(inner, type=Fields) if inner is not None else _NO_KEYS
        message.contents.append(_GROWING)
        message.open += 1
        empty = self._content(state)
        out += self._event("response.content_part.added", b'%b"part":%b' % (self._place(state), _encode(empty)))
        return out + (self._delta(Delta(index, part.text, part.logprobs)) if part.text or part.logprobs else b"")

    def _text_part(self, kind: str, part: Text | Refusal, message: _Message, content: int) -> _Part:
        state = _Part(kind, _replace(part, text="", logprobs=()), message.at, message.id)
        state.message, state.content = message, content
        state.middle += b'"content_index":%d,' % content
        if kind == "text":
            state.after = b',"logprobs":[]}\n\n'
        return state

    def _place(self, state: _Part) -> bytes:
        return state.middle[1:]

    def _message_item(self, message: _Message, status: str) -> dict[str, Any]:
        contents = [one for one in message.contents if one is not _GROWING]
        return {
            "type": "message",
            "id": message.id,
            "status": status,
            "role": "assistant",
            **message.keys,
            CONTENT: contents,
        }

    def _content(self, state: _Part) -> dict[str, Any]:
        text = state.text
        if state.kind == "refusal":
            return parts_out.refusal(Refusal(text), state.inner)
        whole = Text(text, (*state.part.citations, *state.citations), tuple(state.logprobs))
        return {
            **parts_out.output_text(whole, state.inner, ""),
            "logprobs": [parts_out.logprob(one) for one in state.logprobs],
        }

    def _cited(self, event: Cited) -> bytes:
        state = self._parts.get(event.index)
        if state is None or state.kind != "text":
            return b""
        number = len(state.citations)
        state.citations.append(event.citation)
        wire = _encode(parts_out.annotation(event.citation, len(state.text), ""))
        members = b'%b"annotation_index":%d,"annotation":%b' % (self._place(state), number, wire)
        return self._event("response.output_text.annotation.added", members)

    def _said(self, state: _Part, carry: Carry | None) -> bytes:
        message = state.message
        assert message is not None
        whole = self._content(state)
        if state.kind == "refusal":
            out = self._event("response.refusal.done", b'%b"refusal":%b' % (self._place(state), _encode(state.text)))
        else:
            members = (self._place(state), _encode(state.text), _encode(whole["logprobs"]))
            out = self._event("response.output_text.done", b'%b"text":%b,"logprobs":%b' % members)
        encoded = _encode(whole)
        message.contents[state.content] = msgspec.Raw(encoded)
        out += self._event("response.content_part.done", b'%b"part":%b' % (self._place(state), encoded))
        message.open -= 1
        if self._is_foreign(carry):
            return out + self._leave_message("completed") + self._slot_behind(carry)
        if message.is_left and not message.open:
            out += self._done(message.at, self._message_item(message, "completed"))
        return out

    def _leave_message(self, status: str) -> bytes:
        """Something else begins: no more parts for the message. It ends now, or with its last part."""
        message, self._message = self._message, None
        if message is None:
            return b""
        message.is_left = True
        return b"" if message.open else self._done(message.at, self._message_item(message, status))

    # Reasoning

    def _think(self, index: int, part: Thinking) -> bytes:
        at, item_id = self._new("rs_")
        state = self._parts[index] = _Part("thinking", part, at, item_id)
        state.content = at
        state.middle += b'"summary_index":0,'
        state.hidden = part.redacted or not self._shown
        out = self._added(at, {"type": "reasoning", "id": item_id, "summary": []})
        return out + (self._delta(Delta(index, part.text)) if part.text else b"")

    def _summary_begin(self, state: _Part) -> bytes:
        part = b'%b"part":{"type":"summary_text","text":""}' % self._place(state)
        return self._event("response.reasoning_summary_part.added", part)

    def _thought(self, state: _Part, carry: Carry | None) -> bytes:
        text = state.text
        whole = Thinking(text, state.part.redacted, carry)
        own = self._own(carry)
        out = b""
        if text and not state.hidden:
            said, place = _encode(text), self._place(state)
            out = self._event("response.reasoning_summary_text.done", b'%b"text":%b' % (place, said))
            part = b'%b"part":{"type":"summary_text","text":%b}' % (place, said)
            out += self._event("response.reasoning_summary_part.done", part)
        item: dict[str, Any] = {"type": "reasoning", "id": state.id, "summary": []}
        if own:
            item |= parts_out.reasoning(whole if self._shown else Thinking(), own)
        elif state.hidden and (text or carry is not None):
            item["encrypted_content"] = seal(Kept(before=(whole,), place="next"), self._context.secret)
        elif text or carry is not None:
            item["summary"] = [{"type": "summary_text", "text": text}] if text else []
            # Also without a carry: OpenAI would look for an item of an id of ours, and find none. A seal says that it is not theirs.
            item["encrypted_content"] = seal(Kept(carry=carry), self._context.secret)
        return out + self._done(state.content, {**item, "id": state.id})

    # Calls

    def _call(self, index: int, part: ToolCall) -> bytes:
        out = self._slot_before(part.carry)
        at, item_id = self._new("ctc_" if part.kind == "custom" else "fc_")
        state = self._parts[index] = _Part(part.kind, _replace(part, arguments=""), at, item_id)
        state.content = at
        out += self._added(at, self._call_item(state, "in_progress"))
        return out + (self._delta(Delta(index, part.arguments)) if part.arguments else b"")

    def _call_item(self, state: _Part, status: str) -> dict[str, Any]:
        call = _replace(state.part, arguments=state.text)
        return {**parts_out.tool_call(call, self._own(call.carry)), "id": state.id, "status": status}

    def _called(self, index: int, state: _Part, carry: Carry | None) -> bytes:
        # Some vendors leave the arguments of a call without any unsaid; callers parse them.
        out = self._delta(Delta(index, "{}")) if state.kind == "function" and not state.text else b""
        members = (self._place(state), _encode(state.text))
        if state.kind == "custom":
            out += self._event("response.custom_tool_call_input.done", b'%b"input":%b' % members)
        else:
            name = _encode(state.part.name)
            out += self._event(
                "response.function_call_arguments.done", b'%b"arguments":%b,"name":%b' % (*members, name)
            )
        late = carry if carry is not state.part.carry else None
        if late is not None and not self._is_foreign(late):
            state.part = _replace(state.part, carry=late)
        return out + self._done(state.content, self._call_item(state, "completed")) + self._slot_behind(late)

    # What the provider ran itself

    def _search(self, index: int, part: ToolCall) -> bytes:
        if part.name not in _SEARCHES:
            return b""
        at, item_id = self._new("ws_")
        state = self._parts[index] = _Part("search", part, at, item_id)
        state.content = at
        if part.arguments:
            state.texts.append(part.arguments)
        item = {
            "type": "web_search_call",
            "id": item_id,
            "status": "in_progress",
            "action": parts_out.web_search("", ()),
        }
        out = self._added(at, item)
        for word in ("in_progress", "searching"):
            out += self._event(f"response.web_search_call.{word}", self._place(state)[:-1])
        return out

    def _search_asked(self, state: _Part, carry: Carry | None) -> bytes:
        """The query is whole; the item waits for what was found."""
        self._searches[state.part.id] = (state.content, _replace(state.part, arguments=state.text, carry=carry))
        return self._event("response.web_search_call.completed", self._place(state)[:-1])

    def _searched(self, call_id: str, sources: tuple[Citation, ...]) -> bytes:
        found = self._searches.pop(call_id, None)
        if found is None:
            return b""
        at, call = found
        item = {
            "type": "web_search_call",
            "status": "completed",
            "action": parts_out.web_search(call.arguments, sources),
            **self._own(call.carry),
            "id": own_id("ws_", self._context.request_id, at),
        }
        return self._done(at, item)

    def _whole(self, part: Media | Opaque) -> bytes:
        """What comes whole: an image that the model made, or an item that only its origin knows, which goes sealed to others."""
        if isinstance(part, Opaque) and self._is_foreign(part.carry):
            return self._slot(Kept(before=(part,), place="next"))
        if isinstance(part, Opaque):
            at, item_id = self._new("item_")
            item = {"id": item_id, **carried(part.carry, RESPONSES, "")}
            return self._added(at, item) + self._done(at, item)
        if part.kind != "image" or part.data is None:
            return b""
        at, item_id = self._new("ig_")
        head = {"type": "image_generation_call", "id": item_id}
        made = {**head, "status": "completed", "result": bytes(part.data).decode()}
        return self._added(at, {**head, "status": "in_progress", "result": None}) + self._done(at, made)

    # Ends

    def _part_end(self, event: PartEnd) -> bytes:
        state = self._parts.get(event.index)
        if state is None:
            return b""
        out = self._part_ended(event, state)
        del self._parts[event.index]
        return out

    def _part_ended(self, event: PartEnd, state: _Part) -> bytes:
        carry = event.carry if event.carry is not None else state.part.carry
        if state.message is not None:
            return self._said(state, event.carry)
        if state.kind == "thinking":
            return self._thought(state, carry)
        return self._search_asked(state, carry) if state.kind == "search" else self._called(event.index, state, carry)

    def _finished(self, event: Finish) -> bytes:
        if not event.choice:
            self._finish = event
        return b""

    def _used(self, event: UsageSeen) -> bytes:
        self._usage = event
        return b""

    def _started(self, _: Start) -> bytes:
        return b""


_HANDLE: Mapping[type, Callable[[StreamWriter, Any], bytes]] = {
    Start: StreamWriter._started,
    PartStart: StreamWriter._part_start,
    Cited: StreamWriter._cited,
    PartEnd: StreamWriter._part_end,
    Finish: StreamWriter._finished,
    UsageSeen: StreamWriter._used,
}

"""A stream of Responses, read. In: whole SSE events of a provider. Out: canonical events, each delta at once.

A text part begins at its first delta, so that an empty one, which whole answers do not have either, never does. What a vendor leaves out (deltas,
`content_part` events, whole items) is made up from what it does send. https://developers.openai.com/api/reference/resources/responses/streaming-events
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from trunkline.ir.events import Cited, Delta, Event, Failed, Finish, PartEnd, PartStart, Start, UsageSeen
from trunkline.ir.parts import Carry, Part, Refusal, Text, Thinking, ToolCall
from trunkline.protocols.carry import origin
from trunkline.protocols.codec import RESPONSES, UNHEARD, Target
from trunkline.protocols.openai_responses.answer_in import Answer, fault_of, finish_of, read_part, usage_of
from trunkline.protocols.openai_responses.errors import read_event_fault, status_of
from trunkline.protocols.openai_responses.items_in import citation_of, logprobs_of
from trunkline.protocols.openai_responses.wire import is_null, take_text, text_at
from trunkline.protocols.rawjson import Fields
from trunkline.protocols.sse import data_of

_NOTHING = msgspec.Raw(b"")
_NO_LIST = msgspec.Raw(b"[]")
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}


class _Event(msgspec.Struct):
    type: str = ""
    delta: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    logprobs: msgspec.Raw = _NO_LIST
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    input: str | None = None
    item: msgspec.Raw = _NOTHING
    part: msgspec.Raw = _NOTHING
    response: msgspec.Raw = _NOTHING
    annotation: msgspec.Raw = _NOTHING
    error: msgspec.Raw = _NOTHING


_events = msgspec.json.Decoder(_Event)
_fields = msgspec.json.Decoder(Fields)
_answers = msgspec.json.Decoder(Answer)


class _Item:
    """An item that has begun. `parts` are the indexes of a message's texts by `content_index`; `index` that of any other item's one part."""

    __slots__ = ("cited", "index", "is_open", "kind", "left", "open", "parts", "shown", "slot", "told")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.index = -1
        self.is_open = False
        self.parts: dict[int, int] = {}
        self.open: set[int] = set()
        self.told = False
        """Some of its text or arguments has come."""
        self.cited = False
        self.shown = ""
        """Of reasoning: where its text is from, `summary` or `content`; the other one says it again."""
        self.slot = 0
        self.left: Carry | None = None
        """Of a message: its carry, for its first part."""


class StreamReader:
    """Reads one stream. Lives as long as it."""

    __slots__ = ("_calls", "_count", "_done", "_items", "_origin", "_parts", "_refused", "_started")

    def __init__(self, target: Target) -> None:
        self._origin = origin(RESPONSES, target.dialect)
        self._items: dict[int, _Item] = {}
        self._count = 0
        self._started = False
        self._done = False
        self._calls = False
        self._refused = False
        self._parts: list[Part] = []
        """Calls that the provider ran, which are counted."""

    @property
    def done(self) -> bool:
        return self._done

    def feed(self, event: bytes) -> list[Event]:
        """The events of one whole SSE event. Raises one of `rawjson.UNREADABLE` where it is none of the protocol."""
        data = _data(event)
        if data is None:
            return []
        if data == b"[DONE]":
            self._done = True
            return []
        told = _events.decode(data)
        if told.type == "error" or not told.type:
            return self._error(told, data)
        handle = _HANDLE.get(told.type)
        return handle(self, told) if handle is not None else []

    def going_on(self, index: int) -> Callable[[str], object] | None:  # noqa: ARG002
        return UNHEARD

    def end(self) -> list[Event]:
        """Nothing is ever held back."""
        return []

    def _new(self, part: Part) -> tuple[int, PartStart]:
        index = self._count
        self._count += 1
        return index, PartStart(index, part)

    def _item(self, told: _Event, kind: str) -> _Item:
        """The item that an event belongs to; some vendors never say that it begins."""
        item = self._items.get(told.output_index)
        if item is None:
            item = self._items[told.output_index] = _Item(kind)
        return item

    def _created(self, told: _Event) -> list[Event]:
        if self._started:
            return []
        self._started = True
        answer = _answers.decode(told.response)
        return [Start(answer.id or "", answer.model or "", int(answer.created_at or 0))]

    def _item_added(self, told: _Event) -> list[Event]:
        wire = _fields.decode(told.item)
        kind = text_at(wire, "type", "message")
        item = self._items[told.output_index] = _Item(kind)
        if kind == "reasoning":
            return self._begin(item, Thinking())
        if kind == "web_search_call":
            return self._begin(item, ToolCall(take_text(wire, "id", ""), "web_search", kind="server"))
        if kind == "message":
            wire.pop("content", None)
            found = read_part(wire, self._origin)
            item.left = found[0].carry if found else None
        if kind not in _CALLS:
            return []
        call = read_part(wire, self._origin)[0]
        assert isinstance(call, ToolCall)
        self._calls = True
        events = self._begin(item, msgspec.structs.replace(call, arguments=""))
        return events + self._tell(item, call.arguments)

    def _begin(self, item: _Item, part: Part) -> list[Event]:
        item.index, start = self._new(part)
        item.is_open = True
        return [start]

    def _tell(self, item: _Item, text: str) -> list[Event]:
        if not text:
            return []
        item.told = True
        return [Delta(item.index, text)]

    def _text_delta(self, told: _Event) -> list[Event]:
        item = self._items.get(told.output_index)
        index = item.parts.get(told.content_index) if item is not None else None
        if index is not None and told.logprobs is _NO_LIST:
            return [Delta(index, told.delta)] if told.delta else []
        return self._more(told, told.delta, Text(""))

    def _refusal_delta(self, told: _Event) -> list[Event]:
        return self._more(told, told.delta, Refusal(""))

    def _more(self, told: _Event, text: str, empty: Text | Refusal) -> list[Event]:
        """More of a message's part, which begins if it has not."""
        logprobs = logprobs_of(told.logprobs)
        if not text and not logprobs:
            return []
        events: list[Event] = []
        index = self._spoken(told, empty, events)
        events.append(Delta(index, text, logprobs))
        return events

    def _spoken(self, told: _Event, empty: Text | Refusal, events: list[Event]) -> int:
        item = self._item(told, "message")
        index = item.parts.get(told.content_index)
        if index is not None:
            return index
        self._refused = self._refused or isinstance(empty, Refusal)
        index, start = self._new(msgspec.structs.replace(empty, carry=item.left))
        item.left = None
        item.parts[told.content_index] = index
        item.open.add(told.content_index)
        events.append(start)
        return index

    def _text_done(self, told: _Event) -> list[Event]:
        """Counts only where there were no deltas."""
        item = self._item(told, "message")
        if told.content_index in item.parts:
            return []
        return self._more(told, told.text or "", Text(""))

    def _refusal_done(self, told: _Event) -> list[Event]:
        item = self._item(told, "message")
        return [] if told.content_index in item.parts else self._more(told, told.refusal or "", Refusal(""))

    def _annotation(self, told: _Event) -> list[Event]:
        events: list[Event] = []
        index = self._spoken(told, Text(""), events)
        self._items[told.output_index].cited = True
        return [*events, Cited(index, citation_of(_fields.decode(told.annotation), self._origin))]

    def _part_done(self, told: _Event) -> list[Event]:
        item = self._item(told, "message")
        if item.kind != "message" or told.content_index not in item.open:
            return []
        index = item.parts[told.content_index]
        item.open.discard(told.content_index)
        return [*self._late_citations(told, item, index), PartEnd(index)]

    def _late_citations(self, told: _Event, item: _Item, index: int) -> list[Event]:
        """Of vendors that have no events for them."""
        if item.cited or bytes(told.part).find(b"_citation") < 0:
            return []
        listed = _fields.decode(told.part).get("annotations", _NO_LIST)
        return [Cited(index, citation_of(one, self._origin)) for one in msgspec.json.decode(listed, type=list[Fields])]

    def _argument_delta(self, told: _Event) -> list[Event]:
        item = self._items.get(told.output_index)
        return self._tell(item, told.delta) if item is not None and item.is_open else []

    def _arguments_done(self, told: _Event) -> list[Event]:
        item = self._items.get(told.output_index)
        if item is None or item.told or not item.is_open:
            return []
        return self._tell(item, told.arguments if told.arguments is not None else told.input or "")

    def _summary_delta(self, told: _Event) -> list[Event]:
        return self._thought(told, "summary", told.summary_index)

    def _reasoning_delta(self, told: _Event) -> list[Event]:
        return self._thought(told, "content", 0)

    def _thought(self, told: _Event, source: str, slot: int) -> list[Event]:
        item = self._item(told, "reasoning")
        events = self._begin(item, Thinking()) if item.index < 0 else []
        if not item.is_open or not told.delta or item.shown not in ("", source):
            return events
        text = "\n\n" + told.delta if item.told and slot != item.slot else told.delta
        item.shown, item.slot = source, slot
        return events + self._tell(item, text)

    def _item_done(self, told: _Event) -> list[Event]:
        wire = _fields.decode(told.item)
        kind = text_at(wire, "type", "message")
        item = self._items.get(told.output_index)
        if item is None:
            item = self._items[told.output_index] = _Item(kind)
        if kind == "message" and item.parts:
            return self._close_message(item)
        return self._whole(item, read_part(wire, self._origin))

    def _close_message(self, item: _Item) -> list[Event]:
        events: list[Event] = [PartEnd(item.parts[at]) for at in sorted(item.open)]
        item.open.clear()
        return events

    def _whole(self, item: _Item, parts: list[Part]) -> list[Event]:
        """An item that is known whole: its end, or all of it where it never began."""
        events: list[Event] = []
        if item.is_open:
            events += self._finish(item, parts[0] if parts else Text(""))
            parts = parts[1:]
        for part in parts:
            index, start = self._new(_hollow(part))
            events.append(start)
            text = _words(part)
            if text or (isinstance(part, Text) and part.logprobs):
                events.append(Delta(index, text, part.logprobs if isinstance(part, Text) else ()))
            events += [Cited(index, one) for one in part.citations] if isinstance(part, Text) else []
            events.append(PartEnd(index))
            self._note(part)
        return events

    def _finish(self, item: _Item, part: Part) -> list[Event]:
        events = self._tell(item, _words(part)) if not item.told else []
        item.is_open = False
        self._note(part)
        return [*events, PartEnd(item.index, part.carry)]

    def _note(self, part: Part) -> None:
        if isinstance(part, ToolCall):
            self._calls = self._calls or part.kind != "server"
            self._parts.append(part)
        self._refused = self._refused or isinstance(part, Refusal)

    def _ended(self, told: _Event) -> list[Event]:
        self._done = True
        answer = _answers.decode(told.response)
        events = [] if self._started else self._created(told)
        fault = fault_of(answer)
        if fault is not None:
            return [*events, *self._counted(answer), Failed(fault, status_of(fault))]
        for at, wire in enumerate(answer.output or ()):
            if not self._items:
                events += self._whole(_Item(""), read_part(wire, self._origin))
            elif (item := self._items.get(at)) is not None and item.is_open:
                events += self._whole(item, read_part(wire, self._origin))
        for item in self._items.values():
            events += self._close_message(item)
            events += [PartEnd(item.index)] if item.is_open else []
        reason, native = finish_of(answer, self._calls, self._refused)
        if reason is not None:
            events.append(Finish(reason, native))
        return [*events, *self._counted(answer)]

    def _counted(self, answer: Answer) -> list[Event]:
        """Told of answers that failed, too: what was made until then is charged."""
        usage = usage_of(answer, tuple(self._parts))
        return [] if usage is None else [UsageSeen(usage, answer.usage, answer.service_tier or "")]

    def _error(self, told: _Event, data: bytes) -> list[Event]:
        if not told.type and is_null(told.error if bytes(told.error) else None):
            raise msgspec.ValidationError("an event without a `type`")
        self._done = True
        fault = read_event_fault(data)
        return [Failed(fault, status_of(fault))]


def _data(event: bytes) -> bytes | None:
    """The data of an event in the form that nearly all have: a line `event:`, a line `data:`."""
    at = event.find(b"\ndata: ")
    if at > 0 and event.endswith(b"\n\n") and event.find(b"\n", at + 1) == len(event) - 2 and event.find(b"\r") < 0:
        return event[at + 7 : -2] if event.startswith(b"event:") and event.find(b"\n") == at else data_of(event)
    return data_of(event)


def _hollow(part: Part) -> Part:
    """A part as it begins."""
    if isinstance(part, ToolCall):
        return msgspec.structs.replace(part, arguments="")
    if isinstance(part, Text):
        return Text("", carry=part.carry)
    return msgspec.structs.replace(part, text="") if isinstance(part, Thinking | Refusal) else part


def _words(part: Part) -> str:
    if isinstance(part, ToolCall):
        return part.arguments
    return part.text if isinstance(part, Text | Thinking | Refusal) else ""


_HANDLE: Mapping[str, Callable[[StreamReader, _Event], list[Any]]] = {
    "response.created": StreamReader._created,
    "response.in_progress": StreamReader._created,
    "response.output_item.added": StreamReader._item_added,
    "response.output_text.delta": StreamReader._text_delta,
    "response.output_text.done": StreamReader._text_done,
    "response.refusal.delta": StreamReader._refusal_delta,
    "response.refusal.done": StreamReader._refusal_done,
    "response.output_text.annotation.added": StreamReader._annotation,
    "response.content_part.done": StreamReader._part_done,
    "response.function_call_arguments.delta": StreamReader._argument_delta,
    "response.function_call_arguments.done": StreamReader._arguments_done,
    "response.custom_tool_call_input.delta": StreamReader._argument_delta,
    "response.custom_tool_call_input.done": StreamReader._arguments_done,
    "response.reasoning_summary_text.delta": StreamReader._summary_delta,
    "response.reasoning_text.delta": StreamReader._reasoning_delta,
    "response.output_item.done": StreamReader._item_done,
    "response.completed": StreamReader._ended,
    "response.incomplete": StreamReader._ended,
    "response.failed": StreamReader._ended,
    "response.cancelled": StreamReader._ended,
}

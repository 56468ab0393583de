"""One candidate of a stream. In: its choices, chunk by chunk. Out: events of its parts: thinking, text, refusal, tool calls, and what comes whole."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.events import Cited, Delta, Event, Finish, PartEnd, PartStart
from trunkline.ir.parts import Carry, Citation, Logprob, Media, Opaque, Part, Refusal, Text, Thinking, ToolCall
from trunkline.protocols.carry import carry as carry_of_fields
from trunkline.protocols.carry import origin
from trunkline.protocols.media import data_url
from trunkline.protocols.openai_chat import NAME
from trunkline.protocols.openai_chat.details import Detail, add, carry_of, text_of
from trunkline.protocols.openai_chat.finish import reason_of
from trunkline.protocols.openai_chat.looking import Keys
from trunkline.protocols.openai_chat.parts_in import thinking_text
from trunkline.protocols.openai_chat.turns_in import citation
from trunkline.protocols.openai_chat.wire import Audio, Call, Choice, Function, Image, Message, TokenLogprob, is_null
from trunkline.protocols.rawjson import join
from trunkline.protocols.tools import is_whole

_TEXT = Text("")
_REFUSAL = Refusal("")
_THINKING = Thinking()
_IMPOSSIBLE = -9999.0
"""OpenAI's number for a token that could not have been: https://platform.openai.com/docs/api-reference/chat/object"""
_LEGACY = -1
"""Place of a `function_call` among the calls."""
_MOVED = 100_000
"""Places from here on are of calls whose own was taken."""


class _Open(msgspec.Struct):
    """A call that has begun."""

    index: int
    id: str
    pieces: list[str]
    is_open: bool = True


class CandidateReader:
    """Keeps which parts are open. Lives as long as its stream."""

    __slots__ = (
        "_audio", "_call_id", "_calls", "_citations", "_current", "_details", "_finished", "_index", "_kind", "_next_call", "_number",
        "_origin", "_refused", "_worded",
    )  # fmt: skip

    def __init__(self, number: int, dialect: str, index: Callable[[], int], call_id: Callable[[int], str]) -> None:
        self._number = number
        self._origin = origin(NAME, dialect)
        self._index = index
        self._call_id = call_id
        self._current = -1
        """Index of the open part that is no call; its `_kind` is the type."""
        self._kind: type[Part] | None = None
        self._calls: dict[int, _Open] = {}
        self._next_call = 0
        """Place of the next call that has no `index`."""
        self._details: list[Detail] = []
        self._citations: list[Citation] = []
        self._audio: Audio | None = None
        self._refused = False
        self._finished = False
        self._worded = False
        """Reasoning has a word of its own, so that in details is the same once more."""

    def take(self, choice: Choice, sources: Sequence[Citation], events: list[Event]) -> None:
        """The events of one chunk."""
        message = choice.delta or choice.message
        if sources:
            self._citations = list(sources)
        if message is not None and not self._finished:
            self._take_message(message, choice, events)
        if choice.finish_reason:
            self.finish(choice.finish_reason, choice.stop_reason or choice.matched_stop, events)

    def is_saying(self, index: int) -> bool:
        """Whether the open part is this one, of which nothing is kept; arguments of calls, and details, are."""
        return self._kind is not None and self._current == index and not self._details

    def finish(self, word: str, stop_word: Any, events: list[Event]) -> None:
        """End all parts, and the candidate. A reason that comes twice counts once."""
        if self._finished:
            return
        self._finished = True
        self._put_sources(events)
        self._close(events)
        self._put_late_details(events)
        for call in self._calls.values():
            _end_call(call, events)
        if self._audio is not None:
            self._put_whole(_sound(self._audio, self._origin), events)
        reason, hit = reason_of(word or "stop", stop_word, bool(self._calls), self._refused)
        events.append(Finish(reason, word, hit, self._number))

    def _take_message(self, message: Message, choice: Choice, events: list[Event]) -> None:
        thought = message.reasoning_content or message.reasoning
        if thought or message.reasoning_details:
            self._think(thought or "", message.reasoning_details, events)
        if message.content:
            self._take_content(message.content, choice, events)
        elif choice.logprobs is not None and choice.logprobs.content and self._kind is Text:
            events.append(Delta(self._current, "", _logprobs(choice.logprobs.content)))
        if message.refusal:
            self._refused = True
            probable = choice.logprobs.refusal if choice.logprobs is not None else None
            self._open(Refusal, _REFUSAL, events)
            events.append(Delta(self._current, message.refusal, _logprobs(probable) if probable else ()))
        self._take_rest(message, events)

    def _take_rest(self, message: Message, events: list[Event]) -> None:
        if message.annotations:
            self._cite([citation(value, self._origin) for value in message.annotations], events)
        if message.tool_calls:
            for call in message.tool_calls:
                self._take_call(call, events)
        if message.function_call is not None:
            self._take_function_call(message.function_call, events)
        for image in message.images or ():
            self._put_image(image, events)
        if message.audio is not None:
            self._audio = _more_sound(self._audio, message.audio)

    def _take_content(self, content: str | list[dict[str, msgspec.Raw]], choice: Choice, events: list[Event]) -> None:
        if isinstance(content, list):
            self._take_chunks(content, events)
            return
        if self._kind is not Text:
            self._open(Text, _TEXT, events)
        probable = choice.logprobs.content if choice.logprobs is not None else None
        events.append(Delta(self._current, content, _logprobs(probable) if probable else ()))

    def _take_chunks(self, chunks: list[dict[str, msgspec.Raw]], events: list[Event]) -> None:
        try:
            for chunk in chunks:
                self._take_chunk(Keys(chunk, "content"), events)
        except InvalidParams as error:
            # The provider's mistake, not the caller's.
            raise msgspec.ValidationError(error.message) from error

    def _take_chunk(self, keys: Keys, events: list[Event]) -> None:
        """Mistral's: text, `thinking`, and others that are known to it alone, such as `reference`."""
        kind = keys.text("type") or "text"
        if kind == "text":
            text = keys.text("text")
            if text:
                self._open(Text, _TEXT, events)
                events.append(Delta(self._current, text))
        elif kind == "thinking":
            value = keys.raw("thinking")
            text = "" if value is None else thinking_text(keys, value)
            self._think_chunk(keys, text, events)
        else:
            whole = {"type": msgspec.Raw(msgspec.json.encode(kind)), **keys.left}
            self._put_whole(Opaque(kind, Carry(self._origin, msgspec.Raw(join(whole)))), events)

    def _think_chunk(self, keys: Keys, text: str, events: list[Event]) -> None:
        if self._kind is not Thinking:
            fields = {"type": msgspec.Raw(b'"thinking"'), **keys.left}
            self._open(Thinking, Thinking(carry=carry_of_fields(self._origin, fields)), events)
        if text:
            events.append(Delta(self._current, text))

    def _think(self, text: str, details: list[Detail] | None, events: list[Event]) -> None:
        self._worded = self._worded or bool(text)
        if details and not self._worded:
            text = text_of(details)
        if text:
            if self._kind is not Thinking:
                self._open(Thinking, _THINKING, events)
            events.append(Delta(self._current, text))
        if details:
            add(self._details, details)

    def _open(self, kind: type[Part], part: Part, events: list[Event]) -> None:
        """Go on with the open part if it is of this kind, else begin one."""
        if self._kind is kind:
            return
        self._close(events)
        if kind is not Thinking:
            self._put_late_details(events)
        self._end_whole_calls(events)
        self._current, self._kind = self._index(), kind
        events.append(PartStart(self._current, part, self._number))

    def _close(self, events: list[Event]) -> None:
        if self._kind is None:
            return
        carry = None
        if self._kind is Thinking and self._details:
            carry, self._details = carry_of(self._details, self._origin), []
        events.append(PartEnd(self._current, carry))
        self._kind = None

    def _put_late_details(self, events: list[Event]) -> None:
        """Details that no shown reasoning belongs to: hidden reasoning, or the state of a call."""
        if self._details:
            carry, self._details = carry_of(self._details, self._origin), []
            self._put_whole(Thinking(redacted=True, carry=carry), events)

    def _put_whole(self, part: Part, events: list[Event]) -> None:
        self._close(events)
        index = self._index()
        events += (PartStart(index, part, self._number), PartEnd(index))

    def _put_image(self, image: Image, events: list[Event]) -> None:
        url = image.image_url.url if image.image_url is not None else None
        if url is None or is_null(url):
            return
        self._put_whole(_picture(url), events)

    def _cite(self, found: list[Citation], events: list[Event]) -> None:
        if self._kind is Text:
            events += [Cited(self._current, one) for one in found]
        else:
            self._citations += found

    def _put_sources(self, events: list[Event]) -> None:
        """Sources that were told beside the text belong to it as a whole."""
        if self._citations:
            self._open(Text, _TEXT, events)
            events += [Cited(self._current, one) for one in self._citations]
            self._citations = []

    def _take_call(self, call: Call, events: list[Event]) -> None:
        name, piece, is_custom = _said(call)
        place = self._place(call, name)
        known = self._calls.get(place)
        if known is None:
            carry = None if is_null(call.extra_content) else _extra(call, self._origin)
            known = self._begin_call(place, call.id or "", name, is_custom, carry, events)
        self._more(known, piece, events)

    def _take_function_call(self, function: Function, events: list[Event]) -> None:
        """https://platform.openai.com/docs/api-reference/chat/object: deprecated, one at most, without an id."""
        known = self._calls.get(_LEGACY)
        if known is None:
            known = self._begin_call(_LEGACY, "", function.name or "", False, None, events)
        self._more(known, _arguments(function), events)

    def _place(self, call: Call, name: str) -> int:
        """Where a piece belongs. Some servers number no call, others give all of them 0: then a new id, or a name, is a new call."""
        place = call.index
        if place is None:
            begins = bool(name) or not self._calls
            self._next_call += begins
            return self._next_call - 1
        known = self._calls.get(place)
        if known is not None and call.id and name and known.id and call.id != known.id:
            return self._moved(call.id, place)
        return self._moved_open(place)

    def _moved(self, call_id: str, place: int) -> int:
        """A place of its own for a call whose place is taken."""
        found = next((at for at, call in self._calls.items() if call.id == call_id), None)
        return found if found is not None else max(*self._calls, place, _MOVED) + 1

    def _moved_open(self, place: int) -> int:
        """Pieces without an id go to the call that began last at a place that was taken twice."""
        last = next(reversed(self._calls), place)
        return last if place in self._calls and last >= _MOVED > place else place

    def _begin_call(
        self, place: int, call_id: str, name: str, is_custom: bool, carry: Carry | None, events: list[Event]
    ) -> _Open:
        self._close(events)
        self._put_late_details(events)
        self._end_whole_calls(events)
        index = self._index()
        call = ToolCall(
            call_id or self._call_id(len(self._calls)), name, kind="custom" if is_custom else "function", carry=carry
        )
        known = self._calls[place] = _Open(index, call.id, [])
        events.append(PartStart(index, call, self._number))
        return known

    def _more(self, known: _Open, piece: str, events: list[Event]) -> None:
        if piece and known.is_open:
            known.pieces.append(piece)
            events.append(Delta(known.index, piece))

    def _end_whole_calls(self, events: list[Event]) -> None:
        """Another part begins, so calls whose arguments are whole have ended; others may go on beside it."""
        for call in self._calls.values():
            if call.is_open and is_whole("".join(call.pieces)):
                _end_call(call, events)


def _end_call(call: _Open, events: list[Event]) -> None:
    if call.is_open:
        call.is_open = False
        events.append(PartEnd(call.index))


def _said(call: Call) -> tuple[str, str, bool]:
    """Name, piece of the arguments, and whether it is a custom tool's."""
    if call.custom is not None:
        return call.custom.name or "", call.custom.input or "", True
    function = call.function
    return ("", "", False) if function is None else (function.name or "", _arguments(function), False)


def _arguments(function: Function) -> str:
    said = function.arguments
    if isinstance(said, dict):
        return msgspec.json.encode(said).decode()
    return said or ""


def _extra(call: Call, origin: str) -> Carry:
    return Carry(origin, msgspec.Raw(b'{"extra_content":%b}' % bytes(call.extra_content)))


def _logprobs(found: list[TokenLogprob]) -> tuple[Logprob, ...]:
    return tuple(
        Logprob(
            one.token,
            _IMPOSSIBLE if one.logprob is None else one.logprob,
            None if one.bytes is None else tuple(one.bytes),
            tuple(
                Logprob(
                    top.token,
                    _IMPOSSIBLE if top.logprob is None else top.logprob,
                    None if top.bytes is None else tuple(top.bytes),
                )
                for top in one.top_logprobs or ()
            ),
        )
        for one in found
    )


def _picture(url: msgspec.Raw) -> Media:
    found = data_url(url)
    if found is None:
        return Media(kind="image", url=msgspec.json.decode(url, type=str))
    return Media(kind="image", mime=found[0], data=bytes(found[1]))


def _more_sound(before: Audio | None, more: Audio) -> Audio:
    """https://platform.openai.com/docs/api-reference/chat/streaming: data and transcript come in pieces."""
    if before is None:
        return more
    return Audio(
        more.id or before.id,
        (before.data or "") + (more.data or ""),
        (before.transcript or "") + (more.transcript or ""),
        more.expires_at or before.expires_at,
    )


def _sound(audio: Audio, origin: str) -> Media:
    """Sound has no deltas in the canonical form, so it comes at the end."""
    said = {"id": audio.id, "transcript": audio.transcript, "expires_at": audio.expires_at}
    kept = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in said.items() if value is not None}
    return Media(kind="audio", data=(audio.data or "").encode(), carry=carry_of_fields(origin, kept))

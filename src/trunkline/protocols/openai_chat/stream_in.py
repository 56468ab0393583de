"""A stream of Chat Completions in canonical events. In: whole SSE events. Out: events, each delta at once.

Chat has no marks for where a part begins and ends: one begins with its first piece, and ends when one of another kind does, or its candidate.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from trunkline.ir.events import Event, Failed, Start, UsageSeen
from trunkline.ir.parts import Citation
from trunkline.protocols.codec import UNHEARD, Target
from trunkline.protocols.openai_chat.candidate_in import CandidateReader
from trunkline.protocols.openai_chat.errors import read_fault, read_stream_fault
from trunkline.protocols.openai_chat.usage_both import read_usage
from trunkline.protocols.openai_chat.wire import Answer, Choice, decoder, is_null
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.protocols.sse import data_of

_DONE = b"[DONE]"


class ChatReader:
    """Reads one stream. `take` is for whole answers, which are streams of one chunk."""

    __slots__ = ("_candidates", "_next", "_started", "_target", "_tier", "done")

    def __init__(self, target: Target) -> None:
        self._target = target
        self._candidates: dict[int, CandidateReader] = {}
        self._next = 0
        self._started = False
        self._tier = ""
        self.done = False

    def feed(self, event: bytes) -> list[Event]:
        data = data_of(event)
        if data is None or self.done:
            return []
        if data.startswith(_DONE):
            return self._end_of_stream()
        if not data or data.isspace():
            return []
        return self.take(decoder.decode(data), data)

    def going_on(self, index: int) -> Callable[[str], object] | None:
        return UNHEARD if any(one.is_saying(index) for one in self._candidates.values()) else None

    def end(self) -> list[Event]:
        """Nothing is owed: what has not ended by now was cut."""
        return []

    def take(self, answer: Answer, data: bytes) -> list[Event]:
        """The events of one chunk."""
        events: list[Event] = []
        choices = answer.choices
        if not self._started and (answer.id or choices):
            self._started = True
            events.append(Start(answer.id or "", answer.model or "", int(answer.created or 0)))
        if answer.service_tier:
            self._tier = answer.service_tier
        failed = _failure(answer, data)
        if failed is not None:
            self.done = True
            return [*events, failed]
        if choices:
            found = _sources(answer) if answer.citations or answer.search_results else ()
            for choice in choices:
                self._candidate(choice).take(choice, found, events)
        self._see_usage(answer, events)
        return events

    def next_index(self) -> int:
        """Parts are numbered within the whole answer."""
        self._next += 1
        return self._next - 1

    def call_id(self, index: int) -> str:
        """For a call without an id."""
        return f"call_{self._target.request_id}_{index}"

    def _candidate(self, choice: Choice) -> CandidateReader:
        number = choice.index or 0
        found = self._candidates.get(number)
        if found is None:
            found = self._candidates[number] = CandidateReader(
                number, self._target.dialect, self.next_index, self.call_id
            )
        return found

    def _see_usage(self, answer: Answer, events: list[Event]) -> None:
        raw = _usage(answer)
        if raw is None:
            return
        try:
            events.append(UsageSeen(read_usage(raw), raw, self._tier))
        except UNREADABLE:
            return  # an answer is worth more than its count, which is then estimated

    def _end_of_stream(self) -> list[Event]:
        """Some servers end without a reason to finish; that they ended says enough."""
        self.done = True
        events: list[Event] = []
        for candidate in self._candidates.values():
            candidate.finish("", None, events)
        return events


def stream_reader(target: Target) -> ChatReader:
    return ChatReader(target)


def _usage(answer: Answer) -> msgspec.Raw | None:
    if not is_null(answer.usage):
        return answer.usage
    if answer.x_groq is not None and not is_null(answer.x_groq.usage):
        return answer.x_groq.usage
    for choice in answer.choices or ():
        if not is_null(choice.usage):
            return choice.usage
    return None


def _failure(answer: Answer, data: bytes) -> Failed | None:
    """https://openrouter.ai/docs/api-reference/errors; vLLM has `{"object": "error", "message"}` at the top."""
    raw = answer.error
    if is_null(raw) and answer.choices:
        raw = next((choice.error for choice in answer.choices if not is_null(choice.error)), raw)
    if not is_null(raw):
        fault = read_stream_fault(bytes(raw))
        return Failed(fault, _status(fault.code))
    return Failed(read_fault(data), _status(str(answer.code))) if answer.object == "error" else None


def _status(code: str) -> int:
    status = int(code) if code.isascii() and code.isdigit() else 0
    return status if 400 <= status < 600 else 0


def _sources(answer: Answer) -> tuple[Citation, ...]:
    if answer.search_results:
        return tuple(Citation(url=one.url or "", title=one.title or "") for one in answer.search_results)
    urls: list[Any] = answer.citations or []
    return tuple(Citation(url=url) for url in urls if isinstance(url, str))

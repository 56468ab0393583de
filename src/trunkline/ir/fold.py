"""Events and answers, each made of the other. In: events one by one, or a whole answer. Out: the answer (`fold`), its events (`unfold`)."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from trunkline.ir.events import Cited, Delta, Event, Failed, Finish, PartEnd, PartStart, Start, UsageSeen
from trunkline.ir.parts import Carry, Citation, Logprob, Part, Refusal, Text, Thinking, ToolCall
from trunkline.ir.response import Candidate, Response

_replace = msgspec.structs.replace


class Fold:
    """An answer that grows. Lives as long as its stream; every event goes through `see` once.

    Writers that must repeat whole parts at their end (Responses) ask `part`; whoever needs the answer so far asks `response`.
    """

    __slots__ = (
        "_carries",
        "_choices",
        "_citations",
        "_finishes",
        "_logprobs",
        "_parts",
        "_start",
        "_texts",
        "_usage",
        "fault",
    )

    def __init__(self) -> None:
        self._start = Start()
        self._parts: dict[int, Part] = {}
        self._choices: dict[int, int] = {}
        self._texts: dict[int, list[str]] = {}
        self._logprobs: dict[int, list[Logprob]] = {}
        self._citations: dict[int, list[Citation]] = {}
        self._carries: dict[int, Carry] = {}
        self._finishes: dict[int, Finish] = {}
        self._usage: UsageSeen | None = None
        self.fault: Failed | None = None

    def see(self, event: Event) -> None:
        """Take in one event."""
        _SEE[type(event)](self, event)

    def part(self, index: int) -> Part:
        """A part with all of it that has come. KeyError where none has begun at `index`."""
        part = self._parts[index]
        text = "".join(self._texts.get(index, ()))
        if isinstance(part, ToolCall):
            part = _replace(part, arguments=part.arguments + text) if text else part
        elif isinstance(part, Text):
            part = self._text(index, part, text)
        elif isinstance(part, Refusal):
            part = _replace(part, text=part.text + text, logprobs=(*part.logprobs, *self._logprobs.get(index, ())))
        elif isinstance(part, Thinking):
            part = _replace(part, text=part.text + text) if text else part
        carry = self._carries.get(index)
        return part if carry is None else _replace(part, carry=carry)

    def response(self) -> Response:
        """The answer so far; complete if the stream is."""
        usage = self._usage
        last = max((*self._choices.values(), *self._finishes), default=-1)
        return Response(
            id=self._start.id,
            model=self._start.model,
            created_s=self._start.created_s,
            candidates=tuple(self._candidate(choice) for choice in range(last + 1)),
            usage=usage.usage if usage else None,
            raw_usage=usage.raw if usage else msgspec.Raw(b"null"),
            service_tier=usage.service_tier if usage else "",
            fault=self.fault.fault if self.fault else None,
        )

    def _text(self, index: int, part: Text, text: str) -> Text:
        citations, logprobs = self._citations.get(index, ()), self._logprobs.get(index, ())
        return _replace(
            part,
            text=part.text + text,
            citations=(*part.citations, *citations),
            logprobs=(*part.logprobs, *logprobs),
        )

    def _candidate(self, choice: int) -> Candidate:
        parts = tuple(self.part(index) for index, owner in sorted(self._choices.items()) if owner == choice)
        finish = self._finishes.get(choice)
        if finish is None:
            return Candidate(parts)
        return Candidate(parts, finish.reason, finish.native, finish.stop_sequence)

    def _see_start(self, event: Start) -> None:
        self._start = event

    def _see_part(self, event: PartStart) -> None:
        self._parts[event.index] = event.part
        self._choices[event.index] = event.choice

    def _see_delta(self, event: Delta) -> None:
        self._texts.setdefault(event.index, []).append(event.text)
        if event.logprobs:
            self._logprobs.setdefault(event.index, []).extend(event.logprobs)

    def _see_citation(self, event: Cited) -> None:
        self._citations.setdefault(event.index, []).append(event.citation)

    def _see_part_end(self, event: PartEnd) -> None:
        if event.carry is not None:
            self._carries[event.index] = event.carry

    def _see_usage(self, event: UsageSeen) -> None:
        self._usage = event

    def _see_finish(self, event: Finish) -> None:
        self._finishes[event.choice] = event

    def _see_fault(self, event: Failed) -> None:
        self.fault = event


_SEE: dict[type, Callable[[Fold, Any], None]] = {
    Start: Fold._see_start,
    PartStart: Fold._see_part,
    Delta: Fold._see_delta,
    Cited: Fold._see_citation,
    PartEnd: Fold._see_part_end,
    UsageSeen: Fold._see_usage,
    Finish: Fold._see_finish,
    Failed: Fold._see_fault,
}


def fold(events: Iterable[Event]) -> Response:
    """The answer that a stream amounts to."""
    folded = Fold()
    for event in events:
        folded.see(event)
    return folded.response()


def unfold(response: Response) -> Iterator[Event]:
    """A whole answer as a stream, for a caller who wants one and a provider that has none. `fold(unfold(response)) == response`, but for its carry."""
    yield Start(response.id, response.model, response.created_s)
    index = 0
    for choice, candidate in enumerate(response.candidates):
        for part in candidate.parts:
            yield from _unfold_part(index, choice, part)
            index += 1
        if candidate.finish is not None:
            yield Finish(candidate.finish, candidate.native_finish, candidate.stop_sequence, choice)
    if response.usage is not None:
        yield UsageSeen(response.usage, response.raw_usage, response.service_tier)
    if response.fault is not None:
        yield Failed(response.fault)


def _unfold_part(index: int, choice: int, part: Part) -> Iterator[Event]:
    if isinstance(part, ToolCall):
        yield PartStart(index, _replace(part, arguments=""), choice)
        if part.arguments:
            yield Delta(index, part.arguments)
    elif isinstance(part, Text):
        yield PartStart(index, Text("", carry=part.carry, cache=part.cache), choice)
        if part.text or part.logprobs:
            yield Delta(index, part.text, part.logprobs)
        for citation in part.citations:
            yield Cited(index, citation)
    elif isinstance(part, Refusal):
        yield PartStart(index, Refusal("", carry=part.carry, cache=part.cache), choice)
        if part.text or part.logprobs:
            yield Delta(index, part.text, part.logprobs)
    elif isinstance(part, Thinking):
        yield PartStart(index, _replace(part, text=""), choice)
        if part.text:
            yield Delta(index, part.text)
    else:
        yield PartStart(index, part, choice)
    yield PartEnd(index)

"""Streams, read. In: whole SSE events of `streamGenerateContent?alt=sse`. Out: canonical events.

Parts have no borders on this wire: a text goes on until a part of another kind comes, or one with a signature, which ends it
(https://ai.google.dev/gemini-api/docs/thought-signatures). Calls come whole. There is no event for the end: the connection ends.
"""

from collections.abc import Callable, Iterator

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.events import Cited, Delta, Event, Failed, Finish, PartEnd, PartStart, Start, UsageSeen
from trunkline.ir.parts import Logprob, Text, Thinking, ToolCall
from trunkline.ir.response import FinishReason
from trunkline.protocols.codec import Target
from trunkline.protocols.gemini import grounding
from trunkline.protocols.gemini.chunks import CHUNK, AnswerParts, Chunk, WireCandidate, finish_of, logprobs_of, seconds
from trunkline.protocols.gemini.errors import read_stream_fault
from trunkline.protocols.gemini.names import BLOCKED, reason_of
from trunkline.protocols.gemini.usage import read_usage, tier_of
from trunkline.protocols.gemini.wire import NULL
from trunkline.protocols.rawjson import Fields
from trunkline.protocols.sse import data_of

_replace = msgspec.structs.replace


class _Candidate:
    """One candidate while it comes: its open part, if there is one, and the text of that."""

    __slots__ = ("called", "ended", "index", "kind", "text")

    def __init__(self) -> None:
        self.index = -1
        self.kind: type[Text] | type[Thinking] | None = None
        self.text: list[str] = []
        self.called = False
        self.ended = False


class Reader:
    """Reads one stream. Lives as long as that."""

    __slots__ = ("_candidates", "_failed", "_next", "_parts", "_raw_usage", "_searches", "_started")

    def __init__(self, target: Target) -> None:
        self._parts = AnswerParts(target)
        self._candidates: dict[int, _Candidate] = {}
        self._next = 0
        self._raw_usage = NULL
        self._searches = 0
        self._started = False
        self._failed = False

    @property
    def done(self) -> bool:
        """Nothing on this wire says that it is over, but an error."""
        return self._failed

    def feed(self, event: bytes) -> list[Event]:
        data = data_of(event)
        if not data or data.isspace():
            return []
        try:
            return list(self._events(CHUNK.decode(data)))
        except InvalidParams as error:
            raise msgspec.ValidationError(error.message) from None

    def going_on(self, index: int) -> Callable[[str], object] | None:
        found = next((one for one in self._candidates.values() if one.index == index and one.kind is not None), None)
        # Citations are told by places in it.
        return None if found is None else found.text.append

    def end(self) -> list[Event]:
        """What is still owed: parts of an answer that was cut, and its usage."""
        if self._failed:
            return []
        events: list[Event] = []
        for candidate in self._candidates.values():
            events += self._close(candidate)
        return events + self._usage()

    def _events(self, chunk: Chunk) -> Iterator[Event]:
        if chunk.error != NULL:
            self._failed = True
            fault, status = read_stream_fault(chunk.error)
            yield Failed(fault, status)
            return
        if not self._started:
            self._started = True
            yield Start(chunk.response_id or "", chunk.model_version or "", seconds(chunk.create_time))
        if chunk.usage_metadata != NULL:
            self._raw_usage = chunk.usage_metadata
        finished = False
        for found in chunk.candidates or ():
            yield from self._candidate(found)
            finished = finished or bool(finish_of(found))
        if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason and not self._candidates:
            self._candidates[0] = _Candidate()
            finished = True
            yield Finish(FinishReason.CONTENT_FILTER, BLOCKED + chunk.prompt_feedback.block_reason)
        if finished or (self._candidates and all(candidate.ended for candidate in self._candidates.values())):
            # Counts that come behind the finish are the last ones.
            yield from self._usage()

    def _candidate(self, found: WireCandidate) -> Iterator[Event]:
        choice = found.index or 0
        candidate = self._candidates.get(choice)
        if candidate is None:
            candidate = self._candidates[choice] = _Candidate()
        logprobs = logprobs_of(found.logprobs_result)
        for fields in (found.content.parts if found.content else None) or ():
            yield from self._part(candidate, choice, fields, logprobs)
            logprobs = ()
        if found.grounding_metadata != NULL:
            yield from self._citations(candidate, found.grounding_metadata)
        native = finish_of(found)
        if native and not candidate.ended:
            candidate.ended = True
            yield from self._close(candidate)
            yield Finish(reason_of(native, candidate.called), native, choice=choice)

    def _part(
        self, candidate: _Candidate, choice: int, fields: Fields, logprobs: tuple[Logprob, ...]
    ) -> Iterator[Event]:
        part = self._parts.read(fields)
        if part is None or candidate.ended:
            return
        if isinstance(part, Text | Thinking):
            yield from self._text(candidate, choice, part, logprobs)
            return
        yield from self._close(candidate)
        index = self._take_index()
        if isinstance(part, ToolCall):
            candidate.called = True
            yield PartStart(index, _replace(part, arguments=""), choice)
            yield Delta(index, part.arguments)
        else:
            yield PartStart(index, part, choice)
        yield PartEnd(index)

    def _text(
        self, candidate: _Candidate, choice: int, part: Text | Thinking, logprobs: tuple[Logprob, ...]
    ) -> Iterator[Event]:
        kind = type(part)
        if not part.text and part.carry is None and not logprobs:
            return
        if candidate.kind is not kind or not part.text:
            # An empty text with a signature stays a part of its own, as it has to be returned.
            yield from self._close(candidate)
            candidate.kind, candidate.index, candidate.text = kind, self._take_index(), []
            yield PartStart(candidate.index, kind(""), choice)
        if part.text or logprobs:
            candidate.text.append(part.text)
            yield Delta(candidate.index, part.text, logprobs)
        if part.carry is not None:
            candidate.kind = None
            yield PartEnd(candidate.index, part.carry)

    def _close(self, candidate: _Candidate) -> list[Event]:
        if candidate.kind is None:
            return []
        candidate.kind = None
        return [PartEnd(candidate.index)]

    def _citations(self, candidate: _Candidate, metadata: msgspec.Raw) -> Iterator[Event]:
        self._searches = max(self._searches, grounding.searches(metadata))
        if candidate.kind is Text:
            for citation in grounding.citations(metadata, "".join(candidate.text)):
                yield Cited(candidate.index, citation)

    def _usage(self) -> list[Event]:
        """The last counts, once: every event has them, and only the last ones are right."""
        raw, self._raw_usage = self._raw_usage, NULL
        if raw == NULL or bytes(raw) == b"{}":
            return []
        usage = read_usage(raw)
        if self._searches:
            usage = _replace(usage, web_searches=self._searches)
        return [UsageSeen(usage, raw, tier_of(raw))]

    def _take_index(self) -> int:
        self._next += 1
        return self._next - 1

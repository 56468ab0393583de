"""What has been seen of an answer. In: events in canonical form, or a whole `Response`. Out: what records, health and the bill need."""

from typing import Protocol

import msgspec

from trunkline.ir.events import Delta, Event, Failed, Finish, PartStart, Start, UsageSeen
from trunkline.ir.parts import Part, Refusal, Text, Thinking, ToolCall
from trunkline.ir.response import Response
from trunkline.protocols.tool_arguments import NONE, ToolCalls

MAX_WORD = 128
"""Characters that are kept of a provider's ids and words."""


class Observed(Protocol):
    """What has been seen of an answer; Chat's `StreamObserver` and `Answer`, and `Seen`."""

    @property
    def answer_id(self) -> str: ...
    @property
    def finish_reason(self) -> str: ...
    @property
    def service_tier(self) -> str | None: ...
    @property
    def usage(self) -> bytes | None: ...
    @property
    def characters(self) -> int: ...
    @property
    def first_at(self) -> float | None: ...
    @property
    def last_at(self) -> float | None: ...
    @property
    def useful(self) -> bool: ...
    @property
    def tool_calls(self) -> tuple[int, int]:
        """How many, and how many of them with arguments that no tool can take."""
        ...


class StreamObserved(Observed, Protocol):
    done: bool
    malformed: bool


class Seen:
    """Lives as long as its attempt; the same attributes as Chat's `StreamObserver`, which looks at bytes."""

    __slots__ = (
        "_open", "_tools", "answer_id", "characters", "done", "failed", "finish_reason", "first_at", "last_at", "malformed", "service_tier", "usage",
    )  # fmt: skip

    def __init__(self) -> None:
        self.answer_id = ""
        self.finish_reason = ""
        self.service_tier: str | None = None
        self.usage: bytes | None = None
        """The raw usage object that came last."""
        self.characters = 0
        """Of text, reasoning, refusals and arguments."""
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.done = False
        self.malformed = False
        self.failed: Failed | None = None
        self._tools: ToolCalls | None = None
        self._open: set[int] = set()
        """Candidates that have begun and not ended."""

    @property
    def useful(self) -> bool:
        """Something came that a caller would miss."""
        return self.first_at is not None or self.finish_reason != ""

    @property
    def has_ended(self) -> bool:
        """Every candidate has come to its own end."""
        return self.finish_reason != "" and not self._open

    def see(self, event: Event, at: float) -> None:
        """Take in one event."""
        if type(event) is Delta:
            characters = len(event.text)
            if characters:
                self.characters += characters
                self.last_at = at
                if self.first_at is None:
                    self.first_at = at
            if self._tools is not None and self._tools.has(event.index):
                self._tools.add(event.index, event.text)
        elif isinstance(event, PartStart):
            self._count(_characters(event.part), at)
            self._open.add(event.choice)
            if isinstance(event.part, ToolCall) and event.part.kind == "function":
                self._see_call(event.index, event.part)
        elif isinstance(event, UsageSeen):
            self._take_usage(event.raw, event.service_tier)
        elif isinstance(event, Finish):
            self.finish_reason = self.finish_reason or event.reason.value
            self._open.discard(event.choice)
        elif isinstance(event, Start):
            self.answer_id = event.id[:MAX_WORD]
        elif isinstance(event, Failed):
            self.failed = event

    def see_whole(self, response: Response) -> None:
        """Take in an answer that was not streamed: it has no first token."""
        self.answer_id = response.id[:MAX_WORD]
        for candidate in response.candidates:
            self.characters += sum([_characters(part) for part in candidate.parts])
            for part in candidate.parts:
                if isinstance(part, ToolCall) and part.kind == "function":
                    self._see_call(id(part), part)
            if candidate.finish is not None:
                self.finish_reason = self.finish_reason or candidate.finish.value
        self._take_usage(response.raw_usage, response.service_tier)

    @property
    def tool_calls(self) -> tuple[int, int]:
        return NONE if self._tools is None else self._tools.counts()

    def _see_call(self, index: int, call: ToolCall) -> None:
        if self._tools is None:
            self._tools = ToolCalls()
        self._tools.add(index, call.arguments)

    def _count(self, characters: int, at: float) -> None:
        if not characters:
            return
        self.characters += characters
        self.last_at = at
        if self.first_at is None:
            self.first_at = at

    def _take_usage(self, raw: msgspec.Raw, service_tier: str) -> None:
        usage = bytes(raw)
        if usage.startswith(b"{"):
            self.usage = usage
        self.service_tier = service_tier or self.service_tier


class _Nothing(msgspec.Struct, frozen=True):
    answer_id: str = ""
    finish_reason: str = ""
    service_tier: str | None = None
    usage: bytes | None = None
    characters: int = 0
    first_at: float | None = None
    last_at: float | None = None
    useful: bool = False
    tool_calls: tuple[int, int] = NONE


NOTHING: Observed = _Nothing()
"""Before anything came."""


def _characters(part: Part) -> int:
    """What a caller would miss of a part; one that only begins has none, but a call has its name."""
    if isinstance(part, Thinking):
        return len(part.text) or part.redacted
    if isinstance(part, Text | Refusal):
        return len(part.text)
    if isinstance(part, ToolCall):
        return len(part.name) + len(part.arguments)
    # Media, and items of the vendor's own.
    return 1

"""Stop words that a provider was not told, watched for in its answer. In: canonical events, or a whole answer. Out: the same, cut at the first of them.

Text that may be the beginning of a stop word is held until that is decided, so nothing of one is ever shown.
"""

import msgspec

from trunkline.ir.events import Cited, Delta, Event, Finish, PartEnd, PartStart
from trunkline.ir.parts import Part, Text
from trunkline.ir.response import Candidate, FinishReason, Response

_replace = msgspec.structs.replace


class StopAt:
    """Cuts a stream. Lives as long as it; `stopped` tells when no candidate is left, so that the provider can be left."""

    __slots__ = ("_choices", "_held", "_open", "_over", "_stops")

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._choices: dict[int, int] = {}
        """Index of each part -> its candidate."""
        self._open: dict[int, set[int]] = {}
        self._held: dict[int, str] = {}
        self._over: set[int] = set()

    @property
    def stopped(self) -> bool:
        return bool(self._over) and self._over >= set(self._choices.values())

    def feed(self, event: Event) -> list[Event]:
        """What the caller sees for an event."""
        if isinstance(event, PartStart):
            return self._part_start(event)
        if isinstance(event, Delta | Cited | PartEnd) and self._choices.get(event.index) in self._over:
            return []
        if isinstance(event, Delta) and event.index in self._held:
            return self._delta(event)
        if isinstance(event, PartEnd):
            return self._part_end(event)
        if isinstance(event, Finish) and event.choice in self._over:
            return []
        return [event]

    def _part_start(self, event: PartStart) -> list[Event]:
        self._choices[event.index] = event.choice
        if event.choice in self._over:
            return []
        self._open.setdefault(event.choice, set()).add(event.index)
        if isinstance(event.part, Text):
            self._held[event.index] = ""
        return [event]

    def _delta(self, event: Delta) -> list[Event]:
        text = self._held[event.index] + event.text
        found = _first(text, self._stops)
        if found is not None:
            return self._stop(event.index, text[: found[0]], found[1])
        keep = _undecided(text, self._stops)
        self._held[event.index] = text[len(text) - keep :]
        shown = text[: len(text) - keep]
        return [Delta(event.index, shown, event.logprobs)] if shown or event.logprobs else []

    def _part_end(self, event: PartEnd) -> list[Event]:
        self._open[self._choices[event.index]].discard(event.index)
        rest = self._held.pop(event.index, "")
        return [Delta(event.index, rest), event] if rest else [event]

    def _stop(self, index: int, shown: str, word: str) -> list[Event]:
        choice = self._choices[index]
        self._over.add(choice)
        events: list[Event] = [Delta(index, shown)] if shown else []
        events += [PartEnd(still_open) for still_open in sorted(self._open.pop(choice))]
        return [*events, Finish(FinishReason.STOP_SEQUENCE, "", word, choice)]


def cut(response: Response, stops: tuple[str, ...]) -> Response:
    """A whole answer, each candidate up to its first stop word."""
    return _replace(response, candidates=tuple(_cut(candidate, stops) for candidate in response.candidates))


def _cut(candidate: Candidate, stops: tuple[str, ...]) -> Candidate:
    parts: list[Part] = []
    for part in candidate.parts:
        found = _first(part.text, stops) if isinstance(part, Text) else None
        if isinstance(part, Text) and found is not None:
            shown = [_replace(part, text=part.text[: found[0]])] if found[0] else []
            return Candidate((*parts, *shown), FinishReason.STOP_SEQUENCE, "", found[1])
        parts.append(part)
    return candidate


def _first(text: str, stops: tuple[str, ...]) -> tuple[int, str] | None:
    """Place and word of the first stop word, of two at one place the longer."""
    found = [(at, -len(stop), stop) for stop in stops if (at := text.find(stop)) >= 0]
    return (min(found)[0], min(found)[2]) if found else None


def _undecided(text: str, stops: tuple[str, ...]) -> int:
    """Length of the longest end of `text` that a stop word begins with."""
    longest = min(len(text), max(map(len, stops)) - 1)
    return next((n for n in range(longest, 0, -1) if any(stop.startswith(text[-n:]) for stop in stops)), 0)

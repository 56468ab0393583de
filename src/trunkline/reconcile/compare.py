"""Our sums against a provider's. In: an `Export`, our records one by one. Out: every line that differs, totals, and how far they are apart.

Ours are attempts, since those are what a provider sees: by the day in UTC on which they began, the model, and the key that they went out with.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from trunkline.reconcile.models import words
from trunkline.reconcile.types import Export, Line, Measure, Sums, added
from trunkline.records.types import Attempt, Record

OWN_KEY = "own"
"""What `Attempt.key` says of a member's own key: its use is on the member's account, not on the operator's."""
Place = tuple[str, str, str]
"""Day, words of the model, key of ours (empty: all together)."""


class Difference(msgspec.Struct, frozen=True):
    """Of a day, model and key. `model` is as the provider calls it, else as we do."""

    day: str
    model: str
    key: str
    ours: Sums
    theirs: Sums


class Outcome(msgspec.Struct, frozen=True):
    """`compared` counts lines; `differences` are those that differ."""

    measures: tuple[Measure, ...]
    compared: int
    differences: tuple[Difference, ...]
    ours: Sums
    theirs: Sums

    def percent(self, measure: Measure) -> float:
        """All differences, whatever their sign, against what the provider says in all: what is too much here does not make up for
        what is missing there."""
        apart = sum(abs(one.ours.of(measure) - one.theirs.of(measure)) for one in self.differences)
        if apart == 0:
            return 0.0
        whole = self.theirs.of(measure)
        return 100.0 * apart / whole if whole else 100.0

    @property
    def worst_percent(self) -> float:
        return max((self.percent(measure) for measure in self.measures), default=0.0)


class Comparison:
    """Gathers our side. Lives until `outcome`. `providers`: ours that this account is behind; `keys`: the provider's id of a key -> `#1`, ours."""

    def __init__(self, export: Export, providers: Sequence[str], keys: Mapping[str, str]) -> None:
        self._export = export
        self._providers = frozenset(providers)
        self._keys = keys
        self._days = frozenset(export.days)
        self._names: dict[str, str] = {}
        self._theirs: dict[Place, list[Sums]] = {}
        self._ours: dict[Place, list[Sums]] = {}
        for line in export.lines:
            self._add_theirs(line)

    def add(self, record: Record) -> None:
        """Take the attempts of a request that this account answered."""
        for attempt in record.attempts:
            if attempt.provider in self._providers and self._is_billed(attempt) and not record.simulated:
                self._add_ours(attempt)

    def outcome(self) -> Outcome:
        """What was found so far."""
        places = sorted({*self._theirs, *self._ours})
        rows = [
            Difference(day, self._names[model], key, self._sum(self._ours, place), self._sum(self._theirs, place))
            for place in places
            for day, model, key in (place,)
        ]
        measures = self._export.measures
        differing = (row for row in rows if any(row.ours.of(one) != row.theirs.of(one) for one in measures))
        return Outcome(
            measures,
            len(rows),
            tuple(differing),
            added(row.ours for row in rows),
            added(row.theirs for row in rows),
        )

    def _is_billed(self, attempt: Attempt) -> bool:
        return attempt.key != OWN_KEY or OWN_KEY in self._keys.values()

    def _add_theirs(self, line: Line) -> None:
        model = words(line.model)
        self._names.setdefault(model, line.model)
        place = (line.day, model, self._keys.get(line.key, line.key) if self._keys else "")
        self._theirs.setdefault(place, []).append(line.sums)

    def _add_ours(self, attempt: Attempt) -> None:
        day = datetime.fromtimestamp(attempt.started_ms / 1000, UTC).date().isoformat()
        sums = _sums(attempt)
        if day not in self._days or sums == Sums():
            return
        slug = attempt.offer.rpartition(":")[0] or attempt.offer
        model = next((one for one in (words(attempt.upstream_model), words(slug)) if one in self._names), words(slug))
        self._names.setdefault(model, slug)
        key = (attempt.key or "#1") if self._keys else ""
        self._ours.setdefault((day, model, key), []).append(sums)

    def _sum(self, side: Mapping[Place, list[Sums]], place: Place) -> Sums:
        return added(side.get(place, ()))


def _sums(attempt: Attempt) -> Sums:
    usage = attempt.usage
    tokens = usage.total_input_tokens + usage.total_output_tokens
    return Sums(
        requests=1 if tokens else 0,
        input_tokens=usage.total_input_tokens,
        output_tokens=usage.total_output_tokens,
        cost_pico_usd=attempt.cost.total_pico_usd,
    )

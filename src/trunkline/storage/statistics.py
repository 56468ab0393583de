"""Questions to the rollups. In: a span of time, offers or models, a resolution. Out: figures of any range, exact to the row, from few rows.

Async over `queries.Store`. Ranges of offers are exact to the minute for 48 hours, to the hour for 100 days, to the day for ever; of use
to the hour and to the day. What is over is remembered (see `remembered`), so answers are shared: nobody may change them.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import astuple
from sqlalchemy import Connection

from trunkline.records.figures import DAY_S, HOUR_S, MINUTE_S, OfferFigures, Use
from trunkline.storage.columns import OFFERS_ROLLED, USE_ROLLED, USE_ROLLUP_SUMS
from trunkline.storage.figure_rows import merge_row
from trunkline.storage.ladder import Ladder, Piece, Span
from trunkline.storage.queries import Store
from trunkline.storage.rollups import KEEP_HOURS_S, KEEP_MINUTES_S
from trunkline.storage.use_questions import FIRST, MARK, last_use, offer_rows, timed, use_points, use_sums, values

Place = TypeVar("Place", bound=Hashable)
Found = TypeVar("Found")
LATE_S = 15 * MINUTE_S
"""What comes to the store at most so late is seen at once, what comes later when the hour turns."""
FINE_S = 5 * MINUTE_S
"""Minutes of offers are many rows, with histograms in them."""
OLD_HOLDS_S = 6 * HOUR_S
"""What comes later than a day after, within so long."""
UsePlace = tuple[int | None, tuple[str, ...]]
"""When, and the values of the dimensions."""
DIMENSIONS = ("model", "provider", "protocol", "key_id")


class OfferSeries(msgspec.Struct, frozen=True):
    """`points` is sorted by start; a time without attempts has none."""

    offer: str
    points: list[tuple[int, OfferFigures]]

    def total(self) -> OfferFigures:
        """All of it."""
        figures = OfferFigures()
        for _, point in self.points:
            figures.merge(point)
        return figures


class UseRow(msgspec.Struct, frozen=True):
    """What was used in a day or an hour (`start_s`; None where none were asked for), by the dimensions asked for, in their order."""

    start_s: int | None
    by: tuple[str, ...]
    use: Use


class Wanted(msgspec.Struct, frozen=True):
    """Rows of use, as `Statistics.use_over` describes them."""

    span: Span
    by: tuple[str, ...]
    width_s: int | None = None
    where: Mapping[str, Sequence[str]] = {}
    sums: tuple[str, ...] = USE_ROLLUP_SUMS


class Statistics:
    """Answers out of an open store. `now_ms` is the clock."""

    def __init__(self, store: Store, now_ms: Callable[[], float]) -> None:
        self._store = store
        self._now_ms = now_ms

    async def offers(
        self, span: Span, names: Sequence[str] | None = None, *, may_be_s: int = 0
    ) -> tuple[Span, dict[str, OfferFigures]]:
        """The figures of each offer that had attempts, and the span that they are of: as asked, widened to whole rows. An answer from so many seconds
        ago (`may_be_s`) is as good."""

        def ask(connection: Connection) -> tuple[Span, dict[str, OfferFigures]]:
            ladder = self._offer_ladder(connection)
            fitted = ladder.fitted(span)

            def read(part: Span) -> dict[str, OfferFigures]:
                found: dict[str, OfferFigures] = {}
                for _, offer, figures in _offer_rows(connection, ladder.pieces(part), names):
                    if offer not in found:
                        found[offer] = OfferFigures()
                    merge_row(found[offer], figures)
                return found

            question = ("offers", _key(names))

            def find() -> dict[str, OfferFigures]:
                return self._over_and_late(question, ladder, fitted, read, _figures_together, fine_s=FINE_S)

            if not may_be_s:
                return fitted, find()
            slot = int(self._now_ms() // 1000) // may_be_s
            return fitted, self._store.remembered.answer((question, fitted.start_s, may_be_s), slot, find)

        return await self._store.ask(ask)

    async def offer_series(
        self, span: Span, width_s: int, names: Sequence[str] | None = None, step_s: int | None = None
    ) -> list[OfferSeries]:
        """The same in minutes, hours or days (`width_s` 60, 3600, 86400), by offer; several of them together where `step_s` is a multiple."""
        point_s = step_s or width_s

        def ask(connection: Connection) -> list[OfferSeries]:
            ladder = self._offer_ladder(connection)

            def read(part: Span) -> dict[tuple[str, int], OfferFigures]:
                points: dict[tuple[str, int], OfferFigures] = {}
                for start_s, offer, of_row in _offer_rows(connection, ladder.pieces_of(part, width_s), names):
                    place = offer, start_s - start_s % point_s
                    if place not in points:
                        points[place] = OfferFigures()
                    merge_row(points[place], of_row)
                return points

            fitted, question = ladder.fitted(span, width_s), ("offer_series", width_s, point_s, _key(names))
            found = self._over_and_late(question, ladder, fitted, read, _figures_together, max(width_s, HOUR_S))
            series: dict[str, list[tuple[int, OfferFigures]]] = {}
            for (offer, start_s), figures in sorted(found.items(), key=lambda point: point[0]):
                series.setdefault(offer, []).append((start_s, figures))
            return [OfferSeries(offer, points) for offer, points in series.items()]

        return await self._store.ask(ask)

    async def use(
        self, span: Span, by: Sequence[str], *, daily: bool = False, models: Sequence[str] | None = None
    ) -> list[UseRow]:
        """Sums by `by` (of `DIMENSIONS`), and by day if asked. Exact to the hour, before 100 days ago to the day."""
        where = {} if models is None else {"model": models}
        return await self.use_over(span, by, width_s=DAY_S if daily else None, where=where)

    async def use_over(
        self,
        span: Span,
        by: Sequence[str],
        *,
        width_s: int | None = None,
        where: Mapping[str, Sequence[str]] | None = None,
        sums: Sequence[str] = USE_ROLLUP_SUMS,
    ) -> list[UseRow]:
        """The same of what `where` chooses (dimension -> values), by the day or the hour (`width_s`, of which there are 100 days). Of fields that
        are not in `sums` nothing is added up: each costs time."""
        wanted = Wanted(span, tuple(by), width_s, where or {}, tuple(sums))
        return list((await self._use(wanted, "use", lambda rows: rows, _use_together)).values())

    async def use_made(
        self,
        wanted: Wanted,
        kind: Hashable,
        make: Callable[[Iterable[UseRow]], dict[Place, Found]],
        together: Callable[[Found, Found], Found],
    ) -> dict[Place, Found]:
        """What `make` makes of such rows, where that is less than they are: it is remembered instead of them. `kind` says what it makes: another
        one where the same rows would make something else. `together` puts what was made of two parts of the time into one."""
        return await self._use(wanted, kind, lambda rows: make(rows.values()), together)

    async def _use(
        self,
        wanted: Wanted,
        kind: Hashable,
        make: Callable[[dict[UsePlace, UseRow]], dict[Place, Found]],
        together: Callable[[Found, Found], Found],
    ) -> dict[Place, Found]:
        def ask(connection: Connection) -> dict[Place, Found]:
            ladder = self._use_ladder(connection)
            in_hours = wanted.width_s == HOUR_S

            def read(part: Span) -> dict[Place, Found]:
                pieces = ladder.pieces_of(part, HOUR_S) if in_hours else ladder.pieces(part)
                return make(_use_rows(connection, pieces, wanted))

            question = (kind, wanted.by, wanted.width_s, _where_key(wanted.where), wanted.sums)
            fitted = ladder.fitted(wanted.span, HOUR_S if in_hours else None)
            return self._over_and_late(question, ladder, fitted, read, together)

        return await self._store.ask(ask)

    async def points(
        self,
        span: Span,
        by: str,
        width_s: int,
        fields: Sequence[str],
        where: Mapping[str, Sequence[str]] | None = None,
    ) -> Mapping[tuple[int, str], int]:
        """What some fields of a `Use` add up to together: (start of the day or hour, value of a dimension) -> sum. For charts: much less than rows of use."""

        def ask(connection: Connection) -> Mapping[tuple[int, str], int]:
            ladder = self._use_ladder(connection)

            def read(part: Span) -> dict[tuple[int, str], int]:
                pieces = ladder.pieces_of(part, HOUR_S) if width_s == HOUR_S else ladder.pieces(part)
                found: dict[tuple[int, str], int] = {}
                for piece in pieces:
                    query = use_points(by, timed(piece, width_s), tuple(where or {}), tuple(fields))
                    for start_s, value, count in connection.execute(query, values(piece, width_s, where or {})).all():
                        found[start_s, value] = found.get((start_s, value), 0) + int(count)
                return found

            question = ("points", by, width_s, tuple(fields), _where_key(where))
            fitted = ladder.fitted(span, width_s if width_s == HOUR_S else None)
            return self._over_and_late(question, ladder, fitted, read, int.__add__)

        return await self._store.ask(ask)

    async def last_used(self, span: Span, by: str, width_s: int) -> Mapping[str, int]:
        """Value of a dimension -> the start of the last day or hour (`width_s`) in which it was used."""

        def ask(connection: Connection) -> Mapping[str, int]:
            ladder = self._use_ladder(connection)

            def read(part: Span) -> dict[str, int]:
                found: dict[str, int] = {}
                for piece in ladder.pieces_of(part, width_s):
                    for value, start_s in connection.execute(last_use(by), values(piece, None, {})).all():
                        found[value] = max(found.get(value, 0), start_s - start_s % width_s)
                return found

            fitted = ladder.fitted(span, width_s)
            return self._over_and_late(("last_used", by, width_s), ladder, fitted, read, max, max(width_s, HOUR_S))

        return await self._store.ask(ask)

    async def first_day_s(self) -> int | None:
        """The start of the first day that anything was used in; None where nothing was."""

        def ask(connection: Connection) -> list[int]:
            firsts = [connection.execute(FIRST, {"width_s": width_s}).scalar() for width_s in (HOUR_S, DAY_S)]
            return [first for first in firsts if first is not None]

        first = min(await self._store.ask(ask), default=None)
        return None if first is None else first - first % DAY_S

    def _over_and_late(
        self,
        question: Hashable,
        ladder: Ladder,
        span: Span,
        read: Callable[[Span], dict[Place, Found]],
        together: Callable[[Found, Found], Found],
        least_s: int = HOUR_S,
        fine_s: int = 0,
    ) -> dict[Place, Found]:
        """What `read` finds in a span: what is over is remembered, the last hours are read now. `least_s`: narrower parts cannot be asked for; `fine_s`:
        of the last hours, too, all is remembered but the last of steps so long."""
        settled_s = min(ladder.rolled_s, int(self._now_ms() // 1000) - LATE_S)
        over_s = _floor(settled_s, HOUR_S)
        over, late = _parted(span, _floor(over_s, least_s))
        if over is None:
            return read(span)
        if over.start_s % HOUR_S:
            # Questions of each minute have the same whole hours.
            hour_s = min(_floor(over.start_s, HOUR_S) + HOUR_S, over.end_s)
            rest = self._over_and_late(question, ladder, Span(hour_s, span.end_s), read, together, least_s, fine_s)
            return _added(read(Span(over.start_s, hour_s)), rest, together)
        remember = self._store.remembered.answer

        def read_over() -> dict[Place, Found]:
            # What is older than yesterday is not read anew each hour.
            old, recent = _parted(over, _floor(over_s - DAY_S, DAY_S))
            if old is None or recent is None:
                return read(over)
            before = remember((question, old.start_s, old.end_s), over_s // OLD_HOLDS_S, lambda: read(old))
            return _added(before, read(recent), together)

        found = remember((question, over.start_s, over.end_s), over_s, read_over)
        if late is None:
            return dict(found)
        if fine_s:
            at_s = _floor(settled_s, fine_s)
            before, late = _parted(late, at_s)
            if before is not None:
                place = (question, before.start_s, before.end_s)
                found = _added(found, remember(place, at_s, lambda: read(before)), together)
        return dict(found) if late is None else _added(found, read(late), together)

    def _use_ladder(self, connection: Connection) -> Ladder:
        now_s = int(self._now_ms() // 1000)
        return Ladder((HOUR_S, DAY_S), _mark(connection, USE_ROLLED), (now_s - KEEP_HOURS_S,))

    def _offer_ladder(self, connection: Connection) -> Ladder:
        now_s = int(self._now_ms() // 1000)
        oldest = (now_s - KEEP_MINUTES_S, now_s - KEEP_HOURS_S)
        return Ladder((MINUTE_S, HOUR_S, DAY_S), _mark(connection, OFFERS_ROLLED), oldest)


def _mark(connection: Connection, key: str) -> int:
    return int(connection.execute(MARK, {"mark": key}).scalar_one())


def _offer_rows(
    connection: Connection, pieces: Sequence[Piece], names: Sequence[str] | None
) -> Iterator[tuple[int, str, Sequence[object]]]:
    """Start, offer, values of each row."""
    for piece in pieces:
        asked = values(piece, None, {}) | ({} if names is None else {"names": list(names)})
        for row in connection.execute(offer_rows(some=names is not None), asked).all():
            yield row[0], row[1], row[2:]


def _use_rows(connection: Connection, pieces: Sequence[Piece], wanted: Wanted) -> dict[UsePlace, UseRow]:
    """Piece by piece, since the rows of one lie in the order of the index."""
    found: dict[UsePlace, UseRow] = {}
    by, width_s, where, sums = wanted.by, wanted.width_s, wanted.where, wanted.sums
    count = len(by) + 1
    made: Callable[[Sequence[Any]], Use] = _whole_use if sums == USE_ROLLUP_SUMS else _part_of_use(sums)
    for piece in pieces:
        query = use_sums(by, timed(piece, width_s), tuple(where), sums)
        for values_of in connection.execute(query, values(piece, width_s, where)).all():
            if values_of[count] is None:
                continue
            row = UseRow(values_of[0], tuple(values_of[1:count]), made(values_of[count:]))
            place = row.start_s, row.by
            found[place] = _use_together(found[place], row) if place in found else row
    return found


def _whole_use(values: Sequence[Any]) -> Use:
    return Use(*map(int, values))


def _part_of_use(sums: Sequence[str]) -> Callable[[Sequence[Any]], Use]:
    return lambda values: Use(**dict(zip(sums, map(int, values), strict=True)))


def _added(
    known: Mapping[Place, Found], more: Mapping[Place, Found], together: Callable[[Found, Found], Found]
) -> dict[Place, Found]:
    both = dict(known)
    for place, one in more.items():
        both[place] = together(both[place], one) if place in both else one
    return both


def _parted(span: Span, at_s: int) -> tuple[Span | None, Span | None]:
    """What is before a time, and the rest."""
    middle_s = min(max(at_s, span.start_s), span.end_s)
    before, rest = Span(span.start_s, middle_s), Span(middle_s, span.end_s)
    return before if before.start_s < middle_s else None, rest if middle_s < rest.end_s else None


def _floor(time_s: int, width_s: int) -> int:
    return time_s - time_s % width_s


def _use_together(one: UseRow, other: UseRow) -> UseRow:
    return UseRow(one.start_s, one.by, Use(*map(int.__add__, astuple(one.use), astuple(other.use))))


def _figures_together(one: OfferFigures, other: OfferFigures) -> OfferFigures:
    both = OfferFigures()
    both.merge(one)
    both.merge(other)
    return both


def _key(names: Sequence[str] | None) -> Hashable:
    return None if names is None else tuple(names)


def _where_key(where: Mapping[str, Sequence[str]] | None) -> Hashable:
    return tuple((name, tuple(values)) for name, values in sorted((where or {}).items()))

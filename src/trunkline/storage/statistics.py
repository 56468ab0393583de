"""Questions to the rollups. In: a span of time, offers or models, a resolution. Out: figures of any range, exact to the row, from few rows.

Async over `queries.Store`. Ranges of offers are exact to the minute for 48 hours, to the hour for 100 days, to the day for ever; of use
to the hour and to the day. What is over is remembered (see `remembered`), so answers are shared: nobody may change them.
"""

import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import reduce
from typing import Any, TypeVar

import msgspec
from msgspec.structs import astuple
from sqlalchemy import BigInteger, ColumnElement, Connection, Select, Table, and_, cast, func, null, or_, select

from trunkline.records.figures import DAY_S, HOUR_S, MINUTE_S, OfferFigures, Use
from trunkline.storage.columns import OFFER_ROLLUP_COLUMNS, OFFERS_ROLLED, USE_ROLLED, USE_ROLLUP_SUMS
from trunkline.storage.figure_rows import merge_row
from trunkline.storage.ladder import Ladder, Piece, Span
from trunkline.storage.queries import Store
from trunkline.storage.rollups import KEEP_HOURS_S, KEEP_MINUTES_S
from trunkline.storage.schema import meta, offer_rollups, use_rollups

_OFFER_VALUES = tuple(offer_rollups.c[name] for name in OFFER_ROLLUP_COLUMNS[3:])
Place = TypeVar("Place", bound=Hashable)
Found = TypeVar("Found")
LATE_S = 15 * MINUTE_S
"""What comes to the store at most so late is seen at once, what comes later when the hour turns."""
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
                return self._over_and_late(question, ladder, fitted, read, _figures_together)

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
                for start_s, offer, values in _offer_rows(connection, ladder.pieces_of(part, width_s), names):
                    place = offer, start_s - start_s % point_s
                    if place not in points:
                        points[place] = OfferFigures()
                    merge_row(points[place], values)
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

        def ask(connection: Connection) -> list[UseRow]:
            ladder = self._use_ladder(connection)
            in_hours = width_s == HOUR_S

            def read(part: Span) -> dict[UsePlace, UseRow]:
                pieces = ladder.pieces_of(part, HOUR_S) if in_hours else ladder.pieces(part)
                return _use_rows(connection, pieces, by, width_s, where or {}, sums)

            question = ("use", tuple(by), width_s, _where_key(where), tuple(sums))
            fitted = ladder.fitted(span, HOUR_S if in_hours else None)
            return list(self._over_and_late(question, ladder, fitted, read, _use_together).values())

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
                    for start_s, value, count in connection.execute(
                        _points_query(piece, by, width_s, fields, where or {})
                    ):
                        found[start_s, value] = found.get((start_s, value), 0) + int(count)
                return found

            question = ("points", by, width_s, tuple(fields), _where_key(where))
            fitted = ladder.fitted(span, width_s if width_s == HOUR_S else None)
            return self._over_and_late(question, ladder, fitted, read, int.__add__)

        return await self._store.ask(ask)

    async def first_day_s(self) -> int | None:
        """The start of the first day that anything was used in; None where nothing was."""
        # One question for each width: the least of one is found without reading the others.
        queries = [
            select(func.min(use_rollups.c.start_s)).where(use_rollups.c.width_s == width_s)
            for width_s in (HOUR_S, DAY_S)
        ]

        def ask(connection: Connection) -> list[int]:
            return [found for query in queries if (found := connection.execute(query).scalar()) is not None]

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
    ) -> dict[Place, Found]:
        """What `read` finds in a span: what is over is remembered, the last hours are read now. `least_s`: narrower parts cannot be asked for."""
        over_s = _floor(min(ladder.rolled_s, int(self._now_ms() // 1000) - LATE_S), HOUR_S)
        over, late = _parted(span, _floor(over_s, least_s))
        if over is None:
            return read(span)
        if over.start_s % HOUR_S:
            # Questions of each minute have the same whole hours.
            hour_s = min(_floor(over.start_s, HOUR_S) + HOUR_S, over.end_s)
            rest = self._over_and_late(question, ladder, Span(hour_s, span.end_s), read, together, least_s)
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
        return dict(found) if late is None else _added(found, read(late), together)

    def _use_ladder(self, connection: Connection) -> Ladder:
        now_s = int(self._now_ms() // 1000)
        return Ladder((HOUR_S, DAY_S), _mark(connection, USE_ROLLED), (now_s - KEEP_HOURS_S,))

    def _offer_ladder(self, connection: Connection) -> Ladder:
        now_s = int(self._now_ms() // 1000)
        oldest = (now_s - KEEP_MINUTES_S, now_s - KEEP_HOURS_S)
        return Ladder((MINUTE_S, HOUR_S, DAY_S), _mark(connection, OFFERS_ROLLED), oldest)


def _mark(connection: Connection, key: str) -> int:
    return int(connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar_one())


def _within(table: Table, pieces: Sequence[Piece]) -> ColumnElement[bool]:
    return or_(
        *(
            and_(table.c.width_s == piece.width_s, table.c.start_s >= piece.start_s, table.c.start_s < piece.end_s)
            for piece in pieces
        )
    )


def _offer_rows(
    connection: Connection, pieces: Sequence[Piece], names: Sequence[str] | None
) -> Sequence[tuple[int, str, Sequence[object]]]:
    """Start, offer, values of each row."""
    found = []
    for piece in pieces:
        query = select(offer_rollups.c.start_s, offer_rollups.c.offer, *_OFFER_VALUES).where(
            _within(offer_rollups, [piece])
        )
        if names is not None:
            query = query.where(offer_rollups.c.offer.in_(names))
        found += [(start_s, offer, values) for start_s, offer, *values in connection.execute(query)]
    return found


def _use_rows(
    connection: Connection,
    pieces: Sequence[Piece],
    by: Sequence[str],
    width_s: int | None,
    where: Mapping[str, Sequence[str]],
    sums: Sequence[str],
) -> dict[UsePlace, UseRow]:
    """Piece by piece, since the rows of one lie in the order of the index."""
    found: dict[UsePlace, UseRow] = {}
    count = len(by)
    made: Callable[[Sequence[Any]], Use] = _whole_use if tuple(sums) == USE_ROLLUP_SUMS else _part_of_use(sums)
    for piece in pieces:
        for start_s, *values in connection.execute(_use_query(piece, by, width_s, where, sums)):
            if values[count] is None:
                continue
            row = UseRow(start_s, tuple(values[:count]), made(values[count:]))
            place = start_s, row.by
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


def _use_query(
    piece: Piece, by: Sequence[str], width_s: int | None, where: Mapping[str, Sequence[str]], sums: Sequence[str]
) -> Select[Any]:
    """When (a bucket's start, or nothing), the dimensions, the sums."""
    at: ColumnElement[Any] = null() if width_s is None else _bucket(piece, width_s).label("at")
    groups: list[ColumnElement[Any]] = [use_rollups.c[name] for name in by]
    query: Select[Any] = select(at, *groups, *map(_sum, sums)).where(_within(use_rollups, [piece]), *_chosen(where))
    return query.group_by(*([] if width_s is None else ["at"]), *groups)


def _points_query(
    piece: Piece, by: str, width_s: int, fields: Sequence[str], where: Mapping[str, Sequence[str]]
) -> Select[Any]:
    group, count = use_rollups.c[by], reduce(operator.add, (use_rollups.c[name] for name in fields))
    return (
        select(_bucket(piece, width_s).label("at"), group, func.sum(count))
        .where(_within(use_rollups, [piece]), *_chosen(where))
        .group_by("at", group)
    )


def _sum(name: str) -> ColumnElement[Any]:
    """PostgreSQL's sums are decimals of any length, which take long to read; costs of years may need them."""
    total = func.sum(use_rollups.c[name])
    return total if name == "cost_pico_usd" else cast(total, BigInteger)


def _bucket(piece: Piece, width_s: int) -> ColumnElement[int]:
    start_s = use_rollups.c.start_s
    return start_s if piece.width_s >= width_s else start_s - start_s % width_s


def _chosen(where: Mapping[str, Sequence[str]]) -> list[ColumnElement[bool]]:
    return [use_rollups.c[name].in_(values) for name, values in where.items()]

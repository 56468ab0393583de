"""Questions to the rollups. In: a span of time, offers or models, a resolution. Out: figures of any range, exact to the row, from few rows.

Async over `queries.Store`. Ranges of offers are exact to the minute for 48 hours, to the hour for 100 days, to the day for ever; of use
to the hour and to the day.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, Table, and_, func, null, or_, select

from trunkline.records.figures import DAY_S, HOUR_S, MINUTE_S, OfferFigures, Use
from trunkline.storage.columns import OFFER_ROLLUP_COLUMNS, OFFERS_ROLLED, USE_ROLLED, USE_ROLLUP_SUMS
from trunkline.storage.figure_rows import merge_row
from trunkline.storage.ladder import Ladder, Piece, Span
from trunkline.storage.queries import Store
from trunkline.storage.rollups import KEEP_HOURS_S, KEEP_MINUTES_S
from trunkline.storage.schema import meta, offer_rollups, use_rollups

_OFFER_VALUES = tuple(offer_rollups.c[name] for name in OFFER_ROLLUP_COLUMNS[3:])
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

    async def offers(self, span: Span, names: Sequence[str] | None = None) -> tuple[Span, dict[str, OfferFigures]]:
        """The figures of each offer that had attempts, and the span that they are of: as asked, widened to whole rows."""

        def ask(connection: Connection) -> tuple[Span, dict[str, OfferFigures]]:
            ladder = self._offer_ladder(connection)
            fitted = ladder.fitted(span)
            found: dict[str, OfferFigures] = {}
            for _, offer, figures in _offer_rows(connection, ladder.pieces(fitted), names):
                if offer not in found:
                    found[offer] = OfferFigures()
                merge_row(found[offer], figures)
            return fitted, found

        return await self._store.ask(ask)

    async def offer_series(
        self, span: Span, width_s: int, names: Sequence[str] | None = None, step_s: int | None = None
    ) -> list[OfferSeries]:
        """The same in minutes, hours or days (`width_s` 60, 3600, 86400), by offer; several of them together where `step_s` is a multiple."""
        point_s = step_s or width_s

        def ask(connection: Connection) -> list[OfferSeries]:
            ladder = self._offer_ladder(connection)
            pieces = ladder.pieces_of(ladder.fitted(span, width_s), width_s)
            points: dict[str, dict[int, OfferFigures]] = {}
            for start_s, offer, values in _offer_rows(connection, pieces, names):
                series, bucket_s = points.setdefault(offer, {}), start_s - start_s % point_s
                if bucket_s not in series:
                    series[bucket_s] = OfferFigures()
                merge_row(series[bucket_s], values)
            return [OfferSeries(offer, sorted(points[offer].items())) for offer in sorted(points)]

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
            now_s = int(self._now_ms() // 1000)
            ladder = Ladder((HOUR_S, DAY_S), _mark(connection, USE_ROLLED), (now_s - KEEP_HOURS_S,))
            in_hours = width_s == HOUR_S
            fitted = ladder.fitted(span, HOUR_S if in_hours else None)
            pieces = ladder.pieces_of(fitted, HOUR_S) if in_hours else ladder.pieces(fitted)
            return _use_rows(connection, pieces, by, width_s, where or {}, sums)

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
) -> list[UseRow]:
    """Piece by piece, since the rows of one lie in the order of the index."""
    found: dict[tuple[int | None, tuple[str, ...]], Use] = {}
    for piece in pieces:
        for row in connection.execute(_use_query(piece, by, width_s, where, sums)):
            start_s, *values = row
            place = start_s, tuple(values[: len(by)])
            if values[len(by)] is not None:
                _add(found, place, sums, values[len(by) :])
    return [UseRow(start_s, named, use) for (start_s, named), use in found.items()]


def _use_query(
    piece: Piece, by: Sequence[str], width_s: int | None, where: Mapping[str, Sequence[str]], sums: Sequence[str]
) -> Select[Any]:
    """When (a bucket's start, or nothing), the dimensions, the sums."""
    start_s = use_rollups.c.start_s
    times: list[ColumnElement[Any]] = []
    if width_s is not None:
        times.append(start_s if piece.width_s >= width_s else start_s - start_s % width_s)
    groups: list[ColumnElement[Any]] = [use_rollups.c[name] for name in by]
    chosen = [use_rollups.c[name].in_(values) for name, values in where.items()]
    return (
        select(*(times or [null()]), *groups, *(func.sum(use_rollups.c[name]) for name in sums))
        .where(_within(use_rollups, [piece]), *chosen)
        .group_by(*times, *groups)
    )


def _add(
    found: dict[tuple[int | None, tuple[str, ...]], Use],
    place: tuple[int | None, tuple[str, ...]],
    sums: Sequence[str],
    values: Sequence[Any],
) -> None:
    known = found.get(place)
    if known is None:
        found[place] = Use(**dict(zip(sums, map(int, values), strict=True)))
        return
    for name, value in zip(sums, values, strict=True):
        setattr(known, name, getattr(known, name) + int(value))

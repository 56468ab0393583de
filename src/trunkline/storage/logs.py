"""Records by filter, newest first, page by page, for the logs. In: a `LogFilter`, a place to go on from. Out: a `LogPage`, in a bounded time.

No index but the one by time: each more costs a request as much as half of its record. What a filter is looking for is found through the rollups, which
know in which hours a model, provider, key or protocol was used at all; within these, records are looked through, for at most `BUDGET_S` a question. A page
that ends before it is full says how far it has come. See docs/logs.md for the figures.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Text, and_, func, or_, select, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from trunkline.records.figures import DAY_S, HOUR_S
from trunkline.records.types import Record
from trunkline.storage.columns import FOLDED, RECORD_COLUMNS, USE_ROLLED
from trunkline.storage.order import is_whole, newest, stored_between
from trunkline.storage.queries import Store
from trunkline.storage.rollups import KEEP_HOURS_S
from trunkline.storage.rows import read_record
from trunkline.storage.schema import meta, records, unfolded, use_rollups

BUDGET_S = 0.035
STEP_ROWS = 2_000
"""Looked through at once, between two looks at the clock."""
LEAST_STEPS = 8
"""However slow the machine is."""
_LAG_ROWS, _LAG_MS = 20_000, 60_000
"""So many records (of SQLite), or for so long (PostgreSQL), may not be in the rollups yet; with more, rollups are not asked."""
_MARGIN_S = 2 * HOUR_S
"""Rollups count a request where it ended, logs show it where it began: at most so long before (`total_s` of an offer is far below)."""
_RECORD = tuple(records.c[name] for name in RECORD_COLUMNS)
_NOW_MS = text("SELECT extract(epoch FROM clock_timestamp()) * 1000")


class _App(FunctionElement[str]):
    """The app's address and title, out of a record's `detail` (see `rows`)."""

    type = Text()
    inherit_cache = True


@compiles(_App, "sqlite")
def _app_of_sqlite(element: _App, compiler: SQLCompiler, **options: Any) -> str:
    detail = f"CAST({compiler.process(element.clauses, **options)} AS TEXT)"
    return f"(json_extract({detail}, '$[1]') || ' ' || json_extract({detail}, '$[2]'))"


@compiles(_App, "postgresql")
def _app_of_postgres(element: _App, compiler: SQLCompiler, **options: Any) -> str:
    return f"record_app({compiler.process(element.clauses, **options)})"


class Place(msgspec.Struct, frozen=True):
    """Between two records."""

    received_ms: float
    id: str


class LogFilter(msgspec.Struct, frozen=True):
    """Empty texts are no wish. Times are Unix milliseconds, `to_ms` not included."""

    from_ms: float = 0.0
    to_ms: float | None = None
    model: str = ""
    provider: str = ""
    key_id: str = ""
    keys: tuple[str, ...] | None = None
    """None: whatever key it was asked with; else one of these (see `api.management.scope`)."""
    protocol: str = ""
    outcome: str = ""
    """A record's, or `failed`: any but ok."""
    finish_reason: str = ""
    app: str = ""
    """Part of the app's title or address."""

    @property
    def is_wide(self) -> bool:
        """Every record of the time."""
        return self.keys is None and not any(
            (self.model, self.provider, self.key_id, self.protocol, self.outcome, self.finish_reason, self.app)
        )


class LogPage(msgspec.Struct, frozen=True):
    """Newest first."""

    records: list[Record]
    more: Place | None = None
    """Where the next question goes on, in the direction that was asked; None at the end."""
    is_cut: bool = False
    """The time was up before the page was full: there may or may not be more."""


class Came(msgspec.Struct, frozen=True):
    """What was stored after a mark, newest first, and the new mark."""

    records: list[Record]
    mark: int
    left_out: int = 0
    """Older than these, and newer than the mark."""
    is_all: bool = True
    """Otherwise more than that may have been left out: there was too much to look at."""


class Logs:
    """Answers out of an open store. `now_ms` is the clock of records, `clock` that of the budget, in seconds."""

    def __init__(self, store: Store, now_ms: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._now_ms = now_ms
        self._clock = clock

    async def older(self, wanted: LogFilter, limit: int, after: Place | None = None) -> LogPage:
        """The newest, or those behind a place."""
        return await self._store.ask(lambda connection: self._scan(connection, wanted, limit, after, newer=False))

    async def newer(self, wanted: LogFilter, limit: int, before: Place) -> LogPage:
        """Those next to a place on its newer side."""
        return await self._store.ask(lambda connection: self._scan(connection, wanted, limit, before, newer=True))

    async def mark(self) -> int:
        """Of the record that was stored last."""
        return await self._store.ask(newest)

    async def since(self, wanted: LogFilter, mark: int, limit: int) -> Came:
        """What was stored after a mark. Of a flood only the last are looked at."""

        def ask(connection: Connection) -> Came:
            last = newest(connection)
            new = (stored_between(connection, mark, last), *_conditions(wanted))
            # Not the column itself, or PostgreSQL would go through all records in the order of their index.
            query = select(*_RECORD).where(*new).order_by((records.c.received_ms + 0).desc()).limit(limit)
            found = [read_record(row) for row in connection.execute(query)]
            count = len(found)
            if count == limit:
                count = int(connection.execute(select(func.count()).select_from(records).where(*new)).scalar_one())
            return Came(found, last, count - len(found), is_all=is_whole(connection, mark, last))

        return await self._store.ask(ask)

    def _scan(
        self, connection: Connection, wanted: LogFilter, limit: int, place: Place | None, *, newer: bool
    ) -> LogPage:
        until = self._clock() + BUDGET_S
        low_ms = wanted.from_ms
        high_ms = wanted.to_ms if wanted.to_ms is not None else self._now_ms() + DAY_S * 1000
        if place is not None and newer:
            low_ms = max(low_ms, place.received_ms)
        elif place is not None:
            # One without an id is before all of its moment.
            high_ms = min(high_ms, math.nextafter(place.received_ms, math.inf) if place.id else place.received_ms)
        found: list[Record] = []
        conditions = [*_conditions(wanted), *_beyond(place, newer=newer)]
        looked_ms, steps = high_ms, 0
        for low, high in self._windows(connection, wanted, low_ms, high_ms, newer=newer):
            at, end = (low, high) if newer else (high, low)
            while True:
                steps += 1
                if steps > LEAST_STEPS and self._clock() > until:
                    return _page(found, Place(looked_ms, ""), newer=newer, is_cut=True)
                if at == end:
                    break
                edge = None if wanted.is_wide else _edge(connection, at, end)
                next_at = end if edge is None else edge
                span = (min(at, next_at), max(at, next_at))
                found += _rows(connection, span, conditions, limit + 1 - len(found), newer=newer)
                if len(found) > limit:
                    last = found[limit - 1]
                    return _page(found[:limit], Place(last.received_ms, last.id), newer=newer)
                at = looked_ms = next_at
            looked_ms = end
        return _page(found, None, newer=newer)

    def _windows(
        self, connection: Connection, wanted: LogFilter, low_ms: float, high_ms: float, *, newer: bool
    ) -> Iterator[tuple[float, float]]:
        """Spans of time in which there may be something, in the order of looking; in milliseconds, the end not included. An empty span only tells how
        far it was looked."""
        used = _used(wanted)
        if used is None or not _are_rollups_current(connection):
            yield low_ms, high_ms
            return
        now_s = int(self._now_ms() // 1000)
        # What began after it may be in no row yet.
        fresh_ms = (now_s - HOUR_S - _MARGIN_S) * 1000.0
        if newer:
            yield from _used_windows(connection, used, low_ms, min(high_ms, fresh_ms), now_s, newer=True)
        if high_ms > max(low_ms, fresh_ms):
            yield max(low_ms, fresh_ms), high_ms
        if newer:
            return
        yield from _used_windows(connection, used, low_ms, min(high_ms, fresh_ms), now_s, newer=False)


def _used_windows(
    connection: Connection, used: list[ColumnElement[bool]], low_ms: float, high_ms: float, now_s: int, *, newer: bool
) -> Iterator[tuple[float, float]]:
    if low_ms >= high_ms:
        return
    first = _first_s(connection)
    if first is None:
        return
    low_ms = max(low_ms, (first - _MARGIN_S) * 1000)
    rolled_s = int(connection.execute(select(meta.c.value).where(meta.c.key == USE_ROLLED)).scalar() or 0)
    start_s, end_s = int(low_ms // 1000) // DAY_S * DAY_S, math.ceil(high_ms / 1000) + _MARGIN_S
    for day_s in _days(connection, start_s, end_s, newer=newer):
        hours = _hours(connection, used, day_s, now_s, rolled_s)
        spans = [((at_s - _MARGIN_S) * 1000.0, (at_s + width_s) * 1000.0) for at_s, width_s in hours]
        for span in spans if newer else reversed(spans):
            # Margins overlap: what was looked through is not again.
            low, high = max(span[0], low_ms), min(span[1], high_ms)
            if low < high:
                yield low, high
                low_ms, high_ms = (high, high_ms) if newer else (low_ms, low)
        if not spans:
            edge = min(max((day_s + (DAY_S if newer else 0) - _MARGIN_S) * 1000.0, low_ms), high_ms)
            if low_ms < edge < high_ms:
                yield edge, edge


def _conditions(wanted: LogFilter) -> list[ColumnElement[bool]]:
    same = [
        records.c[name] == value
        for name, value in (
            ("model", wanted.model),
            ("provider", wanted.provider),
            ("key_id", wanted.key_id),
            ("protocol", wanted.protocol),
            ("finish_reason", wanted.finish_reason),
        )
        if value
    ]
    if wanted.keys is not None:
        same.append(records.c.key_id.in_(wanted.keys))
    if wanted.outcome:
        same.append(records.c.outcome != "ok" if wanted.outcome == "failed" else records.c.outcome == wanted.outcome)
    if wanted.app:
        same.append(_App(records.c.detail).icontains(wanted.app, autoescape=True))
    return same


def _beyond(place: Place | None, *, newer: bool) -> list[ColumnElement[bool]]:
    if place is None:
        return []
    received, id_ = records.c.received_ms, records.c.id
    if newer:
        return [or_(received > place.received_ms, and_(received == place.received_ms, id_ > place.id))]
    return [or_(received < place.received_ms, and_(received == place.received_ms, id_ < place.id))]


def _edge(connection: Connection, at: float, end: float) -> float | None:
    """How far a step goes from `at`; None where it goes to the end."""
    received = records.c.received_ms
    newer = end > at
    span = (received >= at, received < end) if newer else (received >= end, received < at)
    order = received.asc() if newer else received.desc()
    query = select(received).where(*span).order_by(order).limit(1).offset(STEP_ROWS)
    edge: float | None = connection.execute(query).scalar()
    # So many of one moment are looked through together.
    return None if edge == at else edge


def _rows(
    connection: Connection, span: tuple[float, float], conditions: list[ColumnElement[bool]], limit: int, *, newer: bool
) -> list[Record]:
    received, id_ = records.c.received_ms, records.c.id
    order = (received.asc(), id_.asc()) if newer else (received.desc(), id_.desc())
    query = select(*_RECORD).where(received >= span[0], received < span[1], *conditions).order_by(*order).limit(limit)
    return [read_record(row) for row in connection.execute(query)]


def _page(found: list[Record], more: Place | None, *, newer: bool, is_cut: bool = False) -> LogPage:
    return LogPage(found[::-1] if newer else found, more, is_cut)


def _used(wanted: LogFilter) -> list[ColumnElement[bool]] | None:
    """Of rows that may stand for such records; None where rows cannot tell."""
    found: list[ColumnElement[bool]] = []
    rows = use_rollups.c
    if wanted.model:
        # A request that reached no offer may count without its model.
        found.append(rows.model.in_([wanted.model, ""]))
    for name, value in (("provider", wanted.provider), ("key_id", wanted.key_id), ("protocol", wanted.protocol)):
        if value:
            found.append(rows[name] == value)
    if wanted.keys is not None:
        found.append(rows.key_id.in_(wanted.keys))
    if wanted.outcome and wanted.outcome != "ok":
        found.append(rows.failed + rows.abandoned > 0)
    return found or None


def _are_rollups_current(connection: Connection) -> bool:
    if connection.dialect.name == "postgresql":
        oldest_ms = connection.execute(select(func.min(unfolded.c.at_ms))).scalar()
        return oldest_ms is None or oldest_ms > connection.execute(_NOW_MS).scalar_one() - _LAG_MS
    folded = int(connection.execute(select(meta.c.value).where(meta.c.key == FOLDED)).scalar() or 0)
    return newest(connection) - folded < _LAG_ROWS


def _first_s(connection: Connection) -> int | None:
    """The start of the oldest day or hour."""
    query = select(func.min(use_rollups.c.start_s))
    found = [connection.execute(query.where(use_rollups.c.width_s == width_s)).scalar() for width_s in (HOUR_S, DAY_S)]
    return min((one for one in found if one is not None), default=None)


def _days(connection: Connection, start_s: int, end_s: int, *, newer: bool) -> Iterator[int]:
    """Starts of the days that have any rows, in the order of looking."""
    at, of = use_rollups.c.start_s, use_rollups.c.width_s
    while start_s < end_s:
        query = select(func.min(at) if newer else func.max(at)).where(at >= start_s, at < end_s)
        widths = (connection.execute(query.where(of == width_s)).scalar() for width_s in (HOUR_S, DAY_S))
        found = [one for one in widths if one is not None]
        if not found:
            return
        day_s = (min(found) if newer else max(found)) // DAY_S * DAY_S
        yield day_s
        start_s, end_s = (day_s + DAY_S, end_s) if newer else (start_s, day_s)


def _hours(
    connection: Connection, used: list[ColumnElement[bool]], day_s: int, now_s: int, rolled_s: int
) -> list[tuple[int, int]]:
    """Start and width of the rows of a day that say so, in order: its hours, or where these are gone the day."""
    rows = use_rollups.c
    # A day that is rolled up tells in one look whether to ask for its hours.
    if day_s + DAY_S <= rolled_s:
        query = select(rows.start_s).where(rows.width_s == DAY_S, rows.start_s == day_s, *used).limit(1)
        if connection.execute(query).first() is None:
            return []
        if day_s < now_s - KEEP_HOURS_S + DAY_S:
            return [(day_s, DAY_S)]
    span = rows.start_s.between(day_s, day_s + DAY_S - 1)
    query = select(rows.start_s).where(rows.width_s == HOUR_S, span, *used).distinct()
    return sorted((row[0], HOUR_S) for row in connection.execute(query))


def placed(text: str) -> Place | None:
    """A place out of an address; None for what is none."""
    number, _, id_ = text.partition("_")
    try:
        received_ms = float(number)
    except ValueError:
        return None
    return Place(received_ms, id_) if math.isfinite(received_ms) else None


def written(place: Place) -> str:
    """A place for an address."""
    return f"{place.received_ms!r}_{place.id}"

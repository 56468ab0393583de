"""How attempts ended, over time: what bars of uptime and incidents are made of. In: a span, a resolution. Out: counts by offer or provider.

From the rollups like `statistics`, but without histograms, so that 90 days of hundreds of offers are quick to ask for.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, Float, Integer, Select, Text, bindparam, func, literal, or_, select

from trunkline.records.figures import DAY_S, HOUR_S, MINUTE_S
from trunkline.storage.columns import OFFERS_ROLLED
from trunkline.storage.figure_rows import read_causes
from trunkline.storage.ladder import Ladder, Piece, Span
from trunkline.storage.queries import Store
from trunkline.storage.rollups import KEEP_HOURS_S, KEEP_MINUTES_S
from trunkline.storage.schema import offer_rollups
from trunkline.storage.use_questions import MARK

_ROW = offer_rollups.c
_COUNTS = tuple(_ROW[name] for name in ("attempts", "ok", "failed", "limited"))
_HOUR = (_ROW.start_s, _ROW.offer, *_COUNTS, _ROW.causes)
# What stands after the last colon: a name without its longest beginning that ends in one.
_PROVIDER = func.replace(_ROW.offer, func.rtrim(_ROW.offer, func.replace(_ROW.offer, ":", "")), "", type_=Text)

_SOME = _ROW.offer.in_(bindparam("names", expanding=True))
Of = Literal["offer", "provider", "nothing"]
"""What counts are added up by."""


class Outcomes(msgspec.Struct, frozen=True):
    """Of a minute, an hour or a day (`start_s`). `of` is an offer or a provider. What counts for uptime is as in `records.figures`."""

    start_s: int
    of: str
    attempts: int = 0
    ok: int = 0
    failed: int = 0
    limited: int = 0
    causes: dict[str, int] = {}
    """Why attempts did not go well; only where the question says so."""

    @property
    def counted(self) -> int:
        """Attempts that say something of whether it is up."""
        return self.ok + self.failed

    @property
    def uptime(self) -> float | None:
        return self.ok / self.counted if self.counted else None

    def plus(self, other: "Outcomes") -> "Outcomes":
        """Both together, at this one's start."""
        causes = dict(self.causes)
        for cause, count in other.causes.items():
            causes[cause] = causes.get(cause, 0) + count
        return Outcomes(
            self.start_s,
            self.of,
            self.attempts + other.attempts,
            self.ok + other.ok,
            self.failed + other.failed,
            self.limited + other.limited,
            causes,
        )


class OutcomesOverTime:
    """Answers out of an open store. `now_ms` is the clock."""

    def __init__(self, store: Store, now_ms: Callable[[], float]) -> None:
        self._store = store
        self._now_ms = now_ms

    async def offers(self, span: Span, width_s: int, names: Sequence[str] | None = None) -> list[Outcomes]:
        """In minutes, hours or days, sorted by start and offer; a time without attempts has none."""
        return await self._over(span, width_s, "offer", names)

    async def providers(self, span: Span, width_s: int) -> list[Outcomes]:
        """The same over all offers of each provider."""
        return await self._over(span, width_s, "provider", None)

    async def together(self, span: Span, width_s: int, names: Sequence[str]) -> list[Outcomes]:
        """The same over all of some offers; `of` is empty."""
        return await self._over(span, width_s, "nothing", names)

    async def spoiled_hours(self, span: Span, below: float, names: Sequence[str] | None = None) -> list[Outcomes]:
        """The hours in which an offer's uptime was below a bound, with causes."""

        def ask(connection: Connection) -> list[Outcomes]:
            ladder = self._ladder(connection)
            # The hour that has the mark in it has more to it in rows of minutes: it is looked at as a whole.
            more = {"below": below, "whole_s": ladder.rolled_s - ladder.rolled_s % HOUR_S}
            pieces = ladder.pieces_of(ladder.fitted(span, HOUR_S), HOUR_S)
            query = _spoiled(some=names is not None)
            rows = (row for piece in pieces for row in connection.execute(query, _values(piece, names, more)).all())
            found = [_hour(*row) for row in rows]
            return [one for one in _added(found) if one.counted and one.ok < below * one.counted]

        return await self._store.ask(ask)

    async def minutes(self, spans: Sequence[Span], names: Sequence[str]) -> list[Outcomes]:
        """Minutes of some offers in several spans, as far back as minutes are kept."""

        def ask(connection: Connection) -> list[Outcomes]:
            pieces = [Piece(MINUTE_S, span.start_s, span.end_s) for span in spans]
            rows = (row for piece in pieces for row in connection.execute(_MINUTES, _values(piece, names)).all())
            return _added(Outcomes(*row) for row in rows)

        return await self._store.ask(ask)

    async def _over(self, span: Span, width_s: int, of: Of, names: Sequence[str] | None) -> list[Outcomes]:
        query = _counts(of, some=names is not None)

        def ask(connection: Connection) -> list[Outcomes]:
            ladder, more = self._ladder(connection), {"step_s": width_s}
            pieces = ladder.pieces_of(ladder.fitted(span, width_s), width_s)
            rows = (row for piece in pieces for row in connection.execute(query, _values(piece, names, more)).all())
            return _added(Outcomes(*row) for row in rows)

        return await self._store.ask(ask)

    def _ladder(self, connection: Connection) -> Ladder:
        now_s = int(self._now_ms() // 1000)
        mark = connection.execute(MARK, {"mark": OFFERS_ROLLED}).scalar_one()
        return Ladder((MINUTE_S, HOUR_S, DAY_S), int(mark), (now_s - KEEP_MINUTES_S, now_s - KEEP_HOURS_S))


def _hour(start_s: int, offer: str, attempts: int, ok: int, failed: int, limited: int, causes: bytes) -> Outcomes:
    return Outcomes(start_s - start_s % HOUR_S, offer, attempts, ok, failed, limited, read_causes(causes))


@lru_cache(maxsize=6)  # Pure functions: to build a statement takes longer than the store takes to answer.
def _counts(of: Of, *, some: bool) -> Select[Any]:
    start_s = (_ROW.start_s - _ROW.start_s % bindparam("step_s", type_=Integer)).label("bucket_s")
    named: dict[Of, ColumnElement[str]] = {"offer": _ROW.offer, "provider": _PROVIDER, "nothing": literal("")}
    query = select(start_s, named[of].label("of"), *(func.sum(column) for column in _COUNTS)).where(*_within())
    return (query.where(_SOME) if some else query).group_by("bucket_s", "of")


@lru_cache(maxsize=2)
def _spoiled(*, some: bool) -> Select[Any]:
    bad = _ROW.ok < bindparam("below", type_=Float) * (_ROW.ok + _ROW.failed)
    query = select(*_HOUR).where(or_(bad, _ROW.start_s >= bindparam("whole_s")), *_within())
    return query.where(_SOME) if some else query


def _within() -> tuple[ColumnElement[bool], ...]:
    return (
        _ROW.width_s == bindparam("width_s"),
        _ROW.start_s >= bindparam("since_s"),
        _ROW.start_s < bindparam("until_s"),
    )


def _values(piece: Piece, names: Sequence[str] | None, more: Mapping[str, float] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"width_s": piece.width_s, "since_s": piece.start_s, "until_s": piece.end_s, **(more or {})}
    return found if names is None else found | {"names": list(names)}


_MINUTES = select(_ROW.start_s, _ROW.offer, *_COUNTS).where(_SOME, *_within())


def _added(rows: Iterable[Outcomes]) -> list[Outcomes]:
    """One for each start and name: what is not rolled up yet comes in rows of its own."""
    found: dict[tuple[int, str], Outcomes] = {}
    for row in rows:
        place = (row.start_s, row.of)
        before = found.get(place)
        found[place] = row if before is None else before.plus(row)
    return [found[place] for place in sorted(found)]

"""Statements over the rollups of use and of offers. In: dimensions, fields. Out: statements, each built once; the values come with the question.

To build one takes longer than a store takes to answer it.
"""

import operator
from collections.abc import Mapping, Sequence
from functools import lru_cache, reduce
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, Select, bindparam, cast, func, null, select

from trunkline.storage.columns import OFFER_ROLLUP_COLUMNS
from trunkline.storage.ladder import Piece
from trunkline.storage.schema import meta, offer_rollups, use_rollups

MARK = select(meta.c.value).where(meta.c.key == bindparam("mark"))
FIRST = select(func.min(use_rollups.c.start_s)).where(use_rollups.c.width_s == bindparam("width_s"))
"""The least of one width is found without reading the others."""


@lru_cache(maxsize=2)  # Pure functions, all of them.
def offer_rows(*, some: bool) -> Select[Any]:
    """Start, offer, the columns after the key. `some`: of the offers that are in `names`."""
    columns = (offer_rollups.c[name] for name in OFFER_ROLLUP_COLUMNS[1:])
    query: Select[Any] = select(*columns).where(*_within(offer_rollups.c))
    return query.where(offer_rollups.c.offer.in_(bindparam("names", expanding=True))) if some else query


@lru_cache(maxsize=200)
def use_sums(by: tuple[str, ...], timed: str, where: tuple[str, ...], sums: tuple[str, ...]) -> Select[Any]:
    """When (see `_when`; nothing where `timed` is empty), the dimensions, the sums."""
    groups = [use_rollups.c[name] for name in by]
    at: ColumnElement[Any] = _when(timed).label("at") if timed else null()
    query: Select[Any] = select(at, *groups, *map(_sum, sums)).where(*_within(use_rollups.c), *_chosen(where))
    return query.group_by(*(["at"] if timed else []), *groups)


@lru_cache(maxsize=200)
def use_points(by: str, timed: str, where: tuple[str, ...], fields: tuple[str, ...]) -> Select[Any]:
    """When, a value of the dimension, what the fields add up to together."""
    group, count = use_rollups.c[by], reduce(operator.add, (use_rollups.c[name] for name in fields))
    query: Select[Any] = select(_when(timed).label("at"), group, func.sum(count))
    return query.where(*_within(use_rollups.c), *_chosen(where)).group_by("at", group)


@lru_cache(maxsize=50)
def last_use(by: str) -> Select[Any]:
    """A value of the dimension, and the start of the last row with it."""
    group = use_rollups.c[by]
    return select(group, func.max(use_rollups.c.start_s)).where(*_within(use_rollups.c)).group_by(group)


def timed(piece: Piece, width_s: int | None) -> str:
    """How rows of a piece are told by time in steps of `width_s`; empty where they are not."""
    return "" if width_s is None else "row" if piece.width_s >= width_s else "step"


def values(piece: Piece, width_s: int | None, where: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What goes with a statement."""
    found: dict[str, Any] = {"width_s": piece.width_s, "since_s": piece.start_s, "until_s": piece.end_s}
    if timed(piece, width_s) == "step":
        found["step_s"] = width_s
    return found | {f"of_{name}": list(some) for name, some in where.items()}


def _within(columns: Any) -> tuple[ColumnElement[bool], ...]:
    return (
        columns.width_s == bindparam("width_s"),
        columns.start_s >= bindparam("since_s"),
        columns.start_s < bindparam("until_s"),
    )


def _chosen(where: tuple[str, ...]) -> list[ColumnElement[bool]]:
    return [use_rollups.c[name].in_(bindparam(f"of_{name}", expanding=True)) for name in where]


def _when(timed: str) -> ColumnElement[int]:
    """The row's own start, which the order of the index gives; or that of the step it is in."""
    start_s = use_rollups.c.start_s
    return start_s if timed == "row" else start_s - start_s % bindparam("step_s", type_=Integer)


def _sum(name: str) -> ColumnElement[Any]:
    """PostgreSQL's sums are decimals of any length, which take long to read; costs of years may need them."""
    total = func.sum(use_rollups.c[name])
    return total if name == "cost_pico_usd" else cast(total, BigInteger)

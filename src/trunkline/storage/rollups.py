"""Keeps the rollups: figures of records in minutes, hours and days. In: records as they are stored. Out: rows that hold each of them once.

About once a second what came is folded into minutes (of use: hours), and the rowid up to which records are in them moves in the same
transaction. A minute that is over becomes part of its hour and its day once, up to a mark that moves likewise; what comes later than
the mark goes into all three at once. So whatever crashes when, nothing is lost or counted twice. See docs/decisions/0008-rollups.md.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trunkline.records.figures import DAY_S, HOUR_S, MINUTE_S, Gathered, OfferFigures, Use
from trunkline.records.types import Record
from trunkline.storage.columns import (
    FOLDED,
    OFFER_ROLLUP_COLUMNS,
    OFFER_ROLLUP_KEY,
    OFFERS_ROLLED,
    RECORD_COLUMNS,
    USE_ROLLED,
    USE_ROLLUP_COLUMNS,
    USE_ROLLUP_KEY,
    USE_ROLLUP_SUMS,
)
from trunkline.storage.figure_rows import merge_row, offer_row, use_row
from trunkline.storage.rows import read_record
from trunkline.storage.statements import insert

KEEP_MINUTES_S = 48 * HOUR_S
KEEP_HOURS_S = 100 * DAY_S
_DELETED_AT_ONCE_S = 6 * HOUR_S
_AT_ONCE = 100
TAIL_ROWS = 5_000
"""Records that are read back in one fold."""

_VALUES = OFFER_ROLLUP_COLUMNS[len(OFFER_ROLLUP_KEY) :]
Place = tuple[int, int, str]
"""Width, start, offer."""

# S608: all names are constants of ours.
_WRITE_OFFERS = insert(
    "offer_rollups",
    OFFER_ROLLUP_COLUMNS,
    f"({', '.join(OFFER_ROLLUP_KEY)}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _VALUES)}",
)
_ADDED = ", ".join(f"{name} = use_rollups.{name} + excluded.{name}" for name in USE_ROLLUP_SUMS)
_ADD_USE = insert("use_rollups", USE_ROLLUP_COLUMNS, f"({', '.join(USE_ROLLUP_KEY)}) DO UPDATE SET {_ADDED}")
_SELECT_OFFERS = (
    f"SELECT offer, {', '.join(_VALUES)} FROM offer_rollups WHERE width_s = ? AND start_s = ? AND offer IN "  # noqa: S608
)
_SELECT_MINUTES = (
    f"SELECT start_s, offer, {', '.join(_VALUES)} FROM offer_rollups "  # noqa: S608
    f"WHERE width_s = {MINUTE_S} AND start_s >= ? AND start_s < ?"
)
_ROLL_USE = (
    f"INSERT INTO use_rollups ({', '.join(USE_ROLLUP_COLUMNS)}) "  # noqa: S608
    f"SELECT {DAY_S}, start_s - start_s % {DAY_S}, model, provider, protocol, key_id, "
    f"{', '.join(f'SUM({name})' for name in USE_ROLLUP_SUMS)} FROM use_rollups "
    f"WHERE width_s = {HOUR_S} AND start_s >= ? AND start_s < ? "
    f"GROUP BY start_s - start_s % {DAY_S}, model, provider, protocol, key_id "
    f"ON CONFLICT ({', '.join(USE_ROLLUP_KEY)}) DO UPDATE SET {_ADDED}"
)
_NEWEST = "SELECT MAX(rowid) FROM records"
_SELECT_TAIL = f"SELECT rowid, {', '.join(RECORD_COLUMNS)} FROM records WHERE rowid > ? ORDER BY rowid LIMIT ?"  # noqa: S608
_GET_MARK = "SELECT value FROM meta WHERE key = ?"
_SET_MARK = "UPDATE meta SET value = ? WHERE key = ?"


def expiry(table: str, width_s: int, until: str = "?") -> str:
    """Deletes rows of a width that begin before a time; `until` is its mark."""
    # The oldest first and not all at once: after a long stop there may be many, and one large deletion would hold up the records.
    return (
        f"DELETE FROM {table} WHERE width_s = {width_s} AND start_s < {until} "  # noqa: S608
        f"AND start_s < (SELECT MIN(start_s) FROM {table} WHERE width_s = {width_s}) + {_DELETED_AT_ONCE_S}"
    )


_EXPIRE_MINUTES = expiry("offer_rollups", MINUTE_S)
_EXPIRE_HOURS = expiry("offer_rollups", HOUR_S)
_EXPIRE_USE = expiry("use_rollups", HOUR_S)


class Rollups:
    """Lives as long as the writer's connection. `fold` and `tend` run inside a transaction of the caller's: `folded` after its commit, `forget` where
    it, or one that wrote records, may not have come to that.

    What records add up to is pending in memory between two folds. What the store has beyond the last fold is read from there where memory
    does not have it: after a start, or a failure.
    """

    def __init__(self, tail_rows: int = TAIL_ROWS) -> None:
        self._tail_rows = tail_rows
        self._pending: Gathered | None = None
        self._marks: dict[str, int] = {}

    def see(self, records: Sequence[Record]) -> None:
        """These have been stored, all of them new."""
        if self._pending is not None and records:
            self._pending.see(records)

    def forget(self) -> None:
        """What is remembered may not be what the store has."""
        self._pending = None
        self._marks.clear()

    @property
    def is_pending(self) -> bool:
        """There may be something to fold."""
        return self._pending is None or bool(self._pending.use)

    def fold(self, connection: sqlite3.Connection, now_ms: float) -> bool:
        """Put what is pending into rows; whether all of it was. A long tail (the records of an older version) goes in pieces."""
        now_s = int(now_ms // 1000)
        if self._pending is not None:
            gathered, is_all = self._pending, True
            until = _newest_rowid(connection)
        else:
            gathered = Gathered()
            until, is_all = _read_tail(connection, self._mark(connection, FOLDED), self._tail_rows, gathered)
        if gathered.offers:
            self._add_offers(connection, gathered.offers, now_s)
        if gathered.use:
            self._add_use(connection, gathered.use, now_s)
        self._set_mark(connection, FOLDED, until)
        return is_all

    def folded(self, *, is_all: bool) -> None:
        """The fold is in the store."""
        self._pending = Gathered() if is_all else None

    def tend(self, connection: sqlite3.Connection, now_ms: float) -> None:
        """Make minutes and hours that are over part of the wider rows, and delete what has expired."""
        now_s = int(now_ms // 1000)
        offers_until, use_until = marks_at(now_s)
        rolled = self._mark(connection, OFFERS_ROLLED)
        if rolled < offers_until:
            self._roll_offers(connection, rolled, offers_until)
        rolled = self._mark(connection, USE_ROLLED)
        if rolled < use_until:
            connection.execute(_ROLL_USE, (rolled, use_until))
            self._set_mark(connection, USE_ROLLED, use_until)
        # Never what is not rolled up: the mark may lag where the clock was set.
        connection.execute(_EXPIRE_MINUTES, (min(now_s - KEEP_MINUTES_S, self._mark(connection, OFFERS_ROLLED)),))
        connection.execute(_EXPIRE_HOURS, (now_s - KEEP_HOURS_S,))
        connection.execute(_EXPIRE_USE, (min(now_s - KEEP_HOURS_S, self._mark(connection, USE_ROLLED)),))

    def _add_offers(
        self, connection: sqlite3.Connection, offers: Mapping[tuple[int, str], OfferFigures], now_s: int
    ) -> None:
        rolled = self._mark(connection, OFFERS_ROLLED)
        added: dict[Place, OfferFigures] = {}
        for (start_s, offer), figures in offers.items():
            if start_s >= min(rolled, now_s - KEEP_MINUTES_S):
                merge_into(added, (MINUTE_S, start_s, offer), figures)
            if start_s < rolled:
                if start_s >= now_s - KEEP_HOURS_S:
                    merge_into(added, (HOUR_S, start_s - start_s % HOUR_S, offer), figures)
                merge_into(added, (DAY_S, start_s - start_s % DAY_S, offer), figures)
        _add_to_rows(connection, added)

    def _add_use(
        self, connection: sqlite3.Connection, use: Mapping[tuple[int, str, str, str], Use], now_s: int
    ) -> None:
        rolled = self._mark(connection, USE_ROLLED)
        rows: list[tuple[Any, ...]] = []
        for (start_s, offer, protocol, key_id), used in use.items():
            if start_s >= min(rolled, now_s - KEEP_HOURS_S):
                rows.append(use_row(HOUR_S, start_s, offer, protocol, key_id, used))
            if start_s < rolled:
                rows.append(use_row(DAY_S, start_s - start_s % DAY_S, offer, protocol, key_id, used))
        _ADD_USE.run(connection, rows)

    def _roll_offers(self, connection: sqlite3.Connection, since_s: int, until_s: int) -> None:
        wider: dict[Place, OfferFigures] = {}
        for start_s, offer, *values in connection.execute(_SELECT_MINUTES, (since_s, until_s)):
            for width_s in (HOUR_S, DAY_S):
                place = (width_s, start_s - start_s % width_s, offer)
                figures = wider.get(place)
                if figures is None:
                    figures = wider[place] = OfferFigures()
                merge_row(figures, values)
        _add_to_rows(connection, wider)
        self._set_mark(connection, OFFERS_ROLLED, until_s)

    def _mark(self, connection: sqlite3.Connection, key: str) -> int:
        known = self._marks.get(key)
        if known is None:
            known = self._marks[key] = int(connection.execute(_GET_MARK, (key,)).fetchone()[0])
        return known

    def _set_mark(self, connection: sqlite3.Connection, key: str, value: int) -> None:
        connection.execute(_SET_MARK, (str(value), key))
        self._marks[key] = value


def start_anew(connection: sqlite3.Connection, now_ms: float) -> None:
    """Delete all rows, so that the next folds make them of the records that are there, each straight into all widths. In the caller's transaction."""
    offers_until, use_until = marks_at(int(now_ms // 1000))
    connection.execute("DELETE FROM offer_rollups")
    connection.execute("DELETE FROM use_rollups")
    for key, value in ((FOLDED, 0), (OFFERS_ROLLED, offers_until), (USE_ROLLED, use_until)):
        connection.execute(_SET_MARK, (str(value), key))


def progress(connection: sqlite3.Connection) -> tuple[int, int]:
    """The rowid that is folded, and the newest one."""
    folded = int(connection.execute(_GET_MARK, (FOLDED,)).fetchone()[0])
    return folded, _newest_rowid(connection)


def marks_at(now_s: int) -> tuple[int, int]:
    """Until when minutes, and hours of use, may be rolled up: the last whole ones still wait for their last records."""
    minute = now_s - now_s % MINUTE_S - MINUTE_S
    return minute, minute - minute % HOUR_S


def _newest_rowid(connection: sqlite3.Connection) -> int:
    return connection.execute(_NEWEST).fetchone()[0] or 0


def _read_tail(connection: sqlite3.Connection, folded: int, most: int, gathered: Gathered) -> tuple[int, bool]:
    """Gather the records after a rowid, as many as go at once; the last one's rowid, and whether these were all."""
    # A copy of the store may number its rows anew (VACUUM does, https://www.sqlite.org/lang_vacuum.html), then it has fewer than the mark says.
    folded = min(folded, _newest_rowid(connection))
    count = 0
    for rowid, *values in connection.execute(_SELECT_TAIL, (folded, most)):
        gathered.see([read_record(values)])
        folded, count = rowid, count + 1
    return folded, count < most


def merge_into(places: dict[Place, OfferFigures], place: Place, figures: OfferFigures) -> None:
    """Add figures to those of a place."""
    if place not in places:
        places[place] = OfferFigures()
    places[place].merge(figures)


def _add_to_rows(connection: sqlite3.Connection, added: Mapping[Place, OfferFigures]) -> None:
    for place, before in _read(connection, added).items():
        added[place].merge(before)
    _WRITE_OFFERS.run(connection, [offer_row(*place, figures) for place, figures in added.items()])


def _read(connection: sqlite3.Connection, places: Iterable[Place]) -> dict[Place, OfferFigures]:
    """Those of the rows that are there."""
    offers: dict[tuple[int, int], list[str]] = {}
    for width_s, start_s, offer in places:
        offers.setdefault((width_s, start_s), []).append(offer)
    found: dict[Place, OfferFigures] = {}
    for (width_s, start_s), names in offers.items():
        for at in range(0, len(names), _AT_ONCE):
            some = names[at : at + _AT_ONCE]
            statement = f"{_SELECT_OFFERS}({', '.join('?' * len(some))})"
            for offer, *values in connection.execute(statement, (width_s, start_s, *some)):
                figures = found[width_s, start_s, offer] = OfferFigures()
                merge_row(figures, values)
    return found

"""Keeps the rollups on PostgreSQL, where several gateways write. In: records as they are stored. Out: rows that hold each of them once.

A batch leaves a row in `unfolded` with its records' ids, in the same transaction. Whoever deletes that row adds those records to the rollups, in one
transaction too: usually the gateway that wrote them, out of its memory; for one that died or lost its memory, any other, which reads the records again.
So nothing is lost or counted twice, whatever crashes when. What minutes and hours are is in `rollups`. See docs/decisions/0013-postgresql.md.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from trunkline.records.figures import DAY_S, HOUR_S, MINUTE_S, Gathered, OfferFigures, Use
from trunkline.records.types import Record
from trunkline.storage import postgres_statements as statements
from trunkline.storage.columns import (
    OFFER_ROLLUP_COLUMNS,
    OFFER_ROLLUP_KEY,
    OFFERS_ROLLED,
    USE_ROLLED,
    USE_ROLLUP_COLUMNS,
)
from trunkline.storage.figure_rows import merge_row, offer_row, use_row
from trunkline.storage.postgres import transaction
from trunkline.storage.rollups import KEEP_HOURS_S, KEEP_MINUTES_S, expiry, marks_at, merge_into
from trunkline.storage.rows import read_record

FOLD_LOCK = 0x7472756E6B000002
"""Shared by folds; alone with it: what changes the marks, or all rows."""
_TEND_LOCK = 0x7472756E6B000003
LEFT_AFTER_MS = 5_000
"""A row of `unfolded` that is older is folded by whoever finds it."""
_LOOK_EVERY_S = 5.0
TAIL_RECORDS = 5_000
"""Records that are read back in one fold."""
_TAIL_ROWS = 200
_LIGHT = "synchronous_commit = off"
"""A crash of the server may undo the transaction, as a whole: then its rows of `unfolded` are there again."""
_OWN = "DELETE FROM unfolded WHERE id = ANY($1::bigint[]) RETURNING id"
_LEFT = (
    "SELECT id, record_ids FROM unfolded WHERE id = ANY($1::bigint[]) "  # noqa: S608 - numbers of ours
    f"OR at_ms < {statements.NOW_MS} - {LEFT_AFTER_MS} ORDER BY id LIMIT {_TAIL_ROWS} FOR UPDATE SKIP LOCKED"
)
ANY_LEFT = f"SELECT 1 FROM unfolded WHERE at_ms < {statements.NOW_MS} - {LEFT_AFTER_MS} LIMIT 1"  # noqa: S608 - the same
_MARKS = "SELECT key, value FROM meta WHERE key = ANY($1::text[])"
_SET_MARK = "UPDATE meta SET value = $2 WHERE key = $1"
_ids = msgspec.json.Decoder(list[str])
Place = tuple[int, int, str]
"""Width, start, offer."""


class PostgresRollups:
    """Lives as long as the gateway, over all of its connections, one at a time. What records add up to is pending in memory between two folds: as only a
    row that is there can be deleted, what is remembered of a lost connection is either right or found to be wrong."""

    def __init__(self, clock: Callable[[], float], tail_records: int = TAIL_RECORDS) -> None:
        self._clock = clock
        self._tail_records = tail_records
        self._pending = Gathered()
        self._own: list[int] = []
        """The rows of `unfolded` whose records are pending."""
        self._unread: list[int] = []
        """Those that are ours, too, but whose records are not in memory."""
        self._look_at = clock()

    def see(self, mark: int, records: Sequence[Record] | None) -> None:
        """A batch was stored with this row of `unfolded`. None: which of its records were new is to be read there."""
        if records is None:
            self._unread.append(mark)
        else:
            self._own.append(mark)
            self._pending.see(records)

    @property
    def is_pending(self) -> bool:
        """There may be something to fold."""
        return bool(self._own or self._unread) or self._clock() >= self._look_at

    async def fold(self, connection: asyncpg.Connection, now_ms: float, *, look: bool = False) -> bool:
        """Put what is pending into rows, and every few seconds, or with `look`, what others left; whether that was all."""
        look = look or self._clock() >= self._look_at
        gathered, own, self._pending, self._own = self._pending, self._own, Gathered(), []
        try:
            async with transaction(connection, _LIGHT):
                await _lock_shared(connection)
                deleted = await connection.fetch(_OWN, own)
                if len(deleted) != len(own):
                    raise _Taken
                is_all = not (look or self._unread) or await self._read_left(connection, gathered)
                await _add(connection, gathered, int(now_ms // 1000))
        except _Taken:
            # Another gateway held us for dead, and folded some of it; which, the store says.
            self._unread += own
            return False
        except BaseException:
            self._unread += own
            raise
        self._unread.clear()
        if look:
            self._look_at = self._clock() + (_LOOK_EVERY_S if is_all else 0.0)
        return is_all

    async def tend(self, connection: asyncpg.Connection, now_ms: float) -> None:
        """Make minutes and hours that are over part of the wider rows, delete what has expired, fold what was left. One gateway at a time does it."""
        await self.fold(connection, now_ms, look=True)
        async with transaction(connection, _LIGHT):
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _TEND_LOCK):
                return
            await connection.execute(f"SELECT pg_advisory_xact_lock({FOLD_LOCK})")
            await _tend(connection, int(now_ms // 1000))

    async def _read_left(self, connection: asyncpg.Connection, gathered: Gathered) -> bool:
        found = await connection.fetch(_LEFT, self._unread)
        taken: list[int] = []
        ids: list[str] = []
        for id_, record_ids in found:
            if len(ids) >= self._tail_records:
                break
            taken.append(id_)
            ids += _ids.decode(record_ids)
        await connection.execute("DELETE FROM unfolded WHERE id = ANY($1::bigint[])", taken)
        gathered.see([read_record(tuple(row)) for row in await connection.fetch(statements.RECORDS_BY_ID, ids)])
        return len(taken) == len(found) and len(found) < _TAIL_ROWS


class _Taken(Exception):
    pass


async def _lock_shared(connection: asyncpg.Connection) -> None:
    # A statement of its own: the next one then sees what was committed while this one waited.
    await connection.execute(f"SELECT pg_advisory_xact_lock_shared({FOLD_LOCK})")


async def _marks(connection: asyncpg.Connection) -> tuple[int, int]:
    found = {key: int(value) for key, value in await connection.fetch(_MARKS, [OFFERS_ROLLED, USE_ROLLED])}
    return found[OFFERS_ROLLED], found[USE_ROLLED]


async def _add(connection: asyncpg.Connection, gathered: Gathered, now_s: int) -> None:
    if not gathered.use:
        return
    offers_rolled, use_rolled = await _marks(connection)
    await connection.execute(
        statements.ADD_USE,
        *statements.columns_of(_use_rows(gathered.use, use_rolled, now_s), len(USE_ROLLUP_COLUMNS)),
    )
    await _add_offers(connection, _places(gathered.offers, offers_rolled, now_s))


def _use_rows(use: Mapping[tuple[int, str, str, str], Use], rolled_s: int, now_s: int) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    days: dict[tuple[int, str, str, str], Use] = {}
    for (start_s, offer, protocol, key_id), used in use.items():
        if start_s >= min(rolled_s, now_s - KEEP_HOURS_S):
            rows.append(use_row(HOUR_S, start_s, offer, protocol, key_id, used))
        if start_s < rolled_s:
            # A statement may change a row once only, so hours of a day are added up first.
            day = (start_s - start_s % DAY_S, offer, protocol, key_id)
            days[day] = _sum(days.get(day), used)
    return rows + [use_row(DAY_S, *place, used) for place, used in days.items()]


def _sum(one: Use | None, other: Use) -> Use:
    if one is None:
        return other
    return Use(*(a + b for a, b in zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True)))


def _places(offers: Mapping[tuple[int, str], OfferFigures], rolled_s: int, now_s: int) -> dict[Place, OfferFigures]:
    added: dict[Place, OfferFigures] = {}
    for (start_s, offer), figures in offers.items():
        if start_s >= min(rolled_s, now_s - KEEP_MINUTES_S):
            merge_into(added, (MINUTE_S, start_s, offer), figures)
        if start_s < rolled_s:
            if start_s >= now_s - KEEP_HOURS_S:
                merge_into(added, (HOUR_S, start_s - start_s % HOUR_S, offer), figures)
            merge_into(added, (DAY_S, start_s - start_s % DAY_S, offer), figures)
    return added


async def _add_offers(connection: asyncpg.Connection, added: dict[Place, OfferFigures]) -> None:
    """Rows that are not there yet are inserted as they are; the others are read under a lock, merged and written."""
    if not added:
        return
    rows = [offer_row(*place, figures) for place, figures in added.items()]
    inserted = await connection.fetch(statements.NEW_OFFERS, *_offer_columns(rows))
    there = set(added) - {tuple(row) for row in inserted}
    if not there:
        return
    locked = await connection.fetch(statements.LOCK_OFFERS, *statements.columns_of(list(there), len(OFFER_ROLLUP_KEY)))
    for width_s, start_s, offer, *values in locked:
        merge_row(added[width_s, start_s, offer], values)
    await connection.execute(
        statements.SET_OFFERS, *_offer_columns([offer_row(*place, added[place]) for place in there])
    )


def _offer_columns(rows: Sequence[Sequence[Any]]) -> Iterable[Sequence[Any]]:
    return statements.columns_of(rows, len(OFFER_ROLLUP_COLUMNS))


async def _tend(connection: asyncpg.Connection, now_s: int) -> None:
    offers_until, use_until = marks_at(now_s)
    offers_rolled, use_rolled = await _marks(connection)
    if offers_rolled < offers_until:
        await _roll_offers(connection, offers_rolled, offers_until)
        await connection.execute(_SET_MARK, OFFERS_ROLLED, str(offers_until))
    if use_rolled < use_until:
        await connection.execute(statements.ROLL_USE, use_rolled, use_until)
        await connection.execute(_SET_MARK, USE_ROLLED, str(use_until))
    # Never what is not rolled up: the mark may lag where the clock was set.
    offers_rolled, use_rolled = max(offers_rolled, offers_until), max(use_rolled, use_until)
    await connection.execute(expiry("offer_rollups", MINUTE_S, "$1"), min(now_s - KEEP_MINUTES_S, offers_rolled))
    await connection.execute(expiry("offer_rollups", HOUR_S, "$1"), now_s - KEEP_HOURS_S)
    await connection.execute(expiry("use_rollups", HOUR_S, "$1"), min(now_s - KEEP_HOURS_S, use_rolled))


async def _roll_offers(connection: asyncpg.Connection, since_s: int, until_s: int) -> None:
    wider: dict[Place, OfferFigures] = {}
    for start_s, offer, *values in await connection.fetch(statements.MINUTES, since_s, until_s):
        for width_s in (HOUR_S, DAY_S):
            place = (width_s, start_s - start_s % width_s, offer)
            figures = wider.get(place)
            if figures is None:
                figures = wider[place] = OfferFigures()
            merge_row(figures, values)
    await _add_offers(connection, wider)

"""Statements for many rows at once, for PostgreSQL. In: tables and their columns. Out: SQL whose parameters are arrays, a column each.

A batch is one statement, and so one transaction and one way there and back: https://www.postgresql.org/docs/14/queries-with.html#QUERIES-WITH-MODIFYING
"""

from collections.abc import Mapping, Sequence
from typing import Any

from trunkline.storage.columns import (
    INTENT_COLUMNS,
    KEPT_COLUMNS,
    OFFER_ROLLUP_COLUMNS,
    OFFER_ROLLUP_KEY,
    RECORD_COLUMNS,
    USE_ROLLUP_COLUMNS,
    USE_ROLLUP_KEY,
)

_DOUBLES = ("received_ms", "ended_ms", "first_token_ms", "started_ms")
_FLAGS = ("streamed", "simulated", "estimated")
_PACKED = ("detail", "data", "latency", "speed", "causes")
_INTEGERS = ("status", "width_s")
_TEXTS = (
    "id", "model", "provider", "offer", "key_id", "session_id", "protocol", "outcome", "finish_reason", "answer_id", "key",
    "kind",
)  # fmt: skip
_TYPES: Mapping[str, str] = {
    **dict.fromkeys(_DOUBLES, "double precision"),
    **dict.fromkeys(_FLAGS, "boolean"),
    **dict.fromkeys(_PACKED, "bytea"),
    **dict.fromkeys(_INTEGERS, "integer"),
    **dict.fromkeys(_TEXTS, "text"),
}
_COUNTED = {**_TYPES, **dict.fromkeys(_FLAGS, "bigint")}
"""In rollups these are how many."""

# S608: all names in this file are constants of ours.


def unnest(columns: Sequence[str], first: int = 1, types: Mapping[str, str] = _TYPES) -> str:
    """`unnest($1::text[], ...)`; what has no type of its own is a bigint."""
    arrays = [f"${first + at}::{types.get(name, 'bigint')}[]" for at, name in enumerate(columns)]
    return f"unnest({', '.join(arrays)})"


def insert_rows(
    table: str,
    columns: Sequence[str],
    first: int = 1,
    extra: Mapping[str, str] | None = None,
    types: Mapping[str, str] = _TYPES,
) -> str:
    """Up to, but without, ON CONFLICT. `extra` columns have the same expression in all rows."""
    more = extra or {}
    names = ", ".join((*columns, *more))
    values = ", ".join(("source.*", *more.values()))
    return f"INSERT INTO {table} ({names}) SELECT {values} FROM {unnest(columns, first, types)} AS source ({', '.join(columns)})"  # noqa: S608


_INSERT_RECORDS = (
    f"INSERT INTO records ({', '.join(RECORD_COLUMNS)}) "  # noqa: S608
    f"SELECT {', '.join(f'source.{name} <> 0' if name in _FLAGS else f'source.{name}' for name in RECORD_COLUMNS)} "
    "FROM unnest($1::record_row[]) AS source"
)
NOW_MS = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"


def batch(*, records: bool, intents: bool, ended: bool, kept: bool, forgotten: bool) -> str:
    """A batch of which these parts are not empty. Its parameters: the rows of records; the columns of intents and the gateway; ended ids; the columns of
    what is kept; forgotten keys. It tells the row of `unfolded` that it made, and how many records were new."""
    parts: list[str] = []
    used = 0
    if records:
        parts += [
            f"new AS ({_INSERT_RECORDS} ON CONFLICT DO NOTHING RETURNING id)",
            "mark AS (INSERT INTO unfolded (at_ms, record_ids) "  # noqa: S608
            f"SELECT {NOW_MS}, json_agg(id)::text FROM new HAVING count(*) > 0 RETURNING id)",
        ]
        used += 1
    if intents:
        gateway = {"gateway": f"${used + len(INTENT_COLUMNS) + 1}::text"}
        parts.append(
            f"began AS ({insert_rows('intents', INTENT_COLUMNS, used + 1, gateway)} "
            "ON CONFLICT (id) DO UPDATE SET started_ms = least(intents.started_ms, excluded.started_ms), "
            "offer = excluded.offer, provider = excluded.provider, gateway = excluded.gateway, "
            "reserved_pico_usd = greatest(intents.reserved_pico_usd, excluded.reserved_pico_usd))"
        )
        used += len(INTENT_COLUMNS) + 1
    if ended:
        parts.append(f"ended AS (DELETE FROM intents WHERE id = ANY(${used + 1}::text[]))")  # noqa: S608
        used += 1
    if kept:
        # What another gateway kept meanwhile under this key may be newer than what comes out of a spool.
        parts.append(
            f"kept_now AS ({insert_rows('kept', KEPT_COLUMNS, used + 1)} ON CONFLICT (key) DO UPDATE SET "
            "kind = excluded.kind, key_id = excluded.key_id, created_ms = excluded.created_ms, "
            "expires_ms = excluded.expires_ms, data = excluded.data WHERE kept.created_ms <= excluded.created_ms)"
        )
        used += len(KEPT_COLUMNS)
    if forgotten:
        parts.append(f"forgotten AS (DELETE FROM kept WHERE key = ANY(${used + 1}::text[]))")  # noqa: S608
    told = "(SELECT id FROM mark), (SELECT count(*) FROM new)" if records else "NULL::bigint, 0"
    return f"WITH {', '.join(parts)} SELECT {told}"


INTENTS_OF = f"SELECT {', '.join(INTENT_COLUMNS)} FROM intents WHERE gateway = $1 ORDER BY started_ms, id"  # noqa: S608
RECORDS_BY_ID = f"SELECT {', '.join(RECORD_COLUMNS)} FROM records WHERE id = ANY($1::text[])"  # noqa: S608
PURGE_KEPT = (
    "DELETE FROM kept WHERE key IN (SELECT key FROM kept WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2 "
    "FOR UPDATE SKIP LOCKED)"
)

_OFFER_VALUES = OFFER_ROLLUP_COLUMNS[len(OFFER_ROLLUP_KEY) :]
_USE_SUMS = USE_ROLLUP_COLUMNS[len(USE_ROLLUP_KEY) :]
# In the order of their keys, so that gateways which add to the same rows wait for each other and never around a circle.
ADD_USE = (
    f"{insert_rows('use_rollups', USE_ROLLUP_COLUMNS, types=_COUNTED)} ORDER BY {', '.join(USE_ROLLUP_KEY)} "
    f"ON CONFLICT ({', '.join(USE_ROLLUP_KEY)}) DO UPDATE SET "
    + ", ".join(f"{name} = use_rollups.{name} + excluded.{name}" for name in _USE_SUMS)
)
NEW_OFFERS = (
    f"{insert_rows('offer_rollups', OFFER_ROLLUP_COLUMNS)} ORDER BY {', '.join(OFFER_ROLLUP_KEY)} "
    f"ON CONFLICT DO NOTHING RETURNING {', '.join(OFFER_ROLLUP_KEY)}"
)
LOCK_OFFERS = (
    f"SELECT {', '.join(f'there.{name}' for name in OFFER_ROLLUP_COLUMNS)} FROM offer_rollups AS there "  # noqa: S608
    f"JOIN {unnest(OFFER_ROLLUP_KEY)} AS asked ({', '.join(OFFER_ROLLUP_KEY)}) USING ({', '.join(OFFER_ROLLUP_KEY)}) "
    f"ORDER BY {', '.join(f'there.{name}' for name in OFFER_ROLLUP_KEY)} FOR UPDATE OF there"
)
SET_OFFERS = (
    f"UPDATE offer_rollups AS there SET {', '.join(f'{name} = source.{name}' for name in _OFFER_VALUES)} "  # noqa: S608
    f"FROM {unnest(OFFER_ROLLUP_COLUMNS)} AS source ({', '.join(OFFER_ROLLUP_COLUMNS)}) "
    f"WHERE {' AND '.join(f'there.{name} = source.{name}' for name in OFFER_ROLLUP_KEY)}"
)
MINUTES = (
    f"SELECT start_s, offer, {', '.join(_OFFER_VALUES)} FROM offer_rollups "  # noqa: S608
    "WHERE width_s = 60 AND start_s >= $1 AND start_s < $2"
)
ROLL_USE = (
    f"INSERT INTO use_rollups ({', '.join(USE_ROLLUP_COLUMNS)}) "  # noqa: S608
    "SELECT 86400, start_s - start_s % 86400, model, provider, protocol, key_id, "
    f"{', '.join(f'sum({name})::bigint' for name in _USE_SUMS)} FROM use_rollups "
    "WHERE width_s = 3600 AND start_s >= $1 AND start_s < $2 "
    "GROUP BY start_s - start_s % 86400, model, provider, protocol, key_id "
    f"ON CONFLICT ({', '.join(USE_ROLLUP_KEY)}) DO UPDATE SET "
    + ", ".join(f"{name} = use_rollups.{name} + excluded.{name}" for name in _USE_SUMS)
)


def columns_of(rows: Sequence[Sequence[Any]], count: int) -> list[Sequence[Any]]:
    """Rows as the arrays that `unnest` takes."""
    return list(zip(*rows, strict=True)) if rows else [()] * count

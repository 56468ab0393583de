"""What was spent in the time of a budget, by which keys: the sum over all records of that time. In: a budget, a window. Out: SQL, the same on both stores.

Without SQLAlchemy, for the data plane too. The sum is made of rollups, of the records that are not in them yet, and less those that were received before
the window and ended in it: rollups count by the end of a request, budgets by its beginning.
"""

from collections.abc import Callable, Sequence
from typing import Any

from trunkline.accounts.budgets import Window
from trunkline.accounts.types import Budget
from trunkline.records.figures import DAY_S, HOUR_S
from trunkline.storage.columns import USE_ROLLED
from trunkline.storage.tails import SQLITE_TAIL

Fetch = Callable[[str], Sequence[Sequence[Any]]]
"""Runs a statement without parameters."""

_SCOPES = {"organisation": "org_id", "project": "project_id", "member": "member_id", "key": "id"}
_LONGEST_MS = 2 * 3_600_000
"""A request that takes longer counts in the period in which it ended."""
_RECENT_MS = 3_600_000


def _mark(key: str) -> str:
    return f"(SELECT CAST(value AS BIGINT) FROM meta WHERE key = '{key}')"  # noqa: S608 - names of ours


def spent_of(budget: Budget, window: Window, tail: str = SQLITE_TAIL) -> str:
    """One row with one column: pico-USD. `tail` says which records the rollups do not have."""
    # All that goes in is a constant, a number, or quoted.
    keys, start_s, start_ms = _keys(budget), window.start_ms // 1000, window.start_ms
    wide = f"width_s = {DAY_S} AND start_s >= {start_s}"
    narrow = f"width_s = {HOUR_S} AND start_s >= {start_s} AND start_s >= {_mark(USE_ROLLED)}"
    before_s = before_ms = ""
    if window.end_ms is not None:
        before_s = f" AND start_s < {window.end_ms // 1000}"
        before_ms = f" AND received_ms < {window.end_ms}"
    parts = [
        f"SELECT cost_pico_usd FROM use_rollups WHERE {wide}{before_s} AND {keys}",  # noqa: S608
        f"SELECT cost_pico_usd FROM use_rollups WHERE {narrow}{before_s} AND {keys}",  # noqa: S608
        f"SELECT cost_pico_usd FROM records WHERE {tail} AND received_ms >= {start_ms}{before_ms} AND {keys}",  # noqa: S608
    ]
    if start_ms:
        parts.append(_crossing("-cost_pico_usd", start_ms, tail, keys))
    if window.end_ms is not None:
        parts.append(_crossing("cost_pico_usd", window.end_ms, tail, keys))
    return f"SELECT COALESCE(SUM(cost_pico_usd), 0) FROM ({' UNION ALL '.join(parts)}) AS spent"  # noqa: S608


def held_of(budget: Budget) -> str:
    """One row with one column: what requests that have been sent and have not ended may cost at most, as far as the store knows of them: those of
    the last moments come with the next batch."""
    return f"SELECT COALESCE(SUM(reserved_pico_usd), 0) FROM intents WHERE {_keys(budget)}"  # noqa: S608


def recent_of(budget: Budget, now_ms: float, tail: str = SQLITE_TAIL) -> str:
    """Ids of records that `spent_of` counts and that were received within the last hour: they must not be counted again."""
    del tail
    return f"SELECT id FROM records WHERE received_ms >= {int(now_ms - _RECENT_MS)} AND {_keys(budget)}"  # noqa: S608


def funded(org_id: str) -> str:
    """One row with one column: all that was ever put into the wallets of an organisation, less what was taken back or has expired."""
    return f"SELECT -amount_pico_usd FROM balances WHERE account = {_text(f'funding:{org_id}')}"  # noqa: S608


def charged(org_id: str) -> str:
    """One row with one column, or none: all that was ever spent from them."""
    return f"SELECT amount_pico_usd FROM balances WHERE account = {_text(f'spent:{org_id}')}"  # noqa: S608


def recently_charged(org_id: str, now_ms: float) -> str:
    """Ids, as `recent_of`."""
    keys = f"key_id IN (SELECT id FROM api_keys WHERE org_id = {_text(org_id)})"  # noqa: S608
    return f"SELECT id FROM records WHERE received_ms >= {int(now_ms - _RECENT_MS)} AND {keys}"  # noqa: S608


def _crossing(amount: str, edge_ms: int, tail: str, keys: str) -> str:
    """Records that the rollups have beyond an edge, and that began before it."""
    began = f"received_ms >= {edge_ms - _LONGEST_MS} AND received_ms < {edge_ms} AND ended_ms >= {edge_ms}"
    return f"SELECT {amount} AS cost_pico_usd FROM records WHERE {began} AND NOT ({tail}) AND {keys}"  # noqa: S608


def _keys(budget: Budget) -> str:
    if budget.scope == "key":
        id_ = _text(budget.scope_id)
        return f"key_id IN (SELECT id FROM api_keys WHERE id = {id_} OR rotated_from = {id_})"  # noqa: S608 - quoted
    column = _SCOPES[budget.scope]
    mine = f"org_id = {_text(budget.org_id)} AND {column} = {_text(budget.scope_id)}"
    return f"key_id IN (SELECT id FROM api_keys WHERE {mine})"  # noqa: S608 - quoted


def _text(value: str) -> str:
    """A literal: both stores take everything between quotes as it is (`standard_conforming_strings`)."""
    return "'" + value.replace("'", "''").replace("\0", "") + "'"

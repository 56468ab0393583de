"""What keys may do and spend, for the data plane: keys, budgets, prepaid organisations. In: the store's URL. Out: `Followed`, whenever it has changed.

And what was spent of a budget, or of an organisation's credits, so far: for `SharedState.fill`.
"""

import threading
from collections.abc import Sequence
from typing import Any

import msgspec

from trunkline.accounts.budgets import window
from trunkline.accounts.keys import ApiKey
from trunkline.accounts.types import Budget
from trunkline.storage import spending
from trunkline.storage.budget_rows import read_budget
from trunkline.storage.columns import BUDGET_COLUMNS, KEY_COLUMNS, KEYS_REVISION
from trunkline.storage.driver_reader import DriverReader
from trunkline.storage.key_rows import read_key

_REVISION = f"SELECT value FROM meta WHERE key = '{KEYS_REVISION}'"  # noqa: S608 - names of ours, here and below
_KEYS = f"SELECT {', '.join(KEY_COLUMNS)} FROM api_keys WHERE revoked_ms IS NULL"  # noqa: S608
_BUDGETS = f"SELECT {', '.join(BUDGET_COLUMNS)} FROM budgets WHERE ended_ms IS NULL ORDER BY created_ms, id"  # noqa: S608
_PREPAID = (
    "SELECT organisations.id, COALESCE(-balances.amount_pico_usd, 0) FROM organisations "
    "LEFT JOIN balances ON balances.account = 'funding:' || organisations.id WHERE organisations.prepaid"
)


class Followed(msgspec.Struct, frozen=True):
    """What holds at a moment."""

    keys: tuple[ApiKey, ...] = ()
    budgets: tuple[Budget, ...] = ()
    prepaid: dict[str, int] = {}
    """Organisation -> all that was ever put in and not taken out again, pico-USD."""


class TermsFeed:
    """Lives as long as the gateway; may be polled by any thread."""

    def __init__(self, url: str) -> None:
        self._reader = DriverReader(url)
        self._revision = ""
        self._asking = threading.Lock()

    @property
    def is_remote(self) -> bool:
        """A poll waits for the network: not for an event loop."""
        return not self._reader.is_sqlite

    def poll(self) -> Followed | None:
        """All of it if there was a change since the last poll (the first one always tells), else None. StoreError when the store cannot be read."""
        with self._asking:
            return self._poll()

    def _poll(self) -> Followed | None:
        fetch = self._reader.fetch
        # The revision first: a change in between is then told once more, never missed.
        revision = fetch(_REVISION)[0][0]
        if revision == self._revision:
            return None
        found = Followed(
            tuple([read_key(_named(KEY_COLUMNS, row)) for row in fetch(_KEYS)]),
            tuple([read_budget(_named(BUDGET_COLUMNS, row)) for row in fetch(_BUDGETS)]),
            {row[0]: int(row[1]) for row in fetch(_PREPAID)},
        )
        self._revision = revision
        return found

    def close(self) -> None:
        self._reader.close()


class SpendingReader:
    """What was spent so far. Lives as long as the gateway; used by one thread at a time."""

    def __init__(self, url: str) -> None:
        self._reader = DriverReader(url)

    def of_budget(self, budget: Budget, at_ms: float, now_ms: float) -> tuple[int, list[str]]:
        """In the period of a moment; with the ids of what was received lately and is in the sum. StoreError when the store cannot be read."""
        reader = self._reader
        sum_of = spending.spent_of(budget, window(budget.period, at_ms), reader.tail)
        return self._consistent(sum_of, spending.recent_of(budget, now_ms))

    def of_credits(self, org_id: str, now_ms: float) -> tuple[int, list[str]]:
        """From an organisation's wallets."""
        return self._consistent(spending.charged(org_id), spending.recently_charged(org_id, now_ms))

    def _consistent(self, sum_of: str, ids_of: str) -> tuple[int, list[str]]:
        """Both of one view of the store."""
        rows = self._reader.fetch(
            # Both were made by `spending`.
            f"SELECT 0 AS kind, ({sum_of}) AS spent, '' AS id UNION ALL SELECT 1, 0, id FROM ({ids_of}) AS recent"  # noqa: S608
        )
        spent = next((int(row[1] or 0) for row in rows if row[0] == 0), 0)
        return spent, [row[2] for row in rows if row[0] == 1]

    def close(self) -> None:
        self._reader.close()


def _named(columns: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(columns, row, strict=True))

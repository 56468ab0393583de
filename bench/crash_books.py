"""What the books of a cluster must say after a crash. In: what callers saw and the simulated provider counted. Out: what is wrong, in words.

Records, figures, ledger and budgets are read from PostgreSQL and Redis, each as one state; the ledger is also proved by `storage.ledger_check`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import asyncpg
import msgspec

from trunkline.errors import StoreError
from trunkline.storage.ledger_check import check
from trunkline.storage.queries import Store

GRACE_S = 0.1
HOUR_S = 3_600
"""`$1` is how the sessions of a round begin."""
RECORDS = (
    "SELECT id, session_id, key_id, outcome, cost_pico_usd, received_ms FROM records "
    "WHERE session_id LIKE $1 OR outcome = 'interrupted'"
)
SPENT = (
    "SELECT api_keys.org_id, sum(records.cost_pico_usd) AS pico_usd FROM records JOIN api_keys ON api_keys.id = records.key_id "
    "GROUP BY api_keys.org_id"
)
LEDGER = "SELECT substr(account, 7) AS org_id, amount_pico_usd AS pico_usd FROM balances WHERE account LIKE 'spent:%'"
FIGURES = (
    "SELECT api_keys.org_id, sum(use_rollups.cost_pico_usd) AS pico_usd FROM use_rollups JOIN api_keys "
    "ON api_keys.id = use_rollups.key_id WHERE width_s = $1 GROUP BY api_keys.org_id"
)
BUDGETS = "SELECT budgets.id, (SELECT coalesce(sum(cost_pico_usd), 0) FROM records WHERE key_id = budgets.scope_id) AS pico_usd FROM budgets"


class Seen(msgspec.Struct):
    """What the callers of a round saw. Times are of one clock, Unix seconds."""

    begun: dict[str, float] = {}
    """The caller's word -> when it asked."""
    ended: dict[str, float] = {}
    """Of answers with status 200: when the caller had it."""
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    """What came instead, and how often."""
    is_over: bool = False
    killed_at: float = 0.0
    dead_at: float = 0.0
    """The kill was begun, and was done."""
    mended_at: float = 0.0

    @property
    def answered_after_s(self) -> float | None:
        """From the mend to the next answer that was asked for after it."""
        times = [at for word, at in self.ended.items() if self.begun[word] > self.mended_at]
        return min(times) - self.mended_at if times else None

    @property
    def promised(self) -> list[str]:
        """Those whose records must be there: all but what was under way, or ended less than `GRACE_S` before, when the kill came."""
        return [
            word for word, at in self.ended.items() if at < self.killed_at - GRACE_S or self.begun[word] > self.dead_at
        ]


class Counted(Protocol):
    """The simulated provider."""

    counted: dict[str, list[int]]
    """The caller's word -> what each call for it costs, in pico-USD."""
    called: dict[str, float]
    """The caller's word -> when the first call for it came."""


class Books(msgspec.Struct, frozen=True):
    """What was read for a round."""

    records: Sequence[Mapping[str, Any]]
    """Those with a caller's word."""
    interrupted: Sequence[Mapping[str, Any]]
    """Those of this round."""
    held: Mapping[str, int]
    """Request -> what Redis held for it when a kill came, in pico-USD; of all rounds so far. They ask for the same, so it is one sum."""
    by_org: Mapping[str, Mapping[str, int]]
    """`records`, `ledger`, `figures` -> organisation -> what it spent, in pico-USD."""
    budgets: Mapping[str, int]
    """Budget -> the sum of its records."""
    shared: Mapping[str, tuple[int, int]]
    """Budget -> what Redis says is spent and held; without those that nobody asked for since Redis was empty."""
    unrecorded: int
    """What calls cost that ended within `GRACE_S` before a kill and have no record, in pico-USD, since Redis was empty: it may count them."""

    def words(self, seen: Seen, provider: Counted, prefix: str) -> str:
        """A line for people."""
        calls = sum(len(costs) for word, costs in provider.counted.items() if word.startswith(prefix))
        return (
            f"{len(seen.begun)} requests, {len(seen.ended)} answered, {sum(seen.refused.values())} refused, {calls} calls, "
            f"{len(self.records)} records, {len(self.interrupted)} interrupted"
        )


def without_record(books: Books, provider: Counted, prefix: str) -> int:
    """What the calls of a round cost that have none, in pico-USD."""
    with_record = {row["session_id"] for row in books.records}
    return sum(
        sum(costs) for word, costs in provider.counted.items() if word.startswith(prefix) and word not in with_record
    )


def faults(books: Books, seen: Seen, provider: Counted, prefix: str) -> list[str]:
    """What does not agree."""
    return [*_of_answers(books, seen, provider), *_of_interrupted(books, seen, provider, prefix), *_of_sums(books)]


def _of_answers(books: Books, seen: Seen, provider: Counted) -> list[str]:
    times = Counter(row["session_id"] for row in books.records)
    ok = [row for row in books.records if row["outcome"] == "ok"]
    must = seen.promised
    lost = [f"{word} at {seen.ended[word] - seen.killed_at:+.3f} s" for word in must if not times[word]]
    wrong = [
        row["session_id"] for row in ok if row["cost_pico_usd"] != sum(provider.counted.get(row["session_id"], []))
    ]
    twice = [word for word, count in times.items() if count > 1]
    checks = (
        (must, "no answer ended: nothing was tried"),
        (not lost, f"{len(lost)} of {len(must)} answers have no record: {lost[:5]}"),
        (not wrong, f"{len(wrong)} bills are not what the provider counted: {wrong[:5]}"),
        (not twice, f"{len(twice)} requests are there twice: {twice[:5]}"),
    )
    return [words for held, words in checks if not held]


def _of_interrupted(books: Books, seen: Seen, provider: Counted, prefix: str) -> list[str]:
    """A call that was begun in time and has no record of its own is an interrupted one; nothing else is; none is charged more than was held for it."""
    with_record = {row["session_id"] for row in books.records}
    without = {word: at for word, at in provider.called.items() if word.startswith(prefix) and word not in with_record}
    least = [word for word, at in without.items() if at < seen.killed_at - GRACE_S]
    most = sum(word not in with_record for word in seen.begun)
    count = len(books.interrupted)
    # One that was settled, and whose gateway died before its record was stored, is not among those that are held.
    held = max(books.held.values(), default=0)
    beyond = [
        row["id"] for row in books.interrupted if not 0 <= row["cost_pico_usd"] <= books.held.get(row["id"], held)
    ]
    checks = (
        (count >= len(least), f"{len(least)} calls have no record, and {count} are there as interrupted: {least[:5]}"),
        (count <= most, f"{count} interrupted records for {most} requests without another"),
        (len(set(books.held.values())) <= 1, f"requests that ask for the same hold {set(books.held.values())}"),
        (not beyond, f"{len(beyond)} interrupted calls are charged more than was held for them: {beyond[:5]}"),
    )
    return [words for held, words in checks if not held]


def _of_sums(books: Books) -> list[str]:
    spent = books.by_org["records"]
    found = [
        f"of {org} the {kind} say {sums.get(org, 0)}, its records {spent.get(org, 0)}"
        for kind, sums in books.by_org.items()
        for org in {*spent, *sums}
        if sums.get(org, 0) != spent.get(org, 0)
    ]
    for id_, (of_redis, held) in books.shared.items():
        if not 0 <= of_redis - books.budgets[id_] <= books.unrecorded:
            found.append(f"budget {id_} has {of_redis} spent, its records {books.budgets[id_]}")
        if held:
            found.append(f"budget {id_} holds {held}, and nothing is under way")
    return found


async def read(
    connection: asyncpg.Connection,
    prefix: str,
    known: set[str],
    held: Mapping[str, int],
    shared: Mapping[str, tuple[int, int]],
    unrecorded: int,
) -> Books:
    """In one snapshot. `known` are the interrupted records of earlier rounds."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        rows = await connection.fetch(RECORDS, f"{prefix}%")
        by_org = {
            "records": _sums(await connection.fetch(SPENT)),
            "ledger": _sums(await connection.fetch(LEDGER)),
            "figures": _sums(await connection.fetch(FIGURES, HOUR_S)),
        }
        budgets = {row["id"]: int(row["pico_usd"]) for row in await connection.fetch(BUDGETS)}
    interrupted = [row for row in rows if row["outcome"] == "interrupted" and row["id"] not in known]
    records = [row for row in rows if row["outcome"] != "interrupted"]
    return Books(records, interrupted, held, by_org, budgets, shared, unrecorded)


async def ledger_faults(url: str) -> list[str]:
    """As `trunkline ledger check` finds them."""
    try:
        store = await Store.open(url)
        try:
            return list((await check(store)).faults)
        finally:
            await store.close()
    except StoreError as error:
        return [f"the ledger cannot be read: {error}"]


def _sums(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {row["org_id"]: int(row["pico_usd"]) for row in rows}

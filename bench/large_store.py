"""A store of weeks of traffic, quickly: one day's records, made and folded as the gateway does it, then copied as earlier days by SQLite itself.

In: a path of a store that has been migrated, the offers, how many records. Out: the store, filled; a copied record's `detail` (attempts, bill) is that of
its original.
"""

import random
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from trunkline.catalog.types import Offer
from trunkline.ir.usage import Usage
from trunkline.pricing.types import Cost, CostLine
from trunkline.records.types import Attempt, Candidate, Record
from trunkline.storage import migrate
from trunkline.storage.answer_index import AnswerIndex
from trunkline.storage.columns import (
    FOLDED,
    OFFER_ROLLUP_COLUMNS,
    OFFERS_ROLLED,
    RECORD_COLUMNS,
    USE_ROLLED,
    USE_ROLLUP_COLUMNS,
)
from trunkline.storage.sqlite_batch import SqliteBatch

DAYS = 90
DAY_S = 86_400
KEYS = 100
OFFERS_OF_A_KEY = 8
PROTOCOLS = ("openai.chat", "openai.chat", "anthropic.messages", "gemini")
FINISHES = ("stop", "stop", "stop", "tool_calls", "length")
BATCH = 5_000


def fill(path: Path, offers: Sequence[Offer], records: int) -> None:
    """`records` of them over `DAYS` days until now, the oldest first, and what they add up to."""
    day = path.with_name("day.db")
    midnight_s = int(time.time()) // DAY_S * DAY_S
    _make_day(day, list(one_day(offers, records // DAYS, midnight_s - DAY_S)))
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.execute("PRAGMA synchronous = OFF")
        store.execute("ATTACH ? AS day", (str(day),))
        for back in range(DAYS - 2, -2, -1):
            _copy_day(store, back)
        # The day that has just begun goes as far as now.
        store.execute("DELETE FROM records WHERE ended_ms > ?", (time.time() * 1000,))
        for table in ("offer_rollups", "use_rollups"):
            store.execute(f"DELETE FROM {table} WHERE start_s > ?", (time.time(),))
        _mark(store)
        _index_answers(store)
        store.execute("ANALYZE")
    day.unlink()


def one_day(offers: Sequence[Offer], count: int, start_s: int) -> Iterator[Record]:
    """Requests of a day in the order of their ends: few offers have most of them, some fail. A key has one protocol and a few offers."""
    numbers = random.Random(7)
    weights = [1 / (rank + 1) for rank in range(len(offers))]
    keys = [
        (f"key_{number}", numbers.choice(PROTOCOLS), numbers.choices(offers, weights, k=OFFERS_OF_A_KEY))
        for number in range(KEYS)
    ]
    ends = sorted(start_s * 1000 + numbers.random() * DAY_S * 1000 for _ in range(count))
    for number, ended_ms in enumerate(ends):
        key_id, protocol, liked = numbers.choice(keys)
        yield msgspec.structs.replace(
            _record(number, ended_ms, numbers.choice(liked), numbers), key_id=key_id, protocol=protocol
        )


def _record(number: int, ended_ms: float, offer: Offer, numbers: random.Random) -> Record:
    name = f"{offer.model}:{offer.provider}"
    first_ms, all_ms = numbers.lognormvariate(6.5, 0.6), numbers.lognormvariate(8.5, 0.8)
    started_ms = ended_ms - first_ms - all_ms
    usage = Usage(
        input_tokens=numbers.randrange(4000), cache_read_tokens=numbers.choice([0, 0, 1024, 4096]),
        output_tokens=numbers.randrange(1, 900), reasoning_tokens=numbers.choice([0, 0, 128]),
    )  # fmt: skip
    pico = (usage.input_tokens * 1_100_000) + usage.output_tokens * 4_400_000
    line = CostLine("completion", usage.output_tokens, "perMTokens", "4.40", usage.output_tokens * 4_400_000)
    cost = Cost((line,), pico)
    attempt = Attempt(
        offer.provider, name, offer.upstream_model, started_ms, ended_ms, status=200, first_token_ms=first_ms,
        last_token_ms=first_ms + all_ms, usage=usage, cost=cost,
    )  # fmt: skip
    outcome = numbers.choices(["ok", "error", "client_left"], [96, 3, 1])[0]
    if outcome == "error":
        status = numbers.choice([500, 429])
        attempt = Attempt(offer.provider, name, offer.upstream_model, started_ms, ended_ms, "status", status, "busy")
        usage, cost, pico = Usage(), Cost(), 0
    return Record(
        id=f"req_{number:08}", received_ms=started_ms, ended_ms=ended_ms, outcome=outcome, status=attempt.status,
        protocol="", model=offer.model, asked_model=offer.model, offer=name, provider=offer.provider,
        answer_id=f"chatcmpl-{number}", streamed=True, user_agent="OpenAI/Python",
        session_id=f"s{number % 997}", app_title="bench", first_token_ms=first_ms if outcome == "ok" else None,
        finish_reason=numbers.choice(FINISHES) if outcome == "ok" else "", usage=usage, cost_pico_usd=pico, cost=cost,
        request_bytes=2345, answer_bytes=6789, attempts=(attempt,), plan=(Candidate(name, 0, "fastest"),),
    )  # fmt: skip


def _make_day(path: Path, records: list[Record]) -> None:
    path.unlink(missing_ok=True)
    migrate.upgrade(f"sqlite:///{path}")
    with closing(SqliteBatch(path)) as batch:
        for start in range(0, len(records), BATCH):
            batch.write(records[start : start + BATCH], (), ())
            batch.fold(time.time() * 1000)
        batch.purge(time.time() * 1000, 0)


def _copy_day(store: sqlite3.Connection, back: int) -> None:
    """What the day is, so many days earlier."""
    shift_s = back * DAY_S
    moved = {
        "id": f"'req_{DAYS - back:03}' || substr(id, 5)",
        "answer_id": f"answer_id || '-{back}'",
        "received_ms": f"received_ms - {shift_s * 1000}",
        "ended_ms": f"ended_ms - {shift_s * 1000}",
        "start_s": f"start_s - {shift_s}",
    }
    minutes = "WHERE width_s > 60" if back > 0 else ""
    store.execute("BEGIN")
    for table, columns, which in (
        ("records", RECORD_COLUMNS, "ORDER BY rowid"),
        ("offer_rollups", OFFER_ROLLUP_COLUMNS, minutes),
        ("use_rollups", USE_ROLLUP_COLUMNS, ""),
    ):
        values = ", ".join(moved.get(name, name) for name in columns)
        store.execute(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM day.{table} {which}")
    store.execute("COMMIT")


def _index_answers(store: sqlite3.Connection) -> None:
    """As the writer would do it, in smaller pieces."""
    index, is_all = AnswerIndex(tail_rows=BATCH), False
    while not is_all:
        is_all = index.fold(store)
        index.folded()


def _mark(store: sqlite3.Connection) -> None:
    """The rollups hold all that is there."""
    for key in (OFFERS_ROLLED, USE_ROLLED):
        store.execute("UPDATE meta SET value = (SELECT value FROM day.meta WHERE key = ?) WHERE key = ?", (key, key))
    store.execute("UPDATE meta SET value = (SELECT MAX(rowid) FROM records) WHERE key = ?", (FOLDED,))

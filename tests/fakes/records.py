"""Records, intents and stores to test with. In: a number. Out: always the same record for it, with every kind of field set."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec

from trunkline.ir.usage import Usage
from trunkline.pricing.types import Cost, CostLine
from trunkline.records.types import Attempt, Candidate, Intent, Loss, Record

START_MS = 1_767_225_600_000.125
_USAGE = Usage(input_tokens=100, cache_read_tokens=7, output_tokens=50, reasoning_tokens=20)
_COST = Cost((CostLine("prompt", 100, "perMTokens", "1.10", 110_000_000),), 110_000_000, ("audio",))


def a_record(number: int, **changes: object) -> Record:
    """The record of request `number`: a failed attempt at azure, then an answer from openai."""
    started_ms = START_MS + number
    failed = Attempt("azure", "openai/o4-mini:azure", "o4", started_ms, started_ms + 5, "status", 500, "boom")
    answered = Attempt(
        "openai", "openai/o4-mini:openai", "o4-mini", started_ms + 5, started_ms + 905.5, status=200,
        first_token_ms=300.25, last_token_ms=800.75, usage=_USAGE, cost=_COST,
        raw_usage=msgspec.Raw(b'{"prompt_tokens": 107}'), upstream_request_id="up_1", reused_connection=True,
    )  # fmt: skip
    record = Record(
        id=f"req_{number:06}", received_ms=started_ms, ended_ms=started_ms + 906.5, outcome="ok", status=200,
        protocol="openai.chat", model="openai/o4-mini", asked_model="o4-mini", offer="openai/o4-mini:openai",
        provider="openai", answer_id=f"chatcmpl-{number}", streamed=True, key_id="key_1", user_agent="OpenAI/Python",
        first_token_ms=306.0, finish_reason="stop", usage=_USAGE, cost_pico_usd=110_000_000, cost=_COST,
        price_version="v1", request_bytes=1234, answer_bytes=5678, attempts=(failed, answered),
        plan=(Candidate("openai/o4-mini:azure", 0, "unmeasured"),), losses=(Loss("top_k", "dropped", "no offer"),),
        notes=("observer failed: boom",),
    )  # fmt: skip
    return msgspec.structs.replace(record, **changes)


def an_intent(number: int, **changes: object) -> Intent:
    """The intent of the first attempt of request `number`."""
    intent = Intent(
        id=f"req_{number:06}", started_ms=START_MS + number, protocol="openai.chat", model="openai/o4-mini",
        offer="openai/o4-mini:azure", provider="azure", key_id="key_1", reserved_pico_usd=2_500_000_000_000,
    )  # fmt: skip
    return msgspec.structs.replace(intent, **changes)


def count(path: Path, table: str) -> int:
    """The rows of a table, read by a connection of its own."""
    connection = sqlite3.connect(path)
    try:
        found: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    finally:
        connection.close()
    return found


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread does; fails after a time that no healthy run needs."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the thread that it waits for knows nothing of this loop
            await asyncio.sleep(0.002)

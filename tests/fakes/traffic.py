"""Records of days of traffic to test figures with. In: a seed. Out: records of several offers, keys and protocols, some of them failed."""

import random

import msgspec

from tests.fakes.records import a_record
from trunkline.ir.usage import Usage
from trunkline.pricing.types import Cost
from trunkline.records.types import Attempt, Record

NOON_MS = 1_767_268_800_000.0
"""2026-01-01 12:00 UTC."""


def traffic(count: int, *, over_s: float, until_ms: float = NOON_MS, seed: int = 1) -> list[Record]:
    """In the order of their ends, the last one near `until_ms`."""
    numbers = random.Random(seed)
    ends = sorted(until_ms - numbers.random() * over_s * 1000 for _ in range(count))
    return [_record(number, ended_ms, numbers) for number, ended_ms in enumerate(ends)]


def _record(number: int, ended_ms: float, numbers: random.Random) -> Record:
    model = numbers.choice(["acme/alpha", "acme/beta", "other/gamma"])
    attempts = tuple(_attempt(model, ended_ms, numbers) for _ in range(numbers.choice([1, 1, 1, 2])))
    last = attempts[-1]
    return msgspec.structs.replace(
        a_record(number),
        received_ms=ended_ms - 1500, ended_ms=ended_ms, model=model, offer=last.offer, provider=last.provider,
        outcome="ok" if last.outcome == "ok" else "error", attempts=attempts,
        cost_pico_usd=sum(attempt.cost.total_pico_usd for attempt in attempts),
        key_id=numbers.choice(["key_1", "key_2"]), protocol=numbers.choice(["openai.chat", "anthropic.messages"]),
    )  # fmt: skip


def _attempt(model: str, ended_ms: float, numbers: random.Random) -> Attempt:
    provider = numbers.choice(["acme", "azure"])
    started_ms = ended_ms - 1400
    attempt = Attempt(provider, f"{model}:{provider}", "m", started_ms, ended_ms)
    outcome, status = numbers.choice([("ok", 200)] * 8 + [("status", 500), ("status", 429), ("timeout_idle", 200)])
    attempt = msgspec.structs.replace(attempt, outcome=outcome, status=status)
    if outcome != "ok":
        return attempt
    first_ms = numbers.lognormvariate(5, 0.5)
    usage = Usage(
        input_tokens=numbers.randrange(1000), cache_read_tokens=numbers.randrange(500), cache_write_5m_tokens=numbers.randrange(50),
        output_tokens=numbers.randrange(1, 500),
    )  # fmt: skip
    cost = Cost(total_pico_usd=numbers.randrange(10**9))
    return msgspec.structs.replace(
        attempt, first_token_ms=first_ms, last_token_ms=first_ms + 1000, usage=usage, cost=cost
    )

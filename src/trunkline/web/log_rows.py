"""A record as a row of the logs shows it. In: a `Record`. Out: a `LogRow`; figures that are not known are None."""

from collections.abc import Sequence

import msgspec

from trunkline.pricing.types import CostLine
from trunkline.records.types import Attempt, Record

_TOKENS = (
    ("Input", "input_tokens"),
    ("Cache read", "cache_read_tokens"),
    ("Cache write", "cache_write_tokens"),
    ("Cache write 5m", "cache_write_5m_tokens"),
    ("Cache write 1h", "cache_write_1h_tokens"),
    ("Audio in", "input_audio_tokens"),
    ("Images in", "input_image_tokens"),
    ("Output", "output_tokens"),
    ("Reasoning", "reasoning_tokens"),
    ("Audio out", "output_audio_tokens"),
    ("Images out", "output_image_tokens"),
    ("Web searches", "web_searches"),
)
ITEMS = {
    "prompt": "Input",
    "completion": "Output",
    "input_cache_read": "Cache read",
    "input_cache_write": "Cache write",
    "input_cache_write_5_min": "Cache write 5m",
    "input_cache_write_1_h": "Cache write 1h",
    "web_search": "Web search",
    "internal_reasoning": "Reasoning",
    "image": "Images",
    "audio": "Audio",
    "video": "Video",
    "request": "Request",
}
"""The items of a bill in words (https://docs.zenmux.ai/api/platform/get-generation.html)."""
OUTCOMES = {
    "ok": "answered",
    "error": "answered with an error",
    "cut": "broke off inside the answer",
    "client_left": "the caller left",
    "interrupted": "the gateway stopped",
}


class LogRow(msgspec.Struct, frozen=True):
    """Money is pico-USD, times milliseconds, throughput tokens a second."""

    record: Record
    input_tokens: int | None
    cached_tokens: int
    output_tokens: int | None
    cost: int | None
    latency_ms: float | None
    is_first_token: bool
    """Latency is that of the first token; else that of the whole answer."""
    throughput: float | None
    finish: str
    is_good: bool
    tokens: tuple[tuple[str, int], ...]
    """Buckets that are not empty."""
    bill: tuple[tuple[str, int], ...]
    """Item in words and its amount, of all attempts together."""
    unpriced: tuple[str, ...]


def log_row(record: Record) -> LogRow:
    """What a row shows."""
    usage, answered = record.usage, answering(record)
    known = bool(usage.total_input_tokens or usage.total_output_tokens)
    lines = tuple(line for attempt in record.attempts for line in attempt.cost.lines) or record.cost.lines
    unpriced = {item for attempt in record.attempts for item in attempt.cost.unpriced} | set(record.cost.unpriced)
    return LogRow(
        record=record,
        input_tokens=usage.total_input_tokens if known else None,
        cached_tokens=usage.cache_read_tokens,
        output_tokens=usage.total_output_tokens if known else None,
        cost=record.cost_pico_usd if lines or record.cost_pico_usd or (not unpriced and known) else None,
        latency_ms=record.ended_ms - record.received_ms if record.first_token_ms is None else record.first_token_ms,
        is_first_token=record.first_token_ms is not None,
        throughput=None if answered is None else throughput(answered),
        finish=record.finish_reason if record.outcome == "ok" else "",
        is_good=record.outcome == "ok",
        tokens=tuple((words, getattr(usage, name)) for words, name in _TOKENS if getattr(usage, name)),
        bill=_bill(lines),
        unpriced=tuple(sorted(unpriced)),
    )


def _bill(lines: Sequence[CostLine]) -> tuple[tuple[str, int], ...]:
    sums: dict[str, int] = {}
    for line in lines:
        words = ITEMS.get(line.item, line.item)
        sums[words] = sums.get(words, 0) + line.amount_pico_usd
    return tuple(sums.items())


def answering(record: Record) -> Attempt | None:
    """The attempt whose answer the caller got; None where there is none."""
    good = [attempt for attempt in record.attempts if attempt.outcome == "ok"]
    return good[-1] if good else None


def throughput(attempt: Attempt) -> float | None:
    """Output tokens a second between the first delta and the last (design.md section 4)."""
    first, last = attempt.first_token_ms, attempt.last_token_ms
    if first is None or last is None or last <= first or not attempt.usage.total_output_tokens:
        return None
    return attempt.usage.total_output_tokens / (last - first) * 1000

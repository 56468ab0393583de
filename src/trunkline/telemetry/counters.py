"""Counts and histograms of requests and attempts since the start. In: records that were stored, a batch at a time. Out: families for `telemetry.text`.

`see` runs in the record writer's thread, `families` in the event loop's: each number is written by one side alone. Labels are of few values: models and
providers of the catalog, our own words for outcomes; never keys, users or what a caller wrote.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from trunkline.records.types import Attempt, Record
from trunkline.telemetry.text import Family, Labels, histogram_lines, line
from trunkline.telemetry.words import error_type, operation_name, provider_name, told_status

# The boundaries of the conventions, see `telemetry.words`.
DURATION_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FIRST_TOKEN_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
MAX_SERIES = 5000
"""Of each kind; what comes after shares one."""
OTHER = "other"
"""The model of requests that named none of the catalog's: callers may write anything."""
_PICO_PER_USD = 1e12
_AT_ONCE = 25


class Histogram:
    """Counts by bucket, and the sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class _Requests:
    __slots__ = ("duration_s", "first_s")

    def __init__(self) -> None:
        self.duration_s = Histogram(DURATION_S)
        self.first_s = Histogram(FIRST_TOKEN_S)


class _Attempts:
    __slots__ = ("cached", "cost_pico_usd", "duration_s", "first_s", "input", "output")

    def __init__(self) -> None:
        self.duration_s = Histogram(DURATION_S)
        self.first_s = Histogram(FIRST_TOKEN_S)
        self.input = Histogram(TOKENS)
        self.output = Histogram(TOKENS)
        self.cached = 0
        self.cost_pico_usd = 0


_RequestKey = tuple[str, str, str, str, int]
_AttemptKey = tuple[str, str, str, str, int]


class Counters:
    """Lives as long as the process."""

    def __init__(self) -> None:
        self._requests: dict[_RequestKey, _Requests] = {}
        self._attempts: dict[_AttemptKey, _Attempts] = {}
        self._error_types: dict[_AttemptKey, str] = {}

    def see(self, records: Sequence[Record]) -> None:
        """Take in what was stored."""
        for record in records:
            self._request(record)
            for attempt in record.attempts:
                self._attempt(attempt)

    def _request(self, record: Record) -> None:
        if record.attempts and record.attempts[0].kind == "probe":
            return
        model = record.model if record.provider else OTHER
        key = (model, record.provider, record.protocol, record.outcome, record.status // 100)
        known = self._requests.get(key)
        if known is None:
            if len(self._requests) >= MAX_SERIES:
                key = (OTHER, "", OTHER, OTHER, 0)
            known = self._requests.setdefault(key, _Requests())
        known.duration_s.add((record.ended_ms - record.received_ms) / 1000)
        if record.first_token_ms is not None:
            known.first_s.add(record.first_token_ms / 1000)

    def _attempt(self, attempt: Attempt) -> None:
        key = (attempt.offer, attempt.protocol, attempt.outcome, attempt.kind, told_status(attempt))
        known = self._attempts.get(key)
        if known is None:
            if len(self._attempts) >= MAX_SERIES:
                key = (f"{OTHER}:", "", OTHER, "plain", 0)
            self._error_types.setdefault(key, error_type(attempt))
            known = self._attempts.setdefault(key, _Attempts())
        known.duration_s.add((attempt.ended_ms - attempt.started_ms) / 1000)
        if attempt.first_token_ms is not None:
            known.first_s.add(attempt.first_token_ms / 1000)
        usage = attempt.usage
        tokens = usage.total_input_tokens
        if tokens:
            known.input.add(tokens)
            known.cached += usage.cache_read_tokens
        if tokens := usage.total_output_tokens:
            known.output.add(tokens)
        known.cost_pico_usd += attempt.cost.total_pico_usd

    # --- telling

    def families(self) -> Iterator[Family]:
        """What is known now. A histogram comes in several pieces, one after the other."""
        requests = [(_request_labels(key), one) for key, one in list(self._requests.items())]
        attempts = [(self._attempt_labels(key), one) for key, one in list(self._attempts.items())]
        yield Family(
            "trunkline_requests_total",
            "counter",
            "Requests for an answer, by how they ended.",
            [line("trunkline_requests_total", labels, sum(one.duration_s.counts)) for labels, one in requests],
        )
        yield from _histograms(
            "gen_ai_server_request_duration_seconds",
            "From the request received to the end of the answer.",
            [(labels, one.duration_s) for labels, one in requests],
        )
        yield from _histograms(
            "gen_ai_server_time_to_first_token_seconds",
            "From the request received to the first text, reasoning or tool delta sent on (streams).",
            [(labels, one.first_s) for labels, one in requests],
        )
        yield Family(
            "trunkline_attempts_total",
            "counter",
            "Calls of providers, by how they ended.",
            [line("trunkline_attempts_total", labels, sum(one.duration_s.counts)) for labels, one in attempts],
        )
        yield from _histograms(
            "gen_ai_client_operation_duration_seconds",
            "Of a call of a provider.",
            [(labels, one.duration_s) for labels, one in attempts],
        )
        yield from _histograms(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "From the call sent to the first text, reasoning or tool delta (streams).",
            [(labels, one.first_s) for labels, one in attempts],
        )
        both = [((*labels, ("gen_ai_token_type", "input")), one.input) for labels, one in attempts]
        both += [((*labels, ("gen_ai_token_type", "output")), one.output) for labels, one in attempts]
        yield from _histograms(
            "gen_ai_client_token_usage", "Tokens of a call, cached ones and reasoning included.", both
        )
        yield Family(
            "trunkline_cached_tokens_total",
            "counter",
            "Tokens read from providers' prompt caches.",
            [line("trunkline_cached_tokens_total", labels, one.cached) for labels, one in attempts if one.cached],
        )
        yield Family(
            "trunkline_cost_usd_total",
            "counter",
            "What providers bill for, in USD. A figure to look at: the exact one is in the records.",
            [
                line("trunkline_cost_usd_total", labels, one.cost_pico_usd / _PICO_PER_USD)
                for labels, one in attempts
                if one.cost_pico_usd
            ],
        )

    def _attempt_labels(self, key: _AttemptKey) -> Labels:
        offer, protocol, _, kind, _ = key
        model, _, provider = offer.rpartition(":")
        return (
            ("gen_ai_operation_name", operation_name(protocol)),
            ("gen_ai_provider_name", provider_name(provider)),
            ("gen_ai_request_model", model),
            ("error_type", self._error_types[key]),
            ("kind", kind),
        )


def _request_labels(key: _RequestKey) -> Labels:
    model, provider, protocol, outcome, hundreds = key
    return (
        ("gen_ai_operation_name", operation_name(protocol)),
        ("gen_ai_provider_name", provider_name(provider)),
        ("gen_ai_request_model", model),
        ("protocol", protocol),
        ("outcome", outcome),
        ("status", f"{hundreds}xx"),
    )


def _histograms(name: str, words: str, rows: Sequence[tuple[Labels, Histogram]]) -> Iterator[Family]:
    """In pieces that take well under a millisecond; the first alone has the words."""
    found = [(labels, one) for labels, one in rows if any(one.counts)]
    for first in range(0, len(found), _AT_ONCE):
        lines: list[str] = []
        for labels, one in found[first : first + _AT_ONCE]:
            lines += histogram_lines(name, labels, one.bounds, list(one.counts), one.total)
        yield Family(name, "histogram", "" if first else words, lines)

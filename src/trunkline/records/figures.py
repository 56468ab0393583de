"""What records say of offers and of use, added up. In: records. Out: per offer and minute latency, throughput, outcomes; per hour tokens and cost.

A record counts in the minute in which it ended, all of its attempts with it. Uptime as in design.md section 4: attempts that went
well over those that did or that the provider spoiled; 429 is shown apart; the caller's faults and ours do not count.
"""

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from trunkline.ir.usage import Usage
from trunkline.records.histogram import Histogram
from trunkline.records.types import Attempt, Record

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
FAILURES = frozenset(
    {
        "connect", "tls", "timeout_connect", "timeout_first_event", "timeout_idle", "timeout_total",
        "reset", "truncated", "malformed", "empty", "in_stream_error",
    }
)  # fmt: skip
"""Outcomes that count against an offer, with a status of 500 or more. A word that is not known here never does."""
TOO_MANY = 429
_END_OF_TIME_MS = 1e14
MAX_TOKENS = 10**12
"""A provider's nonsense beyond this must not spoil the sums, which are 64 bits."""
MAX_COST_PICO_USD = 10**17
_FEW_TOKENS = 2**38 - 1
"""Two sums of as many are below `MAX_TOKENS`."""
TOKENS = tuple(name for name in Usage.__struct_fields__ if name != "estimated")


class OfferFigures:
    """An offer over some time. Grows by `see` and `merge`."""

    __slots__ = (
        "apart", "attempts", "cached_tokens", "causes", "failed", "input_tokens", "latency", "limited", "ok", "output_tokens",
        "speed", "tool_calls", "tool_errors",
    )  # fmt: skip

    def __init__(self) -> None:
        self.attempts = 0
        self.ok = 0
        self.failed = 0
        """Spoiled by the provider: 5xx, timeouts, resets, cut streams."""
        self.limited = 0
        """Refused with 429."""
        self.apart = 0
        """All others: the caller's fault, or ours; the caller left."""
        self.input_tokens = 0
        """All that went in, cached or not."""
        self.cached_tokens = 0
        """Of these, read from a cache."""
        self.output_tokens = 0
        self.tool_calls = 0
        self.tool_errors = 0
        """Of these, with arguments that are no JSON object."""
        self.latency = Histogram()
        """First token, milliseconds, of streams."""
        self.speed = Histogram()
        """Tokens a second, between the first delta and the last."""
        self.causes: dict[str, int] = {}
        """Why attempts did not go well: the outcome, or `status 503`."""

    def see(self, attempt: Attempt) -> None:
        """Take in one attempt."""
        self.attempts += 1
        usage = attempt.usage
        went_in, came_out = usage.total_input_tokens, usage.total_output_tokens
        if went_in or came_out:
            cached = usage.cache_read_tokens
            if not (0 <= went_in <= MAX_TOKENS and 0 <= came_out <= MAX_TOKENS and 0 <= cached <= MAX_TOKENS):
                went_in, came_out, cached = _held(went_in), _held(came_out), _held(cached)
            self.input_tokens += went_in
            self.output_tokens += came_out
            self.cached_tokens += cached
        if attempt.tool_calls:
            self.tool_calls += attempt.tool_calls
            self.tool_errors += attempt.tool_errors
        first_ms = attempt.first_token_ms
        if first_ms is not None:
            self.see_times(first_ms, attempt.last_token_ms, came_out)
        outcome = attempt.outcome
        if outcome == "ok":
            self.ok += 1
        else:
            self._see_failure(outcome, attempt.status if outcome == "status" else attempt.told_status)

    def see_times(self, first_ms: float, last_ms: float | None, tokens: int) -> None:
        """Take in when the first delta and the last of a stream came, and how many tokens."""
        self.latency.add(first_ms)
        if tokens > 0 and last_ms is not None and last_ms > first_ms:
            self.speed.add(tokens / (last_ms - first_ms) * 1000)

    def _see_failure(self, outcome: str, status: int) -> None:
        """`status` is what the provider told, before an answer or inside it; 0: nothing."""
        cause = outcome
        if outcome == "status" or 0 < status < 500:
            cause = f"status {status}"
            self.limited += status == TOO_MANY
            self.failed += status >= 500
            self.apart += status < 500 and status != TOO_MANY
        elif outcome in FAILURES:
            self.failed += 1
        else:
            self.apart += 1
        self.causes[cause] = self.causes.get(cause, 0) + 1

    def merge(self, other: "OfferFigures") -> None:
        """Take in all that another one has."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latency.merge(other.latency)
        self.speed.merge(other.speed)
        for cause, count in other.causes.items():
            self.causes[cause] = self.causes.get(cause, 0) + count

    @property
    def uptime(self) -> float | None:
        """0 to 1; None where nothing tells."""
        counted = self.ok + self.failed
        return self.ok / counted if counted else None

    @property
    def limited_share(self) -> float | None:
        return self.limited / self.attempts if self.attempts else None

    @property
    def cache_hit_share(self) -> float | None:
        """Of all tokens that went in, those that came from a cache."""
        return self.cached_tokens / self.input_tokens if self.input_tokens else None

    @property
    def tool_error_share(self) -> float | None:
        return self.tool_errors / self.tool_calls if self.tool_calls else None

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, OfferFigures):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return f"OfferFigures({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


COUNTS = (
    "attempts", "ok", "failed", "limited", "apart", "input_tokens", "cached_tokens", "output_tokens", "tool_calls", "tool_errors",
)  # fmt: skip
"""The plain numbers of `OfferFigures`."""


class Use(msgspec.Struct, gc=False):
    """What was used of one offer through one protocol with one key. Requests count at the offer that was tried last, tokens and cost
    where they arose: the cost of all rows is that of all records."""

    requests: int = 0
    failed: int = 0
    """Requests that ended in an error, before or inside an answer."""
    abandoned: int = 0
    """Requests whose caller left."""
    attempts: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    output_audio_tokens: int = 0
    output_image_tokens: int = 0
    web_searches: int = 0
    cost_pico_usd: int = 0
    estimated: int = 0
    """Attempts whose tokens or cost are our own guess."""
    unpriced: int = 0
    """Attempts with an item that has no price."""

    def see(self, attempt: Attempt) -> None:
        """Take in one attempt."""
        self.attempts += 1
        usage, cost = attempt.usage, attempt.cost
        tokens = usage.input_tokens
        if tokens:
            self.input_tokens += tokens if 0 < tokens <= MAX_TOKENS else _held(tokens)
        tokens = usage.output_tokens
        if tokens:
            self.output_tokens += tokens if 0 < tokens <= MAX_TOKENS else _held(tokens)
        tokens = usage.cache_read_tokens
        if tokens:
            self.cache_read_tokens += tokens if 0 < tokens <= MAX_TOKENS else _held(tokens)
        tokens = usage.reasoning_tokens
        if tokens:
            self.reasoning_tokens += tokens if 0 < tokens <= MAX_TOKENS else _held(tokens)
        # The rest is rare: one look at all of it together.
        if (
            usage.cache_write_tokens or usage.cache_write_5m_tokens or usage.cache_write_1h_tokens or usage.input_audio_tokens
            or usage.input_image_tokens or usage.output_audio_tokens or usage.output_image_tokens or usage.web_searches
        ):  # fmt: skip
            self._see_rare(usage)
        spent = cost.total_pico_usd
        if spent:
            self.cost_pico_usd += spent if 0 < spent <= MAX_COST_PICO_USD else min(max(spent, 0), MAX_COST_PICO_USD)
        if usage.estimated or cost.estimated:
            self.estimated += 1
        if cost.unpriced:
            self.unpriced += 1

    def see_failure(self, outcome: str) -> None:
        """Of a request."""
        if outcome == "client_left":
            self.abandoned += 1
        else:
            self.failed += 1

    def _see_rare(self, usage: Usage) -> None:
        for name in _RARE:
            setattr(self, name, getattr(self, name) + _held(getattr(usage, name)))

    @property
    def total_input_tokens(self) -> int:
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_written_tokens
            + self.input_audio_tokens
            + self.input_image_tokens
        )

    @property
    def cache_written_tokens(self) -> int:
        return self.cache_write_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        out = self.output_tokens + self.reasoning_tokens + self.output_audio_tokens + self.output_image_tokens
        return self.total_input_tokens + out


_RARE = tuple(
    name for name in TOKENS if name not in ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens")
)

Minute = tuple[int, str]
"""Start in Unix seconds, offer."""
Hour = tuple[int, str, str, str]
"""Start in Unix seconds, offer (`model:provider`), protocol of the caller, key id."""


class Gathered:
    """What some records add up to. Grows by `see`."""

    __slots__ = ("_spots", "offers", "use")

    def __init__(self) -> None:
        self.offers: dict[Minute, OfferFigures] = {}
        self.use: dict[Hour, Use] = {}
        self._spots: dict[tuple[int, str, str, str], tuple[OfferFigures, Use]] = {}
        """Both by minute, offer, protocol and key, so that a record looks once."""

    def see(self, records: Sequence[Record]) -> None:
        """Add records up, each of them new. Nothing that a stored record may hold makes it fail."""
        spots, minute, begin_ms, end_ms = self._spots, 0, 0.0, 0.0
        for record in records:
            ended_ms = record.ended_ms
            if not begin_ms <= ended_ms < end_ms:
                minute = int(ended_ms) // 60_000 * MINUTE_S if 0 <= ended_ms < _END_OF_TIME_MS else 0
                begin_ms = minute * 1000.0
                end_ms = begin_ms + 60_000.0 if minute else 0.0
            protocol, key_id, offer = record.protocol, record.key_id, ""
            used: Use | None = None
            for attempt in record.attempts:
                offer = attempt.offer
                spot = (minute, offer, protocol, key_id)
                figures, used = spots.get(spot) or self._spot(spot)
                _see(figures, used, attempt)
            last = record.offer
            if used is None or last != offer:
                used = self._use(minute, last or _place(record), protocol, key_id)
            used.requests += 1
            if record.outcome != "ok":
                used.see_failure(record.outcome)

    def _spot(self, spot: tuple[int, str, str, str]) -> tuple[OfferFigures, Use]:
        minute, offer, protocol, key_id = spot
        figures = self.offers.get((minute, offer))
        if figures is None:
            figures = self.offers[minute, offer] = OfferFigures()
        found = self._spots[spot] = figures, self._use(minute, offer, protocol, key_id)
        return found

    def _use(self, minute: int, offer: str, protocol: str, key_id: str) -> Use:
        place = (minute - minute % HOUR_S, offer, protocol, key_id)
        used = self.use.get(place)
        if used is None:
            used = self.use[place] = Use()
        return used


def _see(figures: OfferFigures, used: Use, attempt: Attempt) -> None:
    """As both do it by their own `see`; written out for the attempt that most are, since it runs for every request."""
    usage, cost = attempt.usage, attempt.cost
    went_in, cached, came_out, thought = (
        usage.input_tokens, usage.cache_read_tokens, usage.output_tokens, usage.reasoning_tokens,
    )  # fmt: skip
    spent = cost.total_pico_usd
    if (
        attempt.outcome != "ok" or attempt.tool_calls
        or usage.estimated or cost.estimated or cost.unpriced
        # A sign or a bit that is too high is in all of them together.
        or not 0 <= went_in | cached | came_out | thought <= _FEW_TOKENS or not 0 <= spent <= MAX_COST_PICO_USD
        or usage.cache_write_tokens or usage.cache_write_5m_tokens or usage.cache_write_1h_tokens or usage.input_audio_tokens
        or usage.input_image_tokens or usage.output_audio_tokens or usage.output_image_tokens or usage.web_searches
    ):  # fmt: skip
        figures.see(attempt)
        used.see(attempt)
        return
    figures.attempts += 1
    figures.ok += 1
    figures.input_tokens += went_in + cached
    figures.output_tokens += came_out + thought
    used.attempts += 1
    used.input_tokens += went_in
    used.output_tokens += came_out
    used.cost_pico_usd += spent
    first_ms = attempt.first_token_ms
    if first_ms is not None:
        figures.see_times(first_ms, attempt.last_token_ms, came_out + thought)
    if cached:
        figures.cached_tokens += cached
        used.cache_read_tokens += cached
    if thought:
        used.reasoning_tokens += thought


def _place(record: Record) -> str:
    """Where a request counts that reached no offer. A model that the plan did not know is what some caller wrote: it gets no row of its own."""
    return f"{record.model}:" if record.plan else ":"


def _held(tokens: int) -> int:
    return tokens if 0 <= tokens <= MAX_TOKENS else min(max(tokens, 0), MAX_TOKENS)


def figure(number: float | None, digits: int = 2) -> float | None:
    """Rounded for people; None stays."""
    return None if number is None or not math.isfinite(number) else round(number, digits)

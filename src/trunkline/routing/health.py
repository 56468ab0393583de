"""What our own traffic measured of each offer. In: attempts as they end. Out: first-token latency, throughput and uptime, and who must rest.

Figures as design.md section 4 defines them. Kept in memory for one process, the newest `WINDOW` attempts of at most `MAX_AGE_S`.
"""

from collections import deque

import msgspec

WINDOW = 256
MAX_AGE_S = 3600.0
FAILED_REST_S = 30.0
"""For so long an offer without a measurement that has just failed does not count as one that still wants to be measured."""
MAX_RETRY_AFTER_S = 300.0
"""A provider's wish to be left alone is honoured up to this: a wrong value must not take an offer away for a day."""


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One ended attempt. `up` is None where it says nothing of uptime (429, other 4xx, the caller left)."""

    at_s: float
    up: bool | None
    first_token_ms: float | None = None
    tokens_per_second: float | None = None


class Figures(msgspec.Struct, frozen=True, gc=False):
    """What is known of one offer now. None: not measured. `rest_s` is how long it still asked to be left alone."""

    first_token_ms: float | None = None
    tokens_per_second: float | None = None
    uptime: float | None = None
    attempts: int = 0
    rest_s: float = 0.0
    rest_status: int = 429
    failed_lately: bool = False


UNMEASURED = Figures()
_NEVER = float("-inf")


class _Offer:
    """The window of one offer; sums are kept and the figures of a steady offer too, so that asking costs nothing."""

    __slots__ = (
        "failed_at", "latency_count", "latency_sum", "rest_status", "rest_until", "samples", "speed_count", "speed_sum", "steady", "up", "up_count",
    )  # fmt: skip

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque()
        self.latency_sum = self.speed_sum = 0.0
        self.latency_count = self.speed_count = self.up = self.up_count = 0
        self.failed_at = _NEVER
        self.rest_until = _NEVER
        self.rest_status = 429
        self.steady: Figures | None = None

    def add(self, sample: Sample) -> None:
        self.samples.append(sample)
        self._count(sample, 1)
        if len(self.samples) > WINDOW:
            self._count(self.samples.popleft(), -1)

    def figures(self, now_s: float) -> Figures:
        while self.samples and now_s - self.samples[0].at_s > MAX_AGE_S:
            self._count(self.samples.popleft(), -1)
        if self.steady is None:
            self.steady = Figures(
                first_token_ms=self.latency_sum / self.latency_count if self.latency_count else None,
                tokens_per_second=self.speed_sum / self.speed_count if self.speed_count else None,
                uptime=self.up / self.up_count if self.up_count else None,
                attempts=len(self.samples),
            )
        if now_s >= self.rest_until and now_s - self.failed_at >= FAILED_REST_S:
            return self.steady
        return msgspec.structs.replace(
            self.steady,
            rest_s=max(0.0, self.rest_until - now_s),
            rest_status=self.rest_status,
            failed_lately=now_s - self.failed_at < FAILED_REST_S,
        )

    def _count(self, sample: Sample, sign: int) -> None:
        self.steady = None
        if sample.first_token_ms is not None:
            self.latency_sum += sign * sample.first_token_ms
            self.latency_count += sign
        if sample.tokens_per_second is not None:
            self.speed_sum += sign * sample.tokens_per_second
            self.speed_count += sign
        if sample.up is not None:
            self.up += sign * sample.up
            self.up_count += sign


class Health:
    """The windows of all offers. Lives as long as the process; a reload of the catalog keeps it."""

    def __init__(self) -> None:
        self._offers: dict[str, _Offer] = {}
        self.changes = 0
        """Grows when an offer fails, recovers, asks for rest or is measured for the first time: an order made before may be wrong now."""

    def observe(self, offer: str, sample: Sample) -> None:
        """Take in one ended attempt."""
        window = self._window(offer)
        measured = window.latency_count
        window.add(sample)
        if sample.up is False:
            window.failed_at = sample.at_s
            self.changes += 1
        elif sample.up and window.failed_at != _NEVER:
            window.failed_at = _NEVER
            self.changes += 1
        if not measured and window.latency_count:
            self.changes += 1

    def demote(self, offer: str, now_s: float) -> None:
        """It cannot serve anyone for now (a wrong key, no credit): others go first for a while. Says nothing of its uptime."""
        self._window(offer).failed_at = now_s
        self.changes += 1

    def rest(self, offer: str, now_s: float, retry_after_s: float, status: int) -> None:
        """The provider asked to be left alone (`Retry-After`)."""
        window = self._window(offer)
        window.rest_until = max(window.rest_until, now_s + min(retry_after_s, MAX_RETRY_AFTER_S))
        window.rest_status = status
        self.changes += 1

    def figures(self, offer: str, now_s: float) -> Figures:
        """What is known of an offer."""
        window = self._offers.get(offer)
        return UNMEASURED if window is None else window.figures(now_s)

    def _window(self, offer: str) -> _Offer:
        window = self._offers.get(offer)
        if window is None:
            window = self._offers[offer] = _Offer()
        return window

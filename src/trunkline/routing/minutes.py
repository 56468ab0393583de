"""What ended in each minute of the last hour, of one offer, and the figures of it. In: samples, and sums that other gateways tell. Out: `Measured`.

Attempts of the last five minutes count in full; where they are fewer than `ENOUGH`, older ones fill up, by half as much for each five minutes that they
are older. What other gateways tell is kept apart, since it is not ours to tell again, and counts the same.
"""

from collections.abc import Iterable, Sequence

import msgspec

MINUTE_S = 60.0
RECENT_MINUTES = 5
HALF_LIFE_MINUTES = 5
MAX_MINUTES = 60
LATELY_MINUTES, MIN_LATELY = 1, 8
"""`Figures.lately_ms` halves the weight of a latency each so many minutes, and wants so many of them: who became slow a minute ago is slow."""
ENOUGH = 40
"""With so many recent attempts older ones do not count at all."""
MAX_KEPT = 32
"""First-token latencies kept of one minute, evenly chosen where there were more; a kept one then stands for several."""
MAX_KEPT_OLD = 8
"""The same of a minute that is no longer recent. So a busy offer takes about 30 KB."""

RELIABLE_BEFORE, WEIGHT_BEFORE = 0.99, 20
"""`Figures.reliability` starts as if this share of so many attempts had succeeded: one failure in a hundred is no reason to leave an offer, one in one is."""
_AGED = tuple([1.0] * (RECENT_MINUTES + 1) + [0.5 ** (age / HALF_LIFE_MINUTES) for age in range(1, MAX_MINUTES)])
"""Age in minutes -> weight. The minute that runs and the five before it are the last five minutes."""


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One ended attempt. `up` is None where it says nothing of uptime (429, other 4xx, the caller left or was to blame)."""

    at_s: float
    up: bool | None
    first_token_ms: float | None = None
    tokens_per_second: float | None = None
    limited: bool = False
    """Refused with 429."""
    began_s: float = float("inf")
    """When it began; one from before a breaker opened says nothing of whether the offer is back."""


class Minute:
    """What ended in one minute."""

    __slots__ = (
        "attempts",
        "down",
        "first",
        "forgiven",
        "limited",
        "number",
        "seen",
        "speed_count",
        "speed_sum",
        "stride",
        "up",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.attempts = self.up = self.down = self.forgiven = self.limited = self.seen = self.speed_count = 0
        self.stride = 1
        self.speed_sum = 0.0
        self.first: list[float] = []

    def add(self, sample: Sample) -> None:
        self.attempts += 1
        if sample.up:
            self.up += 1
        elif sample.up is False:
            self.down += 1
        elif sample.limited:
            self.limited += 1
        if sample.tokens_per_second is not None:
            self.speed_sum += sample.tokens_per_second
            self.speed_count += 1
        if sample.first_token_ms is not None:
            self._add_latency(sample.first_token_ms)

    def _add_latency(self, latency_ms: float) -> None:
        if self.seen % self.stride == 0:
            if len(self.first) == MAX_KEPT:
                # Every other one goes; from now on only every other one comes.
                del self.first[1::2]
                self.stride *= 2
            if self.seen % self.stride == 0:
                self.first.append(latency_ms)
        self.seen += 1

    def thin(self) -> None:
        """Nothing is added any more, and little is needed."""
        if len(self.first) > MAX_KEPT_OLD:
            self.first = self.first[:: -(-len(self.first) // MAX_KEPT_OLD)]

    def weighed(self) -> Iterable[tuple[float, float]]:
        """Each latency that was kept, and for how many it stands."""
        each = self.seen / len(self.first)
        return [(value, each) for value in self.first]


class FarMinute(Minute):
    """What other gateways say of one minute: their latencies stand for more or for fewer than each other."""

    __slots__ = ("weights",)

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.weights: list[float] = []

    def take(self, first: Sequence[float], seen: int) -> None:
        """So many latencies, of which these are some."""
        self.seen += seen
        self.first += first
        self.weights += [seen / len(first)] * len(first)
        self._merge(MAX_KEPT)

    def thin(self) -> None:
        """Nothing is added any more, and little is needed."""
        self._merge(MAX_KEPT_OLD)

    def weighed(self) -> Iterable[tuple[float, float]]:
        """Each latency that was kept, and for how many it stands."""
        return zip(self.first, self.weights, strict=True)

    def _merge(self, most: int) -> None:
        """Of neighbours the two that stand for the fewest become one, until there are so few: so all that stay weigh about as much."""
        if len(self.first) <= most:
            return
        pairs = sorted(zip(self.first, self.weights, strict=True))
        while len(pairs) > most:
            at = min(range(len(pairs) - 1), key=lambda at: pairs[at][1] + pairs[at + 1][1])
            (low, light), (high, heavy) = pairs[at : at + 2]
            both = light + heavy
            pairs[at : at + 2] = [((low * light + high * heavy) / both, both)]
        self.first = [value for value, _ in pairs]
        self.weights = [weight for _, weight in pairs]


class Measured(msgspec.Struct, frozen=True, gc=False):
    """The part of `Figures` that has to be counted."""

    p50_ms: float | None = None
    p95_ms: float | None = None
    lately_ms: float | None = None
    samples: float = 0.0
    tokens_per_second: float | None = None
    uptime: float | None = None
    reliability: float = 1.0
    limited: float | None = None
    attempts: int = 0


def count(minutes: Sequence[Minute], number: int) -> Measured:
    """Weigh the minutes, the newest first. Latencies and outcomes fill up apart: not each attempt has both."""
    latencies: list[tuple[float, float, float]] = []
    samples = lately = up = down = held_down = limited = speed_sum = speed_count = 0.0
    attempts = 0
    for minute in reversed(minutes):
        age = max(0, number - minute.number)
        if age >= MAX_MINUTES:
            break
        attempts += minute.attempts
        weight = _AGED[age]
        if minute.first and (age <= RECENT_MINUTES or samples < ENOUGH):
            fresh = 0.5 ** (age / LATELY_MINUTES)
            latencies += [(value, weight * each, fresh * each) for value, each in minute.weighed()]
            samples += weight * minute.seen
            lately += fresh * minute.seen
            speed_sum += weight * minute.speed_sum
            speed_count += weight * minute.speed_count
        if age <= RECENT_MINUTES or up + down < ENOUGH:
            up += weight * minute.up
            down += weight * minute.down
            held_down += weight * (minute.down - minute.forgiven)
            limited += weight * minute.limited
    latencies.sort()
    judged, held = up + down, up + held_down
    return Measured(
        _quantile(latencies, 1, 0.5, samples),
        _quantile(latencies, 1, 0.95, samples),
        _quantile(latencies, 2, 0.5, lately) if lately >= MIN_LATELY else None,
        samples,
        speed_sum / speed_count if speed_count else None,
        up / judged if judged else None,
        (up + RELIABLE_BEFORE * WEIGHT_BEFORE) / (held + WEIGHT_BEFORE) if held_down else 1.0,
        limited / (judged + limited) if judged + limited else None,
        attempts,
    )


def _quantile(rows: list[tuple[float, float, float]], by: int, share: float, total: float) -> float | None:
    """Of rows in order: the value up to which `share` of the weight in column `by` lies; between two of them their middle."""
    if not rows:
        return None
    wanted, reached, slack = share * total, 0.0, 1e-9 * total
    for place, row in enumerate(rows):
        reached += row[by]
        if reached >= wanted - slack:
            is_between = reached <= wanted + slack and place + 1 < len(rows)
            return (row[0] + rows[place + 1][0]) / 2 if is_between else row[0]
    return rows[-1][0]

"""What our own traffic measured of each offer. In: attempts as they begin and end. Out: `Figures`: latency, throughput, uptime, breaker, who must rest.

Figures as design.md section 4 defines them, in memory of one process. Attempts are kept by minute for an hour. Those of the last five minutes count in
full; where they are fewer than `ENOUGH`, older ones fill up, by half as much for each five minutes that they are older. Figures are for one offer alone:
an outage of its whole provider shows within three attempts at each of its offers, and not everything that fails at one model fails at the next.
"""

from collections import deque
from collections.abc import Callable

import msgspec

from trunkline.routing.breaker import OPEN_SHARE, Breaker, State

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
STEADY_S = 0.5
"""With `ENOUGH` attempts, figures are at most this old; a failure shows at once."""

RELIABLE_BEFORE, WEIGHT_BEFORE = 0.99, 20
"""`Figures.reliability` starts as if this share of so many attempts had succeeded: one failure in a hundred is no reason to leave an offer, one in one is."""
GATE_LATER, GATE_LAST = 0.95, 0.80
"""Below which reliability an offer comes after the others, and last."""

FAILED_REST_S = 30.0
"""For so long an offer that little is known of and that has just failed waits behind the others, and so does one that can serve nobody for now."""
LIMITED_IN_A_ROW = 3
LIMITED_S, MAX_LIMITED_S = 2.0, 60.0
"""The same after so many refusals with 429 and no answer between them: twice as long for each that follows, at most so long."""
ROOM_LESS, ROOM_MORE_PER_S, ROOM_S, MIN_ROOM = 0.8, 0.02, 0.5, 0.02
"""Where 429 comes among answers, an offer's share shrinks by the first (once in `ROOM_S`), and grows by the second each second: so it finds what it takes,
as TCP finds a link's (https://www.rfc-editor.org/rfc/rfc5681#section-3.1)."""
SILENT_P95S, MIN_SILENT_S, MIN_SILENT, MAX_SILENT = 3.0, 2.0, 3, 10
"""An offer is silent where so many streams (the newest `MAX_SILENT` count) had no first event in so many times its own 95th percentile, and they are
`breaker.OPEN_SHARE` of those that began with them. Its breaker opens then, and not only when the first of them times out, which may be minutes later."""
MAX_RETRY_AFTER_S = 300.0
"""A provider's wish to be left alone is honoured up to this: a wrong value must not take an offer away for a day."""


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


class Figures(msgspec.Struct, frozen=True, gc=False):
    """What is known of one offer now. None: not measured. `rest_s` is how long it still asked to be left alone."""

    first_token_ms: float | None = None
    """Median."""
    tokens_per_second: float | None = None
    uptime: float | None = None
    """Share of attempts without 5xx, timeout, reset or cut stream."""
    attempts: int = 0
    """Of the last hour."""
    rest_s: float = 0.0
    rest_status: int = 429
    failed_lately: bool = False
    """It can serve nobody for now (`Health.demote`), refused with 429, or failed and nothing outweighs that."""
    p95_ms: float | None = None
    """First-token latency that 95 of 100 keep."""
    lately_ms: float | None = None
    """The median as it is now, rather than over five minutes; None where it is not known."""
    samples: float = 0.0
    """How many recent first-token latencies the figures are worth; old ones count in part."""
    reliability: float = 1.0
    """Uptime as far as there is evidence for it: what routing goes by. What was before the breaker closed does not count any more."""
    limited: float | None = None
    """Share of attempts refused with 429."""
    breaker: State = "closed"
    """`half_open`: one request may go through now."""
    open_s: float = 0.0
    """How long the breaker stays open."""
    in_flight: int = 0
    room: float = 1.0
    """How much of its share it takes without refusing with 429, as far as was found."""
    waited_s: float = 0.0
    """How long ago a half-open breaker could have had its first trial."""

    @property
    def p50_ms(self) -> float | None:
        """`first_token_ms`."""
        return self.first_token_ms


UNMEASURED = Figures()
NO_TOKEN = 0
MAX_WAITING = 4096
"""Of one offer; who never ends an attempt takes no more memory than this."""
_NEVER = float("-inf")
_AGED = tuple([1.0] * (RECENT_MINUTES + 1) + [0.5 ** (age / HALF_LIFE_MINUTES) for age in range(1, MAX_MINUTES)])
"""Age in minutes -> weight. The minute that runs and the five before it are the last five minutes."""


class _Minute:
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


class _Measured(msgspec.Struct, frozen=True, gc=False):
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


class _Offer:
    """The last hour of one offer. What was counted is kept, and the figures of a steady offer too, so that asking costs nothing."""

    __slots__ = (
        "_counted_s",
        "_is_dirty",
        "_measured",
        "_minutes",
        "breaker",
        "demoted_s",
        "failed_s",
        "in_flight",
        "is_measured",
        "known",
        "known_until_s",
        "limited_s",
        "limits",
        "rest_s",
        "rest_status",
        "room",
        "room_s",
        "streams",
        "waiting",
    )  # fmt: skip

    def __init__(self, random: Callable[[], float]) -> None:
        self._minutes: deque[_Minute] = deque()
        self._measured = _Measured()
        self._counted_s = _NEVER
        self._is_dirty = False
        self.known = UNMEASURED
        """The figures, where they hold until `known_until_s`."""
        self.known_until_s = _NEVER
        self.breaker = Breaker(random)
        self.in_flight = 0
        self.is_measured = False
        self.failed_s = self.demoted_s = self.rest_s = self.limited_s = _NEVER
        self.limits = 0
        self.room, self.room_s = 1.0, _NEVER
        self.waiting: dict[int, tuple[float, int]] = {}
        """Streams without a first event: token -> (when it began, its number); the oldest first."""
        self.streams = 0
        """How many have begun."""
        self.rest_status = 429

    def add(self, sample: Sample) -> None:
        number = int(sample.at_s // MINUTE_S)
        minutes = self._minutes
        if not minutes or minutes[-1].number < number:
            minutes.append(_Minute(number))
            if len(minutes) > RECENT_MINUTES + 1:
                minutes[-RECENT_MINUTES - 2].thin()
            while minutes[0].number <= number - MAX_MINUTES:
                minutes.popleft()
        minutes[-1].add(sample)
        self._is_dirty = True
        if sample.up is False:
            self._counted_s = _NEVER

    def limit(self, now_s: float) -> None:
        """Refused with 429. Those that were under way together count once."""
        if now_s - self.room_s >= ROOM_S:
            self.room = max(MIN_ROOM, self.room_at(now_s) * ROOM_LESS)
            self.room_s = now_s
        if now_s >= self.limited_s:
            self.limits += 1
            if self.limits >= LIMITED_IN_A_ROW:
                wait_s = LIMITED_S * 2.0 ** min(self.limits - LIMITED_IN_A_ROW, 10)
                self.limited_s = now_s + min(wait_s, MAX_LIMITED_S)

    def room_at(self, now_s: float) -> float:
        return 1.0 if self.room >= 1.0 else min(1.0, self.room + ROOM_MORE_PER_S * (now_s - self.room_s))

    def is_silent(self, now_s: float) -> bool:
        p95_ms = self._measured.p95_ms
        if len(self.waiting) < MIN_SILENT or p95_ms is None or self._measured.samples < ENOUGH / 2:
            return False
        since_s = now_s - max(MIN_SILENT_S, SILENT_P95S * p95_ms / 1000)
        silent: deque[int] = deque(maxlen=MAX_SILENT)
        for began_s, number in self.waiting.values():
            if began_s > since_s:
                break
            silent.append(number)
        return len(silent) >= MIN_SILENT and len(silent) >= OPEN_SHARE * (silent[-1] - silent[0] + 1)

    def forgive(self) -> None:
        """It is back: failures until now are no reason any more to leave it."""
        for minute in self._minutes:
            minute.forgiven = minute.down
        self._counted_s = _NEVER

    def figures(self, now_s: float) -> Figures:
        if self._needs_counting(now_s):
            self._measured = _count(self._minutes, int(now_s // MINUTE_S))
            self._counted_s = now_s
            self._is_dirty = False
        known = self._now(now_s)
        if not (self._is_dirty or self._is_unsteady(now_s)):
            self.known = known
            self.known_until_s = (now_s // MINUTE_S + 1) * MINUTE_S
        return known

    def _needs_counting(self, now_s: float) -> bool:
        if now_s // MINUTE_S != self._counted_s // MINUTE_S:
            return bool(self._minutes)
        return self._is_dirty and (self._measured.samples < ENOUGH or now_s - self._counted_s >= STEADY_S)

    def _is_unsteady(self, now_s: float) -> bool:
        """Whether the figures change by themselves before the minute ends."""
        return (
            self.breaker.is_open
            or now_s < self.rest_s
            or now_s < self.limited_s
            or self.room < 1.0
            or len(self.waiting) >= MIN_SILENT
            or now_s - self.failed_s < FAILED_REST_S
            or now_s - self.demoted_s < FAILED_REST_S
        )

    def _now(self, now_s: float) -> Figures:
        measured, breaker = self._measured, self.breaker
        weak = now_s - self.failed_s < FAILED_REST_S and measured.reliability < GATE_LATER
        # By position: this is made for each offer of an order.
        return Figures(
            measured.p50_ms,
            measured.tokens_per_second,
            measured.uptime,
            measured.attempts,
            max(0.0, self.rest_s - now_s),
            self.rest_status,
            weak or now_s < self.limited_s or now_s - self.demoted_s < FAILED_REST_S,
            measured.p95_ms,
            measured.lately_ms,
            measured.samples,
            measured.reliability,
            measured.limited,
            breaker.state(now_s),
            max(0.0, breaker.until_s - now_s) if breaker.is_open else 0.0,
            self.in_flight,
            self.room_at(now_s),
            max(0.0, now_s - breaker.until_s) if breaker.is_open else 0.0,
        )


class Health:
    """The windows of all offers. Lives as long as the process; a reload of the catalog keeps it. `random` is for the breakers' jitter."""

    def __init__(self, random: Callable[[], float] = lambda: 0.5) -> None:
        self._offers: dict[str, _Offer] = {}
        self._random = random
        self._token = NO_TOKEN
        self.changes = 0
        """Grows when an offer fails, recovers, asks for rest, is tried by way of trial or measured for the first time: an order made before may be wrong."""

    def begin(self, offer: str, now_s: float, *, is_stream: bool = False) -> int:
        """An attempt begins; `observe` ends it, whatever became of it. A stream's token is for `hear`."""
        window = self._window(offer)
        window.in_flight += 1
        window.known_until_s = _NEVER
        if window.breaker.is_open and window.breaker.begin(now_s):
            self.changes += 1
        if not is_stream:
            return NO_TOKEN
        token = self._token = self._token + 1
        if len(window.waiting) >= MAX_WAITING:
            del window.waiting[next(iter(window.waiting))]
        window.streams += 1
        window.waiting[token] = (now_s, window.streams)
        return token

    def hear(self, offer: str, token: int) -> None:
        """A stream had its first useful event. Where nobody calls this, `observe` has to do."""
        self._window(offer).waiting.pop(token, None)

    def observe(self, offer: str, sample: Sample, token: int = NO_TOKEN) -> None:
        """Take in one ended attempt; `token` is what `begin` gave for it."""
        window = self._window(offer)
        window.known_until_s = _NEVER
        if window.in_flight:
            window.in_flight -= 1
        if token:
            window.waiting.pop(token, None)
        window.add(sample)
        if sample.up is False:
            window.failed_s = sample.at_s
            self.changes += 1
        elif sample.up:
            if window.failed_s != _NEVER:
                window.failed_s = _NEVER
                self.changes += 1
            window.limits = 0
        elif sample.limited:
            window.limit(sample.at_s)
            self.changes += 1
        if window.breaker.end(sample.up, sample.at_s, sample.began_s):
            self.changes += 1
            if not window.breaker.is_open:
                window.forgive()
        if not window.is_measured and sample.first_token_ms is not None:
            window.is_measured = True
            self.changes += 1

    def demote(self, offer: str, now_s: float) -> None:
        """It cannot serve anyone for now (a wrong key, no credit): others go first for a while. Says nothing of its uptime."""
        window = self._window(offer)
        window.known_until_s = _NEVER
        window.demoted_s = now_s
        self.changes += 1

    def rest(self, offer: str, now_s: float, retry_after_s: float, status: int) -> None:
        """The provider asked to be left alone (`Retry-After`)."""
        window = self._window(offer)
        window.known_until_s = _NEVER
        window.rest_s = max(window.rest_s, now_s + min(retry_after_s, MAX_RETRY_AFTER_S))
        window.rest_status = status
        self.changes += 1

    def figures(self, offer: str, now_s: float) -> Figures:
        """What is known of an offer."""
        window = self._offers.get(offer)
        if window is None:
            return UNMEASURED
        if now_s < window.known_until_s:
            return window.known
        known = window.figures(now_s)
        if len(window.waiting) >= MIN_SILENT and known.breaker == "closed" and window.is_silent(now_s):
            window.breaker.open(now_s)
            self.changes += 1
            return window.figures(now_s)
        return known

    def _window(self, offer: str) -> _Offer:
        window = self._offers.get(offer)
        if window is None:
            window = self._offers[offer] = _Offer(self._random)
        return window


def _count(minutes: deque[_Minute], number: int) -> _Measured:
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
            each = minute.seen / len(minute.first)
            fresh = 0.5 ** (age / LATELY_MINUTES)
            latencies += [(value, weight * each, fresh * each) for value in minute.first]
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
    return _Measured(
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

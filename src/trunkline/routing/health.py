"""What our own traffic measured of each offer. In: attempts as they begin and end. Out: `Figures`: latency, throughput, uptime, breaker, who must rest.

Figures as design.md section 4 defines them, of the last hour (`minutes`); what other gateways measured is taken in where they tell it (`news`). Figures
are for one offer alone: an outage of its whole provider shows within three attempts at each of its offers, and not everything that fails at one model
fails at the next.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from trunkline.routing.breaker import OPEN_SHARE, Breaker, State
from trunkline.routing.minutes import (
    ENOUGH,
    MAX_MINUTES,
    MINUTE_S,
    RECENT_MINUTES,
    FarMinute,
    Measured,
    Minute,
    Sample,
    count,
)
from trunkline.routing.news import News, Told, read, write

__all__ = ["ENOUGH", "Figures", "Health", "Sample"]

STEADY_S = 0.5
"""With `ENOUGH` attempts, figures are at most this old; a failure shows at once."""

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
MAX_TOLD = 50
"""Offers whose news are told in one go."""
MAX_WAITING = 4096
"""Of one offer; who never ends an attempt takes no more memory than this."""
_NEVER = float("-inf")
_AnyMinute = TypeVar("_AnyMinute", bound=Minute)


class _Offer:
    """The last hour of one offer. What was counted is kept, and the figures of a steady offer too, so that asking costs nothing."""

    __slots__ = (
        "_counted_s",
        "_far",
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
        "told",
        "up_began_s",
        "waiting",
    )  # fmt: skip

    def __init__(self, random: Callable[[], float]) -> None:
        self._minutes: deque[Minute] = deque()
        self._far: deque[FarMinute] = deque()
        """What other gateways said."""
        self.told = Told()
        self.up_began_s = _NEVER
        """When the newest attempt of ours that succeeded began."""
        self._measured = Measured()
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
            minutes.append(Minute(number))
            _keep_short(minutes)
        minutes[-1].add(sample)
        self._is_dirty = True
        if sample.up is False:
            self._counted_s = _NEVER

    def adds_answer(self, now_s: float) -> bool:
        """Add an attempt that was answered to an offer that stands well, in a minute that has begun. False: nothing was done."""
        minutes = self._minutes
        if not minutes or minutes[-1].number != now_s // MINUTE_S or self.failed_s != _NEVER:
            return False
        if not self.breaker.adds_answer(now_s):
            return False
        minute = minutes[-1]
        minute.attempts += 1
        minute.up += 1
        self.limits = 0
        self._is_dirty = True
        self.known_until_s = _NEVER
        if self.in_flight:
            self.in_flight -= 1
        return True

    def take(self, news: News, at_s: float) -> None:
        """Sums that another gateway told then."""
        number = int(at_s // MINUTE_S)
        minutes = self._far
        if not minutes or minutes[-1].number < number:
            minutes.append(FarMinute(number))
            _keep_short(minutes)
        minute = minutes[-1]
        minute.attempts += news.attempts
        minute.up += news.up
        minute.down += news.down
        minute.limited += news.limited
        minute.speed_sum += news.speed_sum
        minute.speed_count += news.speed_count
        if news.first:
            minute.take(news.first, news.seen)
        self._is_dirty = True
        if news.down:
            self._counted_s = _NEVER

    @property
    def is_told(self) -> bool:
        """A quick look: there is nothing that was not told. False: there may be something."""
        told, breaker, minutes = self.told, self.breaker, self._minutes
        if minutes and (minutes[-1].number != told.number or minutes[-1].attempts != told.attempts):
            return False
        return (
            breaker.is_open == told.is_open
            and breaker.opened_s == told.opened_s
            and self.rest_s == told.rest_s
            and self.limited_s == told.limited_s
            and self.demoted_s == told.demoted_s
        )

    def news(self, offer: str, now_s: float) -> News | None:
        """Ours since the last time; None: there are none."""
        told = self.told
        (attempts, up, down, limited, seen, speed_sum, speed_count), first = told.sums(
            reversed(self._minutes), int(now_s // MINUTE_S) - 1
        )
        opened_ago_s, open_s, closed_ago_s = told.breaker(self.breaker, now_s)
        is_resting = self.rest_s > max(told.rest_s, now_s)
        is_limited = self.limited_s > max(told.limited_s, now_s)
        is_demoted = self.demoted_s > told.demoted_s
        told.rest_s, told.limited_s, told.demoted_s = self.rest_s, self.limited_s, self.demoted_s
        if not (
            attempts or is_resting or is_limited or is_demoted or opened_ago_s is not None or closed_ago_s is not None
        ):
            return None
        return News(
            offer,
            int(attempts),
            int(up),
            int(down),
            int(limited),
            first,
            int(seen),
            speed_sum,
            int(speed_count),
            opened_ago_s,
            open_s,
            closed_ago_s,
            self.rest_s - now_s if is_resting else None,
            self.rest_status,
            self.limited_s - now_s if is_limited else None,
            now_s - self.demoted_s if is_demoted else None,
        )

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
        for minute in (*self._minutes, *self._far):
            minute.forgiven = minute.down
        self._counted_s = _NEVER

    def figures(self, now_s: float) -> Figures:
        if self._needs_counting(now_s):
            self._measured = count(self._all_minutes(), int(now_s // MINUTE_S))
            self._counted_s = now_s
            self._is_dirty = False
        known = self._now(now_s)
        if not (self._is_dirty or self._is_unsteady(now_s)):
            self.known = known
            self.known_until_s = (now_s // MINUTE_S + 1) * MINUTE_S
        return known

    def _all_minutes(self) -> Sequence[Minute]:
        """The oldest first."""
        if not self._far:
            return self._minutes
        return sorted((*self._minutes, *self._far), key=lambda minute: minute.number)

    def _needs_counting(self, now_s: float) -> bool:
        if now_s // MINUTE_S != self._counted_s // MINUTE_S:
            return bool(self._minutes or self._far)
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
            window.up_began_s = sample.began_s
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

    def answered(self, offer: str, now_s: float, began_s: float) -> None:
        """`observe` of what was answered and is no stream: by far the most."""
        window = self._offers.get(offer)
        if window is not None and window.adds_answer(now_s):
            window.up_began_s = began_s
        else:
            self.observe(offer, Sample(now_s, True, began_s=began_s))

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

    def news(self, now_s: float) -> Iterator[bytes]:
        """For other gateways: what became of offers here since this was asked last. In pieces that take well under a millisecond."""
        found: list[News] = []
        for offer, window in list(self._offers.items()):
            one = None if window.is_told else window.news(offer, now_s)
            if one is not None:
                found.append(one)
            if len(found) == MAX_TOLD:
                yield write(found)
                found = []
        if found:
            yield write(found)

    def hear_of(self, words: bytes, now_s: float, ago_s: float) -> None:
        """Take in what another gateway's `news` said so long ago."""
        at_s = now_s - ago_s
        for news in read(words):
            window = self._window(news.offer)
            window.known_until_s = _NEVER
            if news.attempts:
                window.take(news, at_s)
            if _heed(window, news, at_s) or news.down:
                self.changes += 1
            if news.seen and not window.is_measured:
                window.is_measured = True
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


def _keep_short(minutes: deque[_AnyMinute]) -> None:
    """The newest was put to them."""
    if len(minutes) > RECENT_MINUTES + 1:
        minutes[-RECENT_MINUTES - 2].thin()
    while minutes[0].number <= minutes[-1].number - MAX_MINUTES:
        minutes.popleft()


def _heed(window: _Offer, news: News, at_s: float) -> bool:
    """Take over the state that another gateway has an offer in; True where that changes something. What is known here and newer holds."""
    told, changes = window.told, False
    if news.up and window.failed_s != _NEVER:
        window.failed_s, changes = _NEVER, True
    elif news.down and not news.up:
        window.failed_s = max(window.failed_s, at_s)
    if news.rest_s is not None and at_s + news.rest_s > window.rest_s:
        window.rest_s, window.rest_status, changes = at_s + news.rest_s, news.rest_status, True
        told.rest_s = window.rest_s
    if news.limited_s is not None and at_s + news.limited_s > window.limited_s:
        window.limited_s = told.limited_s = at_s + news.limited_s
        changes = True
    if news.demoted_ago_s is not None and at_s - news.demoted_ago_s > window.demoted_s:
        window.demoted_s = told.demoted_s = at_s - news.demoted_ago_s
        changes = True
    return _heed_breaker(window, news, at_s) or changes


def _heed_breaker(window: _Offer, news: News, at_s: float) -> bool:
    breaker, told = window.breaker, window.told
    if news.opened_ago_s is not None:
        opened_s = at_s - news.opened_ago_s
        # It answers here what was asked later than that: then it may be the other gateway that has a fault.
        if window.up_began_s >= opened_s or not breaker.heed_opened(opened_s, at_s + news.open_s):
            return False
    elif news.closed_ago_s is None or not breaker.heed_closed(at_s - news.closed_ago_s):
        return False
    else:
        window.forgive()
    told.is_open, told.opened_s = breaker.is_open, breaker.opened_s
    return True

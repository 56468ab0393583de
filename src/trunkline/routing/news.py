"""What gateways tell each other of offers, about once a second: sums, never each attempt. In: an offer's window. Out: `News`, and as bytes.

Ages instead of times: clocks of machines differ, and each counts from when it heard.
"""

from collections.abc import Iterable, Sequence
from itertools import takewhile

import msgspec

from trunkline.routing.breaker import Breaker
from trunkline.routing.minutes import Minute

MAX_LATENCIES = 8
"""Of one offer, told at once; they stand for all."""
_NEVER = float("-inf")


class News(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What became of one offer since it was told last. Times in seconds; None: nothing new."""

    offer: str
    attempts: int = 0
    up: int = 0
    down: int = 0
    limited: int = 0
    first: tuple[float, ...] = ()
    """First-token latencies, in ms."""
    seen: int = 0
    """How many there were."""
    speed_sum: float = 0.0
    speed_count: int = 0
    opened_ago_s: float | None = None
    open_s: float = 0.0
    """How long it stays open."""
    closed_ago_s: float | None = None
    rest_s: float | None = None
    rest_status: int = 429
    limited_s: float | None = None
    """How long others go first, because it refused several in a row with 429."""
    demoted_ago_s: float | None = None


class Told:
    """What was told of one offer, so that only news are told. Lives as long as its window."""

    __slots__ = ("_told", "demoted_s", "is_open", "limited_s", "number", "opened_s", "rest_s")

    def __init__(self) -> None:
        self.number = -1
        """Of the newest minute that was told, in part or as a whole."""
        self._told: Sequence[float] = (0,) * 7
        """Its sums."""
        self.opened_s = self.rest_s = self.limited_s = self.demoted_s = _NEVER
        self.is_open = False

    @property
    def attempts(self) -> float:
        """Of the newest minute that was told."""
        return self._told[0]

    def sums(self, minutes: Iterable[Minute], since: int) -> tuple[Sequence[float], tuple[float, ...]]:
        """What was added to the newest minutes, none of them older than `since`, and some of the latencies; `minutes` has the newest first."""
        added: list[float] = [0] * 7
        first: list[float] = []
        newest: Sequence[float] | None = None
        number = self.number
        for minute in takewhile(lambda minute: minute.number >= max(since, self.number), minutes):
            now = _sums(minute)
            before = self._told if minute.number == self.number else (0,) * 7
            if newest is None:
                newest, number = now, minute.number
            added = [one + value - old for one, value, old in zip(added, now, before, strict=True)]
            new = int(now[4] - before[4])
            if new:
                first += minute.first[-min(MAX_LATENCIES, -(-new // minute.stride)) :]
        if newest is not None:
            self.number, self._told = number, newest
        return added, tuple(first[:MAX_LATENCIES])

    def breaker(self, breaker: Breaker, now_s: float) -> tuple[float | None, float, float | None]:
        """How long ago it opened and how long it stays so, or how long ago it closed."""
        was_open, before_s = self.is_open, self.opened_s
        self.is_open, self.opened_s = breaker.is_open, breaker.opened_s
        if breaker.is_open:
            is_new = breaker.opened_s != before_s
            return (now_s - breaker.opened_s, breaker.until_s - now_s, None) if is_new else (None, 0.0, None)
        return None, 0.0, now_s - breaker.closed_s if was_open else None


def _sums(minute: Minute) -> Sequence[float]:
    return (
        minute.attempts,
        minute.up,
        minute.down,
        minute.limited,
        minute.seen,
        minute.speed_sum,
        minute.speed_count,
    )


def write(news: Sequence[News]) -> bytes:
    """For `read`."""
    return msgspec.msgpack.encode(news)


def read(words: bytes) -> list[News]:
    """Of another version, which cannot be read: none."""
    try:
        return _news.decode(words)
    except msgspec.DecodeError:
        return []


_news = msgspec.msgpack.Decoder(list[News])

"""Uptime over time and now, as pages show it. In: counts of outcomes by minute, hour or day. Out: bars, and the state of an offer or a provider."""

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeVar

import msgspec
from markupsafe import Markup

from trunkline.records.figures import DAY_S, HOUR_S, MINUTE_S
from trunkline.storage.ladder import Span
from trunkline.storage.outcomes import Outcomes
from trunkline.web.format import bar_hour, day, percent

LATELY_S = 10 * MINUTE_S
NOW_S = HOUR_S
"""What the state of now goes by: the last ten minutes if enough happened in them, else this hour and the one before."""
PAST_HOLDS_MS = HOUR_S * 1000
LATE_HOLDS_MS = 20_000
ENOUGH = 3
GOOD, FAIR = 0.999, 0.95
"""At least so much is good, and fair."""
BAD_GRADES = ("fair", "bad")

Found = TypeVar("Found")
State = Literal["up", "disturbed", "down", "limited", "quiet"]
GRADES: Mapping[State, str] = {"up": "good", "disturbed": "fair", "down": "bad", "limited": "fair", "quiet": "none"}
WORDS: Mapping[State, str] = {
    "up": "Up",
    "disturbed": "Disturbed",
    "down": "Down",
    "limited": "Limited",
    "quiet": "No traffic",
}


class Bar(msgspec.Struct, frozen=True):
    """`share` is the uptime, None without attempts that count."""

    start_ms: int
    share: float | None

    @property
    def grade(self) -> str:
        return grade(self.share)


class Now(msgspec.Struct, frozen=True):
    """How it goes: of the last minutes or the last hour."""

    state: State = "quiet"
    uptime: float | None = None
    attempts: int = 0

    @property
    def grade(self) -> str:
        return GRADES[self.state]

    @property
    def words(self) -> str:
        return WORDS[self.state]


QUIET = Now()


class Recent(msgspec.Struct, frozen=True):
    """The last minutes, this hour and the one before, by name."""

    minutes: dict[str, list[Outcomes]]
    hours: dict[str, list[Outcomes]]


class Past:
    """What no longer changes, or slowly, so that it is read once and not for each page. Lives as long as the app."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Span, float, list[Outcomes]]] = {}
        self._found: dict[Hashable, tuple[float, Any]] = {}

    async def of_late(self, what: Hashable, now_ms: float, find: Callable[[], Awaitable[Found]]) -> Found:
        """What was found within the last seconds, or is now."""
        found_ms, found = self._found.get(what, (-LATE_HOLDS_MS, None))
        if not 0 <= now_ms - found_ms < LATE_HOLDS_MS:
            found = await find()
            self._found[what] = now_ms, found
        of_late: Found = found
        return of_late

    async def outcomes(
        self, what: str, span: Span, now_ms: float, ask: Callable[[Span], Awaitable[list[Outcomes]]]
    ) -> list[Outcomes]:
        """Of a span of whole days that ends today: from memory but for the last two days, and read anew each hour."""
        until_s = span.end_s - 2 * DAY_S
        past = Span(span.start_s, until_s)
        before, read_ms, kept = self._kept.get(what, (None, 0.0, []))
        if before != past or now_ms - read_ms > PAST_HOLDS_MS:
            kept = await ask(past)
            self._kept[what] = (past, now_ms, kept)
        return [*kept, *await ask(Span(until_s, span.end_s))]


def grade(share: float | None) -> str:
    """The colour of a bar."""
    if share is None:
        return "none"
    return "good" if share >= GOOD else "fair" if share >= FAIR else "bad"


def bars(outcomes: Iterable[Outcomes], span: Span, width_s: int) -> list[Bar]:
    """One for each `width_s` of a span that begins on such a one, oldest first."""
    found = {one.start_s: one for one in outcomes}
    starts = range(span.start_s, span.end_s, width_s)
    return [Bar(at_s * 1000, found[at_s].uptime if at_s in found else None) for at_s in starts]


def by_name(outcomes: Iterable[Outcomes]) -> dict[str, list[Outcomes]]:
    """Those of each offer or provider, oldest first."""
    found: dict[str, list[Outcomes]] = {}
    for one in outcomes:
        found.setdefault(one.of, []).append(one)
    return found


def total(outcomes: Sequence[Outcomes]) -> Outcomes:
    """All together, without the causes."""
    return Outcomes(
        0,
        "",
        sum(one.attempts for one in outcomes),
        sum(one.ok for one in outcomes),
        sum(one.failed for one in outcomes),
        sum(one.limited for one in outcomes),
    )


def day_bars(bars: Sequence[Bar]) -> Markup:
    """Bars of days as elements with their words. Here and not in a template, since a page has thousands."""
    return _drawn((bar.share, _day(bar.start_ms)) for bar in bars)


def hour_bars(hours: Sequence[tuple[int, float | None]]) -> Markup:
    """The same of hours: start in Unix ms, share."""
    return _drawn((share, _hour(start_ms)) for start_ms, share in hours)


def strip_paths(bars: Sequence[Bar]) -> Markup:
    """The bars in few bytes: a path a grade."""
    drawn: dict[str, list[str]] = {"none": [], "good": [], "fair": [], "bad": []}
    for at, bar in enumerate(bars):
        drawn[grade(bar.share)].append(f"M{at * 4} 0h3v20h-3z")
    paths = "".join(f'<path class="{name}" d="{"".join(parts)}"/>' for name, parts in drawn.items())
    return Markup(paths)  # noqa: S704  Numbers, and words of ours.


def _drawn(bars: Iterable[tuple[float | None, str]]) -> Markup:
    """Share and when."""
    return Markup(  # noqa: S704  Numbers, and words of ours.
        "".join(
            f'<i class="{grade(share)}" title="{when}: {"no requests" if share is None else percent(share)}"></i>'
            for share, when in bars
        )
    )


@lru_cache(maxsize=400)  # Pure functions, asked for the same times for each provider.
def _day(unix_ms: int) -> str:
    return day(unix_ms)


@lru_cache(maxsize=400)
def _hour(unix_ms: int) -> str:
    return bar_hour(unix_ms)


def now_of(recent: Recent, name: str) -> Now:
    """Of an offer or a provider."""
    lately, hour = total(recent.minutes.get(name, ())), total(recent.hours.get(name, ()))
    seen = lately if lately.counted >= ENOUGH or lately.limited >= ENOUGH else hour
    return Now(_state(seen), seen.uptime, seen.attempts)


async def recent(ask: Callable[[Span, int], Awaitable[list[Outcomes]]], now_s: int) -> Recent:
    """What the state of now is told from. `ask` is asked for a span in a width."""
    minutes = await ask(Span(now_s - LATELY_S, now_s + 1), MINUTE_S)
    # The hour that has just begun says little.
    hours = await ask(Span(now_s - NOW_S, now_s + 1), HOUR_S)
    return Recent(by_name(minutes), by_name(hours))


def days(now_s: int, count: int) -> Span:
    """So many days in UTC, today the last of them."""
    start_s = now_s - now_s % DAY_S
    return Span(start_s - (count - 1) * DAY_S, start_s + DAY_S)


def _state(seen: Outcomes) -> State:
    if seen.limited > seen.counted:
        return "limited"
    if seen.uptime is None:
        return "quiet"
    if seen.uptime < 0.5:
        return "down"
    return "up" if seen.uptime >= FAIR else "disturbed"

"""Pure arithmetic of the statistics: days, weeks, the first N and the others, growth. In: sums of use. Out: what the endpoints show."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import msgspec

from trunkline.errors import InvalidParams
from trunkline.records.figures import DAY_S, Use

Metric = Literal["tokens", "cost"]
Width = Literal["1d", "1w"]
OTHERS = "__others__"
MAX_BUCKETS = 60
DEFAULT_BUCKETS = 28
PICO = 10**12
WEEK = timedelta(days=7)
DAY = timedelta(days=1)
SMOOTHING = 0.1
"""Of the mean volume of a model: as much is added to both sides of a growth, so that ten tokens after one are no rise of 900 %."""
LEAST = 0.01
"""Of the mean volume of a model: those below are no trend."""


class Growth(msgspec.Struct, frozen=True):
    """How one model's volume changed. `rate` 0.5 is half as much again."""

    model: str
    value: float
    previous: float
    rate: float
    score: float


def number(use: Use, metric: Metric) -> int | float:
    """Tokens in and out, or USD."""
    return use.total_tokens if metric == "tokens" else use.cost_pico_usd / PICO


def parsed_day(text: str | None, param: str, default: date) -> date:
    """A date as people write it. Raises InvalidParams."""
    if text is None:
        return default
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise InvalidParams(f"{param}: {text[:40]!r} is no date; write for example 2026-01-31", param=param) from None


def buckets(start: date | None, end: date, width: Width) -> list[date]:
    """The first days of all buckets, the one that holds `end` last. Weeks begin on Monday. Raises InvalidParams where it are too many."""
    step = DAY if width == "1d" else WEEK
    last = end if width == "1d" else monday(end)
    first = last - (DEFAULT_BUCKETS - 1) * step if start is None else start if width == "1d" else monday(start)
    count = (last - first) // step + 1
    if count < 1:
        raise InvalidParams("starting_at is later than ending_at", param="starting_at")
    if count > MAX_BUCKETS:
        raise InvalidParams(
            f"these are {count} buckets; at most {MAX_BUCKETS} can be asked for: choose a later starting_at, or weeks",
            param="starting_at",
        )
    return [first + index * step for index in range(count)]


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def period(day: date, width: Width) -> str:
    """`YYYYMMDD`, or the ISO year and week as `YYYYWW`."""
    if width == "1d":
        return day.strftime("%Y%m%d")
    year, week, _ = day.isocalendar()
    return f"{year}{week:02}"


def day_of(unix_s: int) -> date:
    return datetime.fromtimestamp(unix_s, UTC).date()


def unix_s(day: date) -> int:
    return (day - date(1970, 1, 1)).days * DAY_S


def first(values: Mapping[str, float], limit: int) -> list[tuple[str, float]]:
    """The largest, then what all others have together. What has nothing is left out."""
    ranked = sorted(((name, value) for name, value in values.items() if value > 0), key=lambda one: (-one[1], one[0]))
    rest = sum(value for _, value in ranked[limit:])
    return ranked[:limit] + ([(OTHERS, rest)] if rest else [])


def added(rows: Sequence[tuple[str, float]], named: Callable[[str], str] = lambda name: name) -> dict[str, float]:
    """Sums by name."""
    sums: dict[str, float] = {}
    for name, value in rows:
        name = named(name)
        sums[name] = sums.get(name, 0) + value
    return sums


def trending(now: Mapping[str, float], before: Mapping[str, float]) -> list[Growth]:
    """By growth times size, `log1p(now) * (now + a) / (before + a)`, as https://docs.zenmux.ai/api/platform/statistics-trending.html ranks.

    Its constants are not published. Here: `a` is `SMOOTHING` of the mean volume; below `LEAST` of it a model is left out; one without
    a volume before is compared with the median of those that had one, else with `a`.
    """
    sized = {model: value for model, value in now.items() if value > 0}
    if not sized:
        return []
    mean = sum(sized.values()) / len(sized)
    smoothing = SMOOTHING * mean
    known = sorted(value for value in before.values() if value > 0)
    baseline = known[len(known) // 2] if known else smoothing
    found = []
    for model, value in sized.items():
        if value < LEAST * mean:
            continue
        previous = before.get(model, 0) or baseline
        ratio = (value + smoothing) / (previous + smoothing)
        found.append(Growth(model, value, previous, ratio - 1, math.log1p(value) * ratio))
    return sorted(found, key=lambda one: (-one.score, one.model))

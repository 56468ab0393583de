"""The live figures of a model's offers. In: an open store's statistics, the offers, a range. Out: tiles, bars of uptime, tables and charts.

None where nothing is known. All from rollups (storage.statistics): a handful of questions, each of some milliseconds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from trunkline.records.figures import DAY_S, HOUR_S, OfferFigures, Use
from trunkline.records.histogram import Histogram
from trunkline.storage.ladder import Span
from trunkline.storage.outcomes import Outcomes, OutcomesOverTime
from trunkline.storage.statistics import OfferSeries, Statistics

BAR_HOURS, MANY, BAR_HOURS_OF_MANY = 72, 6, 48
"""Bars of each offer; of more offers than so many fewer, or they would be most of the page."""
LAST = ("last hour", "last day")
MS = 1000


class Range(msgspec.Struct, frozen=True):
    """Of the charts over time: made of rows of `width_s`, with a point each `step_s`."""

    words: str
    length_s: int
    width_s: int
    step_s: int
    each: str


RANGES: Mapping[str, Range] = {
    "24h": Range("24 hours", DAY_S, HOUR_S, HOUR_S, "hour"),
    "7d": Range("7 days", 7 * DAY_S, HOUR_S, 4 * HOUR_S, "4 hours"),
    "30d": Range("30 days", 30 * DAY_S, DAY_S, DAY_S, "day"),
    "90d": Range("90 days", 90 * DAY_S, DAY_S, DAY_S, "day"),
}
DAYS = (7, 30, 90)


class Now(msgspec.Struct, frozen=True):
    """An offer of late. Medians are of the last hour, where that had no stream of the last day (`of`); uptime is of this hour and the 23 before."""

    latency_ms: float | None = None
    tokens_per_s: float | None = None
    uptime: float | None = None
    attempts: int = 0
    of: str = ""
    hours: tuple[tuple[int, float | None], ...] = ()
    """Start in Unix ms, share that went well; oldest first."""


class Row(msgspec.Struct, frozen=True):
    """A provider's spread of a figure."""

    provider: str
    low: float
    high: float
    mean: float
    p50: float
    p90: float
    p99: float
    samples: int


class Measure(msgspec.Struct, frozen=True):
    """Rows of a table, and the chart above it (see `ui.chart`)."""

    rows: list[Row]
    chart: dict[str, Any]


class Performance(msgspec.Struct, frozen=True):
    """Both figures over one range."""

    throughput: Measure
    latency: Measure


class Activity(msgspec.Struct, frozen=True):
    """Tokens by day, and the sums."""

    chart: dict[str, Any]
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    requests: int


async def now_of(
    statistics: Statistics, outcomes: OutcomesOverTime, names: Sequence[str], now_ms: float
) -> dict[str, Now]:
    """Each offer of late; those without attempts have empty figures and bars."""
    now_s = int(now_ms // MS)
    hour_s = now_s - now_s % HOUR_S
    bar_hours = BAR_HOURS if len(names) <= MANY else BAR_HOURS_OF_MANY
    bars = Span(hour_s - (bar_hours - 1) * HOUR_S, hour_s + HOUR_S)
    by_offer: dict[str, list[Outcomes]] = {name: [] for name in names}
    for one in await outcomes.offers(bars, HOUR_S, names):
        by_offer[one.of].append(one)
    _, figures = await statistics.offers(Span(now_s - HOUR_S, now_s + 1), names)
    quiet = [name for name in names if name not in figures or not figures[name].latency.count]
    seen = [name for name in quiet if by_offer[name]]
    # Few: what had a stream within the hour needs no more.
    _, of_day = await statistics.offers(Span(now_s - DAY_S, now_s + 1), seen) if seen else (bars, {})
    return {
        name: _now(by_offer[name], bars, of_day.get(name) if name in quiet else figures[name], LAST[name in quiet])
        for name in names
    }


async def performance(statistics: Statistics, offers: Mapping[str, str], range_: Range, now_ms: float) -> Performance:
    """`offers`: id -> the provider's name."""
    now_s = int(now_ms // MS)
    start_s = now_s - range_.length_s
    found = await statistics.offer_series(Span(start_s, now_s + 1), range_.width_s, list(offers), range_.step_s)
    by_offer = {one.offer: one for one in found}
    ordered = [(words, by_offer[offer]) for offer, words in offers.items() if offer in by_offer]
    starts = list(range(start_s - start_s % range_.step_s, now_s + 1, range_.step_s))
    return Performance(*(_measure(ordered, starts, range_, figure) for figure in ("speed", "latency")))


async def activity(statistics: Statistics, slug: str, days: int, now_ms: float) -> Activity:
    """Of the last days in UTC, today among them."""
    now_s = int(now_ms // MS)
    first_s = now_s - now_s % DAY_S - (days - 1) * DAY_S
    rows = await statistics.use(Span(first_s, now_s + 1), (), daily=True, models=(slug,))
    used = {row.start_s: row.use for row in rows}
    starts = list(range(first_s, now_s + 1, DAY_S))
    by_day = [used.get(start_s, Use()) for start_s in starts]
    series = {
        "Input": [use.total_input_tokens - use.cache_read_tokens for use in by_day],
        "Cached input": [use.cache_read_tokens for use in by_day],
        "Output": [use.total_tokens - use.total_input_tokens for use in by_day],
    }
    chart = {
        "x": starts,
        "series": [{"name": name, "values": values} for name, values in series.items()],
        "kind": "bars",
        "utc": True,
    }
    went_in, cached, came_out = (sum(values) for values in series.values())
    return Activity(chart, went_in, cached, came_out, sum(use.requests for use in by_day))


def _now(outcomes: Sequence[Outcomes], bars: Span, figures: OfferFigures | None, of: str) -> Now:
    shares = {one.start_s: one.uptime for one in outcomes}
    hours = tuple((start_s * MS, shares.get(start_s)) for start_s in range(bars.start_s, bars.end_s, HOUR_S))
    day = [one for one in outcomes if one.start_s >= bars.end_s - DAY_S]
    counted = sum(one.counted for one in day)
    return Now(
        latency_ms=figures.latency.quantile(0.5) if figures else None,
        tokens_per_s=figures.speed.quantile(0.5) if figures else None,
        uptime=sum(one.ok for one in day) / counted if counted else None,
        attempts=sum(one.attempts for one in day),
        of=of if figures and figures.latency.count else "",
        hours=hours,
    )


def _measure(ordered: Sequence[tuple[str, OfferSeries]], starts: Sequence[int], range_: Range, figure: str) -> Measure:
    rows, lines = [], []
    for provider, series in ordered:
        points: dict[int, Histogram] = {start_s: getattr(point, figure) for start_s, point in series.points}
        whole = Histogram()
        for point in points.values():
            whole.merge(point)
        if whole.count:
            rows.append(_row(provider, whole))
            means = [points[start_s].mean if start_s in points else None for start_s in starts]
            lines.append({"name": provider, "values": [None if one is None else round(one, 2) for one in means]})
    # Days are those of UTC; hours are shown in the reader's zone.
    return Measure(rows, {"x": list(starts), "series": lines, "kind": "line", "utc": range_.width_s == DAY_S})


def _row(provider: str, values: Histogram) -> Row:
    quantiles = [values.quantile(share) for share in (0.5, 0.9, 0.99)]
    p50, p90, p99 = (0.0 if one is None else one for one in quantiles)
    return Row(provider, values.low, values.high, values.mean or 0.0, p50, p90, p99, values.count)

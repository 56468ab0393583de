"""`GET /api/v1/management/statistics/...`: ZenMux's figures of use and of performance, and our own of offers, up to the second. In: dates, a metric.
Out: `{"success": true, "data": ...}`.

https://docs.zenmux.ai/api/platform/statistics-timeseries.html, -leaderboard, -market-share, -model-usage, -performance, -trending.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query

from trunkline.api.live import iso, offer_card
from trunkline.api.management import ranks
from trunkline.api.management.access import ConsoleOf, allowed
from trunkline.api.management.console import Console
from trunkline.api.management.ranks import DAY, OTHERS, WEEK, Metric, Width
from trunkline.catalog.query import find
from trunkline.catalog.types import Catalog
from trunkline.errors import InvalidParams
from trunkline.records.figures import DAY_S, HOUR_S, MINUTE_S, OfferFigures, Use
from trunkline.storage.ladder import Span
from trunkline.storage.statistics import Statistics, UseRow

PATH = "/api/v1/management/statistics"
PERFORMANCE_DAYS = 30
PERFORMANCE_MODELS = 10
MODEL_DAYS = 30
SERIES_POINTS = 1_500
FREE = "-free"
"""ZenMux's variants that cost nothing; counted with the model."""
APIS: Mapping[str, str] = {
    "openai.chat": "openai",
    "openai.responses": "openai_responses",
    "anthropic.messages": "anthropic",
    "gemini": "google",
}
"""What the caller spoke. ZenMux's page names `anthropic` and `openai`."""
_WIDTHS = {"1m": MINUTE_S, "1h": HOUR_S, "1d": DAY_S}

Day = Annotated[str | None, Query(max_length=40)]
Limit = Annotated[int, Query(ge=1, le=50)]
PerformanceMetric = Literal["throughput", "ttft", "cache_hit"]

router = APIRouter(prefix=PATH, dependencies=[Depends(allowed("installation"))])


@router.get("/timeseries")
async def timeseries(
    console: ConsoleOf,
    metric: Metric,
    bucket_width: Width,
    starting_at: Day = None,
    ending_at: Day = None,
    limit: Limit = 10,
) -> dict[str, Any]:
    """Tokens or cost over time, by model."""
    return await _over_time(
        console, metric, bucket_width, starting_at, ending_at, lambda rows: _model_shares(console.catalog, rows, limit)
    )


@router.get("/market_share")
@router.get("/market-share", include_in_schema=False)
async def market_share(
    console: ConsoleOf,
    metric: Metric,
    bucket_width: Width,
    starting_at: Day = None,
    ending_at: Day = None,
    limit: Limit = 10,
) -> dict[str, Any]:
    """Tokens or cost over time, by the author of the model."""
    return await _over_time(
        console, metric, bucket_width, starting_at, ending_at, lambda rows: _author_shares(console.catalog, rows, limit)
    )


@router.get("/leaderboard")
async def leaderboard(
    console: ConsoleOf, metric: Metric, starting_at: Day = None, ending_at: Day = None, limit: Limit = 10
) -> dict[str, Any]:
    """The models with the most tokens or the highest cost. Without `starting_at` of all time."""
    statistics, today = _statistics(console), _today(console)
    end = ranks.parsed_day(ending_at, "ending_at", today)
    first_day_s = await statistics.first_day_s()
    start = ranks.parsed_day(starting_at, "starting_at", end if first_day_s is None else ranks.day_of(first_day_s))
    rows = await statistics.use(_span(start, end), ("model",))
    values = {row.by[0]: ranks.number(row.use, metric) for row in rows}
    entries = [
        {"rank": rank, **_model_card(console.catalog, model), "value": value}
        for rank, (model, value) in enumerate(ranks.first(values, limit), 1)
    ]
    return _data(metric=metric, starting_at=start.isoformat(), ending_at=end.isoformat(), entries=entries)


@router.get("/model_usage")
@router.get("/model-usage", include_in_schema=False)
async def model_usage(
    console: ConsoleOf,
    model: Annotated[str, Query(min_length=1, max_length=200)],
    metric: Metric,
    starting_at: Annotated[str, Query(max_length=40)],
    ending_at: Annotated[str, Query(max_length=40)],
) -> dict[str, Any]:
    """One model, day by day, with the sum."""
    start, end = _days(console, starting_at, ending_at, MODEL_DAYS)
    found = find(console.catalog, model)
    slug = found.model.slug if found else model
    rows = await _statistics(console).use(_span(start, end), (), daily=True, models=(slug, slug + FREE))
    series = [
        {"date": ranks.day_of(row.start_s or 0).isoformat(), "value": value}
        for row in sorted(rows, key=lambda row: row.start_s or 0)
        if (value := ranks.number(row.use, metric))
    ]
    total = Use()
    for row in rows:
        total.cost_pico_usd += row.use.cost_pico_usd
    # Not a sum of floats: the sum of the amounts as they are stored.
    value = total.cost_pico_usd / ranks.PICO if metric == "cost" else sum(row.use.total_tokens for row in rows)
    label = found.model.name if found else model
    days = {"starting_at": start.isoformat(), "ending_at": end.isoformat()}
    return _data(model=model, label=label, metric=metric, **days, value=value, series=series)


@router.get("/performance")
async def performance(
    console: ConsoleOf,
    metric: PerformanceMetric,
    starting_at: Annotated[str, Query(max_length=40)],
    ending_at: Annotated[str, Query(max_length=40)],
) -> dict[str, Any]:
    """The ten best models by median throughput, median latency of the first token, or share of cached tokens, with their providers."""
    start, end = _days(console, starting_at, ending_at, PERFORMANCE_DAYS)
    statistics, catalog = _statistics(console), console.catalog
    if metric == "cache_hit":
        rows = await statistics.use(_span(start, end), ("model", "provider", "protocol"))
        entries = _cache_entries(catalog, rows)
    else:
        _, figures = await statistics.offers(_span(start, end))
        entries = _speed_entries(catalog, figures, metric)
    return _data(metric=metric, starting_at=start.isoformat(), ending_at=end.isoformat(), entries=entries)


@router.get("/trending")
async def trending(
    console: ConsoleOf, metric: Metric, bucket_width: Width, ending_at: Day = None, limit: Limit = 10
) -> dict[str, Any]:
    """Models by growth times size. Today counts as far as it has come, and is compared with as much of the time before."""
    statistics, today = _statistics(console), _today(console)
    end = ranks.parsed_day(ending_at, "ending_at", today)
    if end > today:
        raise InvalidParams("ending_at is later than today", param="ending_at")
    window, shown = (DAY, 7 * DAY) if bucket_width == "1d" else (WEEK, 2 * WEEK)
    start = end - window + DAY
    now = _by_model(await statistics.use(_span(start, end), ("model",)), metric)
    growths = ranks.trending(now, await _as_much_before(console, start, end, window.days, metric))[:limit]
    days = [end - shown + (index + 1) * DAY for index in range(shown.days)]
    rows = await statistics.use(_span(days[0], end), ("model",), daily=True, models=[one.model for one in growths])
    daily = {(row.by[0], row.start_s): ranks.number(row.use, metric) for row in rows}
    entries = [
        {
            "rank": rank,
            **_model_card(console.catalog, one.model),
            "icon_url": "",
            "value": one.value,
            "total_value": one.value,
            "previous_value": one.previous,
            "growth_rate": round(one.rate, 2),
            "growth_label": f"{one.rate * 100:+.2f}%",
            "data_points": [
                {"period": ranks.period(day, "1d"), "value": daily.get((one.model, ranks.unix_s(day)), 0)}
                for day in days
            ],
        }
        for rank, one in enumerate(growths, 1)
    ]
    return _data(metric=metric, bucket_width=bucket_width, ending_at=end.isoformat(), entries=entries)


@router.get("/offers")
async def offers(
    console: ConsoleOf,
    model: Annotated[str | None, Query(max_length=200)] = None,
    starting_at: Annotated[datetime | None, Query()] = None,
    ending_at: Annotated[datetime | None, Query()] = None,
    bucket_width: Annotated[Literal["1m", "1h", "1d"] | None, Query()] = None,
) -> dict[str, Any]:
    """Our own: each offer's latency, throughput, uptime, errors, cache hits in any range, the last 24 hours by default; in buckets if asked."""
    now_s = int(console.now_ms() // 1000)
    end_s = now_s + 1 if ending_at is None else _unix_s(ending_at)
    span = Span(end_s - DAY_S if starting_at is None else _unix_s(starting_at), end_s)
    if span.start_s >= span.end_s:
        raise InvalidParams("starting_at is not before ending_at", param="starting_at")
    names = _offer_names(console.catalog, model)
    statistics = _statistics(console)
    fitted, found = await statistics.offers(span, names)
    series: dict[str, list[dict[str, Any]]] = {}
    if bucket_width is not None:
        width_s = _WIDTHS[bucket_width]
        if (span.end_s - span.start_s) // width_s > SERIES_POINTS:
            raise InvalidParams(f"these are over {SERIES_POINTS} buckets; choose wider ones", param="bucket_width")
        for one in await statistics.offer_series(span, width_s, names):
            series[one.offer] = [{"start": iso(start_s), **offer_card(point)} for start_s, point in one.points]
    entries = [
        {
            "offer": offer,
            "model": offer.rpartition(":")[0],
            "provider": offer.rpartition(":")[2],
            **offer_card(figures),
            **({"series": series.get(offer, [])} if bucket_width else {}),
        }
        for offer, figures in sorted(found.items())
    ]
    return _data(
        starting_at=iso(fitted.start_s), ending_at=iso(fitted.end_s), bucket_width=bucket_width, offers=entries
    )


async def _over_time(
    console: Console,
    metric: Metric,
    width: Width,
    starting_at: str | None,
    ending_at: str | None,
    shares: Callable[[Sequence[tuple[str, float]]], dict[str, Any]],
) -> dict[str, Any]:
    """Buckets with what `shares` makes of each one's values by model."""
    end = ranks.parsed_day(ending_at, "ending_at", _today(console))
    start = None if starting_at is None else ranks.parsed_day(starting_at, "starting_at", end)
    days = ranks.buckets(start, end, width)
    last = days[-1] if width == "1d" else days[-1] + WEEK - DAY
    rows = await _statistics(console).use(_span(days[0], last), ("model",), daily=True)
    found: dict[date, list[tuple[str, float]]] = {day: [] for day in days}
    for row in rows:
        day = ranks.day_of(row.start_s or 0)
        found[day if width == "1d" else ranks.monday(day)].append((row.by[0], ranks.number(row.use, metric)))
    series = [
        {"period": ranks.period(day, width), "date": day.isoformat(), **shares(values)} for day, values in found.items()
    ]
    return _data(
        metric=metric,
        bucket_width=width,
        starting_at=days[0].isoformat(),
        ending_at=(end if width == "1d" else days[-1]).isoformat(),
        total_buckets=len(days),
        series=series,
    )


def _model_shares(catalog: Catalog, rows: Sequence[tuple[str, float]], limit: int) -> dict[str, Any]:
    return {
        "models": [
            {"model": model, "label": _label(catalog, model), "value": value}
            for model, value in ranks.first(ranks.added(rows), limit)
        ]
    }


def _author_shares(catalog: Catalog, rows: Sequence[tuple[str, float]], limit: int) -> dict[str, Any]:
    return {
        "authors": [
            {"author": author, "label": _author_label(catalog, author), "value": value}
            for author, value in ranks.first(ranks.added(rows, lambda model: _author(catalog, model)), limit)
        ]
    }


async def _as_much_before(console: Console, start: date, end: date, days: int, metric: Metric) -> dict[str, float]:
    """The window before the one that ends with `end`, as far as that one has come; the hour that is not over by its share."""
    statistics, shift_s = _statistics(console), days * DAY_S
    span = _span(start, end)
    until_s = min(span.end_s, console.now_ms() / 1000) - shift_s
    hour_s = int(until_s // HOUR_S) * HOUR_S
    values = _by_model(await statistics.use(Span(span.start_s - shift_s, hour_s), ("model",)), metric)
    part = (until_s - hour_s) / HOUR_S
    if part:
        for model, value in _by_model(await statistics.use(Span(hour_s, hour_s + HOUR_S), ("model",)), metric).items():
            values[model] = values.get(model, 0) + (round(value * part) if metric == "tokens" else value * part)
    return values


def _speed_entries(
    catalog: Catalog, figures: Mapping[str, OfferFigures], metric: PerformanceMetric
) -> list[dict[str, Any]]:
    """Models by the median of their best provider."""
    sign = -1 if metric == "throughput" else 1
    models: dict[str, list[tuple[float, str]]] = {}
    for offer, one in figures.items():
        median = (one.speed if metric == "throughput" else one.latency).quantile(0.5)
        if median:
            model, _, provider = offer.rpartition(":")
            models.setdefault(model, []).append((sign * median, provider))
    ranked = sorted((sorted(offers), model) for model, offers in models.items())[:PERFORMANCE_MODELS]
    return [
        {
            "rank": rank,
            "model": model,
            "label": _label(catalog, model),
            "icon_url": "",
            "providers": [_speed_card(catalog, provider, abs(median), metric) for median, provider in offers],
        }
        for rank, (offers, model) in enumerate(ranked, 1)
    ]


def _speed_card(catalog: Catalog, provider: str, median: float, metric: PerformanceMetric) -> dict[str, Any]:
    return {
        "provider": provider,
        "provider_label": _provider_label(catalog, provider),
        "provider_icon_url": "",
        "value": round(median, 2),
        "value_label": f"{median:.2f}" if metric == "throughput" else f"{round(median)}ms",
    }


def _cache_entries(catalog: Catalog, rows: Sequence[UseRow]) -> list[dict[str, Any]]:
    """Models by the highest share that a provider reached through one protocol."""
    models: dict[str, list[tuple[float, str, dict[str, Any]]]] = {}
    for row in rows:
        model, provider, protocol = row.by
        prompt = row.use.input_tokens + row.use.cache_read_tokens + row.use.cache_written_tokens
        if prompt:
            share = row.use.cache_read_tokens / prompt
            told = {"api": APIS.get(protocol, protocol), "value": round(share, 4), "value_label": f"{share * 100:.2f}%"}
            counts = {"cache_tokens": row.use.cache_read_tokens, "prompt_tokens": prompt}
            models.setdefault(model, []).append((share, provider, told | counts))
    entries = []
    for model, shares in models.items():
        shares.sort(key=lambda one: (-one[0], one[1]))
        providers: dict[str, Any] = {}
        for _, provider, api in shares:
            card = {"provider_label": _provider_label(catalog, provider), "provider_icon_url": "", "apis": []}
            providers.setdefault(provider, card)["apis"].append(api)
        best, provider, api = shares[0]
        top = {"provider_label": _provider_label(catalog, provider)}
        top |= {name: api[name] for name in ("api", "value", "value_label")}
        shown: dict[str, Any] = {
            "model": model,
            "label": _label(catalog, model),
            "icon_url": "",
            "top_provider": top,
            "providers": providers,
        }
        entries.append((-best, model, shown))
    ranked = sorted(entries, key=lambda one: one[:2])[:PERFORMANCE_MODELS]
    return [{"rank": rank, **card} for rank, (_, _, card) in enumerate(ranked, 1)]


def _by_model(rows: Sequence[UseRow], metric: Metric) -> dict[str, float]:
    return {row.by[0]: ranks.number(row.use, metric) for row in rows if row.by[0]}


def _days(console: Console, starting_at: str, ending_at: str, most: int) -> tuple[date, date]:
    """Both ends of a range that must be given. Raises InvalidParams."""
    today = _today(console)
    start = ranks.parsed_day(starting_at, "starting_at", today)
    end = ranks.parsed_day(ending_at, "ending_at", today)
    if start > end:
        raise InvalidParams("starting_at is later than ending_at", param="starting_at")
    if end > today:
        raise InvalidParams("ending_at is later than today", param="ending_at")
    if (end - start).days + 1 > most:
        raise InvalidParams(f"at most {most} days can be asked for", param="starting_at")
    return start, end


def _offer_names(catalog: Catalog, model: str | None) -> list[str] | None:
    """The offers that a name means; None: all. Raises InvalidParams."""
    if model is None:
        return None
    found = find(catalog, model)
    if found is None:
        raise InvalidParams(f"there is no model {model}", param="model")
    return [offer.id for offer in found.model.offers if found.provider in (None, offer.provider)]


def _model_card(catalog: Catalog, model: str) -> dict[str, str]:
    if model == OTHERS:
        return {"model": OTHERS, "label": "Others", "author": "", "author_label": ""}
    author = _author(catalog, model)
    return {
        "model": model,
        "label": _label(catalog, model),
        "author": author,
        "author_label": _author_label(catalog, author),
    }


def _label(catalog: Catalog, model: str) -> str:
    if model == OTHERS:
        return "Others"
    return catalog.models[model].name if model in catalog.models else model


def _author(catalog: Catalog, model: str) -> str:
    return catalog.models[model].author if model in catalog.models else model.partition("/")[0]


def _author_label(catalog: Catalog, author: str) -> str:
    return "Others" if author == OTHERS else _provider_label(catalog, author)


def _provider_label(catalog: Catalog, slug: str) -> str:
    return catalog.providers[slug].name if slug in catalog.providers else slug


def _statistics(console: Console) -> Statistics:
    return Statistics(console.store, console.now_ms)


def _today(console: Console) -> date:
    return date.fromisoformat(console.today())


def _span(start: date, end: date) -> Span:
    """Whole days, the last one included."""
    return Span(ranks.unix_s(start), ranks.unix_s(end + DAY))


def _unix_s(time: datetime) -> int:
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())


def _data(**data: Any) -> dict[str, Any]:
    return {"success": True, "data": data}

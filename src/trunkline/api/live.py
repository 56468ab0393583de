"""The last day of a model's offers, as `/models/{id}/endpoints` shows it. In: figures by the hour. Out: JSON's objects.

https://openrouter.ai/docs/api-reference/list-endpoints-for-a-model has uptime, latency and throughput per endpoint too, without their spread.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from trunkline.records.figures import OfferFigures, figure
from trunkline.records.histogram import Histogram

Hours = Mapping[int, OfferFigures]
"""Start of the hour in Unix seconds -> what happened in it."""
LastDay = Callable[[Sequence[str]], Awaitable[Mapping[str, Hours]]]
"""Reads the last 24 hours of offers. Raises StoreError."""


def day_card(hours: Hours) -> dict[str, Any]:
    """What the last day of an offer says."""
    day = OfferFigures()
    for one in hours.values():
        day.merge(one)
    return {
        **offer_card(day),
        "uptime_by_hour": [
            {"hour": iso(start_s), "uptime_percent": percent(one.uptime), "attempts": one.attempts}
            for start_s, one in sorted(hours.items())
        ],
    }


def offer_card(figures: OfferFigures) -> dict[str, Any]:
    """Figures of an offer, of whatever time. Null where nothing tells."""
    return {
        "attempts": figures.attempts,
        "uptime_percent": percent(figures.uptime),
        "rate_limited_percent": percent(figures.limited_share),
        "first_token_latency_ms": spread(figures.latency),
        "throughput_tokens_per_second": spread(figures.speed),
        "errors": dict(sorted(figures.causes.items(), key=lambda cause: (-cause[1], cause[0]))),
        "cache_hit_percent": percent(figures.cache_hit_share),
        "tool_call_error_percent": percent(figures.tool_error_share),
        "tokens": {
            "input": figures.input_tokens,
            "cached": figures.cached_tokens,
            "output": figures.output_tokens,
        },
    }


def spread(values: Histogram) -> dict[str, Any] | None:
    """Least, mean, greatest exactly; quantiles within 2.5 %."""
    if not values.count:
        return None
    return {
        "min": figure(values.low),
        "avg": figure(values.mean),
        "max": figure(values.high),
        "p50": figure(values.quantile(0.5)),
        "p90": figure(values.quantile(0.9)),
        "p99": figure(values.quantile(0.99)),
        "samples": values.count,
    }


def percent(share: float | None) -> float | None:
    return None if share is None else round(share * 100, 2)


def iso(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

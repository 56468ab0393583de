"""Anthropic's usage and cost reports. In: pages of `/v1/organizations/usage_report/messages` or `/v1/organizations/cost_report` as JSON. Out: an `Export`.

https://platform.claude.com/docs/en/api/admin/usage_report/retrieve_messages and https://platform.claude.com/docs/en/api/admin/cost_report: amounts are
decimals in cents, and days are UTC. To be grouped by `model` (and `api_key_id`), costs by `description`. There is no count of requests.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from trunkline.reconcile.reading import count, day_of, demand_usd, json_of, pico
from trunkline.reconcile.types import Export, Line, Measure, ReconcileError, Sums

_CENT = Decimal("0.01")
_USAGE: tuple[Measure, ...] = ("input_tokens", "output_tokens")
_COST: tuple[Measure, ...] = ("cost_pico_usd",)
_NO_REPORT = "this is no report of Anthropic: it has no `data` with `starting_at` and `results`"


def read(data: bytes) -> Export:
    """Raises ReconcileError."""
    value = json_of(data)
    pages = value if isinstance(value, list) else [value]
    lines: list[Line] = []
    days: dict[str, None] = {}
    is_cost = False
    for bucket in (bucket for page in pages for bucket in _buckets(page)):
        day = day_of(bucket["starting_at"], "starting_at")
        days[day] = None
        for result in bucket["results"]:
            is_cost = is_cost or "amount" in result
            lines.append(_cost(day, result) if "amount" in result else _usage(day, result))
    return Export(tuple(lines), tuple(days), _COST if is_cost else _USAGE)


def _buckets(page: Any) -> list[dict[str, Any]]:
    found = page.get("data") if isinstance(page, dict) else None
    if not isinstance(found, list):
        raise ReconcileError(_NO_REPORT)
    for bucket in found:
        if not isinstance(bucket, dict) or "starting_at" not in bucket or not isinstance(bucket.get("results"), list):
            raise ReconcileError(_NO_REPORT)
    return found


def _usage(day: str, result: Mapping[str, Any]) -> Line:
    written = result.get("cache_creation") or {}
    parts = {
        "uncached_input_tokens": result.get("uncached_input_tokens"),
        "cache_read_input_tokens": result.get("cache_read_input_tokens"),
        "ephemeral_1h_input_tokens": written.get("ephemeral_1h_input_tokens"),
        "ephemeral_5m_input_tokens": written.get("ephemeral_5m_input_tokens"),
    }
    sums = Sums(
        input_tokens=sum(count(value, f"{day}: {name}") for name, value in parts.items()),
        output_tokens=count(result.get("output_tokens"), f"{day}: output_tokens"),
    )
    return Line(day, str(result.get("model") or ""), str(result.get("api_key_id") or ""), sums)


def _cost(day: str, result: Mapping[str, Any]) -> Line:
    demand_usd(str(result.get("currency", "")), f"{day}: amount")
    sums = Sums(cost_pico_usd=pico(result.get("amount"), f"{day}: amount", _CENT))
    return Line(day, str(result.get("model") or result.get("description") or ""), "", sums)

"""Google Cloud's billing export. In: rows of the BigQuery table as JSON, JSON lines or flattened CSV, or the cost table of the console. Out: an `Export`.

https://docs.cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/standard-usage: `cost` is before credits, in `currency`, which
`currency_conversion_rate` converts from USD. A SKU tells the model: `Gemini 2.5 Flash Text Input - Predictions`. Keys are not told apart.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from trunkline.reconcile.reading import (
    day_of,
    demand_columns,
    demand_usd,
    json_of,
    pick,
    pico,
    plain,
    rows_of,
    whole_span,
)
from trunkline.reconcile.types import Export, Line, ReconcileError, Sums

_SERVICES = ("vertex", "gemini", "generative language", "agent platform", "cloud ai")


def read(data: bytes) -> Export:
    """Raises ReconcileError."""
    value = json_of(data)
    if value is None:
        headings, rows = rows_of(data)
    else:
        rows = [_flat(row) for row in (value if isinstance(value, list) else [value])]
        headings = list(rows[0]) if rows else []
    demand_columns(
        headings,
        "billing export of Google Cloud",
        ("usagestarttime", "usagestartdate"),
        ("skudescription",),
        ("cost", "costusd", "subtotal", "subtotalusd"),
    )
    lines = tuple(_line(row) for row in rows if _is_of_models(row))
    return Export(lines, whole_span(_day(row) for row in rows), ("cost_pico_usd",))


def _flat(row: Any) -> dict[str, str]:
    if not isinstance(row, dict):
        raise ReconcileError("this is no billing export of Google Cloud: a row is no object")
    flat: dict[str, str] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {plain(f"{name}{inner}"): "" if one is None else str(one) for inner, one in value.items()}
        elif not isinstance(value, list):
            flat[plain(name)] = "" if value is None else str(value)
    return flat


def _is_of_models(row: Mapping[str, str]) -> bool:
    service = pick(row, "servicedescription").lower()
    return any(known in service for known in _SERVICES)


def _line(row: Mapping[str, str]) -> Line:
    day = _day(row)
    cost = pico(pick(row, "cost", "costusd", "subtotal", "subtotalusd"), f"{day}: cost", _usd_of_one(row, day))
    return Line(day, pick(row, "skudescription"), "", Sums(cost_pico_usd=cost))


def _usd_of_one(row: Mapping[str, str], day: str) -> Decimal:
    """What one unit of the row's currency is worth."""
    rate = pick(row, "currencyconversionrate")
    if not rate:
        demand_usd(pick(row, "currency"), f"{day}: the cost")
        return Decimal(1)
    try:
        return 1 / Decimal(rate)
    except (InvalidOperation, ZeroDivisionError):
        raise ReconcileError(f"{day}: currency_conversion_rate {rate!r} is no rate") from None


def _day(row: Mapping[str, str]) -> str:
    return day_of(pick(row, "usagestarttime", "usagestartdate"), "usage_start_time")

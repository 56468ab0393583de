"""Azure's cost and usage details. In: the CSV of a download or an export of Cost Management. Out: an `Export` of what language models cost.

https://learn.microsoft.com/azure/cost-management-billing/dataset-schema/cost-usage-details-mca, and the same for enterprise agreements: columns differ
between agreements in case and in the names of costs. A meter's name tells the model: `gpt 4o 0806 Inp glbl`. Keys are not told apart.
"""

from collections.abc import Mapping

from trunkline.reconcile.reading import day_of, demand_columns, demand_usd, pick, pico, rows_of, whole_span
from trunkline.reconcile.types import Export, Line, Sums

_SERVICES = ("openai", "foundry", "cognitive", "machine learning")


def read(data: bytes) -> Export:
    """Raises ReconcileError."""
    headings, rows = rows_of(data)
    demand_columns(
        headings,
        "cost details of Azure",
        ("date", "usagedate"),
        ("metername", "meter"),
        ("costinusd", "costusd", "paygcostinusd", "costinbillingcurrency", "cost"),
    )
    lines = tuple(_line(row) for row in rows if _is_of_models(row))
    return Export(lines, whole_span(_day(row) for row in rows), ("cost_pico_usd",))


def _is_of_models(row: Mapping[str, str]) -> bool:
    told = " ".join(
        pick(row, name) for name in ("metercategory", "metersubcategory", "consumedservice", "product", "productname")
    ).lower()
    return any(service in told for service in _SERVICES)


def _line(row: Mapping[str, str]) -> Line:
    day, in_usd = _day(row), pick(row, "costinusd", "costusd")
    if not in_usd:
        demand_usd(pick(row, "billingcurrency", "billingcurrencycode", "currency"), f"{day}: the cost")
    cost = pico(in_usd or pick(row, "costinbillingcurrency", "cost"), f"{day}: cost")
    return Line(day, pick(row, "metername", "meter"), "", Sums(cost_pico_usd=cost))


def _day(row: Mapping[str, str]) -> str:
    return day_of(pick(row, "date", "usagedate"), "date")

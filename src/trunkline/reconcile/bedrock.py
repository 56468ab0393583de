"""Amazon Bedrock's costs. In: a Cost and Usage Report as CSV (either version), or what Cost Explorer gives by usage type, as CSV or JSON. Out: an `Export`.

https://docs.aws.amazon.com/cur/latest/userguide/Lineitem-columns.html and
https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_GetCostAndUsage.html. A usage type tells the model (`USE1-Claude4Sonnet-input-tokens`);
for models of the marketplace it is the product's name (`Claude 3.5 Sonnet (Amazon Bedrock Edition)`). Keys are not told apart.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from trunkline.reconcile.reading import (
    day_of,
    demand_columns,
    demand_usd,
    json_of,
    pick,
    pico,
    rows_of,
    table_of,
    whole_span,
)
from trunkline.reconcile.types import Export, Line, ReconcileError, Sums

_DAY = re.compile(r"20\d\d-\d\d-\d\d")
_START = ("lineitemusagestartdate",)
_COST = ("lineitemunblendedcost",)


def read(data: bytes) -> Export:
    """Raises ReconcileError."""
    value = json_of(data)
    if value is not None:
        return _of_explorer(value)
    headings, rows = rows_of(data)
    table = table_of(data)
    if _START[0] not in headings and any(_DAY.match(row[0]) for row in table):
        return _of_explorer_table(table)
    demand_columns(headings, "Cost and Usage Report", _START, _COST, ("lineitemusagetype",))
    lines = tuple(_line(row) for row in rows if _is_of_models(row))
    return Export(lines, whole_span(_day(row) for row in rows), ("cost_pico_usd",))


def _is_of_models(row: Mapping[str, str]) -> bool:
    told = pick(row, "lineitemproductcode") + _product(row) + pick(row, "lineitemlineitemdescription")
    return "bedrock" in told.lower() and pick(row, "lineitemlineitemtype") not in ("Tax", "Credit", "Refund")


def _line(row: Mapping[str, str]) -> Line:
    day, product = _day(row), _product(row)
    demand_usd(pick(row, "lineitemcurrencycode"), f"{day}: the cost")
    model = product if "(amazon bedrock edition)" in product.lower() else pick(row, "lineitemusagetype")
    return Line(day, model, "", Sums(cost_pico_usd=pico(pick(row, *_COST), f"{day}: UnblendedCost")))


def _product(row: Mapping[str, str]) -> str:
    return pick(row, "productproductname", "productname")


def _day(row: Mapping[str, str]) -> str:
    return day_of(pick(row, *_START), "UsageStartDate")


def _of_explorer(value: Any) -> Export:
    times = value.get("ResultsByTime") if isinstance(value, dict) else None
    if not isinstance(times, list):
        raise ReconcileError("this is no answer of Cost Explorer: it has no `ResultsByTime`")
    lines: list[Line] = []
    days: list[str] = []
    for time in times:
        day = day_of(time["TimePeriod"]["Start"], "TimePeriod.Start")
        days.append(day)
        for group in time.get("Groups", ()):
            metric = next(iter(group["Metrics"].values()))
            demand_usd(str(metric.get("Unit", "")), f"{day}: the cost")
            cost = pico(metric.get("Amount"), f"{day}: Amount")
            lines.append(Line(day, str(group["Keys"][-1]), "", Sums(cost_pico_usd=cost)))
    return Export(tuple(lines), tuple(days), ("cost_pico_usd",))


def _of_explorer_table(table: list[list[str]]) -> Export:
    """A row per day, a column per usage type: `USE1-Claude4Sonnet-input-tokens($)`."""
    heading, *rows = table
    days = [row for row in rows if _DAY.match(row[0])]
    lines = tuple(line for row in days for line in _cells(heading, row))
    return Export(lines, tuple(row[0][:10] for row in days), ("cost_pico_usd",))


def _cells(heading: list[str], row: list[str]) -> Iterator[Line]:
    for name, cell in list(zip(heading, row, strict=False))[1:]:
        if not name.lower().startswith("total cost") and cell.strip():
            cost = pico(cell, f"{row[0]}: {name}")
            yield Line(row[0][:10], name.removesuffix("($)").strip(), "", Sums(cost_pico_usd=cost))

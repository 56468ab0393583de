"""OpenAI's usage and costs. In: pages of `/v1/organization/usage/completions` or `/v1/organization/costs` as JSON, or the dashboard's CSV. Out: an `Export`.

https://platform.openai.com/docs/api-reference/usage; days are UTC (https://help.openai.com/en/articles/8554956-understanding-your-api-usage). The
CSV has the same fields. Costs are grouped by `line_item`, such as `gpt-4o-2024-08-06, input`; usage by `model`, and by `api_key_id` where asked for.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from trunkline.reconcile.reading import (
    count,
    day_of,
    demand_columns,
    demand_usd,
    json_of,
    pick,
    pico,
    rows_of,
    whole_span,
)
from trunkline.reconcile.types import Export, Line, Measure, ReconcileError, Sums

_USAGE: tuple[Measure, ...] = ("requests", "input_tokens", "output_tokens")
_COST: tuple[Measure, ...] = ("cost_pico_usd",)


def read(data: bytes) -> Export:
    """Raises ReconcileError."""
    value = json_of(data)
    if value is None:
        return _of_table(data)
    buckets = [bucket for page in (value if isinstance(value, list) else [value]) for bucket in _buckets(page)]
    days = tuple(dict.fromkeys(day_of(bucket.get("start_time"), "start_time") for bucket in buckets))
    results = [(bucket, result) for bucket in buckets for result in _results(bucket)]
    is_cost = any("amount" in result for _, result in results)
    lines = (
        _line(day_of(bucket.get("start_time"), "start_time"), result, is_cost=is_cost) for bucket, result in results
    )
    return Export(tuple(lines), days, _COST if is_cost else _USAGE)


def _buckets(page: Any) -> list[dict[str, Any]]:
    if not isinstance(page, dict):
        raise ReconcileError("this is no page of OpenAI's usage or costs: it has no `data`")
    if page.get("object") == "bucket":
        return [page]
    if not isinstance(page.get("data"), list):
        raise ReconcileError("this is no page of OpenAI's usage or costs: it has no `data`")
    return [bucket for bucket in page["data"] if isinstance(bucket, dict)]


def _results(bucket: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for result in bucket.get("results") or bucket.get("result") or ():
        if not isinstance(result, dict):
            raise ReconcileError("this is no page of OpenAI's usage or costs: a result is no object")
        yield result


def _line(day: str, result: Mapping[str, Any], *, is_cost: bool) -> Line:
    if is_cost:
        amount = result.get("amount") or {}
        demand_usd(str(amount.get("currency", "")), f"{day}: amount")
        sums = Sums(cost_pico_usd=pico(amount.get("value"), f"{day}: amount.value"))
        return Line(day, _model(result.get("line_item")), "", sums)
    sums = Sums(
        requests=count(result.get("num_model_requests"), f"{day}: num_model_requests"),
        input_tokens=count(result.get("input_tokens"), f"{day}: input_tokens"),
        output_tokens=count(result.get("output_tokens"), f"{day}: output_tokens"),
    )
    return Line(day, str(result.get("model") or ""), str(result.get("api_key_id") or ""), sums)


def _of_table(data: bytes) -> Export:
    headings, rows = rows_of(data)
    demand_columns(headings, "export of OpenAI", ("starttime", "starttimeiso"), ("amountvalue", "inputtokens"))
    is_cost = "amountvalue" in headings
    lines = []
    for row in rows:
        day = day_of(pick(row, "starttime", "starttimeiso"), "start_time")
        result: dict[str, Any] = {
            "amount": {"value": pick(row, "amountvalue"), "currency": pick(row, "amountcurrency")},
            "line_item": pick(row, "lineitem"),
            "num_model_requests": pick(row, "nummodelrequests"),
            "input_tokens": pick(row, "inputtokens"),
            "output_tokens": pick(row, "outputtokens"),
            "model": pick(row, "model"),
            "api_key_id": pick(row, "apikeyid"),
        }
        lines.append(_line(day, result, is_cost=is_cost))
    return Export(tuple(lines), whole_span(line.day for line in lines), _COST if is_cost else _USAGE)


def _model(line_item: Any) -> str:
    return str(line_item or "").partition(",")[0].strip()

"""`/platform/cost`: money, by what the rollups know. In: a query (see `use_query`). Out: a page, or what it shows as CSV (`format=csv`).

Cost is what was billed. By kind of token, and what caches saved, is worked out (see `worked_out`) and says so.
"""

import asyncio
from collections.abc import Callable

from fastapi import APIRouter, Request, Response

from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.scope import scope_of
from trunkline.pricing.listed import CACHE_BUCKETS
from trunkline.pricing.money import usd
from trunkline.records.figures import Use
from trunkline.storage.statistics import Statistics, Wanted
from trunkline.web import format, use, worked_out
from trunkline.web.columns import Column
from trunkline.web.render import pages_of
from trunkline.web.session import PlatformReader, demand
from trunkline.web.use import LISTED, Group, Shown, change, part
from trunkline.web.use_page import SHARE, answer, common, label_column
from trunkline.web.use_query import FILTERS, Asked, Choices, asked
from trunkline.web.worked_out import ITEMS, Listed, Rated, Savings

CHOICES = Choices(
    path="/platform/cost",
    by={"model": "Model", "provider": "Provider", "key": "API key", "protocol": "Protocol", "type": "Token type"},
    metrics={"cost": "Cost"},
)
OFFER = ("model", "provider")
PICO = 10**12

router = APIRouter(include_in_schema=False)


@router.api_route("/platform/cost", methods=["GET", "HEAD"], response_class=Response)
async def cost(request: Request, console: ConsoleOf, reader: PlatformReader) -> Response:
    """The page."""
    query = dict(request.query_params)
    demand(reader, "use")
    wanted = asked(query, CHOICES, int(console.now_ms() // 1000), await scope_of(console, reader.actor))
    rated = request.app.state.rated
    assert isinstance(rated, Rated)
    listed = rated.now(console.catalog, console.now_ms())
    found, savings = await figures(console, wanted, listed)
    columns = type_columns(found) if wanted.by == "type" else group_columns(found, savings)
    file = answer(query, "cost", found, columns)
    if file is not None:
        return file
    view = {
        "saved": worked_out.added(savings.values()),
        "per_million": per_million(found.total),
        "per_million_before": per_million(found.before),
        "unpriced": part(found.total.unpriced, found.total.attempts),
        "estimated": part(found.total.estimated, found.total.attempts),
        **await common(console, found, columns, format.usd, PICO),
    }
    return pages_of(request).page(request, "cost.html", view)


def group_columns(found: Shown, savings: dict[str, Savings]) -> list[Column[Group]]:
    """Of a dimension."""
    saved = _saved_of(found, savings)
    return [
        label_column(found),
        *_share_columns(found, "Cost, USD"),
        Column("Tokens", lambda row: row.use.total_tokens, lambda row: format.count(row.use.total_tokens)),
        _money("USD per M tokens", lambda row: per_million(row.use), "Of all tokens, input and output", "Per M tokens"),
        Column("Requests", lambda row: row.use.requests, lambda row: format.count(row.use.requests)),
        _money("USD per request", lambda row: _ratio(row.use.cost_pico_usd, row.use.requests), "", "Per request"),
        _money("Saved by caches, USD", saved, "From the list prices of today, not from bills", "Saved (worked out)"),
        Column("Unpriced", lambda row: row.use.unpriced, lambda row: format.count(row.use.unpriced), "Attempts with something that has no price"),
        Column("Estimated", lambda row: row.use.estimated, lambda row: format.count(row.use.estimated), "Attempts whose tokens or cost are our own guess"),
        _before_column(found),
    ]  # fmt: skip


def type_columns(found: Shown) -> list[Column[Group]]:
    """Of the kinds of tokens."""
    return [
        label_column(found),
        *_share_columns(found, "Worked out, USD"),
        Column("Count", lambda row: _items(row.use), lambda row: format.count(_items(row.use)), "Tokens, or web searches"),
        _before_column(found),
    ]  # fmt: skip


def per_million(used: Use) -> int | None:
    """Pico-USD for a million tokens, in and out; None without any."""
    return _ratio(used.cost_pico_usd * 10**6, used.total_tokens)


def exact_usd(pico_usd: int | None) -> str | None:
    """For files."""
    return None if pico_usd is None else usd(pico_usd)


async def figures(console: Console, wanted: Asked, listed: Listed) -> tuple[Shown, dict[str, Savings]]:
    """What was spent, and what caches saved of it."""
    return await asyncio.gather(_shown(console, wanted, listed), _savings(console, wanted, listed))


async def _shown(console: Console, wanted: Asked, listed: Listed) -> Shown:
    """What was billed, or by kind of token what is worked out."""
    if wanted.by != "type":
        return await use.shown(console, wanted)
    statistics = Statistics(console.store, console.now_ms)
    span = Wanted(wanted.span, OFFER, wanted.width_s, wanted.where)
    earlier = Wanted(wanted.before, OFFER, None, wanted.where, (*use.COMPARED, "attempts"))
    now, total, before, total_before = await asyncio.gather(
        worked_out.items_over(statistics, span, listed),
        statistics.use_over(wanted.span, (), where=wanted.where),
        worked_out.items_over(statistics, earlier, listed),
        statistics.use_over(wanted.before, (), where=wanted.where, sums=use.COMPARED),
    )
    return use.put_together(
        wanted,
        worked_out.places(now),
        worked_out.places(before),
        lambda kind: ITEMS[kind],
        (use.added(row.use for row in total), use.added(row.use for row in total_before)),
    )


async def _savings(console: Console, wanted: Asked, listed: Listed) -> dict[str, Savings]:
    """By the value of the dimension asked for; by kind of token all in one."""
    dimension = FILTERS.get(wanted.by)
    by = OFFER if dimension in (*OFFER, None) else (dimension, *OFFER)
    statistics = Statistics(console.store, console.now_ms)
    rows = await statistics.use_over(wanted.span, by, where=wanted.where, sums=CACHE_BUCKETS)
    place = by.index(dimension) if dimension else None
    return worked_out.savings_by(rows, lambda row: "" if place is None else row.by[place], listed)


def _saved_of(found: Shown, savings: dict[str, Savings]) -> Callable[[Group], int | None]:
    """Of a group; None where no price tells, or nothing was cached."""

    def saved(row: Group) -> int | None:
        groups = found.groups[LISTED:] if row.more else [row]
        total = worked_out.added(savings[group.value] for group in groups if group.value in savings)
        return total.pico_usd if total.cached_tokens > total.unknown_tokens else None

    return saved


def _share_columns(found: Shown, heading: str) -> list[Column[Group]]:
    whole = found.whole
    return [
        _money(heading, lambda row: row.use.cost_pico_usd),
        Column(
            SHARE,
            lambda row: part(row.use.cost_pico_usd, whole),
            lambda row: format.percent(part(row.use.cost_pico_usd, whole)),
        ),
    ]


def _before_column(found: Shown) -> Column[Group]:
    count = found.count
    return Column(
        "Before, USD",
        lambda row: exact_usd(count(row.before)),
        lambda row: change(count(row.use), count(row.before)),
        "Against the time before, as long",
        "Change",
    )


def _money(heading: str, pico_usd: Callable[[Group], int | None], note: str = "", head: str = "") -> Column[Group]:
    return Column(heading, lambda row: exact_usd(pico_usd(row)), lambda row: format.usd(pico_usd(row)), note, head)


def _items(used: Use) -> int:
    return used.total_tokens or used.web_searches


def _ratio(amount: int, of: int) -> int | None:
    return amount // of if of else None

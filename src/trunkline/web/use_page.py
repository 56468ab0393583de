"""What the pages of use and of cost have in common. In: what was found. Out: what their templates show, or CSV."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import Response
from starlette.exceptions import HTTPException

from trunkline.accounts.keys import MASTER_ID, ApiKey, is_valid
from trunkline.api.management.console import Console
from trunkline.api.management.scope import EVERYTHING, Scope
from trunkline.pricing.money import usd
from trunkline.records.spreadsheet import Cell
from trunkline.storage.backfill import made_up_until_ms
from trunkline.storage.ladder import Span
from trunkline.web.columns import Column, csv_answer, csv_file
from trunkline.web.facts import made_up_since
from trunkline.web.use import DRAWN, PROTOCOLS, Group, Shown, change, chart, key_names, part
from trunkline.web.use_query import PRESETS, Asked, iso_minute

MOST_CHOICES = 200
NEXT_DIMENSION = {"model": "provider", "provider": "model", "key": "model", "protocol": "model"}
"""What a group is shown by when it alone is shown."""


def answer(query: Mapping[str, str], name: str, found: Shown, columns: Sequence[Column[Group]]) -> Response | None:
    """The table as CSV for `format=csv`, what is drawn for `part=time`; None for a page. Raises 400 for another format."""
    wanted = query.get("format", "html")
    if wanted not in ("html", "csv"):
        raise HTTPException(400, f"format is html or csv, not {wanted[:40]!r}.")
    if wanted == "html":
        return None
    asked = found.asked
    name = f"trunkline-{name}-by-{asked.by}-{asked.first}-{asked.last}"
    if query.get("part") != "time":
        return csv_file(name, columns, found.listed)
    groups = found.drawn
    exact: Callable[[int], Cell] = usd if asked.metric == "cost" else int
    rows = [
        [iso_minute(start_s), *(exact(group.points[at]) for group in groups)] for at, start_s in enumerate(found.starts)
    ]
    return csv_answer(f"{name}-over-time", ["Start (UTC)", *(group.label for group in groups)], rows)


def label_column(found: Shown) -> Column[Group]:
    """The group's name; of what stands for many, how many."""

    def named(row: Group) -> str:
        return f"{row.label} ({row.more})" if row.more else row.label

    return Column(found.asked.choices.by[found.asked.by], named, named)


async def common(console: Console, found: Shown, seen: Callable[[int], str], scale: float = 1) -> dict[str, Any]:
    """For `parts/use.html`. `seen` shows a number of the metric."""
    asked = found.asked
    whole = found.whole
    most = max((found.count(group.use) for group in found.listed), default=0)
    return {
        "asked": asked,
        "found": found,
        "presets": PRESETS,
        "span_words": span_words(asked),
        "chart": chart(found, scale),
        "seen": seen,
        "change": change,
        "part": part,
        "whole": whole,
        "bar": lambda group: round(100 * max(found.count(group.use), 0) / most, 2) if most > 0 else 0,
        "colour": colours(found),
        "narrower": lambda group: narrower(asked, group),
        "choices": await filter_choices(console, asked),
        "made_up_until_ms": made_up_since(await made_up_until_ms(console.store), asked.span.start_s * 1000),
        "table_csv": asked.link(format="csv"),
        "time_csv": asked.link(format="csv", part="time"),
    }


def colours(found: Shown) -> Callable[[Group], int]:
    """The number of a group's colour in the chart, of which there are six; those that are not drawn apart have that of the others."""
    known = {group.label: at for at, group in enumerate(found.drawn, 1)}
    return lambda group: known.get(group.label, DRAWN + 1)


def narrower(asked: Asked, group: Group) -> str:
    """This page of one group alone; empty where it has no name to ask for."""
    if asked.by == "type" or not group.value:
        return ""
    return asked.link(**{asked.by: group.value, "by": NEXT_DIMENSION[asked.by]})


def logs_of_key(id_: str) -> str:
    """The requests of one key, of whatever time."""
    return f"/platform/logs?{urlencode({'key': id_})}"


def span_words(asked: Asked) -> tuple[str, str]:
    """The time shown and the one before it."""
    until_now = asked.last == asked.today
    return _span_words(asked.span, until_now=until_now), _span_words(asked.before)


async def filter_choices(console: Console, asked: Asked) -> dict[str, list[tuple[str, str]]]:
    """Filter -> values and words to choose from; what is chosen is always among them."""
    now_ms, today = console.now_ms(), console.today()
    keys = [key for key in await console.store.list_keys() if asked.scope.has(key.id)]
    models = [model.slug for model in console.catalog.models.values() if console.state.callable_offers(model, today)]
    offered = {offer.provider for slug in models for offer in console.catalog.models[slug].offers}
    providers = console.catalog.providers
    ready = [slug for slug in console.accounts if slug in offered and slug in providers]
    found = {
        "model": [(slug, slug) for slug in sorted(models)[:MOST_CHOICES]],
        "provider": sorted(((slug, providers[slug].name) for slug in ready), key=lambda pair: pair[1].lower()),
        "key": key_choices(keys, now_ms, asked.filters.get("key", ""), asked.scope),
        "protocol": list(PROTOCOLS.items()),
    }
    for name, value in asked.filters.items():
        if value not in dict(found[name]):
            found[name].append((value, value))
    return found


def key_choices(keys: Sequence[ApiKey], now_ms: float, chosen: str, scope: Scope = EVERYTHING) -> list[tuple[str, str]]:
    """Id and name of those that hold now, of the master key, and of what is chosen, whatever it is."""
    key_name = key_names(keys)
    ids = [*[key.id for key in keys if is_valid(key, now_ms)][:MOST_CHOICES], MASTER_ID]
    ids = [id_ for id_ in ids if scope.has(id_)]
    if chosen and chosen not in ids:
        ids.append(chosen)
    return [(id_, key_name(id_)) for id_ in ids]


def _span_words(span: Span, *, until_now: bool = False) -> str:
    """`2025-10-01 to 2025-10-07`; with hours where they matter."""
    first, end = (datetime.fromtimestamp(time_s, UTC) for time_s in (span.start_s, span.end_s))
    start = f"{first:%Y-%m-%d %H:%M}" if first.hour else f"{first:%Y-%m-%d}"
    if until_now:
        return f"{start} until now"
    if end.hour:
        return f"{start} to {end:%Y-%m-%d %H:%M}"
    last = f"{datetime.fromtimestamp(span.end_s - 1, UTC):%Y-%m-%d}"
    return last if start == last else f"{start} to {last}"

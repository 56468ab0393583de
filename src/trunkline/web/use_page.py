"""What the pages of use and of cost have in common. In: what was found. Out: what their templates show, or CSV."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from fastapi import Response
from starlette.exceptions import HTTPException

from trunkline.accounts.keys import MASTER_ID, ApiKey, is_valid
from trunkline.api.management.console import Console
from trunkline.api.management.scope import EVERYTHING, Scope
from trunkline.pricing.money import usd
from trunkline.records.spreadsheet import Cell
from trunkline.storage.backfill import made_up_until_ms
from trunkline.storage.ladder import Span
from trunkline.web import format
from trunkline.web.columns import Column, csv_answer, csv_file
from trunkline.web.facts import made_up_since
from trunkline.web.use import DRAWN, PROTOCOLS, Group, Shown, change, chart, key_names, part
from trunkline.web.use_query import PRESETS, Asked, iso_minute

MOST_CHOICES = 200
SHARE = "Share"
"""The heading of the column with bars."""
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


class TableRow(msgspec.Struct, frozen=True):
    """A group as the table shows it. `cells`: the exact value and what is seen, a column each, without the first; of the share no exact one."""

    label: str
    name: str
    """With how many it stands for."""
    colour: int
    bar: float
    """Of 100."""
    narrower: str
    """The address of this page of the group alone; empty where it has no name to ask for."""
    logs: str
    cells: list[tuple[str | None, str]]


async def common(
    console: Console, found: Shown, columns: Sequence[Column[Group]], seen: Callable[[int], str], scale: float = 1
) -> dict[str, Any]:
    """For `parts/use.html`. `seen` shows a number of the metric."""
    asked = found.asked
    return {
        "asked": asked,
        "found": found,
        "columns": columns,
        "presets": PRESETS,
        "span_words": span_words(asked),
        "chart": chart(found, scale),
        "over_time": over_time(found, seen),
        "rows": table_rows(found, columns),
        "seen": seen,
        "change": change,
        "part": part,
        "choices": await filter_choices(console, asked),
        "made_up_until_ms": made_up_since(await made_up_until_ms(console.store), asked.span.start_s * 1000),
        "table_csv": asked.link(format="csv"),
        "time_csv": asked.link(format="csv", part="time"),
    }


def over_time(found: Shown, seen: Callable[[int], str]) -> list[tuple[str, list[str]]]:
    """The chart as a table, the newest first: when, and each group drawn."""
    words = format.hour if found.asked.width == "hour" else format.day
    columns = [[seen(point) for point in group.points] for group in found.drawn]
    return [(words(start_s * 1000), [column[at] for column in columns]) for at, start_s in enumerate(found.starts)][
        ::-1
    ]


def table_rows(found: Shown, columns: Sequence[Column[Group]]) -> list[TableRow]:
    """All that the table shows."""
    asked, count = found.asked, found.count
    first, *others = columns
    colours = {group.label: at for at, group in enumerate(found.drawn, 1)}
    most = max((count(group.use) for group in found.listed), default=0)
    # By token type a group has no name to ask for.
    is_type = asked.by == "type"
    narrower = None if is_type else asked.links(asked.by, by=NEXT_DIMENSION[asked.by])
    logs = None if is_type else asked.logs_of(asked.by)
    return [
        TableRow(
            label=group.label,
            name=first.seen(group),
            colour=colours.get(group.label, DRAWN + 1),
            bar=round(100 * max(count(group.use), 0) / most, 2) if most > 0 else 0,
            narrower=narrower(group.value) if narrower and group.value else "",
            logs=logs(group.value) if logs and group.value else "",
            cells=[(None if column.heading == SHARE else column.title(group), column.seen(group)) for column in others],
        )
        for group in found.listed
    ]


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

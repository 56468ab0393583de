"""What was used, as the pages of use and cost show it: groups over time, beside the time before. In: an `Asked`. Out: `Shown`, from the rollups.

A group is a value of the dimension asked for; each counts in full, however many are drawn.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from trunkline.accounts.keys import MASTER_ID, ApiKey
from trunkline.api.management.console import Console
from trunkline.records.figures import TOKENS, Use
from trunkline.storage.statistics import Statistics, UseRow
from trunkline.web.use_query import FILTERS, Asked, buckets

DRAWN = 5
"""Groups with a colour of their own; the others are drawn as one."""
LISTED = 50
MOVERS = 6
OTHERS = "Others"
PROTOCOLS = {
    "openai.chat": "OpenAI Chat Completions",
    "openai.responses": "OpenAI Responses",
    "anthropic.messages": "Anthropic Messages",
    "gemini": "Google Gemini",
}
KINDS = {
    "input_tokens": "Input",
    "cache_read_tokens": "Cache read",
    "cache_write_tokens": "Cache write",
    "cache_write_5m_tokens": "Cache write, 5 minutes",
    "cache_write_1h_tokens": "Cache write, 1 hour",
    "input_audio_tokens": "Audio in",
    "input_image_tokens": "Images in",
    "output_tokens": "Output",
    "reasoning_tokens": "Reasoning",
    "output_audio_tokens": "Audio out",
    "output_image_tokens": "Images out",
}
"""The buckets of a usage, which do not overlap."""
TOKENS_IN_AND_OUT = tuple(KINDS)
TOKENS_IN = tuple(name for name in KINDS if name.startswith(("input_", "cache_")))
COUNTS: Mapping[str, Callable[[Use], int]] = {
    "tokens": lambda use: use.total_tokens,
    "input": lambda use: use.total_input_tokens,
    "cached": lambda use: use.cache_read_tokens,
    "output": lambda use: use.total_tokens - use.total_input_tokens,
    "requests": lambda use: use.requests,
    "cost": lambda use: use.cost_pico_usd,
}
COUNTED: Mapping[str, Sequence[str]] = {
    "tokens": TOKENS_IN_AND_OUT,
    "input": TOKENS_IN,
    "cached": ("cache_read_tokens",),
    "output": tuple(name for name in TOKENS_IN_AND_OUT if name not in TOKENS_IN),
    "requests": ("requests",),
    "cost": ("cost_pico_usd",),
}
"""The fields that a metric of `COUNTS` is the sum of."""
COMPARED = ("requests", *TOKENS, "cost_pico_usd")
"""What is wanted of the time before."""
Named = Callable[[str], str]
Places = Iterable[tuple[int | None, str, Use]]
"""When, the group's value, what was used."""
Points = Mapping[tuple[int, str], int]
"""When, the group's value -> the metric, where the places do not tell when."""


class _Gathered(msgspec.Struct):
    """What was found of one value."""

    now: list[Use]
    before: list[Use]
    points: list[int]


class Group(msgspec.Struct):
    """One value of the dimension. `points` are of the metric, a bucket each; `more` is how many groups an entry for the others stands for."""

    value: str
    label: str
    use: Use
    points: list[int]
    before: Use
    more: int = 0


class Mover(msgspec.Struct, frozen=True):
    label: str
    value: str
    now: int
    before: int

    @property
    def difference(self) -> int:
        return self.now - self.before


class Shown(msgspec.Struct, frozen=True):
    """`groups` has the largest first, those without anything left out."""

    asked: Asked
    starts: list[int]
    groups: list[Group]
    total: Use
    before: Use
    movers: list[Mover]
    drawn: list[Group]
    """As many as have colours."""
    listed: list[Group]
    """As many as a table can have."""

    @property
    def count(self) -> Callable[[Use], int]:
        return COUNTS[self.asked.metric]

    @property
    def whole(self) -> int:
        return self.count(self.total)


async def shown(console: Console, asked: Asked) -> Shown:
    """By a dimension of the rollups, or by the kind of token."""
    if asked.by == "type":
        return await _shown_by_kind(console, asked)
    statistics, by = Statistics(console.store, console.now_ms), FILTERS[asked.by]
    now, points, before, named = await asyncio.gather(
        statistics.use_over(asked.span, (by,), where=asked.where),
        statistics.points(asked.span, by, asked.width_s, COUNTED[asked.metric], asked.where),
        statistics.use_over(asked.before, (by,), where=asked.where, sums=COMPARED),
        names(console, asked.by),
    )
    return put_together(asked, _by_dimension(now), _by_dimension(before), named, points=points)


async def _shown_by_kind(console: Console, asked: Asked) -> Shown:
    statistics = Statistics(console.store, console.now_ms)
    now, before, named = await asyncio.gather(
        statistics.use_over(asked.span, (), width_s=asked.width_s, where=asked.where),
        statistics.use_over(asked.before, (), where=asked.where, sums=COMPARED),
        names(console, asked.by),
    )
    totals = added(row.use for row in now), added(row.use for row in before)
    return put_together(asked, _by_kind(now), _by_kind(before), named, totals)


def put_together(
    asked: Asked,
    now: Places,
    before: Places,
    named: Named,
    totals: tuple[Use, Use] | None = None,
    points: Points | None = None,
) -> Shown:
    """Groups, largest first, and what moved most. `totals`, of now and before, where they are not those of the groups."""
    starts, count = buckets(asked.span, asked.width_s), COUNTS[asked.metric]
    places = {start_s: place for place, start_s in enumerate(starts)}
    gathered: dict[str, _Gathered] = {}
    for start_s, value, use in now:
        found = _gathered(gathered, value, len(starts))
        found.now.append(use)
        if start_s in places:
            found.points[places[start_s]] += count(use)
    for (start_s, value), number in (points or {}).items():
        if start_s in places:
            _gathered(gathered, value, len(starts)).points[places[start_s]] += number
    for _, value, use in before:
        _gathered(gathered, value, len(starts)).before.append(use)
    groups = [
        Group(value, named(value), added(found.now), found.points, added(found.before))
        for value, found in gathered.items()
    ]
    ranked = sorted(groups, key=lambda group: (-count(group.use), group.label))
    used = [group for group in ranked if _is_used(group.use)]
    total, total_before = totals or (added(group.use for group in ranked), added(group.before for group in ranked))
    return Shown(
        asked, starts, used, total, total_before, _movers(ranked, count), folded(used, DRAWN), folded(used, LISTED)
    )


def folded(groups: Sequence[Group], most: int) -> list[Group]:
    """The first, and one that stands for all others."""
    if len(groups) <= most + 1:
        return list(groups)
    others = groups[most:]
    points = [sum(those) for those in zip(*(group.points for group in others), strict=True)]
    before = added(group.before for group in others)
    rest = Group("", OTHERS, added(group.use for group in others), points, before, len(others))
    return [*groups[:most], rest]


def chart(shown: Shown, scale: float = 1) -> dict[str, Any]:
    """Stacked bars, as `app.js` draws them. Days are those of UTC, whatever the reader's zone."""
    # Below zero is only a correction of what was worked out: it stands in the table.
    series = [
        {"name": group.label, "values": [max(point, 0) / scale if scale != 1 else point for point in group.points]}
        for group in shown.drawn
    ]
    return {"x": shown.starts, "series": series, "kind": "bars", "utc": shown.asked.width == "day"}


def added(uses: Iterable[Use]) -> Use:
    """All together."""
    return Use(*map(sum, zip(*map(msgspec.structs.astuple, uses), strict=True)))


def part(whole: int, of: int) -> float | None:
    """A share; None of nothing."""
    return whole / of if of else None


def change(now: int, before: int) -> str:
    """`+12 %`, `-3.4 %`, `new`, `gone`; `-` where there is nothing to compare."""
    if not before:
        return "new" if now else "-"
    if not now:
        return "gone"
    rate = (now - before) / before * 100
    if abs(rate) >= 1000:
        return f"{'×' if rate > 0 else '-'}{now / before:,.0f}"
    return f"{rate:+.0f} %" if abs(rate) >= 10 else f"{rate:+.1f} %"


async def names(console: Console, by: str) -> Named:
    """What people call a value of a dimension."""
    if by == "key":
        return key_names(await console.store.list_keys())
    providers = console.catalog.providers
    tables: dict[str, Named] = {
        "model": lambda value: value or "Unknown model",
        "provider": lambda value: providers[value].name if value in providers else value or "No provider reached",
        "protocol": lambda value: PROTOCOLS.get(value, value),
        "type": lambda value: KINDS.get(value, value),
    }
    return tables[by]


def key_names(keys: Sequence[ApiKey]) -> Named:
    """Of keys with the same name the end of the secret tells which."""
    count: dict[str, int] = {}
    for key in keys:
        count[key.name] = count.get(key.name, 0) + 1
    known = {key.id: key.name if count[key.name] == 1 else f"{key.name} (…{key.hint})" for key in keys}
    known[MASTER_ID] = "master key"
    return lambda value: known.get(value, value or "No key")


def _by_dimension(rows: Sequence[UseRow]) -> Places:
    return ((row.start_s, row.by[0], row.use) for row in rows)


def _by_kind(rows: Sequence[UseRow]) -> Places:
    return (
        (row.start_s, kind, Use(**{kind: count})) for row in rows for kind in KINDS if (count := getattr(row.use, kind))
    )


def _gathered(groups: dict[str, "_Gathered"], value: str, length: int) -> "_Gathered":
    found = groups.get(value)
    if found is None:
        found = groups[value] = _Gathered([], [], [0] * length)
    return found


def _is_used(use: Use) -> bool:
    return bool(use.requests or use.attempts or use.cost_pico_usd or any(getattr(use, name) for name in TOKENS))


def _movers(groups: Sequence[Group], count: Callable[[Use], int]) -> list[Mover]:
    """The largest differences, up or down."""
    found = [Mover(group.label, group.value, count(group.use), count(group.before)) for group in groups]
    found.sort(key=lambda mover: (-abs(mover.difference), mover.label))
    return [mover for mover in found if mover.difference][:MOVERS]

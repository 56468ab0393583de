"""`python -m bench.auto [--write]`: what the auto model's rules are worth on a small labelled set, against always-cheapest and always-best.

In: tests/routing/auto_set.toml. Out: accuracy, undershoot (a model that is too small was chosen), overshoot and cost for each part of the set; with
`--write` into docs/auto-model.md.
"""

import re
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from trunkline.catalog.load import shipped_catalog
from trunkline.ir.facts import RequestFacts
from trunkline.routing.auto import Features, Rated, choose, difficulty, features, rate

ROOT = Path(__file__).resolve().parent.parent
SET = ROOT / "tests" / "routing" / "auto_set.toml"
PAGE = ROOT / "docs" / "auto-model.md"
HALVES = {
    "last": "Written after the rules were fixed, and only counted",
    "fresh": "Written against the first rules; the present ones were chosen with these in view",
    "test": "Written before the rules, not looked at while they were chosen",
    "tune": "Looked at while rules and words were chosen",
}
LEVELS = ("easy", "medium", "hard")
TIERS = {"easy": "openai/gpt-5-nano", "medium": "openai/gpt-5.4-nano", "hard": "anthropic/claude-opus-4.5"}
"""One model of each size, with the prices of the catalog: what is right for a prompt is the one of its level."""


class Labelled(msgspec.Struct, frozen=True):
    """One prompt of the set."""

    half: str
    lang: str
    level: str
    why: str
    text: str
    turns: int = 1
    tools: int = 0
    images: int = 0
    schema: bool = False
    reasoning: bool = False
    bytes: int = 0


class Tally(msgspec.Struct, frozen=True):
    """How a way of choosing did. Shares are of all prompts; the cost is that of always taking the best model."""

    name: str
    right: float
    undershoot: float
    overshoot: float
    cost: float


def labelled() -> list[Labelled]:
    """The whole set."""
    return msgspec.convert(tomllib.loads(SET.read_text("utf-8"))["prompts"], list[Labelled])


def seen(one: Labelled) -> Features:
    """What the gateway would see of it."""
    needs = [
        name
        for name, asked in (("tools", one.tools), ("response_format", one.schema), ("reasoning", one.reasoning))
        if asked
    ]
    modalities = frozenset({"text", "image"} if one.images else {"text"})
    size = max(one.bytes, len(one.text.encode()))
    facts = RequestFacts("openai.chat", "trunkline/auto", False, size, modalities=modalities, needs=tuple(needs))
    return features(one.text, facts, turns=one.turns, tools=one.tools, images=one.images)


def level_of(one: Labelled) -> str:
    """What the rules say."""
    return difficulty(seen(one)).level


def confusion(prompts: Sequence[Labelled]) -> dict[str, dict[str, int]]:
    """Label -> what the rules said -> how often."""
    table = {level: dict.fromkeys(LEVELS, 0) for level in LEVELS}
    for one in prompts:
        table[one.level][level_of(one)] += 1
    return table


def tallies(prompts: Sequence[Labelled]) -> list[Tally]:
    """The auto model by each preference, and the two ways without it."""
    catalog = shipped_catalog()
    rated = rate([catalog.models[slug] for slug in TIERS.values()])
    level_by_slug = {slug: level for level, slug in TIERS.items()}

    def auto(preference: Any) -> Callable[[Labelled], str]:
        return lambda one: level_by_slug[choose(seen(one), rated, preference).models[0]]

    ways: dict[str, Callable[[Labelled], str]] = {
        "always the cheapest": lambda _: "easy",
        "always the best": lambda _: "hard",
        "always the middle one": lambda _: "medium",
        "auto, price": auto("price"),
        "auto, balanced": auto("balanced"),
        "auto, performance": auto("performance"),
    }
    return [_tally(name, way, prompts, rated) for name, way in ways.items()]


def _tally(name: str, way: Callable[[Labelled], str], prompts: Sequence[Labelled], rated: Sequence[Rated]) -> Tally:
    place = {level: number for number, level in enumerate(LEVELS)}
    prices = {level: one.price_usd or 0.0 for level, one in zip(TIERS, rated, strict=True)}
    chosen = [(place[one.level], place[level]) for one in prompts for level in [way(one)]]
    n = len(prompts)
    return Tally(
        name,
        sum(label == took for label, took in chosen) / n,
        sum(took < label for label, took in chosen) / n,
        sum(took > label for label, took in chosen) / n,
        sum(prices[LEVELS[took]] for _, took in chosen) / n / prices["hard"],
    )


def by_language(prompts: Sequence[Labelled]) -> dict[str, tuple[int, int]]:
    """Language -> (right, all)."""
    table: dict[str, tuple[int, int]] = {}
    for one in prompts:
        right, count = table.get(one.lang, (0, 0))
        table[one.lang] = right + (level_of(one) == one.level), count + 1
    return table


def markdown() -> str:
    """The tables."""
    parts = []
    for half, title in HALVES.items():
        prompts = [one for one in labelled() if one.half == half]
        parts.append(f"**{title}** ({len(prompts)} prompts)\n")
        parts.append("| way | right model | too small | too large | cost of always the best |\n|---|---|---|---|---|")
        parts += [
            f"| {one.name} | {one.right:.0%} | {one.undershoot:.0%} | {one.overshoot:.0%} | {one.cost:.0%} |"
            for one in tallies(prompts)
        ]
        parts.append("\n| label | said easy | said medium | said hard |\n|---|---|---|---|")
        parts += [
            f"| {level} | {row['easy']} | {row['medium']} | {row['hard']} |"
            for level, row in confusion(prompts).items()
        ]
        told = ", ".join(f"{lang} {right}/{count}" for lang, (right, count) in by_language(prompts).items())
        parts.append(f"\nRight by language: {told}.\n")
    return "\n".join(parts)


def main(argv: Sequence[str]) -> int:
    tables = markdown()
    print(tables)
    if "--wrong" in argv:
        for one in labelled():
            scored = difficulty(seen(one))
            if one.half == "tune" and scored.level != one.level:
                print(one.lang, one.level, scored.score, scored.reasons, one.text[:90], sep=" | ")
    if "--write" in argv:
        page = PAGE.read_text("utf-8")
        PAGE.write_text(
            re.sub(r"(<!-- tables -->\n).*(<!-- end -->)", lambda m: m[1] + tables + m[2], page, flags=re.DOTALL)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

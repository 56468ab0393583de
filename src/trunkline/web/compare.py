"""`/models/compare?m=a&m=b`: up to four models side by side. In: names of models. Out: every fact in a row, with a mark where they differ."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.catalog.query import find, has_ended, nearest, shown_parameters
from trunkline.catalog.types import Model, Offer
from trunkline.records.figures import OfferFigures
from trunkline.web import facts, format
from trunkline.web.models import DAYS, MOST_COMPARED, Asked
from trunkline.web.render import pages_of
from trunkline.web.session import OpenReader

YES, NO = "yes", "-"

router = APIRouter(include_in_schema=False)


class Compared(msgspec.Struct, frozen=True):
    """A model and what its row entries are made of."""

    model: Model
    offers: tuple[Offer, ...]
    """Those that have not ended."""
    callable: int
    figures: OfferFigures
    """Of all offers, of the last days."""


class Fact(msgspec.Struct, frozen=True):
    """A row: a value for each model."""

    words: str
    values: tuple[str, ...]
    is_name: bool = False
    """The words are a name of a parameter, as a client writes it."""

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


class Group(msgspec.Struct, frozen=True):
    """Rows that belong together."""

    words: str
    facts: tuple[Fact, ...]


@router.api_route("/models/compare", methods=["GET", "HEAD"], response_class=Response)
async def compare(request: Request, console: ConsoleOf, _: OpenReader) -> Response:
    """The page. Whatever the form of the list sent besides the models is left out of the address."""
    query = request.query_params
    names = tuple(dict.fromkeys(name for name in query.getlist("m") if name))
    only = "1" if query.get("only") else ""
    if set(query) - {"m", "only"} or "" in query.getlist("m"):
        return RedirectResponse(_address(names, only), 303)
    chosen = _models(console, names)
    if len(chosen) > MOST_COMPARED:
        raise HTTPException(400, f"At most {MOST_COMPARED} models are compared at a time; {len(chosen)} were chosen.")
    figures = await facts.figures_of_days(console, DAYS, [offer.id for model in chosen for offer in model.offers])
    compared = [_compared(console, model, figures) for model in chosen]
    return pages_of(request).page(request, "compare.html", shown(console, compared, only))


def shown(console: Console, compared: Sequence[Compared], only: str) -> dict[str, Any]:
    """What the template shows."""
    slugs = tuple(one.model.slug for one in compared)
    groups = [
        Group(group.words, tuple(fact for fact in group.facts if fact.differs or not only))
        for group in (groups_of(console, compared) if compared else ())
    ]
    rest = (
        [] if len(slugs) >= MOST_COMPARED else [one for one in console.catalog.models.values() if one.slug not in slugs]
    )
    return {
        "compared": compared,
        "groups": [group for group in groups if group.facts],
        "without": {slug: _address([one for one in slugs if one != slug], only) for slug in slugs},
        "rest": sorted(rest, key=lambda model: model.name.casefold()),
        "only": only,
        "every": _address(slugs, ""),
        "differences": _address(slugs, "1"),
        "back": Asked(m=slugs).address(),
        "days": DAYS,
        "most": MOST_COMPARED,
    }


def groups_of(console: Console, compared: Sequence[Compared]) -> list[Group]:
    """All rows."""

    def row(words: str, value: Callable[[Compared], str]) -> Fact:
        return Fact(words, tuple(value(one) or NO for one in compared))

    names = sorted({name for one in compared for offer in one.offers for name in shown_parameters(offer)})
    supported = [{name for offer in one.offers for name in shown_parameters(offer)} for one in compared]
    parameters = tuple(
        Fact(name, tuple(YES if name in there else NO for there in supported), is_name=True) for name in names
    )
    return [
        Group("Model", _model_rows(row)),
        Group("Price of the cheapest offer, $ / M tokens", _price_rows(row, console.today())),
        Group(f"Measured here in the last {DAYS} days", _figure_rows(row)),
        Group("Native protocols", _protocol_rows(row)),
        Group("Data policy, by provider", _policy_rows(console, row)),
        Group("Parameters that an offer takes", parameters),
    ]


Row = Callable[[str, Callable[[Compared], str]], Fact]


def _model_rows(row: Row) -> tuple[Fact, ...]:
    return (
        row("Author", lambda one: one.model.author),
        row("Takes in", lambda one: ", ".join(one.model.input)),
        row("Gives out", lambda one: ", ".join(one.model.output)),
        row("Reasoning", lambda one: YES if one.model.reasoning else NO),
        row("Context", lambda one: _tokens(one.model.context_tokens)),
        row("Longest answer", lambda one: _tokens(one.model.max_output_tokens)),
        row("Released", lambda one: one.model.released_on or NO),
        row("Knowledge until", lambda one: one.model.knowledge_cutoff or NO),
        row("Deprecated", lambda one: one.model.deprecated_on or NO),
        row("Replacement", lambda one: one.model.replacement or NO),
        row("Providers", lambda one: ", ".join(sorted({offer.provider for offer in one.offers}))),
        row("Callable now", lambda one: f"{one.callable} of {len(one.offers)} offers" if one.callable else "no"),
        row("Aliases", lambda one: ", ".join(one.model.aliases)),
    )


def _price_rows(row: Row, today: str) -> tuple[Fact, ...]:
    def lowest(item: str) -> Callable[[Compared], str]:
        def value(one: Compared) -> str:
            prices = (facts.price(offer, item, today) for offer in one.offers)
            return facts.dollars(min((price for price in prices if price is not None), default=None))

        return value

    return tuple(
        row(f"{words}, each" if item in ("web_search", "request") else words, lowest(item))
        for item, words in facts.PRICE_WORDS.items()
        if item not in ("image", "audio", "video", "internal_reasoning")
    )


def _figure_rows(row: Row) -> tuple[Fact, ...]:
    return (
        row("First token, median", lambda one: format.duration(one.figures.latency.quantile(0.5))),
        row("First token, 90 % within", lambda one: format.duration(one.figures.latency.quantile(0.9))),
        row("Throughput, median", lambda one: _with_unit(format.rate(one.figures.speed.quantile(0.5)), "tokens/s")),
        row("Uptime", lambda one: format.percent(one.figures.uptime)),
        row("Attempts", lambda one: format.exact(one.figures.attempts or None)),
        row("Tokens", lambda one: format.count(one.figures.input_tokens + one.figures.output_tokens or None)),
    )


def _protocol_rows(row: Row) -> tuple[Fact, ...]:
    def spoken(protocol: str) -> Callable[[Compared], str]:
        return lambda one: ", ".join(sorted(offer.provider for offer in one.offers if protocol in offer.protocols))

    return tuple(row(words, spoken(protocol)) for protocol, words in facts.PROTOCOL_WORDS.items())


def _policy_rows(console: Console, row: Row) -> tuple[Fact, ...]:
    def stated(words: Callable[[Any], str]) -> Callable[[Compared], str]:
        return lambda one: _by_word((words(facts.policy_of(console, offer)), offer.provider) for offer in one.offers)

    return (
        row("Trains on prompts", stated(facts.training_words)),
        row("Prompts are kept", stated(facts.retention_words)),
        row("Moderation", stated(lambda policy: policy.moderation or "not stated")),
    )


def _by_word(pairs: Iterable[tuple[str, str]]) -> str:
    """`no: azure, openai; yes: acme`."""
    by_word: dict[str, set[str]] = {}
    for word, provider in pairs:
        by_word.setdefault(word, set()).add(provider)
    return "; ".join(f"{word}: {', '.join(sorted(providers))}" for word, providers in sorted(by_word.items()))


def _compared(console: Console, model: Model, figures: Mapping[str, OfferFigures]) -> Compared:
    today = console.today()
    return Compared(
        model=model,
        offers=tuple(offer for offer in model.offers if not has_ended(offer, today)),
        callable=len(console.state.callable_offers(model, today)),
        figures=facts.added(figures[offer.id] for offer in model.offers if offer.id in figures),
    )


def _models(console: Console, names: Iterable[str]) -> list[Model]:
    """By slug or alias, once each. 404 where a name means nothing."""
    found: dict[str, Model] = {}
    for name in names:
        known = find(console.catalog, name)
        if known is None:
            near = nearest(console.catalog, name)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise HTTPException(404, f"There is no model {name[:100]}.{hint}")
        found[known.model.slug] = known.model
    return list(found.values())


def _address(slugs: Iterable[str], only: str) -> str:
    path = Asked(m=tuple(slugs)).address("/models/compare")
    return path + (("&" if "?" in path else "?") + "only=1" if only else "")


def _tokens(tokens: int) -> str:
    return f"{tokens:,}" if tokens else NO


def _with_unit(text: str, unit: str) -> str:
    return text if text == format.NONE else f"{text} {unit}"

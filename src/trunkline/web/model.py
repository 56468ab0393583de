"""`/{author}/{model}`: everything about a model on one page. In: the console, the ranges chosen. Out: the page; for an alias a redirect.

The figures are in `model_figures`, the offers in `model_offers`, the code in `samples`.
"""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.routing import Match
from starlette.types import Scope

from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.catalog.query import find, nearest
from trunkline.catalog.schema import RESERVED_AUTHORS
from trunkline.catalog.types import Catalog, Model
from trunkline.storage.backfill import made_up_until_ms
from trunkline.storage.outcomes import OutcomesOverTime
from trunkline.storage.statistics import Statistics
from trunkline.web import model_figures, model_offers, samples
from trunkline.web.failures import is_for_people
from trunkline.web.model_figures import DAYS, RANGES
from trunkline.web.remembered import Remembered
from trunkline.web.render import pages_of
from trunkline.web.session import OpenReader

NEAR = 3
MAX_SHOWN_NAME = 200


class ModelRoute(APIRoute):
    """Leaves every path alone that is the gateway's own: what is not there stays what it is without this route."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        author, slash, rest = scope["path"].removeprefix("/").partition("/")
        if not slash or not rest or author in RESERVED_AUTHORS:
            return Match.NONE, {}
        return super().matches(scope)


router = APIRouter(include_in_schema=False, route_class=ModelRoute)


@router.api_route("/{author}/{model:path}", methods=["GET", "HEAD"], response_class=Response)
async def model_page(
    request: Request,
    console: ConsoleOf,
    _: OpenReader,
    author: str,
    model: str,
    range: str = "7d",
    days: str = "30",
    key: str = samples.KEY_NAME,
) -> Response:
    """The page of one model."""
    name = f"{author}/{model}"
    found = named(console.catalog, author, model)
    if found is None:
        return _unknown(request, console, name)
    if found.slug != name:
        return RedirectResponse(_address(request, found), 308)
    facts = shown(console, found, range, days, key)
    asked = ("model", found.slug, console.catalog.version, range, days)
    figures = await _remembered(request).get(asked, console.now_ms(), lambda: figures_of(console, found, range, days))
    return pages_of(request).page(request, "model.html", facts | figures)


def named(catalog: Catalog, author: str, model: str) -> Model | None:
    """The model that a path means: by its slug, a name with a provider or an order behind it, an alias with or without the author before it."""
    found = find(catalog, f"{author}/{model}")
    if found is None:
        found = find(catalog, model)
        if found is None or found.model.author != author:
            return None
    return found.model


def shown(console: Console, model: Model, range_name: str, days: str, key_name: str) -> dict[str, Any]:
    """What the page shows but for figures. Raises 400 where something was asked for that there is not."""
    if range_name not in RANGES:
        raise HTTPException(400, f"There is no range {range_name[:40]!r}: take {', '.join(RANGES)}.")
    if days not in map(str, DAYS):
        raise HTTPException(400, f"There is no range of {days[:40]!r} days: take {', '.join(map(str, DAYS))}.")
    if not samples.is_key_name(key_name):
        raise HTTPException(
            400, "The name of a variable has letters, digits and underscores, and begins with no digit."
        )
    offers = model_offers.offer_cards(console, model)
    return {
        "model": model,
        "offers": offers,
        "callable": [offer for offer in offers if offer.state == "ready"],
        "simulated": any(offer.simulated for offer in offers),
        "emulates": any(one.emulated for offer in offers for one in offer.parameters),
        "replacement": _known(console.catalog, model.replacement),
        "range": range_name,
        "ranges": [(name, one.words) for name, one in RANGES.items()],
        "each": RANGES[range_name].each,
        "days": int(days),
        "day_ranges": [(number, f"{number} days") for number in DAYS],
        "samples": samples.shown(console.settings.address, model.slug, key_name),
        "key_name": key_name,
        "default_key_name": samples.KEY_NAME,
        "prompt": samples.PROMPT,
    }


async def figures_of(console: Console, model: Model, range_name: str, days: str) -> dict[str, Any]:
    """What the store knows of the model, for ranges that there are."""
    statistics, outcomes = Statistics(console.store, console.now_ms), OutcomesOverTime(console.store, console.now_ms)
    names, now_ms = model_offers.names_of(console.catalog, model), console.now_ms()
    return {
        "now": await model_figures.now_of(statistics, outcomes, list(names), now_ms) if names else {},
        "performance": await model_figures.performance(statistics, names, RANGES[range_name], now_ms),
        "activity": await model_figures.activity(statistics, model.slug, int(days), now_ms),
        "made_up_until_ms": await made_up_until_ms(console.store),
    }


def _remembered(request: Request) -> Remembered:
    remembered = request.app.state.remembered
    assert isinstance(remembered, Remembered)
    return remembered


def _unknown(request: Request, console: Console, name: str) -> Response:
    """404, with what may have been meant."""
    near = [slug for slug in nearest(console.catalog, name, NEAR) if slug in console.catalog.models]
    if not is_for_people(request):
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise HTTPException(404, f"There is no model `{name[:MAX_SHOWN_NAME]}`.{hint}")
    models = [console.catalog.models[slug] for slug in near]
    page = {"name": name[:MAX_SHOWN_NAME], "near": models}
    return pages_of(request).page(request, "model_unknown.html", page, 404)


def _address(request: Request, model: Model) -> str:
    query = request.url.query
    return f"/{model.slug}{'?' + query if query else ''}"


def _known(catalog: Catalog, name: str | None) -> Model | None:
    """The model that another one names, if it is in the catalog."""
    found = find(catalog, name) if name else None
    return found.model if found else None

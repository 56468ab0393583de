"""`/platform/chat`: the studio. In: names of models by `?model=`, up to four. Out: the page, and what its script must know of each model.

Questions go from the browser to the data plane, with the session's key; conversations stay in the browser. Nothing of them comes by here.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from starlette.exceptions import HTTPException

from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.catalog.query import AUTO_MODELS, auto_factor, find, nearest, shown_parameters
from trunkline.catalog.types import Model, Offer
from trunkline.web.render import pages_of
from trunkline.web.session import PlatformReader

MOST_MODELS = 4
"""Side by side."""
ALL_KINDS = ("text", "image", "file", "audio", "video")
AUTO = AUTO_MODELS[0]

router = APIRouter(include_in_schema=False)


class ChatModel(msgspec.Struct, frozen=True):
    """A model that can be called now, for the script."""

    slug: str
    name: str
    input: tuple[str, ...]
    """What at least one of its offers takes."""
    offers: dict[str, int]
    """Provider -> which of the lists of parameters it takes."""


class ChatModels(msgspec.Struct, frozen=True):
    """All of them. Most offers take one of a few lists of parameters, so these stand apart."""

    models: list[ChatModel]
    parameters: list[list[str]]


@router.api_route("/platform/chat", methods=["GET", "HEAD"], response_class=Response)
async def chat(
    request: Request, console: ConsoleOf, reader: PlatformReader, model: Annotated[Sequence[str], Query()] = ()
) -> Response:
    """The page."""
    known = chat_models(console)
    return pages_of(request).page(request, "chat.html", {"reader": reader, **shown(console, known, model)})


def shown(console: Console, known: ChatModels, asked: Sequence[str]) -> dict[str, Any]:
    """What the page shows. Raises 400 and 404 for what was asked in vain."""
    names = list(dict.fromkeys(_named(console, name) for name in asked))
    if len(names) > MOST_MODELS:
        raise HTTPException(
            400, f"At most {MOST_MODELS} models can stand side by side; the address names {len(names)}."
        )
    return {
        "models": known.models,
        "data": {
            **msgspec.to_builtins(known),
            "chosen": names,
            "most": MOST_MODELS,
            "max_body_bytes": console.settings.server.max_body_bytes,
        },
    }


def chat_models(console: Console) -> ChatModels:
    """Models with an offer that can be called, by slug; first the one that chooses."""
    today = console.today()
    lists: dict[tuple[str, ...], int] = {}

    def of(model: Model, offers: Sequence[Offer]) -> ChatModel:
        takes = {kind for offer in offers for kind in (offer.input or model.input)}
        numbers = {one.provider: lists.setdefault(tuple(shown_parameters(one)), len(lists)) for one in offers}
        return ChatModel(model.slug, model.name, tuple(kind for kind in ALL_KINDS if kind in takes), numbers)

    callable_ = [(model, console.state.callable_offers(model, today)) for model in console.catalog.models.values()]
    found = [of(model, offers) for model, offers in callable_ if offers and "text" in model.output]
    found.sort(key=lambda model: model.slug)
    if len(found) > 1 and auto_factor(console.catalog, AUTO) is not None:
        found.insert(0, ChatModel(AUTO, "Auto: the cheapest that is up to it", ALL_KINDS, {}))
    return ChatModels(found, [list(names) for names in lists])


def _named(console: Console, name: str) -> str:
    """The name as a request needs it: an alias became its slug, a pin and an order stay. Raises 404."""
    if auto_factor(console.catalog, name) is not None:
        return name
    found = find(console.catalog, name)
    if found is None:
        near = nearest(console.catalog, name)
        raise HTTPException(
            404, f"There is no model {name[:200]}." + (f" Did you mean {' or '.join(near)}?" if near else "")
        )
    pin = f":{found.provider}" if found.provider else ""
    order = f":{name.rpartition(':')[2]}" if found.factor else ""
    return f"{found.model.slug}{pin}{order}"

"""`/`: the start page. In: the console, and the model chosen by `?model=`. Out: where to call, with what, and what is
missing."""

from typing import Any

from fastapi import APIRouter, Request, Response

from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.providers import provider_cards
from trunkline.web import first_run
from trunkline.web.reachable import callable_models, curl_sample, python_sample
from trunkline.web.render import pages_of
from trunkline.web.session import OpenReader

SHOWN_MODELS = 60

router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=["GET", "HEAD"], response_class=Response)
async def start(request: Request, console: ConsoleOf, reader: OpenReader, model: str = "") -> Response:
    """The start page."""
    del reader
    steps = await first_run.steps_left(request, console, samples="below")
    return pages_of(request).page(request, "start.html", shown(console, model) | steps)


def shown(console: Console, asked_model: str) -> dict[str, Any]:
    """What the page shows."""
    rows = callable_models(console)
    cards = provider_cards(console, {})
    chosen = next((row.slug for row in rows if row.slug == asked_model), rows[0].slug if rows else "")
    base_url = f"{console.settings.address}/api/v1"
    return {
        "base_url": base_url,
        "models": rows[:SHOWN_MODELS],
        "choices": [row.slug for row in rows],
        "model_count": len(rows),
        "known_count": len(console.catalog.models),
        "chosen": chosen,
        "curl": curl_sample(base_url, chosen),
        "python": python_sample(base_url, chosen),
        "ready": [card for card in cards if card.state == "ready"],
        "absent": first_run.worth_showing(cards),
        "catalog_version": console.catalog.version,
    }

"""`/`: the start page. In: the console, and the model chosen by `?model=`. Out: where to call, with what, and what is
missing."""

import json
from decimal import Decimal
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.providers import ProviderCard, provider_cards
from trunkline.catalog.types import Model, Offer
from trunkline.web.render import Pages

PROMPT = "Say hello in one sentence."
SHOWN_MODELS = 60


class ModelRow(msgspec.Struct, frozen=True):
    """A model that can be called now, as a row shows it."""

    slug: str
    name: str
    providers: str
    context: str
    price: str
    simulated: bool


router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=["GET", "HEAD"], response_class=Response)
async def start(request: Request, console: ConsoleOf, model: str = "") -> Response:
    """The start page."""
    if not console.settings.pages.public:
        raise HTTPException(403, "The operator has closed the pages: [pages] public is false. The API works as ever.")
    pages: Pages = request.app.state.pages
    return pages.page(request, "start.html", shown(console, model))


def shown(console: Console, asked_model: str) -> dict[str, Any]:
    """What the page shows."""
    rows = callable_models(console)
    cards = provider_cards(console, {})
    chosen = next((row.slug for row in rows if row.slug == asked_model), rows[0].slug if rows else "")
    base_url = f"{console.settings.address}/api/v1"
    return {
        "base_url": base_url,
        "models": rows[:SHOWN_MODELS],
        "model_count": len(rows),
        "known_count": len(console.catalog.models),
        "chosen": chosen,
        "curl": curl_sample(base_url, chosen),
        "python": python_sample(base_url, chosen),
        "ready": [card for card in cards if card.state == "ready"],
        "absent": _worth_showing(cards),
        "catalog_version": console.catalog.version,
    }


def callable_models(console: Console) -> list[ModelRow]:
    """The models with an offer that can be called now; local ones last, since the others were set up on purpose."""
    rows, today = [], console.today()
    for model in console.catalog.models.values():
        offers = console.state.callable_offers(model, today)
        if offers:
            local = all(console.catalog.providers[offer.provider].local for offer in offers)
            rows.append((local, _row(model, offers, console)))
    return [row for _, row in sorted(rows, key=lambda pair: (pair[0], pair[1].slug))]


def curl_sample(base_url: str, model: str) -> str:
    """A request to paste; the key is a variable, since a page shows no key."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": PROMPT}]}, indent=2)
    return (
        f"curl {base_url}/chat/completions \\\n"
        '  -H "Authorization: Bearer $TRUNKLINE_API_KEY" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d '{body}'"
    )


def python_sample(base_url: str, model: str) -> str:
    """The same with the `openai` package."""
    return (
        "import os\n\n"
        "from openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{base_url}", api_key=os.environ["TRUNKLINE_API_KEY"])\n'
        "completion = client.chat.completions.create(\n"
        f'    model="{model}",\n'
        f'    messages=[{{"role": "user", "content": "{PROMPT}"}}],\n'
        ")\n"
        "print(completion.choices[0].message.content)"
    )


def _row(model: Model, offers: list[Offer], console: Console) -> ModelRow:
    names = sorted({console.catalog.providers[offer.provider].name for offer in offers})
    return ModelRow(
        slug=model.slug,
        name=model.name,
        providers=", ".join(names),
        context=f"{model.context_tokens:,}" if model.context_tokens else "",
        price=_price(offers[0]),
        simulated=any(offer.simulated for offer in offers),
    )


def _price(offer: Offer) -> str:
    """Input and output in USD for a million tokens, at the first band."""
    first: dict[str, Decimal] = {}
    for line in offer.price:
        if line.unit == "perMTokens":
            first.setdefault(line.item, line.value)
    prompt, completion = first.get("prompt"), first.get("completion")
    if prompt is None or completion is None:
        return "not known"
    return "free" if prompt == completion == 0 else f"${prompt:f} in · ${completion:f} out"


def _worth_showing(cards: list[ProviderCard]) -> list[ProviderCard]:
    """Providers that are not ready and whose setting up is a matter of variables, those with most models first."""
    absent = [card for card in cards if card.state == "absent" and card.models]
    return sorted(absent, key=lambda card: (-card.models, card.name.lower()))

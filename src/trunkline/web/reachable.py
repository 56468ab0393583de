"""The models that can be called now, and a first request to one. In: the console. Out: rows for tables, text to paste."""

import json
from decimal import Decimal

import msgspec

from trunkline.api.management.console import Console
from trunkline.catalog.types import Model, Offer

PROMPT = "Say hello in one sentence."


class ModelRow(msgspec.Struct, frozen=True):
    """A model that can be called now, as a row shows it."""

    slug: str
    name: str
    providers: str
    context_tokens: int | None
    price: str
    simulated: bool


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
        context_tokens=model.context_tokens or None,
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

"""Asking the catalog: by name, by nearness, and as the JSON that clients know.

In: a `Catalog`. Out: models, offers, and ZenMux-shaped dicts; there, and only there, prices become floats.
"""

import datetime
import difflib
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec

from trunkline.catalog.types import PARAMETERS, Catalog, DataPolicy, Model, Offer, PriceLine, When

AUTO_MODELS = ("trunkline/auto", "zenmux/auto", "openrouter/auto")
"""Names under which the gateway chooses the model, unless the catalog has a model of that name.
https://docs.zenmux.ai/guide/advanced/model-routing.html, https://openrouter.ai/docs/guides/routing"""

Factor = Literal["", "price", "throughput"]

VARIANTS: dict[str, Factor] = {"nitro": "throughput", "floor": "price"}
"""Suffix of a name -> what its offers are ordered by.
https://openrouter.ai/docs/guides/routing/model-variants/nitro.md, https://openrouter.ai/docs/guides/routing/model-variants/floor"""


class Found(msgspec.Struct, frozen=True):
    """What a name means: a model, a provider where the name pins one, and what the offers are ordered by where it says so."""

    model: Model
    provider: str | None = None
    factor: Factor = ""


def find(catalog: Catalog, name: str) -> Found | None:
    """The whole name or alias first, only then split at the last colon: `ollama/llama3:8b` is a model, `o4-mini:azure` a pin, `o4-mini:floor`
    an order.

    None where the name means nothing, and where the model is not served by the provider that the name pins.
    """
    model = _model(catalog, name)
    if model is not None:
        return Found(model)
    head, colon, tail = name.rpartition(":")
    model = _model(catalog, head) if colon else None
    provider = _serving(catalog, model, tail) if model is not None else None
    if model is not None and provider is not None:
        return Found(model, provider)
    factor = VARIANTS.get(tail, "")
    plain = find(catalog, head) if colon and factor else None
    if plain is None or plain.factor:
        return None
    return Found(plain.model, plain.provider, factor)


def auto_factor(catalog: Catalog, name: str) -> Factor | None:
    """None where the name is not one of the automatic model; else what the offers are ordered by, "" where the name does not say."""
    head, _, tail = name.rpartition(":")
    name, factor = (head, VARIANTS[tail]) if tail in VARIANTS else (name, "")
    return factor if name in AUTO_MODELS and _model(catalog, name) is None else None


def provider_names(catalog: Catalog) -> dict[str, str]:
    """Every name of a provider in the form of `folded` -> its slug: its display name, its aliases, the slug itself, which wins."""
    shown = {folded(provider.name): slug for slug, provider in catalog.providers.items()}
    others = {folded(alias): slug for slug, provider in catalog.providers.items() for alias in provider.aliases}
    return {**shown, **others, **{folded(slug): slug for slug in catalog.providers}}


def folded(name: str) -> str:
    """A provider's name without what spellings differ in: `Z.AI`, `z-ai` and `zai` are one."""
    return "".join(filter(str.isalnum, name.casefold()))


def nearest(catalog: Catalog, name: str, n: int = 3) -> list[str]:
    """Up to `n` names that a mistyped one may mean, the likeliest first. For a known model with a wrong provider: its pins."""
    head, colon, _ = name.rpartition(":")
    model = _model(catalog, head) if colon else None
    if model is not None:
        return [offer.id for offer in model.offers][:n] or [model.slug]
    short = {slug.partition("/")[2]: slug for slug in catalog.models}
    known = {**short, **catalog.aliases, **{slug: slug for slug in catalog.models}}
    folded = {one.casefold(): slug for one, slug in known.items()}
    close = difflib.get_close_matches(name.casefold(), folded, n=4 * n, cutoff=0.5)
    return list(dict.fromkeys(folded[match] for match in close))[:n]


def has_ended(offer: Offer, today: str) -> bool:
    """Whether the provider has stopped serving it. `today` is an ISO date."""
    return offer.shutdown_on is not None and offer.shutdown_on <= today


def model_card(model: Model, catalog: Catalog, today: str = "") -> dict[str, Any]:
    """One entry of `GET /models`, with the prices of the first offer. `today` is an ISO date: ended prices are left out.

    https://docs.zenmux.ai/api/platform/openai-list-models.html
    """
    del catalog
    return {
        "id": model.slug,
        "object": "model",
        "display_name": model.name,
        "created": _unix_s(model.released_on),
        "owned_by": model.author,
        "description": model.description,
        "input_modalities": list(model.input),
        "output_modalities": list(model.output),
        "capabilities": {"reasoning": model.reasoning},
        "context_length": model.context_tokens,
        "max_completion_tokens": model.max_output_tokens or None,
        "aliases": list(model.aliases),
        "pricings": pricings(model.offers[0].price, today) if model.offers else {},
        "deprecated_on": model.deprecated_on,
        "replacement": model.replacement,
    }


def endpoint_card(
    offer: Offer, catalog: Catalog, figures: Mapping[str, Any] | None = None, today: str = ""
) -> dict[str, Any]:
    """One entry of `GET /models/{id}/endpoints`. `figures` are the live ones, shown as they are given."""
    model = catalog.models[offer.model]
    provider = catalog.providers[offer.provider]
    supported = shown_parameters(offer)
    return {
        "id": offer.id,
        "model": offer.model,
        "provider": provider.name,
        "provider_slug": provider.slug,
        "upstream_model": offer.upstream_model,
        "pricings": pricings(offer.price, today),
        "context_length": offer.context_tokens or model.context_tokens,
        "max_prompt_tokens": offer.max_input_tokens,
        "max_completion_tokens": offer.max_output_tokens or model.max_output_tokens or None,
        "input_modalities": list(offer.input or model.input),
        "output_modalities": list(model.output),
        "supported_parameters": supported,
        "emulated_parameters": list(offer.emulated_parameters),
        "protocols": list(offer.protocols),
        "can_abort": offer.abortable,
        "supports_reasoning": model.reasoning,
        "supports_tool_parameters": "tools" in supported,
        "data_policy": _policy_card(offer.data_policy or provider.data_policy),
        "status_page": provider.status_url or None,
        "deprecated_on": offer.deprecated_on,
        "shutdown_on": offer.shutdown_on,
        "simulated": offer.simulated,
        "figures": dict(figures) if figures is not None else None,
    }


def shown_parameters(offer: Offer) -> list[str]:
    """What a client may send, in the vocabulary, emulated ones included. An offer without a list supports all."""
    given = offer.supported_parameters
    return sorted(PARAMETERS if given is None else {*given, *offer.emulated_parameters})


def pricings(lines: Iterable[PriceLine], today: str = "") -> dict[str, list[dict[str, Any]]]:
    """Item -> prices, what holds now, unconditional and lowest band first: clients read `pricings.X[0].value`."""
    cards: dict[str, list[dict[str, Any]]] = {}
    running = (line for line in lines if not today or line.valid_to is None or line.valid_to > today)
    for line in sorted(running, key=_plainness):
        cards.setdefault(line.item, []).append(_price_card(line))
    return cards


def _serving(catalog: Catalog, model: Model, name: str) -> str | None:
    """The provider of one of the model's offers that a name means."""
    if any(offer.provider == name for offer in model.offers):
        return name
    slug = provider_names(catalog).get(folded(name))
    return slug if any(offer.provider == slug for offer in model.offers) else None


def _model(catalog: Catalog, name: str) -> Model | None:
    return catalog.models.get(name) or catalog.models.get(catalog.aliases.get(name, ""))


def _plainness(line: PriceLine) -> tuple[bool, bool, str, int]:
    when = line.when
    return (
        when.service_tier is not None,
        (when.utc_from or when.utc_days) is not None,
        line.valid_from or "",
        when.prompt_tokens_gt or 0,
    )


def _price_card(line: PriceLine) -> dict[str, Any]:
    card: dict[str, Any] = {"value": _number(line.value), "unit": line.unit, "currency": "USD"}
    conditions = _conditions(line.when)
    dates = {"valid_from": line.valid_from, "valid_to": line.valid_to}
    return card | ({"conditions": conditions} if conditions else {}) | {k: v for k, v in dates.items() if v}


def _conditions(when: When) -> dict[str, Any]:
    bounds = {"gt": when.prompt_tokens_gt, "lte": when.prompt_tokens_lte}
    band = {name: _number(Decimal(tokens) / 1000) for name, tokens in bounds.items() if tokens is not None}
    conditions: dict[str, Any] = {"prompt_tokens": {"unit": "kTokens", **band}} if band else {}
    if when.service_tier is not None:
        conditions["service_tier"] = when.service_tier
    if when.utc_from is not None or when.utc_days is not None:
        conditions["utc"] = {"from": when.utc_from, "to": when.utc_to, "days": when.utc_days or "1234567"}
    return conditions


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _policy_card(policy: DataPolicy) -> dict[str, Any]:
    return {
        "training": policy.training,
        "retention_days": 0 if policy.zdr else policy.retention_days,
        "zero_retention": policy.zdr or policy.retention_days == 0,
        "moderation": policy.moderation or None,
        "region": policy.region or None,
    }


def _unix_s(iso_date: str | None) -> int:
    if not iso_date:
        return 0
    day = datetime.date.fromisoformat(iso_date)
    return int(datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC).timestamp())

"""Asking the catalog by name, and as JSON."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from trunkline.catalog.load import load
from trunkline.catalog.query import (
    Found,
    auto_factor,
    endpoint_card,
    find,
    folded,
    model_card,
    nearest,
    pricings,
    provider_names,
    shown_parameters,
)
from trunkline.catalog.schema import parse_layer
from trunkline.catalog.types import PARAMETERS, Catalog, Offer, PriceLine, When

SHIPPED = load()


def local(name: str) -> Catalog:
    models = [{"slug": name, "offers": [{"provider": "ollama", "protocols": ["openai.chat"]}], "aliases": ["odd:name"]}]
    return load(
        [parse_layer({"providers": {"ollama": {"base_url": "http://127.0.0.1"}}, "models": models}, "t")], shipped=False
    )


def named(catalog: Catalog, name: str) -> tuple[str, str | None] | None:
    found = find(catalog, name)
    return None if found is None else (found.model.slug, found.provider)


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("openai/o4-mini", ("openai/o4-mini", None)),
        ("o4-mini", ("openai/o4-mini", None)),
        ("openai/o4-mini:azure", ("openai/o4-mini", "azure")),
        ("o4-mini-2025-04-16:openai", ("openai/o4-mini", "openai")),
        ("openai/o4-mini:groq", None),
        ("openai/o4-mini:", None),
        ("openai/o5-mini", None),
        ("", None),
        (":", None),
    ],
)
def test_a_name_means_a_model_and_perhaps_a_provider(name: str, means: tuple[str, str | None] | None) -> None:
    assert named(SHIPPED, name) == means


def test_a_colon_may_be_part_of_a_name() -> None:
    catalog = local("ollama/llama3:8b")
    assert named(catalog, "ollama/llama3:8b") == ("ollama/llama3:8b", None)
    assert named(catalog, "ollama/llama3:8b:ollama") == ("ollama/llama3:8b", "ollama")
    assert named(catalog, "odd:name:ollama") == ("ollama/llama3:8b", "ollama")
    assert named(catalog, "ollama/llama3") is None


def test_what_is_found_is_the_catalogs_own_model() -> None:
    assert find(SHIPPED, "o4-mini") == Found(SHIPPED.models["openai/o4-mini"])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("openai/o4-mni", "openai/o4-mini"),
        ("claude-opus-5.6", "anthropic/claude-opus-5.5"),
        ("o4mini", "openai/o4-mini"),
    ],
)
def test_a_mistyped_name_is_near_to_the_one_that_was_meant(typed: str, meant: str) -> None:
    assert meant in nearest(SHIPPED, typed)


def test_a_wrong_provider_is_answered_with_the_right_ones() -> None:
    assert nearest(SHIPPED, "o4-mini:groq") == ["openai/o4-mini:openai", "openai/o4-mini:azure"]


def test_near_names_are_few_and_each_told_once() -> None:
    near = nearest(SHIPPED, "gpt-5", n=3)
    assert len(near) == len(set(near)) <= 3
    assert nearest(SHIPPED, "zzzzzzzzzz") == []


def card(slug: str = "openai/o4-mini") -> dict[str, Any]:
    return model_card(SHIPPED.models[slug], SHIPPED)


def test_the_card_of_a_model_has_what_clients_read() -> None:
    shown = msgspec.json.decode(msgspec.json.encode(card()))
    assert shown["id"] == "openai/o4-mini"
    assert (shown["object"], shown["owned_by"], shown["display_name"]) == ("model", "openai", "OpenAI: o4 Mini")
    assert shown["created"] == 1_744_761_600
    assert (shown["input_modalities"], shown["output_modalities"]) == (["text", "image"], ["text"])
    assert shown["capabilities"] == {"reasoning": True}
    assert (shown["context_length"], shown["aliases"]) == (200_000, ["o4-mini", "o4-mini-2025-04-16"])
    assert [shown["pricings"][item][0]["value"] for item in ("prompt", "completion", "input_cache_read")] == [
        1.1,
        4.4,
        0.275,
    ]
    assert shown["pricings"]["prompt"][0] == {"value": 1.1, "unit": "perMTokens", "currency": "USD"}


def test_every_shipped_card_can_be_written_as_json() -> None:
    for model in SHIPPED.models.values():
        cards = [model_card(model, SHIPPED), *(endpoint_card(offer, SHIPPED, {}) for offer in model.offers)]
        assert msgspec.json.encode(cards)


def test_a_length_band_is_told_in_thousands_of_tokens() -> None:
    shown = card("openai/gpt-6.1-sol")["pricings"]["prompt"]
    assert shown[0]["conditions"] == {"prompt_tokens": {"unit": "kTokens", "lte": 272}}
    assert shown[1]["conditions"] == {"prompt_tokens": {"unit": "kTokens", "gt": 272}}


def test_what_always_holds_comes_first() -> None:
    lines = [
        PriceLine("prompt", "perMTokens", Decimal("0.5"), When(service_tier="flex")),
        PriceLine("prompt", "perMTokens", Decimal("2"), When(utc_from="01:00", utc_to="04:00", utc_days="12345")),
        PriceLine("prompt", "perMTokens", Decimal("1")),
    ]
    shown = pricings(lines)["prompt"]
    assert [price["value"] for price in shown] == [1, 2, 0.5]
    assert shown[1]["conditions"] == {"utc": {"from": "01:00", "to": "04:00", "days": "12345"}}
    assert shown[2]["conditions"] == {"service_tier": "flex"}


def test_a_price_that_has_ended_is_not_shown() -> None:
    lines = [
        PriceLine("prompt", "perMTokens", Decimal(2), valid_to="2026-12-01"),
        PriceLine("prompt", "perMTokens", Decimal(4), valid_from="2026-12-01"),
    ]
    assert [price["value"] for price in pricings(lines, "2026-11-30")["prompt"]] == [2, 4]
    assert [price["value"] for price in pricings(lines, "2026-12-01")["prompt"]] == [4]


def test_the_card_of_an_offer_tells_prices_limits_and_policy() -> None:
    shown = endpoint_card(SHIPPED.models["openai/o4-mini"].offers[1], SHIPPED, {"uptime_percent": 100.0})
    assert (shown["provider"], shown["provider_slug"]) == ("Azure", "azure")
    assert shown["pricings"]["input_cache_read"][0]["value"] == 0.28
    assert (shown["context_length"], shown["max_completion_tokens"]) == (200_000, 100_000)
    assert "stop" in shown["supported_parameters"]
    assert "temperature" not in shown["supported_parameters"]
    assert shown["data_policy"]["training"] is False
    assert shown["data_policy"]["retention_days"] == 30
    assert shown["status_page"].startswith("https://")
    assert shown["figures"] == {"uptime_percent": 100.0}


def test_an_operators_zero_retention_shows_as_such() -> None:
    catalog = load([parse_layer({"providers": {"azure": {"zdr": True}}}, "t")])
    policy = endpoint_card(catalog.models["openai/o4-mini"].offers[1], catalog)["data_policy"]
    assert (policy["retention_days"], policy["zero_retention"]) == (0, True)


def test_an_offer_without_a_list_supports_the_whole_vocabulary() -> None:
    assert shown_parameters(Offer("a/b", "c", "d", ("openai.chat",))) == sorted(PARAMETERS)


# --- suffixes, other spellings, the automatic model


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("openai/o4-mini:floor", Found(SHIPPED.models["openai/o4-mini"], None, "price")),
        ("o4-mini:nitro", Found(SHIPPED.models["openai/o4-mini"], None, "throughput")),
        ("openai/o4-mini:azure:floor", Found(SHIPPED.models["openai/o4-mini"], "azure", "price")),
        ("openai/o4-mini:floor:azure", None),
        ("openai/o4-mini:floor:nitro", None),
        ("openai/o4-mini:free", None),
        ("openai/o5-mini:floor", None),
        (":floor", None),
    ],
)
def test_a_suffix_says_what_the_offers_are_ordered_by(name: str, means: Found | None) -> None:
    assert find(SHIPPED, name) == means


def test_a_provider_may_have_the_name_of_a_suffix() -> None:
    offers = [{"provider": "floor", "protocols": ["openai.chat"]}]
    layer = {"providers": {"floor": {"base_url": "http://127.0.0.1"}}, "models": [{"slug": "acme/a", "offers": offers}]}
    assert named(load([parse_layer(layer, "t")], shipped=False), "acme/a:floor") == ("acme/a", "floor")


@pytest.mark.parametrize(
    ("name", "slug"),
    [("amazon-bedrock", "bedrock"), ("Azure", "azure"), ("google-vertex", "vertex"), ("Z.AI", "zai"), ("z-ai", "zai")],
)
def test_providers_have_the_names_that_they_and_other_gateways_give_them(name: str, slug: str) -> None:
    assert provider_names(SHIPPED)[folded(name)] == slug


def test_a_pin_may_be_spelled_otherwise() -> None:
    assert named(SHIPPED, "openai/o4-mini:OpenAI") == ("openai/o4-mini", "openai")


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("trunkline/auto", ""),
        ("zenmux/auto:floor", "price"),
        ("openrouter/auto:nitro", "throughput"),
        ("openai/o4-mini", None),
        ("acme/auto", None),
        ("trunkline/auto:azure", None),
    ],
)
def test_the_automatic_model_has_three_names(name: str, factor: str | None) -> None:
    assert auto_factor(SHIPPED, name) == factor

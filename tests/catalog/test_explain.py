"""Where a field comes from, and what differs."""

import pytest

from trunkline.catalog.explain import diff, explain, price_text
from trunkline.catalog.load import load, shipped_layers
from trunkline.catalog.schema import CatalogLayer, parse_layer
from trunkline.errors import ConfigError

OWN = parse_layer(
    {
        "providers": {"azure": {"zdr": True}},
        "models": [{"slug": "openai/o4-mini", "offers": [{"provider": "azure", "max_output_tokens": 5}]}],
    },
    "own.toml",
)


@pytest.fixture(scope="module")
def shipped() -> list[CatalogLayer]:
    return shipped_layers()


def test_every_field_is_told_with_the_layer_that_gave_it(shipped: list[CatalogLayer]) -> None:
    rows = {(row.part, row.field): row for row in explain([*shipped, OWN], "o4-mini:azure")}
    assert rows["offer", "max_output_tokens"].layer == "own.toml"
    assert rows["model", "max_output_tokens"].layer == "shipped models.toml"
    assert rows["provider", "data_policy"].layer == "own.toml"
    assert rows["provider", "auth"].layer == "shipped providers.toml"
    assert rows["provider", "auth"].value == "header:api-key"


def test_a_price_is_told_with_its_source(shipped: list[CatalogLayer]) -> None:
    rows = {row.field: row for row in explain(shipped, "openai/o4-mini:openai")}
    assert rows["price prompt"].value == "1.10 USD perMTokens"
    assert rows["price prompt"].source == "https://developers.openai.com/api/docs/pricing (2026-11-24)"
    assert rows["price prompt (tier flex)"].value == "0.55 USD perMTokens"


def test_a_hand_kept_value_is_told_as_such_over_a_generated_one(shipped: list[CatalogLayer]) -> None:
    rows = {row.field: row for row in explain(shipped, "deepseek/deepseek-v4-pro:deepseek")}
    assert rows["price prompt"].layer == "shipped models.toml"
    assert rows["context_tokens"].layer == "shipped deepseek.toml"


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("o4-mini", "openai/o4-mini:openai, openai/o4-mini:azure"),
        ("openai/o4-mini:azur", "did you mean"),
        ("nothing", "no offer"),
    ],
)
def test_a_name_that_is_no_offer_is_answered_with_those_there_are(
    shipped: list[CatalogLayer], name: str, mend: str
) -> None:
    with pytest.raises(ConfigError, match=mend):
        explain(shipped, name)


def test_the_same_catalog_has_no_difference() -> None:
    assert diff(load(), load()) == []


def test_a_difference_is_told_field_by_field() -> None:
    changes = {(change.subject, change.field): (change.before, change.after) for change in diff(load(), load([OWN]))}
    assert changes["openai/o4-mini:azure", "max_output_tokens"] == ("", "5")
    assert set(changes) == {("openai/o4-mini:azure", "max_output_tokens"), ("provider azure", "data_policy")}


def test_a_model_that_is_gone_is_told_once() -> None:
    gone = parse_layer({"models": [{"slug": "openai/o4-mini", "enabled": False}]}, "t")
    changes = [change for change in diff(load(), load([gone])) if change.subject == "openai/o4-mini"]
    assert [(change.before, change.after) for change in changes] == [("there", "")]


def test_a_price_reads_as_a_sentence(shipped: list[CatalogLayer]) -> None:
    peak = load().models["deepseek/deepseek-v4-pro"].offers[0].price[1]
    assert price_text(peak) == "1.32 USD perMTokens, 01:00-04:00 UTC, weekdays 12345"

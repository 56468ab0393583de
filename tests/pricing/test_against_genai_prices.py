"""The same bill as `genai-prices` makes, where both have the same prices."""

import datetime
from decimal import Decimal

import genai_prices
import pytest

from trunkline.catalog.load import load
from trunkline.catalog.types import Offer
from trunkline.ir.usage import Usage
from trunkline.pricing.money import usd
from trunkline.pricing.rate import price

TUESDAY_NOON = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC)

THEIRS = {
    "openai": "openai", "anthropic": "anthropic", "google": "google", "deepseek": "deepseek", "mistral": "mistral", "xai": "x-ai",
    "groq": "groq", "together": "together", "moonshot": "moonshotai", "zai": "zai", "cerebras": "cerebras", "minimax": "minimax",
}  # fmt: skip
"""Our provider -> theirs."""

KNOWN_DIFFERENCES = frozenset(
    {
        # It has a long-context price that the vendor's page and two other sources have not: scripts/build_catalog.py reports it.
        "anthropic/claude-sonnet-4.5:anthropic",
    }
)

OFFERS = [
    (offer.id, offer)
    for model in load().models.values()
    for offer in model.offers
    if offer.provider in THEIRS and offer.id not in KNOWN_DIFFERENCES
]

USAGES = [
    Usage(input_tokens=1_000, output_tokens=500),
    Usage(input_tokens=1, output_tokens=1),
    Usage(input_tokens=12_345, cache_read_tokens=54_321, output_tokens=678, reasoning_tokens=910),
    Usage(input_tokens=150_000, cache_read_tokens=180_000, output_tokens=9_999),
    Usage(input_tokens=700_001, output_tokens=70_000),
]


def theirs(provider: str, model: str, usage: Usage) -> Decimal:
    counts = genai_prices.Usage(
        input_tokens=usage.total_input_tokens,
        cache_read_tokens=usage.cache_read_tokens or None,
        output_tokens=usage.total_output_tokens,
    )
    return genai_prices.calc_price(
        counts, model, provider_id=provider, genai_request_timestamp=TUESDAY_NOON
    ).total_price


@pytest.mark.parametrize(("name", "offer"), OFFERS, ids=[name for name, _ in OFFERS])
def test_both_bill_the_same(name: str, offer: Offer) -> None:
    for usage in USAGES:
        ours = price(usage, offer.price, at_ms=TUESDAY_NOON.timestamp() * 1000)
        assert Decimal(usd(ours.total_pico_usd)) == theirs(THEIRS[offer.provider], offer.upstream_model, usage), (
            name,
            usage,
        )


def test_the_comparison_covers_a_spread_of_models_and_vendors() -> None:
    assert len(OFFERS) > 60
    assert len({offer.provider for _, offer in OFFERS}) == len(THEIRS)

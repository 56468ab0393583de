"""What sums of tokens cost at list prices: the plain price of each bucket, and no price where there is none."""

from decimal import Decimal

from trunkline.catalog.types import PriceLine, When
from trunkline.pricing.listed import amount, list_rates, saved

NOW_MS = 1_767_225_600_000.0
USD = 10**12
ALWAYS = When()


def line(item: str, value: str, unit: str = "perMTokens", when: When = ALWAYS, **more: str) -> PriceLine:
    return PriceLine(item, unit, Decimal(value), when, **more)


def rates(*lines: PriceLine):
    return list_rates(lines, at_ms=NOW_MS)


def counts(**given: int) -> dict[str, int]:
    buckets = ("cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
    return dict.fromkeys(buckets, 0) | given


def test_a_million_of_each_bucket_costs_what_its_line_says():
    found = rates(line("prompt", "1.10"), line("completion", "4.40"), line("input_cache_read", "0.275"))
    assert found["input_tokens"] == 11 * USD // 10
    assert found["output_tokens"] == found["reasoning_tokens"] == 44 * USD // 10
    assert found["cache_read_tokens"] == 275 * USD // 1000


def test_a_bucket_without_a_price_is_none():
    found = rates(line("prompt", "1"))
    assert found["output_tokens"] is None
    assert amount(found["output_tokens"], 5) is None
    assert amount(found["output_tokens"], 0) == 0


def test_of_bands_the_lowest_counts_and_of_tiers_the_standard_one():
    found = rates(
        line("prompt", "2.50", when=When(prompt_tokens_gt=200_000)),
        line("prompt", "1.25", when=When(prompt_tokens_lte=200_000)),
        line("prompt", "9", when=When(service_tier="priority")),
        line("prompt", "0.10", when=When(utc_from="16:30", utc_to="00:30")),
    )
    assert found["input_tokens"] == 125 * USD // 100


def test_a_price_of_another_time_does_not_count():
    found = rates(line("prompt", "9", valid_to="2025-06-01"), line("prompt", "3", valid_from="2025-06-01"))
    assert found["input_tokens"] == 3 * USD


def test_what_a_request_costs_by_itself_is_no_price_of_tokens():
    assert rates(line("prompt", "1"), line("request", "0.5", "perCount"))["input_tokens"] == USD


def test_reading_from_a_cache_saves_the_difference_to_input():
    found = rates(line("prompt", "2"), line("input_cache_read", "0.5"))
    assert saved(found, counts(cache_read_tokens=2_000_000)) == 3 * USD


def test_writing_costs_what_it_costs_more_than_input():
    found = rates(line("prompt", "2"), line("input_cache_read", "0.5"), line("input_cache_write_5_min", "2.5"))
    assert saved(found, counts(cache_write_5m_tokens=1_000_000)) == -USD // 2


def test_without_prices_nobody_knows_what_was_saved():
    assert saved(rates(line("completion", "2")), counts(cache_read_tokens=1)) is None
    assert saved(rates(line("prompt", "2")), counts(cache_write_1h_tokens=1)) is None

"""The bill of one answer, by hand-computed figures."""

import datetime
from decimal import Decimal

import msgspec
import pytest

from trunkline.catalog.types import PriceLine, When
from trunkline.ir.usage import Usage
from trunkline.pricing.money import usd
from trunkline.pricing.rate import BUCKETS, RateCard, price, round_half_even
from trunkline.pricing.types import FREE

USD = 10**12
MONDAY_NOON_MS = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC).timestamp() * 1000


def line(item: str, value: str, unit: str = "perMTokens", **conditions: object) -> PriceLine:
    dates = {key: conditions.pop(key) for key in ("valid_from", "valid_to") if key in conditions}
    return PriceLine(item, unit, Decimal(value), When(**conditions), **dates)  # type: ignore[arg-type]


O4_MINI = (line("prompt", "1.10"), line("completion", "4.40"), line("input_cache_read", "0.275"))


def amounts(
    usage: Usage, lines: tuple[PriceLine, ...], at_ms: float = MONDAY_NOON_MS, tier: str | None = None
) -> dict[str, int]:
    return {row.item: row.amount_pico_usd for row in price(usage, lines, at_ms=at_ms, service_tier=tier).lines}


def test_a_million_tokens_cost_what_the_price_list_says() -> None:
    cost = price(Usage(input_tokens=1_000_000, output_tokens=1_000_000), O4_MINI, at_ms=0)
    assert [(row.item, row.quantity, row.value, row.amount_pico_usd) for row in cost.lines] == [
        ("prompt", 1_000_000, "1.10", 1_100_000_000_000),
        ("completion", 1_000_000, "4.40", 4_400_000_000_000),
    ]
    assert usd(cost.total_pico_usd) == "5.5"


def test_one_token_costs_a_whole_number_of_pico_dollars() -> None:
    assert amounts(Usage(input_tokens=1, cache_read_tokens=1), O4_MINI) == {
        "prompt": 1_100_000,
        "input_cache_read": 275_000,
    }


def test_reasoning_is_billed_as_completion_and_shares_its_line() -> None:
    cost = price(Usage(output_tokens=10, reasoning_tokens=90), O4_MINI, at_ms=0)
    assert [(row.item, row.quantity) for row in cost.lines] == [("completion", 100)]


def test_reasoning_with_a_price_of_its_own_is_billed_by_it() -> None:
    lines = (*O4_MINI, line("internal_reasoning", "8"))
    assert amounts(Usage(output_tokens=1, reasoning_tokens=1), lines) == {
        "completion": 4_400_000,
        "internal_reasoning": 8_000_000,
    }


def test_a_cache_hit_without_a_cache_price_is_ordinary_input() -> None:
    cost = price(Usage(input_tokens=1, cache_read_tokens=2), O4_MINI[:2], at_ms=0)
    assert [(row.item, row.quantity) for row in cost.lines] == [("prompt", 3)]


@pytest.mark.parametrize(
    ("usage", "item"),
    [
        (Usage(cache_write_1h_tokens=5), "input_cache_write_1_h"),
        (Usage(cache_write_5m_tokens=5), "input_cache_write_5_min"),
        (Usage(output_audio_tokens=5), "audio"),
        (Usage(output_image_tokens=5), "image"),
        (Usage(web_searches=1), "web_search"),
    ],
)
def test_what_has_no_price_is_named_and_not_counted_as_free(usage: Usage, item: str) -> None:
    assert price(usage, O4_MINI, at_ms=0).unpriced == (item,)


def test_an_offer_without_any_price_leaves_everything_unpriced() -> None:
    assert price(Usage(input_tokens=1, output_tokens=1), (), at_ms=0).unpriced == ("prompt", "completion")


def test_a_price_of_zero_is_a_price() -> None:
    cost = price(Usage(input_tokens=9), (line("prompt", "0"),), at_ms=0)
    assert (cost.total_pico_usd, cost.unpriced, len(cost.lines)) == (0, (), 1)


def test_no_usage_is_a_free_bill() -> None:
    assert price(Usage(), O4_MINI, at_ms=0) == FREE


def test_the_writing_of_a_cache_has_its_two_prices() -> None:
    lines = (line("prompt", "3"), line("input_cache_write_5_min", "3.75"), line("input_cache_write_1_h", "6"))
    usage = Usage(cache_write_tokens=1, cache_write_5m_tokens=2, cache_write_1h_tokens=4)
    assert amounts(usage, lines) == {"input_cache_write_5_min": 11_250_000, "input_cache_write_1_h": 24_000_000}


def test_a_search_costs_by_the_call() -> None:
    assert amounts(Usage(web_searches=3), (line("web_search", "0.01", "perCount"),)) == {"web_search": 3 * USD // 100}


def test_a_request_fee_is_taken_once() -> None:
    lines = (line("request", "0.005", "perCount"), *O4_MINI)
    assert amounts(Usage(input_tokens=1), lines)["request"] == 5_000_000_000


BANDS = (line("prompt", "1.25", prompt_tokens_lte=200_000), line("prompt", "2.50", prompt_tokens_gt=200_000))


@pytest.mark.parametrize(
    ("usage", "pico_per_token"),
    [
        (Usage(input_tokens=200_000), 1_250_000),
        (Usage(input_tokens=200_001), 2_500_000),
        (Usage(input_tokens=1, cache_read_tokens=200_000), 2_500_000),
    ],
)
def test_the_band_is_chosen_by_the_whole_prompt_cached_or_not(usage: Usage, pico_per_token: int) -> None:
    assert amounts(usage, BANDS) == {"prompt": usage.total_input_tokens * pico_per_token}


def test_a_band_over_zero_tokens_does_not_hold_for_an_empty_prompt() -> None:
    lines = (line("completion", "1", prompt_tokens_gt=0),)
    assert price(Usage(output_tokens=1), lines, at_ms=0).unpriced == ("completion",)
    assert amounts(Usage(input_tokens=1, output_tokens=1), (*lines, line("prompt", "0")))["completion"] == 1_000_000


TIERS = (line("prompt", "1.10"), line("prompt", "0.55", service_tier="flex"), line("completion", "4.40"))


@pytest.mark.parametrize(
    ("tier", "pico"), [("flex", 550_000), (None, 1_100_000), ("default", 1_100_000), ("priority", 1_100_000)]
)
def test_a_tier_without_prices_of_its_own_costs_the_standard_ones(tier: str | None, pico: int) -> None:
    assert amounts(Usage(input_tokens=1, output_tokens=1), TIERS, tier=tier) == {
        "prompt": pico,
        "completion": 4_400_000,
    }


PEAK = (
    line("prompt", "0.15"),
    line("prompt", "0.30", utc_days="12345", utc_from="01:00", utc_to="04:00"),
    line("prompt", "0.07", utc_from="23:00", utc_to="00:30"),
)


@pytest.mark.parametrize(
    ("at_ms", "pico"),
    [
        (MONDAY_NOON_MS, 150_000),
        (MONDAY_NOON_MS - 11 * 3_600_000, 300_000),  # 01:00, the first minute of the peak
        (MONDAY_NOON_MS - 8 * 3_600_000, 150_000),  # 04:00, the first minute after it
        (MONDAY_NOON_MS - 11 * 3_600_000 - 86_400_000, 150_000),  # Sunday, 01:00
        (MONDAY_NOON_MS + 11 * 3_600_000, 70_000),  # 23:00
        (MONDAY_NOON_MS - 12 * 3_600_000, 70_000),  # 00:00, in the window that began the day before
        (MONDAY_NOON_MS - 11.5 * 3_600_000, 150_000),  # 00:30
    ],
)
def test_a_daily_window_holds_from_its_first_to_before_its_last_minute(at_ms: float, pico: int) -> None:
    assert amounts(Usage(input_tokens=1), PEAK, at_ms=at_ms) == {"prompt": pico}


DATED = (
    line("prompt", "2", valid_to="2026-12-01"),
    line("prompt", "4", valid_from="2026-12-01"),
)
FIRST_OF_DECEMBER_MS = datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC).timestamp() * 1000


@pytest.mark.parametrize(("at_ms", "pico"), [(FIRST_OF_DECEMBER_MS - 1, 2_000_000), (FIRST_OF_DECEMBER_MS, 4_000_000)])
def test_a_new_price_holds_from_the_first_moment_of_its_day(at_ms: float, pico: int) -> None:
    assert amounts(Usage(input_tokens=1), DATED, at_ms=at_ms) == {"prompt": pico}


@pytest.mark.parametrize(("lines", "at_ms"), [(DATED[1:], FIRST_OF_DECEMBER_MS - 1), (DATED[:1], FIRST_OF_DECEMBER_MS)])
def test_outside_all_dates_there_is_no_price(lines: tuple[PriceLine, ...], at_ms: float) -> None:
    assert price(Usage(input_tokens=1), lines, at_ms=at_ms).unpriced == ("prompt",)


@pytest.mark.parametrize(("tokens", "pico"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 2), (6, 3), (7, 4)])
def test_half_a_pico_dollar_goes_to_the_even_side(tokens: int, pico: int) -> None:
    assert amounts(Usage(input_tokens=tokens), (line("prompt", "0.0000005"),)) == {"prompt": pico}
    assert round_half_even(tokens, 2) == pico


def test_an_estimate_is_told_apart() -> None:
    assert price(Usage(input_tokens=1, estimated=True), O4_MINI, at_ms=0).estimated


def test_every_bucket_of_usage_has_a_row_in_the_table() -> None:
    counted = {name for name in Usage.__struct_fields__ if name != "estimated"}
    assert {bucket for bucket, _ in BUCKETS} == counted


def test_a_bill_is_json_without_a_fraction() -> None:
    cost = RateCard(O4_MINI).bill(Usage(input_tokens=3), at_ms=0)
    assert msgspec.json.decode(msgspec.json.encode(cost))["total_pico_usd"] == 3_300_000

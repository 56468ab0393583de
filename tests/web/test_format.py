"""Figures as people read them."""

import pytest

from trunkline.web import format


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (12, "12"),
        (999, "999"),
        (999_960, "1M"),
        (1_234_567, "1.23M"),
        (12_345, "12.3K"),
        (10**12, "1T"),
        (10**21, "1,000,000,000T"),
    ],
)
def test_counts_are_short(value, text):
    assert format.count(value) == text


@pytest.mark.parametrize(
    ("pico_usd", "text", "exact"),
    [
        (None, "-", "-"),
        (0, "$0", "$0"),
        (1_100_000, "$0.0000011", "$0.0000011"),
        (123, "$0.000000000123", "$0.000000000123"),
        (5_400_000_000, "$0.0054", "$0.0054"),
        (12_345_678_900_000, "$12.35", "$12.3456789"),
        (-1_500_000_000_000, "-$1.50", "-$1.5"),
        (-1_100_000, "-$0.0000011", "-$0.0000011"),
        (-(10**12) * 2_500_000, "-$2.5M", "-$2,500,000"),
        (10**12 * 2_500_000, "$2.5M", "$2,500,000"),
    ],
)
def test_money_is_short_and_never_rounded_to_nothing(pico_usd, text, exact):
    assert format.usd(pico_usd) == text
    assert format.exact_usd(pico_usd) == exact


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "-"),
        (0.4, "0 ms"),
        (85, "85 ms"),
        (999.6, "1 s"),
        (1750, "1.75 s"),
        (59_996, "1 min"),
        (223_821, "3 min 44 s"),
        (7_500_000, "2 h 5 min"),
        (3 * 86_400_000, "3 days"),
    ],
)
def test_durations_are_in_the_unit_that_fits(ms, text):
    assert format.duration(ms) == text


@pytest.mark.parametrize(
    ("share", "text"), [(None, "-"), (1, "100.00 %"), (0.999999, "99.99 %"), (0.9987, "99.87 %"), (0, "0.00 %")]
)
def test_only_what_is_whole_is_a_hundred_percent(share, text):
    assert format.percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (1945, "1,945"),
        (30_199.85, "30,199.85"),
        (15.650000001, "15.65"),
        (100.0, "100"),
        (0.004, "0"),
        (1e12, "1,000,000,000,000"),
    ],
)
def test_measured_values_have_two_places_at_most(value, text):
    assert format.figure(value) == text


def test_an_hour_is_told_as_the_seed_has_it():
    assert format.bar_hour(1_760_108_400_000) == "Oct 10, 2025 - 3 PM"
    assert format.hour(1_760_108_400_000) == "2025-10-10 15:00"

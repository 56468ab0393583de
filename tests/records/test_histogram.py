"""Quantiles are right within 2.5 %, and merging is adding, in whatever order."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.records.histogram import RELATIVE_ERROR, SMALLEST, Histogram

values = st.lists(st.floats(min_value=SMALLEST, max_value=1e7), min_size=1, max_size=200)


def of(numbers: list[float]) -> Histogram:
    histogram = Histogram()
    for number in numbers:
        histogram.add(number)
    return histogram


@given(values, st.floats(min_value=0, max_value=1))
def test_a_quantile_is_off_by_a_fortieth_at_most(numbers: list[float], share: float) -> None:
    exact = sorted(numbers)[math.floor(share * (len(numbers) - 1))]
    found = of(numbers).quantile(share)
    assert found is not None
    assert abs(found - exact) <= exact * (RELATIVE_ERROR + 1e-9)


@given(values)
def test_count_sum_least_and_greatest_are_exact(numbers: list[float]) -> None:
    histogram = of(numbers)
    assert (histogram.count, histogram.low, histogram.high) == (len(numbers), min(numbers), max(numbers))
    assert histogram.mean == pytest.approx(sum(numbers) / len(numbers))


@given(values, values, values)
def test_merging_in_any_order_is_the_same_as_adding_all(a: list[float], b: list[float], c: list[float]) -> None:
    one, other = of(a), of(c)
    one.merge(of(b))
    one.merge(of(c))
    other.merge(of(a))
    other.merge(of(b))
    assert one == other == of(a + b + c)


@given(values)
def test_packed_and_merged_into_nothing_it_is_the_same(numbers: list[float]) -> None:
    again = Histogram()
    again.merge_packed(of(numbers).packed())
    assert again == of(numbers)


def test_of_nothing_there_is_nothing() -> None:
    histogram = Histogram()
    histogram.merge_packed(Histogram().packed())
    assert (histogram.packed(), histogram.quantile(0.5), histogram.mean) == (b"", None, None)


def test_what_is_no_measurement_is_left_out_and_zero_counts_as_very_short() -> None:
    histogram = of([math.nan, math.inf, 0.0])
    assert (histogram.count, histogram.low, histogram.quantile(0.5)) == (1, 0.0, 0.0)


def test_a_busy_days_latencies_take_a_few_hundred_bytes() -> None:
    numbers = random.Random(1)
    day = of([numbers.lognormvariate(6, 0.6) for _ in range(100_000)])
    assert len(day.packed()) < 500

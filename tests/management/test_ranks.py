"""Days, weeks, the first N and the others, growth."""

from datetime import date

import pytest

from trunkline.api.management.ranks import OTHERS, buckets, first, parsed_day, period, trending
from trunkline.errors import InvalidParams

END = date(2026, 4, 13)


def test_weeks_begin_on_monday_and_hold_both_ends() -> None:
    # The example of https://docs.zenmux.ai/api/platform/statistics-timeseries.html.
    weeks = buckets(date(2026, 3, 1), END, "1w")
    assert (weeks[0], weeks[-1], len(weeks)) == (date(2026, 2, 23), END, 8)
    assert [period(day, "1w") for day in weeks[:2]] == ["202609", "202610"]


def test_the_week_of_new_year_is_of_the_year_that_has_most_of_it() -> None:
    # The example of https://docs.zenmux.ai/api/platform/statistics-market-share.html.
    weeks = buckets(date(2026, 1, 1), END, "1w")
    assert (period(weeks[0], "1w"), weeks[0].isoformat(), len(weeks)) == ("202601", "2025-12-29", 16)


@pytest.mark.parametrize("width", ["1d", "1w"])
def test_without_a_start_there_are_28_buckets(width) -> None:
    assert len(buckets(None, END, width)) == 28


def test_sixty_buckets_are_the_most() -> None:
    assert len(buckets(date(2026, 2, 13), END, "1d")) == 60
    with pytest.raises(InvalidParams, match="61 buckets"):
        buckets(date(2026, 2, 12), END, "1d")
    with pytest.raises(InvalidParams, match="later than ending_at"):
        buckets(date(2026, 4, 14), END, "1d")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "20260101", "2026-W01-1", "1767268800"])
def test_what_is_no_date_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(InvalidParams) as refused:
        parsed_day(text, "ending_at", END)
    assert refused.value.param == "ending_at"


def test_the_others_come_last_and_add_up() -> None:
    assert first({"a": 5, "b": 7, "c": 1, "d": 2, "e": 0}, 2) == [("b", 7), ("a", 5), (OTHERS, 3)]
    assert first({"a": 5}, 2) == [("a", 5)]
    assert first({}, 2) == []


def test_growth_is_weighed_by_size_and_small_models_are_no_trend() -> None:
    now = {"steady": 1_000_000, "rising": 500_000, "tiny": 20}
    before = {"steady": 1_000_000, "rising": 100_000, "tiny": 1}
    found = trending(now, before)
    assert [one.model for one in found] == ["rising", "steady"]
    assert found[0].rate == pytest.approx((500_000 + 50_000.67) / (100_000 + 50_000.67) - 1, rel=1e-3)
    assert found[1].rate == 0


def test_a_new_model_is_compared_with_the_median_of_the_others() -> None:
    [new, *_] = trending({"new": 900, "a": 100, "b": 200}, {"a": 100, "b": 200})
    assert (new.model, new.previous) == ("new", 200)
    assert trending({}, {"a": 1}) == []

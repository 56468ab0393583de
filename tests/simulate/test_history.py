"""The made-up past has the figures that were measured of the real offers, a rhythm, faults and a quiet last day."""

from collections import Counter
from random import Random

import pytest

from trunkline.catalog.load import shipped_catalog
from trunkline.records.figures import DAY_S, Gathered, OfferFigures
from trunkline.records.types import Record
from trunkline.simulate.history import DAY_MS, DAYS, drawn
from trunkline.simulate.showcase import FIGURES, MODEL, past
from trunkline.simulate.spread import Spread

NOW_MS = 1_795_500_000_000.0
"""2026-11-24, a Tuesday."""


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return list(past(shipped_catalog(), NOW_MS, ["key_1", "key_2"], Random(7)))


def figures(records: list[Record], offer: str) -> OfferFigures:
    whole = OfferFigures()
    gathered = Gathered()
    gathered.see(records)
    for (_, name), one in gathered.offers.items():
        if name == offer:
            whole.merge(one)
    return whole


def last_day(records: list[Record]) -> list[Record]:
    return [record for record in records if record.ended_ms >= NOW_MS - DAY_MS]


@pytest.mark.parametrize("provider", ["openai", "azure"])
@pytest.mark.parametrize("whole", [True, False])
def test_least_greatest_and_mean_are_those_of_the_page_on_any_day(
    records: list[Record], provider: str, *, whole: bool
) -> None:
    found = figures(records if whole else last_day(records), f"{MODEL}:{provider}")
    latency, speed = FIGURES[f"{provider}-sim"]
    for values, spread in ((found.latency, latency), (found.speed, speed)):
        assert (values.low, values.high) == pytest.approx((spread.min, spread.max))
        assert values.mean == pytest.approx(spread.avg)


def test_few_values_are_within_the_bounds_though_their_mean_cannot_be_had() -> None:
    spread = Spread(1, 1_000, 10)
    assert all(spread.min <= value <= spread.max for value in drawn(spread, 3, Random(1)))
    assert drawn(spread, 0, Random(1)) == []
    assert drawn(Spread(5, 5, 5), 2, Random(1)) == [5, 5]


def test_it_is_ninety_days_in_the_order_of_their_ends_none_of_them_later_than_now(records: list[Record]) -> None:
    ends = [record.ended_ms for record in records]
    assert ends == sorted(ends)
    assert NOW_MS - DAYS * DAY_MS <= ends[0] < NOW_MS - (DAYS - 1) * DAY_MS
    assert NOW_MS - DAY_MS / 24 < ends[-1] < NOW_MS


def test_every_record_is_marked_and_has_an_id_of_its_own(records: list[Record]) -> None:
    assert all(record.simulated for record in records)
    assert len({record.id for record in records}) == len(records)


def test_days_of_work_are_busier_than_weekends_and_noon_than_night(records: list[Record]) -> None:
    by_weekday = Counter((int(record.ended_ms // 1000) // DAY_S + 3) % 7 for record in records)
    assert min(by_weekday[day] for day in range(5)) > 1.5 * max(by_weekday[day] for day in (5, 6))
    by_hour = Counter(int(record.ended_ms // 3_600_000) % 24 for record in records)
    assert by_hour[13] > 2 * by_hour[2]


def test_the_last_day_is_without_faults_and_the_time_before_has_some(records: list[Record]) -> None:
    offers = [f"{MODEL}:openai", f"{MODEL}:azure"]
    assert [figures(last_day(records), offer).uptime for offer in offers] == [1.0, 1.0]
    for offer in offers:
        uptime = figures(records, offer).uptime
        assert uptime is not None
        assert 0.9 < uptime < 0.9999


def test_a_request_whose_offer_fails_goes_to_the_other_one(records: list[Record]) -> None:
    rescued = [record for record in records if record.outcome == "ok" and len(record.attempts) > 1]
    assert rescued
    for record in rescued:
        failed, answered = record.attempts
        assert failed.decision == "next_offer"
        assert record.received_ms < failed.started_ms < failed.ended_ms < answered.started_ms < record.ended_ms
        assert [one.offer for one in record.plan][: len(record.attempts)] == [one.offer for one in record.attempts]


def test_bills_are_by_the_prices_of_the_catalog(records: list[Record]) -> None:
    record = next(one for one in records if one.provider == "azure" and one.usage.cache_read_tokens)
    usage = record.usage
    input_, output = usage.input_tokens * 1_100_000, usage.total_output_tokens * 4_400_000
    assert record.cost_pico_usd == input_ + output + usage.cache_read_tokens * 280_000

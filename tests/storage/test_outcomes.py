"""Outcomes over time are those of the records, whatever part of them is rolled up."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.fakes.rollups import live
from tests.fakes.stores import AnyStore
from tests.fakes.traffic import NOON_MS, traffic
from trunkline.records.figures import DAY_S, HOUR_S, MINUTE_S, Gathered, OfferFigures
from trunkline.records.types import Record
from trunkline.storage.ladder import Span
from trunkline.storage.outcomes import Outcomes, OutcomesOverTime
from trunkline.storage.queries import Store

NOW_S = int(NOON_MS // 1000)
RECORDS = traffic(800, over_s=40 * HOUR_S)
BELOW = 0.7


@pytest.fixture(scope="module")
def filled(module_store: AnyStore) -> str:
    batch = module_store.batch()
    live(batch, RECORDS)
    batch.close()
    return module_store.url


@pytest.fixture
async def over_time(filled: str) -> AsyncIterator[OutcomesOverTime]:
    async with await Store.open(filled) as store:
        yield OutcomesOverTime(store, lambda: NOON_MS)


def expected(span: Span, width_s: int, name: Callable[[str], str], records: list[Record] = RECORDS) -> list[Outcomes]:
    """By looking at every record."""
    gathered = Gathered()
    gathered.see(records)
    found: dict[tuple[int, str], OfferFigures] = {}
    for (minute_s, offer), figures in gathered.offers.items():
        if span.start_s <= minute_s < span.end_s:
            found.setdefault((minute_s - minute_s % width_s, name(offer)), OfferFigures()).merge(figures)
    return [
        Outcomes(start_s, of, one.attempts, one.ok, one.failed, one.limited)
        for (start_s, of), one in sorted(found.items())
    ]


def whole(span: Span, width_s: int) -> Span:
    return Span(span.start_s - span.start_s % width_s, -(-span.end_s // width_s) * width_s)


SPANS = [
    (Span(NOW_S - 30 * MINUTE_S, NOW_S + 1), MINUTE_S),
    (Span(NOW_S - 20 * HOUR_S, NOW_S + 1), HOUR_S),
    (Span(NOW_S - 90 * DAY_S, NOW_S + 1), DAY_S),
    (Span(NOW_S - 30 * HOUR_S, NOW_S - 10 * HOUR_S), HOUR_S),
]


@pytest.mark.parametrize(("span", "width_s"), SPANS)
async def test_offers(over_time: OutcomesOverTime, span: Span, width_s: int) -> None:
    found = await over_time.offers(span, width_s)
    assert found == expected(whole(span, width_s), width_s, lambda offer: offer)


@pytest.mark.parametrize(("span", "width_s"), SPANS)
async def test_providers(over_time: OutcomesOverTime, span: Span, width_s: int) -> None:
    found = await over_time.providers(span, width_s)
    assert {one.of for one in found} == {"acme", "azure"}
    assert found == expected(whole(span, width_s), width_s, lambda offer: offer.rpartition(":")[2])


async def test_some_offers_together(over_time: OutcomesOverTime) -> None:
    span = Span(NOW_S - DAY_S, NOW_S + 1)
    found = await over_time.together(span, HOUR_S, ["acme/beta:azure", "acme/alpha:azure", "other/gamma:azure"])
    azure = [one for one in await over_time.providers(span, HOUR_S) if one.of == "azure"]
    assert [(one.start_s, one.ok, one.failed) for one in found] == [(one.start_s, one.ok, one.failed) for one in azure]


async def test_some_offers(over_time: OutcomesOverTime) -> None:
    span = Span(NOW_S - DAY_S, NOW_S + 1)
    found = await over_time.offers(span, HOUR_S, ["acme/beta:azure"])
    assert found == [one for one in await over_time.offers(span, HOUR_S) if one.of == "acme/beta:azure"]
    assert found


async def test_spoiled_hours_with_their_causes(over_time: OutcomesOverTime) -> None:
    span = Span(NOW_S - 40 * HOUR_S, NOW_S + 1)
    every = await over_time.offers(span, HOUR_S)
    bad = [one for one in every if one.uptime is not None and one.uptime < BELOW]
    found = await over_time.spoiled_hours(span, BELOW)
    assert [(one.start_s, one.of, one.ok, one.failed) for one in found] == [
        (one.start_s, one.of, one.ok, one.failed) for one in bad
    ]
    assert 0 < len(found) < len(every)
    assert all(sum(one.causes.values()) == one.attempts - one.ok for one in found)


async def test_minutes_of_several_spans(over_time: OutcomesOverTime) -> None:
    spans = [Span(NOW_S - 3 * HOUR_S, NOW_S - 2 * HOUR_S), Span(NOW_S - HOUR_S, NOW_S)]
    found = await over_time.minutes(spans, ["acme/beta:azure"])
    assert found == [one for span in spans for one in await over_time.offers(span, MINUTE_S, ["acme/beta:azure"])]
    assert found


async def test_an_empty_store_has_none(store_url: str) -> None:
    async with await Store.open(store_url) as store:
        over_time = OutcomesOverTime(store, lambda: NOON_MS)
        assert await over_time.offers(Span(NOW_S - DAY_S, NOW_S), HOUR_S) == []
        assert await over_time.spoiled_hours(Span(NOW_S - DAY_S, NOW_S), BELOW) == []

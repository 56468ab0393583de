"""Any range is exact to the row, and it is the records that are counted."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes.records import a_record
from tests.fakes.rollups import live
from tests.fakes.stores import AnyStore
from tests.fakes.traffic import NOON_MS, traffic
from trunkline.records.figures import DAY_S, HOUR_S, MINUTE_S, Gathered, OfferFigures, Use
from trunkline.records.types import Record
from trunkline.storage.ladder import Span
from trunkline.storage.live_figures import LiveFigures
from trunkline.storage.queries import Store
from trunkline.storage.statistics import Statistics

NOW_S = int(NOON_MS // 1000)
RECORDS = traffic(800, over_s=40 * HOUR_S)


@pytest.fixture(scope="module")
def filled(module_store: AnyStore) -> str:
    batch = module_store.batch()
    live(batch, RECORDS)
    batch.close()
    return module_store.url


@pytest.fixture
async def statistics(filled: str) -> AsyncIterator[Statistics]:
    async with await Store.open(filled) as store:
        yield Statistics(store, lambda: NOON_MS)


def within(span: Span) -> list[Record]:
    return [record for record in RECORDS if span.start_s <= record.ended_ms / 1000 < span.end_s]


def by_offer(records: list[Record]) -> dict[str, OfferFigures]:
    found: dict[str, OfferFigures] = {}
    gathered = Gathered()
    gathered.see(records)
    for (_, offer), figures in gathered.offers.items():
        found.setdefault(offer, OfferFigures()).merge(figures)
    return found


@pytest.mark.parametrize(
    "span",
    [
        Span(NOW_S - 5 * MINUTE_S, NOW_S),
        Span(NOW_S - DAY_S, NOW_S),
        Span(NOW_S - 37 * HOUR_S - 11 * MINUTE_S, NOW_S - 7 * MINUTE_S),
        Span(NOW_S - NOW_S % DAY_S, NOW_S),
        Span(NOW_S - 90 * DAY_S, NOW_S + DAY_S),
        Span(NOW_S - NOW_S % DAY_S - DAY_S, NOW_S - NOW_S % DAY_S),
    ],
)
async def test_the_figures_of_a_range_are_those_of_its_records(statistics: Statistics, span: Span) -> None:
    fitted, found = await statistics.offers(span)
    assert fitted.start_s <= span.start_s
    assert found == by_offer(within(fitted))


async def test_a_range_within_minutes_is_widened_to_them_and_told(statistics: Statistics) -> None:
    fitted, _ = await statistics.offers(Span(NOW_S - 61, NOW_S - 1))
    assert fitted == Span(NOW_S - 120, NOW_S)


async def test_a_range_of_which_only_days_are_left_is_of_days(statistics: Statistics) -> None:
    old = NOW_S - 200 * DAY_S
    fitted, found = await statistics.offers(Span(old + 5, old + 6))
    assert (fitted.end_s - fitted.start_s, fitted.start_s % DAY_S, found) == (DAY_S, 0, {})


@pytest.mark.parametrize("width_s", [MINUTE_S, HOUR_S, DAY_S])
async def test_a_series_adds_up_to_its_total(statistics: Statistics, width_s: int) -> None:
    span = Span(NOW_S - DAY_S, NOW_S)
    found = await statistics.offer_series(span, width_s)
    start_s = span.start_s - span.start_s % width_s
    assert {one.offer: one.total() for one in found} == by_offer(within(Span(start_s, NOW_S)))
    assert all(start % width_s == 0 for one in found for start, _ in one.points)


async def test_offers_can_be_named(statistics: Statistics) -> None:
    _, found = await statistics.offers(Span(NOW_S - DAY_S, NOW_S), ["acme/alpha:azure", "acme/none:azure"])
    assert list(found) == ["acme/alpha:azure"]


@pytest.mark.parametrize("by", [("model",), ("provider", "protocol"), ("key_id",), ()])
async def test_use_adds_up_by_any_dimension(statistics: Statistics, by: tuple[str, ...]) -> None:
    rows = await statistics.use(Span(0, NOW_S + HOUR_S), by)
    expected = Use()
    for record in RECORDS:
        for attempt in record.attempts:
            expected.see(attempt)
    assert sum(row.use.total_tokens for row in rows) == expected.total_tokens
    assert sum(row.use.cost_pico_usd for row in rows) == sum(record.cost_pico_usd for record in RECORDS)
    assert sum(row.use.requests for row in rows) == len(RECORDS)
    assert len({row.by for row in rows}) == len(rows)


async def test_use_by_day_is_that_of_the_records_of_each_day(statistics: Statistics) -> None:
    rows = await statistics.use(Span(0, NOW_S + HOUR_S), ("model",), daily=True, models=("acme/beta",))
    for row in rows:
        assert row.start_s is not None
        of_day = within(Span(row.start_s, row.start_s + DAY_S))
        assert row.use.requests == sum(record.model == "acme/beta" for record in of_day)
    assert len(rows) == 3


async def test_nothing_was_used_before_the_first_day(statistics: Statistics) -> None:
    assert await statistics.first_day_s() == int(RECORDS[0].ended_ms / 1000 // DAY_S * DAY_S)


async def test_of_a_store_without_records_there_is_nothing(store_url: str) -> None:
    async with await Store.open(store_url) as store:
        statistics = Statistics(store, lambda: NOON_MS)
        assert await statistics.use(Span(0, NOW_S), ()) == []
        assert await statistics.first_day_s() is None
        assert (await statistics.offers(Span(0, NOW_S)))[1] == {}


def test_the_data_plane_reads_the_last_day_by_the_hour(filled: str) -> None:
    figures = LiveFigures(filled)
    found = figures.last_day(["acme/alpha:acme", "no/such:offer"], NOON_MS)
    figures.close()
    start_s = NOW_S - 23 * HOUR_S
    total = OfferFigures()
    for one in found["acme/alpha:acme"].values():
        total.merge(one)
    assert list(found) == ["acme/alpha:acme"]
    assert set(found["acme/alpha:acme"]) <= set(range(start_s, NOW_S + 1, HOUR_S))
    assert total == by_offer(within(Span(start_s, NOW_S + 60)))["acme/alpha:acme"]


@pytest.mark.parametrize("width_s", [HOUR_S, DAY_S])
async def test_use_over_time_is_that_of_the_records_of_each_bucket(statistics: Statistics, width_s: int) -> None:
    rows = await statistics.use_over(Span(NOW_S - DAY_S, NOW_S + HOUR_S), ("key_id",), width_s=width_s)
    assert len({row.start_s for row in rows}) > 1
    start_s = NOW_S - DAY_S
    for row in rows:
        assert row.start_s is not None
        of_bucket = within(Span(max(row.start_s, start_s), row.start_s + width_s))
        assert row.use.requests == sum(record.key_id == row.by[0] for record in of_bucket)


async def test_use_can_be_of_what_was_chosen_by_several_dimensions(statistics: Statistics) -> None:
    where = {"model": ["acme/beta"], "key_id": ["key_1"]}
    (row,) = await statistics.use_over(Span(0, NOW_S + HOUR_S), (), where=where)
    chosen = [record for record in RECORDS if record.model == "acme/beta" and record.key_id == "key_1"]
    assert row.use.requests == len(chosen) > 0
    assert row.use.cost_pico_usd == sum(record.cost_pico_usd for record in chosen)


async def test_only_the_sums_that_were_asked_for_are_made(statistics: Statistics) -> None:
    (row,) = await statistics.use_over(Span(0, NOW_S + HOUR_S), (), sums=("requests",))
    assert row.use == Use(requests=len(RECORDS))


async def test_what_comes_late_is_seen_at_once_or_when_the_hour_turns_or_within_six(any_store: AnyStore) -> None:
    now = [NOON_MS + 20 * MINUTE_S * 1000]
    batch = any_store.batch()

    def come(number: int, ago_s: int) -> None:
        ended_ms = now[0] - ago_s * 1000
        batch.write([a_record(number, received_ms=ended_ms - 5, ended_ms=ended_ms)], [], [])
        batch.fold(now[0])
        batch.purge(now[0], 10)

    async with await Store.open(any_store.url) as store:
        statistics = Statistics(store, lambda: now[0])

        async def requests() -> int:
            span = Span(NOW_S - 30 * DAY_S, int(now[0] // 1000))
            [use] = [row.use for row in await statistics.use(span, ())]
            points = await statistics.points(span, "model", DAY_S, ("requests",))
            assert sum(points.values()) == use.requests
            return use.requests

        come(1, 10 * DAY_S)
        assert await requests() == 1
        come(2, 15 * MINUTE_S)
        assert await requests() == 2
        come(3, 3 * HOUR_S)
        come(4, 5 * DAY_S)
        assert await requests() == 2
        now[0] += HOUR_S * 1000
        batch.purge(now[0], 10)
        assert await requests() == 3
        now[0] += 6 * HOUR_S * 1000
        batch.purge(now[0], 10)
        assert await requests() == 4
    batch.close()


async def test_questions_that_begin_within_an_hour_are_exact_too(statistics: Statistics) -> None:
    for minutes in (0, 7, 59):
        fitted, found = await statistics.offers(Span(NOW_S - 30 * HOUR_S - minutes * MINUTE_S, NOW_S))
        assert found == by_offer(within(fitted))

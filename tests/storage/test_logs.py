"""The logs' questions: every filter, both ways, nothing twice and nothing missed, whatever rollups say and however little time there is."""

import asyncpg
import msgspec
import pytest

from tests.fakes.records import a_record
from tests.fakes.traffic import NOON_MS, traffic
from trunkline.storage.columns import RECORD_COLUMNS
from trunkline.storage.logs import LogFilter, Logs, Place, placed, written
from trunkline.storage.queries import Store

HOUR_MS = 3_600_000.0
COUNT = 600


def varied(record, number):
    outcome = "ok" if number % 9 else "error"
    return msgspec.structs.replace(
        record,
        outcome=outcome,
        finish_reason="length" if number % 50 == 0 else "stop",
        app_title="Acme App" if number % 30 == 0 else "",
        key_id="key_rare" if number in (5, 450, 451) else record.key_id,
    )


@pytest.fixture(scope="module")
def records():
    found = traffic(COUNT, over_s=20 * 86_400, until_ms=NOON_MS)
    return [varied(record, number) for number, record in enumerate(found)]


@pytest.fixture(scope="module")
def filled(module_store, records):
    """Made once: the questions change nothing."""
    batch = module_store.batch()
    batch.write(records, [], [])
    batch.fold(NOON_MS)
    batch.purge(NOON_MS, 100)
    batch.close()
    return module_store.url


@pytest.fixture
async def store(filled):
    async with await Store.open(filled) as opened:
        yield opened


def newest_first(records, fits=lambda record: True):
    return [
        record.id for record in sorted(records, key=lambda one: (one.received_ms, one.id), reverse=True) if fits(record)
    ]


async def all_older(logs, wanted, limit=50):
    ids, place = [], None
    for _ in range(300):
        page = await logs.older(wanted, limit, place)
        ids += [record.id for record in page.records]
        place = page.more
        if place is None:
            return ids
    raise AssertionError("there is no end")


FILTERS = {
    "all": (LogFilter(), lambda r: True),
    "model": (LogFilter(model="acme/beta"), lambda r: r.model == "acme/beta"),
    "provider": (LogFilter(provider="azure"), lambda r: r.provider == "azure"),
    "key": (LogFilter(key_id="key_rare"), lambda r: r.key_id == "key_rare"),
    "nobody": (LogFilter(key_id="key_none"), lambda r: False),
    "protocol": (LogFilter(protocol="anthropic.messages"), lambda r: r.protocol == "anthropic.messages"),
    "outcome": (LogFilter(outcome="error"), lambda r: r.outcome == "error"),
    "failed": (LogFilter(outcome="failed"), lambda r: r.outcome != "ok"),
    "ok": (LogFilter(outcome="ok"), lambda r: r.outcome == "ok"),
    "finish": (LogFilter(finish_reason="length"), lambda r: r.finish_reason == "length"),
    "app": (LogFilter(app="acme"), lambda r: "Acme" in r.app_title),
    "both": (LogFilter(model="acme/beta", key_id="key_1"), lambda r: r.model == "acme/beta" and r.key_id == "key_1"),
    "time": (
        LogFilter(from_ms=NOON_MS - 90 * HOUR_MS, to_ms=NOON_MS - 30 * HOUR_MS),
        lambda r: NOON_MS - 90 * HOUR_MS <= r.received_ms < NOON_MS - 30 * HOUR_MS,
    ),
    "time and model": (
        LogFilter(from_ms=NOON_MS - 90 * HOUR_MS, to_ms=NOON_MS - 30 * HOUR_MS, model="acme/beta"),
        lambda r: NOON_MS - 90 * HOUR_MS <= r.received_ms < NOON_MS - 30 * HOUR_MS and r.model == "acme/beta",
    ),
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("in_a_hurry", [False, True])
async def test_every_filter_finds_all_that_fit_newest_first(store, records, name, in_a_hurry, monkeypatch):
    ticks = iter(range(10**9))
    monkeypatch.setattr("trunkline.storage.logs.STEP_ROWS", 40)
    logs = Logs(store, lambda: NOON_MS, (lambda: float(next(ticks))) if in_a_hurry else (lambda: 0.0))
    wanted, fits = FILTERS[name]
    assert await all_older(logs, wanted) == newest_first(records, fits)


@pytest.mark.parametrize("name", FILTERS)
async def test_the_way_back_shows_the_same(store, records, name, monkeypatch):
    monkeypatch.setattr("trunkline.storage.logs.STEP_ROWS", 40)
    logs = Logs(store, lambda: NOON_MS, lambda: 0.0)
    wanted, fits = FILTERS[name]
    expected = newest_first(records, fits)
    if len(expected) < 3:
        return
    oldest = next(record for record in records if record.id == expected[-1])
    ids, place = [], Place(oldest.received_ms, oldest.id)
    while place is not None:
        page = await logs.newer(wanted, 20, place)
        ids = [record.id for record in page.records] + ids
        place = page.more
    assert [*ids, oldest.id] == expected


async def test_a_hurried_page_says_how_far_it_looked(store, monkeypatch):
    monkeypatch.setattr("trunkline.storage.logs.STEP_ROWS", 40)
    ticks = iter(range(10**9))
    page = await Logs(store, lambda: NOON_MS, lambda: float(next(ticks))).older(LogFilter(app="nobody"), 50)
    assert page.is_cut
    assert page.records == []


async def test_records_of_the_same_moment_are_told_apart(any_store):
    batch = any_store.batch()
    batch.write([a_record(number, received_ms=NOON_MS) for number in range(7)], [], [])
    batch.close()
    async with await Store.open(any_store.url) as store:
        ids = await all_older(Logs(store, lambda: NOON_MS), LogFilter(), 3)
    assert ids == [f"req_{number:06}" for number in range(6, -1, -1)]


async def test_what_is_in_no_rollup_yet_is_found(any_store):
    batch = any_store.batch()
    batch.write([a_record(1, received_ms=NOON_MS - 1000, ended_ms=NOON_MS, key_id="key_new")], [], [])
    batch.close()
    async with await Store.open(any_store.url) as store:
        page = await Logs(store, lambda: NOON_MS).older(LogFilter(key_id="key_new"), 50)
    assert len(page.records) == 1


async def test_the_tail_brings_what_was_stored_since(any_store):
    batch = any_store.batch()
    batch.write([a_record(1)], [], [])
    async with await Store.open(any_store.url) as store:
        logs = Logs(store, lambda: NOON_MS)
        mark = await logs.mark()
        nothing = await logs.since(LogFilter(), mark, 50)
        batch.write([a_record(5000, model="a/b"), a_record(5001, model="a/c")], [], [])
        batch.close()
        came = await logs.since(LogFilter(model="a/c"), mark, 50)
        again = await logs.since(LogFilter(), came.mark, 50)
    assert (nothing.records, nothing.mark, nothing.left_out) == ([], mark, 0)
    assert [record.id for record in came.records] == ["req_005001"]
    assert came.mark > mark
    assert (again.records, again.mark) == ([], came.mark)


async def test_the_tail_misses_nothing_that_a_slow_gateway_stores_after_a_quick_one(postgres_store):
    quick = postgres_store.batch("gw_quick")
    slow = await asyncpg.connect(postgres_store.url)
    async with await Store.open(postgres_store.url) as store:
        logs = Logs(store, lambda: NOON_MS)
        quick.write([a_record(1)], [], [])
        mark = await logs.mark()
        begun = slow.transaction()
        await begun.start()
        columns = ", ".join(RECORD_COLUMNS)
        moved = columns.replace("id", "'req_slow'", 1)
        await slow.execute(f"INSERT INTO records ({columns}) SELECT {moved} FROM records")
        quick.write([a_record(2)], [], [])
        first = await logs.since(LogFilter(), mark, 50)
        await begun.commit()
        second = await logs.since(LogFilter(), first.mark, 50)
        third = await logs.since(LogFilter(), second.mark, 50)
    await slow.close()
    quick.close()
    assert sorted(record.id for record in (*first.records, *second.records)) == ["req_000002", "req_slow"]
    assert third.records == []


@pytest.mark.parametrize("place", [Place(1767225600000.125, "req_1_2"), Place(0.0, ""), Place(1e13, "~")])
def test_a_place_survives_an_address(place):
    assert placed(written(place)) == place


def test_what_is_no_place_is_none():
    assert placed("yesterday") is None
    assert placed("nan_x") is None
    assert placed("inf_x") is None

"""Records of a time, piece by piece."""

import pytest

from tests.fakes.records import START_MS, a_record
from trunkline.storage.export import Span, pieces
from trunkline.storage.queries import Store

EVERYTHING = Span(0, 2 * START_MS)


@pytest.fixture
async def store(any_store):
    async with await Store.open(any_store.url) as store:
        yield store


@pytest.fixture
def keep(any_store):
    def keep(records):
        batch = any_store.batch()
        batch.write(records, [], [])
        batch.close()

    return keep


async def ids(store, span=EVERYTHING, size=3):
    return [[record.id for record in piece] async for piece in pieces(store, span, size)]


async def test_every_record_comes_once_also_where_many_came_at_once(store, keep):
    keep([a_record(number, received_ms=START_MS + number // 5) for number in range(20)])
    found = await ids(store)
    assert [len(piece) for piece in found] == [3] * 6 + [2]
    assert [id_ for piece in found for id_ in piece] == [f"req_{number:06}" for number in range(20)]


async def test_a_span_has_its_start_and_not_its_end(store, keep):
    keep([a_record(number) for number in range(5)])
    assert await ids(store, Span(START_MS + 1, START_MS + 3)) == [["req_000001", "req_000002"]]
    assert await ids(store, Span(0, 1)) == []


async def test_what_is_stored_meanwhile_stops_nothing(store, keep):
    keep([a_record(number) for number in range(4)])
    seen = []
    async for piece in pieces(store, EVERYTHING, 2):
        seen += [record.id for record in piece]
        if len(seen) == 2:
            keep([a_record(9)])
    assert seen == ["req_000000", "req_000001", "req_000002", "req_000003", "req_000009"]


async def test_an_organisation_has_the_requests_of_its_keys(store, keep, any_store):
    keep([a_record(1, key_id="key_a"), a_record(2, key_id="key_b"), a_record(3, key_id="master")])
    for id_, org_id in (("key_a", "org_default"), ("key_b", "org_b")):
        columns = "id, name, hash, hint, created_ms, org_id"
        any_store.execute(f"INSERT INTO api_keys ({columns}) VALUES ('{id_}', '', '{id_}', '', 1, '{org_id}')")
    assert await ids(store, Span(0, 2 * START_MS, "org_b")) == [["req_000002"]]
    assert await ids(store, Span(0, 2 * START_MS, "org_default")) == [["req_000001", "req_000003"]]

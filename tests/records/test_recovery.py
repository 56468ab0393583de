import pytest

from tests.fakes.records import a_record, an_intent
from trunkline.records.recovery import NOTE, close_interrupted, recover
from trunkline.storage.queries import Store
from trunkline.storage.sqlite_batch import SqliteBatch

FOUND_MS = an_intent(1).started_ms + 60_000


@pytest.fixture
def batch(path):
    batch = SqliteBatch(path)
    yield batch
    batch.close()


def test_an_intent_without_an_end_becomes_one_interrupted_record(batch):
    batch.write([], [an_intent(1), an_intent(2)], [])
    assert [record.outcome for record in recover(batch, FOUND_MS)] == ["interrupted", "interrupted"]
    assert batch.open_intents() == []


def test_recovering_again_finds_nothing(batch):
    batch.write([], [an_intent(1)], [])
    recover(batch, FOUND_MS)
    assert recover(batch, FOUND_MS) == []


async def test_the_interrupted_record_is_in_the_store(batch, url):
    batch.write([], [an_intent(1)], [])
    [made] = recover(batch, FOUND_MS)
    async with await Store.open(url) as store:
        assert await store.generation("req_000001") == made


async def test_a_record_that_is_there_already_is_left_as_it_is(batch, url):
    batch.write([a_record(1)], [an_intent(1)], [])
    recover(batch, FOUND_MS)
    async with await Store.open(url) as store:
        assert await store.recent() == [a_record(1)]
    assert batch.open_intents() == []


def test_what_was_reserved_is_charged_and_flagged_as_estimated():
    record = close_interrupted(an_intent(1), FOUND_MS)
    assert record.cost_pico_usd == 2_500_000_000_000
    assert record.cost.estimated
    assert record.usage.estimated
    assert record.notes == (NOTE,)


def test_the_bill_adds_up():
    record = close_interrupted(an_intent(1), FOUND_MS)
    [line] = record.cost.lines
    assert (line.value, line.amount_pico_usd) == ("2.5", record.cost_pico_usd)
    assert sum(attempt.cost.total_pico_usd for attempt in record.attempts) == record.cost_pico_usd


def test_nothing_reserved_is_nothing_charged():
    record = close_interrupted(an_intent(1, reserved_pico_usd=0), FOUND_MS)
    assert (record.cost_pico_usd, record.cost.lines) == (0, ())


def test_the_record_tells_who_asked_for_what_and_when():
    intent = an_intent(1)
    record = close_interrupted(intent, FOUND_MS)
    assert (record.id, record.key_id, record.model) == (intent.id, intent.key_id, intent.model)
    assert (record.offer, record.provider, record.protocol) == (intent.offer, intent.provider, intent.protocol)
    assert (record.received_ms, record.ended_ms) == (intent.started_ms, FOUND_MS)

"""What a writer's connection promises, on both kinds of stores."""

import msgspec
import pytest

from tests.fakes.kept import CIPHER, a_kept
from tests.fakes.records import a_record, an_intent
from trunkline.errors import StoreError
from trunkline.records.journal import StillWriting
from trunkline.records.types import Forgotten
from trunkline.storage.postgres_batch import PostgresBatch
from trunkline.storage.storable import NOTE


@pytest.fixture
def batch(any_store):
    batch = any_store.batch()
    yield batch
    batch.close()


def test_records_are_stored_as_they_are_with_their_attempts(batch, any_store):
    batch.write([a_record(1), a_record(2)], [], [])
    assert any_store.records() == [a_record(1), a_record(2)]
    assert any_store.count("attempts") == 4


def test_the_view_of_the_attempts_shows_what_live_figures_need(batch, any_store):
    batch.write([a_record(1)], [], [])
    names = ("provider", "offer", "started_ms", "ended_ms", "outcome", "status", "first_token_ms", "last_token_ms")
    others = ("record_id", "number", "output_tokens", "cost_pico_usd", "streamed", "simulated")
    rows = any_store.rows(f"SELECT {', '.join((*names, *others))} FROM attempts WHERE received_ms >= 0 ORDER BY number")
    assert rows == [
        (
            *(getattr(attempt, name) for name in names),
            *(a_record(1).id, number, attempt.usage.total_output_tokens, attempt.cost.total_pico_usd, True, False),
        )
        for number, attempt in enumerate(a_record(1).attempts)
    ]


def test_the_same_batch_again_changes_nothing(batch, any_store):
    for _ in range(2):
        batch.write([a_record(1)], [an_intent(2)], ["req_000003"])
    assert any_store.records() == [a_record(1)]
    assert any_store.count("attempts") == 2
    assert batch.open_intents() == [an_intent(2)]


@pytest.mark.parametrize("count_", [1, 2, 3, 31, 63, 64, 65, 127, 155])
def test_a_batch_of_any_size_is_stored_whole(batch, any_store, count_):
    records = [a_record(number) for number in range(count_)]
    batch.write(records, [an_intent(number) for number in range(1_000, 1_000 + count_)], [])
    assert any_store.records() == records
    assert len(batch.open_intents()) == count_
    batch.write([], [], [an_intent(number).id for number in range(1_000, 1_000 + count_)])
    assert batch.open_intents() == []


@pytest.mark.parametrize("between", [0, 3, 100])
def test_of_two_records_of_one_request_in_a_batch_the_first_stays(batch, any_store, between):
    others = [a_record(number) for number in range(10, 10 + between)]
    batch.write([a_record(1), *others, a_record(1, outcome="error")], [], [])
    assert any_store.records() == [a_record(1), *others]


@pytest.mark.parametrize("between", [0, 3, 100])
def test_of_two_intents_of_one_request_in_a_batch_the_newest_counts(batch, any_store, between):
    others = [an_intent(number) for number in range(10, 10 + between)]
    batch.write([], [an_intent(1), *others, an_intent(1, offer="o:openai", provider="openai")], [])
    assert batch.open_intents()[0] == an_intent(1, offer="o:openai", provider="openai")
    assert len(batch.open_intents()) == 1 + between


def test_one_bad_record_among_many_costs_none_of_the_others(batch, any_store):
    records = [a_record(number) for number in range(150)]
    records[100] = a_record(100, cost=None)
    records[140] = a_record(140, user_agent="\ud800")
    batch.write(records, [an_intent(number) for number in range(1_000, 1_100)], [])
    stored = any_store.records()
    assert [record.id for record in stored] == [record.id for record in records if record.id != records[100].id]
    assert NOTE in stored[139].notes
    assert [record for record in stored if NOTE in record.notes] == [stored[139]]
    assert len(any_store.rejected.read_text().splitlines()) == 1
    assert len(batch.open_intents()) == 100


def test_a_record_is_never_overwritten(batch, any_store):
    batch.write([a_record(1)], [], [])
    batch.write([a_record(1, outcome="error")], [], [])
    assert any_store.records() == [a_record(1)]


def test_an_ended_intent_goes_with_its_record(batch):
    batch.write([], [an_intent(1), an_intent(2)], [])
    batch.write([a_record(1)], [], ["req_000001"])
    assert batch.open_intents() == [an_intent(2)]


def test_the_intent_of_the_next_attempt_replaces_the_first_and_keeps_start_and_reservation(batch):
    batch.write([], [an_intent(1)], [])
    later = an_intent(1, started_ms=an_intent(9).started_ms, offer="o:openai", provider="openai", reserved_pico_usd=5)
    batch.write([], [later], [])
    assert batch.open_intents() == [an_intent(1, offer="o:openai", provider="openai")]


def test_a_record_with_values_that_cannot_be_stored_takes_nothing_down_with_it(batch, any_store):
    batch.write([a_record(1), a_record(2, user_agent="\ud800"), a_record(3, cost_pico_usd=10**40)], [], [])
    first, second, third = any_store.records()
    assert first == a_record(1)
    assert NOTE in second.notes
    assert third.cost_pico_usd == 2**63 - 1


def test_an_item_of_a_wrong_type_is_kept_beside_the_store_and_stops_nothing(batch, any_store):
    batch.write([a_record(1), a_record(2, model=None), a_record(3, cost=None)], [an_intent(4, model=None)], [])
    assert any_store.records() == [a_record(1)]
    lines = any_store.rejected.read_text().splitlines()
    assert [f"req_{number:06}" in line for number, line in zip((2, 3, 4), lines, strict=True)] == [True] * 3


def test_an_intent_with_values_that_cannot_be_stored_is_stored(batch):
    batch.write([], [an_intent(1, model="\ud800")], [])
    assert [intent.id for intent in batch.open_intents()] == ["req_000001"]


def test_a_batch_that_fails_leaves_nothing_of_itself(batch, any_store):
    any_store.execute("ALTER TABLE intents RENAME TO elsewhere")
    with pytest.raises(StoreError, match="intents"):
        batch.write([a_record(1)], [an_intent(2)], [])
    assert any_store.count("records") == 0
    any_store.execute("ALTER TABLE elsewhere RENAME TO intents")
    batch.write([a_record(1)], [an_intent(2)], [])
    assert any_store.records() == [a_record(1)]


def test_large_raw_usage_is_kept_byte_for_byte(batch, any_store):
    raw = msgspec.Raw(b'{"x":  [' + b"1, " * 5000 + b"2]}")
    attempt = msgspec.structs.replace(a_record(1).attempts[1], raw_usage=raw)
    batch.write([a_record(1, attempts=(attempt,))], [], [])
    assert bytes(any_store.records()[0].attempts[0].raw_usage) == bytes(raw)


def test_what_is_kept_is_there_once_encrypted_and_goes_when_it_is_forgotten(batch, any_store):
    batch.write([], [], [], [a_kept("a", b"old"), a_kept("b")])
    batch.write([], [], [], [a_kept("a", b"new"), Forgotten("b")])
    assert any_store.rows("SELECT key, kind FROM kept") == [("a", "state")]
    assert b"new" not in any_store.rows("SELECT data FROM kept")[0][0]


def test_what_has_expired_is_deleted_a_few_rows_at_a_time(batch, any_store):
    batch.write([], [], [], [a_kept(f"{number}", expires_ms=100 + number) for number in range(5)])
    assert [batch.purge(103, 2) for _ in range(3)] == [2, 2, 0]
    assert any_store.rows("SELECT key FROM kept") == [("4",)]


def test_text_with_a_nul_is_stored(batch, any_store):
    batch.write([a_record(1, user_agent="a\0b", session_id="c\0d")], [], [])
    assert [record.id for record in any_store.records()] == ["req_000001"]
    assert not any_store.rejected.exists()


def test_an_id_of_an_answer_that_is_too_long_for_an_index_is_cut_and_costs_no_record(batch, any_store):
    # Of random characters: what compresses well fits.
    odd = "".join(chr(33 + (number * number * 7919 + number // 7) % 90) for number in range(20_000))
    batch.write([a_record(1, answer_id=odd), a_record(2)], [], [])
    assert [odd.startswith(any_store.records()[0].answer_id), any_store.count("records")] == [True, 2]


def test_a_server_that_takes_its_time_is_told_of_at_once_and_asked_again_over_the_same_connection(postgres_store):
    batch = PostgresBatch(postgres_store.store, postgres_store.rejected, patience_s=0.0)
    with pytest.raises(StillWriting):
        batch.write([a_record(1)], [], [])
    batch._patience_s = None
    batch.write([a_record(1)], [], [])
    batch.close()
    assert postgres_store.records() == [a_record(1)]


def test_a_server_that_takes_its_time_for_each_batch_is_asked_once_for_each(postgres_store):
    batch = PostgresBatch(postgres_store.store, postgres_store.rejected, CIPHER.seal, patience_s=0.0)
    for number in (1, 2):
        with pytest.raises(StillWriting):
            batch.write([a_record(number)], [an_intent(9)], [], [a_kept("resp:1")])
        batch.write([a_record(number)], [an_intent(9)], [], [a_kept("resp:1")])
    batch.close()
    assert postgres_store.records() == [a_record(1), a_record(2)]


def test_what_differs_from_the_batch_under_way_is_a_batch_of_its_own(postgres_store):
    batch = PostgresBatch(postgres_store.store, postgres_store.rejected, patience_s=0.0)
    for ended in ([], [an_intent(2).id]):
        with pytest.raises(StillWriting):
            batch.write([a_record(1)], [an_intent(1)], ended)
    batch.close()


def test_a_connection_may_be_given_up_while_the_server_is_at_it(postgres_store):
    batch = PostgresBatch(postgres_store.store, postgres_store.rejected, patience_s=0.0)
    with pytest.raises(StillWriting):
        batch.write([a_record(1)], [], [])
    batch.close()

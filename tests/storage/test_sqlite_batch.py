import sqlite3
from pathlib import Path

import msgspec
import pytest

from tests.fakes.records import a_record, an_intent, count
from trunkline.errors import StoreError
from trunkline.storage.columns import RECORD_COLUMNS
from trunkline.storage.rows import read_record
from trunkline.storage.sqlite_batch import SqliteBatch
from trunkline.storage.storable import NOTE


@pytest.fixture
def batch(path: Path):
    batch = SqliteBatch(path)
    yield batch
    batch.close()


def stored_records(path: Path) -> list:
    connection = sqlite3.connect(path)
    rows = connection.execute(f"SELECT {', '.join(RECORD_COLUMNS)} FROM records ORDER BY id").fetchall()
    connection.close()
    return [read_record(row) for row in rows]


def test_records_are_stored_as_they_are_with_their_attempts(batch, path):
    batch.write([a_record(1), a_record(2)], [], [])
    assert stored_records(path) == [a_record(1), a_record(2)]
    assert count(path, "attempts") == 4


def test_the_view_of_the_attempts_shows_what_live_figures_need(batch, path):
    batch.write([a_record(1)], [], [])
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    rows = [
        dict(row) for row in connection.execute("SELECT * FROM attempts WHERE received_ms >= ? ORDER BY number", (0,))
    ]
    connection.close()
    names = ("provider", "offer", "started_ms", "ended_ms", "outcome", "status", "first_token_ms", "last_token_ms")
    assert len(rows) == 2
    for row, attempt in zip(rows, a_record(1).attempts, strict=True):
        assert {name: row[name] for name in names} == {name: getattr(attempt, name) for name in names}
        assert row["record_id"] == a_record(1).id
        assert row["output_tokens"] == attempt.usage.total_output_tokens
        assert row["cost_pico_usd"] == attempt.cost.total_pico_usd
        assert (row["streamed"], row["simulated"]) == (1, 0)


def test_the_same_batch_again_changes_nothing(batch, path):
    for _ in range(2):
        batch.write([a_record(1)], [an_intent(2)], ["req_000003"])
    assert stored_records(path) == [a_record(1)]
    assert count(path, "attempts") == 2
    assert batch.open_intents() == [an_intent(2)]


@pytest.mark.parametrize("count_", [1, 2, 3, 31, 63, 64, 65, 127, 155])
def test_a_batch_of_any_size_is_stored_whole_and_in_its_order(batch, path, count_):
    records = [a_record(number) for number in range(count_)]
    batch.write(records, [an_intent(number) for number in range(1_000, 1_000 + count_)], [])
    connection = sqlite3.connect(path)
    in_order = [id_ for (id_,) in connection.execute("SELECT id FROM records ORDER BY rowid")]
    connection.close()
    assert in_order == [record.id for record in records]
    assert stored_records(path) == records
    assert len(batch.open_intents()) == count_
    batch.write([], [], [an_intent(number).id for number in range(1_000, 1_000 + count_)])
    assert batch.open_intents() == []


@pytest.mark.parametrize("between", [0, 3, 100])
def test_of_two_records_of_one_request_in_a_batch_the_first_stays(batch, path, between):
    others = [a_record(number) for number in range(10, 10 + between)]
    batch.write([a_record(1), *others, a_record(1, outcome="error")], [], [])
    assert stored_records(path) == [a_record(1), *others]


@pytest.mark.parametrize("between", [0, 3, 100])
def test_of_two_intents_of_one_request_in_a_batch_the_newest_counts(batch, path, between):
    others = [an_intent(number) for number in range(10, 10 + between)]
    batch.write([], [an_intent(1), *others, an_intent(1, offer="o:openai", provider="openai")], [])
    assert batch.open_intents()[0] == an_intent(1, offer="o:openai", provider="openai")
    assert len(batch.open_intents()) == 1 + between


def test_one_bad_record_among_many_costs_none_of_the_others(batch, path):
    records = [a_record(number) for number in range(150)]
    records[100] = a_record(100, cost=None)
    records[140] = a_record(140, user_agent="\ud800")
    batch.write(records, [an_intent(number) for number in range(1_000, 1_100)], [])
    stored = stored_records(path)
    assert [record.id for record in stored] == [record.id for record in records if record.id != records[100].id]
    assert NOTE in stored[139].notes
    assert [record for record in stored if NOTE in record.notes] == [stored[139]]
    assert len(path.with_name("trunkline.db.rejected").read_text().splitlines()) == 1
    assert len(batch.open_intents()) == 100


def test_a_record_is_never_overwritten(batch, path):
    batch.write([a_record(1)], [], [])
    batch.write([a_record(1, outcome="error")], [], [])
    assert stored_records(path) == [a_record(1)]


def test_an_ended_intent_goes_with_its_record(batch):
    batch.write([], [an_intent(1), an_intent(2)], [])
    batch.write([a_record(1)], [], ["req_000001"])
    assert batch.open_intents() == [an_intent(2)]


def test_the_intent_of_the_next_attempt_replaces_the_first_and_keeps_start_and_reservation(batch):
    batch.write([], [an_intent(1)], [])
    later = an_intent(1, started_ms=an_intent(9).started_ms, offer="o:openai", provider="openai", reserved_pico_usd=5)
    batch.write([], [later], [])
    assert batch.open_intents() == [an_intent(1, offer="o:openai", provider="openai")]


def test_a_record_with_values_that_cannot_be_stored_takes_nothing_down_with_it(batch, path):
    batch.write([a_record(1), a_record(2, user_agent="\ud800"), a_record(3, cost_pico_usd=10**40)], [], [])
    first, second, third = stored_records(path)
    assert first == a_record(1)
    assert NOTE in second.notes
    assert third.cost_pico_usd == 2**63 - 1


def test_an_item_of_a_wrong_type_is_kept_beside_the_store_and_stops_nothing(batch, path):
    batch.write([a_record(1), a_record(2, model=None), a_record(3, cost=None)], [an_intent(4, model=None)], [])
    assert stored_records(path) == [a_record(1)]
    lines = path.with_name("trunkline.db.rejected").read_text().splitlines()
    assert [f"req_{number:06}" in line for number, line in zip((2, 3, 4), lines, strict=True)] == [True] * 3


def test_an_intent_with_values_that_cannot_be_stored_is_stored(batch):
    batch.write([], [an_intent(1, model="\ud800")], [])
    assert [intent.id for intent in batch.open_intents()] == ["req_000001"]


def test_a_batch_that_fails_leaves_nothing_of_itself(batch, path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TRIGGER full BEFORE INSERT ON intents BEGIN SELECT no_room(); END")
    with pytest.raises(StoreError, match="no_room"):
        batch.write([a_record(1)], [an_intent(2)], [])
    assert count(path, "records") == 0
    connection.execute("DROP TRIGGER full")
    connection.close()
    batch.write([a_record(1)], [an_intent(2)], [])
    assert stored_records(path) == [a_record(1)]


def test_commits_are_synced_to_the_disk(batch):
    assert batch._connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_damaged_store_is_an_error_and_no_record_is_rejected_for_it(batch, path):
    batch.write([a_record(1)], [], [])
    batch._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * (path.stat().st_size - 8192))
    batch.close()
    damaged = SqliteBatch(path)
    with pytest.raises(StoreError, match="malformed"):
        damaged.write([a_record(2)], [], [])
    damaged.close()
    assert not path.with_name("trunkline.db.rejected").exists()


def test_a_missing_file_is_an_error_and_not_a_new_store(tmp_path):
    with pytest.raises(StoreError, match=r"nowhere\.db"):
        SqliteBatch(tmp_path / "nowhere.db")
    assert list(tmp_path.iterdir()) == []


def test_a_file_deleted_under_the_writer_is_noticed(batch, path):
    path.unlink()
    with pytest.raises(StoreError, match=r"trunkline\.db"):
        batch.write([a_record(1)], [], [])


def test_a_file_replaced_under_the_writer_is_noticed(batch, path):
    path.rename(path.with_name("old.db"))
    path.touch()
    with pytest.raises(StoreError, match="deleted or replaced"):
        batch.write([a_record(1)], [], [])


def test_a_store_in_use_by_a_reader_can_be_written(batch, path):
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM records").fetchone()
    batch.write([a_record(1)], [], [])
    reader.execute("ROLLBACK")
    reader.close()
    assert stored_records(path) == [a_record(1)]


def test_large_raw_usage_is_kept_byte_for_byte(batch, path):
    raw = msgspec.Raw(b'{"x":  [' + b"1, " * 5000 + b"2]}")
    attempt = msgspec.structs.replace(a_record(1).attempts[1], raw_usage=raw)
    batch.write([a_record(1, attempts=(attempt,))], [], [])
    assert bytes(stored_records(path)[0].attempts[0].raw_usage) == bytes(raw)

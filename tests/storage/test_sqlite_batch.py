import sqlite3
from pathlib import Path

import pytest

from tests.fakes.records import a_record
from trunkline.errors import StoreError
from trunkline.storage.columns import RECORD_COLUMNS
from trunkline.storage.rows import read_record
from trunkline.storage.sqlite_batch import SqliteBatch


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


def test_records_lie_in_the_order_in_which_they_came(batch, path):
    records = [a_record(number) for number in (*range(100, 200), 3, 1, 2)]
    batch.write(records, [], [])
    connection = sqlite3.connect(path)
    in_order = [id_ for (id_,) in connection.execute("SELECT id FROM records ORDER BY rowid")]
    connection.close()
    assert in_order == [record.id for record in records]


def test_commits_are_synced_to_the_disk(batch):
    assert batch._connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_damaged_store_is_an_error_and_no_record_is_rejected_for_it(batch, path):
    batch.write([a_record(1)], [], [])
    batch._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (page,) = batch._connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'records'").fetchone()
    (size,) = batch._connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
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

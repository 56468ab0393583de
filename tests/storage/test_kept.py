"""What is kept: written in the records' batches, found until it expires, deleted a few rows at a time."""

import sqlite3

import pytest

from tests.fakes.kept import CIPHER, DAY_MS, NOW_MS, a_kept
from tests.fakes.records import a_record, an_intent, count
from tests.fakes.stores import AnyBatch
from trunkline.errors import StoreError
from trunkline.records.types import Forgotten
from trunkline.storage.cipher import Cipher
from trunkline.storage.kept import KeptReader
from trunkline.storage.sqlite_batch import _PURGE, SqliteBatch


@pytest.fixture
def batch(path):
    batch = SqliteBatch(path, CIPHER.seal)
    yield batch
    batch.close()


@pytest.fixture
def any_batch(any_store):
    """Of each kind of store."""
    batch = any_store.batch()
    yield batch
    batch.close()


@pytest.fixture
def any_reader(any_store):
    reader = KeptReader(any_store.url, CIPHER)
    yield reader
    reader.close()


@pytest.fixture
def reader(url, path):
    reader = KeptReader(url, CIPHER)
    yield reader
    reader.close()


def keep(batch: AnyBatch, *changes: object) -> None:
    batch.write([], [], [], changes)


def test_what_was_kept_is_found_as_it_was(any_batch, any_reader):
    keep(any_batch, a_kept("a", b"one"), a_kept("b", b"two", kind="response", key_id="key_1"))
    found = any_reader.find(["a", "b", "c"], NOW_MS)
    assert sorted(found, key=lambda kept: kept.key) == [
        a_kept("a", b"one"),
        a_kept("b", b"two", kind="response", key_id="key_1"),
    ]


def test_many_keys_at_once_are_found(any_batch, any_reader):
    keep(any_batch, *(a_kept(f"key {number}") for number in range(250)))
    assert len(any_reader.find([f"key {number}" for number in range(300)], NOW_MS)) == 250


def test_records_and_what_is_kept_are_one_transaction(batch, path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TRIGGER full BEFORE INSERT ON kept BEGIN SELECT no_room(); END")
    with pytest.raises(StoreError, match="no_room"):
        batch.write([a_record(1)], [an_intent(2)], [], [a_kept()])
    assert count(path, "records") == 0
    connection.execute("DROP TRIGGER full")
    connection.close()
    batch.write([a_record(1)], [an_intent(2)], [], [a_kept()])
    assert (count(path, "records"), count(path, "intents"), count(path, "kept")) == (1, 1, 1)


def test_the_same_batch_again_changes_nothing(batch, reader, path):
    for _ in range(2):
        keep(batch, a_kept("a"), a_kept("b"), Forgotten("c"))
    assert reader.find(["a"], NOW_MS) == [a_kept("a")]
    assert count(path, "kept") == 2


def test_the_newest_of_a_key_counts(batch, reader, path):
    keep(batch, a_kept("a", b"old"))
    keep(batch, a_kept("a", b"new", expires_ms=NOW_MS + 2 * DAY_MS))
    assert reader.find(["a"], NOW_MS) == [a_kept("a", b"new", expires_ms=NOW_MS + 2 * DAY_MS)]
    assert count(path, "kept") == 1


def test_what_was_forgotten_is_gone(batch, reader, path):
    keep(batch, a_kept("a"), a_kept("b"))
    keep(batch, Forgotten("a"), Forgotten("never there"))
    assert reader.find(["a", "b"], NOW_MS) == [a_kept("b")]
    assert count(path, "kept") == 1


def test_what_has_expired_is_not_found(any_batch, any_reader):
    keep(any_batch, a_kept())
    assert any_reader.find([a_kept().key], NOW_MS + DAY_MS - 1)
    assert not any_reader.find([a_kept().key], NOW_MS + DAY_MS)


def test_what_has_expired_is_deleted_a_few_rows_at_a_time_the_oldest_first(batch, path):
    keep(batch, *(a_kept(f"key {number}", expires_ms=NOW_MS + number) for number in range(1, 11)))
    assert batch.purge(NOW_MS + 5, 3) == 3
    assert batch._connection.execute("SELECT min(expires_ms) FROM kept").fetchone() == (NOW_MS + 4,)
    assert batch.purge(NOW_MS + 5, 3) == 2
    assert batch.purge(NOW_MS + 5, 3) == 0
    assert count(path, "kept") == 5


def test_the_file_shows_nothing_of_the_data(batch, path):
    keep(batch, a_kept("a", b"a secret thought"), a_kept("b", b"a secret thought " * 1000))
    batch._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"secret thought" not in path.read_bytes()


def test_a_store_with_another_secrets_file_is_an_error_that_names_it(batch, url):
    keep(batch, a_kept())
    reader = KeptReader(url, Cipher(b"another pepper"))
    with pytest.raises(StoreError, match="secrets file"):
        reader.find([a_kept().key], NOW_MS)
    reader.close()


def test_a_reader_cannot_write(batch, reader):
    reader.find(["a"], NOW_MS)
    with pytest.raises(StoreError, match="readonly"):
        reader._reader.rows("DELETE FROM kept")


def test_a_store_that_is_not_there_is_an_error_and_once_it_is_it_is_read(tmp_path, path, url):
    away = path.rename(tmp_path / "away.db")
    reader = KeptReader(url, CIPHER)
    with pytest.raises(StoreError, match=r"trunkline\.db"):
        reader.find(["a"], NOW_MS)
    away.rename(path)
    assert reader.find(["a"], NOW_MS) == []
    reader.close()


def test_an_item_of_a_wrong_type_stops_nothing_and_its_data_is_written_nowhere(batch, path, reader):
    batch.write([a_record(1)], [], [], [a_kept("a"), a_kept(None, b"a secret thought")])
    assert count(path, "records") == 1
    assert reader.find(["a"], NOW_MS) == [a_kept("a")]
    rejected = path.with_name("trunkline.db.rejected").read_text()
    assert "Kept(state None, 16 bytes)" in rejected
    assert "secret" not in rejected


def test_without_a_cipher_nothing_is_kept_in_the_clear(path):
    batch = SqliteBatch(path)
    batch.write([a_record(1)], [], [], [a_kept()])
    batch.close()
    assert (count(path, "records"), count(path, "kept")) == (1, 0)
    assert "without a cipher" in path.with_name("trunkline.db.rejected").read_text()


def test_what_has_expired_is_found_by_its_index(batch):
    plans = [row[-1] for row in batch._connection.execute(f"EXPLAIN QUERY PLAN {_PURGE}", (NOW_MS, 1))]
    assert any("kept_expires_ms" in told for told in plans)
    assert not any("TEMP B-TREE FOR ORDER" in told for told in plans)

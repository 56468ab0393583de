"""The mark by rowid, by which the rollups on SQLite hold each record once."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.rollups import of_width, rows
from tests.fakes.stores import AnyStore
from tests.fakes.traffic import NOON_MS, traffic
from trunkline.errors import StoreError
from trunkline.records.figures import MINUTE_S
from trunkline.storage.rollups import Rollups
from trunkline.storage.sqlite_batch import SqliteBatch
from trunkline.storage.sqlite_file import connect


@pytest.fixture
def batch(path: Path) -> Iterator[SqliteBatch]:
    batch = SqliteBatch(path)
    yield batch
    batch.close()


def store_at(path: Path) -> AnyStore:
    return AnyStore(f"sqlite:///{path}", path.parent)


def test_what_a_crash_left_unfolded_is_folded_by_the_next_process(path: Path) -> None:
    records = traffic(60, over_s=MINUTE_S)
    crashed = SqliteBatch(path)
    crashed.write(records[:20], [], [])
    crashed.fold(NOON_MS)
    crashed.write(records[20:40], [], [])
    crashed.close()
    batch = SqliteBatch(path)
    batch.write(records[40:], [], [])
    batch.fold(NOON_MS)
    batch.close()
    assert rows(store_at(path), "offer_rollups") == of_width(records, MINUTE_S)


def test_a_fold_that_fails_is_done_whole_by_the_next(batch: SqliteBatch, path: Path) -> None:
    records = traffic(40, over_s=MINUTE_S)
    batch.fold(NOON_MS)
    batch.write(records, [], [])
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        batch.fold(NOON_MS)
    other.close()
    assert batch.fold(NOON_MS)
    assert rows(store_at(path), "offer_rollups") == of_width(records, MINUTE_S)


def test_a_batch_that_fails_counts_when_it_is_stored(batch: SqliteBatch, path: Path) -> None:
    records = traffic(40, over_s=MINUTE_S)
    batch.fold(NOON_MS)
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        batch.write(records, [], [])
    other.close()
    batch.write(records, [], [])
    batch.fold(NOON_MS)
    assert rows(store_at(path), "offer_rollups") == of_width(records, MINUTE_S)


def test_a_long_tail_is_folded_in_pieces(batch: SqliteBatch, path: Path) -> None:
    records = traffic(100, over_s=MINUTE_S)
    batch.write(records, [], [])
    connection, tail = connect(path), Rollups(tail_rows=40)
    for is_all in (False, False, True):
        connection.execute("BEGIN")
        assert tail.fold(connection, NOON_MS) is is_all
        connection.execute("COMMIT")
        tail.folded(is_all=is_all)
    connection.close()
    assert rows(store_at(path), "offer_rollups") == of_width(records, MINUTE_S)


def test_a_copy_that_numbers_its_records_anew_loses_nothing_that_comes(batch: SqliteBatch, path: Path) -> None:
    records = traffic(40, over_s=MINUTE_S)
    batch.write(records[:20], [], [])
    batch.fold(NOON_MS)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DELETE FROM records WHERE rowid <= 10")
    connection.execute("VACUUM")
    connection.close()
    again = SqliteBatch(path)
    again.fold(NOON_MS)
    again.write(records[20:], [], [])
    again.fold(NOON_MS)
    again.close()
    assert rows(store_at(path), "offer_rollups") == of_width(records, MINUTE_S)

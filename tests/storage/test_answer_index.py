"""The hashes of the ids of answers, by which a record is found on SQLite."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.fakes.records import a_record
from trunkline.records.types import Record
from trunkline.storage.answer_index import STRETCH, AnswerIndex, hash_of
from trunkline.storage.answer_search import newest_with_answer
from trunkline.storage.engine import query_engine
from trunkline.storage.rows import read_record
from trunkline.storage.sqlite_batch import SqliteBatch
from trunkline.storage.sqlite_file import connect

# Both have the CRC-32 0x4ddb0c25.
SAME_HASH = ("plumless", "buckeroo")


@pytest.fixture
def batch(path: Path) -> Iterator[SqliteBatch]:
    batch = SqliteBatch(path)
    yield batch
    batch.close()


def answered(numbers: Sequence[int]) -> list[Record]:
    return [a_record(number) for number in numbers]


def index_all(path: Path, stretch: int = 4, tail_rows: int = 100) -> list[int]:
    """What is there, by a writer of its own; how many records its folds put into rows."""
    connection, index = connect(path), AnswerIndex(stretch, tail_rows)
    is_all = False
    while not is_all:
        connection.execute("BEGIN")
        is_all = index.fold(connection)
        connection.execute("COMMIT")
        index.folded()
    found = [count for (count,) in connection.execute("SELECT records FROM answer_index ORDER BY number")]
    connection.close()
    return found


def search(path: Path, answer_id: str, asked: list[str] | None = None) -> Record | None:
    engine = query_engine(path)
    with engine.connect() as connection:

        def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            # `asked` gets how each question is answered.
            if asked is not None:
                with closing(sqlite3.connect(path)) as plain:
                    asked.append(str(plain.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()))

        event.listen(engine, "before_cursor_execute", note)
        row = newest_with_answer(connection, answer_id)
    engine.dispose()
    return read_record(row) if row else None


def test_a_record_is_found_before_its_hash_is_written_and_after(batch: SqliteBatch, path: Path) -> None:
    batch.write(answered(range(1, 9)), [], [])
    assert search(path, "chatcmpl-3") == a_record(3)
    assert index_all(path) == [8]
    batch.write(answered([9]), [], [])
    assert [search(path, f"chatcmpl-{number}") for number in (3, 8, 9)] == answered([3, 8, 9])
    assert search(path, "chatcmpl-10") is None


def test_whoever_asks_reads_no_records_but_those_of_the_stretch(batch: SqliteBatch, path: Path) -> None:
    batch.write(answered(range(1, 9)), [], [])
    index_all(path)
    asked: list[str] = []
    assert search(path, "chatcmpl-3", asked) == a_record(3)
    of_records = [plan for plan in asked if " records" in plan]
    assert len(of_records) == 4, "where the mark is, the tail, where the stretch ends, the stretch"
    assert not [plan for plan in of_records if "SCAN records" in plan]


def test_another_answer_with_the_same_hash_is_not_taken_for_it(batch: SqliteBatch, path: Path) -> None:
    first, second = SAME_HASH
    assert hash_of(first) == hash_of(second)
    batch.write([a_record(1, answer_id=first), *answered([2, 3, 4])], [], [])
    index_all(path)
    batch.write([a_record(5, answer_id=second), *answered([6, 7, 8])], [], [])
    assert index_all(path) == [4, 4]
    assert search(path, first) == a_record(1, answer_id=first)


def test_of_answers_with_the_same_id_the_newest_is_found(batch: SqliteBatch, path: Path) -> None:
    for number in range(3):
        batch.write([a_record(number, answer_id="x"), *answered(range(10 * number + 10, 10 * number + 13))], [], [])
        index_all(path)
    assert search(path, "x") == a_record(2, answer_id="x")


def test_records_without_an_answer_take_no_room(batch: SqliteBatch, path: Path) -> None:
    batch.write([a_record(number, answer_id="") for number in range(7)] + answered([8]), [], [])
    assert index_all(path) == [8]
    connection = connect(path)
    assert connection.execute("SELECT length(hashes) FROM answer_index").fetchall() == [(4,)]
    connection.close()
    assert search(path, "chatcmpl-8") == a_record(8)
    assert search(path, "") is None


def test_what_an_earlier_process_left_is_indexed_in_pieces(batch: SqliteBatch, path: Path) -> None:
    batch.write(answered(range(1, 11)), [], [])
    assert index_all(path, stretch=100, tail_rows=4) == [4, 4]
    assert index_all(path, stretch=2, tail_rows=4) == [4, 4, 2]
    assert [search(path, f"chatcmpl-{number}") for number in range(1, 11)] == answered(range(1, 11))


def test_a_copy_that_numbers_its_records_anew_is_searched_all_the_same(batch: SqliteBatch, path: Path) -> None:
    batch.write(answered(range(1, 5)), [], [])
    index_all(path)
    batch.write(answered(range(5, 9)), [], [])
    index_all(path)
    batch.write(answered([9]), [], [])
    batch.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM records WHERE rowid IN (1, 2, 6)")
        connection.execute("VACUUM")
    left = [3, 4, 5, 7, 8, 9]
    assert [search(path, f"chatcmpl-{number}") for number in left] == answered(left)


def test_the_writer_indexes_what_it_stores_once_there_is_enough(batch: SqliteBatch, path: Path) -> None:
    batch.fold(0)
    batch.write(answered(range(STRETCH - 1)), [], [])
    batch.fold(0)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM answer_index").fetchone() == (0,)
        batch.write(answered([STRETCH]), [], [])
        batch.fold(0)
        assert connection.execute("SELECT last_id, records FROM answer_index").fetchall() == [
            (f"req_{STRETCH:06}", STRETCH)
        ]


def test_what_came_twice_or_not_at_all_is_indexed_as_it_is_in_the_store(batch: SqliteBatch, path: Path) -> None:
    batch.fold(0)
    batch.write(answered(range(STRETCH)), [], [])
    batch.write(answered(range(STRETCH + 10)), [], [])
    batch.fold(0)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT sum(records) FROM answer_index").fetchone() == (STRETCH + 10,)

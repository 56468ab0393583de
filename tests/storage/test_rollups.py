"""The rollups hold each record once: whatever is written twice, fails, is cut off, or comes late."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.records import a_record
from tests.fakes.traffic import NOON_MS, traffic
from trunkline.errors import StoreError
from trunkline.records.figures import DAY_S, HOUR_S, MINUTE_S, Gathered, OfferFigures
from trunkline.records.types import Record
from trunkline.storage.figure_rows import merge_row
from trunkline.storage.rebuild import rebuild
from trunkline.storage.rollups import KEEP_HOURS_S, KEEP_MINUTES_S, Rollups
from trunkline.storage.sqlite_batch import SqliteBatch
from trunkline.storage.sqlite_file import connect

MINUTE_MS = 60_000.0


@pytest.fixture
def batch(path: Path) -> Iterator[SqliteBatch]:
    batch = SqliteBatch(path)
    yield batch
    batch.close()


def rows(path: Path, table: str, width_s: int | None = None) -> dict[tuple, tuple]:
    """Key -> values; histograms of which only the sum of floats may differ in its last digits are read."""
    connection = sqlite3.connect(path)
    found = connection.execute(f"SELECT * FROM {table} WHERE ? IS NULL OR width_s = ?", (width_s, width_s)).fetchall()
    connection.close()
    keys = 3 if table == "offer_rollups" else 6
    return {row[:keys]: figures_of(row[keys:]) if keys == 3 else row[keys:] for row in found}


def figures_of(values: tuple) -> OfferFigures:
    figures = OfferFigures()
    merge_row(figures, values)
    return figures


def of_width(records: list[Record], width_s: int) -> dict[tuple, OfferFigures]:
    """What the rows of a width must be, added up straight from the records."""
    found: dict[tuple, OfferFigures] = {}
    for record in records:
        gathered = Gathered()
        gathered.see([record])
        for (start_s, offer), figures in gathered.offers.items():
            found.setdefault((width_s, start_s - start_s % width_s, offer), OfferFigures()).merge(figures)
    return found


def live(batch: SqliteBatch, records: list[Record], until_ms: float = NOON_MS) -> None:
    """As the gateway does it: batches, a fold a second, house-keeping each minute."""
    now_ms = records[0].ended_ms
    waiting: list[Record] = []
    for record in records:
        while record.ended_ms > now_ms + MINUTE_MS:
            batch.write(waiting, [], [])
            waiting = []
            batch.fold(now_ms)
            now_ms += MINUTE_MS
            batch.purge(now_ms, 10)
        waiting.append(record)
    batch.write(waiting, [], [])
    batch.fold(until_ms)
    batch.purge(until_ms, 10)


def test_minutes_hours_and_days_say_the_same(batch: SqliteBatch, path: Path) -> None:
    records = traffic(400, over_s=5 * HOUR_S)
    live(batch, records)
    assert rows(path, "offer_rollups", MINUTE_S) == of_width(records, MINUTE_S)
    rolled = [record for record in records if record.ended_ms < NOON_MS - MINUTE_MS]
    assert rows(path, "offer_rollups", HOUR_S) == of_width(rolled, HOUR_S)
    assert rows(path, "offer_rollups", DAY_S) == of_width(rolled, DAY_S)


def test_use_in_days_is_that_in_hours_that_are_over(batch: SqliteBatch, path: Path) -> None:
    live(batch, traffic(400, over_s=30 * HOUR_S))
    hours: Counter[tuple] = Counter()
    for (_, start_s, *place), values in rows(path, "use_rollups", HOUR_S).items():
        if start_s < NOON_MS / 1000 - HOUR_S:
            hours[(start_s - start_s % DAY_S, *place)] += values[0]
    days = {(start_s, *place): values[0] for (_, start_s, *place), values in rows(path, "use_rollups", DAY_S).items()}
    assert days == hours


def test_the_cost_of_all_rows_is_that_of_all_records(batch: SqliteBatch, path: Path) -> None:
    records = traffic(300, over_s=10 * HOUR_S)
    live(batch, records)
    cost = sum(values[-3] for values in rows(path, "use_rollups", HOUR_S).values())
    assert cost == sum(record.cost_pico_usd for record in records)
    assert sum(values[0] for values in rows(path, "use_rollups", HOUR_S).values()) == len(records)


def test_a_batch_that_comes_twice_counts_once(batch: SqliteBatch, path: Path) -> None:
    records = traffic(50, over_s=MINUTE_S)
    batch.write(records[:30], [], [])
    batch.write(records[20:], [], [])
    batch.write(records, [], [])
    batch.fold(NOON_MS)
    assert rows(path, "offer_rollups") == of_width(records, MINUTE_S)


def test_two_records_of_one_request_count_as_the_one_that_stays(batch: SqliteBatch, path: Path) -> None:
    batch.fold(NOON_MS)
    batch.write([a_record(1), a_record(1, outcome="error")], [], [])
    batch.fold(NOON_MS)
    assert sum(values[0] for values in rows(path, "use_rollups").values()) == 1


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
    assert rows(path, "offer_rollups") == of_width(records, MINUTE_S)


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
    assert rows(path, "offer_rollups") == of_width(records, MINUTE_S)


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
    assert rows(path, "offer_rollups") == of_width(records, MINUTE_S)


def test_what_comes_after_its_minute_was_rolled_up_goes_into_all_widths(batch: SqliteBatch, path: Path) -> None:
    records = traffic(200, over_s=3 * HOUR_S)
    live(batch, records[::2])
    batch.write(records[1::2], [], [])
    batch.fold(NOON_MS)
    rolled = [record for record in records if record.ended_ms < NOON_MS - MINUTE_MS]
    assert rows(path, "offer_rollups", MINUTE_S) == of_width(records, MINUTE_S)
    assert rows(path, "offer_rollups", DAY_S) == of_width(rolled, DAY_S)


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
    assert rows(path, "offer_rollups") == of_width(records, MINUTE_S)


def test_figures_made_anew_are_those_that_were_kept_up(batch: SqliteBatch, path: Path, url: str) -> None:
    live(batch, traffic(600, over_s=50 * HOUR_S))
    before = {table: rows(path, table) for table in ("offer_rollups", "use_rollups")}
    told: list[tuple[int, int]] = []
    rebuild(url, NOON_MS, lambda done, total: told.append((done, total)))
    assert told == [(0, 600), (600, 600)]
    assert rows(path, "use_rollups") == before["use_rollups"]
    # Narrow rows that have expired may be there some minutes longer than where they were never made.
    kept = {
        place: figures
        for place, figures in before["offer_rollups"].items()
        if place[0] > MINUTE_S or place[1] >= NOON_MS / 1000 - KEEP_MINUTES_S
    }
    assert rows(path, "offer_rollups") == kept


def test_minutes_go_after_two_days_and_hours_after_a_hundred(batch: SqliteBatch, path: Path) -> None:
    batch.write(traffic(20, over_s=HOUR_S), [], [])
    batch.fold(NOON_MS)
    batch.purge(NOON_MS + 3 * HOUR_S * 1000, 10)
    assert all(rows(path, "offer_rollups", width_s) for width_s in (MINUTE_S, HOUR_S, DAY_S))
    batch.purge(NOON_MS + (KEEP_MINUTES_S + HOUR_S) * 1000, 10)
    assert not rows(path, "offer_rollups", MINUTE_S)
    batch.purge(NOON_MS + (KEEP_HOURS_S + HOUR_S) * 1000, 10)
    assert not rows(path, "offer_rollups", HOUR_S)
    assert not rows(path, "use_rollups", HOUR_S)
    assert rows(path, "offer_rollups", DAY_S)
    assert rows(path, "use_rollups", DAY_S)


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
    assert rows(path, "offer_rollups") == of_width(records, MINUTE_S)

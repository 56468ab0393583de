"""The rollups hold each record once: whatever is written twice, fails, is cut off, or comes late. On both kinds of stores."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.fakes.records import a_record
from tests.fakes.rollups import MINUTE_MS, live, of_width, rows
from tests.fakes.stores import AnyBatch, AnyStore
from tests.fakes.traffic import NOON_MS, traffic
from trunkline.records.figures import DAY_S, HOUR_S, MINUTE_S
from trunkline.storage.rebuild import rebuild
from trunkline.storage.rollups import KEEP_HOURS_S, KEEP_MINUTES_S


@pytest.fixture
def batch(any_store: AnyStore) -> Iterator[AnyBatch]:
    batch = any_store.batch()
    yield batch
    batch.close()


def test_minutes_hours_and_days_say_the_same(batch: AnyBatch, any_store: AnyStore) -> None:
    records = traffic(400, over_s=5 * HOUR_S)
    live(batch, records)
    assert rows(any_store, "offer_rollups", MINUTE_S) == of_width(records, MINUTE_S)
    rolled = [record for record in records if record.ended_ms < NOON_MS - MINUTE_MS]
    assert rows(any_store, "offer_rollups", HOUR_S) == of_width(rolled, HOUR_S)
    assert rows(any_store, "offer_rollups", DAY_S) == of_width(rolled, DAY_S)


def test_use_in_days_is_that_in_hours_that_are_over(batch: AnyBatch, any_store: AnyStore) -> None:
    live(batch, traffic(200, over_s=30 * HOUR_S))
    hours: Counter[tuple] = Counter()
    for (_, start_s, *place), values in rows(any_store, "use_rollups", HOUR_S).items():
        if start_s < NOON_MS / 1000 - HOUR_S:
            hours[(start_s - start_s % DAY_S, *place)] += values[0]
    days = {
        (start_s, *place): values[0] for (_, start_s, *place), values in rows(any_store, "use_rollups", DAY_S).items()
    }
    assert days == hours


def test_the_cost_of_all_rows_is_that_of_all_records(batch: AnyBatch, any_store: AnyStore) -> None:
    records = traffic(100, over_s=10 * HOUR_S)
    live(batch, records)
    cost = sum(values[-3] for values in rows(any_store, "use_rollups", HOUR_S).values())
    assert cost == sum(record.cost_pico_usd for record in records)
    assert sum(values[0] for values in rows(any_store, "use_rollups", HOUR_S).values()) == len(records)


def test_a_batch_that_comes_twice_counts_once(batch: AnyBatch, any_store: AnyStore) -> None:
    records = traffic(50, over_s=MINUTE_S)
    batch.write(records[:30], [], [])
    batch.write(records[20:], [], [])
    batch.write(records, [], [])
    batch.fold(NOON_MS)
    assert rows(any_store, "offer_rollups") == of_width(records, MINUTE_S)


def test_two_records_of_one_request_count_as_the_one_that_stays(batch: AnyBatch, any_store: AnyStore) -> None:
    batch.fold(NOON_MS)
    batch.write([a_record(1), a_record(1, outcome="error")], [], [])
    batch.fold(NOON_MS)
    assert sum(values[0] for values in rows(any_store, "use_rollups").values()) == 1


def test_what_comes_after_its_minute_was_rolled_up_goes_into_all_widths(batch: AnyBatch, any_store: AnyStore) -> None:
    records = traffic(200, over_s=3 * HOUR_S)
    live(batch, records[::2])
    batch.write(records[1::2], [], [])
    batch.fold(NOON_MS)
    rolled = [record for record in records if record.ended_ms < NOON_MS - MINUTE_MS]
    assert rows(any_store, "offer_rollups", MINUTE_S) == of_width(records, MINUTE_S)
    assert rows(any_store, "offer_rollups", DAY_S) == of_width(rolled, DAY_S)


def test_figures_made_anew_are_those_that_were_kept_up(batch: AnyBatch, any_store: AnyStore) -> None:
    live(batch, traffic(200, over_s=50 * HOUR_S))
    before = {table: rows(any_store, table) for table in ("offer_rollups", "use_rollups")}
    told: list[tuple[int, int]] = []
    rebuild(any_store.url, NOON_MS, lambda done, total: told.append((done, total)))
    assert told == [(0, 200), (200, 200)]
    assert rows(any_store, "use_rollups") == before["use_rollups"]
    # Narrow rows that have expired may be there some minutes longer than where they were never made.
    kept = {
        place: figures
        for place, figures in before["offer_rollups"].items()
        if place[0] > MINUTE_S or place[1] >= NOON_MS / 1000 - KEEP_MINUTES_S
    }
    assert rows(any_store, "offer_rollups") == kept


def test_minutes_go_after_two_days_and_hours_after_a_hundred(batch: AnyBatch, any_store: AnyStore) -> None:
    batch.write(traffic(20, over_s=HOUR_S), [], [])
    batch.fold(NOON_MS)
    batch.purge(NOON_MS + 3 * HOUR_S * 1000, 10)
    assert all(rows(any_store, "offer_rollups", width_s) for width_s in (MINUTE_S, HOUR_S, DAY_S))
    batch.purge(NOON_MS + (KEEP_MINUTES_S + HOUR_S) * 1000, 10)
    assert not rows(any_store, "offer_rollups", MINUTE_S)
    batch.purge(NOON_MS + (KEEP_HOURS_S + HOUR_S) * 1000, 10)
    assert not rows(any_store, "offer_rollups", HOUR_S)
    assert not rows(any_store, "use_rollups", HOUR_S)
    assert rows(any_store, "offer_rollups", DAY_S)
    assert rows(any_store, "use_rollups", DAY_S)

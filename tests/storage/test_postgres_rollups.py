"""Several gateways add to the same rows of PostgreSQL, and each record is in them once: whoever writes, dies, or is held for dead."""

import threading
from collections.abc import Iterator

import pytest

from tests.fakes.rollups import MINUTE_MS, of_width, rows
from tests.fakes.stores import AnyStore
from tests.fakes.traffic import NOON_MS, traffic
from trunkline.errors import StoreError
from trunkline.records.figures import DAY_S, HOUR_S, MINUTE_S
from trunkline.records.types import Record
from trunkline.storage.postgres_batch import PostgresBatch
from trunkline.storage.rebuild import rebuild


@pytest.fixture
def batches(postgres_store: AnyStore) -> Iterator[list[PostgresBatch]]:
    batches = [postgres_store.batch(f"gw_{number}") for number in range(3)]
    yield batches
    for batch in batches:
        batch.close()


def tables(store: AnyStore) -> dict[str, dict]:
    return {table: rows(store, table) for table in ("offer_rollups", "use_rollups")}


def write_as_a_gateway(batch: PostgresBatch, records: list[Record], failures: list[Exception]) -> None:
    """Batches, folds and house-keeping, as fast as it goes."""
    try:
        for at in range(0, len(records), 20):
            batch.write(records[at : at + 20], [], [])
            # Again, as after a failure.
            batch.write(records[at : at + 5], [], [])
            batch.fold(records[at].ended_ms)
            if at % 100 == 0:
                batch.purge(records[at].ended_ms, 10)
        batch.fold(NOON_MS)
        batch.purge(NOON_MS, 10)
    except Exception as error:  # noqa: BLE001 - told by the test
        failures.append(error)


def test_figures_that_three_gateways_kept_up_at_once_are_those_made_anew(postgres_store, batches):
    records = traffic(1_800, over_s=3 * HOUR_S)
    failures: list[Exception] = []
    # All minutes of all offers from each of them; and some records come to two of them.
    shares = [records[::3] + records[1:60:3], records[1::3], records[2::3] + records[:60:3]]
    threads = [
        threading.Thread(target=write_as_a_gateway, args=(batch, sorted(share, key=lambda one: one.ended_ms), failures))
        for batch, share in zip(batches, shares, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert postgres_store.count("unfolded") == 0
    assert rows(postgres_store, "offer_rollups", MINUTE_S) == of_width(records, MINUTE_S)
    rolled = [record for record in records if record.ended_ms < NOON_MS - MINUTE_MS]
    assert rows(postgres_store, "offer_rollups", HOUR_S) == of_width(rolled, HOUR_S)
    assert rows(postgres_store, "offer_rollups", DAY_S) == of_width(rolled, DAY_S)
    live = tables(postgres_store)
    rebuild(postgres_store.url, NOON_MS, lambda done, total: None)
    assert tables(postgres_store) == live


def test_what_a_dead_gateway_left_is_folded_by_another(postgres_store, batches):
    records = traffic(60, over_s=MINUTE_S)
    dead, living, _ = batches
    dead.write(records[:20], [], [])
    dead.fold(NOON_MS)
    dead.write(records[20:40], [], [])
    dead.close()
    living.write(records[40:], [], [])
    living.purge(NOON_MS, 10)
    # It may only be slow.
    assert postgres_store.count("unfolded") == 1
    postgres_store.execute("UPDATE unfolded SET at_ms = at_ms - 11000")
    living.purge(NOON_MS, 10)
    assert postgres_store.count("unfolded") == 0
    assert rows(postgres_store, "offer_rollups", MINUTE_S) == of_width(records, MINUTE_S)


def test_what_was_folded_for_a_gateway_that_was_only_slow_is_not_folded_again(postgres_store, batches):
    records = traffic(60, over_s=MINUTE_S)
    slow, other, _ = batches
    slow.write(records[:20], [], [])
    postgres_store.execute("UPDATE unfolded SET at_ms = 0")
    slow.write(records[20:40], [], [])
    other.purge(NOON_MS, 10)
    slow.write(records[40:], [], [])
    assert not slow.fold(NOON_MS)
    assert slow.fold(NOON_MS)
    assert rows(postgres_store, "offer_rollups", MINUTE_S) == of_width(records, MINUTE_S)


def test_a_fold_that_fails_is_done_whole_by_the_next(postgres_store, batches):
    records = traffic(40, over_s=MINUTE_S)
    batch = batches[0]
    batch.write(records, [], [])
    postgres_store.execute("ALTER TABLE use_rollups RENAME TO elsewhere")
    with pytest.raises(StoreError, match="use_rollups"):
        batch.fold(NOON_MS)
    postgres_store.execute("ALTER TABLE elsewhere RENAME TO use_rollups")
    assert batch.fold(NOON_MS)
    assert rows(postgres_store, "offer_rollups", MINUTE_S) == of_width(records, MINUTE_S)


def test_figures_may_be_made_anew_while_gateways_write(postgres_store, batches):
    records = traffic(600, over_s=2 * HOUR_S)
    batch, other, _ = batches
    batch.write(records[:200], [], [])
    other.write(records[200:300], [], [])
    batch.fold(NOON_MS)
    # Pending in memory when all rows are deleted.
    batch.write(records[300:400], [], [])
    told: list[tuple[int, int]] = []

    def meanwhile(done: int, total: int) -> None:
        told.append((done, total))
        if len(told) == 1:
            batch.write(records[400:], [], [])
            batch.fold(NOON_MS)

    rebuild(postgres_store.url, NOON_MS, meanwhile)
    for one in (batch, other, batch, other):
        one.fold(NOON_MS)
    postgres_store.fold_what_was_left(NOON_MS)
    assert rows(postgres_store, "offer_rollups", MINUTE_S) == of_width(records, MINUTE_S)
    assert told[-1] == (400, 400)


def test_a_long_tail_is_folded_in_pieces(postgres_store, batches):
    records = traffic(400, over_s=MINUTE_S)
    for at in range(0, 400, 4):
        batches[0].write(records[at : at + 4], [], [])
    batches[0].close()
    postgres_store.execute("UPDATE unfolded SET at_ms = 0")
    batches[1]._rollups._tail_records = 150
    assert [batches[1].fold(NOON_MS) for _ in range(3)] == [False, False, True]
    assert rows(postgres_store, "offer_rollups", MINUTE_S) == of_width(records, MINUTE_S)

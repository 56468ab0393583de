import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.kept import CIPHER, DAY_MS, NOW_MS, a_kept
from tests.fakes.records import a_record, an_intent, count, until
from trunkline.errors import StoreError
from trunkline.records.types import Intent, Record
from trunkline.records.writer import FOLD_EVERY_S, PURGE_EVERY_S, Batch, Change, RecordWriter
from trunkline.storage.kept import KeptReader
from trunkline.storage.migrate import upgrade
from trunkline.storage.queries import Store
from trunkline.storage.sqlite_batch import SqliteBatch


@contextmanager
def running(open_batch: Callable[[], Batch], **options: float) -> Iterator[RecordWriter]:
    writer = RecordWriter(open_batch, **options)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()


@pytest.fixture
def writer(path):
    with running(lambda: SqliteBatch(path)) as writer:
        yield writer


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process that holds the store's write lock."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


@pytest.fixture
def intents_written(path) -> Callable[[], int]:
    """How many intents were ever stored, gone or not."""
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE seen (id TEXT); CREATE TRIGGER see AFTER INSERT ON intents BEGIN INSERT INTO seen VALUES (new.id); END"
    )
    connection.close()
    return lambda: count(path, "seen")


class CommitsThenFails:
    """A store whose first answer is lost: the batch is stored, and its writer told that it is not."""

    def __init__(self, path: Path) -> None:
        self._inner = SqliteBatch(path, CIPHER.seal)
        self.purge = self._inner.purge
        self.fold = self._inner.fold
        self.failures_left = 1
        self.open_intents = self._inner.open_intents

    def write(
        self, records: Sequence[Record], intents: Sequence[Intent], ended: Sequence[str], changes: Sequence[Change] = ()
    ) -> None:
        self._inner.write(records, intents, ended, changes)
        if self.failures_left:
            self.failures_left -= 1
            raise StoreError("the answer was lost")

    def close(self) -> None:
        """Stays open: it is opened anew by handing it out again."""

    def end(self) -> None:
        self._inner.close()


async def test_a_record_is_stored_as_it_was_handed_over(writer, path, url):
    writer.end(a_record(1))
    await writer.flushed()
    async with await Store.open(url) as store:
        assert await store.generation("req_000001") == a_record(1)


async def test_a_record_is_stored_without_being_asked_for(writer, path):
    writer.end(a_record(1))
    await until(lambda: count(path, "records") == 1)


async def test_a_thousand_records_from_a_busy_loop_are_all_there(writer, path):
    for number in range(1000):
        await writer.room()
        writer.intend(an_intent(number))
        writer.end(a_record(number))
        if number % 50 == 0:
            await asyncio.sleep(0)
    await writer.flushed()
    assert count(path, "records") == 1000
    assert count(path, "intents") == 0
    assert writer.stats().written == 2000


async def test_flushed_with_nothing_to_do_returns(writer):
    await writer.flushed()
    await writer.flushed()


async def test_many_tasks_may_wait_for_flushed(writer, path):
    writer.end(a_record(1))
    await asyncio.gather(*(writer.flushed() for _ in range(20)))
    assert count(path, "records") == 1


async def test_an_intent_without_its_end_is_durable(writer, path):
    writer.intend(an_intent(1))
    await writer.flushed()
    assert count(path, "intents") == 1


async def test_an_intent_goes_when_its_record_comes_later(writer, path):
    writer.intend(an_intent(1))
    await writer.flushed()
    writer.end(a_record(1))
    await writer.flushed()
    assert count(path, "intents") == 0


async def test_an_intent_that_ends_in_the_same_batch_is_not_written_at_all(writer, intents_written):
    writer.intend(an_intent(1))
    writer.end(a_record(1))
    writer.intend(an_intent(2))
    await writer.flushed()
    assert intents_written() == 1


async def test_two_attempts_in_one_batch_keep_first_start_and_highest_reservation(writer, path):
    writer.intend(an_intent(1))
    writer.intend(an_intent(1, started_ms=an_intent(9).started_ms, offer="o:openai", reserved_pico_usd=5))
    await writer.flushed()
    batch = SqliteBatch(path)
    assert batch.open_intents() == [an_intent(1, offer="o:openai")]
    batch.close()


async def test_a_batch_that_was_stored_but_reported_as_failed_is_there_exactly_once(path):
    batch = CommitsThenFails(path)
    with running(lambda: batch) as writer:
        writer.intend(an_intent(1))
        await writer.flushed()
        batch.failures_left = 1
        writer.end(a_record(1))
        writer.end(a_record(2))
        await writer.flushed()
        assert writer.stats().failures == 2
    assert batch.open_intents() == []
    batch.end()
    assert count(path, "records") == 2
    assert count(path, "attempts") == 4


async def test_while_the_store_is_locked_room_holds_and_nothing_is_lost(path):
    with running(lambda: SqliteBatch(path), max_queue=10) as writer:
        with locked(path):
            for number in range(10):
                await writer.room()
                writer.end(a_record(number))
            await until(lambda: writer.stats().failures > 0)
            waiting = asyncio.ensure_future(writer.room())
            await asyncio.sleep(0)
            assert not waiting.done()
            assert writer.stats().queued == 10
            assert "locked" in writer.stats().last_error
            assert writer.stats().oldest_waiting_s > 0
        await waiting
        await writer.flushed()
        assert count(path, "records") == 10
        assert writer.stats().last_error == ""
        assert writer.stats().queued == 0


async def test_what_was_begun_may_end_though_the_queue_is_full(path):
    with running(lambda: SqliteBatch(path), max_queue=2) as writer:
        with locked(path):
            for number in range(50):
                writer.end(a_record(number))
            assert writer.stats().queued == 50
        await writer.flushed()
    assert count(path, "records") == 50


async def test_all_who_wait_for_room_are_let_in_when_there_is_some_and_the_cancelled_take_no_place(path):
    with running(lambda: SqliteBatch(path), max_queue=1) as writer:
        with locked(path):
            writer.end(a_record(0))
            waiting = [asyncio.ensure_future(writer.room()) for _ in range(20)]
            await asyncio.sleep(0)
            for task in waiting[::2]:
                task.cancel()
        done = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 20)
    assert [isinstance(result, asyncio.CancelledError) for result in done] == [True, False] * 10


async def test_a_queue_of_one_place_serves_many_tasks(path):
    async def request(number: int) -> None:
        await writer.room()
        writer.end(a_record(number))

    with running(lambda: SqliteBatch(path), max_queue=1, min_interval_s=0) as writer:
        await asyncio.gather(*(request(number) for number in range(100)))
        await writer.flushed()
    assert count(path, "records") == 100


async def test_a_store_that_comes_later_gets_everything(tmp_path):
    path = tmp_path / "late.db"
    with running(lambda: SqliteBatch(path)) as writer:
        writer.end(a_record(1))
        await until(lambda: writer.stats().failures > 0)
        assert "late.db" in writer.stats().last_error
        upgrade(f"sqlite:///{path}")
        await writer.flushed()
    assert count(path, "records") == 1


async def test_a_file_that_is_moved_away_and_back_has_everything_once(path):
    aside = path.with_name("aside.db")
    with running(lambda: SqliteBatch(path)) as writer:
        writer.end(a_record(1))
        await writer.flushed()
        path.rename(aside)
        writer.end(a_record(2))
        await until(lambda: writer.stats().failures > 0)
        aside.rename(path)
        await writer.flushed()
    assert count(path, "records") == 2
    assert count(path, "attempts") == 4


async def test_a_store_restored_from_a_backup_takes_over_what_the_old_file_did_not(path):
    with running(lambda: SqliteBatch(path)) as writer:
        writer.end(a_record(1))
        await writer.flushed()
        path.rename(path.with_name("broken.db"))
        writer.end(a_record(2))
        await until(lambda: writer.stats().failures > 0)
        upgrade(f"sqlite:///{path.with_name('backup.db')}")
        for side_file in ("trunkline.db-wal", "trunkline.db-shm"):
            path.with_name(side_file).unlink(missing_ok=True)
        path.with_name("backup.db").rename(path)
        await writer.flushed()
    assert count(path, "records") == 1


async def test_stop_stores_what_is_queued(path):
    with running(lambda: SqliteBatch(path), min_interval_s=60) as writer:
        for number in range(3):
            writer.end(a_record(number))
    assert count(path, "records") == 3


async def test_stop_ends_the_thread_and_says_what_could_not_be_stored(path):
    writer = RecordWriter(lambda: SqliteBatch(path))
    writer.start()
    with locked(path):
        writer.end(a_record(1))
        with pytest.raises(StoreError, match=r"1 records, intents and kept items could not be stored.*locked"):
            writer.stop(timeout_s=0.3)
    assert not any(thread.name == "record-writer" for thread in threading.enumerate())


async def test_a_provider_s_nonsense_does_not_stop_the_writer(writer, path, url):
    writer.end(a_record(1, user_agent="\ud800"))
    writer.end(a_record(2, cost_pico_usd=10**40))
    writer.end(a_record(3))
    await writer.flushed()
    async with await Store.open(url) as store:
        assert await store.generation("req_000003") == a_record(3)
        assert len(await store.recent()) == 3
    assert writer.stats().failures == 0


async def test_a_waiter_whose_loop_has_ended_does_not_stop_the_writer(writer, path):
    def wait_elsewhere() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(writer.flushed())
        loop.run_until_complete(asyncio.sleep(0))
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()

    await asyncio.to_thread(wait_elsewhere)
    writer.end(a_record(1))
    await writer.flushed()
    assert count(path, "records") == 1


# What is kept


@pytest.fixture
def keeper(path):
    with running(lambda: SqliteBatch(path, CIPHER.seal)) as writer:
        yield writer


def kept_keys(url: str, *keys: str) -> list[str]:
    reader = KeptReader(url, CIPHER)
    found = sorted(kept.key for kept in reader.find(keys, NOW_MS))
    reader.close()
    return found


async def test_what_is_kept_is_durable_in_the_order_of_its_numbers(keeper, url):
    assert [keeper.keep(a_kept("a")), keeper.keep(a_kept("b")), keeper.forget("a")] == [1, 2, 3]
    await keeper.flushed()
    assert keeper.durable_changes == 3
    assert kept_keys(url, "a", "b") == ["b"]


async def test_what_is_kept_again_after_its_end_is_there(keeper, url):
    keeper.keep(a_kept("a"))
    keeper.forget("a")
    keeper.keep(a_kept("a"))
    await keeper.flushed()
    assert kept_keys(url, "a") == ["a"]


async def test_records_do_not_count_as_changes(keeper):
    keeper.end(a_record(1))
    keeper.keep(a_kept())
    await keeper.flushed()
    assert keeper.durable_changes == 1
    assert keeper.stats().written == 2


async def test_what_was_kept_in_a_batch_that_was_reported_as_failed_is_there_once(path, url):
    batch = CommitsThenFails(path)
    with running(lambda: batch) as writer:
        writer.end(a_record(1))
        writer.keep(a_kept("a"))
        writer.forget("b")
        await writer.flushed()
        assert (writer.stats().failures, writer.durable_changes) == (1, 2)
    batch.end()
    assert kept_keys(url, "a", "b") == ["a"]
    assert count(path, "kept") == 1


async def test_while_much_waits_to_be_kept_room_holds(path):
    with running(lambda: SqliteBatch(path, CIPHER.seal), max_kept_bytes=1000) as writer:
        with locked(path):
            writer.keep(a_kept("a", bytes(999)))
            assert not writer.is_full
            writer.keep(a_kept("b", b"x"))
            assert writer.is_full
            assert writer.durable_changes == 0
            waiting = asyncio.ensure_future(writer.room())
            await asyncio.sleep(0)
            assert not waiting.done()
        await waiting
        assert not writer.is_full
    assert count(path, "kept") == 2


async def test_much_that_is_kept_is_stored_in_several_batches(path):
    with running(lambda: SqliteBatch(path, CIPHER.seal)) as writer:
        with locked(path):
            for number in range(6):
                writer.keep(a_kept(f"{number}", bytes(10 * 1024 * 1024)))
        await writer.flushed()
        assert writer.stats().batches >= 2
    assert count(path, "kept") == 6


class Clock:
    """Turned by a test; begins as the writer's does."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def test_what_has_expired_is_deleted_once_a_minute_and_many_rows_in_several_steps(path):
    clock = Clock()
    batch = SqliteBatch(path, CIPHER.seal)
    batch.write([], [], [], [a_kept(f"{number}", expires_ms=NOW_MS) for number in range(250)])
    batch.close()
    with running(
        lambda: SqliteBatch(path, CIPHER.seal), clock=clock, unix_ms=lambda: NOW_MS, min_interval_s=0.0
    ) as writer:
        left = []
        for seconds in (1, PURGE_EVERY_S, 2, 2, 2):
            clock.now_s += seconds
            # Two batches: what is due after the first has happened when the second is stored.
            for _ in range(2):
                writer.keep(a_kept("stays", expires_ms=NOW_MS + DAY_MS))
                await writer.flushed()
            left.append(count(path, "kept") - 1)
    assert left == [250, 150, 50, 0, 0]


async def test_an_idle_writer_deletes_what_has_expired(path):
    clock = Clock()
    with running(lambda: SqliteBatch(path, CIPHER.seal), clock=clock, unix_ms=lambda: NOW_MS) as writer:
        # Its sleep is as long as it believes that it is until then.
        clock.now_s = PURGE_EVERY_S - 0.01
        writer.keep(a_kept(expires_ms=NOW_MS))
        await writer.flushed()
        clock.now_s = PURGE_EVERY_S
        await until(lambda: count(path, "kept") == 0)


async def test_a_writer_that_is_never_idle_deletes_what_has_expired(path):
    class NeverIdle(SqliteBatch):
        purged = False

        def write(self, *items: Sequence[object]) -> None:
            super().write(*items)
            if not self.purged:
                writer.end(a_record(1))

        def purge(self, now_ms: float, rows: int) -> int:
            NeverIdle.purged = True
            return super().purge(now_ms, rows)

    clock = Clock()
    with running(
        lambda: NeverIdle(path, CIPHER.seal), clock=clock, unix_ms=lambda: NOW_MS, min_interval_s=0.0
    ) as writer:
        writer.keep(a_kept(expires_ms=NOW_MS))
        await until(lambda: writer.stats().batches > 3)
        assert count(path, "kept") == 1
        clock.now_s = PURGE_EVERY_S
        await until(lambda: count(path, "kept") == 0)


async def test_a_store_that_cannot_delete_now_goes_on_storing(path):
    class CannotDelete(SqliteBatch):
        def purge(self, now_ms: float, rows: int) -> int:
            raise StoreError("locked")

    clock = Clock()
    with running(lambda: CannotDelete(path, CIPHER.seal), clock=clock) as writer:
        writer.end(a_record(1))
        await writer.flushed()
        clock.now_s = PURGE_EVERY_S
        writer.end(a_record(2))
        await until(lambda: writer.stats().failures == 1)
        writer.end(a_record(3))
        await writer.flushed()
        assert writer.stats().last_error == ""
    assert count(path, "records") == 3


def requests_counted(path: Path) -> int:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT coalesce(sum(requests), 0) FROM use_rollups WHERE width_s = 3600").fetchone()[0]
    connection.close()
    return found


async def test_an_idle_writer_brings_the_figures_up_to_date(path):
    with running(lambda: SqliteBatch(path), unix_ms=lambda: NOW_MS) as writer:
        writer.end(a_record(1))
        await until(lambda: requests_counted(path) == 1)
        writer.end(a_record(2))
        await until(lambda: requests_counted(path) == 2)
        assert (writer.stats().figures_error, writer.stats().failures) == ("", 0)


async def test_the_records_of_a_second_are_folded_together(path):
    clock = Clock()
    with running(lambda: SqliteBatch(path), clock=clock) as writer:
        for number in range(5):
            writer.end(a_record(number))
            await writer.flushed()
        # The first may have come before the fold at the start.
        assert requests_counted(path) <= 1
        clock.now_s = 10 * FOLD_EVERY_S
        writer.end(a_record(5))
        await until(lambda: requests_counted(path) >= 5)


async def test_what_is_stored_before_a_stop_is_in_the_figures(path):
    with running(lambda: SqliteBatch(path), clock=Clock()) as writer:
        for number in range(100):
            writer.end(a_record(number))
    assert requests_counted(path) == 100


async def test_figures_that_cannot_be_written_hold_up_no_record_and_come_later(path):
    class CannotFold(SqliteBatch):
        refusals = 2

        def fold(self, now_ms: float) -> bool:
            if CannotFold.refusals:
                CannotFold.refusals -= 1
                raise StoreError("locked")
            return super().fold(now_ms)

    clock = Clock()
    with running(lambda: CannotFold(path), clock=clock) as writer:
        writer.end(a_record(1))
        await until(lambda: writer.stats().figures_error == "locked")
        await writer.flushed()
        assert writer.stats().last_error == ""
        for step in (10, 20, 30):
            clock.now_s = step * FOLD_EVERY_S
            writer.end(a_record(step))
            await writer.flushed()
        await until(lambda: requests_counted(path) >= 3)
        assert writer.stats().figures_error == ""

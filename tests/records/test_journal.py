"""A store that is away: what comes meanwhile is on the local disk, and in the store once and in order when that is there again. On both kinds of stores."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.fakes.kept import CIPHER, NOW_MS, a_kept
from tests.fakes.records import a_record, an_intent, until
from tests.fakes.stores import AnyBatch, AnyStore
from trunkline.errors import StoreError
from trunkline.records.journal import Journal, StillWriting, bring_over, merged
from trunkline.records.spool import Spool
from trunkline.records.types import Forgotten
from trunkline.records.writer import Batch, RecordWriter
from trunkline.storage.frames import Frames

MUCH = 10_000_000


class Away:
    """Opens connections to a store, until it is away: then those that are open fail, too."""

    def __init__(self, store: AnyStore) -> None:
        self._store = store
        self.is_away = False
        self.writes = 0

    def __call__(self) -> Batch:
        if self.is_away:
            raise StoreError("away")
        return Leading(self, self._store.batch())


class Leading:
    """A connection of `Away`."""

    def __init__(self, away: Away, batch: AnyBatch) -> None:
        self._away = away
        self._batch = batch

    def write(self, *items: Sequence[object]) -> None:
        if self._away.is_away:
            raise StoreError("away")
        self._away.writes += 1
        self._batch.write(*items)

    def fold(self, now_ms: float) -> bool:
        return self._batch.fold(now_ms)

    def purge(self, now_ms: float, rows: int) -> int:
        return self._batch.purge(now_ms, rows)

    def close(self) -> None:
        self._batch.close()


@pytest.fixture
def away(any_store: AnyStore) -> Away:
    return Away(any_store)


@pytest.fixture
def frames(tmp_path: Path) -> Frames:
    return Frames(CIPHER, tmp_path / "rejected")


@contextmanager
def running(
    open_batch: Callable[[], Batch], folder: Path, frames: Frames, max_bytes: int = MUCH, **options: float
) -> Iterator[RecordWriter]:
    folder.mkdir(exist_ok=True)
    writer = RecordWriter(open_batch, min_interval_s=0.0, journal=Journal(Spool(folder, max_bytes), frames), **options)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()


@pytest.fixture
def writer(away: Away, tmp_path: Path, frames: Frames) -> Iterator[RecordWriter]:
    with running(away, tmp_path / "spool", frames) as writer:
        yield writer


def spooled(folder: Path) -> int:
    return len(list(folder.glob("*.journal")))


async def test_what_the_store_takes_does_not_touch_the_disk(writer, any_store, tmp_path):
    writer.end(a_record(1))
    await writer.flushed()
    assert (any_store.count("records"), spooled(tmp_path / "spool")) == (1, 0)
    assert not writer.stats().is_spooling


async def test_what_comes_while_the_store_is_away_is_durable_and_later_in_the_store_once(
    writer, any_store, away, tmp_path
):
    away.is_away = True
    for number in range(20):
        writer.intend(an_intent(number))
        writer.end(a_record(number))
        await writer.flushed()
    stats = writer.stats()
    assert (stats.is_spooling, stats.queued, stats.last_error) == (True, 0, "away")
    assert stats.spooled_bytes > 0
    with pytest.raises(StoreError, match="wait on the local disk"):
        await writer.all_stored()
    assert not writer.is_full
    away.is_away = False
    await until(lambda: not writer.stats().is_spooling)
    assert any_store.records() == [a_record(number) for number in range(20)]
    assert any_store.count("intents") == 0
    assert (writer.stats().last_error, writer.stats().spooled_bytes, spooled(tmp_path / "spool")) == ("", 0, 0)


async def test_many_small_batches_are_brought_over_in_few_and_in_their_order(writer, any_store, away):
    """Each for itself would wait for its own commit: what comes meanwhile may be as fast, and it would never end."""
    away.is_away = True
    for number in range(60):
        writer.intend(an_intent(number))
        await writer.flushed()
        if number % 2:
            writer.end(a_record(number))
        writer.keep(a_kept("resp:1", data=b"%d" % number, created_ms=number))
        await writer.flushed()
    before, away.is_away = away.writes, False
    await until(lambda: not writer.stats().is_spooling)
    # 120 batches: 1, 2, 4 and so on up to 64, and one in case that the last came while it was at it.
    assert away.writes - before <= 8
    assert any_store.records() == [a_record(number) for number in range(1, 60, 2)]
    assert any_store.count("intents") == 30
    assert any_store.rows("SELECT created_ms FROM kept") == [(59,)]


def test_batches_made_one_do_what_they_do_one_after_the_other(any_store):
    batches = [
        ([a_record(1)], [an_intent(2), an_intent(3)], [], [a_kept("a"), a_kept("b")]),
        ([a_record(2)], [], ["req_000002"], [Forgotten("a")]),
        ([], [an_intent(4)], ["req_000001"], [a_kept("c")]),
        (
            [],
            [msgspec.structs.replace(an_intent(3), offer="other", provider="other")],
            [],
            [Forgotten("c"), a_kept("a")],
        ),
    ]
    records, intents, ended, changes = merged(batches)
    batch = any_store.batch()
    batch.write(records, intents, ended, changes)
    assert any_store.records() == [a_record(1), a_record(2)]
    assert {(one.id, one.offer) for one in batch.open_intents()} == {
        ("req_000003", "other"),
        ("req_000004", an_intent(4).offer),
    }
    assert {row[0] for row in any_store.rows("SELECT key FROM kept")} == {"a", "b"}
    batch.close()


async def test_an_intent_that_was_stored_before_ends_with_what_waited(writer, any_store, away):
    writer.intend(an_intent(1))
    await writer.flushed()
    away.is_away = True
    writer.end(a_record(1))
    writer.intend(an_intent(2))
    await writer.flushed()
    writer.end(a_record(2))
    await writer.flushed()
    away.is_away = False
    await until(lambda: not writer.stats().is_spooling)
    assert (any_store.count("records"), any_store.count("intents")) == (2, 0)


async def test_afterwards_it_goes_straight_to_the_store_again(writer, any_store, away, tmp_path):
    for round_ in range(3):
        away.is_away = True
        writer.end(a_record(2 * round_))
        await writer.flushed()
        away.is_away = False
        await until(lambda: not writer.stats().is_spooling)
        writer.end(a_record(2 * round_ + 1))
        await writer.flushed()
    assert any_store.count("records") == 6
    assert spooled(tmp_path / "spool") == 0


async def test_what_is_kept_counts_as_stored_only_when_it_is(writer, any_store, away):
    away.is_away = True
    writer.keep(a_kept("a", b"old"))
    await writer.flushed()
    writer.keep(a_kept("a", b"new", created_ms=NOW_MS + 1))
    writer.keep(a_kept("b"))
    writer.forget("b")
    await writer.flushed()
    assert writer.durable_changes == 0
    away.is_away = False
    await until(lambda: writer.durable_changes == 4)
    assert any_store.rows("SELECT key, created_ms FROM kept") == [("a", NOW_MS + 1)]


async def test_nothing_that_comes_while_the_spool_is_brought_over_is_lost_or_out_of_order(writer, any_store, away):
    for number in range(300):
        away.is_away = number % 50 < 30
        writer.end(a_record(number))
        if number % 3 == 0:
            await writer.flushed()
    away.is_away = False
    await until(lambda: any_store.count("records") == 300)


async def test_a_stop_while_the_store_is_away_leaves_everything_for_the_next_start(any_store, away, tmp_path, frames):
    folder = tmp_path / "spool"
    with running(away, folder, frames) as writer:
        away.is_away = True
        writer.end(a_record(1))
        writer.end(a_record(2))
    assert any_store.count("records") == 0
    spool, batch = Spool(folder, MUCH), any_store.batch()
    assert bring_over(spool, frames, batch.write) >= 1
    # And once more, as if the process had died before the file was deleted.
    batch.write([a_record(1), a_record(2)], [], [])
    batch.close()
    assert any_store.records() == [a_record(1), a_record(2)]
    assert spool.is_empty


async def test_new_requests_wait_only_when_the_spool_is_full_too(any_store, away, tmp_path, frames):
    with running(away, tmp_path / "spool", frames, max_bytes=5_000, max_queue=3) as writer:
        away.is_away = True
        for number in range(60):
            writer.end(a_record(number))
            await until(lambda: writer.stats().queued == 0 or "spool_max_mb" in writer.stats().last_error)
            if writer.is_full:
                break
        assert writer.is_full
        stats = writer.stats()
        assert not stats.is_spooling
        assert "spool_max_mb" in stats.last_error or stats.last_error == "away"
        away.is_away = False
        await writer.room()
        await writer.flushed()
        await until(lambda: any_store.count("records") == number + 1)


async def test_a_store_that_does_not_answer_gets_the_batch_on_the_disk_first(any_store, tmp_path, frames):
    answers = threading.Event()

    class Slow(Leading):
        """Writes in its own time, as a server does; who asks meanwhile is told so at once, or waits."""

        is_at_it = False

        def write(self, *items: Sequence[object]) -> None:
            if not answers.is_set() and not self.is_at_it:
                self.is_at_it = True
                raise StillWriting("no answer yet")
            answers.wait(20)
            self._batch.write(*items)

    away = Away(any_store)
    opened: list[Slow] = []

    def open_one() -> Slow:
        opened.append(Slow(away, any_store.batch()))
        return opened[-1]

    with running(open_one, tmp_path / "spool", frames) as writer:
        writer.end(a_record(1))
        await asyncio.wait_for(writer.flushed(), 10)
        writer.end(a_record(2))
        await asyncio.wait_for(writer.flushed(), 10)
        assert any_store.count("records") == 0
        answers.set()
        await until(lambda: not writer.stats().is_spooling)
        assert len(opened) == 1
    assert any_store.records() == [a_record(1), a_record(2)]


async def test_what_came_before_is_in_the_store_however_much_comes_after(any_store, tmp_path, frames):
    """Else a budget would never be summed up under load, where each batch is late."""
    goes_on, is_over = threading.Event(), threading.Event()
    numbers = itertools.count(2)

    class Late(Leading):
        """Has another batch come for each that it stores."""

        def write(self, *items: Sequence[object]) -> None:
            if not journal.taken:
                raise StoreError("away")
            goes_on.wait(20)
            self._batch.write(*items)
            if not is_over.is_set():
                journal.put(([a_record(next(numbers))], [], [], []), 0, 0, after_failure=False)

    folder = tmp_path / "spool"
    folder.mkdir()
    journal = Journal(Spool(folder, MUCH), frames)
    # Time stands still: nothing but what is waited for ends the waiting.
    writer = RecordWriter(
        lambda: Late(Away(any_store), any_store.batch()), min_interval_s=0.0, journal=journal, clock=lambda: 0.0
    )
    writer.start()
    writer.end(a_record(1))
    waiting = asyncio.create_task(writer.all_stored())
    await until(lambda: journal.taken == 1)
    await writer.flushed()
    goes_on.set()
    try:
        await asyncio.wait_for(waiting, 20)
        assert a_record(1) in any_store.records()
    finally:
        is_over.set()
        writer.stop()


async def test_a_batch_of_which_nobody_knows_whether_it_was_stored_is_there_once(any_store, tmp_path, frames):
    class CommitsThenFails(Leading):
        failures = 2

        def write(self, *items: Sequence[object]) -> None:
            self._batch.write(*items)
            if CommitsThenFails.failures:
                CommitsThenFails.failures -= 1
                raise StoreError("the answer was lost")

    with running(lambda: CommitsThenFails(Away(any_store), any_store.batch()), tmp_path / "spool", frames) as writer:
        writer.end(a_record(1))
        await writer.flushed()
        await until(lambda: not writer.stats().is_spooling)
    assert any_store.records() == [a_record(1)]
    any_store.fold_what_was_left(NOW_MS)
    [(requests,)] = any_store.rows("SELECT sum(requests) FROM use_rollups")
    assert requests == 1


async def test_figures_follow_what_was_brought_over(writer, any_store, away):
    away.is_away = True
    for number in range(5):
        writer.end(a_record(number))
    await writer.flushed()
    away.is_away = False
    await until(lambda: any_store.rows("SELECT coalesce(sum(requests), 0) FROM use_rollups") == [(5,)])


async def test_a_batch_that_nobody_can_read_holds_up_no_other(any_store, tmp_path, frames):
    folder = tmp_path / "spool"
    folder.mkdir()
    spool, batch = Spool(folder, MUCH), any_store.batch()
    for frame in (b"of a newer version", frames.encode([a_record(1)], [], [], [])):
        spool.append(frame)
    assert bring_over(spool, frames, batch.write) == 2
    batch.close()
    assert any_store.records() == [a_record(1)]
    assert len(list(folder.glob("*.unreadable"))) == 1

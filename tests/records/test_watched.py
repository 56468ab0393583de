"""Watchers of records: told after a batch is stored, once, and of no harm to it."""

from collections.abc import Sequence

import pytest

from tests.fakes.records import a_record, an_intent
from trunkline.records.types import Intent, Record
from trunkline.records.watched import Watched


class Batch:
    """A store that fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.done: list[str] = []

    def write(self, records: Sequence[Record], intents: Sequence[Intent], ended: Sequence[str], changes=()) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("disk full")
        self.done.append(f"wrote {len(records)} {len(intents)} {len(ended)} {len(changes)}")

    def fold(self, now_ms: float) -> bool:
        self.done.append("folded")
        return True

    def purge(self, now_ms: float, rows: int) -> int:
        self.done.append("purged")
        return rows

    def close(self) -> None:
        self.done.append("closed")


def test_watchers_see_the_records_of_a_batch_once_it_is_stored() -> None:
    seen: list[Record] = []
    batch = Batch(failures=1)
    watched = Watched(batch, [seen.extend])
    with pytest.raises(OSError, match="disk full"):
        watched.write([a_record(1)], [], [])
    assert seen == []
    watched.write([a_record(1)], [an_intent(2)], ["req_3"])
    assert seen == [a_record(1)]
    assert batch.done == ["wrote 1 1 1 0"]


def test_a_watcher_that_fails_harms_neither_the_store_nor_the_others() -> None:
    seen: list[Record] = []

    def fails(records: Sequence[Record]) -> None:
        raise ZeroDivisionError

    Watched(Batch(), [fails, seen.extend]).write([a_record(1)], [], [])
    assert len(seen) == 1


def test_nothing_is_told_of_batches_without_records() -> None:
    told: list[Sequence[Record]] = []
    Watched(Batch(), [told.append]).write([], [an_intent(1)], [])
    assert told == []


def test_all_else_is_the_batchs_own() -> None:
    batch = Batch()
    watched = Watched(batch, [])
    assert (watched.fold(1.0), watched.purge(1.0, 5)) == (True, 5)
    watched.close()
    assert batch.done == ["folded", "purged", "closed"]

"""What is kept is found at once, whatever the store has by then, and memory has an end."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fakes.kept import DAY_MS, NOW_MS, Sink, Source, a_kept
from trunkline.errors import Overloaded, StoreError
from trunkline.execution.shelf import Shelf
from trunkline.records.types import Kept


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def shelf(sink, source, thread) -> Shelf:
    return Shelf(sink, source, thread, lambda: NOW_MS, max_items=3, max_bytes=100)


async def found(shelf: Shelf, *keys: str) -> list[str]:
    return sorted(await shelf.find(keys))


async def test_what_was_just_kept_is_found_without_asking_the_store(shelf, source):
    shelf.keep(a_kept("a"))
    assert await shelf.find(("a",)) == {"a": a_kept("a")}
    assert source.asked == []


async def test_what_another_process_kept_is_found_in_the_store_and_asked_for_once(shelf, source):
    source.rows["a"] = a_kept("a")
    assert await found(shelf, "a") == ["a"]
    assert await found(shelf, "a") == ["a"]
    assert source.asked == ["a"]


async def test_who_is_not_there_is_left_out(shelf):
    assert await found(shelf, "a") == []


async def test_what_is_not_durable_stays_in_memory_however_much_it_is(shelf, sink, source):
    for number in range(10):
        shelf.keep(a_kept(f"{number}", bytes(50)))
    assert len(await shelf.find([f"{number}" for number in range(10)])) == 10
    assert source.asked == []


async def test_what_is_durable_makes_room_and_is_found_in_the_store(shelf, sink, source):
    for number in range(10):
        shelf.keep(a_kept(f"{number}"))
        sink.store(source)
    assert await found(shelf, "0", "9") == ["0", "9"]
    assert source.asked == ["0"]


async def test_the_size_of_what_is_held_has_an_end_too(shelf, sink, source):
    for key in ("a", "b"):
        shelf.keep(a_kept(key, bytes(80)))
        sink.store(source)
    await found(shelf, "a", "b")
    assert source.asked == ["a"]


async def test_one_that_is_larger_than_all_the_room_is_found_all_the_same(shelf, sink, source):
    shelf.keep(a_kept("a", bytes(1000)))
    sink.store(source)
    shelf.keep(a_kept("b"))
    assert await found(shelf, "a", "b") == ["a", "b"]


async def test_more_than_there_is_room_for_is_found_at_once(shelf, source):
    source.rows = {key: a_kept(key, bytes(80)) for key in ("a", "b", "c")} | {"large": a_kept("large", bytes(1000))}
    assert await found(shelf, "a", "b", "c", "large") == ["a", "b", "c", "large"]
    assert await found(shelf, "large", "a") == ["a", "large"]


async def test_what_was_asked_for_lately_stays_longest(shelf, sink, source):
    for key in ("a", "b", "c"):
        shelf.keep(a_kept(key))
    sink.store(source)
    await found(shelf, "a")
    shelf.keep(a_kept("d"))
    await found(shelf, "a", "b")
    assert source.asked == ["b"]


async def test_what_was_forgotten_is_not_found_though_the_store_still_has_it(shelf, sink, source):
    source.rows["a"] = a_kept("a")
    shelf.forget("a")
    assert await found(shelf, "a") == []
    sink.store(source)
    assert source.rows == {}


async def test_what_has_expired_is_not_found(sink, source, thread):
    now_ms = [NOW_MS]
    shelf = Shelf(sink, source, thread, lambda: now_ms[0])
    shelf.keep(a_kept("a"))
    now_ms[0] += DAY_MS
    assert await found(shelf, "a") == []


async def test_kept_here_never_reaches_the_store(shelf, sink):
    shelf.keep_here(a_kept("a"))
    assert await found(shelf, "a") == ["a"]
    assert sink.changes == []


async def test_a_store_that_cannot_be_read_is_worth_another_try(shelf, source):
    source.error = StoreError("/var/lib/trunkline.db: locked")
    with pytest.raises(Overloaded, match="cannot be read at the moment") as told:
        await shelf.find(("a",))
    assert told.value.retry_after_s == 1.0
    assert "/var" not in told.value.message


class Slow(Source):
    """Answers with what it had when it was asked, once `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.looked = threading.Event()

    def find(self, keys: Sequence[str], now_ms: float) -> list[Kept]:
        found = super().find(keys, now_ms)
        self.looked.set()
        self.go.wait()
        return found


async def test_what_is_forgotten_while_the_store_is_read_stays_forgotten(sink, thread):
    source = Slow()
    source.rows["a"] = a_kept("a")
    shelf = Shelf(sink, source, thread, lambda: NOW_MS)
    asking = asyncio.ensure_future(shelf.find(("a",)))
    await asyncio.to_thread(source.looked.wait)
    shelf.forget("a")
    source.go.set()
    assert await asking == {}
    assert await found(shelf, "a") == []


async def test_what_is_kept_while_the_store_is_read_is_the_newer_one(sink, thread):
    source = Slow()
    source.rows["a"] = a_kept("a", b"old")
    shelf = Shelf(sink, source, thread, lambda: NOW_MS)
    asking = asyncio.ensure_future(shelf.find(("a",)))
    await asyncio.to_thread(source.looked.wait)
    shelf.keep(a_kept("a", b"new"))
    source.go.set()
    assert (await asking)["a"].data == b"new"


async def test_what_makes_room_while_the_store_is_read_is_found_all_the_same(sink, thread):
    source = Slow()
    source.rows["b"] = a_kept("b")
    shelf = Shelf(sink, source, thread, lambda: NOW_MS, max_items=1)
    shelf.keep(a_kept("a"))
    asking = asyncio.ensure_future(shelf.find(("a", "b")))
    await asyncio.to_thread(source.looked.wait)
    sink.store(source)
    shelf.keep(a_kept("c"))
    source.go.set()
    assert sorted(await asking) == ["a", "b"]

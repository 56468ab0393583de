"""State behind the ids of tool calls, over a real store: it survives a restart, and a conversation that goes on keeps it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from tests.fakes.kept import CIPHER, DAY_MS, NOW_MS, Sink, Source
from tests.fakes.records import count
from tests.fakes.store import empty_store, path, url
from trunkline.execution.shelf import Shelf
from trunkline.execution.states import StoredStates
from trunkline.ir.parts import Carry, Thinking
from trunkline.protocols.carry import Kept, recall, store, stored_ids
from trunkline.records.writer import RecordWriter
from trunkline.storage.kept import KeptReader
from trunkline.storage.sqlite_batch import SqliteBatch

__all__ = ["empty_store", "path", "url"]

THOUGHT = Kept(
    before=(Thinking("hm", carry=Carry("anthropic.messages", msgspec.Raw(b'{"signature":"abc"}'))),), id="toolu_1"
)


class Process:
    """What one process has: a writer, a reader and memory of its own."""

    def __init__(self, path: Path, url: str, now_ms: float = NOW_MS) -> None:
        self.now_ms = now_ms
        self.writer = RecordWriter(lambda: SqliteBatch(path, CIPHER.seal))
        self.writer.start()
        self.reader = KeptReader(url, CIPHER)
        self.thread = ThreadPoolExecutor(1)
        shelf = Shelf(self.writer, self.reader, self.thread, lambda: self.now_ms)
        self.states = StoredStates(shelf, lambda: self.now_ms, days=2)

    def stop(self) -> None:
        self.writer.stop()
        self.thread.shutdown()
        self.reader.close()


@pytest.fixture
def start(path, url) -> Iterator:
    started: list[Process] = []

    def start(now_ms: float = NOW_MS) -> Process:
        for process in started:
            process.stop()
        started[:] = [Process(path, url, now_ms)]
        return started[0]

    yield start
    for process in started:
        process.stop()


async def test_a_thought_is_recalled_after_a_restart_by_the_id_in_the_next_request(start):
    secret = b"of the account"
    first = start()
    call_id = store(THOUGHT, secret, first.states.keep)
    second = start()
    ids = stored_ids(b'{"messages":[{"tool_call_id":"%b"}]}' % call_id.encode())
    assert recall(call_id, await second.states.find(ids), secret) == THOUGHT


async def test_it_is_recalled_at_once_in_the_same_process(start):
    process = start()
    process.states.keep("tl1sA", b"one")
    assert await process.states.find(("tl1sA", "tl1sB")) == {"tl1sA": b"one"}


async def test_it_ends_with_its_days(start):
    start().states.keep("tl1sA", b"one")
    assert await start(NOW_MS + 2 * DAY_MS).states.find(("tl1sA",)) == {}


async def test_a_conversation_that_goes_on_keeps_it(start):
    start().states.keep("tl1sA", b"one")
    for days in (1.5, 3, 4.5):
        assert await start(NOW_MS + days * DAY_MS).states.find(("tl1sA",)) == {"tl1sA": b"one"}


async def test_asking_again_soon_writes_nothing():
    sink = Sink()
    with ThreadPoolExecutor(1) as thread:
        states = StoredStates(Shelf(sink, Source(), thread, lambda: NOW_MS), lambda: NOW_MS, days=2)
        states.keep("tl1sA", b"one")
        await states.find(("tl1sA",))
    assert len(sink.changes) == 1


@pytest.mark.parametrize("way", ["no days", "keep_here"])
async def test_who_wants_nothing_retained_has_it_in_memory_only(start, path, way):
    process = start()
    if way == "no days":
        process.states.retain(0)
        process.states.keep("tl1sA", b"one")
    else:
        process.states.keep_here("tl1sA", b"one")
    assert await process.states.find(("tl1sA",)) == {"tl1sA": b"one"}
    await process.writer.flushed()
    assert count(path, "kept") == 0
    assert await start().states.find(("tl1sA",)) == {}

"""The ledger of keys, and what stands before the caller: races, the store's absence, the end of what is kept, slow callers."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from tests.fakes.caller import CallerConnection
from tests.fakes.kept import NOW_MS, Sink, Source
from tests.fakes.services import gateway_of
from trunkline.errors import InProgress, KeyReused, Overloaded, StoreError
from trunkline.execution.asked import Door
from trunkline.execution.exchange import Exchange
from trunkline.execution.gateway import Clock
from trunkline.execution.idempotency import HOUR_MS, Answer, LocalLedger, OnceOnly, Recording
from trunkline.execution.shelf import Shelf
from trunkline.protocols.codec import CHAT
from trunkline.records.types import Kept, Record

NAME = "answer/key_1/0123"
ASKED = b"digest"
ANSWER = Answer(ASKED, "req_1", "acme/alpha", "alpha", False, "stop", [(b"content-type", b"text/plain")], b"hello")


class Time:
    now_s = 100.0

    def ms(self) -> float:
        return NOW_MS + self.now_s * 1000


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def ledger(source, thread, time) -> LocalLedger:
    return LocalLedger(Shelf(Sink(), source, thread, time.ms), lambda: time.now_s)


def kept(time: Time, hours: float = 24) -> Kept:
    created_ms = int(time.ms())
    data = msgspec.msgpack.encode(ANSWER)
    return Kept(NAME, "answer", "key_1", created_ms, created_ms + int(hours * HOUR_MS), data)


async def test_a_name_is_one_holders_until_it_is_released(ledger):
    assert await ledger.claim(NAME, ASKED) is None
    with pytest.raises(InProgress):
        await ledger.claim(NAME, ASKED)
    await ledger.release(NAME)
    assert await ledger.claim(NAME, ASKED) is None


async def test_what_is_kept_is_told_to_all_who_claim(ledger, time):
    await ledger.keep(kept(time))
    assert [await ledger.claim(NAME, ASKED), await ledger.claim(NAME, ASKED)] == [ANSWER, ANSWER]


async def test_a_row_that_cannot_be_read_is_as_none(ledger, time):
    await ledger.keep(msgspec.structs.replace(kept(time), data=b"of a version that is not known"))
    assert await ledger.claim(kept(time).key, b"asked") is None


async def test_it_ends_with_its_time(ledger, time):
    await ledger.keep(kept(time, hours=1))
    time.now_s += 3_601
    assert await ledger.claim(NAME, ASKED) is None


@pytest.mark.parametrize("is_answered", [False, True], ids=["held", "kept"])
async def test_another_request_is_refused_whether_the_first_is_answered_or_not(ledger, time, is_answered):
    if is_answered:
        await ledger.keep(kept(time))
    else:
        await ledger.claim(NAME, ASKED)
    with pytest.raises(KeyReused, match="Idempotency-Key"):
        await ledger.claim(NAME, b"another digest")


@pytest.mark.parametrize(("passed_s", "told_s"), [(0, 1), (4, 4), (600, 10)])
async def test_the_longer_it_takes_the_later_others_are_asked_to_come_again(ledger, time, passed_s, told_s):
    await ledger.claim(NAME, ASKED)
    time.now_s += passed_s
    with pytest.raises(InProgress) as refused:
        await ledger.claim(NAME, ASKED)
    assert refused.value.retry_after_s == told_s


class SlowSource(Source):
    """A store that answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def find(self, keys: Sequence[str], now_ms: float) -> list[Kept]:
        assert self.gate.wait(20)
        return super().find(keys, now_ms)


async def test_of_two_that_come_while_the_store_is_read_one_holds_the_name(thread, time):
    source = SlowSource()
    ledger = LocalLedger(Shelf(Sink(), source, thread, time.ms), lambda: time.now_s)
    both = [asyncio.create_task(ledger.claim(NAME, ASKED)) for _ in range(2)]
    asyncio.get_running_loop().call_soon(source.gate.set)
    first, second = await asyncio.gather(*both, return_exceptions=True)
    assert first is None
    assert isinstance(second, InProgress)


async def test_while_the_store_cannot_be_read_nothing_is_promised(ledger, source):
    source.error = StoreError("away")
    with pytest.raises(Overloaded):
        await ledger.claim(NAME, ASKED)
    source.error = None
    assert await ledger.claim(NAME, ASKED) is None


class Recorded:
    """A reply whose caller stands behind a `Recording`."""

    def __init__(self, max_bytes: int = 100) -> None:
        self.caller = CallerConnection()
        self.call = self.caller.call()
        self.reply = self.caller.reply(self.call)
        self.exchange = Exchange("req_1", CHAT, 0.0, 0.0)
        self.recording = Recording(self.reply, self.exchange, max_bytes)
        self.reply.through(self.recording.before)

    def ends(self, outcome: str = "ok") -> Answer | None:
        self.exchange.outcome = outcome
        return self.recording.answer(ASKED)

    def leaves(self) -> None:
        assert self.call.on_left is not None
        self.call.on_left()


async def test_the_end_is_held_back_until_the_copy_is_kept():
    one = Recorded()
    one.reply.whole(200, [], b"hello")
    assert one.caller.written == b""
    answer = one.ends()
    assert answer is not None
    assert answer.body == b"hello"
    one.recording.let_go()
    assert (one.caller.body, one.caller.ended) == (b"hello", True)


async def test_events_of_a_stream_go_out_at_once_and_only_its_end_waits():
    one = Recorded()
    one.reply.start(200, [], b"one ")
    one.reply.write(b"two")
    one.reply.end()
    assert b"two" in one.caller.written
    assert not one.caller.ended
    one.recording.let_go()
    assert one.caller.ended


async def test_what_comes_after_the_caller_left_is_kept_and_not_sent():
    one = Recorded()
    one.reply.start(200, [], b"one ")
    one.leaves()
    one.reply.write(b"two")
    one.reply.end()
    one.recording.let_go()
    answer = one.ends("client_left")
    assert answer is not None
    assert answer.body == b"one two"
    assert b"two" not in one.caller.written


@pytest.mark.parametrize("outcome", ["error", "cut", "interrupted"])
async def test_what_did_not_end_well_is_not_kept(outcome):
    one = Recorded()
    one.reply.start(200, [], b"one ")
    one.reply.end()
    assert one.ends(outcome) is None


async def test_a_stream_without_its_end_is_not_kept():
    one = Recorded()
    one.reply.start(200, [], b"one ")
    one.leaves()
    assert one.ends("client_left") is None


async def test_of_a_large_answer_no_copy_grows():
    one = Recorded(max_bytes=10)
    one.reply.start(200, [], b"01234567")
    for _ in range(100):
        one.reply.write(b"89abcdef")
    one.reply.end()
    assert one.ends() is None
    assert len(one.exchange.notes) == 1
    assert one.recording._parts == []


class SlowCaller(CallerConnection):
    """Takes one write, and the next one when it has been waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    def write(self, data: bytes) -> None:
        super().write(data)
        self.is_full = True

    def room(self) -> "asyncio.Future[None]":
        self.waits += 1
        self.is_full = False
        done = super().room()
        done.set_result(None)
        return done


class Records:
    """A sink that is full once."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.is_full = True

    async def room(self) -> None:
        self.is_full = False

    def end(self, record: Record) -> None:
        self.records.append(record)


class Known:
    """A ledger that has an answer for everybody."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def claim(self, name: str, asked: bytes) -> Answer:
        return self._answer


async def replayed(answer: Answer, caller: CallerConnection, key: bytes = b"key") -> Record:
    clock = Clock(now_s=lambda: 1.0, unix_ms=lambda: 1_000.0, today=lambda: "2026-01-01", new_id=lambda: "req_2")
    nothing: Any = None
    sink = Records()
    gateway = gateway_of(nothing, clock, sink=sink)
    gateway.open = 1
    once = OnceOnly(Known(answer), 24, 1_000)  # type: ignore[arg-type]
    exchange, reply = Exchange("req_2", CHAT, 0.0, 0.0), caller.reply(caller.call(), "req_2")
    await once.answer(gateway, exchange, reply, Door(CHAT), b"{}", key, nothing)
    assert (gateway.open, len(sink.records)) == (0, 1)
    return sink.records[0]


async def test_a_long_stream_is_given_again_in_pieces_as_its_caller_takes_them():
    body = bytes(range(256)) * 4096
    caller = SlowCaller()
    record = await replayed(msgspec.structs.replace(ANSWER, streamed=True, body=body), caller)
    assert (record.outcome, record.answer_bytes) == ("ok", len(body))
    assert caller.waits == len(body) // (64 * 1024) - 1
    assert unchunked(caller.body) == body


def unchunked(data: bytes) -> bytes:
    found = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        found += data[: int(size, 16)]
        data = data[int(size, 16) + 2 :]
    return found


async def test_what_a_replay_says_it_cost_is_nothing():
    caller = CallerConnection()
    record = await replayed(msgspec.structs.replace(ANSWER, headers=[(b"x-trunkline-cost", b"0.5")]), caller)
    assert (b"x-trunkline-cost", b"0") in caller.headers
    assert record.cost_pico_usd == 0
    assert record.notes == ("replayed from req_1",)


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"a\tb", b"\xff"])
async def test_a_key_that_can_be_none_ends_in_a_record_too(key):
    caller = CallerConnection()
    record = await replayed(ANSWER, caller, key)
    assert (caller.status, record.status) == (400, 400)

"""A stream of Chat Completions from the provider's socket to the caller's: the same bytes however they come, and nothing missing in the account."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.execution.test_streaming import bill_of, terms
from tests.fakes.caller import CallerConnection
from trunkline.errors import TransportError
from trunkline.execution.naming import Naming
from trunkline.execution.passthrough import ChatTerms, Passthrough
from trunkline.execution.rescue import Keeping
from trunkline.execution.transport.connection import Connection
from trunkline.execution.transport.options import TransportOptions
from trunkline.execution.transport.types import Origin, UpstreamRequest
from trunkline.protocols.codec import CHAT

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TEXTS = ["", "one", " and", " two\n", ' "and', " \\", "", " ünd", " end"]


class Socket:
    """The provider's side of a connection. Lives for one test."""

    def __init__(self) -> None:
        self.closed = False
        self.paused = 0

    def write(self, data: bytes) -> None: ...

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str) -> None: ...

    def pause_reading(self) -> None:
        self.paused += 1

    def resume_reading(self) -> None:
        self.paused -= 1


def event(text: str, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": more.pop("finish", None)}
    data = {"id": "c-1", "object": "chat.completion.chunk", "model": "alpha", "choices": [choice], **more}
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST = [event("", finish="stop"), b"data: [DONE]\n\n"]
EVENTS = [*map(event, TEXTS), *LAST]


class Passing:
    """One stream under way. Lives for one test."""

    def __init__(self, stop_words: tuple[str, ...] = (), *, keeps: bool = False, named: str = "") -> None:
        loop = asyncio.get_running_loop()
        self.freed: list[Connection] = []
        self.socket = Socket()
        self.connection = Connection(loop, TransportOptions(), free=self.freed.append, gone=lambda _: None)
        self.connection.connection_made(self.socket)  # type: ignore[arg-type]
        request = UpstreamRequest(Origin("http", "127.0.0.1", 1), b"POST", b"/", (), b"{}")
        response = self.connection.begin(request, b"", loop.time() + 900)
        self.connection.data_received(HEAD)
        self.caller = CallerConnection()
        self.call = self.caller.call(method="POST")
        self.reply = self.caller.reply(self.call)
        self.keeping = Keeping(self.reply) if keeps else None
        asked = ChatTerms("alpha", stop_words, False, 1)
        before = self.keeping or self.reply
        self.made = Passthrough(
            response,
            Naming(before, CHAT, named) if named else before,
            bill_of(CHAT),
            terms(),
            asked,
            time.monotonic,
            lambda _: None,
        )
        self.task = loop.create_task(self.made.run())

    def come(self, *reads: bytes) -> None:
        for read in reads:
            self.connection.data_received(read)

    @property
    def chunks(self) -> bytes:
        """What the caller got behind the head of its answer, as it went over the wire."""
        return self.caller.body

    @property
    def body(self) -> bytes:
        """The same without framing."""
        rest, found = self.chunks, b""
        while rest:
            line, _, rest = rest.partition(b"\r\n")
            size = int(line, 16)
            found, rest = found + rest[:size], rest[size + 2 :]
        return found


@asynccontextmanager
async def passing(stop_words: tuple[str, ...] = (), *, keeps: bool = False, named: str = "") -> AsyncIterator[Passing]:
    one = Passing(stop_words, keeps=keeps, named=named)
    await asyncio.sleep(0)
    yield one
    one.task.cancel()
    await asyncio.gather(one.task, return_exceptions=True)


WIRE = b"".join(map(chunk, EVENTS)) + b"0\r\n\r\n"


async def test_events_that_come_each_in_a_chunk_reach_the_caller_as_the_chunks_that_they_came_in() -> None:
    async with passing() as one:
        reads = [chunk(data) for data in EVENTS]
        written: list[bytes] = []
        one.caller.write = written.append  # type: ignore[method-assign]
        one.come(*reads, b"0\r\n\r\n")
        assert await one.task is None
        one.caller.written = b"".join(written)
        # Not copies: nobody took them apart.
        assert [piece for piece in written if any(piece is read for read in reads)] == [
            chunk(event(text)) for text in TEXTS[3:] if '"' not in text and not text.endswith("\\")
        ]
        assert one.body == b"".join(EVENTS)
        assert one.reply.bytes_sent == len(one.body)
        assert one.freed == [one.connection]


async def test_however_the_bytes_are_cut_the_caller_gets_the_same_and_the_same_is_seen() -> None:
    for at in range(1, len(WIRE), 7):
        async with passing() as one:
            one.come(WIRE[:at], WIRE[at:])
            assert await one.task is None
            assert one.body == b"".join(EVENTS)
            assert one.made.seen.done


async def test_cut_inside_one_event_the_others_are_passed_on_alone() -> None:
    reads = [chunk(data) for data in EVENTS]
    for number, whole in enumerate(reads):
        for at in range(1, len(whole)):
            async with passing() as one:
                one.come(*reads[:number], whole[:at], whole[at:], *reads[number + 1 :], b"0\r\n\r\n")
                assert await one.task is None
                assert one.body == b"".join(EVENTS)
                assert one.reply.bytes_sent == len(one.body)


async def test_the_characters_of_events_that_are_passed_on_are_those_that_are_read() -> None:
    async with passing() as one:
        one.come(*[chunk(event(text)) for text in ("one", " and", " two", " and more", "")])
        assert one.made.seen.characters == len("one and two and more")


@pytest.mark.parametrize(
    "told",
    [
        event("", finish="stop"),
        event("x", usage={"prompt_tokens": 1, "completion_tokens": 1}),
        event("x", error={"message": "no"}),
        b"data: [DONE]\n\n",
    ],
)
async def test_an_event_that_says_more_is_seen_among_those_that_are_passed_on(told: bytes) -> None:
    async with passing() as one:
        plain = [chunk(event(text)) for text in ("one", " and", " two", " and")]
        one.come(*plain, chunk(told))
        seen = one.made.seen
        assert seen.finish_reason or seen.usage or seen.error or seen.done


async def test_an_event_is_not_passed_on_before_one_that_the_caller_had_no_room_for() -> None:
    async with passing() as one:
        first = [chunk(event(text)) for text in ("one", " and", " two", " three")]
        one.come(*first)
        room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        one.caller.room = lambda: room  # type: ignore[method-assign]
        one.caller.is_full = True
        one.come(chunk(event(" four")), chunk(event(" five")))
        assert one.socket.paused == 1
        assert one.body.endswith(event(" four"))
        one.caller.is_full = False
        one.come(chunk(event(" six")))
        room.set_result(None)
        await asyncio.sleep(0)
        assert one.body.endswith(event(" four") + event(" five") + event(" six"))


async def test_nothing_is_passed_on_to_a_caller_that_left_and_all_is_seen_still() -> None:
    async with passing() as one:
        one.come(*[chunk(event(text)) for text in ("one", " and", " two", " three")])
        before, sent = one.chunks, one.reply.bytes_sent
        assert one.call.on_left is not None
        one.call.on_left()
        one.come(chunk(event(" four")), chunk(event(" five")))
        assert (one.chunks, one.reply.bytes_sent) == (before, sent)
        assert one.made.seen.characters == len("one and two three four five")


async def test_who_looks_at_what_is_written_sees_all_of_it() -> None:
    async with passing() as one:
        written: list[bytes] = []
        one.reply.see_writes(written.append)
        one.come(*map(chunk, EVENTS), b"0\r\n\r\n")
        await one.task
        assert b"".join(written) == b"".join(EVENTS)


async def test_what_is_passed_on_is_kept_where_another_offer_may_go_on() -> None:
    async with passing(keeps=True) as one:
        one.come(*map(chunk, EVENTS), b"0\r\n\r\n")
        await one.task
        assert one.keeping is not None
        assert one.keeping.kept == one.body == b"".join(EVENTS)


async def test_a_word_to_stop_at_is_looked_for_in_every_event() -> None:
    async with passing(("STOP",)) as one:
        one.come(*[chunk(event(text)) for text in ("one", " and", " STOP", " more")])
        assert b"more" not in one.body


@pytest.mark.parametrize(
    "broken",
    [
        chunk(event(" three"))[:-2] + b"\n\n",
        b"z" + chunk(event(" three")),
        b"0" + chunk(event(" three"))[1:],
        chunk(event(" three"))[:-2] + b"xx",
    ],
)
async def test_a_chunk_that_is_framed_wrongly_is_not_passed_on(broken: bytes) -> None:
    async with passing() as one:
        one.come(*[chunk(event(text)) for text in ("one", " and", " two", " and")])
        before = one.body
        one.come(broken)
        with pytest.raises(TransportError):
            await one.task
        assert one.socket.closed
        assert broken not in one.chunks
        assert one.body.startswith(before)


async def test_an_event_that_looks_like_the_others_but_whose_text_holds_a_quote_is_read() -> None:
    async with passing() as one:
        one.come(*[chunk(event(text)) for text in ("one", " and", " two", " and")])
        odd = event(" two").replace(b'" two"', b'" two","refusal":"no"')
        one.come(chunk(odd), chunk(event(" more")))
        assert one.body.endswith(odd + event(" more"))


@pytest.mark.parametrize("begun", [b": so\n", b": so\n\n", b": so\n\n\n\r\n"])
async def test_what_looks_like_a_chunk_inside_of_one_is_its_data(begun: bytes) -> None:
    async with passing() as one:
        one.come(*[chunk(event(text)) for text in ("one", " and", " two", " and")])
        before, inner = one.body, chunk(event(" more"))
        outer = chunk(begun + inner + b"\n\n")
        start = outer.index(begun) + len(begun)
        one.come(outer[:start], inner, outer[start + len(inner) :], *map(chunk, LAST), b"0\r\n\r\n")
        assert await one.task is None
        assert one.body == before + begun + inner + b"\n\n" + b"".join(LAST)


async def test_an_empty_line_that_is_not_whole_yet_keeps_its_place_before_what_is_passed_on() -> None:
    async with passing() as one:
        one.come(*[chunk(event(text)) for text in ("one", " and", " two", " and")])
        one.come(chunk(b": so"), chunk(b"\r\n\n\n"), chunk(event(" more")), *map(chunk, LAST), b"0\r\n\r\n")
        await one.task
        assert b": so\r\n\n\n" + event(" more") in one.body


async def test_who_comes_later_to_look_sees_what_is_written_from_then_on() -> None:
    async with passing() as one:
        written: list[bytes] = []
        one.come(*[chunk(event(text)) for text in ("one", " and", " two", " and")])
        one.reply.see_writes(written.append)
        one.come(chunk(event(" more")))
        assert written == [event(" more")]


async def test_the_model_that_was_chosen_is_named_in_every_event() -> None:
    async with passing(named="acme/alpha") as one:
        one.come(*[chunk(event(text)) for text in ("one", " and", " two", " and")])
        assert one.body.count(b'"acme/alpha"') == 4

"""A reply on a caller's connection: one head, comments only in between, nothing to a caller that left."""

import asyncio
from collections.abc import Callable

import pytest

from trunkline.execution.respond import Headers, Reply

COMMENT = b": sign of life\n\n"
STREAM: Headers = [(b"content-type", b"text/event-stream")]


class Caller:
    """The other end, and what was sent to it."""

    def __init__(self) -> None:
        self.common = b""
        self.on_left: Callable[[], None] | None = None
        self.is_full = False
        self.heads: list[tuple[int, Headers]] = []
        self.body = b""
        self.ends = 0
        self.something = asyncio.Event()

    def room(self) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().create_future()

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        self.start(status, headers, body)
        self.end()

    def start(self, status: int, headers: Headers, first: bytes = b"") -> None:
        self.heads.append((status, headers))
        self.send(first)

    def send(self, data: bytes) -> bool:
        self.body += data
        self.something.set()
        return self.is_full

    def end(self) -> None:
        self.ends += 1

    def leaves(self) -> None:
        assert self.on_left is not None
        self.on_left()


@pytest.fixture
async def caller() -> Caller:
    return Caller()


@pytest.fixture
async def reply(caller: Caller):
    made = Reply(caller, "req_1", asyncio.get_running_loop())
    yield made
    made.close()


async def comes(caller: Caller) -> None:
    caller.something.clear()
    await asyncio.wait_for(caller.something.wait(), 10)


async def several_comments_later() -> None:
    loop = asyncio.get_running_loop()
    later = loop.create_future()
    loop.call_later(0.02, later.set_result, None)
    await later


async def test_the_request_id_goes_out_under_every_name_that_clients_read(caller: Caller, reply: Reply) -> None:
    reply.add_headers([(b"vary", b"origin")])
    assert caller.common.split(b"\r\n") == [
        b"x-request-id: req_1",
        b"request-id: req_1",
        b"x-zenmux-requestid: req_1",
        b"vary: origin",
        b"",
    ]


async def test_a_comment_sends_the_head_and_the_answer_goes_on_behind_it(caller: Caller, reply: Reply) -> None:
    reply.keep_alive(0.001, lambda: COMMENT, STREAM)
    await comes(caller)
    reply.start(200, STREAM, b"data: 1\n\n")
    reply.end()
    assert caller.heads == [(200, STREAM)]
    assert caller.body.replace(COMMENT, b"") == b"data: 1\n\n"
    assert caller.body.endswith(b"data: 1\n\n")
    assert caller.ends == 1
    assert reply.bytes_sent == len(caller.body)


@pytest.mark.parametrize("last", [Reply.end, Reply.close, lambda reply: reply.whole(200, [], b"{}")])
async def test_no_comment_is_due_after_the_end(caller: Caller, reply: Reply, last) -> None:
    reply.keep_alive(0.001, lambda: COMMENT, STREAM)
    await comes(caller)
    last(reply)
    before = caller.body
    await several_comments_later()
    assert caller.body == before


async def test_a_caller_that_takes_nothing_gets_no_comments(caller: Caller, reply: Reply) -> None:
    caller.is_full = True
    reply.keep_alive(0.001, lambda: COMMENT, STREAM)
    await several_comments_later()
    assert caller.heads == []
    caller.is_full = False
    await comes(caller)
    assert caller.body == COMMENT


async def test_without_a_time_no_comment_is_ever_sent(caller: Caller, reply: Reply) -> None:
    reply.keep_alive(0.0, lambda: COMMENT, STREAM)
    await asyncio.sleep(0)
    assert reply._tick is None


async def test_a_caller_that_leaves_is_noticed_once_and_sent_nothing_more(caller: Caller, reply: Reply) -> None:
    told: list[str] = []
    reply.start(200, [])
    reply.watch(lambda: told.append("first"))
    reply.watch(lambda: told.append("second"))
    caller.leaves()
    assert told == ["second"]
    assert reply.left
    reply.write(b"data: 1\n\n")
    reply.end()
    reply.whole(200, [], b"{}")
    reply.start(200, [], b"x")
    assert (len(caller.heads), caller.body, caller.ends) == (1, b"", 0)
    assert reply.bytes_sent == 0


async def test_a_caller_that_left_gets_no_comments(caller: Caller, reply: Reply) -> None:
    reply.keep_alive(0.001, lambda: COMMENT, STREAM)
    caller.leaves()
    assert reply._tick is None
    assert caller.heads == []


async def test_an_answer_that_never_began_has_no_end(caller: Caller, reply: Reply) -> None:
    reply.end()
    assert caller.ends == 0


async def test_a_slow_caller_is_told_of_and_waited_for(caller: Caller, reply: Reply) -> None:
    assert not reply.is_full
    caller.is_full = True
    assert reply.is_full
    assert reply.write(b"x")
    assert isinstance(reply.room(), asyncio.Future)

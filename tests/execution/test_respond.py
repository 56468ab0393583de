"""A reply over ASGI: one head, comments only in between, nothing to a caller that left."""

import asyncio

import pytest

from trunkline.execution.respond import COMMENT, Reply, Watchers


class Caller:
    """The other end. `slow` holds `send` up, as a caller that does not read does."""

    def __init__(self) -> None:
        self.sent: list[dict] = []
        self.gone = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self.sending = asyncio.Event()
        self.something = asyncio.Condition()

    async def receive(self) -> dict:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict) -> None:
        self.sending.set()
        await self.open.wait()
        self.sent.append(message)
        async with self.something:
            self.something.notify_all()

    async def until(self, count: int) -> None:
        async with self.something:
            await asyncio.wait_for(self.something.wait_for(lambda: len(self.sent) >= count), 10)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


@pytest.fixture
async def caller() -> Caller:
    return Caller()


@pytest.fixture
async def reply(caller: Caller):
    made = Reply(caller.receive, caller.send, [(b"x-request-id", b"r")], Watchers())
    yield made
    made.close()


async def test_a_comment_sends_the_head_and_the_answer_goes_on_behind_it(caller: Caller, reply: Reply) -> None:
    reply.keep_alive(0.001)
    await caller.until(2)
    await reply.start(200, [(b"content-type", b"text/event-stream")])
    await reply.write(b"data: 1\n\n")
    await reply.end()
    kinds = [message["type"] for message in caller.sent]
    assert kinds.count("http.response.start") == 1
    assert caller.sent[0]["status"] == 200
    assert caller.body.replace(COMMENT, b"") == b"data: 1\n\n"
    assert caller.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_no_comment_is_due_after_the_end(caller: Caller, reply: Reply) -> None:
    reply.keep_alive(0.001)
    await caller.until(2)
    await reply.end()
    assert caller.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert reply._tick is not None
    assert reply._tick.cancelled()


async def test_an_answer_in_one_piece_never_meets_a_comment_that_is_under_way(caller: Caller, reply: Reply) -> None:
    caller.open.clear()
    reply.keep_alive(0.001)
    await caller.sending.wait()
    ending = asyncio.create_task(reply.still())
    await asyncio.sleep(0)
    assert not ending.done()
    caller.open.set()
    await ending
    assert reply.started
    assert caller.body == COMMENT


async def test_a_caller_that_leaves_is_noticed_once_and_sent_nothing_more(caller: Caller, reply: Reply) -> None:
    told = asyncio.Event()
    await reply.start(200, [])
    reply.watch(told.set)
    caller.gone.set()
    await asyncio.wait_for(told.wait(), 10)
    assert reply.left
    await reply.write(b"data: 1\n\n")
    await reply.end()
    await reply.whole(200, [], b"{}")
    assert [message["type"] for message in caller.sent] == ["http.response.start"]
    assert reply.bytes_sent == 0


async def test_a_caller_that_does_not_read_holds_writing_up(caller: Caller, reply: Reply) -> None:
    await reply.start(200, [])
    caller.open.clear()
    writing = asyncio.create_task(reply.write(b"x"))
    await asyncio.sleep(0)
    assert not writing.done()
    caller.open.set()
    await writing
    assert caller.body == b"x"
    assert reply.bytes_sent == 1

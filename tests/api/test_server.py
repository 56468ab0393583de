"""Our server's own part, over real sockets: one write for head and body, and limits on what a caller may send or leave out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from trunkline.api.server import MAX_HEAD_BYTES, MAX_QUIET_BYTES, ServerProtocol

GET = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
SHORT_S = 0.05
LARGE = bytes(1024 * 1024)


class Recording:
    """The transport of a connection, which notes what is written in one piece."""

    def __init__(self, transport: asyncio.Transport, writes: list[bytes]) -> None:
        self._transport = transport
        self._writes = writes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._writes.append(data)
        self._transport.write(data)


class App:
    """`/hello` answers at once, `/echo` with the length of the body, `/large` with 1 MiB, `/late` when `go` is set, `/early` before the body."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.left = asyncio.Event()
        self.began: list[str] = []

    async def __call__(
        self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        path = scope["path"]
        self.began.append(path)
        body = b"hello" if path != "/large" else LARGE
        if path == "/echo":
            size = await self._size(receive)
            if size is None:
                return
            body = b"%d" % size
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        if path == "/late":
            await self.go.wait()
        await send({"type": "http.response.body", "body": body})

    async def _size(self, receive: Callable[[], Awaitable[Any]]) -> int | None:
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return None
            size += len(message["body"])
            if not message["more_body"]:
                return size


class Served:
    """A server for one test, and what it wrote."""

    def __init__(self, port: int, app: App, state: ServerState, writes: list[bytes]) -> None:
        self.port = port
        self.app = app
        self.state = state
        self.writes = writes

    async def says(self, *parts: bytes) -> bytes:
        """Everything that a caller who sends these parts, and then waits, hears until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for part in parts:
            writer.write(part)
            await writer.drain()
        heard = await reader.read()
        writer.close()
        return heard


@asynccontextmanager
async def serving(keep_alive_s: float = 60.0, **limits: float) -> AsyncIterator[Served]:
    loop, app, state, writes = asyncio.get_running_loop(), App(), ServerState(), []
    config = uvicorn.Config(
        app, ws="none", lifespan="off", log_config=None, timeout_keep_alive=keep_alive_s, access_log=False
    )

    class Protocol(ServerProtocol):
        head_s = limits.get("head_s", 60.0)
        body_s = limits.get("body_s", 60.0)

        def connection_made(self, transport: Any) -> None:
            super().connection_made(Recording(transport, writes))  # type: ignore[arg-type]

    server = await loop.create_server(lambda: Protocol(config, state, {}, loop), "127.0.0.1", 0)
    async with asyncio.timeout(20):
        yield Served(server.sockets[0].getsockname()[1], app, state, writes)
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()  # type: ignore[union-attr]
        while state.connections or state.tasks:  # noqa: ASYNC110  # uvicorn tells nobody
            await asyncio.sleep(0)


async def opened(served: Served, first: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(first)
    return reader, writer


async def answer(reader: asyncio.StreamReader) -> bytes:
    """One answer with a content-length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head + await reader.readexactly(length)


# --- writing


async def test_head_and_body_go_out_in_one_write() -> None:
    async with serving() as served:
        reader, writer = await opened(served, GET)
        heard = await answer(reader)
        writer.close()
        assert served.writes == [heard]
        assert heard.endswith(b"\r\n\r\nhello")


async def test_a_head_that_nothing_follows_goes_out_alone_at_once() -> None:
    async with serving() as served:
        reader, writer = await opened(served, b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert served.writes == [head]
        served.app.go.set()
        assert await reader.readexactly(5) == b"hello"
        writer.close()


async def test_a_large_body_is_not_copied_to_its_head() -> None:
    async with serving() as served:
        reader, writer = await opened(served, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await answer(reader)
        writer.close()
        assert len(served.writes) == 2
        assert served.writes[1] is LARGE


async def test_an_answer_after_which_the_connection_closes_is_whole() -> None:
    async with serving() as served:
        heard = await served.says(b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert heard.endswith(b"connection: close\r\n\r\nhello")


async def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    async with serving() as served:
        posts = [POST + b"Content-Length: %d\r\n\r\n" % size + b"x" * size for size in (1, 2, 3)]
        reader, writer = await opened(served, GET + b"".join(posts) + GET)
        bodies = [(await answer(reader)).rpartition(b"\r\n\r\n")[2] for _ in range(5)]
        writer.close()
        assert bodies == [b"hello", b"1", b"2", b"3", b"hello"]


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_requests_cut_anywhere_are_understood(size: int) -> None:
    async with serving() as served:
        sent = GET + POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" + GET
        reader, writer = await opened(served, b"")
        for at in range(0, len(sent), size):
            writer.write(sent[at : at + size])
            await asyncio.sleep(0)
        bodies = [(await answer(reader)).rpartition(b"\r\n\r\n")[2] for _ in range(3)]
        writer.close()
        assert bodies == [b"hello", b"2", b"hello"]


# --- sizes


def head_of(size: int) -> bytes:
    start, end = b"GET /hello HTTP/1.1\r\nX: ", b"\r\nConnection: close\r\n\r\n"
    return start + b"x" * (size - len(start) - len(end)) + end


async def test_a_head_of_just_the_limit_is_taken() -> None:
    async with serving() as served:
        assert (await served.says(head_of(MAX_HEAD_BYTES))).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("size", [1_000, 50_000, 4_000_000])
async def test_a_head_over_the_limit_is_refused_and_the_app_never_hears_of_it(size: int) -> None:
    head = head_of(MAX_HEAD_BYTES + 1)
    async with serving() as served:
        heard = await served.says(*[head[at : at + size] for at in range(0, len(head), size)])
        assert heard.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        assert b"65536 bytes" in heard
        assert served.app.began == []


async def test_a_head_of_many_megabytes_is_neither_kept_nor_answered_twice() -> None:
    async with serving() as served:
        heard = await served.says(*[b"GET /hello HTTP/1.1\r\n"], *[b"X: " + b"x" * 100_000 + b"\r\n"] * 200)
        assert heard.count(b"HTTP/1.1") == 1
        assert heard.startswith(b"HTTP/1.1 431 ")


async def test_the_second_head_on_a_connection_has_the_same_limit() -> None:
    async with serving() as served:
        reader, writer = await opened(served, GET)
        await answer(reader)
        writer.write(head_of(2 * MAX_HEAD_BYTES + 2))
        assert (await reader.read()).startswith(b"HTTP/1.1 431 ")
        writer.close()


async def test_a_large_head_behind_a_request_under_way_ends_the_connection_without_a_word() -> None:
    async with serving() as served:
        first = b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n"
        heard = await served.says(first, head_of(4 * MAX_HEAD_BYTES))
        assert heard.count(b"HTTP/1.1") == 1
        assert b"431" not in heard
        served.app.go.set()


async def test_a_body_of_many_megabytes_passes_with_a_head_behind_it() -> None:
    size = 8 * 1024 * 1024
    async with serving() as served:
        reader, writer = await opened(served, POST + b"Content-Length: %d\r\n\r\n" % size + bytes(size) + GET)
        assert (await answer(reader)).endswith(b"%d" % size)
        assert (await answer(reader)).endswith(b"hello")
        writer.close()


@pytest.mark.parametrize("path", [b"/echo", b"/hello"])
async def test_endless_trailers_end_the_connection(path: bytes) -> None:
    async with serving() as served:
        head = b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n" % path
        reader, writer = await opened(served, head)
        for _ in range(MAX_QUIET_BYTES // 1000 + 100):
            writer.write(b"X: " + b"x" * 1000 + b"\r\n")
        heard = await rest(reader)
        writer.close()
        assert heard.count(b"HTTP/1.1") == (path == b"/hello")


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Until the connection ends, reset or not."""
    heard = b""
    try:
        while part := await reader.read(65536):
            heard += part
    except ConnectionError:
        pass
    return heard


# --- times


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, drop: bytes) -> bytes:
    """What a caller hears who goes on sending drops until the connection ends."""
    heard = asyncio.ensure_future(rest(reader))
    while not (await asyncio.wait([heard], timeout=SHORT_S / 10))[0]:
        writer.write(drop)
    writer.close()
    return heard.result()


async def test_a_head_that_drips_is_refused_however_often_a_byte_comes() -> None:
    async with serving(head_s=SHORT_S) as served:
        reader, writer = await opened(served, b"GET /hello HTTP/1.1\r\nX: ")
        heard = await dripping(reader, writer, b"x")
        assert heard.startswith(b"HTTP/1.1 408 Request Timeout\r\n")


async def test_a_connection_on_which_nothing_is_said_is_closed() -> None:
    async with serving(keep_alive_s=SHORT_S) as served:
        assert await served.says() == b""


async def test_a_connection_is_closed_when_nothing_comes_after_an_answer() -> None:
    async with serving(keep_alive_s=SHORT_S) as served:
        assert (await served.says(GET)).endswith(b"hello")


async def test_line_ends_between_requests_do_not_hold_a_connection() -> None:
    async with serving(keep_alive_s=SHORT_S) as served:
        reader, writer = await opened(served, GET)
        heard = await dripping(reader, writer, b"\r\n")
        assert heard.count(b"HTTP/1.1 200") == 1


async def test_a_body_that_stalls_is_given_up_and_the_app_hears_that_the_caller_left() -> None:
    async with serving(body_s=SHORT_S) as served:
        assert await served.says(POST + b"Content-Length: 5\r\n\r\nhi") == b""
        await served.app.left.wait()


async def test_a_body_that_was_refused_early_does_not_hold_the_connection() -> None:
    async with serving(keep_alive_s=SHORT_S) as served:
        assert (await served.says(b"POST /hello HTTP/1.1\r\nContent-Length: 9\r\n\r\nhi")).endswith(b"hello")


async def test_no_deadline_runs_while_the_answer_is_being_made() -> None:
    async with serving(keep_alive_s=SHORT_S, head_s=SHORT_S, body_s=SHORT_S) as served:
        reader, writer = await opened(served, b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        asyncio.get_running_loop().call_later(4 * SHORT_S, served.app.go.set)
        assert await reader.readexactly(5) == b"hello"
        writer.close()


async def test_every_read_gives_a_body_its_time_again() -> None:
    loop, between_s = asyncio.get_running_loop(), 2 * SHORT_S
    async with serving(body_s=4 * between_s) as served:
        reader, writer = await opened(served, POST + b"Content-Length: 6\r\n\r\n")
        for number in range(6):
            loop.call_later(number * between_s, writer.write, b"x")
        assert (await answer(reader)).endswith(b"6")
        writer.close()

"""Our server behind a certificate, over real sockets: what holds over plain connections holds over TLS, and a handshake that fails harms nobody."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from trunkline.api.call import Call
from trunkline.api.server import Limits, Server
from trunkline.errors import RequestError

HOST = "llm.example.com"
LARGE = bytes(range(256)) * 16 * 1024
MAX_BODY_BYTES = 16 * 1024 * 1024
CLIENT_HELLO_BEGINS = b"\x16\x03\x01\x02\x00\x01\x00"


class Handler:
    """`/echo` gives the body back, `/small` takes 10 bytes, `/steps` sends a piece for each `go`, `/flood` never ends."""

    def __init__(self, app: "App", call: Call) -> None:
        self._app = app
        self._call = call
        self.max_body_bytes = 10 if call.path == "/small" else MAX_BODY_BYTES

    async def run(self, body: bytes) -> None:
        self._call.on_left = self._app.left.set
        if self._call.path == "/steps":
            await self._steps()
        elif self._call.path == "/flood":
            await self._flood()
        else:
            self._call.whole(200, [], body)

    async def _steps(self) -> None:
        self._call.start(200, [])
        for number in range(3):
            await self._app.go.acquire()
            self._call.send(b"step %d" % number)
        self._call.end()

    async def _flood(self) -> None:
        self._call.start(200, [])
        while not self._app.left.is_set():
            self._call.send(LARGE)
            self._app.flooded_bytes += len(LARGE)
            if self._call.is_full:
                self._app.full.set()
                await self._call.room()

    def refuse(self, error: RequestError) -> None:
        self._call.whole(error.status, [], error.message.encode())

    def left(self) -> None:
        self._app.left.set()


class App:
    def __init__(self) -> None:
        self.go = asyncio.Semaphore(0)
        self.left = asyncio.Event()
        self.full = asyncio.Event()
        self.flooded_bytes = 0

    def __call__(self, call: Call) -> Handler | None:
        if call.path == "/scheme":
            call.whole(200, [], call.scheme.encode())
            return None
        return Handler(self, call)


class Log:
    def __init__(self) -> None:
        self.told: list[str] = []

    def exception(self, event: str) -> None:
        self.told.append(event)


class Served:
    """A server for one test, and a caller's connections to it."""

    def __init__(self, port: int, app: App, server: Server, authority: trustme.CA, log: Log) -> None:
        self.port = port
        self.app = app
        self.server = server
        self.log = log
        self._trusting = ssl.create_default_context()
        authority.configure_trust(self._trusting)

    async def opened(self, first: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self._trusting, server_hostname=HOST)
        writer.write(first)
        return reader, writer

    async def plain(self, first: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Without TLS."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(first)
        return reader, writer

    async def still_answers(self) -> bool:
        reader, writer = await self.opened(post("/echo", b"still here"))
        heard = await answer(reader)
        writer.close()
        return heard == b"still here"


@asynccontextmanager
async def serving(**limits: float) -> AsyncIterator[Served]:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(context)
    app, log = App(), Log()
    server = Server(app, log, Limits(**({"head_s": 60.0, "body_s": 60.0, "keep_alive_s": 60.0} | limits)))
    listener = socket.create_server(("127.0.0.1", 0))
    await server.start(listener, context)
    try:
        async with asyncio.timeout(20):
            yield Served(listener.getsockname()[1], app, server, authority, log)
    finally:
        app.left.set()
        for connection in list(server.connections):
            connection.transport.abort()
        await server.stop(10.0)
    assert not server.tasks
    assert not server.connections
    assert log.told == []


def post(path: str, body: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(body)) + body


async def answer(reader: asyncio.StreamReader) -> bytes:
    """The body of one answer with a content-length."""
    head = await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))


async def chunk(reader: asyncio.StreamReader) -> bytes:
    """The next chunk of a stream; empty at its end."""
    size = int(await reader.readuntil(b"\r\n"), 16)
    data = await reader.readexactly(size)
    await reader.readexactly(2)
    return data


async def test_a_request_is_answered_and_told_that_it_came_over_https() -> None:
    async with serving() as served:
        reader, writer = await served.opened(b"GET /scheme HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await answer(reader) == b"https"
        writer.close()


async def test_one_connection_carries_one_request_after_the_other() -> None:
    async with serving() as served:
        reader, writer = await served.opened()
        for text in (b"one", b"two", b"three"):
            writer.write(post("/echo", text))
            assert await answer(reader) == text
        assert len(served.server.connections) == 1
        writer.close()


async def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    async with serving() as served:
        reader, writer = await served.opened(post("/echo", b"one") + post("/echo", b"two") + post("/echo", b"three"))
        assert [await answer(reader) for _ in range(3)] == [b"one", b"two", b"three"]
        writer.close()


async def test_megabytes_go_both_ways_unharmed() -> None:
    async with serving() as served:
        reader, writer = await served.opened(post("/echo", LARGE))
        assert await answer(reader) == LARGE
        writer.close()


async def test_each_piece_of_a_stream_arrives_when_it_is_sent() -> None:
    async with serving() as served:
        reader, writer = await served.opened(post("/steps"))
        assert b"transfer-encoding: chunked" in await reader.readuntil(b"\r\n\r\n")
        for number in range(3):
            served.app.go.release()
            assert await chunk(reader) == b"step %d" % number
        assert await chunk(reader) == b""
        writer.close()


async def test_a_caller_that_reads_slowly_holds_its_stream_up() -> None:
    async with serving() as served:
        reader, writer = await served.opened(post("/flood"))
        await served.app.full.wait()
        held_up_at = served.app.flooded_bytes
        assert held_up_at < 64 * len(LARGE)
        served.app.full.clear()
        while served.app.flooded_bytes == held_up_at:
            await reader.readexactly(1024)
        writer.transport.abort()
        await served.app.left.wait()


@pytest.mark.parametrize("way", ["with a goodbye", "by a reset"])
async def test_a_caller_that_leaves_its_stream_is_noticed(way: str) -> None:
    async with serving() as served:
        reader, writer = await served.opened(post("/steps"))
        await reader.readuntil(b"\r\n\r\n")
        if way == "with a goodbye":
            writer.close()
        else:
            writer.transport.abort()
        await served.app.left.wait()
        for _ in range(3):
            served.app.go.release()


async def test_a_refusal_arrives_though_its_caller_is_still_sending() -> None:
    async with serving() as served:
        reader, writer = await served.opened(post("/small", bytes(100_000)))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 413 " in head
        writer.close()


@pytest.mark.parametrize(
    "first",
    [b"", CLIENT_HELLO_BEGINS, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(1000)],
    ids=["nothing", "half a hello", "plain http", "noise"],
)
async def test_a_caller_that_breaks_off_in_the_handshake_harms_nobody(first: bytes) -> None:
    async with serving() as served:
        _, writer = await served.plain(first)
        await writer.drain()
        writer.close()
        assert await served.still_answers()


async def test_a_caller_of_another_host_is_not_fooled_and_harms_nobody() -> None:
    async with serving() as served:
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(
                "127.0.0.1", served.port, ssl=ssl.create_default_context(), server_hostname=HOST
            )
        assert await served.still_answers()


async def test_a_handshake_that_does_not_come_is_not_waited_for() -> None:
    async with serving(head_s=0.1) as served:
        reader, writer = await served.plain(CLIENT_HELLO_BEGINS)
        assert await reader.read() == b""
        writer.close()


async def test_a_connection_that_is_idle_is_closed() -> None:
    async with serving(keep_alive_s=0.1) as served:
        reader, writer = await served.opened(post("/echo", b"one"))
        await answer(reader)
        assert await reader.read() == b""
        writer.close()


async def test_a_stop_lets_an_answer_end() -> None:
    async with serving() as served:
        reader, writer = await served.opened(post("/steps"))
        await reader.readuntil(b"\r\n\r\n")
        stopping = asyncio.create_task(served.server.stop(10.0))
        for _ in range(3):
            served.app.go.release()
        assert [await chunk(reader) for _ in range(4)] == [b"step 0", b"step 1", b"step 2", b""]
        await stopping
        writer.close()

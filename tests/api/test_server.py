"""Our server over real sockets: one write for head and body, one request after the other, and limits on what a caller may send or leave out."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from trunkline.api.call import Call
from trunkline.api.connection import MAX_HEAD_BYTES, MAX_QUIET_BYTES, ServerProtocol
from trunkline.api.server import Limits, Server
from trunkline.errors import RequestError

GET = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
LATE = b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
SHORT_S = 0.05
LARGE = bytes(1024 * 1024)
MAX_BODY_BYTES = 16 * 1024 * 1024


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


class Echo:
    """Answers with the length of the body; `/small` takes 10 bytes at most."""

    def __init__(self, app: "App", call: Call) -> None:
        self._app = app
        self._call = call
        self.max_body_bytes = 10 if call.path == "/small" else MAX_BODY_BYTES

    async def run(self, body: bytes) -> None:
        assert type(body) is bytes
        self._call.whole(200, [], b"%d" % len(body))

    def refuse(self, error: RequestError) -> None:
        self._app.refused.append(error.status)
        self._call.whole(error.status, [], error.message.encode())

    def left(self) -> None:
        self._app.left.set()


class Late(Echo):
    """Sends a head at once, and its five bytes when `go` is set."""

    async def run(self, body: bytes) -> None:
        self._call.on_left = self._app.left.set
        self._call.start(200, [(b"content-length", b"5")])
        await self._app.go.wait()
        self._call.send(b"hello")
        self._call.end()


class Quiet(Echo):
    """Says nothing until `go` is set."""

    async def run(self, body: bytes) -> None:
        self._app.under_way.set()
        await self._app.go.wait()
        self._call.whole(200, [], b"quiet")


class Stream(Echo):
    """Two pieces of unknown length."""

    async def run(self, body: bytes) -> None:
        self._call.start(200, [], b"one")
        self._call.send(b"two")
        self._call.end()


class Flood(Echo):
    """A stream without an end, which waits for room as streams of the gateway do."""

    async def run(self, body: bytes) -> None:
        self._call.on_left = self._app.left.set
        self._call.start(200, [])
        while not self._app.left.is_set():
            self._call.send(LARGE)
            self._app.floods += 1
            if self._call.is_full:
                await self._call.room()


class Broken(Echo):
    """A mistake of ours, before anything was said."""

    async def run(self, body: bytes) -> None:
        raise ZeroDivisionError


class BreakingOff(Echo):
    """A mistake of ours, in the middle of an answer."""

    async def run(self, body: bytes) -> None:
        self._call.start(200, [], b"half")
        raise ZeroDivisionError


HANDLERS = {
    "/echo": Echo, "/small": Echo, "/late": Late, "/quiet": Quiet, "/stream": Stream, "/flood": Flood, "/broken": Broken, "/half": BreakingOff,
}  # fmt: skip


class App:
    """`/hello`, `/path` and `/large` (1 MiB) are answered at the end of the head, `/raise` not at all, the others by their handlers."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.left = asyncio.Event()
        self.under_way = asyncio.Event()
        self.began: list[str] = []
        self.refused: list[int] = []
        self.floods = 0

    def __call__(self, call: Call) -> Echo | None:
        self.began.append(call.path)
        # Every head may be known the next time: each test that sends one twice is also one of that.
        call.told = "seen"
        handler = HANDLERS.get(call.path)
        if handler is not None:
            return handler(self, call)
        if call.path == "/raise":
            raise ZeroDivisionError
        body = {"/large": LARGE, "/target": call.target}.get(call.path, b"hello")
        call.whole(204 if call.path == "/nothing" else 200, [], b"" if call.path == "/nothing" else body)
        return None


class Log:
    def __init__(self) -> None:
        self.told: list[str] = []

    def exception(self, event: str) -> None:
        self.told.append(event)


class Served:
    """A server for one test, and what it wrote."""

    def __init__(self, port: int, app: App, server: Server, log: Log, writes: list[bytes]) -> None:
        self.port = port
        self.app = app
        self.server = server
        self.log = log
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
async def serving(**limits: float) -> AsyncIterator[Served]:
    app, log, writes = App(), Log(), []
    server = Server(app, log, Limits(**({"head_s": 60.0, "body_s": 60.0, "keep_alive_s": 60.0} | limits)))

    class Protocol(ServerProtocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(Recording(transport, writes))  # type: ignore[arg-type]

    listening = await asyncio.get_running_loop().create_server(lambda: Protocol(server), "127.0.0.1", 0)
    try:
        async with asyncio.timeout(10):
            yield Served(listening.sockets[0].getsockname()[1], app, server, log, writes)
    finally:
        listening.close()
        app.go.set()
        for connection in list(server.connections):
            connection.transport.abort()
        await server.stop(10.0)
    assert not server.tasks
    assert not server.connections


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
        reader, writer = await opened(served, LATE)
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
        assert b"\r\nconnection: close\r\n" in heard
        assert heard.endswith(b"\r\n\r\nhello")


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
        heard = await served.says(LATE, head_of(4 * MAX_HEAD_BYTES))
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
        heard = await served.says(b"POST /hello HTTP/1.1\r\nContent-Length: 9\r\n\r\nhi")
        assert heard.endswith(b"hello")
        assert heard.count(b"HTTP/1.1") == 1


async def test_no_deadline_runs_while_the_answer_is_being_made() -> None:
    async with serving(keep_alive_s=SHORT_S, head_s=SHORT_S, body_s=SHORT_S) as served:
        reader, writer = await opened(served, LATE)
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


# --- callers that read slowly


async def slow(served: Served, sent: bytes) -> socket.socket:
    """A caller that has sent something and reads nothing."""
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(caller, ("127.0.0.1", served.port))
    await loop.sock_sendall(caller, sent)
    return caller


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # what is waited for tells nobody
        await asyncio.sleep(0.001)


async def test_a_stream_waits_for_a_caller_that_does_not_read() -> None:
    async with serving() as served:
        caller = await slow(served, b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: any(connection.is_full for connection in served.server.connections))
        before = served.app.floods
        for _ in range(20):
            await asyncio.sleep(0)
        assert served.app.floods == before
        while served.app.floods < before + 2:
            await asyncio.get_running_loop().sock_recv(caller, 1024 * 1024)
        caller.close()
        await served.app.left.wait()


@pytest.mark.parametrize("path", [b"/flood", b"/large"])
async def test_a_caller_that_takes_nothing_of_its_answer_is_given_up(path: bytes) -> None:
    async with serving(write_s=SHORT_S) as served:
        with await slow(served, b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path * 12):
            await until(lambda: bool(served.app.began))
            await until(lambda: not served.server.connections)
        assert path == b"/large" or served.app.left.is_set()


async def test_a_caller_that_takes_nothing_does_not_hold_a_connection_that_is_being_closed() -> None:
    async with serving(write_s=SHORT_S) as served:
        ahead = b"GET /large HTTP/1.1\r\nHost: x\r\n"
        with await slow(served, (ahead + b"\r\n") * 6 + ahead + b"Connection: close\r\n\r\n"):
            await until(lambda: bool(served.app.began))
            await until(lambda: not served.server.connections)


async def test_answers_are_not_heaped_up_for_a_caller_that_does_not_read() -> None:
    async with serving() as served:
        caller = await slow(served, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n" * 60)
        await until(lambda: any(connection.is_full for connection in served.server.connections))
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(served.app.began) < 10
        heard = 0
        while heard < 60 * len(LARGE):
            heard += len(await asyncio.get_running_loop().sock_recv(caller, 1024 * 1024))
        caller.close()
        assert len(served.app.began) == 60


# --- one request after the other


async def test_requests_ahead_that_are_answered_at_once_are_all_answered_behind_one_that_is_not() -> None:
    async with serving() as served:
        ahead = [b"GET /target?%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(20)]
        reader, writer = await opened(served, LATE + b"".join(ahead))
        await reader.readuntil(b"\r\n\r\n")
        served.app.go.set()
        assert await reader.readexactly(5) == b"hello"
        bodies = [(await answer(reader)).rpartition(b"\r\n\r\n")[2] for _ in ahead]
        writer.close()
        assert bodies == [b"/target?%d" % number for number in range(20)]


async def test_a_body_sent_ahead_in_part_has_its_time_from_its_turn_on() -> None:
    async with serving(body_s=4 * SHORT_S) as served:
        reader, writer = await opened(served, LATE + POST + b"Content-Length: 4\r\n\r\nhi")
        await reader.readuntil(b"\r\n\r\n")
        asyncio.get_running_loop().call_later(6 * SHORT_S, served.app.go.set)
        assert await reader.readexactly(5) == b"hello"
        asyncio.get_running_loop().call_later(SHORT_S, writer.write, b"ho")
        assert (await answer(reader)).endswith(b"4")
        writer.close()


async def test_a_body_that_is_too_large_is_refused_in_its_turn_too() -> None:
    async with serving() as served:
        small = b"POST /small HTTP/1.1\r\nHost: x\r\n"
        chunked = small + b"Transfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n"
        sized = small + b"Content-Length: 11\r\n\r\nhello world"
        reader, writer = await opened(served, LATE + chunked + sized + GET)
        served.app.go.set()
        statuses = [(await answer(reader))[9:12] for _ in range(4)]
        writer.close()
        assert statuses == [b"200", b"413", b"413", b"200"]
        assert served.app.refused == [413, 413]


async def test_more_requests_ahead_than_may_wait_end_the_connection() -> None:
    async with serving() as served:
        assert (await served.says(LATE + GET * 100)).count(b"HTTP/1.1") <= 1
        assert served.app.began == ["/late"]


async def test_what_follows_a_request_that_was_to_be_the_last_is_not_looked_at() -> None:
    async with serving() as served:
        last = b"GET /quiet HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        reader, writer = await opened(served, last + b"\x00garbage")
        await served.app.under_way.wait()
        served.app.go.set()
        assert (await reader.read()).endswith(b"quiet")
        writer.close()


# --- what is asked


@pytest.mark.parametrize("path", [b"/hello", b"/stream", b"/echo"])
async def test_an_answer_to_head_is_a_head(path: bytes) -> None:
    async with serving() as served:
        heard = await served.says(b"HEAD %b HTTP/1.1\r\nHost: x\r\n\r\n" % path, b"GET /hello HTTP/1.0\r\n\r\n")
        first, _, second = heard.partition(b"\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 200 OK\r\n")
        assert second.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_an_answer_without_a_body_has_no_length() -> None:
    async with serving() as served:
        heard = await served.says(b"GET /nothing HTTP/1.0\r\n\r\n")
        assert heard.startswith(b"HTTP/1.1 204 ")
        assert b"content-length" not in heard


async def test_a_stream_goes_in_chunks() -> None:
    async with serving() as served:
        heard = await served.says(b"GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"\r\ntransfer-encoding: chunked\r\n" in heard
        assert heard.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


async def test_a_stream_for_an_old_client_ends_where_the_connection_does() -> None:
    async with serving() as served:
        heard = await served.says(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert b"transfer-encoding" not in heard
        assert heard.endswith(b"connection: close\r\n\r\nonetwo")


async def test_an_old_client_may_keep_its_connection() -> None:
    async with serving() as served:
        reader, writer = await opened(served, b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert b"\r\nconnection: keep-alive\r\n" in await answer(reader)
        writer.write(b"GET /hello HTTP/1.0\r\n\r\n")
        assert b"\r\nconnection: close\r\n" in await reader.read()
        writer.close()


async def test_a_client_that_asks_first_is_told_to_send_its_body() -> None:
    async with serving() as served:
        reader, writer = await opened(served, POST + b"Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert (await answer(reader)).endswith(b"2")
        writer.close()


async def test_a_client_that_asks_first_with_too_large_a_body_is_not_told_to_send_it() -> None:
    async with serving() as served:
        head = b"POST /small HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n"
        reader, writer = await opened(served, head)
        assert (await answer(reader)).startswith(b"HTTP/1.1 413 ")
        writer.close()


@pytest.mark.parametrize("offer", [b"h2c", b"websocket"])
async def test_an_offer_to_change_protocols_is_passed_over(offer: bytes) -> None:
    async with serving() as served:
        upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %b\r\nHTTP2-Settings: AAMAAABk\r\n" % offer
        asked = b"GET /hello HTTP/1.1\r\nHost: x\r\n" + upgrade + b"\r\n"
        reader, writer = await opened(served, asked + POST + upgrade + b"Content-Length: 2\r\n\r\nhi" + asked + GET)
        bodies = [(await answer(reader)).rpartition(b"\r\n\r\n")[2] for _ in range(4)]
        writer.close()
        assert bodies == [b"hello", b"2", b"hello", b"hello"]


async def test_many_offers_at_once_are_passed_over() -> None:
    async with serving() as served:
        offer = b"GET /hello HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
        reader, writer = await opened(served, offer * 2000)
        for _ in range(2000):
            await answer(reader)
        writer.close()


@pytest.mark.parametrize(
    ("target", "origin_form"),
    [
        (b"http://llm.example.com/target?a=1", b"/target?a=1"),
        (b"HTTP://LLM.example.com:8080/target", b"/target"),
    ],
)
async def test_a_target_in_absolute_form_is_taken(target: bytes, origin_form: bytes) -> None:
    async with serving() as served:
        heard = await served.says(b"GET %b HTTP/1.0\r\n\r\n" % target)
        assert heard.endswith(b"\r\n\r\n" + origin_form)


@pytest.mark.parametrize("target", [b"http://llm.example.com", b"*"])
async def test_a_target_without_a_path_is_the_root(target: bytes) -> None:
    async with serving() as served:
        await served.says(b"OPTIONS %b HTTP/1.0\r\n\r\n" % target)
        assert served.app.began == ["/"]


async def test_nobody_is_connected_through() -> None:
    async with serving() as served:
        heard = await served.says(b"CONNECT llm.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
        assert heard.startswith(b"HTTP/1.1 400 ")
        assert heard.count(b"HTTP/1.1") == 1
        assert served.app.began == []


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nX y: 1\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused_and_the_app_never_hears_of_it(sent: bytes) -> None:
    async with serving() as served:
        heard = await served.says(sent)
        assert heard.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert served.app.began == []


async def test_another_version_of_http_is_refused() -> None:
    async with serving() as served:
        heard = await served.says(b"GET /hello HTTP/2.0\r\nHost: x\r\n\r\n")
        assert heard.startswith(b"HTTP/1.1 505 ")
        assert served.app.began == []


async def test_a_body_that_is_not_http_is_refused_by_its_handler() -> None:
    async with serving() as served:
        heard = await served.says(POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nnonsense\r\n")
        assert heard.startswith(b"HTTP/1.1 400 ")
        assert served.app.refused == [400]
        assert not served.app.left.is_set()


async def test_a_request_is_never_answered_twice() -> None:
    async with serving() as served:
        heard = await served.says(b"POST /hello HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nnonsense\r\n")
        assert heard.count(b"HTTP/1.1") == 1


async def test_a_body_in_chunks_of_a_byte_is_whole() -> None:
    async with serving() as served:
        sent = POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n"
        reader, writer = await opened(served, sent)
        assert (await answer(reader)).endswith(b"10000")
        writer.close()


async def test_a_caller_that_leaves_before_its_body_is_whole_is_noticed() -> None:
    async with serving() as served:
        _, writer = await opened(served, POST + b"Content-Length: 5\r\n\r\nhi")
        await until(lambda: bool(served.app.began))
        writer.close()
        await served.app.left.wait()


async def test_a_caller_that_leaves_its_answer_is_noticed() -> None:
    async with serving() as served:
        reader, writer = await opened(served, LATE)
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await served.app.left.wait()


# --- mistakes of ours


@pytest.mark.parametrize("path", [b"/raise", b"/broken"])
async def test_a_mistake_of_ours_is_answered_and_logged(path: bytes) -> None:
    async with serving() as served:
        heard = await served.says(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
        assert heard.startswith(b"HTTP/1.1 500 ")
        assert b"connection: close" in heard
        assert len(served.log.told) == 1


async def test_a_mistake_of_ours_inside_an_answer_cuts_it() -> None:
    async with serving() as served:
        heard = await served.says(b"GET /half HTTP/1.1\r\nHost: x\r\n\r\n")
        assert heard.endswith(b"4\r\nhalf\r\n")
        assert len(served.log.told) == 1


# --- the end


async def test_a_stop_ends_idle_connections_and_waits_for_answers() -> None:
    async with serving() as served:
        idle, idle_writer = await opened(served, GET)
        await answer(idle)
        quiet, quiet_writer = await opened(served, b"GET /quiet HTTP/1.1\r\nHost: x\r\n\r\n")
        await served.app.under_way.wait()
        stopping = asyncio.create_task(served.server.stop(10.0))
        assert await idle.read() == b""
        served.app.go.set()
        heard = await quiet.read()
        assert heard.endswith(b"quiet")
        assert b"connection: close" in heard
        await stopping
        idle_writer.close()
        quiet_writer.close()


async def test_a_stop_takes_the_request_whose_head_has_begun() -> None:
    async with serving() as served:
        reader, writer = await opened(served, GET[:10])
        await until(lambda: any(connection._in_head for connection in served.server.connections))
        stopping = asyncio.create_task(served.server.stop(10.0))
        await asyncio.sleep(0)
        writer.write(GET[10:])
        assert b"connection: close" in await reader.read()
        await stopping
        writer.close()


async def test_a_stop_refuses_bodies_that_do_not_come_and_cancels_answers_that_take_too_long() -> None:
    async with serving() as served:
        body, body_writer = await opened(served, POST + b"Content-Length: 5\r\n\r\nhi")
        late, late_writer = await opened(served, LATE)
        await late.readuntil(b"\r\n\r\n")
        stopping = asyncio.create_task(served.server.stop(SHORT_S))
        assert (await body.read()).startswith(b"HTTP/1.1 503 ")
        assert await late.read() == b""
        body_writer.close()
        late_writer.close()
        await stopping


async def test_a_connection_that_comes_during_a_stop_is_closed() -> None:
    async with serving() as served:
        served.server.stopping = True
        assert await served.says() == b""

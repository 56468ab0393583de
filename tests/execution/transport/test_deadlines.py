"""The four deadlines, each by its own error, and that they wait for what they should."""

import asyncio
import socket
import time

import pytest

from tests.fakes.raw_peer import peer_of, peer_saying, until
from trunkline.execution.transport.types import (
    ConnectTimeout,
    FirstByteTimeout,
    IdleTimeout,
    Origin,
    TotalTimeout,
)

OK = b"HTTP/1.1 200 OK\r\n"
HI = OK + b"Content-Length: 2\r\n\r\nhi"


def saying(*parts: bytes | float):
    """A script: bytes are written, numbers are seconds of silence; then it waits for the client to close."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            if isinstance(part, float):
                await asyncio.sleep(part)
            else:
                writer.write(part)
        await reader.read()

    return script


async def passed(duration_s: float) -> None:
    """Until a deadline that should not be running would have ended; every timer that is due by then has run before."""
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(duration_s, over.set)
    await over.wait()


async def test_the_time_of_sending_is_by_the_monotonic_clock_and_not_in_whole_milliseconds(transport, request_to):
    async with peer_saying(*[HI] * 5) as peer:
        sent = []
        for _ in range(5):
            before = time.monotonic()
            response = await transport.send(request_to(peer.port))
            assert before <= response.sent_at <= time.monotonic()
            await response.read(10)
            sent.append(response.sent_at * 1000 % 1)
        assert len({round(part, 6) for part in sent}) > 1


async def test_no_head_within_first_byte_s(transport, request_to):
    async with peer_of(saying()) as peer:
        with pytest.raises(FirstByteTimeout):
            await transport.send(request_to(peer.port, first_byte_s=0.03))
    assert transport.stats().idle == 0


async def test_an_unfinished_head_does_not_count_as_one(transport, request_to):
    async with peer_of(saying(OK, b"X: ")) as peer:
        with pytest.raises(FirstByteTimeout):
            await transport.send(request_to(peer.port, first_byte_s=0.03))


async def test_an_interim_answer_does_not_count_as_a_head(transport, request_to):
    async with peer_of(saying(b"HTTP/1.1 100 Continue\r\n\r\n")) as peer:
        with pytest.raises(FirstByteTimeout):
            await transport.send(request_to(peer.port, first_byte_s=0.03))


async def test_silence_inside_the_body_longer_than_idle_s(transport, request_to):
    async with peer_of(saying(OK + b"Content-Length: 5\r\n\r\nhi")) as peer:
        response = await transport.send(request_to(peer.port, idle_s=0.03))
        assert await response.chunk() == b"hi"
        with pytest.raises(IdleTimeout):
            await response.chunk()


async def test_every_read_gives_the_body_idle_s_again(transport, request_to):
    pieces = [part for _ in range(6) for part in (0.03, b"x")]
    async with peer_of(saying(OK + b"Content-Length: 6\r\n\r\n", *pieces)) as peer:
        response = await transport.send(request_to(peer.port, idle_s=0.15))
        assert await response.read(10) == b"xxxxxx"


async def test_the_head_may_take_longer_than_idle_s(transport, request_to):
    async with peer_of(saying(0.1, HI)) as peer:
        response = await transport.send(request_to(peer.port, idle_s=0.02, first_byte_s=5.0))
        assert await response.read(10) == b"hi"


async def test_idle_s_may_be_made_longer_while_the_body_is_read(transport, request_to):
    async with peer_of(saying(OK + b"Content-Length: 1\r\n\r\n", 0.1, b"x")) as peer:
        response = await transport.send(request_to(peer.port, idle_s=0.02))
        response.idle_s = 5.0
        assert await response.read(10) == b"x"


async def test_idle_s_may_be_made_shorter_while_the_body_is_read(transport, request_to):
    async with peer_of(saying(OK + b"Content-Length: 1\r\n\r\n")) as peer:
        response = await transport.send(request_to(peer.port, idle_s=60.0))
        response.idle_s = 0.02
        with pytest.raises(IdleTimeout):
            await response.read(10)


async def test_a_body_that_drips_for_ever_ends_with_total_s(transport, request_to):
    pieces = [part for _ in range(100) for part in (0.01, b"x")]
    async with peer_of(saying(OK + b"Content-Length: 100\r\n\r\n", *pieces)) as peer:
        response = await transport.send(request_to(peer.port, idle_s=1.0, total_s=0.1))
        with pytest.raises(TotalTimeout):
            await response.read(100)


async def test_total_s_covers_the_wait_for_the_head(transport, request_to):
    async with peer_of(saying()) as peer:
        with pytest.raises(TotalTimeout):
            await transport.send(request_to(peer.port, total_s=0.03))


async def test_a_reader_that_never_comes_is_ended_by_total_s(transport, request_to):
    async with peer_of(saying(OK + b"Content-Length: 3000000\r\n\r\n" + b"x" * 2_000_000)) as peer:
        response = await transport.send(request_to(peer.port, idle_s=0.02, total_s=0.1))
        await until(lambda: transport.stats().open == 0)
        with pytest.raises(TotalTimeout):
            await response.read(3_000_000)


async def test_a_slow_reader_is_not_the_peers_silence(transport, request_to):
    async with peer_of(saying(OK + b"Content-Length: 2000000\r\n\r\n" + b"x" * 2_000_000)) as peer:
        response = await transport.send(request_to(peer.port, idle_s=0.05))
        await passed(0.15)
        assert len(await response.read(2_000_000)) == 2_000_000


async def test_a_peer_that_does_not_take_a_large_body_is_a_first_byte_timeout(transport, request_to):
    async def read_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        await asyncio.Event().wait()

    async with peer_of(read_nothing) as peer:
        with pytest.raises(FirstByteTimeout):
            await transport.send(request_to(peer.port, body=bytes(32 * 1024 * 1024), first_byte_s=0.05))


async def test_a_deadline_of_one_request_does_not_touch_the_next_on_the_same_connection(transport, request_to):
    async with peer_saying(HI, HI) as peer:
        await (await transport.send(request_to(peer.port, first_byte_s=0.05, idle_s=0.05, total_s=0.05))).read(10)
        await passed(0.1)
        second = await transport.send(request_to(peer.port))
        assert (second.reused, await second.read(10)) == (True, b"hi")


async def test_a_shorter_deadline_of_the_next_request_holds(transport, request_to):
    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        writer.write(HI)
        await reader.read()

    async with peer_of(answer_once) as peer:
        await (await transport.send(request_to(peer.port))).read(10)
        with pytest.raises(FirstByteTimeout):
            await transport.send(request_to(peer.port, first_byte_s=0.03))


async def test_connecting_longer_than_connect_s(transport, request_to):
    """A listener whose queue is full does not answer further handshakes."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        port = listener.getsockname()[1]
        with pytest.raises(ConnectTimeout):
            await transport.send(request_to(port, connect_s=0.05))


async def test_a_tls_handshake_without_an_answer_counts_as_connecting(transport, request_to):
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with peer_of(say_nothing) as peer:
        origin = Origin("https", "127.0.0.1", peer.port, guarded=False)
        with pytest.raises(ConnectTimeout):
            await transport.send(request_to(peer.port, origin=origin, connect_s=0.05))
        await until(lambda: peer.open == 0)

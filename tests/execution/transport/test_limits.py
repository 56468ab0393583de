"""How much a peer may make us hold: heads, chunk lines, trailers, and bodies that nobody reads."""

import asyncio
import tracemalloc

import pytest

from tests.fakes.raw_peer import peer_of, peer_saying, peer_saying_once, until
from trunkline.execution.transport.types import Malformed, Origin

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("piece", [1_000, 1_000_000])
@pytest.mark.parametrize(
    "head",
    [
        OK + b"X: " + b"x" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n",
        OK + b"X: y\r\n" * 15_000 + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 4_000 + OK + b"Content-Length: 0\r\n\r\n",
        b"\r\n" * 50_000,
    ],
    ids=["one long value", "many headers", "long reason", "interim answers", "line ends"],
)
async def test_a_head_past_the_limit_is_malformed_however_it_is_cut(transport, request_to, head, piece):
    async with peer_saying_once(pieces_of(head, piece)) as peer:
        with pytest.raises(Malformed):
            await transport.send(request_to(peer.port))
        await until(lambda: transport.stats().open == 0)


@pytest.mark.parametrize("piece", [1_000, 1_000_000])
async def test_a_head_just_below_the_limit_passes_even_with_a_body_behind_it(transport, request_to, piece):
    head = OK + b"X: " + b"x" * 65_000 + b"\r\nContent-Length: 100000\r\n\r\n"
    async with peer_saying_once(pieces_of(head + bytes(100_000), piece)) as peer:
        response = await transport.send(request_to(peer.port))
        assert len(await response.read(100_000)) == 100_000


@pytest.mark.parametrize("piece", [1_000, 1_000_000])
@pytest.mark.parametrize(
    "framing",
    [
        b"1;" + b"x" * 300_000 + b"\r\na\r\n0\r\n\r\n",
        b"1\r\na\r\n0;" + b"x" * 300_000 + b"\r\n\r\n",
        b"1\r\na\r\n0\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
        b"1\r\na\r\n0\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
    ],
    ids=["extension", "last extension", "one trailer", "many trailers"],
)
async def test_framing_past_the_limit_is_malformed_however_it_is_cut(transport, request_to, framing, piece):
    async with peer_saying_once([CHUNKED, *pieces_of(framing, piece)]) as peer:
        response = await transport.send(request_to(peer.port))
        with pytest.raises(Malformed):
            await response.read(10)


async def test_many_small_chunks_in_one_read_are_not_too_much_framing(transport, request_to):
    answer = CHUNKED + b"1\r\na\r\n" * 40_000 + b"0\r\n\r\n"
    async with peer_saying(answer) as peer:
        response = await transport.send(request_to(peer.port))
        assert await response.read(40_000) == b"a" * 40_000


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_reader_that_does_not_read_stalls_the_peer_and_bounds_memory(make_transport, request_to, tls, scheme):
    total = 50_000_000
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await peer.read_request(reader)
        writer.write(OK + b"Content-Length: %d\r\n\r\n" % total)
        block = bytes(100_000)
        while sent < total:
            writer.write(block)
            await writer.drain()
            sent += len(block)
        await reader.read()

    async with peer_of(pour, tls=tls.server if scheme == "https" else None) as peer:
        transport = make_transport(ca_file=tls.ca_file)
        tracemalloc.start()
        try:
            response = await transport.send(request_to(0, origin=Origin(scheme, "localhost", peer.port, guarded=False)))
            await still(lambda: sent)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        # Beyond our marks there is what the kernel holds for both ends of a loopback socket.
        assert sent < 20_000_000
        assert held < 4_000_000
        assert len(await response.read(total)) == total


async def still(count) -> None:
    """Until the count has not moved for many turns of the loop."""
    before, quiet_turns = -1, 0
    while quiet_turns < 300:
        await asyncio.sleep(0)
        quiet_turns = quiet_turns + 1 if count() == before else 0
        before = count()

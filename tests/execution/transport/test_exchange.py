"""What one request and its answer look like, on the wire and to the caller."""

import asyncio

import pytest

from tests.fakes.raw_peer import peer_of, peer_saying, peer_saying_once, until
from trunkline.execution.transport.types import Malformed, Origin, Reset, Truncated

OK = b"HTTP/1.1 200 OK\r\n"
HI = OK + b"Content-Length: 2\r\n\r\nhi"


async def test_the_request_is_sent_with_host_length_and_identity_encoding(transport, request_to):
    async with peer_saying(HI) as peer:
        response = await transport.send(request_to(peer.port, body=b'{"a":1}'))
        assert await response.read(100) == b"hi"
    lines = peer.heads[0].split(b"\r\n")
    assert lines == [
        b"POST /v1/chat/completions HTTP/1.1",
        b"Host: 127.0.0.1:%d" % peer.port,
        b"Accept-Encoding: identity",
        b"Authorization: Bearer sk-test",
        b"Content-Length: 7",
        b"",
        b"",
    ]
    assert peer.bodies == [b'{"a":1}']


async def test_header_names_come_in_lower_case_and_in_order_and_values_without_blanks_around(transport, request_to):
    async with peer_saying(OK + b"X-B:  one \t\r\nx-a: two\r\nX-B:\r\nContent-Length: 0\r\n\r\n") as peer:
        response = await transport.send(request_to(peer.port))
    assert response.status == 200
    assert response.headers == [(b"x-b", b"one"), (b"x-a", b"two"), (b"x-b", b""), (b"content-length", b"0")]


@pytest.mark.parametrize(
    "answer",
    [
        HI,
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
        OK + b'transfer-encoding: CHUNKED\r\n\r\n2;name=value;q="a;b"\r\nhi\r\n0;last\r\nX-Trailer: 1\r\n\r\n',
        OK + b"Transfer-Encoding: chunked\r\n\r\n2   \r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + HI,
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
    ],
    ids=["length", "chunks", "extensions and trailers", "padded chunk size", "interim answers", "old version kept"],
)
async def test_a_framed_answer_gives_its_connection_back(transport, request_to, answer):
    async with peer_saying(answer, HI) as peer:
        first = await transport.send(request_to(peer.port))
        assert await first.read(100) == b"hi"
        assert transport.stats().idle == 1
        second = await transport.send(request_to(peer.port))
        assert await second.read(100) == b"hi"
    assert (first.reused, second.reused, peer.connections) == (False, True, 1)


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        HI + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        HI + b"\r\n",
        HI + b"garbage",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nHTTP/1.1 200",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
        OK + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ],
)
async def test_a_connection_with_doubtful_bytes_or_a_farewell_is_not_used_again(transport, request_to, answer):
    async with peer_saying(answer, HI) as peer:
        first = await transport.send(request_to(peer.port))
        assert await first.read(100) == b"hi"
        assert transport.stats().idle == 0
        second = await transport.send(request_to(peer.port))
        assert await second.read(100) == b"hi"
    assert not second.reused


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"Content-Length: 2\r\nContent-Length: 2\r\n",
        b"Content-Length: 2, 3\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Content-Length : 2\r\n",
        b"X: a\r\n folded\r\nContent-Length: 2\r\n",
        b"X: a\0b\r\nContent-Length: 2\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
    ],
)
async def test_an_answer_that_can_be_read_in_two_ways_is_refused_and_its_connection_closed(transport, request_to, head):
    async with peer_saying(OK + head + b"\r\n2\r\nhi\r\n0\r\n\r\n", HI) as peer:
        with pytest.raises(Malformed):
            await transport.send(request_to(peer.port))
        assert transport.stats().idle == 0
        assert not (await transport.send(request_to(peer.port))).reused


@pytest.mark.parametrize("status", [b"101 Switching Protocols", b"099 Low", b"20 Short"])
async def test_a_status_that_nobody_asked_for_is_malformed(transport, request_to, status):
    async with peer_saying(b"HTTP/1.1 " + status + b"\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n") as peer:
        with pytest.raises(Malformed):
            await transport.send(request_to(peer.port))


async def test_a_body_without_framing_ends_where_the_peer_closes(transport, request_to):
    async with peer_saying_once([OK + b"\r\nab", b"cd"]) as peer:
        response = await transport.send(request_to(peer.port))
        assert await response.read(100) == b"abcd"
    assert transport.stats().idle == 0


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_answers_that_have_no_body_end_with_their_head(transport, request_to, status):
    async with peer_saying(b"HTTP/1.1 " + status + b"\r\nContent-Length: 10\r\n\r\n", HI) as peer:
        assert await (await transport.send(request_to(peer.port))).read(10) == b""
        assert (await transport.send(request_to(peer.port))).reused


async def test_an_answer_to_head_has_no_body_whatever_it_announces_and_is_kept(transport, request_to):
    async with peer_saying(OK + b"Content-Length: 10\r\n\r\n", HI) as peer:
        assert await (await transport.send(request_to(peer.port, method=b"HEAD", body=b""))).read(10) == b""
        second = await transport.send(request_to(peer.port))
        assert await second.read(10) == b"hi"
    assert second.reused
    assert b"Content-Length" not in peer.heads[0]


async def test_redirects_are_handed_on_and_not_followed(transport, request_to):
    async with peer_saying(b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n") as peer:
        response = await transport.send(request_to(peer.port))
    assert response.status == 307
    assert (b"location", b"http://127.0.0.1:1/") in response.headers
    assert peer.connections == 1


async def test_a_body_in_another_encoding_is_handed_on_as_it_is(transport, request_to):
    async with peer_saying(OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x00") as peer:
        response = await transport.send(request_to(peer.port))
        assert await response.read(10) == b"\x1f\x8b\x00"
    assert (b"content-encoding", b"gzip") in response.headers


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", Reset),
        (b"HTTP/1.1 200 OK\r\nContent-", Reset),
        (OK + b"Content-Length: 5\r\n\r\nhi", Truncated),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhi", Truncated),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", Truncated),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", Truncated),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhiX", Malformed),
        (b"SSH-2.0-OpenSSH_9.9\r\n", Malformed),
        (b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", Malformed),
    ],
)
async def test_an_answer_that_breaks_off_or_is_no_http_fails_by_its_name(transport, request_to, answer, error):
    async with peer_saying_once([answer]) as peer:
        with pytest.raises(error):
            await (await transport.send(request_to(peer.port))).read(100)


async def test_what_came_before_a_break_is_delivered_before_the_error(transport, request_to):
    async with peer_saying_once([OK + b"Content-Length: 5\r\n\r\nhi"]) as peer:
        response = await transport.send(request_to(peer.port))
        assert await response.chunk() == b"hi"
        for _ in range(2):
            with pytest.raises(Truncated):
                await response.chunk()


async def test_a_body_past_the_readers_limit_is_malformed_and_closes_the_connection(transport, request_to):
    async with peer_saying(OK + b"Content-Length: 9\r\n\r\n123456789") as peer:
        response = await transport.send(request_to(peer.port))
        with pytest.raises(Malformed, match="larger than 8 bytes"):
            await response.read(8)


async def test_a_body_of_32_mib_arrives_whole(transport, request_to):
    body = bytes(range(256)) * (32 * 4096)
    async with peer_saying(HI) as peer:
        response = await transport.send(request_to(peer.port, body=body))
        assert await response.read(10) == b"hi"
    assert peer.bodies == [body]


async def test_an_answer_before_the_request_was_sent_whole_is_delivered_and_its_connection_closed(
    transport, request_to
):
    async def refuse_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await writer.drain()
        await reader.read()

    async with peer_of(refuse_early) as peer:
        response = await transport.send(request_to(peer.port, body=bytes(32 * 1024 * 1024)))
        assert (response.status, await response.read(10)) == (413, b"big")
    assert transport.stats().idle == 0


async def test_an_early_answer_is_read_even_if_the_peer_closes_with_our_body_unread(transport, request_to):
    async def refuse_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await writer.drain()

    async with peer_of(refuse_and_close) as peer:
        response = await transport.send(request_to(peer.port, body=bytes(32 * 1024 * 1024)))
        assert (response.status, await response.read(10)) == (413, b"big")


async def test_a_peer_that_has_closed_its_sending_side_without_an_answer_is_a_reset(transport, request_to):
    async def half_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        await reader.read()

    async with peer_of(half_close) as peer:
        with pytest.raises(Reset):
            await transport.send(request_to(peer.port, body=bytes(8 * 1024 * 1024)))


async def test_a_unix_socket_is_spoken_to_like_a_port(transport, request_to, tmp_path):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        writer.write(HI)
        await reader.read()

    path = str(tmp_path / "s")
    async with peer_of(answer, unix_path=path) as peer:
        response = await transport.send(request_to(0, origin=Origin("http", "localhost", 80, unix_path=path)))
        assert await response.read(10) == b"hi"
    assert b"Host: localhost\r\n" in peer.heads[0]


async def test_giving_up_closes_at_once_and_may_be_repeated(transport, request_to):
    async with peer_saying(OK + b"Content-Length: 5\r\n\r\nhi") as peer:
        response = await transport.send(request_to(peer.port))
        response.abort()
        response.abort()
        with pytest.raises(Reset):
            await response.chunk()
    assert transport.stats().idle == 0


async def test_giving_up_after_the_end_leaves_the_connection_alone(transport, request_to):
    async with peer_saying(HI) as peer:
        response = await transport.send(request_to(peer.port))
        await response.read(10)
        response.abort()
        assert transport.stats().idle == 1
        assert await response.chunk() == b""


async def test_cancelling_the_wait_for_the_head_closes_the_connection(transport, request_to):
    asked = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        asked.set()
        assert await reader.read() == b""

    async with peer_of(say_nothing) as peer:
        sending = asyncio.create_task(transport.send(request_to(peer.port)))
        await asked.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await until(lambda: transport.stats().open == 0 and peer.open == 0)


async def test_cancelling_the_wait_for_a_chunk_closes_the_connection(transport, request_to):
    async with peer_saying(OK + b"Content-Length: 5\r\n\r\n") as peer:
        response = await transport.send(request_to(peer.port))
        reading = asyncio.create_task(response.chunk())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await until(lambda: transport.stats().open == 0 and peer.open == 0)

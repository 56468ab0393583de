"""A body that is pumped: each piece as it comes, held back where the taker says so, and an end in every case."""

import asyncio

import pytest

from tests.fakes.raw_peer import peer_of, peer_saying, peer_saying_once, until
from trunkline.execution.transport.types import Reset, TotalTimeout, Truncated

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HI = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Taker:
    """Keeps what it is given; its next piece waits for `hold`, where there is one."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.hold: asyncio.Future[None] | None = None

    def __call__(self, piece: bytes) -> "asyncio.Future[None] | None":
        self.taken.append(piece)
        return self.hold

    @property
    def body(self) -> bytes:
        return b"".join(self.taken)


async def test_a_body_is_handed_over_whole_and_its_connection_kept(transport, request_to):
    async with peer_saying(CHUNKED + b"2\r\nhi\r\n4\r\n you\r\n0\r\n\r\n", HI) as peer:
        response, taker = await transport.send(request_to(peer.port)), Taker()
        await response.pump(taker)
        assert taker.body == b"hi you"
        assert transport.stats().idle == 1
        assert (await transport.send(request_to(peer.port))).reused


async def test_a_body_that_had_come_with_its_head_is_handed_over(transport, request_to):
    async with peer_saying(HI) as peer:
        response, taker = await transport.send(request_to(peer.port)), Taker()
        await until(lambda: transport.stats().idle == 1)
        await response.pump(taker)
        assert taker.taken == [b"hi"]


async def test_an_answer_without_a_body_ends_at_once(transport, request_to):
    async with peer_saying(b"HTTP/1.1 204 No Content\r\n\r\n") as peer:
        response, taker = await transport.send(request_to(peer.port)), Taker()
        await response.pump(taker)
        assert taker.taken == []


async def test_each_piece_is_handed_over_as_it_comes(transport, request_to):
    said = asyncio.Queue()

    async def speak(reader, writer):
        await peer.read_request(reader)
        writer.write(CHUNKED)
        while piece := await said.get():
            writer.write(piece)
        await reader.read()

    async with peer_of(speak) as peer:
        response, taker = await transport.send(request_to(peer.port)), Taker()
        pumping = asyncio.create_task(response.pump(taker))
        for number in range(3):
            said.put_nowait(b"1\r\n%d\r\n" % number)
            await until(lambda: len(taker.taken) == number + 1)  # noqa: B023 - awaited here
        said.put_nowait(b"0\r\n\r\n")
        await pumping
        assert taker.taken == [b"0", b"1", b"2"]


async def test_nothing_is_handed_over_or_read_on_while_the_taker_holds(make_transport, request_to):
    transport, sent = make_transport(read_high_bytes=1024), 64 * 1024 * 1024
    stuck = asyncio.Event()

    async def flood(reader, writer):
        await peer.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % sent)
        for _ in range(64):
            writer.write(bytes(1024 * 1024))
            if writer.transport.get_write_buffer_size() > 32 * 1024 * 1024:
                stuck.set()
                await writer.drain()
        await reader.read()

    async with peer_of(flood) as peer:
        response, taker = await transport.send(request_to(peer.port)), Taker()
        hold = taker.hold = asyncio.get_running_loop().create_future()
        pumping = asyncio.create_task(response.pump(taker))
        await stuck.wait()
        await until(lambda: bool(taker.taken))
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(taker.taken) == 1
        taker.hold = None
        hold.set_result(None)
        await pumping
        assert len(taker.body) == sent


async def test_an_end_that_comes_while_the_taker_holds_is_told_afterwards(transport, request_to):
    async with peer_saying(HI) as peer:
        response, taker = await transport.send(request_to(peer.port)), Taker()
        hold = taker.hold = asyncio.get_running_loop().create_future()
        pumping = asyncio.create_task(response.pump(taker))
        await until(lambda: transport.stats().idle == 1 and bool(taker.taken))
        assert not pumping.done()
        hold.set_result(None)
        await pumping
        assert taker.taken == [b"hi"]


async def test_what_came_before_a_break_is_handed_over_before_the_error(transport, request_to):
    async with peer_saying_once([CHUNKED + b"2\r\nhi\r\n"]) as peer:
        response, taker = await transport.send(request_to(peer.port)), Taker()
        with pytest.raises(Truncated):
            await response.pump(taker)
        assert taker.body == b"hi"


async def test_a_break_while_the_taker_holds_is_told_afterwards(transport, request_to):
    async with peer_saying_once([CHUNKED + b"2\r\nhi\r\n"]) as peer:
        response, taker = await transport.send(request_to(peer.port)), Taker()
        hold = taker.hold = asyncio.get_running_loop().create_future()
        pumping = asyncio.create_task(response.pump(taker))
        await until(lambda: bool(taker.taken))
        hold.set_result(None)
        with pytest.raises(Truncated):
            await pumping


async def test_what_the_taker_raises_is_raised_where_it_is_pumped_and_closes_the_connection(transport, request_to):
    def broken(piece: bytes) -> None:
        raise ZeroDivisionError

    async with peer_saying(CHUNKED + b"2\r\nhi\r\n") as peer:
        response = await transport.send(request_to(peer.port))
        with pytest.raises(ZeroDivisionError):
            await response.pump(broken)
        assert transport.stats().idle == 0
        await until(lambda: transport.stats().open == 0)


async def test_what_the_taker_raises_at_the_last_piece_is_raised_too(transport, request_to):
    def broken(piece: bytes) -> None:
        raise ZeroDivisionError

    async with peer_saying(HI) as peer:
        response = await transport.send(request_to(peer.port))
        with pytest.raises(ZeroDivisionError):
            await response.pump(broken)


async def test_a_taker_may_give_up_in_the_middle(transport, request_to):
    async with peer_saying(CHUNKED + b"2\r\nhi\r\n") as peer:
        response, taken = await transport.send(request_to(peer.port)), []

        def enough(piece: bytes) -> None:
            taken.append(piece)
            response.abort()

        with pytest.raises(Reset):
            await response.pump(enough)
        assert taken == [b"hi"]
        await until(lambda: transport.stats().open == 0)


async def test_cancelling_the_pump_closes_the_connection(transport, request_to):
    async with peer_saying(CHUNKED + b"2\r\nhi\r\n") as peer:
        response, taker = await transport.send(request_to(peer.port)), Taker()
        pumping = asyncio.create_task(response.pump(taker))
        await until(lambda: bool(taker.taken))
        pumping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pumping
        await until(lambda: transport.stats().open == 0 and peer.open == 0)


async def test_cancelling_the_pump_while_the_taker_holds_closes_the_connection(transport, request_to):
    async with peer_saying(CHUNKED + b"2\r\nhi\r\n") as peer:
        response, taker = await transport.send(request_to(peer.port)), Taker()
        hold = taker.hold = asyncio.get_running_loop().create_future()
        pumping = asyncio.create_task(response.pump(taker))
        await until(lambda: bool(taker.taken))
        pumping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pumping
        hold.set_result(None)
        await until(lambda: transport.stats().open == 0 and peer.open == 0)
        assert taker.taken == [b"hi"]


async def test_a_taker_that_takes_no_more_is_ended_by_total_s_and_not_by_the_peers_fault(transport, request_to):
    async with peer_saying(CHUNKED + b"2\r\nhi\r\n") as peer:
        response, taker = await transport.send(request_to(peer.port, total_s=0.05)), Taker()
        taker.hold = asyncio.get_running_loop().create_future()
        with pytest.raises(TotalTimeout) as ended:
            await response.pump(taker)
        assert ended.value.is_held
        taker.hold.set_result(None)
        await asyncio.sleep(0)
        assert taker.body == b"hi"


async def test_a_peer_that_is_late_is_late_by_its_own_fault(transport, request_to):
    async with peer_saying(CHUNKED + b"2\r\nhi\r\n") as peer:
        response = await transport.send(request_to(peer.port, total_s=0.05))
        with pytest.raises(TotalTimeout) as ended:
            await response.pump(Taker())
        assert not ended.value.is_held


async def test_what_came_before_the_pump_and_paused_the_reading_does_not_hold_up_the_rest(make_transport, request_to):
    transport = make_transport(read_high_bytes=1024)
    large = bytes(64 * 1024)
    pieces = [CHUNKED + b"10000\r\n" + large + b"\r\n", b"2\r\nhi\r\n0\r\n\r\n"]
    async with peer_saying_once(pieces) as peer:
        response, taker = await transport.send(request_to(peer.port)), Taker()
        await until(lambda: len(response.body) > 1024)
        async with asyncio.timeout(10):
            await response.pump(taker)
        assert taker.body == large + b"hi"

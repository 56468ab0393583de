"""Kept connections: which are used again, the one retry, how many there may be, and that nothing is left over."""

import asyncio
import os
from collections.abc import Callable

import pytest

from tests.fakes.raw_peer import RawPeer, Script, peer_of, peer_saying, until
from trunkline.execution.transport.exchange import Exchange
from trunkline.execution.transport.types import ConnectFailed, ConnectTimeout, Origin, Reset, TotalTimeout

OK = b"HTTP/1.1 200 OK\r\n"
HI = OK + b"Content-Length: 2\r\n\r\nhi"


def answering_until(closing: Callable[[int], bool], peer: Callable[[], RawPeer], parting: bytes = b"") -> Script:
    """Answers `HI`; reads one more request and closes (after `parting`) on connections whose number `closing` picks."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = peer().connections
        await peer().read_request(reader)
        writer.write(HI)
        while True:
            await peer().read_request(reader)
            if closing(number):
                writer.write(parting)
                return
            writer.write(HI)

    return script


@pytest.mark.parametrize("method", [b"POST", b"GET"])
async def test_a_stale_kept_connection_is_replaced_once_by_a_fresh_one(transport, request_to, method):
    async with peer_of(answering_until(lambda number: number == 1, lambda: peer)) as peer:
        await (await transport.send(request_to(peer.port))).read(10)
        second = await transport.send(request_to(peer.port, method=method))
        assert await second.read(10) == b"hi"
    assert (second.reused, peer.connections, len(peer.heads)) == (False, 2, 3)


async def test_the_retry_passes_over_other_kept_connections(transport, request_to):
    """They are as old as the one that was stale."""
    async with peer_of(answering_until(lambda number: number <= 2, lambda: peer)) as peer:
        both = await asyncio.gather(*(transport.send(request_to(peer.port)) for _ in range(2)))
        for response in both:
            await response.read(10)
        assert transport.stats().idle == 2
        assert not (await transport.send(request_to(peer.port))).reused
    assert peer.connections == 3


async def test_a_fresh_connection_that_closes_without_an_answer_is_not_tried_again(transport, request_to):
    async with peer_saying() as peer:
        with pytest.raises(Reset):
            await transport.send(request_to(peer.port))
    assert peer.connections == 1


async def test_the_replacement_is_not_replaced_again(transport, request_to):
    async def answer_first_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        if peer.connections == 1:
            writer.write(HI)
            await peer.read_request(reader)

    async with peer_of(answer_first_only) as peer:
        await (await transport.send(request_to(peer.port))).read(10)
        with pytest.raises(Reset):
            await transport.send(request_to(peer.port))
    assert peer.connections == 2


async def test_nothing_is_tried_again_once_a_byte_of_an_answer_came(transport, request_to):
    async with peer_of(answering_until(lambda number: True, lambda: peer, parting=b"H")) as peer:
        await (await transport.send(request_to(peer.port))).read(10)
        with pytest.raises(Reset):
            await transport.send(request_to(peer.port))
    assert peer.connections == 1


async def test_a_kept_connection_that_the_peer_closes_leaves_the_pool(transport, request_to):
    async def answer_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        writer.write(HI)

    async with peer_of(answer_and_close) as peer:
        await (await transport.send(request_to(peer.port))).read(10)
        await until(lambda: transport.stats().open == 0)
        assert transport.stats().idle == 0


async def test_a_kept_connection_on_which_the_peer_speaks_unasked_is_closed(transport, request_to):
    said = asyncio.Event()

    async def say_farewell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        writer.write(HI)
        await said.wait()
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with peer_of(say_farewell) as peer:
        await (await transport.send(request_to(peer.port))).read(10)
        said.set()
        await until(lambda: transport.stats().open == 0)


async def test_the_connection_used_last_is_used_first(transport, request_to):
    async with peer_saying(HI, HI, HI, HI) as peer:
        both = await asyncio.gather(*(transport.send(request_to(peer.port)) for _ in range(2)))
        for response in both:
            await response.read(10)
        for _ in range(2):
            await (await transport.send(request_to(peer.port))).read(10)
    assert (peer.connections, transport.stats().created) == (2, 2)


async def test_a_connection_past_its_expiry_is_closed_by_itself(make_transport, request_to):
    transport = make_transport(idle_expiry_s=0.03)
    async with peer_saying(HI, HI) as peer:
        await (await transport.send(request_to(peer.port))).read(10)
        assert transport.stats().idle == 1
        await until(lambda: transport.stats().open == 0)
        assert not (await transport.send(request_to(peer.port))).reused


async def test_no_more_connections_are_kept_than_the_option_says(make_transport, request_to):
    transport = make_transport(max_idle_per_origin=1)
    async with peer_saying(HI, HI) as peer:
        both = await asyncio.gather(*(transport.send(request_to(peer.port)) for _ in range(2)))
        for response in both:
            await response.read(10)
        assert transport.stats().idle == 1
        await until(lambda: transport.stats().open == 1)


async def test_origins_do_not_share_connections(transport, request_to):
    async with peer_saying(HI, HI) as peer:
        await (await transport.send(request_to(peer.port))).read(10)
        other = Origin("http", "localhost", peer.port, guarded=False)
        assert not (await transport.send(request_to(peer.port, origin=other))).reused


async def test_where_connections_are_limited_requests_wait_for_one(make_transport, request_to):
    transport = make_transport(max_connections_per_origin=2)
    async with peer_saying(*[HI] * 20) as peer:

        async def one() -> bytes:
            return await (await transport.send(request_to(peer.port))).read(10)

        assert await asyncio.gather(*(one() for _ in range(20))) == [b"hi"] * 20
    assert peer.connections == 2


async def test_waiting_for_a_limited_connection_ends_with_connect_s(make_transport, request_to):
    transport = make_transport(max_connections_per_origin=1)
    async with peer_saying(OK + b"Content-Length: 5\r\n\r\n") as peer:
        held = await transport.send(request_to(peer.port))
        with pytest.raises(ConnectTimeout, match="busy"):
            await transport.send(request_to(peer.port, connect_s=0.02))
        with pytest.raises(TotalTimeout):
            await transport.send(request_to(peer.port, total_s=0.02))
        held.abort()


async def test_a_stale_connection_is_replaced_within_the_limit_too(make_transport, request_to):
    transport = make_transport(max_connections_per_origin=1)
    async with peer_of(answering_until(lambda number: number == 1, lambda: peer)) as peer:
        await (await transport.send(request_to(peer.port))).read(10)
        assert await (await transport.send(request_to(peer.port))).read(10) == b"hi"
    assert peer.connections == 2


async def test_closing_ends_what_runs_and_refuses_what_comes(transport, request_to):
    async with peer_saying(OK + b"Content-Length: 5\r\n\r\n") as peer:
        response = await transport.send(request_to(peer.port))
        reading = asyncio.create_task(response.chunk())
        await asyncio.sleep(0)
        await transport.aclose()
        with pytest.raises(Reset):
            await reading
        with pytest.raises(ConnectFailed):
            await transport.send(request_to(peer.port))
        assert transport.stats().open == 0


async def test_ten_thousand_aborted_requests_leave_no_socket_task_or_timer(transport, request_to):
    """Given up at every stage: while it connects, waits for the head, and inside the body."""

    served: set[HalfAnswer] = set()

    async def one(number: int, port: int) -> None:
        sending = asyncio.create_task(transport.send(request_to(port)))
        for _ in range(number % 12):
            await asyncio.sleep(0)
        if number % 4:
            sending.cancel()
        outcome = (await asyncio.gather(sending, return_exceptions=True))[0]
        outcomes.append(type(outcome).__name__)
        if isinstance(outcome, Exchange):
            outcome.abort()

    outcomes: list[str] = []
    server = await asyncio.get_running_loop().create_server(lambda: HalfAnswer(served), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await asyncio.gather(*(one(number, port) for number in range(20)))
        await until(lambda: transport.stats().open == 0 and not served)
        tasks, sockets = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
        for start in range(0, 10_000, 100):
            await asyncio.gather(*(one(number, port) for number in range(start, start + 100)))
        await until(lambda: transport.stats().open == 0 and not served)
        assert len(asyncio.all_tasks()) <= tasks
        await until(lambda: len(os.listdir("/proc/self/fd")) <= sockets)
        assert not pending_timers()
    assert set(outcomes) == {"Exchange", "CancelledError"}


class HalfAnswer(asyncio.Protocol):
    """A peer that says half of an answer and waits; one a connection, in `served` while it is open."""

    def __init__(self, served: set["HalfAnswer"]) -> None:
        self.served = served

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.served.add(self)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(OK + b"Content-Length: 5\r\n\r\nhi")

    def connection_lost(self, exc: Exception | None) -> None:
        self.served.discard(self)


def pending_timers() -> list[asyncio.TimerHandle]:
    """asyncio's loop only: uvloop does not show its timers."""
    scheduled = getattr(asyncio.get_running_loop(), "_scheduled", [])
    return [timer for timer in scheduled if not timer.cancelled()]

"""Fuzzing below the socket: whatever bytes come, cut however, an exchange ends; with nothing but an answer or a `TransportError`;
and a connection on which anything was doubtful is never used again.

For longer: `pytest tests/execution/transport/test_fuzz.py --hypothesis-profile=fuzz`.
"""

import asyncio

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fakes.odd_answers import odd_answer
from trunkline.errors import TransportError
from trunkline.execution.transport.connection import Connection
from trunkline.execution.transport.exchange import Exchange
from trunkline.execution.transport.options import TransportOptions
from trunkline.execution.transport.types import Malformed, Origin, UpstreamRequest

MAX_EXAMPLES = settings().max_examples * 4
REQUEST = UpstreamRequest(
    origin=Origin("http", "api.example.com", 80), method=b"GET", target=b"/", headers=(), body=b""
)
FRAGMENTS = (
    *(
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 204 No\r\n",
        b"\r\n",
    ),
    *(b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"),
    *(
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"0\r\nX: y\r\n\r\n",
        b"5;ext=1\r\n",
        b"hello",
        b"\0",
        b"\n",
        b"\r",
        b": ",
        b" ",
        b"X",
    ),
    *(
        b"Upgrade: x\r\nConnection: upgrade\r\n",
        b"HTTP/1.1 101 Switching\r\n",
        b"ffffffffffffffff\r\n",
        b"Content-Length: ",
    ),
)


class SilentSocket(asyncio.Transport):
    """A transport that keeps nothing and, as a real one, tells of its loss in a later turn (`hang_up`)."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def write(self, data) -> None:
        """Thrown away."""

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None:
        """The bytes are at hand already."""

    def resume_reading(self) -> None:
        """As above."""


class Wire:
    """A connection over a silent socket, and how often it was said to be free. Lives for one example."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.socket = SilentSocket()
        self.freed = 0
        self.connection = Connection(loop, TransportOptions(), free=self._free, gone=lambda _: None)
        self.connection.connection_made(self.socket)

    def _free(self, _: Connection) -> None:
        self.freed += 1

    def ask(self, method: bytes = b"GET") -> Exchange:
        request = UpstreamRequest(origin=REQUEST.origin, method=method, target=b"/", headers=(), body=b"")
        loop = self.connection.loop
        return self.connection.begin(request, b"GET / HTTP/1.1\r\n\r\n", loop.time() + 900)

    def feed(self, data: bytes, cuts: list[int]) -> None:
        places = sorted({cut % len(data) for cut in cuts}) if data else []
        for start, end in zip([0, *places], [*places, len(data)], strict=True):
            if start < end and not self.socket.aborted:
                self.connection.data_received(data[start:end])

    def hang_up(self, *, politely: bool) -> None:
        if politely and not self.socket.aborted:
            self.connection.eof_received()
        self.connection.connection_lost(None if politely else ConnectionResetError())


async def read_out(exchange: Exchange) -> tuple[int, list[tuple[bytes, bytes]], bytes] | TransportError:
    """A hang would be a `TimeoutError` here, and that is no `TransportError`."""
    try:
        async with asyncio.timeout(5):
            error = await exchange.head()
            if error is not None:
                return error
            return exchange.status, exchange.headers, await exchange.read(10_000_000)
    except TransportError as error:
        return error


def run(check) -> None:
    asyncio.run(check())


random_bytes = st.one_of(
    st.binary(max_size=200),
    st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=3)), max_size=12).map(b"".join),
    st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(lambda parts: b"HTTP/1.1 200 OK\r\n" + b"".join(parts)),
)
cuts = st.lists(st.integers(0, 500), max_size=6)


@st.composite
def mutated_answers(draw: st.DrawFn) -> bytes:
    """An odd but mostly readable answer, with a few bytes changed, dropped or doubled."""
    data = bytearray(b"".join(odd_answer(draw(st.integers(0, 5_000))).pieces)[:2_000])
    for _ in range(draw(st.integers(0, 3))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        change = draw(st.sampled_from(("set", "drop", "double")))
        if change == "set":
            data[at] = draw(st.integers(0, 255))
        elif change == "drop":
            del data[at]
        else:
            data[at:at] = data[at : at + draw(st.integers(1, 40))]
    return bytes(data)


@settings(max_examples=MAX_EXAMPLES, deadline=None)
@given(st.one_of(random_bytes, mutated_answers()), cuts, st.booleans(), st.sampled_from([b"GET", b"HEAD"]))
@example(b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc", [3], False, b"GET")
def test_whatever_comes_an_exchange_ends_in_an_answer_or_a_transport_error(data, where, politely, method):
    async def check() -> None:
        wire = Wire(asyncio.get_running_loop())
        exchange = wire.ask(method)
        wire.feed(data, where)
        was_reusable = wire.freed > 0 and not wire.socket.aborted
        wire.hang_up(politely=politely)
        outcome = await read_out(exchange)
        if isinstance(outcome, TransportError):
            assert not was_reusable
        assert wire.freed <= 1
        assert len(asyncio.all_tasks()) == 1

    run(check)


@settings(max_examples=MAX_EXAMPLES, deadline=None)
@given(st.one_of(random_bytes, mutated_answers()), cuts, cuts)
def test_the_outcome_does_not_depend_on_where_the_bytes_are_cut(data, some, others):
    async def check() -> None:
        outcomes = []
        for where in (some, others, list(range(len(data)))):
            wire = Wire(asyncio.get_running_loop())
            exchange = wire.ask()
            wire.feed(data, where)
            wire.hang_up(politely=True)
            outcome = await read_out(exchange)
            outcomes.append(type(outcome) if isinstance(outcome, TransportError) else outcome)
        assert outcomes[0] == outcomes[1] == outcomes[2]

    run(check)


@settings(max_examples=MAX_EXAMPLES, deadline=None)
@given(st.one_of(random_bytes, mutated_answers()), cuts, st.binary(min_size=1, max_size=20))
def test_bytes_behind_an_answer_never_reach_the_next_request(data, where, behind):
    """An answer is followed by more at once: either the connection is closed, or the bytes came too early to be an answer."""

    async def check() -> None:
        wire = Wire(asyncio.get_running_loop())
        first = wire.ask()
        wire.feed(data, where)
        if wire.freed and not wire.socket.aborted:
            wire.connection.data_received(behind)
            assert wire.socket.aborted
        assert wire.freed <= 1
        wire.hang_up(politely=True)
        await read_out(first)

    run(check)


@settings(max_examples=MAX_EXAMPLES // 4, deadline=None)
@given(mutated_answers(), cuts)
def test_a_connection_that_is_given_back_reads_the_next_answer_whole(data, where):
    async def check() -> None:
        wire = Wire(asyncio.get_running_loop())
        first = wire.ask()
        wire.feed(data, where)
        if not wire.freed or wire.socket.aborted:
            wire.hang_up(politely=True)
            await read_out(first)
            return
        before = await read_out(first)
        second = wire.ask()
        wire.feed(b"HTTP/1.1 201 Created\r\nX: y\r\nContent-Length: 5\r\n\r\nhello", where)
        assert await read_out(second) == (201, [(b"x", b"y"), (b"content-length", b"5")], b"hello")
        assert await read_out(first) == (*before[:2], b"")
        wire.hang_up(politely=True)

    run(check)


@pytest.mark.parametrize("piece", [1, 7, 16_384, 1_000_000])
async def test_an_endless_chunk_line_ends_soon(piece):
    wire = Wire(asyncio.get_running_loop())
    exchange = wire.ask()
    wire.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", [])
    for _ in range(40_000):
        if wire.socket.aborted:
            break
        wire.connection.data_received(b"x" * piece)
    assert isinstance(await read_out(exchange), Malformed)
    wire.hang_up(politely=False)

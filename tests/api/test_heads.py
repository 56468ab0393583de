"""A head that came before is told by its bytes: every request is understood as llhttp would, and no other is taken for it."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.api.call import Call
from trunkline.api.connection import ServerProtocol
from trunkline.api.heads import known_head
from trunkline.api.server import Limits, Server
from trunkline.errors import RequestError

HEADERS = b"Host: x\r\nAuthorization: Bearer sk\r\nConnection: keep-alive\r\n"


def post(body: bytes, headers: bytes = HEADERS, target: bytes = b"/echo") -> bytes:
    return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (target, headers, len(body), body)


class Echo:
    max_body_bytes = 1000

    def __init__(self, call: Call) -> None:
        self._call = call

    async def run(self, body: bytes) -> None:
        self._call.whole(200, [], body)

    def refuse(self, error: RequestError) -> None:
        self._call.whole(error.status, [], b"refused")

    def left(self) -> None:
        """Nothing is under way."""


class App:
    """As the data plane: what stands in a head is looked at once, and who has no good key is refused each time."""

    def __init__(self) -> None:
        self.known: list[bool] = []
        self.lengths: list[bytes] = []

    def __call__(self, call: Call) -> Echo | None:
        headers = dict(call.headers)
        self.known.append(call.told is not None)
        self.lengths.append(headers.get(b"content-length", b""))
        call.told = call.told or headers.get(b"authorization", b"none")
        if call.told == b"Bearer bad":
            call.whole(401, [], b"")
            return None
        return Echo(call)


class Wire:
    """The transport of a connection without a socket."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closing = True

    abort = close

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    write_eof = pause_reading = resume_reading = lambda self: None


async def asked(*reads: bytes, app: App | None = None) -> tuple[bytes, list[bool]]:
    """What is answered to these reads; and which of the requests had a known head."""
    app, wire = app or App(), Wire()
    server = Server(app, None, Limits())
    connection = ServerProtocol(server)
    connection.connection_made(wire)
    for read in reads:
        connection.data_received(read)
        for _ in range(20):
            await asyncio.sleep(0)
    connection.connection_lost(None)
    return wire.written, app.known


def bodies(answers: bytes) -> list[bytes]:
    return [one.partition(b"\r\n\r\n")[2] for one in answers.split(b"HTTP/1.1 200 OK\r\n")[1:]]


async def test_the_second_request_with_the_same_head_is_not_parsed_whatever_its_length() -> None:
    answers, known = await asked(post(b"one"), post(b"a longer second one"), post(b"3"))
    assert bodies(answers) == [b"one", b"a longer second one", b"3"]
    assert known == [False, True, True]


async def test_a_body_that_comes_after_its_known_head_is_waited_for() -> None:
    second = post(b"second body")
    answers, known = await asked(post(b"one"), second[:-11], second[-11:-5], second[-5:] + post(b"third"))
    assert bodies(answers) == [b"one", b"second body", b"third"]
    assert known[:2] == [False, True]


@pytest.mark.parametrize(
    "other",
    [
        post(b"two", b"Host: x\r\nAuthorization: Bearer other\r\nConnection: keep-alive\r\n"),
        post(b"two", target=b"/other"),
        post(b"two", HEADERS + b"X: 1\r\n"),
        b"POST /echo HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n" % HEADERS,
        b"POST /echo HTTP/1.1\r\n%bContent-Length: 3\r\nX: 1\r\n\r\ntwo" % HEADERS,
    ],
    ids=["key", "path", "one more header", "chunked", "one more header behind the length"],
)
async def test_another_head_is_parsed(other: bytes) -> None:
    answers, known = await asked(post(b"one"), other, other)
    assert bodies(answers) == [b"one", b"two", b"two"]
    assert known[:2] == [False, False]


@pytest.mark.parametrize(
    "length", [b"+3", b"3, 3", b"-3", b"0x3", b"", b"3\r\nContent-Length: 3", b"3\r\nTransfer-Encoding: chunked"]
)
async def test_what_stands_in_the_place_of_the_length_is_refused_as_ever(length: bytes) -> None:
    lie = b"POST /echo HTTP/1.1\r\n%bContent-Length: %b\r\n\r\ntwo" % (HEADERS, length)
    answers, known = await asked(post(b"one"), lie)
    assert known == [False]
    assert answers.count(b"HTTP/1.1 200") == 1
    assert b"HTTP/1.1 400" in answers


async def test_a_known_head_with_a_body_that_is_too_large_is_refused_at_once_and_the_next_is_served() -> None:
    large = post(bytes(2000))
    answers, known = await asked(post(b"one"), large, post(b"three"))
    assert b"HTTP/1.1 413" in answers
    assert answers.endswith(b"\r\n\r\nthree")
    assert known == [False, True, True]


async def test_a_header_behind_the_length_is_not_taken_for_the_body() -> None:
    head = b"POST /echo HTTP/1.1\r\n%bContent-Length: 30\r\nX: 1\r\n\r\n" % HEADERS
    answers, known = await asked(post(b"one"), head, b"b" * 30)
    assert bodies(answers) == [b"one", b"b" * 30]
    assert known == [False, False]


async def test_requests_sent_ahead_behind_a_known_head_are_answered_in_their_order() -> None:
    answers, _ = await asked(post(b"one"), post(b"two") + post(b"three") + post(b"four"), post(b"five"))
    assert bodies(answers) == [b"one", b"two", b"three", b"four", b"five"]


BAD = b"Host: x\r\nAuthorization: Bearer bad\r\n"


@pytest.mark.parametrize("length", [0, 3])
@pytest.mark.parametrize("cut", [False, True])
async def test_a_refused_head_is_not_taken_for_that_of_the_request_behind_it(length: int, *, cut: bool) -> None:
    refused, good = post(b"x" * length, BAD), post(b"good")
    reads = (refused + good[:-2], good[-2:]) if cut else (refused + good,)
    answers, _ = await asked(*reads, post(b"in", BAD), refused, post(b"out"))
    assert [one[:3] for one in answers.split(b"HTTP/1.1 ")[1:]] == [b"401", b"200", b"401", b"401", b"200"]


async def test_nothing_is_kept_of_the_head_of_a_refused_caller() -> None:
    refused = post(b"body", BAD)
    answers, known = await asked(refused[:-4], refused[-4:], refused)
    assert answers.count(b"HTTP/1.1 401") == 2
    assert known == [False, False]


async def test_a_large_head_is_not_kept() -> None:
    large = post(b"one", HEADERS + b"X: %b\r\n" % bytes(b"x" * 9000))
    answers, known = await asked(large, large)
    assert bodies(answers) == [b"one", b"one"]
    assert known == [False, False]


async def test_the_headers_of_a_request_with_a_known_head_have_its_own_length() -> None:
    app = App()
    await asked(post(b"one"), post(b"longer"), post(b"a longer one"), app=app)
    assert app.known == [False, True, True]
    assert app.lengths == [b"3", b"6", b"12"]


def test_of_a_head_with_line_ends_of_another_kind_nothing_is_kept() -> None:
    data = b"POST /echo HTTP/1.1\nAuthorization: Bearer bad\n\n" + post(b"one")
    assert known_head(data, "POST", b"/echo", [(b"host", b"x"), (b"content-length", b"3")], "seen") is None


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=2, max_size=5), st.data())
async def test_however_the_requests_are_cut_the_answers_are_the_same(sent: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(post, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    reads = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True) if start < end]
    answers, _ = await asked(*reads)
    assert b"".join(bodies(answers)) == b"".join(sent)


@pytest.mark.parametrize(
    "headers",
    [
        b"Host: x\r\nExpect: 100-continue\r\n",
        b"Host: x\r\nConnection: close\r\n",
        b"Host: x\r\nUpgrade: h2c\r\n",
        b"Host: x\r\nX: a\r\n\tcontent-length: 3\r\n",
    ],
)
def test_a_head_that_says_more_than_a_length_is_not_kept(headers: bytes) -> None:
    data = post(b"one", headers)
    names = [line.partition(b":") for line in headers.split(b"\r\n") if line]
    found = [(name.strip().lower(), value.strip()) for name, _, value in names]
    assert known_head(data, "POST", b"/echo", [*found, (b"content-length", b"3")], "seen") is None

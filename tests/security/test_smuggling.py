"""Request smuggling: what a second reader could take for another request is refused, by our server alone and behind nginx.

Each attack hides `GET /smuggled`. The server's application notes which requests it is given: that one must never be among them.
https://www.rfc-editor.org/rfc/rfc9112#section-11.2, https://portswigger.net/web-security/request-smuggling
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gateway import eventually
from tests.fakes.nginx import Nginx, free_port, proxied
from trunkline.api.call import Call
from trunkline.api.server import Limits, Server

LOG = """
map $upstream_addr $is_handed_on {{ "" 0; default 1; }}
log_format path "$uri";
access_log {folder}/handed_on path if=$is_handed_on;
"""
"""What nginx itself takes for a request, and hands on."""
HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
ZERO = b"0\r\n\r\n" + HIDDEN
POST = b"POST /asked HTTP/1.1\r\nHost: x\r\n"
TWO_FRAMES: dict[str, bytes] = {
    "length and chunks": POST + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % len(ZERO) + ZERO,
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + ZERO,
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "two lengths, the second shorter": POST + b"Content-Length: %d\r\nContent-Length: 0\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "lengths in a list": POST + b"Content-Length: 0, %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + ZERO,
    "chunked not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + ZERO,
    "chunked misspelt": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + ZERO,
    "a blank before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n" + ZERO,
    "a blank before the length's colon": POST + b"Content-Length : %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "a folded header": POST + b"X-A: b\r\n Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "a folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + ZERO,
    "a length with a sign": POST + b"Content-Length: +0\r\n\r\n" + HIDDEN,
    "a negative length": POST + b"Content-Length: -1\r\n\r\n" + HIDDEN,
    "a hexadecimal length": POST + b"Content-Length: 0x0\r\n\r\n" + HIDDEN,
    "a huge length": POST + b"Content-Length: 18446744073709551616\r\n\r\n" + HIDDEN,
    "a vertical tab before chunked": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + ZERO,
    "a zero byte in the name": POST + b"Transfer\x00-Encoding: chunked\r\n\r\n" + ZERO,
    "a line end by itself in a value": POST + b"X-A: b\rTransfer-Encoding: chunked\r\n\r\n" + ZERO,
    "a chunk size with a sign": POST + b"Transfer-Encoding: chunked\r\n\r\n-0\r\n\r\n" + HIDDEN,
    "a chunk size in 0x": POST + b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + HIDDEN,
    "a huge chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + HIDDEN,
    "a chunk longer than said": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n" + ZERO,
    "a chunk extension with a line feed": POST + b"Transfer-Encoding: chunked\r\n\r\n2;a\nxx\r\n" + ZERO,
    "chunks in HTTP/1.0": b"POST /asked HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + ZERO,
}
"""None of these may end so that what follows is taken for a request: the connection ends with the answer, or with none."""
HARMLESS: dict[str, bytes] = {
    "a chunk extension": POST + b"Transfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
    "a trailer": POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nX-A: b\r\n\r\n" % (len(HIDDEN), HIDDEN),
    "a body that looks like a request": POST + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "a body of a GET": b"GET /asked HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
}


class Noting:
    """Answers with the length of the body, and notes what was asked."""

    max_body_bytes = 10_000

    def __init__(self, call: Call, heard: list[str]) -> None:
        self._call = call
        heard.append(call.path)

    async def run(self, body: bytes) -> None:
        self._call.whole(200, [], b"%d" % len(body))

    def refuse(self, error: Any) -> None:
        self._call.whole(error.status, [], b"")

    def left(self) -> None:
        pass


class Served:
    """Our server, and whoever stands before it."""

    def __init__(self, port: int, heard: list[str]) -> None:
        self.port = port
        self.heard = heard

    async def ask(self, sent: bytes) -> bytes:
        """Send bytes, and another request behind them where the connection lives on; all that is answered."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(sent + b"GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            async with asyncio.timeout(5):
                return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


class Quiet:
    """A log that nobody reads; a mistake of ours must not be among the answers."""

    def exception(self, event: str, **_: Any) -> None:
        raise AssertionError(event)


@pytest.fixture
async def alone() -> AsyncIterator[Served]:
    heard: list[str] = []
    server = Server(lambda call: Noting(call, heard), Quiet(), Limits(head_s=0.3, body_s=0.3, keep_alive_s=0.3))
    listener = socket.create_server(("127.0.0.1", 0))
    await server.start(listener)
    yield Served(listener.getsockname()[1], heard)
    await server.stop(0)


@pytest.fixture
async def behind_nginx(alone: Served, tmp_path: Path) -> AsyncIterator[Served]:
    port = free_port()
    nginx = await asyncio.to_thread(
        Nginx, tmp_path / "nginx", LOG.format(folder=tmp_path / "nginx") + proxied(port, alone.port), port
    )
    yield Served(port, alone.heard)
    await asyncio.to_thread(nginx.stop)


@pytest.mark.parametrize("attack", TWO_FRAMES.values(), ids=TWO_FRAMES)
async def test_what_can_be_read_in_two_ways_hides_no_request(alone: Served, attack: bytes) -> None:
    answer = await alone.ask(attack)
    assert "/smuggled" not in alone.heard
    assert "/next" not in alone.heard, "the connection must end where its framing is in doubt"
    assert answer.count(b"HTTP/1.1 ") <= 1


@pytest.mark.parametrize("sent", HARMLESS.values(), ids=HARMLESS)
async def test_what_is_framed_once_is_one_request(alone: Served, sent: bytes) -> None:
    await alone.ask(sent)
    assert alone.heard == ["/asked", "/next"]


async def test_behind_nginx_exactly_what_it_hands_on_is_heard(behind_nginx: Served, tmp_path: Path) -> None:
    for sent in (*TWO_FRAMES.values(), *HARMLESS.values()):
        await behind_nginx.ask(sent)
    assert "/asked" in behind_nginx.heard
    log = tmp_path / "nginx" / "handed_on"
    # It writes a line once an answer has gone out.
    eventually(lambda: log.read_text().split() == behind_nginx.heard, "what is heard being what is handed on")

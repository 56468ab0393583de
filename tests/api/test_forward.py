"""What reaches the console of a request, over a real unix socket."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.raw_peer import RawPeer, peer_of
from trunkline.api.forward import Forwarder
from trunkline.errors import InvalidParams, Overloaded
from trunkline.execution.respond import Reply, Watchers
from trunkline.execution.transport.client import HttpTransport
from trunkline.execution.transport.options import TransportOptions

PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Page: one\r\n\r\npage"


class Console:
    """A console that always answers with one page, the way to it, and what callers got."""

    def __init__(self, peer: RawPeer, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        self.peer = peer
        self.sent: list[Any] = []

    async def asked(self, *headers: tuple[bytes, bytes], target: bytes = b"/", query: bytes = b"") -> list[bytes]:
        """The lines of the request that it saw."""
        scope = {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "path": target.decode(),
            "raw_path": target,
            "query_string": query,
            "headers": [(b"host", b"llm.example.com"), *headers],
            "client": ("192.0.2.1", 1),
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            self.sent.append(message)

        reply = Reply(receive, send, [(b"x-request-id", b"req_1")], Watchers())
        await self._forwarder(scope, receive, reply)
        reply.close()
        return self.peer.heads[-1].split(b"\r\n")


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    async def answers(reader: Any, writer: Any) -> None:
        while True:
            await peer.read_request(reader)
            writer.write(PAGE)

    path = str(tmp_path / "console.sock")
    transport = HttpTransport(TransportOptions())
    async with peer_of(answers, unix_path=path) as peer:
        yield Console(peer, Forwarder(transport, path))
        await transport.aclose()


async def test_a_page_comes_back_with_our_request_id(console: Console) -> None:
    await console.asked((b"accept", b"text/html"))
    start, *body = console.sent
    assert start["status"] == 200
    assert dict(start["headers"]) == {b"x-request-id": b"req_1", b"content-length": b"4", b"x-page": b"one"}
    assert b"".join(message["body"] for message in body) == b"page"


@pytest.mark.parametrize(
    "header",
    [
        (b"x-user", "жанна".encode()),
        (b"cookie", b"name=\xff"),
        (b"proxy-authorization", b"Basic YWxpY2U6cHc="),
        (b"expect", b"100-continue"),
        (b"te", b"trailers"),
        (b"upgrade", b"h2c"),
    ],
)
async def test_ordinary_headers_that_cannot_be_forwarded_are_left_out(console: Console, header: Any) -> None:
    lines = await console.asked(header, (b"accept", b"text/html"))
    assert console.sent[0]["status"] == 200
    assert b"accept: text/html" in lines
    assert not any(line.startswith(header[0]) for line in lines)


async def test_a_host_outside_ascii_is_not_passed_on(console: Console) -> None:
    lines = await console.asked((b"host", b"\xff"))
    assert console.sent[0]["status"] == 200
    assert not any(b"\xff" in line for line in lines)


@pytest.mark.parametrize("name", [b"x-forwarded-proto", b"x-forwarded-host", b"x-trunkline-peer", b"x-request-id"])
async def test_what_we_say_about_a_caller_cannot_be_said_by_the_caller(console: Console, name: bytes) -> None:
    lines = await console.asked((name, b"forged"))
    assert sum(line.startswith(name + b": ") for line in lines) == 1
    assert not any(b"forged" in line for line in lines)


@pytest.mark.parametrize("name", [b"x y", b"x\xff", b""])
async def test_a_name_that_cannot_be_sent_is_the_callers_mistake_and_not_the_consoles(
    console: Console, name: bytes
) -> None:
    with pytest.raises(InvalidParams, match="cannot be forwarded"):
        await console.asked((name, b"1"))


async def test_a_console_that_is_away_is_said_to_be_so(tmp_path: Path) -> None:
    transport = HttpTransport(TransportOptions())
    async with peer_of(lambda reader, writer: reader.read(), unix_path=str(tmp_path / "other.sock")) as peer:
        with pytest.raises(Overloaded, match="starting or down"):
            await Console(peer, Forwarder(transport, str(tmp_path / "console.sock"))).asked()
    await transport.aclose()

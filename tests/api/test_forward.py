"""What reaches the console of a request, over a real unix socket."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.caller import CallerConnection
from tests.fakes.raw_peer import RawPeer, peer_of
from trunkline.api.forward import Forwarder
from trunkline.api.trusted_proxies import TrustedProxies
from trunkline.errors import InvalidParams, Overloaded
from trunkline.execution.transport.client import HttpTransport
from trunkline.execution.transport.options import TransportOptions
from trunkline.execution.transport.types import ConnectFailed, UpstreamRequest

PROXIES = TrustedProxies(("10.0.0.0/8",))
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Page: one\r\n\r\npage"


class Console:
    """A console that always answers with one page, the way to it, and what callers got."""

    def __init__(self, peer: RawPeer, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        self.peer = peer
        self.page = PAGE
        self.caller = CallerConnection()

    async def asked(self, *headers: tuple[bytes, bytes], target: bytes = b"/", peer: str = "192.0.2.1") -> list[bytes]:
        """The lines of the request that it saw."""
        self.caller = CallerConnection(peer)
        call = self.caller.call(target, (b"host", b"llm.example.com"), *headers)
        await self._forwarder.pass_on(call, self.caller.reply(call), b"")
        return self.peer.heads[-1].split(b"\r\n")


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    async def answers(reader: Any, writer: Any) -> None:
        while True:
            await peer.read_request(reader)
            writer.write(made.page)

    path = str(tmp_path / "console.sock")
    transport = HttpTransport(TransportOptions())
    async with peer_of(answers, unix_path=path) as peer:
        made = Console(peer, Forwarder(transport, path, PROXIES))
        yield made
        await transport.aclose()


async def test_a_page_comes_back_with_our_request_id(console: Console) -> None:
    await console.asked((b"accept", b"text/html"))
    assert console.caller.status == 200
    assert dict(console.caller.headers) == {
        b"x-request-id": b"req_1",
        b"request-id": b"req_1",
        b"x-zenmux-requestid": b"req_1",
        b"x-page": b"one",
        b"content-length": b"4",
    }
    assert console.caller.body == b"page"
    assert console.caller.ended


@pytest.mark.parametrize(("peer", "told"), [("10.1.2.3", b"203.0.113.9"), ("192.0.2.1", b"192.0.2.1")])
async def test_the_console_is_told_whom_the_operators_own_proxies_have_heard(
    console: Console, peer: str, told: bytes
) -> None:
    lines = await console.asked((b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-proto", b"https"), peer=peer)
    assert b"x-trunkline-peer: " + told in lines
    assert (b"x-forwarded-proto: https" in lines) == (peer == "10.1.2.3")


async def test_path_and_query_reach_the_console_as_they_were_sent(console: Console) -> None:
    lines = await console.asked(target=b"/a%2Fb?q=%20x")
    assert lines[0] == b"GET /a%2Fb?q=%20x HTTP/1.1"


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
    assert console.caller.status == 200
    assert b"accept: text/html" in lines
    assert not any(line.startswith(header[0]) for line in lines)


async def test_what_is_for_one_connection_only_goes_no_further(console: Console) -> None:
    lines = await console.asked(
        (b"connection", b"keep-alive, X-Hop"),
        (b"connection", b"x-leap"),
        (b"x-hop", b"1"),
        (b"x-leap", b"2"),
        (b"x-end", b"3"),
    )
    assert b"x-end: 3" in lines
    assert not any(line.startswith((b"x-hop", b"x-leap")) for line in lines)


async def test_nor_does_what_the_console_says_for_its_own_connection(console: Console) -> None:
    console.page = PAGE.replace(b"X-Page: one", b"Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nX-Page: one")
    await console.asked()
    names = [name for name, _ in console.caller.headers]
    assert b"x-page" in names
    assert b"x-hop" not in names


async def test_a_host_outside_ascii_is_not_passed_on(console: Console) -> None:
    lines = await console.asked((b"host", b"\xff"))
    assert console.caller.status == 200
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
            await Console(peer, Forwarder(transport, str(tmp_path / "console.sock"), PROXIES)).asked()
    await transport.aclose()


async def test_a_long_answer_has_no_end_by_the_clock_but_one_where_nothing_comes() -> None:
    class Noted(HttpTransport):
        asked: UpstreamRequest

        async def send(self, request: UpstreamRequest) -> Any:
            self.asked = request
            raise ConnectFailed("nobody there")

    transport, caller = Noted(TransportOptions()), CallerConnection()
    call = caller.call(b"/api/v1/management/export", (b"host", b"llm.example.com"))
    with pytest.raises(Overloaded):
        await Forwarder(transport, "/nowhere.sock", PROXIES).pass_on(call, caller.reply(call), b"")
    assert transport.asked.total_s >= 86_400
    assert transport.asked.idle_s < 120


async def test_a_caller_who_takes_nothing_is_left_after_a_while(tmp_path: Path) -> None:
    async def answers(reader: Any, writer: Any) -> None:
        await peer.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        await reader.read()

    path = str(tmp_path / "console.sock")
    transport = HttpTransport(TransportOptions())
    async with peer_of(answers, unix_path=path) as peer:
        caller = CallerConnection()
        call = caller.call(b"/export", (b"host", b"llm.example.com"))
        caller.is_full = True
        await Forwarder(transport, path, PROXIES, stalled_s=0.05).pass_on(call, caller.reply(call), b"")
        assert (caller.ended, call.keep_alive) == (True, False)
        await transport.aclose()

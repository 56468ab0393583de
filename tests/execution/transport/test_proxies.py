"""Which way goes through which proxy, and a real CONNECT proxy on the way."""

import asyncio
import base64
import contextlib

import msgspec
import pytest

from tests.fakes.raw_peer import peer_of, peer_saying, until
from trunkline.errors import ConfigError
from trunkline.execution.transport.proxies import Proxy, proxy_for
from trunkline.execution.transport.types import ConnectFailed, ConnectTimeout, Origin, TlsFailed

HI = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
HTTPS = Origin("https", "api.example.com", 443)
HTTP = Origin("http", "api.example.com", 80)


@pytest.mark.parametrize(
    ("origin", "env", "expected"),
    [
        (HTTPS, {}, None),
        (HTTPS, {"HTTPS_PROXY": "http://p:3128"}, Proxy("p", 3128, False, b"")),
        (HTTPS, {"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:2"}, Proxy("low", 1, False, b"")),
        (HTTPS, {"HTTPS_PROXY": "p:3128"}, Proxy("p", 3128, False, b"")),
        (HTTPS, {"HTTPS_PROXY": "https://p"}, Proxy("p", 443, True, b"")),
        (HTTPS, {"HTTP_PROXY": "http://p:3128"}, None),
        (HTTP, {"HTTPS_PROXY": "http://p:3128"}, None),
        (HTTP, {"HTTP_PROXY": "http://p:3128"}, Proxy("p", 3128, False, b"")),
        (HTTP, {"ALL_PROXY": "http://p:3128"}, Proxy("p", 3128, False, b"")),
        (HTTPS, {"HTTPS_PROXY": "  "}, None),
    ],
)
def test_the_proxy_is_chosen_by_the_origins_scheme(origin, env, expected):
    assert proxy_for(origin, env) == expected


@pytest.mark.parametrize(
    ("no_proxy", "host", "straight"),
    [
        ("*", "api.example.com", True),
        ("example.com", "api.example.com", True),
        (".example.com", "api.example.com", True),
        ("*.example.com", "api.example.com", True),
        ("api.example.com", "api.example.com", True),
        ("API.example.COM", "api.example.com", True),
        ("other.com, example.com", "api.example.com", True),
        ("api.example.com:443", "api.example.com", True),
        ("api.example.com:8443", "api.example.com", False),
        ("ample.com", "api.example.com", False),
        ("", "api.example.com", False),
        (" , ", "api.example.com", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("fd00::/8", "fd00::1", True),
        ("::1", "[::1]", True),
        ("10.0.0.0/8", "fd00::1", False),
    ],
)
def test_no_proxy_lists_names_suffixes_ports_and_networks(no_proxy, host, straight):
    proxy = proxy_for(Origin("https", host, 443), {"HTTPS_PROXY": "http://p:1", "NO_PROXY": no_proxy})
    assert (proxy is None) is straight


@pytest.mark.parametrize(
    ("host", "straight"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("ollama.localhost", True),
        ("localhost.example.com", False),
        ("10.0.0.1", False),
        ("128.0.0.1", False),
    ],
)
def test_this_machine_is_never_reached_through_a_proxy(host, straight):
    env = {"HTTP_PROXY": "http://p:1", "ALL_PROXY": "http://p:1"}
    assert (proxy_for(Origin("http", host, 11434, guarded=False), env) is None) is straight


def test_credentials_of_the_url_become_an_authorization():
    proxy = proxy_for(HTTPS, {"HTTPS_PROXY": "http://alice:p%40ss@p:3128"})
    assert proxy.authorization == b"Proxy-Authorization: Basic " + base64.b64encode(b"alice:p@ss") + b"\r\n"


@pytest.mark.parametrize(
    "url", ["socks5://alice:secret@p:1080", "http://alice:secret@:3128", "http://alice:secret@p:x"]
)
def test_a_proxy_that_cannot_be_used_is_a_configuration_error_without_its_password(url):
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as wrong:
        proxy_for(HTTPS, {"HTTPS_PROXY": url})
    assert "secret" not in str(wrong.value)


async def test_a_proxy_that_cannot_be_used_stops_the_start(make_transport):
    with pytest.raises(ConfigError, match="HTTP_PROXY"):
        make_transport(proxies={"http_proxy": "ftp://p"})


def tunnelling(asked: list[bytes]):
    """A script: a CONNECT proxy that connects to this machine, whatever name is asked for, and pumps both ways."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head)
        port = int(head.split(b" ")[1].rpartition(b":")[2])
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    return script


async def test_https_goes_through_a_tunnel_and_the_certificate_is_the_origins(make_transport, request_to, tls):
    asked: list[bytes] = []
    async with peer_saying(HI, HI, tls=tls.server) as peer, peer_of(tunnelling(asked)) as proxy:
        transport = make_transport(
            ca_file=tls.ca_file, proxies={"HTTPS_PROXY": f"http://alice:pw@127.0.0.1:{proxy.port}"}
        )
        request = request_to(0, origin=Origin("https", "api.example.com", peer.port))
        assert await (await transport.send(request)).read(10) == b"hi"
        assert (await transport.send(request)).reused
        await transport.aclose()
        await until(lambda: proxy.open == 0)
    head = asked[0]
    assert head.startswith(
        b"CONNECT api.example.com:%d HTTP/1.1\r\nHost: api.example.com:%d\r\n" % (peer.port, peer.port)
    )
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"alice:pw") in head
    assert len(asked) == 1
    assert b"Proxy-Authorization" not in peer.heads[0]


async def test_the_proxy_itself_may_be_reached_over_tls(make_transport, request_to, tls):
    asked: list[bytes] = []
    async with (
        peer_saying(HI, tls=tls.server) as peer,
        peer_of(tunnelling(asked), tls=tls.server) as proxy,
    ):
        transport = make_transport(ca_file=tls.ca_file, proxies={"HTTPS_PROXY": f"https://localhost:{proxy.port}"})
        request = request_to(0, origin=Origin("https", "api.example.com", peer.port))
        assert await (await transport.send(request)).read(10) == b"hi"
        await transport.aclose()
        await until(lambda: proxy.open == 0)


async def test_inside_the_tunnel_the_origins_name_is_verified(make_transport, request_to, tls):
    async with peer_saying(HI, tls=tls.server) as peer, peer_of(tunnelling([])) as proxy:
        transport = make_transport(ca_file=tls.ca_file, proxies={"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"})
        with pytest.raises(TlsFailed):
            await transport.send(request_to(0, origin=Origin("https", "other.example.com", peer.port)))
        await until(lambda: proxy.open == 0)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "credentials"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "403"),
        (b"SSH-2.0-x\r\n\r\n", "HTTP"),
        (b"HTTP/1.1\r\n\r\n", "HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\nmore", "more than"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, "too large"),
        (b"", "closed"),
    ],
)
async def test_a_tunnel_that_is_refused_is_a_failed_connect_that_says_why(make_transport, request_to, answer, says):
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if answer:
            await reader.read()

    async with peer_of(script) as proxy:
        transport = make_transport(proxies={"HTTPS_PROXY": f"http://alice:secret@127.0.0.1:{proxy.port}"})
        with pytest.raises(ConnectFailed, match=says) as failed:
            await transport.send(request_to(0, origin=HTTPS))
        assert "secret" not in str(failed.value)
        await until(lambda: proxy.open == 0)


async def test_a_proxy_that_does_not_answer_is_a_connect_timeout(make_transport, request_to):
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with peer_of(script) as proxy:
        transport = make_transport(proxies={"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"})
        with pytest.raises(ConnectTimeout):
            await transport.send(request_to(0, origin=HTTPS, connect_s=0.05))
        await until(lambda: proxy.open == 0)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f000001", "localhost", "169.254.169.254", "::ffff:10.0.0.1"])
async def test_a_proxy_is_not_asked_for_a_forbidden_address(make_transport, request_to, scheme, host):
    async with peer_saying(HI) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        transport = make_transport(proxies={"HTTPS_PROXY": url, "HTTP_PROXY": url})
        with pytest.raises(ConnectFailed, match="not connected"):
            await transport.send(request_to(0, origin=Origin(scheme, host, 80)))
    assert proxy.connections == 0


async def test_plain_http_goes_to_the_proxy_in_absolute_form(make_transport, request_to):
    async with peer_saying(HI) as proxy:
        transport = make_transport(proxies={"HTTP_PROXY": f"http://alice:pw@127.0.0.1:{proxy.port}"})
        response = await transport.send(request_to(0, origin=Origin("http", "api.example.com", 80)))
        assert await response.read(10) == b"hi"
    lines = proxy.heads[0].split(b"\r\n")
    assert lines[0] == b"POST http://api.example.com/v1/chat/completions HTTP/1.1"
    assert lines[1] == b"Host: api.example.com"
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"alice:pw") in lines


def test_the_metadata_server_is_never_asked_through_a_proxy():
    origin = Origin("http", "metadata.google.internal", 80, guarded=False)
    env = {"HTTP_PROXY": "http://p:1"}
    assert proxy_for(origin, env) is not None
    assert proxy_for(msgspec.structs.replace(origin, metadata=True), env) is None

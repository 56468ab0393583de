"""Certificates that are good, wrong, unknown or expired; the protocol asked for; and what an unclean end means."""

import asyncio
import datetime
import ssl

import pytest
import trustme

from tests.fakes.raw_peer import peer_of, peer_saying, until
from trunkline.errors import ConfigError
from trunkline.execution.transport.types import Origin, TlsFailed, Truncated

OK = b"HTTP/1.1 200 OK\r\n"
HI = OK + b"Content-Length: 2\r\n\r\nhi"


def at(port: int, host: str = "localhost") -> Origin:
    return Origin("https", host, port, guarded=False)


def server_context(authority: trustme.CA, **options: object) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", **options).configure_cert(context)
    return context


async def test_a_good_certificate_is_accepted_and_the_name_is_sent(make_transport, request_to, tls):
    names: list[str | None] = []
    tls.server.sni_callback = lambda _, name, __: names.append(name)
    async with peer_saying(HI, HI, tls=tls.server) as peer:
        transport = make_transport(ca_file=tls.ca_file)
        assert await (await transport.send(request_to(0, origin=at(peer.port)))).read(10) == b"hi"
        assert (await transport.send(request_to(0, origin=at(peer.port)))).reused
    assert names == ["localhost"]


async def test_an_address_is_verified_as_an_address(make_transport, request_to, tls):
    async with peer_saying(HI, tls=tls.server) as peer:
        transport = make_transport(ca_file=tls.ca_file)
        response = await transport.send(request_to(0, origin=at(peer.port, "127.0.0.1")))
        assert await response.read(10) == b"hi"


async def test_only_http_1_1_is_offered(make_transport, request_to, tls):
    tls.server.set_alpn_protocols(["h2", "http/1.1"])
    chosen: list[str | None] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chosen.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await peer.read_request(reader)
        writer.write(HI)
        await reader.read()

    async with peer_of(script, tls=tls.server) as peer:
        transport = make_transport(ca_file=tls.ca_file)
        assert await (await transport.send(request_to(0, origin=at(peer.port)))).read(10) == b"hi"
    assert chosen == ["http/1.1"]


async def test_a_certificate_for_another_name_is_refused(make_transport, request_to, tls):
    async with peer_saying(HI, tls=tls.only_other_name) as peer:
        transport = make_transport(ca_file=tls.ca_file)
        with pytest.raises(TlsFailed, match="certificate of localhost"):
            await transport.send(request_to(0, origin=at(peer.port)))
        await until(lambda: transport.stats().open == 0 and peer.open == 0)


async def test_an_unknown_authority_is_refused(transport, request_to, tls):
    async with peer_saying(HI, tls=tls.server) as peer:
        with pytest.raises(TlsFailed, match="certificate"):
            await transport.send(request_to(0, origin=at(peer.port)))


async def test_an_expired_certificate_is_refused(make_transport, request_to, tls):
    yesterday = datetime.datetime.now(tz=datetime.UTC) - datetime.timedelta(days=1)
    context = server_context(tls.authority, not_after=yesterday)
    async with peer_saying(HI, tls=context) as peer:
        transport = make_transport(ca_file=tls.ca_file)
        with pytest.raises(TlsFailed, match="expired"):
            await transport.send(request_to(0, origin=at(peer.port)))


async def test_a_peer_that_speaks_no_tls_is_a_tls_failure(transport, request_to):
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with peer_of(script) as peer:
        with pytest.raises(TlsFailed):
            await transport.send(request_to(0, origin=at(peer.port)))


async def test_a_peer_that_closes_in_the_handshake_is_a_tls_failure(transport, request_to):
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with peer_of(script) as peer:
        with pytest.raises(TlsFailed):
            await transport.send(request_to(0, origin=at(peer.port)))


async def test_the_session_is_resumed_on_the_next_connection(make_transport, request_to, tls):
    resumed: list[bool] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        resumed.append(writer.get_extra_info("ssl_object").session_reused)
        await peer.read_request(reader)
        writer.write(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi")
        await reader.read()

    async with peer_of(script, tls=tls.server) as peer:
        transport = make_transport(ca_file=tls.ca_file)
        for _ in range(3):
            assert await (await transport.send(request_to(0, origin=at(peer.port)))).read(10) == b"hi"
    assert resumed == [False, True, True]


async def test_a_body_without_framing_is_whole_only_with_a_tls_farewell(make_transport, request_to, tls):
    """Anybody on the way can close a TCP connection; only the peer can say close_notify (RFC 9112, 9.8)."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        writer.write(OK + b"\r\nab")
        await writer.drain()
        if peer.connections == 1:
            writer.close()
            await writer.wait_closed()

    async with peer_of(script, tls=tls.server) as peer:
        transport = make_transport(ca_file=tls.ca_file)
        assert await (await transport.send(request_to(0, origin=at(peer.port)))).read(10) == b"ab"
        with pytest.raises(Truncated):
            await (await transport.send(request_to(0, origin=at(peer.port)))).read(10)


async def test_a_large_body_goes_out_and_comes_back(make_transport, request_to, tls):
    body = bytes(range(256)) * 8192

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        writer.write(OK + b"Content-Length: %d\r\n\r\n" % len(body) + peer.bodies[0])
        await reader.read()

    async with peer_of(echo, tls=tls.server) as peer:
        transport = make_transport(ca_file=tls.ca_file)
        assert await (await transport.send(request_to(0, origin=at(peer.port), body=body))).read(len(body)) == body


async def test_a_ca_file_that_is_none_stops_the_start_and_names_itself(make_transport, tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"ca\.pem"):
        make_transport(ca_file=str(tmp_path / "ca.pem"))

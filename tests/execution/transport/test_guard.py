"""Which addresses are never connected to, however they are spelled, and that the checked address is the one connected to."""

import asyncio
import ipaddress
import socket

import pytest

from tests.fakes.raw_peer import peer_saying
from trunkline.execution.transport import guard
from trunkline.execution.transport.types import ConnectFailed, Origin

HI = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:c0a8:1::1",
    "2001:0:1::",
    "2001:db8::1",
    "fc00::1",
    "fd00::1",
    "fec0::1",
    "ff02::1",
    "100::1",
]
NEVER = [
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::a9fe:a9fe",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]


@pytest.mark.parametrize("address", PRIVATE + NEVER)
def test_a_guarded_origin_refuses_every_address_that_is_not_public(address):
    assert guard.refusal(ipaddress.ip_address(address), guarded=True)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_let_through(address):
    assert not guard.refusal(ipaddress.ip_address(address), guarded=True)


@pytest.mark.parametrize("address", PRIVATE)
def test_an_unguarded_origin_may_be_private(address):
    assert not guard.refusal(ipaddress.ip_address(address), guarded=False)


@pytest.mark.parametrize("address", NEVER)
def test_link_local_and_metadata_addresses_are_refused_even_unguarded(address):
    assert "never" in guard.refusal(ipaddress.ip_address(address), guarded=False)


@pytest.mark.parametrize(
    "host", ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", "[::1]", "localhost", "a.localhost."]
)
def test_old_spellings_of_this_machine_are_known(host):
    assert guard.refusal_of_name(host, guarded=True)


@pytest.mark.parametrize("host", ["api.example.com", "8.8.8.8", "localhost.example.com"])
def test_ordinary_names_are_left_to_the_proxy(host):
    assert not guard.refusal_of_name(host, guarded=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "::1"])
async def test_a_guarded_origin_on_this_machine_is_not_connected_to(transport, request_to, host):
    async with peer_saying(HI) as peer:
        with pytest.raises(ConnectFailed, match="guarded"):
            await transport.send(request_to(0, origin=Origin("http", host, peer.port)))
    assert peer.connections == 0


async def test_link_local_is_not_connected_to_unguarded_either(transport, request_to):
    with pytest.raises(ConnectFailed, match="never"):
        await transport.send(request_to(0, origin=Origin("http", "169.254.169.254", 80, guarded=False)))


METADATA = Origin("http", "metadata.google.internal", 80, guarded=False, metadata=True)


@pytest.mark.parametrize("address", ["169.254.169.254", "fd20:ce::254"])
def test_the_metadata_server_that_the_operator_chose_is_connected_to(address):
    assert not guard.refusal_of_metadata(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["169.254.170.2", "127.0.0.1", "10.0.0.1", "93.184.216.34", "fd00:ec2::254", "::ffff:169.254.169.254"]
)
@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_its_name_leads_to_nothing_else(transport, request_to, monkeypatch, address):
    resolving(monkeypatch, [address])
    with pytest.raises(ConnectFailed, match="not the metadata server's address"):
        await transport.send(request_to(0, origin=METADATA))


def resolving(monkeypatch, *answers: list[str]) -> None:
    """The resolver is another machine's: each question gets the next answer, the last one is repeated."""
    left = list(answers)

    async def getaddrinfo(host, port, **_):
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo, raising=False)


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_one_private_address_among_public_ones_condemns_the_name(transport, request_to, monkeypatch):
    resolving(monkeypatch, ["93.184.216.34", "10.0.0.1"])
    with pytest.raises(ConnectFailed, match=r"10\.0\.0\.1"):
        await transport.send(request_to(0, origin=Origin("http", "rebind.example.com", 80)))


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_a_link_local_address_beside_a_good_one_is_left_out_unguarded(transport, request_to, monkeypatch):
    async with peer_saying(HI) as peer:
        resolving(monkeypatch, ["fe80::1%lo", "127.0.0.1"])
        origin = Origin("http", "nas.example.com", peer.port, guarded=False)
        assert await (await transport.send(request_to(0, origin=origin))).read(10) == b"hi"


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_a_name_is_resolved_once_and_the_checked_address_is_connected_to(transport, request_to, monkeypatch):
    async with peer_saying(HI) as peer:
        resolving(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
        origin = Origin("http", "rebind.example.com", peer.port, guarded=False)
        assert await (await transport.send(request_to(0, origin=origin))).read(10) == b"hi"


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_the_next_address_is_tried_when_one_refuses(transport, request_to, monkeypatch):
    async with peer_saying(HI) as peer:
        resolving(monkeypatch, ["127.0.0.2", "127.0.0.1"])
        origin = Origin("http", "two.example.com", peer.port, guarded=False)
        assert await (await transport.send(request_to(0, origin=origin))).read(10) == b"hi"


async def test_a_name_that_does_not_resolve_is_a_failed_connect(transport, request_to):
    with pytest.raises(ConnectFailed, match="not resolved"):
        await transport.send(request_to(0, origin=Origin("http", "no-such-host.invalid", 80)))


async def test_a_port_that_refuses_is_a_failed_connect(transport, request_to):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectFailed, match="cannot be reached"):
            await transport.send(request_to(unused.getsockname()[1]))


async def test_a_scheme_that_is_not_http_is_a_failed_connect(transport, request_to):
    with pytest.raises(ConnectFailed, match="ftp"):
        await transport.send(request_to(0, origin=Origin("ftp", "api.example.com", 21)))

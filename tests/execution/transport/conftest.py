"""Fixtures of the transport's tests: every test runs on asyncio's own loop and on uvloop."""

import asyncio
import pathlib
import ssl
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest
import trustme
import uvloop
from hypothesis import settings

from trunkline.execution.transport.client import HttpTransport
from trunkline.execution.transport.options import TransportOptions
from trunkline.execution.transport.types import Origin, UpstreamRequest

settings.register_profile("fuzz", max_examples=5_000)

MakeTransport = Callable[..., HttpTransport]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def make_transport() -> AsyncIterator[MakeTransport]:
    """Takes the fields of `TransportOptions`; what it made is closed after the test, and must be closed then."""
    made: list[HttpTransport] = []

    def make(**options: object) -> HttpTransport:
        transport = HttpTransport(TransportOptions(**options))  # type: ignore[arg-type]
        made.append(transport)
        return transport

    yield make
    for transport in made:
        await transport.aclose()
        assert transport.stats().open == 0


@pytest.fixture
def transport(make_transport: MakeTransport) -> HttpTransport:
    return make_transport()


@pytest.fixture
def request_to() -> Callable[..., UpstreamRequest]:
    """`request_to(port, body=b"...", total_s=1.0)`: a POST to this machine, unguarded; any field may be given."""

    def make(port: int, **fields: object) -> UpstreamRequest:
        chosen: dict[str, object] = {
            "origin": Origin("http", "127.0.0.1", port, guarded=False),
            "method": b"POST",
            "target": b"/v1/chat/completions",
            "headers": ((b"Authorization", b"Bearer sk-test"),),
            "body": b"{}",
        }
        return UpstreamRequest(**{**chosen, **fields})  # type: ignore[arg-type]

    return make


class Tls(msgspec.Struct):
    """An authority made for the tests, its file, and what servers show."""

    authority: trustme.CA
    ca_file: str
    server: ssl.SSLContext
    """For localhost, 127.0.0.1 and api.example.com."""
    only_other_name: ssl.SSLContext


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA, tmp_path: pathlib.Path) -> Tls:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1", "api.example.com").configure_cert(server)
    only_other_name = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("api.example.com").configure_cert(only_other_name)
    return Tls(authority, str(ca_file), server, only_other_name)

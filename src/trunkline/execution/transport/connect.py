"""Opens connections. In: an `Origin`, and the proxy on the way if any. Out: a connected (for https: verified) protocol.

The egress guard sits between DNS and connect: the address that was checked is the one that is connected to, so that a
name which resolves differently the second time gains nothing.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable

from trunkline.execution.transport import guard
from trunkline.execution.transport.connection import Connection
from trunkline.execution.transport.proxies import Proxy
from trunkline.execution.transport.request_head import bracketed
from trunkline.execution.transport.tunnel import Tunnel
from trunkline.execution.transport.types import ConnectFailed, ConnectTimeout, Origin, TlsFailed

_SHORTEST_TRY_S = 0.25


async def connect(
    origin: Origin,
    proxy: Proxy | None,
    make: Callable[[], Connection],
    context: Callable[[], ssl.SSLContext],
    timeout_s: float,
) -> Connection:
    """`ConnectFailed`, `TlsFailed` or `ConnectTimeout`: `timeout_s` is for all of DNS, TCP, proxy and TLS."""
    tls = context() if origin.scheme == "https" else None
    proxy_tls = context() if proxy is not None and proxy.tls else None
    host = origin.host.strip("[]")
    deadline = asyncio.get_running_loop().time() + timeout_s
    try:
        async with asyncio.timeout_at(deadline):
            if origin.unix_path:
                return await _finish(await _open_unix(origin.unix_path), make, tls, host)
            if proxy is None:
                sock = await _open_guarded(origin, deadline)
                return await _finish(sock, make, tls, host)
            _refuse_forbidden_name(origin)
            sock = await _open(await _resolve(proxy.host, proxy.port), deadline)
            if tls is None:
                return await _finish(sock, make, proxy_tls, proxy.host)
            return await _finish_through_tunnel(sock, origin, proxy, make, tls, proxy_tls)
    except TimeoutError:
        raise ConnectTimeout(f"{origin.host}:{origin.port} was not connected within {timeout_s:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise TlsFailed(f"the certificate of {origin.host} is not good: {error.verify_message}") from error
    except (ssl.SSLError, ssl.CertificateError) as error:
        raise TlsFailed(f"TLS with {origin.host} failed: {error.reason or error}") from error
    except OSError as error:
        raise ConnectFailed(f"{origin.host}:{origin.port} cannot be reached: {error.strerror or error}") from error


def _refuse_forbidden_name(origin: Origin) -> None:
    rule = guard.refusal_of_name(origin.host, guarded=origin.guarded)
    if rule:
        raise ConnectFailed(f"not connected: {rule}")


async def _open_guarded(origin: Origin, deadline: float) -> socket.socket:
    addresses = await _resolve(origin.host.strip("[]"), origin.port)
    rules = [_refusal(origin, address) for address, _ in addresses]
    allowed = [address for address, rule in zip(addresses, rules, strict=True) if not rule]
    # Guarded, one bad address condemns the name: which of them is tried is not for the name's owner to choose. Unguarded,
    # a machine of the local network may well have a link-local address beside the one that is meant.
    if not allowed or (origin.guarded and len(allowed) < len(addresses)):
        raise ConnectFailed(f"{origin.host} is not connected to: {next(filter(None, rules), 'it has no address')}")
    return await _open(allowed, deadline)


def _refusal(origin: Origin, address: guard.Address) -> str:
    if origin.metadata:
        return guard.refusal_of_metadata(address)
    return guard.refusal(address, guarded=origin.guarded)


async def _resolve(host: str, port: int) -> list[tuple[guard.Address, int]]:
    try:
        return [(ipaddress.ip_address(host), port)]
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConnectFailed(f"the name {host} was not resolved: {error}") from error
    # A scope (fe80::1%eth0) belongs to link-local addresses only, which the guard refuses.
    return [(ipaddress.ip_address(str(address[0]).partition("%")[0]), port) for *_, address in found]


async def _open(addresses: list[tuple[guard.Address, int]], deadline: float) -> socket.socket:
    """The addresses in the resolver's order; each but the last gets an equal share of the time that is left."""
    loop = asyncio.get_running_loop()
    failure: OSError = OSError("the name has no address")
    for position, (address, port) in enumerate(addresses):
        left = len(addresses) - position
        share_s = max((deadline - loop.time()) / left, _SHORTEST_TRY_S)
        try:
            async with asyncio.timeout(share_s if left > 1 else None):
                return await _open_one(address, port)
        except OSError as error:
            failure = error
    raise failure


async def _open_one(address: guard.Address, port: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # Reasoning models are silent for minutes; without probes a NAT on the way forgets the connection.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
    except BaseException:
        sock.close()
        raise
    return sock


async def _open_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, path)
    except BaseException:
        sock.close()
        raise
    return sock


async def _finish(
    sock: socket.socket, make: Callable[[], Connection], tls: ssl.SSLContext | None, host: str
) -> Connection:
    loop = asyncio.get_running_loop()
    try:
        _, connection = await loop.create_connection(
            make, sock=sock, ssl=tls, server_hostname=host if tls is not None else None
        )
    except BaseException as error:
        sock.close()
        raise _as_tls_failure(error, tls, host) from error
    return connection


def _as_tls_failure(error: BaseException, tls: ssl.SSLContext | None, host: str) -> BaseException:
    """Closed or reset after TCP was up: it was the handshake that failed, and not for a lack of a route."""
    if tls is not None and isinstance(error, ConnectionError):
        return TlsFailed(f"{host} closed the connection in the TLS handshake")
    return error


async def _finish_through_tunnel(
    sock: socket.socket,
    origin: Origin,
    proxy: Proxy,
    make: Callable[[], Connection],
    tls: ssl.SSLContext,
    proxy_tls: ssl.SSLContext | None,
) -> Connection:
    """RFC 9110, 9.3.6: CONNECT, and TLS with the origin inside."""
    loop = asyncio.get_running_loop()
    host = origin.host.strip("[]")
    try:
        transport, tunnel = await loop.create_connection(
            lambda: Tunnel(loop),
            sock=sock,
            ssl=proxy_tls,
            server_hostname=proxy.host if proxy_tls is not None else None,
        )
    except BaseException:
        sock.close()
        raise
    try:
        await tunnel.open(f"{bracketed(origin.host)}:{origin.port}", proxy.authorization)
        connection = make()
        inner = await loop.start_tls(transport, connection, tls, server_hostname=host)
    except BaseException as error:
        transport.abort()
        raise _as_tls_failure(error, tls, host) from error
    assert inner is not None
    # `start_tls` changes the protocol of a running transport and does not announce it.
    connection.connection_made(inner)
    return connection

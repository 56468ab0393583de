"""The sockets that a server listens on. In: bound sockets, a path. Out: a protocol for each connection; at the end none that waited is lost."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

BACKLOG = 2_048


class Listening:
    """Lives as long as its server."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, make: Callable[[], asyncio.Protocol], handshake_s: float
    ) -> None:
        self._loop = loop
        self._make = make
        self._handshake_s = handshake_s
        self._servers: list[asyncio.Server] = []
        self._sockets: list[tuple[socket.socket, ssl.SSLContext | None]] = []

    async def on(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Serve on a socket that listens."""
        timeout_s = self._handshake_s if tls else None
        self._servers.append(
            await self._loop.create_server(
                self._make, sock=listener, ssl=tls, backlog=BACKLOG, ssl_handshake_timeout=timeout_s
            )
        )
        self._sockets.append((listener, tls))

    async def at(self, path: Path) -> None:
        """Serve on a unix socket as well."""
        self._servers.append(await self._loop.create_unix_server(self._make, str(path)))

    async def close(self) -> None:
        """No new connections. Those that wait in a socket, perhaps with their request, are still taken: they would be reset with it."""
        waiting = [(accepted, tls) for listener, tls in self._sockets for accepted in _waiting_in(listener)]
        for server in self._servers:
            server.close()
        self._servers.clear()
        self._sockets.clear()
        taking = (
            self._loop.connect_accepted_socket(
                self._make, accepted, ssl=tls, ssl_handshake_timeout=self._handshake_s if tls else None
            )
            for accepted, tls in waiting
        )
        await asyncio.gather(*taking, return_exceptions=True)


def _waiting_in(listener: socket.socket) -> Iterator[socket.socket]:
    while True:
        try:
            yield listener.accept()[0]
        except OSError:
            # None is left; or one has left meanwhile.
            return

"""Asks a proxy for a tunnel by CONNECT. In: `host:port`, its authorization line. Out: nothing, or `ConnectFailed`."""

import asyncio

from trunkline.execution.transport.types import ConnectFailed

_LARGEST_HEAD_BYTES = 16 * 1024


class Tunnel(asyncio.Protocol):
    """The first protocol on a connection to a proxy. Lives until TLS with the origin takes its place."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._answered = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._head = b""

    async def open(self, authority: str, authorization: bytes) -> None:
        assert self._transport is not None, "create_connection has called connection_made"
        line = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n".encode()
        self._transport.write(b"%b%b\r\n" % (line, authorization))
        head: bytes = await self._answered
        status_line = head.split(b"\r\n", 1)[0].split(b" ", 2)
        if len(status_line) < 2 or not status_line[0].startswith(b"HTTP/1."):
            raise ConnectFailed("the proxy did not answer CONNECT in HTTP")
        status = status_line[1]
        if status == b"407":
            raise ConnectFailed(
                "the proxy wants credentials (407); put them into its URL: http://user:password@host:port"
            )
        if not (len(status) == 3 and status.startswith(b"2")):
            raise ConnectFailed(f"the proxy refused the tunnel to {authority} (status {status.decode('latin-1')[:3]})")
        if not head.endswith(b"\r\n\r\n"):
            raise ConnectFailed("the proxy sent more than its answer to CONNECT")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # stream transports are all that is asked for

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self._answered.done():
            return
        if b"\r\n\r\n" in self._head:
            self._answered.set_result(self._head)
        elif len(self._head) > _LARGEST_HEAD_BYTES:
            self._answered.set_exception(ConnectFailed("the proxy's answer to CONNECT is too large"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if not self._answered.done():
            self._answered.set_exception(ConnectFailed("the proxy closed the connection before it answered CONNECT"))
            self._answered.exception()  # taken here: the one who waited may have been cancelled

"""The client at the other end of one request: what can be sent to it, and how a connection is broken on purpose.

Speaks ASGI, with one extension of our own, `trunkline.connection`, through which `server.py` lends the raw transport
for resets.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
EXTENSION = "trunkline.connection"
SHORT_S = 0.1
"""A wait up to this is slept through, which costs a third of one that can be woken: a paced stream has one an event."""


class Peer:
    """Lives for one request and its answer."""

    def __init__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.transport: asyncio.Transport | None = (scope.get("extensions") or {}).get(EXTENSION)
        self.receive = receive
        self.send = send
        self.leaving: asyncio.Task[None] | None = None

    async def body(self) -> bytes | None:
        """The whole request body; None if the client left before its end."""
        parts: list[bytes] = []
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(parts)

    async def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        await self.send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def write(self, data: bytes, *, more: bool) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def waited(self, seconds: float) -> bool:
        """Waits; False if the client leaves meanwhile, told at once where the wait is long."""
        if seconds <= 0:
            return self.leaving is None or not self.leaving.done()
        leaving = self.watch()
        if seconds > SHORT_S:
            await asyncio.wait({leaving}, timeout=seconds)
        elif not leaving.done():
            await asyncio.sleep(seconds)
        return not leaving.done()

    async def left(self) -> None:
        """Returns when the client has gone."""
        await self.watch()

    def watch(self) -> asyncio.Task[None]:
        if self.leaving is None:
            self.leaving = asyncio.ensure_future(self.wait_for_end())
        return self.leaving

    async def wait_for_end(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def close(self) -> None:
        """Ends the connection without ending the answer."""
        if self.transport is not None:
            self.transport.close()
            await self.left()

    async def reset(self) -> None:
        """Sends a TCP reset: with a linger time of zero, closing a socket discards what is unsent and sends RST
        (socket(7))."""
        if self.transport is None:
            return
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
        await self.left()

    async def release(self) -> None:
        """Stops watching for the client. Always called at the end."""
        if self.leaving is not None and not self.leaving.done():
            self.leaving.cancel()
            await asyncio.wait({self.leaving})

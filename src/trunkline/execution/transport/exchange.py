"""An answer while it comes in (an `UpstreamResponse`). In: parts, the end or an error of a connection. Out: chunks."""

import asyncio
from typing import TYPE_CHECKING

from trunkline.errors import TransportError
from trunkline.execution.transport.types import Malformed, Reset

if TYPE_CHECKING:
    from trunkline.execution.transport.connection import Connection


class Exchange:
    """An answer while it comes in. Lives from the sending of its request until the body was read or given up."""

    __slots__ = (
        "_connection",
        "_error",
        "_idle_s",
        "_parts",
        "_waiter",
        "ended",
        "headed",
        "headers",
        "reused",
        "sent_at",
        "stale",
        "status",
    )

    def __init__(
        self,
        connection: "Connection",
        parts: list[bytes],
        waiter: asyncio.Future[None],
        sent_at: float,
        idle_s: float,
    ) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.reused = connection.uses > 0
        self.sent_at = sent_at
        self.headed = False
        self.ended = False
        self.stale = False
        """The peer had closed the kept connection before anything of an answer came: it may be sent again."""
        self._connection: Connection | None = connection
        self._parts = parts
        self._waiter: asyncio.Future[None] | None = waiter
        self._error: TransportError | None = None
        self._idle_s = idle_s

    @property
    def idle_s(self) -> float:
        return self._idle_s

    @idle_s.setter
    def idle_s(self, idle_s: float) -> None:
        self._idle_s = idle_s
        if self._connection is not None:
            self._connection.reconsider()

    async def head(self) -> TransportError | None:
        """Waits for the head of the final answer; an error is returned, because the sender may try again."""
        waiter = self._waiter
        if waiter is not None:
            try:
                await waiter
            except BaseException:
                self.abort()
                raise
        return None if self.headed else self._error

    async def chunk(self) -> bytes:
        # A read may have been nothing but framing, so this may wait more than once.
        while not self._parts:
            if self._connection is None:
                if self._error is not None:
                    raise self._error
                return b""
            waiter = self._waiter = self._connection.loop.create_future()
            try:
                await waiter
            except BaseException:
                self.abort()
                raise
        parts = self._parts
        if len(parts) == 1:
            data = parts[0]
            parts.clear()
        else:
            data = b"".join(parts)
            parts.clear()
        if self._connection is not None:
            self._connection.taken()
        return data

    async def read(self, limit_bytes: int) -> bytes:
        pieces = []
        size = 0
        while piece := await self.chunk():
            size += len(piece)
            if size > limit_bytes:
                self.abort()
                raise Malformed(f"the answer's body is larger than {limit_bytes} bytes")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def abort(self) -> None:
        if self._connection is not None:
            self._parts.clear()
            self._connection.give_up(Reset("the answer was given up by its reader"))

    # Called by the connection only.

    def wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def keep_parts(self, parts: list[bytes]) -> None:
        """The list so far was the connection's own."""
        self._parts = parts

    def end(self) -> None:
        self.ended = True
        self._connection = None
        self.wake()

    def fail(self, error: TransportError) -> None:
        self._error = error
        self._connection = None
        self.wake()

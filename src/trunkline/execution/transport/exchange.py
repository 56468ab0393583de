"""An answer while it comes in (an `UpstreamResponse`). In: parts, the end or an error of a connection. Out: chunks."""

import asyncio
from typing import TYPE_CHECKING

from trunkline.errors import TransportError
from trunkline.execution.transport.types import Malformed, Reset, Take

if TYPE_CHECKING:
    from trunkline.execution.transport.connection import Connection


class Exchange:
    """An answer while it comes in. Lives from the sending of its request until the body was read or given up."""

    __slots__ = (
        "_connection",
        "_error",
        "_held",
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
        "take",
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
        self._held: asyncio.Future[None] | None = None
        self.take: Take | None = None
        """Whom every piece of the body is handed to as it comes, while `pump` runs."""

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

    async def pump(self, take: Take) -> None:
        self.take = take
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        self.deliver(take)
        try:
            await waiter
        except BaseException:
            self.abort()
            raise
        finally:
            self.take = None
        if self._error is not None:
            raise self._error

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

    def deliver(self, take: Take) -> None:
        """Hand over what has come, in the turn of the loop in which it came: no task is woken for it."""
        if self._held is not None:
            return
        parts = self._parts
        if parts:
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()
            try:
                held = take(data)
            except BaseException as error:  # noqa: BLE001 - raised where `pump` is awaited
                self._fail_pump(error)
                return
            if held is not None:
                self._hold(held)
                return
        if self._connection is None:
            self._wake_task()

    def _hold(self, until: "asyncio.Future[None]") -> None:
        self._held = until
        if self._connection is not None:
            self._connection.pause()
        until.add_done_callback(self._go_on)

    def _go_on(self, until: "asyncio.Future[None]") -> None:
        del until
        self._held = None
        if self._connection is not None:
            self._connection.taken()
        if self.take is not None:
            self.deliver(self.take)

    def _fail_pump(self, error: BaseException) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self.abort()

    def wake(self) -> None:
        if self.take is not None:
            self.deliver(self.take)
        else:
            self._wake_task()

    def _wake_task(self) -> None:
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
        if self._held is not None and error.is_held:
            # It is the reader who is late: what has come is not kept for it any longer.
            self._wake_task()
        else:
            self.wake()

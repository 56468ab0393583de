"""An answer while it comes in (an `UpstreamResponse`). In: parts, the end or an error of a connection. Out: chunks."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from trunkline.errors import TransportError
from trunkline.execution.transport.response_head import headers_of
from trunkline.execution.transport.types import Malformed, PassOn, Reset, Take

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
        "on_end",
        "pass_on",
        "raw_head",
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
        sent_at: float,
        idle_s: float,
        reused: bool,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        """`on_end` is told once, when the answer has ended or broken, or is more than may wait: then nobody has to wait for it in a task."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.reused = reused
        self.sent_at = sent_at
        self.headed = False
        self.ended = False
        self.stale = False
        """The peer had closed the kept connection before anything of an answer came: it may be sent again."""
        self._connection: Connection | None = connection
        self._parts = parts
        self._waiter: asyncio.Future[None] | None = None
        self._error: TransportError | None = None
        self._idle_s = idle_s
        self._held: asyncio.Future[None] | None = None
        self.take: Take | None = None
        """Whom every piece of the body is handed to as it comes, while `pump` runs."""
        self.pass_on: PassOn | None = None
        """Asked first, while `pump` runs, where a read is one chunk."""
        self.on_end = on_end
        self.raw_head = b""
        """Of an answer that came whole: `headers` are made of it where `head` is asked for."""

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
        if not self.headed and self._connection is not None:
            waiter = self._waiter = self._connection.loop.create_future()
            try:
                await waiter
            except BaseException:
                self.abort()
                raise
        if self.raw_head:
            self.headers = headers_of(self.raw_head)
        return None if self.headed else self._error

    @property
    def body(self) -> bytes:
        """All that has come and was not taken; it stays."""
        parts = self._parts
        return parts[0] if len(parts) == 1 else b"".join(parts)

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
        if self._connection is not None:
            # So much may have come with the head that reading was paused; from now on the reader says when it is.
            self._connection.taken()
        self.deliver(take)
        try:
            await waiter
        except BaseException:
            self.abort()
            raise
        finally:
            self.take = self.pass_on = None
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
        if self.on_end is not None:
            told, self.on_end = self.on_end, None
            told()
        elif self.take is not None:
            self.deliver(self.take)
        else:
            self._wake_task()

    def _wake_task(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def take_whole(self, data: bytes, start: int) -> None:
        """A whole answer with status 200, whose body starts there."""
        self.status = 200
        self.headed = self.ended = True
        self.raw_head = data[:start]
        self._parts = [data[start:]]
        self._connection = None
        self.wake()

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

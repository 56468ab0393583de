"""The answer on its way to the caller.

In: status, headers, bytes. Out: the same on the caller's connection, comments while nothing comes, and word when the caller left.

Writing never waits. A caller that reads slowly makes the reply `is_full`: whoever has more to write, waits for `room` first.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Protocol

Headers = list[tuple[bytes, bytes]]

_CONTROL = re.compile(r"[^ -~]")


def header_text(text: str, most: int) -> bytes:
    """Words of others, such as the names of a caller's fields, as a header may hold them: a line end in them would begin a header of theirs."""
    return _CONTROL.sub("?", text[:most]).encode("ascii")


def id_lines(request_id: bytes) -> bytes:
    """The id under all the names that clients read: OpenAI's and Codex print the first, Anthropic's reads the second."""
    return b"".join(
        (
            b"x-request-id: ",
            request_id,
            b"\r\nrequest-id: ",
            request_id,
            b"\r\nx-zenmux-requestid: ",
            request_id,
            b"\r\n",
        )
    )


class Wire(Protocol):
    """What the chunks of an answer are written to."""

    is_full: bool

    @property
    def transport(self) -> asyncio.WriteTransport: ...


class Caller(Protocol):
    """The connection that the answer goes to."""

    common: bytes
    """Header lines of every answer, as they are sent."""
    on_left: Callable[[], None] | None
    """Told when the caller leaves before the end of its answer."""

    @property
    def is_full(self) -> bool: ...

    def room(self) -> "asyncio.Future[None]": ...

    def whole(self, status: int, headers: Headers, body: bytes) -> None: ...

    def start(self, status: int, headers: Headers, first: bytes = b"") -> Wire | None:
        """Gives what chunks may be written to as HTTP/1.1 has them; None where they cannot, and all goes by `send`."""

    def send(self, data: bytes) -> bool: ...

    def end(self) -> None: ...


class Reply:
    """One answer. Lives as long as its request.

    A sign of life commits status and headers, not the answer: failing over goes on behind it.
    """

    __slots__ = (
        "_caller", "_keepalive_s", "_last_at", "_loop", "_on_left", "_outlives", "_see", "_see_head", "_sign", "_stream_headers", "_tick", "_wire",
        "bytes_sent", "left", "request_id", "started", "told",
    )  # fmt: skip

    def __init__(self, caller: Caller, request_id: str, loop: asyncio.AbstractEventLoop) -> None:
        self._caller = caller
        self.request_id = request_id
        caller.common = id_lines(request_id.encode())
        self._loop = loop
        self._keepalive_s = 0.0
        self._last_at = 0.0
        self._on_left: Callable[[], None] | None = None
        self._sign: Callable[[], bytes] = bytes
        self._stream_headers: Headers = []
        self._tick: asyncio.TimerHandle | None = None
        self.started = False
        self.left = False
        self.bytes_sent = 0
        self._see: Callable[[bytes], None] | None = None
        self._see_head: Callable[[int, Headers], None] | None = None
        self._wire: Wire | None = None
        """Once the answer has begun, where nobody looks at what is written."""
        self._outlives = False
        """What comes after the caller left is written all the same: somebody keeps it."""
        self.told: Callable[[int], Headers] | None = None
        """More headers, asked for in the moment in which the head goes out; of its status, which is 0 where a sign of life begins the answer."""
        caller.on_left = self.caller_left

    def add_headers(self, headers: Headers) -> None:
        """Send these too, with any answer."""
        self._caller.common += b"".join([b"%b: %b\r\n" % header for header in headers])

    def through(self, wrap: "Callable[[Caller], Caller]") -> None:
        """From now on everything goes through somebody who stands before the caller, also what comes after the caller has left."""
        self._caller = wrap(self._caller)
        self._outlives = True

    def watch(self, on_left: Callable[[], None]) -> None:
        """Whom to tell, once, when the caller leaves (also if it has); a later call only changes who is told."""
        self._on_left = on_left
        if self.left:
            on_left()

    def keep_alive(self, every_s: float, sign: Callable[[], bytes], headers: Headers) -> None:
        """From now on send a sign of life whenever nothing was sent for so long; `headers` are the stream's. For streams only."""
        if every_s <= 0:
            return
        self._keepalive_s = every_s
        self._sign = sign
        self._stream_headers = headers
        self._last_at = self._loop.time()
        self._tick = self._loop.call_later(every_s, self._look)

    def see_writes(self, see: Callable[[bytes], None]) -> None:
        """From now on what is written is shown to `see` first; to everyone who has asked."""
        before = self._see
        self._see = see if before is None else lambda data: _to_both(before, see, data)
        self._wire = None

    def see_head(self, see: Callable[[int, Headers], None]) -> None:
        """Show status and headers to `see`, once, when they go out."""
        self._see_head = see

    @property
    def is_full(self) -> bool:
        """The caller reads more slowly than is written: wait for `room`."""
        return self._caller.is_full

    def room(self) -> "asyncio.Future[None]":
        """Done when there is room again, or the caller left."""
        return self._caller.room()

    def start(self, status: int, headers: Headers, first: bytes = b"") -> None:
        """Send the head with the first bytes of a stream; only these, where a keep-alive has sent the head."""
        if self.started:
            self.write(first)
        else:
            self._begin(status, status, headers, first)

    def _begin(self, status: int, told_status: int, headers: Headers, first: bytes) -> None:
        if self.left and not self._outlives:
            return
        self.started = True
        self.bytes_sent += len(first)
        if self._see is not None and first:
            self._see(first)
        self._last_at = self._loop.time()
        if self.told is not None and (more := self.told(told_status)):
            headers = headers + more
        if self._see_head is not None:
            self._see_head(status, headers)
        wire = self._caller.start(status, headers, first)
        self._wire = wire if self._see is None else None

    def write(self, data: bytes) -> bool:
        """Send bytes of a stream; whether it `is_full` now. Nothing goes to a caller that left."""
        if self.left and not self._outlives:
            return False
        self.bytes_sent += len(data)
        self._last_at = self._loop.time()
        if self._see is not None and data:
            self._see(data)
        return self._caller.send(data)

    def pass_on(self, chunk: bytes, size: int, at_s: float) -> bool:
        """Send a chunk as HTTP/1.1 has it, with so much data in it; `at_s` is now, by `time.monotonic`. False where it cannot be sent so."""
        wire = self._wire
        if wire is None or wire.is_full:
            return False
        self.bytes_sent += size
        self._last_at = at_s
        wire.transport.write(chunk)
        return True

    def end(self) -> None:
        """End a stream."""
        self.close()
        if self.started and (self._outlives or not self.left):
            self._caller.end()

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send an answer that is not streamed."""
        self.close()
        if self.left and not self._outlives:
            return
        self.started = True
        self.bytes_sent += len(body)
        if self._see is not None:
            self._see(body)
        if self.told is not None and (more := self.told(status)):
            headers = headers + more
        if self._see_head is not None:
            self._see_head(status, headers)
        self._caller.whole(status, headers, body)

    def close(self) -> None:
        """From now on no comment comes in between."""
        self._wire = None
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def caller_left(self) -> None:
        """Told by the connection."""
        self.left = True
        self.close()
        if self._on_left is not None:
            self._on_left()

    def _look(self) -> None:
        """Send a comment if it is time, and look again when the next one may be due."""
        quiet_s = self._loop.time() - self._last_at
        if quiet_s >= self._keepalive_s:
            quiet_s = 0.0
            # A caller that does not even take what is there needs no sign of life.
            if not self.is_full:
                self._give_sign()
        self._tick = self._loop.call_later(max(self._keepalive_s - quiet_s, 0.001), self._look)

    def _give_sign(self) -> None:
        if self.started:
            self.write(self._sign())
        else:
            self._begin(200, 0, self._stream_headers, self._sign())


def _to_both(first: Callable[[bytes], None], second: Callable[[bytes], None], data: bytes) -> None:
    first(data)
    second(data)


STREAM_HEADERS: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # nginx buffers answers unless told not to (https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering).
    (b"x-accel-buffering", b"no"),
]
JSON_HEADERS: Headers = [(b"content-type", b"application/json")]

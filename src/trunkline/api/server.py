"""uvicorn's protocol with limits of its own on what callers send, and with the head of an answer in one write with its first bytes.

In: bytes of a caller. Out: what uvicorn makes of them; 431 and 408 where a head is too large or too slow, and a closed connection where a
body stalls or nothing comes. One timer a connection, which is not moved at reads (as in `execution.transport.connection`).
"""

import asyncio
from http import HTTPStatus
from typing import Any

import msgspec
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers; llhttp has no limit of its own (https://llhttp.org), and parses before anybody is authenticated."""
MAX_QUIET_BYTES = 2 * MAX_HEAD_BYTES
"""Chunk lines and trailers in a row, without a byte of body."""
_HEAD = b"HTTP/1.1 "
_JOINED_BYTES = 64 * 1024
"""Longer bodies are not copied for it."""
_LINGER_S = 2.0
"""A refused caller may still be sending: closed at once, the kernel would reset the connection and the refusal be lost (RFC 9112, 9.6)."""


class ServerProtocol(HttpToolsProtocol):
    """One connection of a caller. Without WebSockets: `ws="none"`."""

    head_s = 30.0
    """From the first byte of a head to its end."""
    body_s = 60.0
    """Between two reads of a body."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        corked = self._corked = _Corked(transport, self.loop)
        super().connection_made(corked)  # type: ignore[arg-type]
        now = self.loop.time()
        self._head_bytes = 0
        self._quiet_bytes = 0
        self._head_since = self._read_at = self._idle_since = now
        self._refused_until: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._look_again(now)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)

    # Reading.

    def data_received(self, data: bytes) -> None:
        if len(data) + self._head_bytes <= MAX_HEAD_BYTES:
            self._parse(data)
        else:
            self._parse_in_pieces(data)

    def _parse(self, data: bytes) -> None:
        HttpToolsProtocol.data_received(self, data)
        self._read_at = self.loop.time()
        cycle = self.cycle
        if cycle is None or cycle.scope is not self.scope:
            self._count_head(data)
            return
        self._head_bytes = 0
        if cycle.more_body:
            self._count_quiet(data)

    def _parse_in_pieces(self, data: bytes) -> None:
        """So that the limits, which are looked at after a piece, hold however the socket cuts the bytes."""
        view = memoryview(data)
        while view and self._refused_until is None and not self._corked.is_closing():
            size = MAX_HEAD_BYTES - self._head_bytes
            self._parse(view[:size])  # type: ignore[arg-type]  # llhttp takes any buffer
            view = view[size:]

    def _count_head(self, data: bytes) -> None:
        if not self._head_bytes:
            self._head_since = self._read_at
        # Of a read that began with the end of another request nobody knows how much belongs to this head.
        self._head_bytes += len(data) if self._head_bytes or self.cycle is None else 1
        if self._head_bytes >= MAX_HEAD_BYTES:
            self._refuse(431, f"The head of the request is larger than {MAX_HEAD_BYTES} bytes.")

    def _count_quiet(self, data: bytes) -> None:
        """uvicorn keeps trailers for good, so they must not be endless."""
        self._quiet_bytes += len(data)
        if self._quiet_bytes > MAX_QUIET_BYTES:
            self._corked.close()

    def on_body(self, body: bytes) -> None:
        self._quiet_bytes = 0
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_response_complete(self) -> None:
        """uvicorn's, with the idle time noted instead of a timer made and cancelled for every request."""
        self.server_state.total_requests += 1
        if self._corked.is_closing():
            return
        self._idle_since = self.loop.time()
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    # Deadlines. Invariant: the timer is armed no later than the earliest deadline that can be running.

    def _look_again(self, now: float) -> None:
        soonest = now + min(self.head_s, self.body_s, self.timeout_keep_alive)
        self._timer = self.loop.call_at(min(self._due(now), soonest), self._look)

    def _look(self) -> None:
        self._timer = None
        now = self.loop.time()
        if now < self._due(now):
            self._look_again(now)
        elif self._refused_until is None and self._head_bytes and self._is_idle():
            self._refuse(408, f"The head of the request was not complete within {self.head_s:g} s.")
        else:
            self._corked.close()

    def _is_idle(self) -> bool:
        """No answer is under way or waits for its turn."""
        return self.cycle is None or self.cycle.response_complete

    def _due(self, now: float) -> float:
        if self._refused_until is not None:
            return self._refused_until
        if self._is_idle():
            since = self._head_since if self._head_bytes else self._idle_since
            return max(since, self._idle_since) + (self.head_s if self._head_bytes else self.timeout_keep_alive)
        cycle = self.cycle
        ours_to_wait = not cycle.more_body or self.flow.read_paused or cycle.waiting_for_100_continue
        return now + self.body_s if ours_to_wait else max(self._read_at, self._corked.resumed_at) + self.body_s

    def _refuse(self, status: int, message: str) -> None:
        """The last answer on this connection; what still comes is thrown away. In the middle of another answer there is no place for it."""
        now = self.loop.time()
        self._head_bytes = MAX_HEAD_BYTES
        self._refused_until = now + _LINGER_S
        if not self._is_idle() or self._corked.is_closing():
            self._corked.close()
            return
        error = {"code": str(status), "type": "invalid_params", "message": message}
        body = msgspec.json.encode({"error": error})
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\nconnection: close\r\n"
        )
        self._corked.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self._corked.say_farewell()
        if self._timer is not None:
            self._timer.cancel()
        self._look_again(now)


class _Corked:
    """A transport in which a head waits for what is written next, at most until the loop's next turn. Lives as long as its connection."""

    __slots__ = ("_head", "_loop", "_transport", "is_closing", "resumed_at")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self.is_closing = transport.is_closing
        self.resumed_at = 0.0
        """Loop time at which reading went on after a pause of ours."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._head and len(data) <= _JOINED_BYTES:
            data, self._head = self._head + data, b""
            self._transport.write(data)
        elif data.startswith(_HEAD) and not self._head:
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._flush()
            self._transport.write(data)

    def resume_reading(self) -> None:
        self.resumed_at = self._loop.time()
        self._transport.resume_reading()

    def say_farewell(self) -> None:
        """Nothing more is written, but what comes is still taken; TLS can only close."""
        self._flush()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

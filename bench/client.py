"""A client for the soak and the crash rounds: one request on a connection of its own or a kept one, read to its end
or left on the way.

In: a `Target`, the text of the request, whether it streams, after how many events to leave. Out: an `Answer`. Never
raises for what a server does.
"""

import asyncio
import time
from typing import cast

import httptools
import msgspec

from bench.load import request_bytes
from bench.types import Target

_TAIL_BYTES = 8192
"""Of an answer is kept: the last event of a stream whole."""


class Answer(msgspec.Struct, frozen=True):
    """What came. `ended` is true where the answer came whole; times are of the wall clock, in Unix seconds."""

    id: str
    status: int
    events: int
    ended: bool
    head_at: float
    ended_at: float
    text: str = ""


class Call(asyncio.Protocol):
    """One connection, for one request after the other."""

    id: str
    text: bytes
    status: int
    events: int
    ended: bool
    kept: bool

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._reset(0)

    @classmethod
    async def open(cls, target: Target) -> "Call | None":
        """A connection, or None where the server takes none."""
        try:
            _, call = await asyncio.get_running_loop().create_connection(cls, target.host, target.port)
        except OSError:
            return None
        return call

    async def ask(self, target: Target, text: str, *, stream: bool, leave_after: int = 0) -> Answer:
        """Sends a request and reads its answer; with `leave_after`, drops the connection after so many events."""
        self._reset(leave_after)
        if self.transport is None or self.transport.is_closing():
            return self._answer()
        self.transport.write(request_bytes(target, text, stream))
        await self.over.wait()
        return self._answer()

    def leave_in_mid_request(self, target: Target) -> None:
        """Sends half of a request and goes: what it asked for was never known."""
        if self.transport:
            whole = request_bytes(target, "Say hello.", False)
            self.transport.write(whole[: len(whole) - 20])
            self.transport.close()

    def close(self) -> None:
        if self.transport:
            self.transport.close()

    @property
    def usable(self) -> bool:
        return self.transport is not None and not self.transport.is_closing() and self.kept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-request-id":
            self.id = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.head_at = time.time()
        self.status = self.parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.events += body.count(b"\n\n")
        self.text = (self.text + body)[-_TAIL_BYTES:]
        if self.leave_after and self.events >= self.leave_after and self.transport:
            self.transport.abort()

    def on_message_complete(self) -> None:
        self.ended = True
        # Only told truly in here: afterwards the parser is set for the next answer.
        self.kept = self.parser.should_keep_alive()
        self.ended_at = time.time()
        self.over.set()

    def _reset(self, leave_after: int) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.over = asyncio.Event()
        self.leave_after = leave_after
        self.id = ""
        self.text = b""
        self.status = 0
        self.events = 0
        self.ended = False
        self.kept = False
        self.head_at = 0.0
        self.ended_at = 0.0

    def _answer(self) -> Answer:
        text = self.text.decode("utf-8", "replace")
        return Answer(self.id, self.status, self.events, self.ended, self.head_at, self.ended_at, text)

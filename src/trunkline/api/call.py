"""One request of a caller, and the way to answer it. In: what the server parsed; status, headers, bytes. Out: HTTP/1.1 on the caller's connection.

Nothing here waits: whoever writes a lot asks `is_full` and waits for `room` (backpressure).
"""

import asyncio
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

import httptools

from trunkline.errors import RequestError
from trunkline.execution.respond import Headers
from trunkline.execution.transport.lengths import KNOWN_LENGTHS, LENGTHS

_JOINED_BYTES = 64 * 1024
"""Longer bodies are not copied to their head."""
_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_OK = _STATUS[200]
_WITHOUT_BODY = (204, 304)


class Handler(Protocol):
    """What is done with a request whose head has come and whose body is being read."""

    max_body_bytes: int

    def run(self, body: bytes) -> Coroutine[Any, Any, None] | None:
        """Answer; called once, with the whole body. None: it is under way, or done, and needs no task."""
        ...

    def refuse(self, error: RequestError) -> None:
        """Answer at once: the body is too large, or the server stops."""
        ...

    def left(self) -> None:
        """The caller left before its body was whole."""
        ...


AtOnce = Callable[["Call", bytes], bool]
"""Begins to answer a request whose body is given. False: nothing was done."""


class Connection(Protocol):
    """The server's side of a connection, as far as an answer needs it."""

    transport: asyncio.Transport
    is_full: bool
    peer: str
    scheme: str

    def date(self) -> bytes: ...

    def room(self) -> "asyncio.Future[None]": ...

    def answered(self, call: "Call") -> None: ...

    def go_on(self, call: "Call", work: Coroutine[Any, Any, None]) -> None: ...


class Call:
    """Lives from the end of the request's head to the end of its answer."""

    __slots__ = (
        "_chunked", "_connection", "answered", "at_once", "body", "common", "complete", "handler", "headers",
        "http_10", "keep_alive", "method", "on_left", "on_stop", "started", "target", "told",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        method: str,
        target: bytes,
        headers: Headers,
        *,
        keep_alive: bool,
        http_10: bool = False,
    ) -> None:
        self._connection = connection
        self.method = method
        self.target = target
        """Path and query as they were sent."""
        self.headers = headers
        """Names in lower case."""
        self.keep_alive = keep_alive
        self.http_10 = http_10
        self.common = b""
        """Header lines of every answer to this request, as they are sent."""
        self.handler: Handler | None = None
        self.body: bytes | bytearray = b""
        self.complete = False
        """The whole request has come."""
        self.started = False
        self.answered = False
        self.on_left: Callable[[], None] | None = None
        """Told once, when the caller leaves before its answer has ended."""
        self.on_stop: Callable[[], None] | None = None
        """Told when the server stops: who makes the answer without a task shall go on in one, which can be cancelled."""
        self.told: Any = None
        """What the application found in the head, where it is the same for each request with that head: it is not looked at again."""
        self.at_once: AtOnce | None = None
        """Beside `told`: who may answer a whole request with that head before anything else is made of it."""
        self._chunked = False

    @property
    def _with_body(self) -> bool:
        return self.method != "HEAD"

    def add(self, piece: bytes) -> None:
        """The next piece of the body. No piece is kept as an object of its own: a caller may send its body in chunks of a byte."""
        if not self.body:
            self.body = piece
        elif type(self.body) is bytearray:
            self.body += piece
        else:
            self.body = bytearray(self.body)
            self.body += piece

    # What was asked.

    @property
    def path(self) -> str:
        """Decoded."""
        return unquote_to_bytes(self.raw_path).decode("utf-8", "replace")

    @property
    def raw_path(self) -> bytes:
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        return self.target.partition(b"?")[2]

    @property
    def peer(self) -> str:
        """The address that the connection comes from; empty over a unix socket."""
        return self._connection.peer

    @property
    def scheme(self) -> str:
        return self._connection.scheme

    # The answer.

    @property
    def is_full(self) -> bool:
        """So much waits to be read by the caller that no more should be written."""
        return self._connection.is_full

    def room(self) -> "asyncio.Future[None]":
        """Done when `is_full` ends, or the connection does."""
        return self._connection.room()

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Head and body in one write."""
        self.started = True
        length = b"" if status in _WITHOUT_BODY else b"content-length: %d\r\n\r\n" % len(body)
        head = self._head(status, headers) + (length or b"\r\n")
        transport = self._connection.transport
        if not body or not self._with_body:
            transport.write(head)
        elif len(body) <= _JOINED_BYTES:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        self._ended()

    def plainly(self, lines: bytes, body: bytes) -> None:
        """`whole` with status 200 and its header lines as they are sent, for a request with a body."""
        self.started = True
        if not self.keep_alive:
            lines += b"connection: close\r\n"
        elif self.http_10:
            lines += b"connection: keep-alive\r\n"
        connection, size = self._connection, len(body)
        length = LENGTHS[size] if size < KNOWN_LENGTHS else b"%d\r\n\r\n" % size
        connection.transport.write(
            b"".join((_OK, connection.date(), self.common, lines, b"content-length: ", length, body))
        )
        self._ended()

    def go_on(self, work: Coroutine[Any, Any, None]) -> None:
        """What was begun without a task needs one after all."""
        self._connection.go_on(self, work)

    def start(self, status: int, headers: Headers, first: bytes = b"") -> Connection | None:
        """The head of an answer whose end is not known, with its first bytes. A `content-length` in the headers frames it, else chunks do; then the connection
        takes chunks as they are."""
        self.started = True
        framed = any(name == b"content-length" for name, _ in headers) or status in _WITHOUT_BODY
        self._chunked = not framed and not self.http_10
        if not framed and self.http_10:
            self.keep_alive = False
        head = self._head(status, headers) + (b"transfer-encoding: chunked\r\n\r\n" if self._chunked else b"\r\n")
        self._connection.transport.write(head + self._framed(first) if first and self._with_body else head)
        return self._connection if self._chunked and self._with_body else None

    def send(self, data: bytes) -> bool:
        """The next bytes; whether the call `is_full` now. After `start`."""
        connection = self._connection
        if data and self._with_body:
            connection.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        return connection.is_full

    def end(self) -> None:
        """The end of what `start` began."""
        if self._chunked and self._with_body:
            self._connection.transport.write(b"0\r\n\r\n")
        self._ended()

    def cut(self) -> None:
        """Close the connection without an end: what was sent is not whole."""
        self.keep_alive = False
        self._ended()

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def _head(self, status: int, headers: Headers) -> bytes:
        lines = [_STATUS.get(status) or b"HTTP/1.1 %d \r\n" % status, self._connection.date(), self.common]
        lines += [b"%b: %b\r\n" % header for header in headers]
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        elif self.http_10:
            lines.append(b"connection: keep-alive\r\n")
        return b"".join(lines)

    def _ended(self) -> None:
        self.answered = True
        # What an answer held together goes with it, without a search for cycles.
        self.on_left = self.on_stop = self.handler = None
        self._connection.answered(self)


def origin_form(target: bytes) -> bytes:
    """Path and query of a target in absolute form (RFC 9112, 3.2.2), `/` for `*`; of an authority, which has none, nothing."""
    if target == b"*":
        return b"/"
    try:
        found = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        return b""
    if not found.schema:
        return b""
    path = found.path or b"/"
    return path + b"?" + found.query if found.query else path

"""One connection of a caller: llhttp (by httptools) parses, or a head that is known is told by its bytes. In: bytes. Out: `Call`s, run one after the other.

Limits of its own on what callers send: 431 and 408 where a head is too large or too slow, 413 for bodies, a closed connection where a body
stalls, an answer is not taken or nothing comes. One timer a connection, which is not moved at reads (as in `execution.transport.connection`).
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httptools
import msgspec

from trunkline.api.call import AtOnce, Call, Handler, origin_form
from trunkline.api.heads import KnownHead, known_head
from trunkline.errors import InvalidParams, PayloadTooLarge, RequestError
from trunkline.execution.respond import Headers

if TYPE_CHECKING:
    from trunkline.api.server import Server

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers; llhttp has no limit of its own (https://llhttp.org), and parses before anybody is authenticated."""
MAX_QUIET_BYTES = 2 * MAX_HEAD_BYTES
"""Chunk lines and trailers in a row, without a byte of body."""
LINGER_S = 2.0
"""A refused caller may still be sending: closed at once, the kernel would reset the connection and the refusal be lost (RFC 9112, 9.6)."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NO_HEADERS: Headers = []
_MAX_AHEAD = 64
"""Requests sent ahead of their turn; reading stops at the first, but one read may hold several."""


class ServerProtocol(asyncio.Protocol):
    """One connection of a caller."""

    __slots__ = (
        "_ahead", "_call", "_deaf", "_head_bytes", "_head_since", "_headers", "_idle_since", "_in_head", "_known", "_limits", "_loop", "_missing", "_parser",
        "_preceded", "_quiet_bytes", "_read_at", "_reading", "_refused_until", "_room", "_server", "_target", "_timer", "_untaken_bytes",
        "_untaken_since", "is_full", "peer", "scheme", "transport",
    )  # fmt: skip

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._limits = server.limits
        self._loop = server.loop
        self._parser = httptools.HttpRequestParser(self)
        self._call: Call | None = None
        """The request whose turn it is."""
        self._reading: Call | None = None
        """The request whose body is being read; it may be one that was sent ahead."""
        self._ahead: deque[Call] = deque()
        self._deaf = False
        """Whatever still comes is thrown away."""
        self._known: KnownHead | None = None
        """The head that this client sends."""
        self._missing = 0
        """Of the body of a request with that head: how much is still to come."""
        self._target = b""
        self._headers: Headers = []
        self._in_head = False
        self._preceded = False
        """The read in hand has more in it than the head that it ends in."""
        self._head_bytes = 0
        self._quiet_bytes = 0
        self._head_since = self._read_at = self._idle_since = 0.0
        self._refused_until: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._room: asyncio.Future[None] | None = None
        self._untaken_bytes = 0
        self._untaken_since = 0.0
        """Since when the caller has taken nothing of them."""
        self.is_full = False
        self.peer = ""
        self.scheme = "http"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # stream transports are all that is listened for
        self._server.connections.add(self)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else ""
        self.scheme = "https" if transport.get_extra_info("ssl_object") is not None else "http"
        now = self._loop.time()
        self._head_since = self._read_at = self._idle_since = now
        self._look_again(now)
        if self._server.stopping:
            # It was accepted just before.
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._deaf = True
        self._ahead.clear()
        self.resume_writing()
        self._server.connections.discard(self)
        self._server.ended()
        call, self._call = self._call, None
        if call is None or call.answered:
            return
        call.answered = True
        if not call.complete and call.handler is not None:
            call.handler.left()
        elif call.on_left is not None:
            call.on_left()

    # Backpressure, as the transport tells it.

    def pause_writing(self) -> None:
        self.is_full = True
        self._untaken_bytes = self.transport.get_write_buffer_size()
        self._untaken_since = self._loop.time()

    def resume_writing(self) -> None:
        self.is_full = False
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)
        if self._ahead:
            self._loop.call_soon(self._take_turn)

    def room(self) -> "asyncio.Future[None]":
        if self._room is None or self._room.done():
            self._room = self._loop.create_future()
        return self._room

    # Reading.

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._missing:
            self._take_missing(data)
        elif self._call is None and self._reading is None and not (self._in_head or self._ahead or self.is_full):
            self._take_first(data)
        else:
            self._parse_bounded(data)

    def _take_first(self, data: bytes) -> None:
        """A read that begins with a head."""
        known = self._known
        if known is not None and known.is_of(data):
            start = known.start
            is_whole = len(data) - start == known.length
            if is_whole and known.at_once is not None and self._is_answered(known, known.at_once, data[start:]):
                return
            self._read_at = self._loop.time()
            call = Call(
                self, known.method, known.target, known.headers, keep_alive=not self._server.leaving, http_10=False
            )
            self._call = self._reading = call
            call.told, call.at_once = known.told, known.at_once
            self._begin(call, known.length)
            if is_whole and call.handler is not None:
                # As most are.
                call.body, call.complete, self._reading = data[start:], True, None
                self._run(call, call.handler)
                return
            self._missing = known.length
            self._take_missing(data[start:])
            return
        self._parse_bounded(data)
        first = self._call
        # Without a handler it was refused: of such a caller nothing is kept.
        if first is None or first.handler is None or first.told is None:
            return
        if first.keep_alive and not first.http_10:
            self._known = known_head(data, first.method, first.target, first.headers, first.told, first.at_once)

    def _is_answered(self, known: KnownHead, at_once: AtOnce, body: bytes) -> bool:
        """Whether a whole request is answered, or will be, without more ado."""
        call = self._call = Call(self, known.method, known.target, _NO_HEADERS, keep_alive=not self._server.leaving)
        call.complete = True
        try:
            if at_once(call, body):
                return True
        except Exception:  # the request's edge
            self._server.log.exception("a request could not be answered")
            _fail(call)
            return True
        self._call = None
        return False

    def _take_missing(self, data: bytes) -> None:
        """The body of a request whose head was known."""
        self._read_at = self._loop.time()
        missing = self._missing
        if len(data) > missing:
            self._take_missing(data[:missing])
            self.data_received(data[missing:])
            return
        self._missing = missing - len(data)
        if data:
            self.on_body(data)
        if not self._missing:
            self.on_message_complete()

    def _parse_bounded(self, data: bytes) -> None:
        if len(data) + self._head_bytes <= MAX_HEAD_BYTES:
            self._parse(data)
        else:
            self._parse_in_pieces(data)

    def eof_received(self) -> None:
        """A caller that has closed its side has left: no client of ours waits for an answer then, and many leave so."""
        if self._is_idle():
            self.close()
        else:
            self.transport.abort()

    def _parse_in_pieces(self, data: bytes) -> None:
        """So that the limits, which are looked at after a piece, hold however the socket cuts the bytes."""
        view = memoryview(data)
        while view and not self._deaf:
            size = MAX_HEAD_BYTES - self._head_bytes
            self._parse(view[:size])
            view = view[size:]

    def _parse(self, data: bytes | memoryview) -> None:
        self._preceded = False
        self._read_at = self._loop.time()
        offered_at = self._feed(data)
        if offered_at is not None:
            self._pass_over_offers(data, offered_at)
        if self._deaf:
            return
        if self._in_head:
            self._count_head(len(data))
        elif self._reading is not None:
            self._count_quiet(len(data))

    def _feed(self, data: bytes | memoryview) -> int | None:
        """Where llhttp stopped, because the request offers to change protocols; else None."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            at: int = offer.args[0]
            return at
        except httptools.HttpParserCallbackError:
            self._server.log.exception("a request could not be read")
            self.close()
        except httptools.HttpParserError:
            self._refuse_garbage()
        return None

    def _pass_over_offers(self, data: bytes | memoryview, offered_at: int | None) -> None:
        """An offer may be ignored (RFC 9110, 7.8). llhttp takes what follows for the other protocol, body and all, so the head is read anew without it."""
        while offered_at is not None and not self._deaf:
            data = data[offered_at:]
            head = self._head_without_offer()
            if not head:
                self._refuse(400, "Nobody is connected through here.")
                return
            self._parser = httptools.HttpRequestParser(self)
            self._feed(head)
            offered_at = self._feed(data) if data else None

    def _head_without_offer(self) -> bytes:
        """Empty where the method itself, CONNECT, is the offer."""
        method, version = self._parser.get_method(), self._parser.get_http_version().encode()
        if method == b"CONNECT":
            return b""
        lines = [b"%b: %b\r\n" % header for header in self._headers if header[0] != b"upgrade"]
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self._target, version, b"".join(lines))

    def _refuse_garbage(self) -> None:
        call = self._call
        if call is not None and call.complete and not call.keep_alive and not self._ahead:
            # What follows a last request is not looked at (RFC 9112, 9.6).
            self._deaf = True
        elif call is not None and self._reading is call:
            self._end_reading(call)
        else:
            self._refuse(400, "The request is not HTTP/1.1.")

    def _end_reading(self, call: Call) -> None:
        """The body of the request whose turn it is cannot be read on."""
        call.keep_alive = False
        if not call.answered and call.handler is not None:
            call.handler.refuse(InvalidParams("The body of the request is not as HTTP/1.1 has it."))
        self._linger()

    def _count_head(self, size: int) -> None:
        if not self._head_bytes:
            self._head_since = self._read_at
        # Of a read that began with the end of another request nobody knows how much belongs to this head.
        self._head_bytes += 1 if self._preceded else size
        if self._head_bytes >= MAX_HEAD_BYTES:
            self._refuse(431, f"The head of the request is larger than {MAX_HEAD_BYTES} bytes.")

    def _count_quiet(self, size: int) -> None:
        self._quiet_bytes += size
        if self._quiet_bytes > MAX_QUIET_BYTES:
            self.close()

    # Called by the parser.

    def on_message_begin(self) -> None:
        self._in_head = True
        self._target = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser, target = self._parser, self._target
        if self._deaf or parser.should_upgrade():
            return
        self._in_head = False
        self._head_bytes = self._quiet_bytes = 0
        version = parser.get_http_version()
        if target[:1] != b"/":
            target = origin_form(target)
        if not target:
            self._refuse(400, "There is no path in the request.")
            return
        if version not in ("1.1", "1.0"):
            self._refuse(505, "The request is not HTTP/1.1.")
            return
        call = Call(
            self,
            parser.get_method().decode("ascii"),
            target,
            self._headers,
            keep_alive=parser.should_keep_alive() and not self._server.leaving,
            http_10=version == "1.0",
        )
        self._reading = call
        if self._call is None and not self._ahead and not self.is_full:
            self._call = call
            self._begin(call)
            return
        self._ahead.append(call)
        self.transport.pause_reading()
        if len(self._ahead) > _MAX_AHEAD:
            self.close()

    def on_body(self, body: bytes) -> None:
        self._quiet_bytes = 0
        call = self._reading
        if call is None or call.answered:
            return
        call.add(body)
        handler = call.handler
        if handler is not None and len(call.body) > handler.max_body_bytes:
            call.body = b""
            handler.refuse(_too_large(handler.max_body_bytes))

    def on_message_complete(self) -> None:
        self._preceded = True
        call, self._reading = self._reading, None
        if call is None:
            return
        call.complete = True
        if call is not self._call:
            return
        if call.answered:
            # It was refused before its body had come.
            self._next(call)
        elif call.handler is not None:
            self._run(call, call.handler)

    # One request after the other.

    def _begin(self, call: Call, known_length: int | None = None) -> None:
        """`known_length` is that of the body, where nothing else of the head has to be looked at."""
        try:
            handler = call.handler = self._server.app(call)
        except Exception:  # the request's edge; raised on, llhttp would make a fault of the caller's of it
            self._server.log.exception("a request could not be taken")
            _fail(call)
            return
        if handler is None:
            return
        if known_length is not None:
            if known_length <= handler.max_body_bytes:
                return
            handler.refuse(_too_large(handler.max_body_bytes))
            # What comes of it is thrown away.
            call.handler = None
            return
        expects = False
        for name, value in call.headers:
            if name == b"content-length" and value.isdigit() and int(value) > handler.max_body_bytes:
                handler.refuse(_too_large(handler.max_body_bytes))
                return
            if name == b"expect":
                expects = value.strip().lower() == b"100-continue"
        if expects and not call.complete and not call.http_10:
            self.transport.write(_CONTINUE)

    def _run(self, call: Call, handler: Handler) -> None:
        body, call.body = call.body, b""
        try:
            work = handler.run(body if type(body) is bytes else bytes(body))
        except Exception:  # the request's edge
            self._server.log.exception("a request could not be answered")
            _fail(call)
            return
        if work is not None:
            self.go_on(call, work)

    def go_on(self, call: Call, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(self._answer(call, work))
        self._server.tasks.add(task)

    async def _answer(self, call: Call, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:  # the request's edge: whatever went wrong, the connection must not hang
            self._server.log.exception("a request could not be answered")
        finally:
            server, task = self._server, asyncio.current_task()
            server.tasks.discard(task)
            if not call.answered:
                _fail(call)
            if server.leaving:
                server.ended()

    def answered(self, call: Call) -> None:
        """The answer has been written. The next request's turn comes when this one has been read to its end."""
        self._idle_since = self._loop.time()
        if call.complete:
            self._next(call)

    def _next(self, call: Call) -> None:
        if call is not self._call:
            return
        self._call = None
        if not call.keep_alive or self._server.stopping:
            self.close()
        elif self._ahead:
            # Not in the same turn: each would answer the next inside its own answering.
            self._loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Of the requests sent ahead the first; when a caller reads no answers, none."""
        if not self._ahead or self._call is not None or self.is_full or self._deaf:
            return
        call = self._call = self._ahead.popleft()
        self._read_at = self._loop.time()
        if not self._ahead:
            self.transport.resume_reading()
        self._begin(call)
        if not call.complete or call.answered or call.handler is None:
            return
        if len(call.body) <= call.handler.max_body_bytes:
            self._run(call, call.handler)
        else:
            call.handler.refuse(_too_large(call.handler.max_body_bytes))

    # Deadlines. Invariant: the timer is armed no later than the earliest deadline that can be running.

    def _look_again(self, now: float) -> None:
        limits = self._limits
        soonest = now + min(limits.head_s, limits.body_s, limits.keep_alive_s, limits.write_s)
        self._timer = self._loop.call_at(min(self._due(now), soonest), self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._takes_nothing(now):
            self.transport.abort()
        elif now < self._due(now):
            self._look_again(now)
        elif self._refused_until is None and self._in_head and self._is_idle():
            self._refuse(408, f"The head of the request was not complete within {self._limits.head_s:g} s.")
        else:
            self.close()
            self._look_again(now)

    def _takes_nothing(self, now: float) -> bool:
        """An answer, or its end before a farewell, has waited for its caller for too long."""
        if not self.is_full and not self.transport.is_closing():
            return False
        waiting = self.transport.get_write_buffer_size()
        if waiting < self._untaken_bytes:
            self._untaken_since = now
        self._untaken_bytes = waiting
        return now >= self._untaken_since + self._limits.write_s

    def _is_idle(self) -> bool:
        """No answer is under way or waits for its turn."""
        return (self._call is None or self._call.answered) and not self._ahead

    def _due(self, now: float) -> float:
        limits = self._limits
        if self.transport.is_closing():
            return now + limits.write_s
        if self._refused_until is not None:
            return self._refused_until
        if self._is_idle():
            since = self._head_since if self._in_head else self._idle_since
            return max(since, self._idle_since) + (limits.head_s if self._in_head else limits.keep_alive_s)
        call = self._call
        waits_for_caller = call is not None and not call.complete and self._reading is call
        return self._read_at + limits.body_s if waits_for_caller else now + limits.body_s

    # Ends.

    def close(self) -> None:
        """Nothing more is heard. What was written still goes out, as long as the caller takes it."""
        self._deaf = True
        if not self.is_full:
            self._untaken_bytes = self.transport.get_write_buffer_size()
            self._untaken_since = self._loop.time()
        self.transport.close()

    def end(self) -> None:
        """Close, unless it does so soon."""
        if self._refused_until is None:
            self.close()

    def end_with_answer(self) -> None:
        """Close with the answer that is being made, where one is."""
        if self._call is not None:
            self._call.keep_alive = False

    def drain(self) -> None:
        """The server stops: close now if nothing is under way, else with the answer."""
        self.end_with_answer()
        if self._call is None and not self._in_head:
            self.close()

    def take_up(self) -> None:
        """The server stops: what is answered without a task goes on in one."""
        call = self._call
        if call is not None and call.on_stop is not None and not call.answered:
            call.on_stop()

    def refuse_unread(self, error: RequestError) -> None:
        """The server stops before this request has come whole."""
        call = self._call
        if call is None:
            self.close()
        elif not call.complete and not call.answered and call.handler is not None:
            call.handler.refuse(error)
            self._linger()

    def _refuse(self, status: int, message: str) -> None:
        """The last answer on this connection. In the middle of another answer there is no place for it."""
        if not self._is_idle() or self.transport.is_closing():
            self.close()
            return
        error = {"code": str(status), "type": "invalid_params", "message": message}
        body = msgspec.json.encode({"error": error})
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\nconnection: close\r\n"
        )
        self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self._linger()

    def _linger(self) -> None:
        """Close, but so that the last answer arrives: what still comes is thrown away for a while."""
        now = self._loop.time()
        self._deaf = True
        self._refused_until = now + LINGER_S
        if self.transport.is_closing() or not self.transport.can_write_eof():
            self.close()
        else:
            self.transport.write_eof()
        if self._timer is not None:
            self._timer.cancel()
        self._look_again(now)

    def date(self) -> bytes:
        return self._server.date()


def _fail(call: Call) -> None:
    """Whoever should have answered has not."""
    if call.started:
        call.cut()
        return
    error = {"code": "500", "type": "internal_server_error", "message": "The gateway itself failed."}
    call.keep_alive = False
    call.whole(500, [(b"content-type", b"application/json")], msgspec.json.encode({"error": error}))


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The body has more than {limit} bytes, the most that is taken here (for model traffic `[server] max_body_bytes`)."
    )

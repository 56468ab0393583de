"""One HTTP/1.1 connection. In: a serialised head and a body. Out: an `Exchange`.

llhttp (by httptools) does the parsing, strictly; here is what must hold around it: when a connection may be used again,
which deadline is running, how much may wait in memory. No task and no lock; one timer a connection, which is not moved
at every read.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Protocol

import httptools

from trunkline.errors import TransportError
from trunkline.execution.transport.exchange import Exchange
from trunkline.execution.transport.options import TransportOptions
from trunkline.execution.transport.response_head import WholeAnswers
from trunkline.execution.transport.tls import ClientContext
from trunkline.execution.transport.types import (
    FirstByteTimeout,
    IdleTimeout,
    Malformed,
    Reset,
    TotalTimeout,
    Truncated,
    UpstreamRequest,
)

_SLICE_BYTES = 128 * 1024
"""A larger body is handed to the socket in slices: whole, TLS would hold it encrypted in memory once more."""
_PIECE_BYTES = 16 * 1024
"""Of a larger read this much is parsed at a time: by so much may a limit be passed before it is noticed."""


_FIRST_BYTE = ord("H")
_EMPTY_LINE = b"\n\n"
_CHUNK_END = b"\n\n\r\n"
_SIZE_LINES = tuple([b"%x\r\n" % size for size in range(2048)])
"""Of chunks as most servers write them: in small letters, without an extension. Longer chunks are parsed."""
_SIZES = len(_SIZE_LINES)
_LONGER_CHUNK_BYTES = 0x100 + 6
"""From here on, framing included, a size has three digits."""


class Taker(Protocol):
    """Who waits for an answer without a task; most answers come whole, and need no `Exchange`."""

    response: Exchange | None
    """Set where the answer does not come whole: then it comes there."""

    def take(self, data: bytes, start: int) -> None:
        """A whole answer with status 200, whose body starts there. The connection may serve another by now."""
        ...

    def ended(self) -> None:
        """`response` has ended or broken, or is more than may wait."""
        ...


class _RefusedByUsError(ValueError):
    """Raised inside a parser callback, where llhttp was content and we are not."""


class Connection(asyncio.Protocol):
    """One socket. Lives from connect to close; serves one exchange at a time."""

    __slots__ = (
        "_answer_parts",
        "_armed_at",
        "_at_chunk",
        "_chunked",
        "_complete",
        "_exchange",
        "_extra",
        "_first_byte_s",
        "_free",
        "_gone",
        "_head_bytes",
        "_headers",
        "_held_bytes",
        "_interim",
        "_is_used",
        "_keep",
        "_options",
        "_parser",
        "_parts",
        "_quiet_bytes",
        "_read_at",
        "_reading_paused",
        "_skip_body",
        "_taker",
        "_timer",
        "_tls",
        "_total_at",
        "_transport",
        "_unsent",
        "_until_close",
        "_waiting_since",
        "_whole",
        "_writing_paused",
        "idle_until",
        "loop",
        "lost",
        "on_body",
        "uses",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: TransportOptions,
        *,
        free: Callable[["Connection"], None],
        gone: Callable[["Connection"], None],
    ) -> None:
        """`free` is told when an answer has ended and the connection may serve another, `gone` when it is closed."""
        self.loop = loop
        self.uses = 0
        self.idle_until = 0.0
        self.lost = False
        self._options = options
        self._free = free
        self._gone = gone
        self._transport: asyncio.Transport | None = None
        self._tls = False
        self._exchange: Exchange | None = None
        self._taker: Taker | None = None
        """Of the answer under way, while nothing of it has come."""
        self._first_byte_s = 0.0
        self._total_at = 0.0
        self._waiting_since = 0.0
        self._read_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._armed_at = 0.0
        self._reading_paused = False
        self._writing_paused = False
        self._whole: WholeAnswers | None = None
        self._is_used = False
        """What an answer sets is not as it was before one."""
        self._unsent: memoryview | None = None
        self._parts: list[bytes] = []
        # llhttp's body callback is the list's own method: no Python frame for a piece of body.
        self.on_body = self._parts.append
        self._reset_answer()
        self._parser: httptools.HttpResponseParser | None = self._new_parser()

    def _new_parser(self) -> httptools.HttpResponseParser:
        parser = httptools.HttpResponseParser(self)
        # Old servers pad the chunk size with blanks ("1a   \r\n"); nothing can hide in them.
        parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)
        return parser

    def _reset_answer(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunked = False
        self._at_chunk = False
        self._head_bytes = 0
        self._quiet_bytes = 0
        self._held_bytes = 0
        self._complete = False
        self._answer_parts = 0
        self._extra = False
        self._interim = False
        self._keep = False
        self._until_close = False
        self._skip_body = False

    # What the pool and the exchange ask for.

    @property
    def usable(self) -> bool:
        return not self.lost and self._transport is not None and not self._transport.is_closing()

    def begin(self, request: UpstreamRequest, head: bytes, total_at: float) -> Exchange:
        """Send now; the answer arrives in the exchange. The connection must be free."""
        assert self._transport is not None, "a connection is used only after it was made"
        loop = self.loop
        now = loop.time()
        # The loop's own clock, but uvloop tells that one in whole milliseconds.
        exchange = Exchange(self, self._parts, time.monotonic(), request.idle_s, self.uses > 0)
        self._first_byte_s, self._total_at = request.first_byte_s, total_at
        self._expect(now, self._soonest(now, request.idle_s))
        self._exchange = exchange
        self._skip_body = request.method == b"HEAD"
        body = request.body
        if len(body) <= _SLICE_BYTES:
            self._transport.write(head + body)
            return exchange
        self._unsent = memoryview(body)
        self._transport.write(head)
        self._send_more()
        return exchange

    def begin_plainly(self, request: bytes, now: float, total_s: float, taker: Taker) -> None:
        """The same for a whole request in bytes, head and short body, whose one deadline is `total_s`."""
        assert self._transport is not None, "a connection is used only after it was made"
        self._taker = taker
        self._first_byte_s, self._total_at = total_s, now + total_s
        expiry_s = self._options.idle_expiry_s
        self._expect(now, now + (total_s if total_s < expiry_s else expiry_s))
        self._transport.write(request)

    def exchange(self) -> Exchange | None:
        """What is under way. If it is for a `Taker`, that one hears of it as of an `Exchange` from now on."""
        taker = self._taker
        if taker is not None:
            self._taker = None
            exchange = self._exchange = Exchange(
                self, self._parts, self._waiting_since, self._first_byte_s, self.uses > 1, taker.ended
            )
            taker.response = exchange
        return self._exchange

    def whole(self, data: bytes, start: int) -> Exchange:
        """An answer that was taken whole, for somebody who looks at it closely. To be called before the connection serves another."""
        exchange = Exchange(self, self._parts, self._waiting_since, self._first_byte_s, self.uses > 1)
        exchange.take_whole(data, start)
        return exchange

    def _expect(self, now: float, soonest: float) -> None:
        """`soonest`: no deadline of the exchange is before that."""
        if self._is_used:
            self._reset_answer()
            self._is_used = False
        self.uses += 1
        self._waiting_since = now
        if self._timer is None or self._armed_at > soonest:
            self._arm(soonest)

    def pause(self) -> None:
        """The reader can take no more for now; `taken` ends it."""
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def taken(self) -> None:
        """The reader has taken what was waiting."""
        self._held_bytes = 0
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._read_at = self.loop.time()
            self._transport.resume_reading()

    def give_up(self, error: TransportError) -> None:
        """End the running exchange with `error` and close at once. What had come of the body can still be read."""
        exchange = self.exchange()
        self._exchange = None
        self.close()
        if exchange is not None:
            exchange.fail(error)

    def close(self) -> None:
        """At once: no TLS farewell, no flushing. May be called twice."""
        self._unsent = None
        self._cancel_timer()
        if self._transport is not None:
            self._transport.abort()

    # Deadlines. Invariant: the timer is armed no later than the earliest deadline that can be running, so that a read
    # only notes the time; when the timer fires too early it looks and goes to sleep again.

    def _soonest(self, now: float, idle_s: float) -> float:
        shortest_s = idle_s if idle_s < self._first_byte_s else self._first_byte_s
        if self._options.idle_expiry_s < shortest_s:
            shortest_s = self._options.idle_expiry_s
        soonest = now + shortest_s
        return soonest if soonest < self._total_at else self._total_at

    def reconsider(self) -> None:
        """The reader has changed its idle time."""
        if self._exchange is not None and self._due() < self._armed_at:
            self._arm(self._due())

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_at = when
        self._timer = self.loop.call_at(when, self._look)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self.loop.time()
        exchange = self.exchange()
        due = self._due()
        if now >= due and exchange is None:
            self.close()
        elif now >= due and exchange is not None:
            self.give_up(self._overdue(exchange, now))
        else:
            self._arm(due if exchange is None else min(due, self._soonest(now, exchange.idle_s)))

    def _due(self) -> float:
        exchange = self._exchange
        if exchange is None:
            return self.idle_until
        if self._reading_paused:
            return self._total_at
        if exchange.headed:
            return min(self._read_at + exchange.idle_s, self._total_at)
        return min(self._waiting_since + self._first_byte_s, self._total_at)

    def _overdue(self, exchange: Exchange, now: float) -> TransportError:
        if now >= self._total_at:
            error = TotalTimeout("the answer was not complete within the total time")
            error.is_held = self._reading_paused
            return error
        if exchange.headed:
            return IdleTimeout(f"nothing of the body came for {exchange.idle_s:g} s")
        return FirstByteTimeout(f"no head of an answer within {self._first_byte_s:g} s")

    # Writing.

    def _send_more(self) -> None:
        while self._unsent is not None and not self._writing_paused and self._transport is not None:
            part, rest = self._unsent[:_SLICE_BYTES], self._unsent[_SLICE_BYTES:]
            self._unsent = rest if rest else None
            self._waiting_since = self.loop.time()
            self._transport.write(part)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._send_more()

    # Reading.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # stream transports are all that is asked for
        self._tls = transport.get_extra_info("ssl_object") is not None

    def data_received(self, data: bytes) -> None:
        taker = self._taker
        if taker is not None and self._is_taken(taker, data):
            return
        exchange, parser = self._exchange, self._parser
        if exchange is None or parser is None:
            # Not asked for: a farewell such as 408, or an answer too many. Either way it belongs to no request.
            self.close()
            return
        if self._at_chunk and exchange.pass_on is not None and not self._parts:
            # One chunk, whole and alone, as the events of streams come, is not parsed where it is passed on as it is: before and after it llhttp waits for one.
            start = 4 if len(data) < _LONGER_CHUNK_BYTES else 5
            size = len(data) - start - 2
            if (
                size < _SIZES
                and data[:start] == _SIZE_LINES[size]
                and exchange.pass_on(data, start, size, time.monotonic())
            ):
                self._read_at = self.loop.time()
                return
        self._read_at = self.loop.time()
        self._is_used = True
        if not self._head_bytes and data[0] != _FIRST_BYTE:
            # llhttp would pass over line ends and take RTSP too.
            self._head_bytes = 1
            self.give_up(Malformed("the answer does not begin with HTTP/1"))
        elif len(data) <= _PIECE_BYTES:
            self._parse(exchange, parser, data)
        else:
            self._parse_in_pieces(exchange, parser, data)
        if self._exchange is None:
            return
        if self._complete:
            self._finish(exchange, data)
        elif exchange.take is not None:
            if exchange.pass_on is not None:
                self._at_chunk = self._ends_with_chunk(data)
            exchange.deliver(exchange.take)
        elif exchange.headed:
            self._hold_back(len(data))
            if exchange.on_end is None or self._reading_paused:
                exchange.wake()

    def _is_taken(self, taker: Taker, data: bytes) -> bool:
        """An ordinary answer that came in one read. Any other goes into an `Exchange`."""
        whole = self._whole or WholeAnswers()
        start = whole.body_start(data, self._options.max_head_bytes)
        if not start:
            self._whole = None
            self.exchange()
            return False
        self._whole = whole
        self._taker = None
        if self._tls and self.uses == 1:
            self._keep_tls_session()
        self._free(self)
        taker.take(data, start)
        return True

    def _ends_with_chunk(self, data: bytes) -> bool:
        """Whether llhttp waits for the size of a chunk. No line of framing ends in three line ends: so the piece that ends before the last of them was the
        last of its chunk, and nothing but that end has come behind it."""
        parts = self._parts
        return bool(parts) and parts[-1].endswith(_EMPTY_LINE) and data.endswith(_CHUNK_END)

    def _parse_in_pieces(self, exchange: Exchange, parser: httptools.HttpResponseParser, data: bytes) -> None:
        """So that the limits, which are looked at after a piece, hold however the socket cuts the bytes."""
        view = memoryview(data)
        for start in range(0, len(data), _PIECE_BYTES):
            if self._complete:
                self._extra = True
            if self._complete or self._exchange is None:
                return
            self._parse(exchange, parser, view[start : start + _PIECE_BYTES])

    def _parse(self, exchange: Exchange, parser: httptools.HttpResponseParser, piece: bytes | memoryview) -> None:
        was_headed = exchange.headed
        parts_before = len(self._parts)
        if not was_headed:
            self._head_bytes += len(piece)
        try:
            parser.feed_data(piece)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                self.give_up(Malformed(f"the answer is not HTTP/1.1: {error.__context__ or error}"))
                return
            self._extra = True
        if not was_headed:
            self._bound_head(exchange)
        elif len(self._parts) > parts_before or self._complete:
            self._quiet_bytes = 0
        else:
            self._bound_framing(len(piece))

    def _bound_head(self, exchange: Exchange) -> None:
        if not exchange.headed and self._head_bytes > self._options.max_head_bytes:
            self.give_up(Malformed(f"the head of the answer is larger than {self._options.max_head_bytes} bytes"))

    def _bound_framing(self, size: int) -> None:
        """Chunk lines and trailers are not kept, but an endless one must not count as progress."""
        self._quiet_bytes += size
        if self._quiet_bytes > self._options.max_chunk_line_bytes:
            self.give_up(
                Malformed(f"chunk lines or trailers of more than {self._options.max_chunk_line_bytes} bytes in a row")
            )

    def _hold_back(self, size: int) -> None:
        """Backpressure: what waits for the reader is counted as it came, framing included."""
        self._held_bytes += size
        if self._held_bytes > self._options.read_high_bytes:
            self.pause()

    def _finish(self, exchange: Exchange, data: bytes) -> None:
        """The answer is whole: the exchange takes its parts along, the connection goes back or is closed."""
        parts = self._parts
        exchange.keep_parts(parts[: self._answer_parts])
        reusable = self._keep and not self._extra and self._unsent is None and not self._left_over(data)
        parts.clear()
        self._exchange = None
        if self._tls and self.uses == 1:
            self._keep_tls_session()
        if self._skip_body:
            # llhttp still waits for a body that an answer to HEAD announces but does not have.
            self._parser = self._new_parser()
        if reusable:
            self.taken()
            self._free(self)
        else:
            self.close()
        exchange.end()

    def _left_over(self, data: bytes) -> bool:
        """Bytes after the answer that llhttp passes over in silence (line ends), or body where none may be (HEAD)."""
        parts = self._parts
        if len(parts) > self._answer_parts:
            return True
        if self._chunked or not parts:
            return data.endswith(b"\r\n\r\n\r\n") or (len(data) >= 4 and not data.endswith(b"\r\n\r\n"))
        return not data.endswith(parts[-1])

    def _keep_tls_session(self) -> None:
        assert self._transport is not None
        tls = self._transport.get_extra_info("ssl_object")
        if isinstance(tls.context, ClientContext):
            tls.context.keep_session(tls)

    def eof_received(self) -> None:
        exchange = self.exchange()
        if exchange is not None and exchange.headed and self._until_close and self._said_farewell():
            self._answer_parts = len(self._parts)
            self._finish(exchange, b"")
            return
        self._break_off("the provider closed the connection")

    def _said_farewell(self) -> bool:
        """Over TLS an end counts only with close_notify: a TCP connection can be closed by anybody on the way."""
        if not self._tls or self._transport is None:
            return True
        try:
            # After close_notify a read gives nothing; before it, it asks for more.
            return not self._transport.get_extra_info("ssl_object").read(1)
        except ssl.SSLError:
            return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self.exchange() is not None:
            self._break_off(f"the connection broke ({type(exc).__name__})" if exc else "the connection was closed")
        self._cancel_timer()
        self._transport = None
        self._parser = None
        self._unsent = None
        self._gone(self)

    def _break_off(self, what: str) -> None:
        exchange = self._exchange
        if exchange is None:
            self.close()
        elif exchange.headed:
            self.give_up(Truncated(f"{what} inside the body"))
        else:
            exchange.stale = exchange.reused and self._head_bytes == 0
            self.give_up(Reset(f"{what} before the head of an answer was complete"))

    # Called by llhttp. What comes after the end of the answer is not kept, and marks the connection.

    def on_message_begin(self) -> None:
        if self._complete:
            self._extra = True

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"transfer-encoding":
            self._check_encoding(value)
        self._headers.append((name, value.rstrip()))

    def _check_encoding(self, value: bytes) -> None:
        """We offer nothing but "chunked" (RFC 9112, 7.4), and of anything else two readings are possible."""
        if self._chunked or value.strip().lower() != b"chunked":
            raise _RefusedByUsError("a transfer coding other than chunked")
        self._chunked = True

    def on_headers_complete(self) -> None:
        exchange, parser = self._exchange, self._parser
        if self._complete or exchange is None or parser is None:
            return
        headers, self._headers = self._headers, []
        status = parser.get_status_code()
        if status < 200:
            self._pass_interim(status)
            return
        self._keep = parser.should_keep_alive()
        if not self._keep:
            self._look_at_closing_answer(status, parser.get_http_version(), headers)
        exchange.status = status
        exchange.headers = headers
        exchange.headed = True
        if self._skip_body:
            self._complete = True

    def _pass_interim(self, status: int) -> None:
        """100, 102, 103 are passed over (RFC 9110, 15.2); 101 would change the protocol, for which nobody asked."""
        if status < 100 or status == 101:
            raise _RefusedByUsError(f"status {status} was not asked for")
        self._chunked = False
        self._interim = True

    def _look_at_closing_answer(self, status: int, version: str, headers: list[tuple[bytes, bytes]]) -> None:
        if version not in ("1.1", "1.0"):
            raise _RefusedByUsError(f"version {version}")
        framed = self._chunked or any(name == b"content-length" for name, _ in headers)
        self._until_close = not framed and status not in (204, 304)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        elif not self._complete:
            self._complete = True
            self._answer_parts = len(self._parts)

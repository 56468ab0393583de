"""The answer on its way to the caller, over ASGI.

In: status, headers, bytes. Out: ASGI messages, keep-alives while nothing comes, and word when the caller left.

ASGI: https://asgi.readthedocs.io/en/latest/specs/www.html. A caller that reads slowly holds `write` up, and with it the reading from the provider.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

WATCH_AFTER_S = 0.05
"""Most answers of a fast provider are out by then, and need no task that looks after the caller."""

COMMENT = b": TRUNKLINE PROCESSING\n\n"


class Watchers:
    """Begins to look after callers whose answers take longer than `WATCH_AFTER_S`. Lives as long as the process: one timer for all of them."""

    def __init__(self) -> None:
        self._waiting: dict[Reply, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, reply: "Reply") -> None:
        loop = asyncio.get_running_loop()
        self._waiting[reply] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(WATCH_AFTER_S, self._look)

    def remove(self, reply: "Reply") -> None:
        self._waiting.pop(reply, None)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        due_at = loop.time() - WATCH_AFTER_S
        for reply in [reply for reply, since in self._waiting.items() if since <= due_at]:
            del self._waiting[reply]
            reply.begin_to_watch()
        self._timer = loop.call_later(WATCH_AFTER_S, self._look) if self._waiting else None


class Reply:
    """One answer. Lives as long as its request; `close` must be called at its end.

    A keep-alive commits status and headers, not the answer: failing over goes on behind it.
    """

    __slots__ = (
        "_keepalive_s",
        "_last_at",
        "_loop",
        "_on_left",
        "_receive",
        "_send",
        "_tick",
        "_ticking",
        "_watch",
        "_watchers",
        "_watching",
        "bytes_sent",
        "headers",
        "left",
        "started",
    )

    def __init__(self, receive: Receive, send: Send, headers: Headers, watchers: Watchers) -> None:
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._keepalive_s = 0.0
        self._last_at = 0.0
        self._on_left: Callable[[], None] | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._watchers = watchers
        self._watching = False
        self.headers = headers
        """Sent with every answer; may be added to until it starts."""
        self.started = False
        self.left = False
        self.bytes_sent = 0

    def watch(self, on_left: Callable[[], None]) -> None:
        """From now on notice when the caller leaves, and say so once; a later call only changes who is told."""
        self._on_left = on_left
        if not self._watching:
            self._watching = True
            self._watchers.add(self)

    def keep_alive(self, every_s: float) -> None:
        """From now on send a comment whenever nothing was sent for so long. For streams only."""
        if every_s <= 0:
            return
        self._keepalive_s = every_s
        self._last_at = self._loop.time()
        self._tick = self._loop.call_later(every_s, self._look)

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head, unless a keep-alive has done so."""
        if self._ticking is not None:
            await self._ticking
        if self.started or self.left:
            return
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": self.headers + headers})

    def write(self, data: bytes) -> Awaitable[None]:
        """Send bytes of a stream; waits for a caller that reads slowly. Nothing goes to one that left."""
        if self._ticking is not None or self.left:
            return self._write_later(data)
        # Not a coroutine of its own: it would be one more for every event.
        self.bytes_sent += len(data)
        self._last_at = self._loop.time()
        return self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _write_later(self, data: bytes) -> None:
        """Behind a comment that is being sent."""
        if self._ticking is not None:
            await self._ticking
        if not self.left:
            await self.write(data)

    async def end(self) -> None:
        """End a stream."""
        await self.still()
        if self.started and not self.left:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def still(self) -> None:
        """From now on no comment comes in between: what is sent next is the end."""
        if self._tick is not None:
            self._tick.cancel()
        if self._ticking is not None:
            await self._ticking

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send an answer that is not streamed."""
        if self.left:
            return
        self.started = True
        self.bytes_sent += len(body)
        length = (b"content-length", b"%d" % len(body))
        await self._send(
            {"type": "http.response.start", "status": status, "headers": [*self.headers, *headers, length]}
        )
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    def close(self) -> None:
        """Let go of timers and tasks."""
        if self._watching:
            self._watchers.remove(self)
        for handle in (self._tick, self._watch, self._ticking):
            if handle is not None:
                handle.cancel()

    def begin_to_watch(self) -> None:
        """Called by `Watchers` when it is time."""
        self._watch = self._loop.create_task(self._wait_until_left())

    async def _wait_until_left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True
        if self._on_left is not None:
            self._on_left()

    def _look(self) -> None:
        """Send a comment if it is time, and look again when the next one may be due."""
        quiet = self._loop.time() - self._last_at
        if quiet >= self._keepalive_s and self._ticking is None and not self.left:
            self._ticking = self._loop.create_task(self._comment())
            quiet = 0.0
        self._tick = self._loop.call_later(max(self._keepalive_s - quiet, 0.001), self._look)

    async def _comment(self) -> None:
        try:
            if not self.started:
                self.started = True
                await self._send(
                    {"type": "http.response.start", "status": 200, "headers": self.headers + STREAM_HEADERS}
                )
            self._last_at = self._loop.time()
            await self._send({"type": "http.response.body", "body": COMMENT, "more_body": True})
        finally:
            self._ticking = None


STREAM_HEADERS: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # nginx buffers answers unless told not to (https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering).
    (b"x-accel-buffering", b"no"),
]
JSON_HEADERS: Headers = [(b"content-type", b"application/json")]

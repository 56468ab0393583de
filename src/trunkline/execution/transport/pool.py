"""The connections of one origin. In: who wants one, by when. Out: a kept connection (last used first) or a new one."""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable

from trunkline.execution.transport.connect import connect
from trunkline.execution.transport.connection import Connection
from trunkline.execution.transport.options import TransportOptions
from trunkline.execution.transport.proxies import Proxy
from trunkline.execution.transport.request_head import RequestHeads
from trunkline.execution.transport.types import (
    ConnectFailed,
    ConnectTimeout,
    Origin,
    Reset,
    TotalTimeout,
    UpstreamRequest,
)


class Pool:
    """Lives as long as the transport. Last in, first out: connections that are not needed grow old and expire."""

    def __init__(
        self,
        origin: Origin,
        proxy: Proxy | None,
        options: TransportOptions,
        context: Callable[[], ssl.SSLContext],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        plain_proxy = proxy is not None and origin.scheme == "http"
        self.heads = RequestHeads(
            origin, absolute_form=plain_proxy, extra=proxy.authorization if proxy is not None and plain_proxy else b""
        )
        self.idle: list[Connection] = []
        self.connections: set[Connection] = set()
        self.created = 0
        self._origin = origin
        self._proxy = proxy
        self._options = options
        self._context = context
        self._dialling = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def take(self, now: float) -> Connection | None:
        """A kept connection that looks alive, or None."""
        idle = self.idle
        while idle:
            connection = idle.pop()
            if connection.idle_until > now and connection.usable:
                return connection
            connection.close()
        return None

    def give_back(self, connection: Connection) -> None:
        """One that was taken just now, and not used."""
        self.idle.append(connection)

    async def acquire(self, request: UpstreamRequest, total_at: float, *, fresh: bool = False) -> Connection:
        """A new connection; where their number is limited, the next that becomes free, unless it must be `fresh`."""
        started = self.loop.time()
        connect_at = min(started + request.connect_s, total_at)
        limit = self._options.max_connections_per_origin
        try:
            if limit is not None:
                kept = await self._wait_for_place(limit, connect_at, fresh=fresh)
                if kept is not None:
                    return kept
            return await self._dial(connect_at)
        except ConnectTimeout:
            # By which of the two deadlines came first, not by the clock: uvloop's is in whole milliseconds, and may be a little early.
            if connect_at < total_at:
                raise
            raise TotalTimeout(f"{self._origin.host} was not connected within the total time") from None

    async def _dial(self, connect_at: float) -> Connection:
        self._refuse_if_closed()
        self._dialling += 1
        try:
            connection = await connect(
                self._origin, self._proxy, self._make, self._context, connect_at - self.loop.time()
            )
        except BaseException:
            self._wake_next()
            raise
        finally:
            self._dialling -= 1
        if connection.lost:
            raise ConnectFailed(f"{self._origin.host} closed the connection at once")
        self.created += 1
        self.connections.add(connection)
        if self._closed:
            connection.close()
        self._refuse_if_closed()
        return connection

    async def _wait_for_place(self, limit: int, connect_at: float, *, fresh: bool) -> Connection | None:
        """None: there is room for a new one. Those who were woken in vain go back to the head of the queue."""
        while len(self.connections) + self._dialling >= limit:
            place = self.loop.create_future()
            self._waiting.append(place)
            if fresh and self.idle:
                self.idle.pop().close()
            try:
                async with asyncio.timeout_at(connect_at):
                    await place
            except TimeoutError:
                raise ConnectTimeout(f"all {limit} connections to {self._origin.host} were busy") from None
            except BaseException:
                if place.done() and not place.cancelled():
                    self._wake_next()
                raise
            finally:
                if place in self._waiting:
                    self._waiting.remove(place)
            kept = None if fresh else self.take(self.loop.time())
            if kept is not None:
                return kept
        return None

    def close(self) -> None:
        self._closed = True
        for connection in list(self.connections):
            connection.give_up(Reset("the transport was closed"))
        self._wake_next()

    async def closed(self) -> None:
        """`close` was called; the event loop tells of each socket in its next turns."""
        while self.connections:  # noqa: ASYNC110  # an Event would need a second state beside this set
            await asyncio.sleep(0)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ConnectFailed("the transport is closed")

    def _make(self) -> Connection:
        return Connection(self.loop, self._options, free=self._free, gone=self._gone)

    def _free(self, connection: Connection) -> None:
        if len(self.idle) >= self._options.max_idle_per_origin or self._closed:
            connection.close()
            return
        connection.idle_until = self.loop.time() + self._options.idle_expiry_s
        self.idle.append(connection)
        if self._waiting:
            self._wake_next()

    def _gone(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        self._wake_next()

    def _wake_next(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return

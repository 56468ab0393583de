"""The HTTP client: a pool of connections for each origin. In: `UpstreamRequest`. Out: an answer whose head has come.

No redirects, no cookies, no decompression, no retries but the one for a kept connection that the peer had closed.
"""

import msgspec

from trunkline.execution.transport.exchange import Exchange
from trunkline.execution.transport.options import TransportOptions
from trunkline.execution.transport.pool import Pool
from trunkline.execution.transport.proxies import check_proxies, proxy_for
from trunkline.execution.transport.tls import ClientContext, client_context
from trunkline.execution.transport.types import ConnectFailed, Origin, UpstreamRequest


class TransportStats(msgspec.Struct, frozen=True):
    open: int
    """Connections that are up, busy or idle."""
    idle: int
    created: int
    """Since the start."""


class HttpTransport:
    """Implements `Transport`. Lives as long as the process, in one event loop."""

    def __init__(self, options: TransportOptions) -> None:
        """`ConfigError` for a proxy or a CA file that cannot be used."""
        check_proxies(options.proxies)
        self._options = options
        self._pools: dict[Origin, Pool] = {}
        self._context: ClientContext | None = client_context(options.ca_file) if options.ca_file else None
        self._closed = False

    async def send(self, request: UpstreamRequest) -> Exchange:
        pool = self._pools.get(request.origin) or self._open_pool(request.origin)
        head = pool.heads.encode(request)
        now = pool.loop.time()
        total_at = now + request.total_s
        connection = pool.take(now)
        while True:
            if connection is None:
                connection = await pool.acquire(request, total_at)
            exchange = connection.begin(request, head, total_at)
            error = await exchange.head()
            if error is None:
                return exchange
            if not exchange.stale:
                raise error
            # RFC 9112, 9.3.1: the peer closed an idle connection while the request was on its way. Only a connection
            # made for this request comes next, and on one of those nothing is stale: so this happens once.
            connection = await pool.acquire(request, total_at, fresh=True)

    def pool(self, origin: Origin) -> Pool | None:
        """The connections of an origin that was called before."""
        return self._pools.get(origin)

    async def aclose(self) -> None:
        """Close everything at once; exchanges that run end with `Reset`. Returns when the sockets are closed."""
        self._closed = True
        pools = list(self._pools.values())
        for pool in pools:
            pool.close()
        for pool in pools:
            await pool.closed()

    def stats(self) -> TransportStats:
        pools = self._pools.values()
        return TransportStats(
            open=sum(len(pool.connections) for pool in pools),
            idle=sum(len(pool.idle) for pool in pools),
            created=sum(pool.created for pool in pools),
        )

    def _open_pool(self, origin: Origin) -> Pool:
        if self._closed:
            raise ConnectFailed("the transport is closed")
        if origin.scheme not in ("http", "https"):
            raise ConnectFailed(f"the scheme {origin.scheme!r} of {origin.host} is not http or https")
        proxy = proxy_for(origin, self._options.proxies)
        pool = self._pools[origin] = Pool(origin, proxy, self._options, self._tls_context)
        return pool

    def _tls_context(self) -> ClientContext:
        """Made once, at the first need: reading the system's certificates takes some 20 ms."""
        if self._context is None:
            self._context = client_context(self._options.ca_file)
        return self._context

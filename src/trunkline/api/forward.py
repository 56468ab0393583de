"""Hands a request to the console process over its unix socket, and the answer back as it comes.

In: a `Call`. Out: the console's answer, byte for byte.
"""

import asyncio
from collections.abc import Callable

from trunkline.api.call import Call
from trunkline.api.trusted_proxies import TrustedProxies
from trunkline.errors import InvalidParams, Overloaded, RequestError, TransportError
from trunkline.execution.respond import Headers, Reply
from trunkline.execution.transport.options import Unsendable
from trunkline.execution.transport.types import Origin, Transport, UpstreamRequest, UpstreamResponse

MAX_BODY_BYTES = 1024 * 1024
FIRST_BYTE_S = 120.0
"""More than the console itself waits where it tries a provider's credentials out: its words are better than ours."""
STALLED_S = 60.0
"""So long a caller may take nothing of an answer."""
TOTAL_S = 86_400.0
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"proxy-connection",
        b"proxy-authorization",
        b"content-length",
        b"expect",
    }
)
"""https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1, and what the client of ours sets itself."""
_SET_BY_US = frozenset(
    {b"host", b"accept-encoding", b"x-trunkline-peer", b"x-forwarded-host", b"x-forwarded-proto", b"x-request-id"}
)
_ANSWERED_BY_US = frozenset({b"x-request-id", b"request-id", b"x-zenmux-requestid", b"date", b"server"})


class Forwarder:
    """The way to the console. Lives as long as the data plane."""

    def __init__(
        self, transport: Transport, console_path: str, proxies: TrustedProxies, stalled_s: float = STALLED_S
    ) -> None:
        self._stalled_s = stalled_s
        self._transport = transport
        self._origin = Origin("http", "console", 80, unix_path=console_path, guarded=False)
        self._proxies = proxies

    async def pass_on(self, call: Call, reply: Reply, body: bytes) -> None:
        """One request. Raises a `RequestError` where it cannot be forwarded or the console does not answer."""
        try:
            response = await self._transport.send(self._request(call, body, reply))
        except Unsendable as error:
            raise InvalidParams(f"The request cannot be forwarded: {error}.") from error
        except TransportError as error:
            raise Overloaded(
                f"The console is starting or down ({error.kind}); model traffic is not affected.", retry_after_s=1.0
            ) from error
        try:
            named = _named_by_connection(response.headers)
            headers = [
                (name, value)
                for name, value in response.headers
                if name not in _HOP_BY_HOP and name not in _ANSWERED_BY_US and name not in named
            ]
            length = [(name, value) for name, value in response.headers if name == b"content-length"]
            reply.start(response.status, headers + length)
            if await self._pump(response, reply):
                reply.end()
            else:
                reply.close()
                call.cut()
        finally:
            response.abort()

    async def _pump(self, response: UpstreamResponse, reply: Reply) -> bool:
        """Pass the body on; False where the caller has taken nothing of it for a while."""
        passed = 0

        def take(chunk: bytes) -> "asyncio.Future[None] | None":
            nonlocal passed
            passed += 1
            return _passed_on(reply, chunk)

        pump = asyncio.ensure_future(response.pump(take))
        try:
            while True:
                before = passed
                if (await asyncio.wait({pump}, timeout=self._stalled_s))[0]:
                    await pump
                    return True
                if passed == before and reply.is_full:
                    return False
        finally:
            pump.cancel()

    def _request(self, call: Call, body: bytes, reply: Reply) -> UpstreamRequest:
        named = _named_by_connection(call.headers)
        kept = [header for header in call.headers if _is_forwarded(*header) and header[0] not in named]
        host = next((value for name, value in call.headers if name == b"host"), b"")
        peer, scheme = self._proxies.caller(call.peer, call.scheme, call.headers)
        ours: Headers = [
            (b"x-forwarded-host", host if host.isascii() else b""),
            (b"x-trunkline-peer", peer.encode()),
            (b"x-forwarded-proto", scheme.encode()),
            (b"x-request-id", reply.request_id.encode()),
        ]
        return UpstreamRequest(
            self._origin,
            call.method.encode(),
            call.target,
            tuple(kept + ours),
            body,
            connect_s=2.0,
            first_byte_s=FIRST_BYTE_S,
            # An export of millions of records takes its time. While bytes come it goes on; where none come, `idle_s` ends it.
            total_s=TOTAL_S,
        )


class Forwarding:
    """One request for the console."""

    max_body_bytes = MAX_BODY_BYTES

    def __init__(
        self, forwarder: Forwarder, call: Call, reply: Reply, answer_error: Callable[[Reply, RequestError], None]
    ) -> None:
        self._forwarder = forwarder
        self._call = call
        self._reply = reply
        self._answer_error = answer_error

    async def run(self, body: bytes) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._reply.watch(lambda: _cancel(task))
        try:
            await self._forwarder.pass_on(self._call, self._reply, body)
        except RequestError as error:
            self._answer_error(self._reply, error)

    def refuse(self, error: RequestError) -> None:
        self._answer_error(self._reply, error)

    def left(self) -> None:
        pass


def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()


def _passed_on(reply: Reply, chunk: bytes) -> "asyncio.Future[None] | None":
    reply.write(chunk)
    return reply.room() if reply.is_full else None


def _named_by_connection(headers: Headers) -> set[bytes]:
    """Headers that are for this connection only, because `Connection` says so (RFC 9110, 7.6.1)."""
    lists = [value for name, value in headers if name == b"connection"]
    return {option.strip().lower() for value in lists for option in value.split(b",")}


def _is_forwarded(name: bytes, value: bytes) -> bool:
    """Values outside ASCII are left out: browsers' extensions send such, the transport refuses them, and no page of the console needs one."""
    return name not in _HOP_BY_HOP and name not in _SET_BY_US and value.isascii()

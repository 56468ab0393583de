"""Hands a request to the console process over its unix socket, and the answer back as it comes.

In: an ASGI request. Out: the console's answer, byte for byte.
"""

from typing import Any

from trunkline.errors import InvalidParams, Overloaded, PayloadTooLarge, TransportError
from trunkline.execution.respond import Headers, Receive, Reply
from trunkline.execution.transport.options import Unsendable
from trunkline.execution.transport.types import Origin, Transport, UpstreamRequest

MAX_BODY_BYTES = 1024 * 1024
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

    def __init__(self, transport: Transport, console_path: str) -> None:
        self._transport = transport
        self._origin = Origin("http", "console", 80, unix_path=console_path, guarded=False)

    async def __call__(self, scope: dict[str, Any], receive: Receive, reply: Reply) -> None:
        """One request. Raises a `RequestError` where it cannot be forwarded or the console does not answer."""
        body = await _body(receive)
        try:
            response = await self._transport.send(self._request(scope, body, reply))
        except Unsendable as error:
            raise InvalidParams(f"The request cannot be forwarded: {error}.") from error
        except TransportError as error:
            raise Overloaded(
                f"The console is starting or down ({error.kind}); model traffic is not affected.", retry_after_s=1.0
            ) from error
        try:
            headers = [
                (name, value)
                for name, value in response.headers
                if name not in _HOP_BY_HOP and name not in _ANSWERED_BY_US
            ]
            length = [(name, value) for name, value in response.headers if name == b"content-length"]
            await reply.start(response.status, headers + length)
            while chunk := await response.chunk():
                await reply.write(chunk)
            await reply.end()
        finally:
            response.abort()

    def _request(self, scope: dict[str, Any], body: bytes, reply: Reply) -> UpstreamRequest:
        kept = [header for header in scope["headers"] if _is_forwarded(*header)]
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        peer = (scope.get("client") or ("",))[0].encode()
        ours: Headers = [
            (b"x-forwarded-host", host if host.isascii() else b""),
            (b"x-trunkline-peer", peer),
            (b"x-forwarded-proto", scope["scheme"].encode()),
            reply.headers[0],
        ]
        query: bytes = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        return UpstreamRequest(
            self._origin,
            scope["method"].encode(),
            target,
            tuple(kept + ours),
            body,
            connect_s=2.0,
            first_byte_s=30.0,
            total_s=300.0,
        )


def _is_forwarded(name: bytes, value: bytes) -> bool:
    """Values outside ASCII are left out: browsers' extensions send such, the transport refuses them, and no page of the console needs one."""
    return name not in _HOP_BY_HOP and name not in _SET_BY_US and value.isascii()


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidParams("The caller left while sending.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise PayloadTooLarge(f"At most {MAX_BODY_BYTES} bytes are taken here.")
        if not message.get("more_body"):
            return b"".join(parts)

"""The data plane's ASGI application: which path is what. In: ASGI scopes. Out: answers; everything that is not model traffic goes to the console process.

No framework and no middleware here: this is the hot path (design.md section 5).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import msgspec

from trunkline.accounts.keys import ApiKey
from trunkline.api.cors import Cors
from trunkline.api.forward import Forwarder
from trunkline.api.models import ModelList
from trunkline.errors import AccessDenied, InternalError, NotFound, Overloaded, PayloadTooLarge, RequestError
from trunkline.execution.exchange import Exchange
from trunkline.execution.gateway import Gateway
from trunkline.execution.respond import JSON_HEADERS, Headers, Message, Receive, Reply, Send, Watchers
from trunkline.execution.run import abandon, refuse, retry_headers, run
from trunkline.protocols.openai_chat import NAME
from trunkline.protocols.openai_chat.errors import error_body

Scope = dict[str, Any]
Authenticate = Callable[[str, float], ApiKey | None]

_OURS = ("/api/v1", "/v1")
_CHAT = frozenset(f"{prefix}/chat/completions" for prefix in _OURS)
_MODELS = tuple(f"{prefix}/models" for prefix in _OURS)
_CONSOLE_API = ("/api/v1/management/", "/api/v1/generation")
# Below these a path that nobody knows gets a quick JSON 404: clients probe them (`HEAD /api/anthropic/api/hello`, `POST /api/api/show`).
_API = ("/api/", "/v1/", "/v1beta/", "/anthropic/")
_MAX_HEADER_TEXT = 512


class Seen(msgspec.Struct):
    """What one pass over the request's headers found."""

    secret: str = ""
    content_length: int = 0
    app_url: str = ""
    app_title: str = ""
    session_id: str = ""
    user_agent: str = ""
    origin: bytes = b""


class DataPlane:
    """The application. Lives as long as the process; `refused` counts requests without a good key, which get no record."""

    def __init__(
        self,
        gateway: Gateway,
        authenticate: Authenticate,
        models: ModelList,
        forward: Forwarder,
        cors: Cors,
        readiness: Callable[[], dict[str, Any]],
        log: Any,
    ) -> None:
        self._gateway = gateway
        self._authenticate = authenticate
        self._models = models
        self._forward = forward
        self._cors = cors
        self._readiness = readiness
        self._log = log
        self._watchers = Watchers()
        self.refused = 0
        self.open = 0
        """Chat requests under way."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        path: str = scope["path"]
        if path in _CHAT and scope["method"] == "POST":
            return self._chat(scope, receive, send)
        return self._other(scope, path, receive, send)

    # --- the hot path

    async def _chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway, clock = self._gateway, self._gateway.clock
        exchange = Exchange(clock.new_id(), NAME, clock.now_s(), clock.unix_ms())
        seen = _headers(scope)
        reply = Reply(receive, send, _base_headers(exchange.id), self._watchers)
        reply.headers += self._cors.headers(seen.origin)
        self.open += 1
        try:
            exchange.key_id = self._key(seen, exchange.received_ms).id
            exchange.app_url, exchange.app_title = seen.app_url, seen.app_title
            exchange.session_id, exchange.user_agent = seen.session_id, seen.user_agent
            if gateway.sink.is_full:
                await gateway.sink.room()
            # From here on it ends in one record.
            body = await self._body(exchange, reply, receive, seen.content_length)
            if body is not None:
                await run(gateway, exchange, reply, body, self._log)
        except RequestError as error:
            await _answer_error(reply, error, exchange.id)
        except Exception:  # noqa: BLE001 - the request's edge: whatever went wrong, the caller gets an answer in its protocol
            self._log.exception("a request could not be answered", request_id=exchange.id)
            if not reply.started:
                await _answer_error(reply, InternalError("The gateway itself failed."), exchange.id)
        finally:
            self.open -= 1
            reply.close()

    async def _body(self, exchange: Exchange, reply: Reply, receive: Receive, announced: int) -> bytes | None:
        """The body; None where it is not to be had, and the request has its record by then."""
        gateway = self._gateway
        try:
            body = await _body(receive, announced, gateway.snapshot.policy.max_body_bytes)
        except PayloadTooLarge as error:
            await refuse(gateway, exchange, reply, error)
            return None
        except asyncio.CancelledError:
            await refuse(gateway, exchange, reply, Overloaded("The gateway is being stopped.", retry_after_s=1.0))
            return None
        if body is None:
            abandon(gateway, exchange, reply)
        return body

    def _key(self, seen: Seen, now_ms: float) -> ApiKey:
        key = self._authenticate(seen.secret, now_ms) if seen.secret else None
        if key is None:
            self.refused += 1
            what = (
                "The API key is not valid: it is unknown, expired or revoked" if seen.secret else "There is no API key"
            )
            raise AccessDenied(
                f"{what}. Send one as `Authorization: Bearer sk-tl-...`; `trunkline keys create` makes one."
            )
        return key

    # --- everything else

    async def _other(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        request_id = self._gateway.clock.new_id()
        seen = _headers(scope)
        reply = Reply(receive, send, _base_headers(request_id), self._watchers)
        reply.headers += self._cors.headers(seen.origin)
        try:
            if scope["method"] == "OPTIONS" and self._cors.allows(seen.origin):
                return await reply.whole(204, self._cors.preflight(scope["headers"]), b"")
            handler = self._handler(path)
            if handler is not None and scope["method"] in ("GET", "HEAD"):
                return await handler(scope, reply)
            if _is_console(path):
                return await self._forward(scope, receive, reply)
            raise NotFound(f"There is nothing at {scope['method']} {path[:200]}.")
        except RequestError as error:
            await _answer_error(reply, error, request_id)
        finally:
            reply.close()

    def _handler(self, path: str) -> "Callable[[Scope, Reply], Awaitable[None]] | None":
        if path == "/healthz":
            return self._healthz
        if path == "/readyz":
            return self._readyz
        if path in _MODELS or path.startswith(tuple(f"{prefix}/" for prefix in _MODELS)):
            return self._models
        return None

    async def _healthz(self, scope: Scope, reply: Reply) -> None:
        del scope
        await reply.whole(200, JSON_HEADERS, b'{"status":"ok"}')

    async def _readyz(self, scope: Scope, reply: Reply) -> None:
        del scope
        state = self._readiness()
        state["requests"] = {"open": self.open, "refused_credentials": self.refused}
        await reply.whole(200 if state["ready"] else 503, JSON_HEADERS, msgspec.json.encode(state))


async def _answer_error(reply: Reply, error: RequestError, request_id: str) -> None:
    await reply.whole(error.status, JSON_HEADERS + retry_headers(error), error_body(error, request_id))


def _is_console(path: str) -> bool:
    """Management, and pages: everything that is not below an API's prefix."""
    return path.startswith(_CONSOLE_API) or not path.startswith(_API)


def _base_headers(request_id: str) -> Headers:
    """The id under all the names that clients read: OpenAI's and Codex print the first, Anthropic's reads the second."""
    value = request_id.encode()
    return [(b"x-request-id", value), (b"request-id", value), (b"x-zenmux-requestid", value)]


def _headers(scope: Scope) -> Seen:
    """One pass: credentials in any of the places that the four protocols' clients use, and who is asking."""
    seen = Seen()
    for name, value in scope["headers"]:
        take = _TAKE.get(name)
        if take is not None:
            take(seen, value)
    if not seen.secret and b"key=" in scope["query_string"]:
        seen.secret = parse_qs(scope["query_string"].decode("latin-1")).get("key", [""])[0]
    return seen


def _authorization(seen: Seen, value: bytes) -> None:
    if value[:7].lower() == b"bearer ":
        seen.secret = value[7:].strip().decode("latin-1")


def _secret(seen: Seen, value: bytes) -> None:
    seen.secret = seen.secret or value.strip().decode("latin-1")


def _length(seen: Seen, value: bytes) -> None:
    seen.content_length = int(value) if value.isdigit() else 0


def _text(field: str) -> Callable[[Seen, bytes], None]:
    def take(seen: Seen, value: bytes) -> None:
        setattr(seen, field, value[:_MAX_HEADER_TEXT].decode("utf-8", "replace"))

    return take


def _origin(seen: Seen, value: bytes) -> None:
    seen.origin = value


_TAKE: dict[bytes, Callable[[Seen, bytes], None]] = {
    b"authorization": _authorization,
    b"x-api-key": _secret,
    b"x-goog-api-key": _secret,
    b"content-length": _length,
    b"http-referer": _text("app_url"),
    b"referer": _text("app_url"),
    b"x-title": _text("app_title"),
    b"user-agent": _text("user_agent"),
    b"x-session-id": _text("session_id"),
    b"x-zenmux-session-id": _text("session_id"),
    b"session_id": _text("session_id"),
    b"session-id": _text("session_id"),
    b"origin": _origin,
}


async def _body(receive: Receive, announced: int, limit: int) -> bytes | None:
    """The whole body, or None where the caller left while sending it."""
    if announced > limit:
        raise PayloadTooLarge(f"The body has {announced} bytes, at most {limit} are taken ([server] max_body_bytes).")
    parts: list[bytes] = []
    size = 0
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise PayloadTooLarge(
                f"The body has more than {limit} bytes, which is the most that is taken ([server] max_body_bytes)."
            )
        parts.append(part)
        if not message.get("more_body"):
            return part if len(parts) == 1 else b"".join(parts)

"""The data plane's application: which path is what. In: `Call`s. Out: answers; everything that is not model traffic goes to the console process.

No framework and no middleware here: this is the hot path (design.md section 5).
"""

import asyncio
import re
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import msgspec

from trunkline.accounts.keys import MASTER_ID, ApiKey
from trunkline.accounts.terms import KeyTerms
from trunkline.accounts.types import NO_RULES, KeyRules
from trunkline.api.call import Call, Handler
from trunkline.api.cors import Cors
from trunkline.api.doors import CHAT_DOOR, counting, door, spoken
from trunkline.api.forward import Forwarder, Forwarding
from trunkline.api.management import explain
from trunkline.api.metrics import PATH as METRICS
from trunkline.api.metrics import Metrics
from trunkline.api.models import ModelList
from trunkline.api.responses import StoredResponses
from trunkline.errors import AccessDenied, NotFound, RequestError
from trunkline.execution.asked import Door
from trunkline.execution.codecs import codec_of
from trunkline.execution.exchange import Client, Exchange, opened
from trunkline.execution.explain import told
from trunkline.execution.gateway import Gateway, Snapshot
from trunkline.execution.idempotency import OnceOnly
from trunkline.execution.permitted import check_protocol
from trunkline.execution.plain import Head, begin_plainly
from trunkline.execution.respond import JSON_HEADERS, Reply
from trunkline.execution.run import abandon, begin, refuse, retry_headers, run
from trunkline.protocols.codec import CHAT, RESPONSES

Authenticate = Callable[[str, float], ApiKey | None]

_MODEL_PATHS = re.compile(
    r"(?:/api/v1|/v1|/v1beta1?|/api/anthropic/v1|/anthropic/v1|/api/vertex-ai/v1(?:beta1?)?(?:/publishers/[^/]+)?)/models(?:/|$)"
)
_CONSOLE_API = ("/api/v1/management/", "/api/v1/generation")
# Below these a path that nobody knows gets a quick JSON 404: clients probe them (`HEAD /api/anthropic/api/hello`, `POST /api/api/show`).
# The rest below `/anthropic/` are pages of that author's models.
_API = ("/api/", "/v1/", "/v1beta", "/anthropic/v1/", "/anthropic/api/")
_MAX_HEADER_TEXT = 512


class Seen(Client):
    """What one pass over the request's headers found."""

    secret: str = ""
    origin: bytes = b""
    idempotency_key: bytes | None = None
    explains: bool = False
    """It wants to be told how its answer came about."""


class Known(msgspec.Struct, eq=False):
    """What a head says: `Call.told`. Lives as long as the head is known."""

    door: Door
    seen: Seen
    head: Head
    plane: "DataPlane"
    has_shapes: bool = False
    """The last request with it that came whole went the short way."""

    def begin(self, call: Call, body: bytes) -> bool:
        """`Call.at_once`."""
        if not self.has_shapes:
            return False
        self.has_shapes = self.plane.begin_at_once(self, call, body)
        return self.has_shapes


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
        once: OnceOnly,
        metrics: Metrics,
        log: Any,
    ) -> None:
        self._gateway = gateway
        self._authenticate = authenticate
        self._models = models
        self._forward = forward
        self._cors = cors
        self._readiness = readiness
        self._once = once
        self._metrics = metrics
        self._log = log
        self._stored = StoredResponses(gateway.conversations, _answer_error)
        self._loop = asyncio.get_running_loop()
        self.refused = 0

    def __call__(self, call: Call) -> Handler | None:
        """What is done with a request, now that its head has come."""
        request_id = self._gateway.clock.new_id()
        reply = Reply(call, request_id, self._loop)
        protocol = ""
        if call.told is not None:
            found, seen = call.told.door, call.told.seen
            try:
                return self._generate(request_id, found, seen, call, reply)
            except RequestError as error:
                _answer_error(reply, error, found.protocol)
                return None
        seen = _headers(call)
        if seen.origin:
            reply.add_headers(self._cors.headers(seen.origin))
        try:
            found = door(call.method, call.target, call.headers)
            if found is not None:
                protocol = found.protocol
                if not seen.origin:
                    known = call.told = Known(found, seen, Head(found, seen, self._log), self)
                    if found is CHAT_DOOR and seen.idempotency_key is None and not seen.explains:
                        call.at_once = known.begin
                return self._generate(request_id, found, seen, call, reply)
            return self._other(call, seen, reply)
        except RequestError as error:
            _answer_error(reply, error, protocol or spoken(call.target, call.headers))
            return None

    def begin_at_once(self, known: "Known", call: Call, body: bytes) -> bool:
        """Answer a whole request on the short way, where it is one of those. False: nothing was done."""
        gateway, clock = self._gateway, self._gateway.clock
        now_ms = clock.unix_ms()
        key = self._authenticate(known.seen.secret, now_ms)
        if key is None or len(body) > gateway.snapshot.policy.max_body_bytes:
            return False
        terms: KeyTerms | None = None
        try:
            if key.rules is not NO_RULES or key.kind != "inference":
                check_protocol(key, CHAT)
            if gateway.accounting is not None and key.id != MASTER_ID:
                terms = gateway.accounting.of(key)
        except RequestError:
            # The long way tells.
            return False
        head, id_ = known.head, clock.new_id()
        if not begin_plainly(gateway, call, head, key, id_, clock.now_s(), now_ms, body, None, terms):
            return False
        gateway.open += 1
        return True

    def _generate(self, request_id: str, found: Door, seen: Seen, call: Call, reply: Reply) -> Handler | None:
        gateway, clock = self._gateway, self._gateway.clock
        now_s, now_ms = clock.now_s(), clock.unix_ms()
        key = self._key(seen, now_ms)
        exchange = opened(request_id, found.protocol, now_s, now_ms, seen, key)
        if key.rules is not NO_RULES or key.kind != "inference":
            exchange.rules = key.rules
            try:
                check_protocol(key, found.protocol)
            except AccessDenied as error:
                begin(gateway, exchange)
                refuse(gateway, exchange, reply, found, error)
                return None
        if gateway.apart is not None:
            exchange.snapshot = gateway.apart.of(key)
        if gateway.accounting is not None and key.id != MASTER_ID:
            terms = exchange.terms = gateway.accounting.of(key)
            if terms is not None:
                exchange.prepaid_by = terms.prepaid_by
        if gateway.captures is not None:
            gateway.captures.begin(exchange, call.method, call.target, call.headers, reply)
        if seen.idempotency_key is not None and self._once.is_on:
            return _GeneratingOnce(
                gateway, exchange, found, reply, self._log, seen.explains, call, key, self._once, seen.idempotency_key
            )
        return _Generating(gateway, exchange, found, reply, self._log, seen.explains, call, key)

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

    def _other(self, call: Call, seen: Seen, reply: Reply) -> Handler | None:
        if call.method == "OPTIONS" and self._cors.allows(seen.origin):
            reply.whole(204, self._cors.preflight(call.headers), b"")
            return None
        path = call.path
        stored = self._stored.handler(call.method, call.target)
        if stored is not None:
            asks = self._key(seen, self._gateway.clock.unix_ms())
            check_protocol(asks, RESPONSES)
            return stored(call, reply, asks.id)
        counted = counting(call.method, call.target, call.headers)
        if counted is not None:
            counts = self._key(seen, self._gateway.clock.unix_ms())
            check_protocol(counts, counted.protocol)
            return _Counting(self._gateway, self._gateway.snapshot_of(counts), counted, reply, counts.rules)
        if path == explain.PATH and call.method == "POST":
            asks_with = self._key(seen, self._gateway.clock.unix_ms())
            return explain.Explaining(self._gateway, asks_with, reply, _answer_error)
        if path == METRICS and call.method in ("GET", "HEAD"):
            key = self._key(seen, self._gateway.clock.unix_ms()) if self._metrics.needs_key(call) else None
            return self._metrics.scrape(call, reply, key, self.refused)
        handler = self._handler(path)
        if handler is not None and call.method in ("GET", "HEAD"):
            if handler is self._models and seen.secret:
                return self._models_of(seen, call, reply)
            return handler(call, reply)
        if _is_console(path):
            return Forwarding(self._forward, call, reply, _answer_error)
        raise NotFound(f"There is nothing at {call.method} {path[:200]}.")

    def _handler(self, path: str) -> "Callable[[Call, Reply], Handler | None] | None":
        if path == "/healthz":
            return self._healthz
        if path == "/readyz":
            return self._readyz
        if _MODEL_PATHS.match(path):
            return self._models
        return None

    def _models_of(self, seen: Seen, call: Call, reply: Reply) -> Handler | None:
        """What the key may call. One that is not good sees what everyone does."""
        key = self._authenticate(seen.secret, self._gateway.clock.unix_ms())
        return self._models(call, reply, NO_RULES if key is None else key.rules)

    def _healthz(self, call: Call, reply: Reply) -> None:
        del call
        reply.whole(200, JSON_HEADERS, b'{"status":"ok"}')

    def _readyz(self, call: Call, reply: Reply) -> None:
        del call
        state = self._readiness()
        state["requests"] = {"open": self._gateway.open, "refused_credentials": self.refused}
        reply.whole(200 if state["ready"] else 503, JSON_HEADERS, msgspec.json.encode(state))


class _Generating:
    """A request for an answer of a model, whose key is good. Whatever becomes of it, it ends in one record."""

    __slots__ = ("_call", "_door", "_exchange", "_explains", "_gateway", "_key", "_log", "_reply", "max_body_bytes")

    def __init__(
        self,
        gateway: Gateway,
        exchange: Exchange,
        found: Door,
        reply: Reply,
        log: Any,
        explains: bool,
        call: Call,
        key: ApiKey,
    ) -> None:
        self._door = found
        self._gateway = gateway
        self._exchange = exchange
        self._reply = reply
        self._log = log
        self._call = call
        self._key = key
        self._explains = explains
        if explains:
            reply.told = partial(told, exchange, True)
        self.max_body_bytes = gateway.snapshot.policy.max_body_bytes
        begin(gateway, exchange)

    def run(self, body: bytes) -> Coroutine[Any, Any, None] | None:
        gateway, exchange, reply, door = self._gateway, self._exchange, self._reply, self._door
        if exchange.capture is not None:
            exchange.capture.asked.take(body)
        if not self._explains:
            if door is CHAT_DOOR and self._is_begun_plainly(body):
                return None
            reply.told = partial(told, exchange, False)
        return run(gateway, exchange, reply, door, body, self._log)

    def _is_begun_plainly(self, body: bytes) -> bool:
        exchange, known = self._exchange, self._call.told
        client = Client(exchange.app_url, exchange.app_title, exchange.session_id, exchange.user_agent)
        head = Head(self._door, client, self._log) if known is None else known.head
        is_begun = begin_plainly(
            self._gateway, self._call, head, self._key, exchange.id, exchange.received_at, exchange.received_ms, body, self._reply,
            exchange.terms,
        )  # fmt: skip
        if known is not None:
            known.has_shapes = is_begun
        return is_begun

    def refuse(self, error: RequestError) -> None:
        refuse(self._gateway, self._exchange, self._reply, self._door, error)

    def left(self) -> None:
        abandon(self._gateway, self._exchange, self._reply)


class _GeneratingOnce(_Generating):
    """The same with an `Idempotency-Key`."""

    __slots__ = ("_once", "_once_key")

    def __init__(
        self,
        gateway: Gateway,
        exchange: Exchange,
        found: Door,
        reply: Reply,
        log: Any,
        explains: bool,
        call: Call,
        key: ApiKey,
        once: OnceOnly,
        once_key: bytes,
    ) -> None:
        super().__init__(gateway, exchange, found, reply, log, explains, call, key)
        reply.told = partial(told, exchange, explains)
        self._once = once
        self._once_key = once_key

    def run(self, body: bytes) -> Coroutine[Any, Any, None]:
        if self._exchange.capture is not None:
            self._exchange.capture.asked.take(body)
        return self._once.answer(
            self._gateway, self._exchange, self._reply, self._door, body, self._once_key, self._log
        )


class _Counting:
    """A request to count tokens, whose key is good."""

    __slots__ = ("_door", "_gateway", "_reply", "_rules", "_snapshot", "max_body_bytes")

    def __init__(self, gateway: Gateway, snapshot: Snapshot, found: Door, reply: Reply, rules: KeyRules) -> None:
        self._rules = rules
        self._gateway = gateway
        self._snapshot = snapshot
        self._door = found
        self._reply = reply
        self.max_body_bytes = gateway.snapshot.policy.max_body_bytes

    async def run(self, body: bytes) -> None:
        from trunkline.execution.counting import count

        try:
            counted = await count(self._gateway, self._snapshot, self._door, body, self._reply.request_id, self._rules)
        except RequestError as error:
            self.refuse(error)
            return
        told = [(b"x-trunkline-estimated", b"true")] if counted.estimated else []
        self._reply.whole(200, JSON_HEADERS + told, counted.body)

    def refuse(self, error: RequestError) -> None:
        _answer_error(self._reply, error, self._door.protocol)

    def left(self) -> None:
        pass


def _answer_error(reply: Reply, error: RequestError, protocol: str = CHAT) -> None:
    body = codec_of(protocol).error_body(error, reply.request_id)
    reply.whole(error.status, JSON_HEADERS + retry_headers(error), body)


def _is_console(path: str) -> bool:
    """Management, and pages: everything that is not below an API's prefix."""
    return path.startswith(_CONSOLE_API) or not path.startswith(_API)


def _headers(call: Call) -> Seen:
    """One pass: credentials in any of the places that the four protocols' clients use, and who is asking."""
    seen = Seen()
    for name, value in call.headers:
        take = _TAKE.get(name)
        if take is not None:
            take(seen, value)
    if not seen.secret and b"key=" in call.query:
        seen.secret = parse_qs(call.query.decode("latin-1")).get("key", [""])[0]
    return seen


def _authorization(seen: Seen, value: bytes) -> None:
    if value[:7].lower() == b"bearer ":
        seen.secret = value[7:].strip().decode("latin-1")


def _secret(seen: Seen, value: bytes) -> None:
    seen.secret = seen.secret or value.strip().decode("latin-1")


def _text(field: str) -> Callable[[Seen, bytes], None]:
    def take(seen: Seen, value: bytes) -> None:
        setattr(seen, field, value[:_MAX_HEADER_TEXT].decode("utf-8", "replace"))

    return take


def _origin(seen: Seen, value: bytes) -> None:
    seen.origin = value


def _idempotency_key(seen: Seen, value: bytes) -> None:
    seen.idempotency_key = value


def _explain(seen: Seen, value: bytes) -> None:
    seen.explains = value.strip().lower() in (b"1", b"true")


_TAKE: dict[bytes, Callable[[Seen, bytes], None]] = {
    b"authorization": _authorization,
    b"x-api-key": _secret,
    b"x-goog-api-key": _secret,
    b"http-referer": _text("app_url"),
    b"referer": _text("app_url"),
    b"x-title": _text("app_title"),
    b"user-agent": _text("user_agent"),
    b"x-session-id": _text("session_id"),
    b"x-zenmux-session-id": _text("session_id"),
    b"session_id": _text("session_id"),
    b"session-id": _text("session_id"),
    b"origin": _origin,
    b"idempotency-key": _idempotency_key,
    b"x-trunkline-explain": _explain,
}

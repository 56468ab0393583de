"""Takes a copy of what goes over the wire, where `[capture]` says so. In: one request's bytes as they pass. Out: `Captured`, handed over with its record.

Off, a request has no `Capture`, and whoever passes bytes on asks for no more than that. Nothing here changes what is passed on.
"""

import asyncio
from collections.abc import Callable, Iterable

from trunkline.execution.exchange import Exchange
from trunkline.execution.respond import Headers, Reply
from trunkline.execution.transport.types import Take, UpstreamRequest, UpstreamResponse
from trunkline.records.bodies import MARGIN_BYTES, Body, Captured, CapturePolicy, View

# Headers that hold no credential and say something about a request or its answer; all others are only counted.
_SHOWN = frozenset(
    {
        b"accept", b"accept-encoding", b"accept-language", b"anthropic-beta", b"anthropic-version", b"apim-request-id", b"cache-control", b"cf-ray",
        b"content-encoding", b"content-language", b"content-length", b"content-type", b"date", b"http-referer", b"idempotent-replayed", b"openai-beta",
        b"openai-model", b"openai-processing-ms", b"openai-version", b"origin", b"referer", b"request-id", b"retry-after", b"retry-after-ms", b"server",
        b"session-id", b"session_id", b"transfer-encoding", b"user-agent", b"via", b"x-accel-buffering", b"x-ms-region", b"x-ms-request-id",
        b"x-request-id", b"x-session-id", b"x-should-retry", b"x-simulated", b"x-title", b"x-zenmux-session-id",
    }
)  # fmt: skip
_SHOWN_PREFIXES = (b"x-stainless-", b"x-trunkline-", b"x-ratelimit-", b"anthropic-ratelimit-")
_MAX_HEADER_CHARS = 1024
NOT_KEPT = "bodies not kept: too many wait for the disk"


class Captures:
    """Begins captures. Lives as long as the process; `Gateway.captures` is None while nothing is captured."""

    def __init__(self, policy: CapturePolicy, put: Callable[[Captured], bool], now_s: Callable[[], float]) -> None:
        """`put` takes what was captured; False where it cannot."""
        self._policy = policy
        self._put = put
        self._now_s = now_s

    def begin(self, exchange: Exchange, method: str, target: bytes, headers: Headers, reply: Reply) -> None:
        """From the head of a request on. Of a key of zero retention nothing is."""
        if exchange.zero_retention:
            return
        capture = exchange.capture = Capture(self._policy, exchange, self._put, self._now_s)
        capture.client(f"{method} {_path(target)}", headers, reply)


class Tap:
    """One body on its way. Lives as long as its request."""

    __slots__ = (
        "_first_at",
        "_headers",
        "_last_at",
        "_limit",
        "_now_s",
        "_pieces",
        "_room",
        "offer",
        "size",
        "started_ms",
        "status",
        "target",
        "view",
    )

    def __init__(
        self, view: View, policy: CapturePolicy, now_s: Callable[[], float], offer: str = "", started_ms: float = 0.0
    ) -> None:
        self.view = view
        self.offer = offer
        self.started_ms = started_ms
        self.target = ""
        self.status = 0
        self.size = 0
        self._headers: Headers = []
        self._now_s = now_s
        self._limit = policy.max_bytes + MARGIN_BYTES if policy.bodies == "full" else -1
        self._room = self._limit
        self._pieces: list[bytes] = []
        self._first_at: float | None = None
        self._last_at: float | None = None

    def head(self, status: int, headers: Headers) -> None:
        self.status = status
        self._headers = list(headers)

    def take(self, data: bytes | bytearray) -> None:
        """The next piece."""
        self._last_at = self._now_s()
        if self._first_at is None:
            self._first_at = self._last_at
        self.size += len(data)
        if self._room > 0:
            piece = bytes(data) if len(data) <= self._room else bytes(data[: self._room])
            self._room -= len(piece)
            self._pieces.append(piece)

    def body(self, received_at: float) -> Body:
        """What came by."""
        shown = [(name, value) for name, value in self._headers if _is_shown(name)]
        return Body(
            self.view,
            self.offer,
            self.started_ms,
            self.target,
            self.status,
            tuple((name.decode("latin-1"), value.decode("latin-1")[:_MAX_HEADER_CHARS]) for name, value in shown),
            len(self._headers) - len(shown),
            self.size,
            None if self._first_at is None else (self._first_at - received_at) * 1000,
            None if self._last_at is None else (self._last_at - received_at) * 1000,
            b"".join(self._pieces) if self._limit >= 0 else None,
            self._limit >= 0 and self.size > self._limit,
        )


class Capture:
    """The views of one request. Lives as long as that."""

    __slots__ = ("_exchange", "_now_s", "_policy", "_put", "_secrets", "_taps", "asked")

    def __init__(
        self,
        policy: CapturePolicy,
        exchange: Exchange,
        put: Callable[[Captured], bool],
        now_s: Callable[[], float],
    ) -> None:
        self._policy = policy
        self._exchange = exchange
        self._put = put
        self._now_s = now_s
        self.asked = Tap("client_request", policy, now_s)
        self._taps: list[Tap] = [self.asked]
        self._secrets: set[str] = set()

    def client(self, target: str, headers: Headers, reply: Reply) -> None:
        """The caller's side."""
        self.asked.target = target
        self.asked.head(0, headers)
        answer = Tap("client_answer", self._policy, self._now_s)
        reply.see_writes(answer.take)
        reply.see_head(answer.head)
        self._taps.append(answer)

    def sent(self, offer: str, started_ms: float, request: UpstreamRequest, keys: Iterable[str]) -> None:
        """What an attempt sends. `keys` are its account's: a provider may repeat them, and the answer to the caller then, too."""
        self._secrets.update(keys)
        tap = Tap("provider_request", self._policy, self._now_s, offer, started_ms)
        origin = request.origin
        where = "" if origin.unix_path else f"{origin.scheme}://{origin.host}:{origin.port}"
        tap.target = f"{request.method.decode()} {where}{_path(request.target)}"
        tap.head(0, list(request.headers))
        tap.take(request.body)
        self._taps.append(tap)

    def answered(self, offer: str, started_ms: float, response: UpstreamResponse) -> "Tapped":
        """What it gets, as it is read."""
        tap = Tap("provider_answer", self._policy, self._now_s, offer, started_ms)
        tap.head(response.status, response.headers)
        self._taps.append(tap)
        return Tapped(response, tap)

    def hand_over(self) -> None:
        """Before the record goes to its sink."""
        try:
            kept, why = self._put(self.captured()), NOT_KEPT
        except Exception as error:  # noqa: BLE001 - an observer: whatever is wrong with it, the record must be written
            kept, why = False, f"bodies not kept: {type(error).__name__}"
        if not kept:
            self._exchange.notes.append(why)

    def captured(self) -> Captured:
        """All of it, so far."""
        exchange = self._exchange
        bodies = tuple(tap.body(exchange.received_at) for tap in self._taps)
        return Captured(exchange.id, exchange.key_id, exchange.received_ms, bodies, tuple(self._secrets))


class Tapped:
    """An answer of a provider with a tap in it. Lives as long as the answer."""

    def __init__(self, response: UpstreamResponse, tap: Tap) -> None:
        self._response = response
        self._tap = tap
        self.status = response.status
        self.headers = response.headers
        self.reused = response.reused
        self.sent_at = response.sent_at

    @property
    def idle_s(self) -> float:
        return self._response.idle_s

    @idle_s.setter
    def idle_s(self, value: float) -> None:
        self._response.idle_s = value

    async def chunk(self) -> bytes:
        data = await self._response.chunk()
        if data:
            self._tap.take(data)
        return data

    async def pump(self, take: Take) -> None:
        tap = self._tap

        def tapped(data: bytes) -> "asyncio.Future[None] | None":
            tap.take(data)
            return take(data)

        await self._response.pump(tapped)

    async def read(self, limit_bytes: int) -> bytes:
        body = await self._response.read(limit_bytes)
        self._tap.take(body)
        return body

    def abort(self) -> None:
        self._response.abort()


def _is_shown(name: bytes) -> bool:
    name = name.lower()
    return name in _SHOWN or name.startswith(_SHOWN_PREFIXES)


def _path(target: bytes) -> str:
    """Without its query: Gemini's clients put the key there."""
    return target.partition(b"?")[0].decode("latin-1")

"""What `execution` and the transport say to each other. Sizes are bytes, times seconds."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from trunkline.errors import TransportError


class Origin(msgspec.Struct, frozen=True):
    """Where to connect. `unix_path` wins over host and port. `guarded` refuses private, loopback, link-local and metadata addresses;
    link-local ones (cloud metadata) are refused even where it is false."""

    scheme: str
    host: str
    port: int
    unix_path: str = ""
    guarded: bool = True
    metadata: bool = False
    """The metadata server of the cloud that this runs in, which the operator has named as the source of its credential: connected to at its own
    addresses and at no other."""


class UpstreamRequest(msgspec.Struct, frozen=True):
    """One call. `headers` are complete but for Host, Content-Length, Connection and Accept-Encoding (identity), which the transport adds."""

    origin: Origin
    method: bytes
    target: bytes
    """Path and query, as sent."""
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    connect_s: float = 5.0
    first_byte_s: float = 120.0
    """From sent to the head of the answer."""
    idle_s: float = 60.0
    """Between two reads of the body."""
    total_s: float = 900.0
    idempotent: bool = False
    """A stale kept-alive connection is tried again once in any case, when nothing of an answer came."""


class ConnectFailed(TransportError):
    """DNS, refused, unreachable, or an address that the guard forbids."""

    kind = "connect"


class TlsFailed(TransportError):
    """The certificate or the handshake was not good."""

    kind = "tls"


class ConnectTimeout(TransportError):
    kind = "timeout_connect"


class FirstByteTimeout(TransportError):
    kind = "timeout_first_event"


class IdleTimeout(TransportError):
    kind = "timeout_idle"


class TotalTimeout(TransportError):
    kind = "timeout_total"


class Reset(TransportError):
    """The peer closed or reset before the head of the answer was complete."""

    kind = "reset"


class Truncated(TransportError):
    """The peer closed inside the body (fewer bytes than announced, no last chunk)."""

    kind = "truncated"


class Malformed(TransportError):
    """What came is not HTTP/1.1, or passes a limit on head or chunk sizes."""

    kind = "malformed"


Take = Callable[[bytes], "asyncio.Future[None] | None"]
"""Takes a piece of a body; gives what must be waited for before the next one, where there is something."""


PassOn = Callable[[bytes, int, int, float], bool]
"""Is shown a read that is one whole chunk of a body as HTTP/1.1 frames it, but for the line end behind its data, at which nobody has looked yet; where its
data start and how long they are; and when it came, by `time.monotonic`. Tells whether it has taken it, which it may only where its data end with an empty line
and that line end is there; else it is handed on as all else is."""


class UpstreamResponse(Protocol):
    """An answer whose head has come. It must be read to its end, or `abort`ed: either gives the connection back or closes it."""

    status: int
    headers: list[tuple[bytes, bytes]]
    """Names in lower case, in order."""
    reused: bool
    sent_at: float
    """When the request was handed to the socket, by `time.monotonic`."""

    idle_s: float
    """May be changed while the body is read: before the first event of a stream another deadline holds than after it."""

    async def chunk(self) -> bytes:
        """The next bytes of the body as they came (several reads may be joined), b"" at the end; a TransportError where it breaks."""
        ...

    async def pump(self, take: Take) -> None:
        """Hand all of the body to `take`, each piece as it comes. A TransportError where it breaks; what `take` raises ends it."""
        ...

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body; `Malformed` past the limit."""
        ...

    def abort(self) -> None:
        """Close the connection at once, unless the answer has ended. Never raises, may be called twice."""
        ...


async def pump_chunks(response: UpstreamResponse, take: Take) -> None:
    """`UpstreamResponse.pump` for answers that come in few or slow pieces."""
    while data := await response.chunk():
        held = take(data)
        if held is not None:
            await held


class Transport(Protocol):
    """The HTTP client seam."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse: ...

    async def aclose(self) -> None: ...

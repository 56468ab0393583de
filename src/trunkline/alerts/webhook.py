"""Tells an address of the web. In: alerts. Out: `POST`s of JSON, signed with HMAC-SHA256 over the time and the body.

`x-trunkline-signature: t=UNIX_SECONDS,v1=HEX`, where HEX is the HMAC of `UNIX_SECONDS.BODY`: whoever checks it refuses old times, so that what was heard on the
way cannot be sent again. No redirects are followed; clouds' metadata is never connected to (`execution.transport.guard`).
"""

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec

from trunkline.alerts.types import Alert, UndeliveredError
from trunkline.errors import TransportError
from trunkline.execution.transport.types import Transport, UpstreamRequest
from trunkline.providers.origins import origin_of

CONNECT_S = 5.0
ANSWER_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024


class Webhook:
    """Implements `Receiver`. Lives as long as its settings."""

    name = "webhook"

    def __init__(self, transport: Transport, url: str, secret: str) -> None:
        parts = urlsplit(url)
        self._transport = transport
        # The operator wrote the address: it may be one of their own network.
        self._origin = origin_of(url, trusted=True)
        self._target = ((parts.path or "/") + (f"?{parts.query}" if parts.query else "")).encode("ascii", "ignore")
        self._secret = secret.encode()

    async def tell(self, alert: Alert, at_ms: int) -> None:
        body = body_of(alert, at_ms)
        request = UpstreamRequest(
            self._origin,
            b"POST",
            self._target,
            (
                (b"content-type", b"application/json"),
                (b"user-agent", b"trunkline"),
                (b"x-trunkline-event", alert.type.encode()),
                (b"x-trunkline-signature", signature(self._secret, at_ms // 1000, body).encode()),
            ),
            body,
            connect_s=CONNECT_S,
            first_byte_s=ANSWER_S,
            total_s=ANSWER_S + CONNECT_S,
        )
        try:
            response = await self._transport.send(request)
            try:
                await response.read(MAX_ANSWER_BYTES)
            finally:
                response.abort()
        except TransportError as error:
            raise UndeliveredError(f"{self._origin.host} was not reached ({error.kind})") from error
        if not 200 <= response.status < 300:
            raise UndeliveredError(f"{self._origin.host} answered {response.status}")


def body_of(alert: Alert, at_ms: int) -> bytes:
    """The JSON of an alert. `id` is the same however often it is sent."""
    return msgspec.json.encode(
        {
            "id": f"alert_{hashlib.sha256(alert.key.encode()).hexdigest()[:24]}",
            "type": alert.type,
            "at": datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "title": alert.title,
            "text": alert.text,
            "data": alert.data,
        }
    )


def signature(secret: bytes, unix_s: int, body: bytes) -> str:
    """What the header says."""
    signed = hmac.digest(secret, f"{unix_s}.".encode() + body, "sha256").hex()
    return f"t={unix_s},v1={signed}"

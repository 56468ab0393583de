"""What went over the wire for a request, where the operator wants it kept: beside the records, never in them.

In: `[capture]`. Out: `Captured`, the views of one request's bodies: the caller's request, what each attempt sent and got, the answer.
"""

from typing import Literal

import msgspec

from trunkline.records.redaction import Rule, scrubbed_stream, scrubbed_text

View = Literal["client_request", "provider_request", "provider_answer", "client_answer"]
MARGIN_BYTES = 1024
"""Taken beyond the cap, so that a secret at the cut is seen whole and taken out; then cut away."""
DAY_MS = 86_400_000


class CapturePolicy(msgspec.Struct, frozen=True):
    """The operator's words."""

    bodies: Literal["off", "metadata", "full"] = "off"
    """`metadata`: sizes, headers and times alone."""
    max_bytes: int = 256 * 1024
    """Of each body so much is kept."""
    days: float = 7
    rules: tuple[Rule, ...] = ()
    """What must not be kept of them."""


class Body(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One view. New fields at the end, with a default: older ones are still read."""

    view: View
    offer: str = ""
    """Of the attempt, for what was said with a provider."""
    started_ms: float = 0.0
    """Of the attempt, as in its `Attempt`: by both it is found."""
    target: str = ""
    """Method and address, without a query (it may hold a key)."""
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    """Those that are known to hold no credential."""
    headers_left_out: int = 0
    size_bytes: int = 0
    """Of the whole, however much of it is kept."""
    first_ms: float | None = None
    """Since the request was received, when the first byte of it came or went."""
    last_ms: float | None = None
    data: bytes | None = None
    """None where only metadata is kept."""
    is_cut: bool = False

    def __repr__(self) -> str:
        return f"Body({self.view}, {self.size_bytes} bytes)"


class Captured(msgspec.Struct, frozen=True, array_like=True):
    """The views of one request."""

    id: str
    key_id: str
    received_ms: float
    bodies: tuple[Body, ...] = ()

    @property
    def day(self) -> int:
        """Days since 1970, UTC."""
        return int(self.received_ms // DAY_MS)

    @property
    def kept_bytes(self) -> int:
        """Roughly what it takes in memory."""
        return 1000 + sum([len(body.data) for body in self.bodies if body.data is not None])


def redacted(captured: Captured, policy: CapturePolicy) -> Captured:
    """Without what the rules find, cut to the cap. Run before anything is stored."""
    return msgspec.structs.replace(captured, bodies=tuple(_redacted(body, policy) for body in captured.bodies))


def _redacted(body: Body, policy: CapturePolicy) -> Body:
    headers = tuple((name, scrubbed_text(value, policy.rules)) for name, value in body.headers)
    if body.data is None:
        return msgspec.structs.replace(body, headers=headers)
    # surrogateescape: what is no UTF-8 comes back as it was.
    text = body.data.decode("utf-8", "surrogateescape")
    text = scrubbed_text(text, policy.rules)
    if _is_stream(text):
        text = scrubbed_stream(text, policy.rules)
    data = text.encode("utf-8", "surrogateescape")
    cut = body.is_cut or len(data) > policy.max_bytes
    return msgspec.structs.replace(body, headers=headers, data=data[: policy.max_bytes], is_cut=cut)


def _is_stream(text: str) -> bool:
    return text.startswith(("data:", "event:", ":", "id:")) or "\ndata:" in text[:4096]

"""What went over the wire for a request, where the operator wants it kept: beside the records, never in them.

In: `[capture]`. Out: `Captured`, the views of one request's bodies: the caller's request, what each attempt sent and got, the answer.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from trunkline.records.redaction import Rule, literal_rules, scrubbed, scrubbed_text

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


class Captured(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """The views of one request."""

    id: str
    key_id: str
    received_ms: float
    bodies: tuple[Body, ...] = ()
    secrets: tuple[str, ...] = ()
    """The keys that its attempts went with: `redacted` takes them out of all views, and forgets them, so they are never stored."""

    def __repr__(self) -> str:
        return f"Captured({self.id}, {self.bodies})"

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
    rules = (*literal_rules(captured.secrets), *policy.rules)
    bodies = tuple(_redacted(body, rules, policy.max_bytes) for body in captured.bodies)
    return msgspec.structs.replace(captured, bodies=bodies, secrets=())


def _redacted(body: Body, rules: Sequence[Rule], max_bytes: int) -> Body:
    headers = tuple((name, scrubbed_text(value, rules)) for name, value in body.headers)
    target = scrubbed_text(body.target, rules)
    if body.data is None:
        return msgspec.structs.replace(body, headers=headers, target=target)
    # surrogateescape: what is no UTF-8 comes back as it was.
    text = scrubbed(body.data.decode("utf-8", "surrogateescape"), rules)
    data = text.encode("utf-8", "surrogateescape")
    # Of one that was cut, half a secret may stand in the margin, also where much before it was taken out.
    room = min(max_bytes, len(data) - MARGIN_BYTES) if body.is_cut else max_bytes
    cut = body.is_cut or len(data) > max_bytes
    return msgspec.structs.replace(body, headers=headers, target=target, data=data[: max(room, 0)], is_cut=cut)

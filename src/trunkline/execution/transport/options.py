"""What the operator may set of the transport, and the one error that is the caller's own fault."""

from collections.abc import Mapping

import msgspec

from trunkline.errors import TransportError


class TransportOptions(msgspec.Struct, frozen=True):
    """Limits in bytes, times in seconds."""

    proxies: Mapping[str, str] = {}
    """`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY` (lower case too, and it wins), as in an environment."""
    ca_file: str = ""
    """PEM bundle that is trusted beside the system's own."""
    max_head_bytes: int = 64 * 1024
    """Status line and headers of an answer, interim (1xx) answers before it included."""
    max_chunk_line_bytes: int = 16 * 1024
    """Framing without body: chunk-size lines with extensions, trailers."""
    max_idle_per_origin: int = 256
    idle_expiry_s: float = 50.0
    """A kept connection older than this is not used again. Below the 60 s after which common load balancers close."""
    max_connections_per_origin: int | None = None
    read_high_bytes: int = 256 * 1024
    """Reading from the socket stops when this much waits for the reader, and goes on when the reader has taken it."""


class Unsendable(TransportError):
    """The request cannot be put on the wire (control characters, a framing header of its own). Nothing was sent."""

    kind = "malformed"

"""What a reader of requests is told besides the body: headers, query, the model in the path, and whose secret it is.

In: an ASGI scope and a route. Out: a frozen `Arrival`.
"""

from typing import Any
from urllib.parse import parse_qsl

import msgspec

from trunkline.simulate.config import Behaviour


class Mark(msgspec.Struct, frozen=True):
    """A place in a prompt up to which a provider may keep it: tokens before it, and a hash of all before it."""

    tokens: int
    digest: bytes
    ttl_s: int = 0
    """How long the client wants it kept; 0 is a mere place."""


class Arrival(msgspec.Struct, frozen=True):
    """A request but for its body."""

    behaviour: Behaviour
    provider: str
    secret: bytes
    """With it the provider seals its reasoning."""
    model: str | None = None
    """From the path, where the protocol has it there."""
    operation: str = ""
    """What is asked of the model in the path, e.g. `streamGenerateContent`."""
    headers: dict[bytes, bytes] = {}
    query: dict[str, str] = {}


def headers_of(scope: dict[str, Any]) -> dict[bytes, bytes]:
    return dict(scope["headers"])


def query_of(scope: dict[str, Any]) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))


def bearer(headers: dict[bytes, bytes]) -> str:
    return headers.get(b"authorization", b"").removeprefix(b"Bearer ").decode("latin-1")

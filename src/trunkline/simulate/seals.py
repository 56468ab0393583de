"""Opaque tokens with which a simulated vendor knows its own reasoning again: signatures, encrypted content.

In: what is to be covered, and the provider's secret. Out: base64 text, and `Seal` from it again; None for a token that
was not made here, or that does not fit what it comes back with. No state: everything is in the token, under a MAC.
"""

import base64
import binascii
from hashlib import blake2b
from hmac import compare_digest

import msgspec

MAGIC = b"sim1"
KIND_BYTES = {"thinking": b"t", "redacted": b"r", "reasoning": b"e", "part": b"p"}
TAG_BYTES, PREFIX_BYTES, MAC_BYTES = 8, 6, 16
LENGTH = len(MAGIC) + 1 + TAG_BYTES + 2 + PREFIX_BYTES + MAC_BYTES


class Seal(msgspec.Struct, frozen=True):
    """Where a piece of reasoning stood: the `ordinal`-th of `count` in the answer `tag`, after a prompt with the hash
    `prefix`."""

    tag: bytes
    ordinal: int
    count: int
    prefix: bytes


def seal(secret: bytes, kind: str, mark: Seal, covered: bytes) -> str:
    body = MAGIC + KIND_BYTES[kind] + mark.tag + bytes([mark.ordinal, mark.count]) + mark.prefix
    return base64.b64encode(body + mac(secret, body, covered)).decode()


def opened(secret: bytes, kind: str, token: str, covered: bytes) -> Seal | None:
    try:
        raw = base64.b64decode(token, validate=True)
    except (binascii.Error, ValueError):
        return None
    body, given = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    if len(raw) != LENGTH or not body.startswith(MAGIC + KIND_BYTES[kind]):
        return None
    if not compare_digest(given, mac(secret, body, covered)):
        return None
    rest = body[len(MAGIC) + 1 :]
    return Seal(rest[:TAG_BYTES], rest[TAG_BYTES], rest[TAG_BYTES + 1], rest[TAG_BYTES + 2 :])


def mac(secret: bytes, body: bytes, covered: bytes) -> bytes:
    return blake2b(body + b"\0" + covered, key=secret[:64], digest_size=MAC_BYTES).digest()


def prefix_of(told: bytes) -> bytes:
    return blake2b(told, digest_size=PREFIX_BYTES).digest()


NO_PREFIX = bytes(PREFIX_BYTES)

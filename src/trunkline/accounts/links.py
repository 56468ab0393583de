"""Links that work once: the first administrator's, invitations, new passwords; and the addresses of mail they are for. In: random bytes. Out: tokens and
hashes. Only the HMAC of a token is kept.
"""

import base64
import hmac
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

LinkKind = Literal["first", "join", "password"]
HOUR_MS = 3_600_000
HOLDS_MS: Mapping[LinkKind, int] = MappingProxyType(
    {"first": 24 * HOUR_MS, "join": 7 * 24 * HOUR_MS, "password": 24 * HOUR_MS}
)
PATHS: Mapping[LinkKind, str] = MappingProxyType(
    {"first": "/sign-in/first", "join": "/sign-in/join", "password": "/sign-in/password"}
)
MOST_EMAIL_CHARS = 254
_TOKEN_BYTES = 32
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f<>\"]+@[^@\s\x00-\x1f\x7f<>\"]+")


class Link(msgspec.Struct, frozen=True):
    """As it is kept. `member_id` is empty for the first administrator's, who is no member yet."""

    hash: str
    kind: LinkKind
    member_id: str
    created_ms: int
    expires_ms: int


def new_link(
    kind: LinkKind, member_id: str, pepper: bytes, random_bytes: Callable[[int], bytes], now_ms: int
) -> tuple[str, Link]:
    """The path to give to somebody, with its token, and what to keep."""
    token = base64.urlsafe_b64encode(random_bytes(_TOKEN_BYTES)).rstrip(b"=").decode("ascii")
    link = Link(link_hash(pepper, token), kind, member_id, now_ms, now_ms + HOLDS_MS[kind])
    return f"{PATHS[kind]}?token={token}", link


def link_hash(pepper: bytes, token: str) -> str:
    """By which a token is found."""
    return hmac.digest(pepper, b"link:" + token.encode("utf-8", "surrogatepass"), "sha256").hex()


def email_of(text: str) -> str | None:
    """An address of mail as it is kept, in lower case; None where it is none. Whether mail arrives there is another matter."""
    email = text.strip().lower()
    return email if len(email) <= MOST_EMAIL_CHARS and _EMAIL.fullmatch(email) else None

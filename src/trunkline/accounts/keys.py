"""API keys: how they are made, hashed and recognised. Pure rules: time and randomness are parameters.

In: secrets as clients send them. Out: the `ApiKey` that a secret belongs to, or None. Only the HMAC of a secret is ever kept.
"""

import base64
import hmac
from collections.abc import Callable, Iterable

import msgspec

from trunkline.accounts.types import DEFAULT_ORGANISATION, NO_RULES, KeyKind, KeyRules

PREFIX = "sk-tl-"
"""Fixed, so that scanners for leaked secrets can find the keys."""
ENTROPY_BYTES = 32
MASTER_ID = "master"
SESSION_KEY_NAME = "console session"
"""Of keys with which the pages of a session ask for answers; they end with it."""
_ID_BYTES = 10
_HINT_CHARS = 4
_MAX_PROVEN = 10_000


class ApiKey(msgspec.Struct, frozen=True):
    """A key as it is kept. Times are Unix milliseconds; `hint` is the end of the secret, for people to tell keys apart."""

    id: str
    name: str
    hash: str
    hint: str
    created_ms: int
    expires_ms: int | None = None
    revoked_ms: int | None = None
    zero_retention: bool = False
    """Nothing of what is said with it is kept for later: no stored responses, and state in memory only."""
    org_id: str = DEFAULT_ORGANISATION
    project_id: str = ""
    member_id: str = ""
    """Whose it is; empty for a key of the organisation's own, such as a service's."""
    kind: KeyKind = "inference"
    """What it opens: model traffic, or the management API."""
    rules: KeyRules = NO_RULES
    rotated_from: str = ""
    """The first of the keys that it takes the place of: budgets of that one are its own too."""


class IssuedKey(msgspec.Struct, frozen=True):
    """A key that was just made. `secret` is to be shown once and to be kept nowhere; it is not in the repr."""

    secret: str
    key: ApiKey

    def __repr__(self) -> str:
        return f"IssuedKey(key={self.key!r})"


def new_secret(random_bytes: bytes) -> str:
    """`sk-tl-` and the bytes, url-safe without padding. ValueError for fewer than 32 bytes."""
    if len(random_bytes) < ENTROPY_BYTES:
        raise ValueError(f"a secret needs {ENTROPY_BYTES} random bytes, not {len(random_bytes)}")
    return PREFIX + base64.urlsafe_b64encode(random_bytes).rstrip(b"=").decode("ascii")


def hash_secret(pepper: bytes, secret: str) -> str:
    """HMAC-SHA256 in hex. Secrets have 256 bits of entropy, so a slow password hash would add nothing but time per request."""
    # surrogatepass: whatever a header held gets a hash of its own instead of an exception.
    return hmac.digest(pepper, secret.encode("utf-8", "surrogatepass"), "sha256").hex()


def issue_key(
    name: str,
    pepper: bytes,
    random_bytes: Callable[[int], bytes],
    *,
    now_ms: int,
    expires_ms: int | None = None,
    zero_retention: bool = False,
) -> IssuedKey:
    """A new key with a new secret. `random_bytes` is e.g. `secrets.token_bytes`."""
    secret = new_secret(random_bytes(ENTROPY_BYTES))
    key = ApiKey(
        id=f"key_{random_bytes(_ID_BYTES).hex()}",
        name=name,
        hash=hash_secret(pepper, secret),
        hint=secret[-_HINT_CHARS:],
        created_ms=now_ms,
        expires_ms=expires_ms,
        zero_retention=zero_retention,
    )
    return IssuedKey(secret, key)


def is_valid(key: ApiKey, now_ms: float) -> bool:
    """Neither revoked nor past its end."""
    return key.revoked_ms is None and (key.expires_ms is None or now_ms < key.expires_ms)


class KeyRing:
    """The keys of a running gateway, in memory. Lives as long as the gateway; `replace` takes over what the store says.

    A secret is found by its HMAC in a dict: nothing compares secrets, so no comparison can leak one through its timing.
    """

    def __init__(self, pepper: bytes, *, master_key: str, keys: Iterable[ApiKey] = ()) -> None:
        self._pepper = pepper
        self._master = ApiKey(
            id=MASTER_ID,
            name="master key",
            hash=hash_secret(pepper, master_key),
            hint=master_key[-_HINT_CHARS:],
            created_ms=0,
        )
        self._by_hash: dict[str, ApiKey] = {}
        self._proven: dict[str, ApiKey] = {}
        self.replace(keys)

    def authenticate(self, secret: str, now_ms: float) -> ApiKey | None:
        """The key of this secret, if it may be used now."""
        # An HMAC gives the interpreter's lock away, and a busy writer thread then holds it for a while: so it is
        # computed once for a secret, and what it proved is forgotten with every change of the keys.
        key = self._proven.get(secret)
        if key is None:
            key = self._by_hash.get(hash_secret(self._pepper, secret))
            if key is None:
                return None
            if len(self._proven) < _MAX_PROVEN:
                self._proven[secret] = key
        if key.revoked_ms is None and key.expires_ms is None:
            return key
        return key if is_valid(key, now_ms) else None

    def replace(self, keys: Iterable[ApiKey]) -> None:
        """From now on these keys hold, and the master key."""
        by_hash = {key.hash: key for key in keys if key.revoked_ms is None}
        by_hash[self._master.hash] = self._master
        self._by_hash = by_hash
        self._proven = {}

"""Making something twice makes it once. In: the `Idempotency-Key` of a call, its caller. Out: what takes the place of random bytes.

An id and a secret that follow from them and the pepper are the same however often the call is repeated, and nobody without the pepper can tell them: so the
answer can be given again without its secret having been kept.
"""

import hmac
import itertools
from collections.abc import Callable

from trunkline.accounts.types import Actor

REPEATED_WITHIN_MS = 24 * 3_600_000
"""Afterwards the same `Idempotency-Key` is refused: a secret is not told again for good."""
MAX_CHARS = 255


def repeatable(pepper: bytes, actor: Actor, purpose: str, idempotency_key: str) -> Callable[[int], bytes]:
    """Gives so many bytes (32 at most) with each call, in the same order each time."""
    source = hmac.digest(pepper, b"idempotency", "sha256")
    numbers = itertools.count()

    def draw(count: int) -> bytes:
        if count > 32:
            raise ValueError(f"{count} bytes at once are more than a digest has")
        # Each part behind its length: no two callers' texts run into one.
        parts = (purpose, actor.kind, actor.id, idempotency_key, str(next(numbers)))
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return hmac.digest(source, text.encode("utf-8", "surrogatepass"), "sha256")[:count]

    return draw

"""What stands beside the conversation of a request: model, tools, limits. Clients send the same with each turn, so sense is made of it once.

In: the top level of a body. Out: what a codec's own function makes of all keys but those of the conversation; of the same bytes the same object.
Copies are remembered, never views on a body of megabytes; a refusal is not remembered.
"""

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Generic, TypeVar

import msgspec

from trunkline.protocols.rawjson import Fields

T = TypeVar("T")

_MOST = 128
_MOST_BYTES = 32_768


class Beside(Generic[T]):
    """Made once for each codec, as its decoders are."""

    __slots__ = ("_conversation", "_make", "_remembered")

    def __init__(self, conversation: frozenset[str], make: Callable[..., T]) -> None:
        """`make` gets fields of its own, which it may use up, and what else it depends on."""
        self._conversation = conversation
        self._make = make
        self._remembered = lru_cache(maxsize=_MOST)(self._made)

    def of(self, fields: Fields, *depends: Hashable) -> T:
        """What `make` says of these fields. To be left as it is: others get it, too."""
        conversation = self._conversation
        rest = {name: value for name, value in fields.items() if name not in conversation}
        values = tuple(map(bytes, rest.values()))
        if sum(map(len, values)) > _MOST_BYTES:
            return self._make(rest, *depends)
        return self._remembered(tuple(rest), values, *depends)

    def _made(self, names: tuple[str, ...], values: tuple[bytes, ...], *depends: Hashable) -> T:
        return self._make(dict(zip(names, map(msgspec.Raw, values), strict=True)), *depends)

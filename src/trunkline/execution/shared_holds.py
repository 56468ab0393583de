"""Which provider's account holds what of each conversation, where several gateways answer its turns. In and out: `Held` by a conversation's name.

Each gateway remembers what it saw, and tells it; of a conversation that matters it asks before it plans. What is told is the newest, since everybody
tells all. Times are the world's there, since each process has its own monotonic clock.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from trunkline.execution.holds import MAX_CONVERSATIONS, Holds
from trunkline.routing.affinity import Held

STATE_S = 86_400.0
"""State that only one account can open is looked for so long; a cache for as long as it lives."""


class Board(Protocol):
    """See `shared.board.Board`."""

    async def find(self, name: bytes) -> bytes | None: ...

    def keep(self, name: bytes, words: bytes, lasts_s: float) -> None: ...


class _Words(msgspec.Struct, array_like=True, frozen=True):
    """`Held` as it is told."""

    offer: str
    key_index: int | None
    cached_tokens: int
    until_ms: float
    ttl_s: float


class SharedHolds(Holds):
    """Lives as long as the process."""

    is_shared = True

    def __init__(
        self, board: Board, now_s: Callable[[], float], unix_ms: Callable[[], float], most: int = MAX_CONVERSATIONS
    ) -> None:
        super().__init__(most)
        self._board = board
        self._now_s = now_s
        self._unix_ms = unix_ms

    async def recall(self, name: bytes) -> None:
        words = await self._board.find(name)
        try:
            told = None if words is None else _words.decode(words)
        except msgspec.DecodeError:
            # Of another version.
            return
        if told is not None:
            until_s = self._now_s() + (told.until_ms - self._unix_ms()) / 1000
            super().keep(name, Held(told.offer, told.key_index, told.cached_tokens, until_s, told.ttl_s))

    def keep(self, name: bytes, held: Held, *, has_state: bool = False) -> None:
        super().keep(name, held)
        left_s = held.until_s - self._now_s()
        until_ms = self._unix_ms() + left_s * 1000
        words = _Words(held.offer, held.key_index, held.cached_tokens, until_ms, held.ttl_s)
        self._board.keep(name, _encode(words), max(left_s, STATE_S) if has_state else left_s)


_words = msgspec.msgpack.Decoder(_Words)
_encode = msgspec.msgpack.Encoder().encode

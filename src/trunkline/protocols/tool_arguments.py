"""Whether the arguments of tool calls are a JSON object, which is all that a tool can take. In: pieces of arguments. Out: calls, and bad ones.

Looked at when the answer has ended and not before: a piece is only kept. https://json-schema.org/understanding-json-schema/reference/object
"""

from collections.abc import Hashable

import msgspec

MAX_CHARACTERS = 1024 * 1024
"""Of one answer; what comes after is not looked at, and its calls count as good."""
NONE = (0, 0)
_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class ToolCalls:
    """The calls of one answer. Lives as long as its attempt."""

    __slots__ = ("_pieces", "_room")

    def __init__(self) -> None:
        self._pieces: dict[Hashable, list[str]] = {}
        self._room = MAX_CHARACTERS

    def add(self, call: Hashable, arguments: str) -> None:
        """More of a call's arguments; its first piece may be empty."""
        pieces = self._pieces.setdefault(call, [])
        self._room -= len(arguments)
        if self._room >= 0:
            pieces.append(arguments)

    def has(self, call: Hashable) -> bool:
        return call in self._pieces

    def counts(self) -> tuple[int, int]:
        """How many, and how many of them with arguments that are no JSON object. No arguments at all are none to be wrong."""
        if self._room < 0:
            return len(self._pieces), 0
        return len(self._pieces), sum(map(_is_bad, self._pieces.values()))


def _is_bad(pieces: list[str]) -> bool:
    text = "".join(pieces)
    if not text.strip():
        return False
    try:
        _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return True
    return False

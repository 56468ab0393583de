"""Our name of the model into an answer that passes through, in any protocol: for a caller who did not name it. In: bytes. Out: the same but for it.

Chat has it in each chunk, Responses in those of `response`, Messages at the start, Gemini as `modelVersion`.
"""

import re

import msgspec

from trunkline.protocols.codec import GEMINI
from trunkline.protocols.rawjson import join, split

# Inside a text the quote behind the key would be escaped, so this hits keys alone.
_MODEL = re.compile(rb'"model"\s*:\s*"(?:[^"\\]|\\.)*"')
_VERSION = re.compile(rb'"modelVersion"\s*:\s*"(?:[^"\\]|\\.)*"')


def put_into_body(protocol: str, body: bytes, model: str) -> bytes:
    """A whole answer. One of `rawjson.UNREADABLE` where it is no JSON object; unchanged where it names no model."""
    key = _key(protocol)
    fields = split(body)
    value = bytes(fields.get(key, b""))
    found = _pattern(protocol).search(body)
    if not value.startswith(b'"'):
        return body
    if found is not None and found[0].endswith(value) and body.count(found[0]) == 1:
        return body[: found.start()] + _member(key, model) + body[found.end() :]
    fields[key] = msgspec.Raw(msgspec.json.encode(model))
    return join(fields)


class ModelInStream:
    """The same in whole events of one stream. Lives as long as that."""

    __slots__ = ("_key", "_new", "_old", "_pattern")

    def __init__(self, protocol: str, model: str) -> None:
        key = _key(protocol)
        self._key = b'"%b"' % key.encode()
        self._new = _member(key, model)
        self._pattern = _pattern(protocol)
        self._old = b""
        """As the provider writes it."""

    def put_into(self, block: bytes) -> bytes:
        """Events with the other name."""
        if self._old and block.find(self._old) >= 0:
            return block.replace(self._old, self._new)
        if block.find(self._key) < 0:
            return block
        found = self._pattern.search(block)
        if found is None:
            return block
        self._old = found[0]
        return block.replace(self._old, self._new)


def _key(protocol: str) -> str:
    return "modelVersion" if protocol == GEMINI else "model"


def _pattern(protocol: str) -> re.Pattern[bytes]:
    return _VERSION if protocol == GEMINI else _MODEL


def _member(key: str, model: str) -> bytes:
    return b'"%b":%b' % (key.encode(), msgspec.json.encode(model))

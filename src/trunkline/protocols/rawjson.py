"""Top-level surgery on a JSON object: look at keys, replace or drop them, and leave every other value byte for byte as it came.

In: bytes of an object. Out: `Fields` (key -> raw bytes of its value), and bytes again.
"""

from functools import lru_cache

import msgspec

Fields = dict[str, msgspec.Raw]
"""Top-level key -> the bytes of its value. Of a key that stands twice the last one counts, as in every JSON parser in use."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on bytes that are not what was wanted: UTF-8 is only checked in texts that are looked at, and nesting has an end."""

_decoder = msgspec.json.Decoder(Fields)
_NULL = b"null"
_KNOWN_KEY = 64
"""Longer keys are no parameters of anybody's, and are not remembered."""


def split(body: bytes) -> Fields:
    """Take an object apart. Raises one of `UNREADABLE` where it is no JSON object."""
    return _decoder.decode(body)


def join(fields: Fields) -> bytes:
    """Put an object together, keys in order. Values are copied, not read."""
    parts: list[bytes | msgspec.Raw] = []
    for name, value in fields.items():
        parts += (_key(name) if len(name) <= _KNOWN_KEY else _written(name), value)
    if not parts:
        return b"{}"
    parts[0] = b"{%b" % parts[0][1:]
    parts.append(b"}")
    return b"".join(parts)


def put_into(text: bytes, value: bytes, members: bytes) -> bytes | None:
    """`text` with `members` (JSON, no braces) added at the end of the object `value` that stands in it; every other byte stays.

    None where it cannot be told which place is meant (the object stands there twice, or cut by line ends), or the object is empty.
    """
    at = text.find(value)
    if at < 0 or text.find(value, at + 1) >= 0 or value.find(b":") < 0:
        return None
    end = at + len(value) - 1
    return b"".join((text[:end], b",", members, text[end:]))


def raw(value: object) -> msgspec.Raw:
    """The bytes of a value that is put in."""
    return msgspec.Raw(msgspec.json.encode(value))


def is_null(value: msgspec.Raw | None) -> bool:
    """True where a key is absent or null. Megabytes are not copied for it."""
    if value is None:
        return True
    view = memoryview(value)
    return len(view) == 4 and view == _NULL


@lru_cache(maxsize=4096)
def _key(name: str) -> bytes:
    """A key with what stands around it; the same few come in every request."""
    return _written(name)


def _written(name: str) -> bytes:
    return b",%b:" % msgspec.json.encode(name)

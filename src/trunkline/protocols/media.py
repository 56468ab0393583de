"""Images, files and sound on their way through, without copies of their megabytes. In: JSON strings as raw views on a request's body.

Out: `memoryview`s of base64; bodies in which these are put in at the very end, by the one `join` that makes the body.
"""

import re

import msgspec

_HEAD_BYTES = 256
_DATA_URL = re.compile(rb'"data:([^;,"]*)((?:;[^;,"]*)*);base64,')
_ESCAPE = (b"\\",)
# Google's SDKs write the alphabet for URLs (https://protobuf.dev/programming-guides/json/ takes either); no other vendor reads it.
_URL_ALPHABET = (b"-", b"_")
_UNUSUAL = _ESCAPE + _URL_ALPHABET
_STANDARD = bytes.maketrans(b"-_", b"+/")
# No JSON text has a NUL in it, so an encoder's output has none but ours. One in a caller's raw schema can hurt that caller's request alone.
_MARK = re.compile(rb'"\x00(\d{1,6})\x00"')
_SMALL_BYTES = 4096
_PIECE_BYTES = 65_536


def base64_of(value: msgspec.Raw) -> memoryview | bytes:
    """The content of a JSON string that holds base64: a view on the body, or a copy where it has escapes (some encoders write `\\/`) or the other alphabet."""
    view = memoryview(value)
    if not _has_any(view, _UNUSUAL):
        return view[1:-1]
    if _has_any(view, _ESCAPE):
        view = memoryview(msgspec.json.encode(msgspec.json.decode(view, type=str)))
    if not _has_any(view, _URL_ALPHABET):
        return view[1:-1]
    standard = bytes(view[1:-1]).translate(_STANDARD)
    return standard + b"=" * (-len(standard) % 4)


def data_url(value: msgspec.Raw) -> tuple[str, memoryview | bytes] | None:
    """MIME type and base64 of a JSON string that holds a data URL; None where it is another URL."""
    view = memoryview(value)
    head = bytes(view[:_HEAD_BYTES])
    if b"\\" in head:
        text = msgspec.json.decode(view, type=str)
        value = msgspec.Raw(msgspec.json.encode(text))
        view, head = memoryview(value), bytes(memoryview(value)[:_HEAD_BYTES])
    found = _DATA_URL.match(head)
    if found is None:
        return None
    data = view[found.end() : -1]
    return found[1].decode(), bytes(data).replace(b"\\/", b"/") if _has_any(data, _ESCAPE) else data


def _has_any(view: memoryview, letters: tuple[bytes, ...]) -> bool:
    """Whether any of some bytes is in it. Piece by piece: to look into bytes is ten times as quick as into a view."""
    for at in range(0, len(view), _PIECE_BYTES):
        piece = view[at : at + _PIECE_BYTES].tobytes()
        if any(letter in piece for letter in letters):
            return True
    return False


class Blobs:
    """The large strings of one body. Lives while the body is written: `put` gives a mark for each, `fill` puts them in the marks' places."""

    __slots__ = ("_blobs",)

    def __init__(self) -> None:
        self._blobs: list[tuple[bytes, memoryview | bytes]] = []

    def put(self, data: memoryview | bytes, before: bytes = b"") -> msgspec.Raw:
        """The JSON string of `before` and `data`, both without need of escapes; e.g. put(data, b"data:image/png;base64,")."""
        if len(data) <= _SMALL_BYTES:
            return msgspec.Raw(b"".join((b'"', before, data, b'"')))
        self._blobs.append((before, data))
        return msgspec.Raw(b'"\x00%d\x00"' % (len(self._blobs) - 1))

    def fill(self, body: bytes) -> bytes:
        """The body as it is sent."""
        if not self._blobs:
            return body
        pieces: list[bytes | memoryview] = []
        at = 0
        for mark in _MARK.finditer(body):
            number = int(mark[1])
            if number >= len(self._blobs):
                continue
            pieces += (body[at : mark.start()], b'"', *self._blobs[number], b'"')
            at = mark.end()
        return b"".join((*pieces, body[at:]))

"""A client's requests have the same head again and again, but for the length. In: the bytes of one that was understood. Out: the next one's, told by its bytes.

What was parsed once is not parsed again: the same bytes mean the same. Only `Content-Length` may differ, and is looked at.
"""

import re
from typing import Any

from trunkline.execution.respond import Headers

_LENGTH = re.compile(rb"\r\ncontent-length: ?([0-9]{1,8})(?=\r\n)", re.IGNORECASE)
_MAX_DIGITS = 8
_MAX_HEAD_BYTES = 8 * 1024
"""Kept as long as the connection, of which there may be thousands."""
_NEVER_ALONE = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"connection"})
_END = b"\r\n\r\n"


class KnownHead:
    """Lives as long as its connection, until another head comes."""

    __slots__ = (
        "_after",
        "_after_bytes",
        "_before",
        "_before_bytes",
        "_length_at",
        "headers",
        "length",
        "method",
        "start",
        "target",
        "told",
    )

    def __init__(self, before: bytes, after: bytes, method: str, target: bytes, headers: Headers, told: Any) -> None:
        self._before, self._before_bytes = before, len(before)
        self._after, self._after_bytes = after, len(after)
        self.method = method
        self.target = target
        self.headers = headers
        """Of the request that came last."""
        self._length_at = [name for name, _ in headers].index(b"content-length")
        self.told = told
        """What the application found in it."""
        self.length = self.start = 0
        """Of the body, since the last `is_of`; where it starts."""

    def is_of(self, data: bytes) -> bool:
        """Whether a read is one such head and its body, or the beginning of that."""
        size = self._before_bytes
        if data[:size] != self._before:
            return False
        end = data.find(b"\r", size)
        digits, start = data[size:end], end + self._after_bytes
        if len(digits) > _MAX_DIGITS or data[end:start] != self._after or not digits.isdigit():
            return False
        self.length = length = int(digits)
        self.start = start
        if length == 0 or len(data) > start + length:
            return False
        self.headers[self._length_at] = (b"content-length", digits)
        return True


def known_head(data: bytes, method: str, target: bytes, headers: Headers, told: Any) -> KnownHead | None:
    """Of a read that began with the head, and what was made of that; None for one that has more to it than a length.

    None too where the read may hold more than one request: what was made of another one must never be taken for what this head says.
    """
    end = data.find(_END)
    head = data[: end + len(_END)]
    lengths = _LENGTH.findall(head)
    names = [name for name, _ in headers]
    is_plain = 0 < end <= _MAX_HEAD_BYTES and len(lengths) == 1 and names.count(b"content-length") == 1
    if not is_plain or len(data) > len(head) + int(lengths[0]) or head.count(b"\n") != head.count(b"\r\n"):
        return None
    if not _NEVER_ALONE.isdisjoint(_but_keep_alive(headers)) or not head.startswith(method.encode()):
        return None
    found = _LENGTH.search(head)
    assert found is not None, "there is one"
    return KnownHead(head[: found.start(1)], head[found.end(1) :], method, target, headers, told)


def _but_keep_alive(headers: Headers) -> set[bytes]:
    """Names; without that of a connection that stays open, as clients say though it is understood."""
    return {name for name, value in headers if name != b"connection" or value.lower() != b"keep-alive"}

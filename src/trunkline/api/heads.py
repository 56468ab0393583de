"""A client's requests have the same head again and again, but for the length. In: the bytes of one that was understood. Out: the next one's, told by its bytes.

What was parsed once is not parsed again: the same bytes mean the same. Only `Content-Length` may differ, and is looked at.
"""

import re
from typing import Any

from trunkline.api.call import AtOnce
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
        "_digits",
        "_headers",
        "_length_at",
        "at_once",
        "length",
        "method",
        "start",
        "target",
        "told",
    )

    def __init__(
        self,
        before: bytes,
        after: bytes,
        method: str,
        target: bytes,
        headers: Headers,
        told: Any,
        at_once: AtOnce | None = None,
    ) -> None:
        self._before, self._before_bytes = before, len(before)
        self._after, self._after_bytes = after, len(after)
        self.method = method
        self.target = target
        self._headers = headers
        self._length_at = [name for name, _ in headers].index(b"content-length")
        self.told = told
        self.at_once = at_once
        """What the application found in it."""
        self._digits = b"0"
        self.length = self.start = 0
        """Of the body, since the last `is_of`; where it starts."""

    def is_of(self, data: bytes) -> bool:
        """Whether a read is one such head and its body, or the beginning of that."""
        size = self._before_bytes
        if not data.startswith(self._before):
            return False
        end = data.find(b"\r", size)
        digits = data[size:end]
        if len(digits) > _MAX_DIGITS or not data.startswith(self._after, end) or not digits.isdigit():
            return False
        self.length = length = int(digits)
        self.start = start = end + self._after_bytes
        if length == 0 or len(data) > start + length:
            return False
        self._digits = digits
        return True

    @property
    def headers(self) -> Headers:
        """Of the request that came last."""
        self._headers[self._length_at] = (b"content-length", self._digits)
        return self._headers


def known_head(
    data: bytes, method: str, target: bytes, headers: Headers, told: Any, at_once: AtOnce | None = None
) -> KnownHead | None:
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
    return KnownHead(head[: found.start(1)], head[found.end(1) :], method, target, headers, told, at_once)


def _but_keep_alive(headers: Headers) -> set[bytes]:
    """Names; without that of a connection that stays open, as clients say though it is understood."""
    return {name for name, value in headers if name != b"connection" or value.lower() != b"keep-alive"}

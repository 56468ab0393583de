"""Answers that come whole, in one read: by far the most of those that are not streamed. In: a read. Out: where its body is; 0 for all else.

llhttp looks at each, but tells of its body and its end alone: headers are made of the bytes, where somebody asks. Only what leaves no doubt is taken:
status 200 of HTTP/1.1, a body that is the rest of the read, a connection that stays.
"""

import httptools

_BEGIN = b"HTTP/1.1 200 "
_END = b"\r\n\r\n"
_CONNECTION = b"\r\nconnection:"
_KEEP_ALIVE = b" keep-alive\r\n"


class WholeAnswers:
    """Lives as long as its connection, until a read is not a whole answer: llhttp is in the midst of something then."""

    __slots__ = ("_ends", "_parser", "_parts", "on_body", "on_message_complete")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._ends: list[None] = [None]
        # Methods of lists, so that no Python runs for them: a second end would find nothing to take out, and raise.
        self.on_body = self._parts.append
        self.on_message_complete = self._ends.pop
        self._parser = httptools.HttpResponseParser(self)

    def body_start(self, data: bytes, max_head_bytes: int) -> int:
        """Where the body starts of a read that is one answer; 0: this object is of no use any more."""
        if data[:13] != _BEGIN:
            return 0
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return 0
        parts = self._parts
        if self._ends or len(parts) != 1:
            return 0
        size = len(parts.pop())
        self._ends.append(None)
        start = data.find(_END) + len(_END)
        if start + size != len(data) or start > max_head_bytes:
            return 0
        head = data[:start].lower()
        at = head.find(_CONNECTION)
        if at >= 0 and (head[at + 13 : at + 26] != _KEEP_ALIVE or head.find(_CONNECTION, at + 1) >= 0):
            return 0
        return start


def headers_of(head: bytes) -> list[tuple[bytes, bytes]]:
    """Names in lower case, and values, of such a head."""
    lines = head.split(b"\r\n")[1:-2]
    return [(name.lower(), value.strip()) for name, _, value in [line.partition(b":") for line in lines]]

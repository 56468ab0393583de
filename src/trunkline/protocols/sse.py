"""Server-sent events, framed on bytes. In: chunks cut anywhere. Out: whole events with their blank line, and the data of one.

Lines end with \\n, \\r\\n or \\r and nothing else (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream),
so UTF-8 is decoded after framing, never before.
"""

import re

# Atomic, so that the two bytes of one \r\n are never taken for two line ends.
_BLANK = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_CR = ord(b"\r")
"""A number, since `b"\\r" in data` tries to take its left side as one first, and raises inside: six times as long, and this runs for each event."""


class Framer:
    """Holds the beginning of an event until its end has come. `feed` gives all whole events as one run of bytes, to be written as it is."""

    __slots__ = ("_parts", "_tail", "waiting_bytes")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._tail = b""
        """The last bytes that wait: the longest blank line has four, so three of them may stand before the next chunk."""
        self.waiting_bytes = 0
        """Size of the event that has begun and not ended."""

    def feed(self, chunk: bytes) -> bytes:
        """Whole events, or b"" where none is complete yet."""
        if not self._parts and chunk.endswith(b"\n\n"):
            return chunk
        end = _end_of_last_event(self._tail + chunk) - len(self._tail)
        if end <= 0:
            self._wait(chunk)
            return b""
        block = b"".join((*self._parts, chunk[:end]))
        self._parts, self._tail, self.waiting_bytes = [], b"", 0
        if end < len(chunk):
            self._wait(chunk[end:])
        return block

    def rest(self) -> bytes:
        """What stands after the last whole event; bytes here at the end of a stream mean that it was cut."""
        return b"".join(self._parts)

    def _wait(self, part: bytes) -> None:
        self._parts.append(part)
        self._tail = (self._tail + part[-3:])[-3:]
        self.waiting_bytes += len(part)


def _end_of_last_event(data: bytes) -> int:
    if _CR not in data:
        last = data.rfind(b"\n\n")
        return last + 2 if last >= 0 else 0
    end = 0
    for match in _BLANK.finditer(data):
        end = match.end()
    return end


def events(block: bytes) -> list[bytes]:
    """The single events of a run of whole ones, each with its blank line. Joined again they are the block."""
    if _CR not in block:
        if block.find(b"\n\n") == len(block) - 2:
            return [block]
        return [piece + b"\n\n" for piece in block[:-2].split(b"\n\n")]
    found, start = [], 0
    for match in _BLANK.finditer(block):
        found.append(block[start : match.end()])
        start = match.end()
    if start < len(block):
        found.append(block[start:])
    return found


def data_of(event: bytes) -> bytes | None:
    """The data of an event, its lines joined with \\n; None for an event without data (comments, a lone blank line)."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and _CR not in event:
        return event[6:-2]
    lines = [line for line in _LINE_END.split(event) if line.startswith(b"data")]
    values = [_value(line) for line in lines if line == b"data" or line.startswith(b"data:")]
    return b"\n".join(values) if values else None


def _value(line: bytes) -> bytes:
    value = line[5:]
    return value[1:] if value.startswith(b" ") else value


def event(data: bytes) -> bytes:
    """One event of one data line."""
    return b"data: %b\n\n" % data


def comment(text: bytes) -> bytes:
    """A comment, which clients skip: what keeps a silent stream open."""
    return b": %b\n\n" % text

"""Knows an event of a stream that is like the last one in every byte but its text. In: whole events, and what was read of them. Out: that text.

JSON has no context: where `{"delta":"one"}` told of more of a part's text, `{"delta":"two"}` tells of more of the same part, as long as nothing else
came in between. So of a long text nearly no event has to be taken apart.
"""

import msgspec

from trunkline.ir.events import Delta, Event
from trunkline.protocols.codec import UNHEARD, StreamReader
from trunkline.protocols.rawjson import UNREADABLE

_text = msgspec.json.Decoder(str).decode
_NUMBER = b'"sequence_number":'
"""Of Responses: it grows from event to event, and no reader looks at it."""
_MOST_DIGITS = 12
_MOST_MISSES = 8
"""In a row: then the events of this stream have more that changes."""


class Alike:
    """Lives as long as its stream."""

    __slots__ = ("_before", "_behind", "_misses", "_numbered", "_reader", "_tell", "index")

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader
        self._before = self._numbered = self._behind = b""
        """What stands before the text, of Responses up to the event's number and from there on, and behind it."""
        self._misses = 0
        self.index = -1
        """Of the part that goes on."""
        self._tell = UNHEARD

    def text(self, one: bytes) -> str:
        """The text of an event that is like the last; "" where it is another one, and has to be read."""
        before, behind = self._before, self._behind
        if not before or not one.startswith(before) or not one.endswith(behind):
            return ""
        start = len(before)
        if self._numbered:
            at = one.find(self._numbered, start, start + _MOST_DIGITS + len(self._numbered))
            if at < 0 or not one[start:at].isdigit():
                return ""
            start = at + len(self._numbered)
        try:
            text = _text(one[start : len(one) - len(behind)])
        except UNREADABLE:
            return ""
        if text:
            self._misses = 0
            self._tell(text)
        return text

    def learn(self, one: bytes, events: list[Event]) -> None:
        """An event that was read, and what of."""
        if self._before:
            self._misses += 1
        self._before = b""
        if len(events) != 1 or self._misses > _MOST_MISSES:
            return
        event = events[0]
        if type(event) is not Delta or event.logprobs or not event.text.isascii() or one.find(b"\\") >= 0:
            return
        tell = self._reader.going_on(event.index)
        said = b'"%b"' % event.text.encode()
        at = one.find(said)
        # A text without escapes is written in one way only; if that stands there once, it is the text.
        if tell is None or at < 0 or one.find(said, at + 1) >= 0:
            return
        self.index, self._tell = event.index, tell
        self._before, self._numbered, self._behind = one[:at], b"", one[at + len(said) :]
        number = one.find(_NUMBER, 0, at)
        if number >= 0:
            self._split(number + len(_NUMBER))

    def _split(self, number: int) -> None:
        """Leave out the digits of the event's number."""
        rest = self._before[number:].lstrip(b"0123456789")
        self._before, self._numbered = self._before[:number], rest

"""What a caller has of an answer that broke off, in text. In: canonical events, or the wire events of a stream. Out: `Said`; None where no other can go on.

Only text can be gone on with: what stands behind reasoning, a call or a refusal depends on things that no other provider has.
"""

from collections.abc import Iterable, Sequence

import msgspec

from trunkline.ir.events import Delta, Event, Failed, Finish, PartEnd, PartStart
from trunkline.ir.parts import Text
from trunkline.protocols.codec import CHAT, GEMINI, MESSAGES, RESPONSES, Said, StreamReader
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.protocols.sse import data_of

_AT_ONCE = 256
GOODBYES = {
    CHAT: b"data: [DONE]\n\n",
    MESSAGES: b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    RESPONSES: b"",
    GEMINI: b"",
}
"""What a stream ends with, behind the last word of its answer."""


class Saying:
    """What was said so far. Lives as long as its stream, and takes no more room than the text: an event takes some 100 bytes for a word."""

    __slots__ = ("_is_over", "_next", "_open", "_pieces", "_texts", "characters")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._pieces: list[str] = []
        """Of the text that goes on, not put together yet."""
        self._open: set[int] = set()
        self._next = 0
        self._is_over = False
        """Something came that nothing can go on from."""
        self.characters = 0

    def feed(self, events: Iterable[Event]) -> None:
        """Take in what comes next."""
        for event in events:
            if isinstance(event, Delta):
                self._add(event.text)
            elif isinstance(event, PartStart):
                if not isinstance(event.part, Text) or event.choice:
                    self._end()
                self._open.add(event.index)
                self._next = max(self._next, event.index + 1)
                self._add(event.part.text if isinstance(event.part, Text) else "")
            elif isinstance(event, PartEnd):
                self._open.discard(event.index)
            elif isinstance(event, Finish | Failed):
                self._end()

    @property
    def said(self) -> Said | None:
        """None where anything but the texts of one candidate came, or the answer is over."""
        if self._is_over or len(self._open) > 1:
            return None
        return Said("".join((*self._texts, *self._pieces)), next(iter(self._open), None), self._next)

    def _add(self, text: str) -> None:
        if self._is_over:
            return
        self.characters += len(text)
        self._pieces.append(text)
        if len(self._pieces) >= _AT_ONCE:
            self._texts.append("".join(self._pieces))
            self._pieces.clear()

    def _end(self) -> None:
        self._is_over = True
        self._texts, self._pieces = [], []


def said_of(events: Iterable[Event]) -> Said | None:
    """None where anything but the texts of one candidate came, or the answer is over."""
    saying = Saying()
    saying.feed(events)
    return saying.said


def read(reader: StreamReader, sent: Sequence[bytes]) -> list[Event]:
    """The events of wire events that a provider wrote. Raises one of `rawjson.UNREADABLE`."""
    return [event for one in sent for event in reader.feed(one)]


def is_json(one: bytes) -> bool:
    """False for a wire event of which something is missing."""
    data = data_of(one)
    if data is None or data.startswith(b"[DONE]"):
        return True
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except UNREADABLE:
        return False
    return True

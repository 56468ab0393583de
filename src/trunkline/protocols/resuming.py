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

GOODBYES = {
    CHAT: b"data: [DONE]\n\n",
    MESSAGES: b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    RESPONSES: b"",
    GEMINI: b"",
}
"""What a stream ends with, behind the last word of its answer."""


def said_of(events: Iterable[Event]) -> Said | None:
    """None where anything but the texts of one candidate came, or the answer is over."""
    texts: list[str] = []
    begun: set[int] = set()
    ended: set[int] = set()
    for event in events:
        if isinstance(event, Delta):
            texts.append(event.text)
        elif isinstance(event, PartStart):
            if not isinstance(event.part, Text) or event.choice:
                return None
            begun.add(event.index)
            texts.append(event.part.text)
        elif isinstance(event, PartEnd):
            ended.add(event.index)
        elif isinstance(event, Finish | Failed):
            return None
    left = begun - ended
    if len(left) > 1:
        return None
    return Said("".join(texts), next(iter(left), None), max(begun, default=-1) + 1)


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

"""A stream of Messages that a provider wrote the beginning of. In: its events. Out: a writer that goes on in its open block, or with the next one.

Blocks are counted as they stand on the wire: a block without text is no part, but has a number.
"""

from collections.abc import Sequence

import msgspec

from trunkline.protocols.anthropic_messages.stream_in import Reader
from trunkline.protocols.anthropic_messages.stream_out import Writer
from trunkline.protocols.codec import AnswerContext, Place, Said, Target
from trunkline.protocols.resuming import read, said_of
from trunkline.protocols.sse import data_of

_BORDER = b"content_block_st"
"""Begins the types of the events at which a block begins and ends."""


class _Block(msgspec.Struct, frozen=True):
    type: str = ""


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    content_block: _Block = _Block()


_decoder = msgspec.json.Decoder(_Event)


def resume(sent: Sequence[bytes], context: AnswerContext, target: Target) -> Place | None:
    """Where the caller is; None where no other can go on. Raises one of `rawjson.UNREADABLE`."""
    said = said_of(read(Reader(target), sent))
    borders = [_decoder.decode(data_of(one) or b"") for one in sent if _BORDER in one]
    begun = {event.index: event.content_block.type for event in borders if event.type == "content_block_start"}
    left = begun.keys() - {event.index for event in borders if event.type == "content_block_stop"}
    if said is None or len(left) > 1 or set(begun.values()) - {"text"}:
        return None
    if not begun and said.next_index:
        # A vendor that does not say where blocks begin: all there is, is the first.
        begun, left = {0: "text"}, {0}
    open_block = next(iter(left), None)
    writer = Writer(context)
    writer.go_on(open_block, max(begun, default=-1) + 1)
    return Place(Said(said.text, None if open_block is None else 0, 1), writer)

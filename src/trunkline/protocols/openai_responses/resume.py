"""A stream of Responses that a provider wrote the beginning of. In: its events. Out: a writer that goes on with its ids, numbers and open message.

SDKs refuse a second `response.created`, another id, and numbers out of order: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Sequence

import msgspec

from trunkline.protocols.codec import AnswerContext, Place, Said, Target
from trunkline.protocols.openai_responses.stream_in import StreamReader
from trunkline.protocols.openai_responses.stream_out import Begun, StreamWriter
from trunkline.protocols.openai_responses.wire import text_at
from trunkline.protocols.rawjson import Fields, split
from trunkline.protocols.resuming import read, said_of
from trunkline.protocols.sse import data_of

_NOTHING = msgspec.Raw(b"")
_OF_THE_WRITER = frozenset({"type", "id", "status", "role", "content"})
"""Keys of a message that are written anyway."""


class _Event(msgspec.Struct):
    type: str = ""
    sequence_number: int = 0
    output_index: int = 0
    content_index: int = 0
    item_id: str = ""
    delta: str = ""
    item: msgspec.Raw = _NOTHING
    part: msgspec.Raw = _NOTHING
    response: msgspec.Raw = _NOTHING


class _Message:
    """A message that has begun."""

    __slots__ = ("contents", "id", "keys", "text")

    def __init__(self, item_id: str, keys: Fields) -> None:
        self.id = item_id
        self.keys = keys
        self.contents: dict[int, msgspec.Raw | None] = {}
        self.text: list[str] = []
        """Of the content that is open."""


_decoder = msgspec.json.Decoder(_Event)


def resume(sent: Sequence[bytes], context: AnswerContext, target: Target) -> Place | None:
    """Where the caller is; None where no other can go on. Raises one of `rawjson.UNREADABLE`."""
    said = said_of(read(StreamReader(target), sent))
    if said is None:
        return None
    begun = _begun(sent)
    if begun is None:
        return None
    writer = StreamWriter(context)
    writer.go_on(begun)
    return Place(Said(said.text, 0 if None in begun.contents else None, 1), writer)


def _begun(sent: Sequence[bytes]) -> Begun | None:
    head: Fields = {}
    number = -1
    whole: dict[int, msgspec.Raw] = {}
    growing: dict[int, _Message] = {}
    for one in sent:
        data = data_of(one)
        if not data or not data.startswith(b"{"):
            continue
        told = _decoder.decode(data)
        number = max(number, told.sequence_number)
        if not head and len(told.response):
            head = split(bytes(told.response))
        if told.type == "response.output_item.done":
            whole[told.output_index] = told.item
            growing.pop(told.output_index, None)
        elif told.type == "response.output_item.added":
            item = split(bytes(told.item))
            growing[told.output_index] = _Message(
                text_at(item, "id", ""), {name: value for name, value in item.items() if name not in _OF_THE_WRITER}
            )
        elif told.type.startswith(("response.content_part.", "response.output_text.")):
            _see(growing.setdefault(told.output_index, _Message(told.item_id, {})), told)
    if len(growing) > 1:
        return None
    last = max((*whole, *growing), default=-1)
    items: list[msgspec.Raw | None] = [whole.get(at) for at in range(last + 1)]
    for at, message in growing.items():
        contents = tuple(message.contents.get(content) for content in range(max(message.contents, default=-1) + 1))
        if contents.count(None) > 1:
            return None
        return Begun(head, number + 1, items, at, message.id, message.keys, contents, "".join(message.text))
    return Begun(head, number + 1, items)


def _see(message: _Message, told: _Event) -> None:
    if told.type == "response.content_part.done":
        message.contents[told.content_index] = told.part
        message.text = []
        return
    message.contents.setdefault(told.content_index, None)
    if told.type == "response.output_text.delta":
        message.text.append(told.delta)

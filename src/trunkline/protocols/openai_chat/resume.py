"""A stream of Chat Completions that a provider wrote the beginning of. In: its events. Out: a writer that goes on under the same names."""

from collections.abc import Sequence

import msgspec

from trunkline.protocols.codec import AnswerContext, Place, Target
from trunkline.protocols.openai_chat.stream_in import ChatReader
from trunkline.protocols.openai_chat.stream_out import ChatWriter
from trunkline.protocols.rawjson import Fields, is_null, split
from trunkline.protocols.resuming import read, said_of
from trunkline.protocols.sse import data_of

_NAMES = ("id", "created", "model")


def resume(sent: Sequence[bytes], context: AnswerContext, target: Target) -> Place | None:
    """Where the caller is; None where no other can go on. Raises one of `rawjson.UNREADABLE`."""
    events = read(ChatReader(target), sent)
    said = said_of(events)
    if said is None:
        return None
    writer = ChatWriter(context, _names(sent))
    for event in events:
        writer.feed(event)
    return Place(said, writer)


def _names(sent: Sequence[bytes]) -> Fields:
    """Of the first chunk with a choice: Azure begins with one that has no id (https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-streaming)."""
    for one in sent:
        data = data_of(one)
        if not data or not data.startswith(b"{"):
            continue
        fields = split(data)
        if msgspec.json.decode(fields.get("choices", b"[]")):
            return {name: fields[name] for name in _NAMES if not is_null(fields.get(name))}
    return {}

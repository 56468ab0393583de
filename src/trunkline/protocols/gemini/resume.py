"""A stream of `generateContent` that a provider wrote the beginning of. In: its events. Out: a writer that goes on under the same names."""

from collections.abc import Sequence

from trunkline.protocols.codec import AnswerContext, Place, Target
from trunkline.protocols.gemini.stream_in import Reader
from trunkline.protocols.gemini.stream_out import Writer
from trunkline.protocols.rawjson import Fields, is_null, split
from trunkline.protocols.resuming import read, said_of
from trunkline.protocols.sse import data_of

_NAMES = ("modelVersion", "responseId")


def resume(sent: Sequence[bytes], context: AnswerContext, target: Target) -> Place | None:
    """Where the caller is; None where no other can go on. Raises one of `rawjson.UNREADABLE`."""
    events = read(Reader(target), sent)
    said = said_of(events)
    if said is None:
        return None
    writer = Writer(context, _names(sent))
    for event in events:
        writer.feed(event)
    return Place(said, writer)


def _names(sent: Sequence[bytes]) -> Fields:
    for one in sent:
        data = data_of(one)
        if data and data.startswith(b"{"):
            fields = split(data)
            return {name: fields[name] for name in _NAMES if not is_null(fields.get(name))}
    return {}

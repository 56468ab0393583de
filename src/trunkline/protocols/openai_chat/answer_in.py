"""A whole answer of Chat Completions. In: the provider's bytes. Out: `Response`, made by the reader of streams: an answer is a stream of one chunk."""

import msgspec

from trunkline.ir.fold import fold
from trunkline.ir.response import Response
from trunkline.protocols.carry import carry, origin
from trunkline.protocols.codec import Target
from trunkline.protocols.openai_chat import NAME
from trunkline.protocols.openai_chat.stream_in import ChatReader
from trunkline.protocols.openai_chat.wire import KNOWN, decoder
from trunkline.protocols.rawjson import split

_replace = msgspec.structs.replace


def read_response(body: bytes, target: Target) -> Response:
    """Raises one of `rawjson.UNREADABLE` where it is no answer. An error that was told with status 200 is `fault`."""
    answer = decoder.decode(body)
    reader = ChatReader(target)
    for number, choice in enumerate(answer.choices or ()):
        if choice.index is None:
            choice.index = number
        if not choice.finish_reason:
            # It is whole, or it would not have ended.
            choice.finish_reason = "stop"
    events = reader.take(answer, body)
    response = fold(events)
    rest = {name: value for name, value in split(body).items() if name not in KNOWN}
    return _replace(
        response,
        carry=carry(origin(NAME, target.dialect), rest),
        service_tier=response.service_tier or answer.service_tier or "",
    )

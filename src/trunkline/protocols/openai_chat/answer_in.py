"""A whole answer of Chat Completions. In: the provider's bytes. Out: `Response`, made by the reader of streams: an answer is a stream of one chunk."""

import msgspec

from trunkline.ir.fold import fold
from trunkline.ir.parts import Text
from trunkline.ir.response import Candidate, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.carry import carry, origin
from trunkline.protocols.codec import Target
from trunkline.protocols.openai_chat import NAME
from trunkline.protocols.openai_chat.finish import reason_of
from trunkline.protocols.openai_chat.stream_in import ChatReader
from trunkline.protocols.openai_chat.usage_both import read_usage
from trunkline.protocols.openai_chat.wire import KNOWN, NULL, Answer, Choice, Message, decoder, is_null
from trunkline.protocols.rawjson import UNREADABLE, split

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
    response = _usual(answer)
    if response is None:
        response = fold(reader.take(answer, body))
    rest = {name: value for name, value in split(body).items() if name not in KNOWN}
    return _replace(
        response,
        carry=carry(origin(NAME, target.dialect), rest),
        service_tier=response.service_tier or answer.service_tier or "",
    )


def _usual(answer: Answer) -> Response | None:
    """An answer that is one text and nothing else, as it would be read as a stream; None for any other."""
    choice = answer.choices[0] if answer.choices is not None and len(answer.choices) == 1 else None
    message = choice.message if choice is not None else None
    if choice is None or message is None or not isinstance(message.content, str) or choice.index != 0:
        return None
    if message != Message(message.content) or choice != Choice(0, None, message, choice.finish_reason):
        return None
    if not is_null(answer.error) or answer.object == "error" or answer.x_groq or answer.citations:
        return None
    if answer.search_results:
        return None
    word = choice.finish_reason or "stop"
    reason, hit = reason_of(word, None, False, False)
    candidate = Candidate((Text(message.content),) if message.content else (), reason, word, hit)
    usage = _counted(answer.usage)
    return Response(
        id=answer.id or "",
        model=answer.model or "",
        created_s=int(answer.created or 0),
        candidates=(candidate,),
        usage=usage,
        raw_usage=NULL if usage is None else answer.usage,
    )


def _counted(raw: msgspec.Raw) -> Usage | None:
    """An answer is worth more than its count, which is then estimated."""
    try:
        return None if is_null(raw) else read_usage(raw)
    except UNREADABLE:
        return None

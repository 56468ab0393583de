"""A whole answer of a provider that speaks Messages -> the canonical one. In: the body, the target. Out: `Response`.

https://platform.claude.com/docs/en/api/messages/create. Raises one of `rawjson.UNREADABLE` where it is no such answer.
"""

import msgspec

from trunkline.ir.parts import Part
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.anthropic_messages import NAME
from trunkline.protocols.anthropic_messages.blocks_in import BlockReader
from trunkline.protocols.anthropic_messages.errors import fault_of
from trunkline.protocols.anthropic_messages.usage import read_usage, service_tier
from trunkline.protocols.anthropic_messages.wire import FINISH, items_of, need, take, take_text, text_of
from trunkline.protocols.carry import carry, origin
from trunkline.protocols.codec import Target
from trunkline.protocols.rawjson import UNREADABLE, split


def read_response(body: bytes, target: Target) -> Response:
    """The answer; an error with status 200 is its fault."""
    fields = split(body)
    kind = take_text(fields, "type")
    if kind == "error" or "error" in fields:
        return Response(fault=fault_of(body))
    named = origin(NAME, target.dialect)
    blocks, parts = BlockReader(named), list[Part]()
    for block in items_of(need(fields, "content")):
        blocks.add(parts, block)
    stop, word = take_text(fields, "stop_reason"), take(fields, "stop_sequence")
    raw = take(fields, "usage")
    usage = usage_of(raw)
    answer_id, model = take_text(fields, "id"), take_text(fields, "model")
    for name in ("role", "stop_reason", "stop_sequence", "usage"):
        fields.pop(name, None)
    candidate = Candidate(
        tuple(parts), finish_of(stop) if stop else None, stop, None if word is None else text_of(word)
    )
    return Response(
        id=answer_id,
        model=model,
        candidates=(candidate,),
        usage=usage,
        raw_usage=msgspec.Raw(b"null") if raw is None else raw,
        service_tier="" if raw is None or usage is None else service_tier(raw),
        carry=carry(named, fields),
    )


def usage_of(raw: msgspec.Raw | None) -> Usage | None:
    """The counts; None where there are none, or such that make no sense, which is not worth an answer."""
    try:
        return None if raw is None else read_usage(raw)
    except UNREADABLE:
        return None


def finish_of(stop_reason: str) -> FinishReason:
    """Why it ended; words that are not known are `OTHER`."""
    return FINISH.get(stop_reason, FinishReason.OTHER)

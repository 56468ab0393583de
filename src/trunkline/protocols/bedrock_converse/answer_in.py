"""A whole answer of Converse -> the canonical one. In: the body, the target. Out: `Response`. What a guardrail found (`trace`) is for the operator's console.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_ResponseSyntax
"""

from collections.abc import Mapping

import msgspec

from trunkline.ir.parts import ToolCall
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.protocols.bedrock_converse import NAME
from trunkline.protocols.bedrock_converse.blocks_in import read_block
from trunkline.protocols.bedrock_converse.usage import usage_of
from trunkline.protocols.carry import origin
from trunkline.protocols.codec import Target

FINISH: Mapping[str, FinishReason] = {
    "end_turn": FinishReason.END,
    "tool_use": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.LENGTH,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "guardrail_intervened": FinishReason.CONTENT_FILTER,
    "content_filtered": FinishReason.CONTENT_FILTER,
    "malformed_tool_use": FinishReason.BROKEN_TOOL_CALL,
    "model_context_window_exceeded": FinishReason.CONTEXT_FULL,
    "refusal": FinishReason.REFUSAL,
}
"""https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#bedrock-runtime_Converse-response-stopReason; the last is Claude's."""


NO_USAGE = msgspec.Raw(b"null")


class _Message(msgspec.Struct):
    content: list[msgspec.Raw] = []


class _Output(msgspec.Struct):
    message: _Message


class More(msgspec.Struct):
    """Of the fields that were asked for (`additionalModelResponseFieldPaths`) the one there is."""

    stop_sequence: str | None = None


class Tier(msgspec.Struct):
    type: str = ""


class _Answer(msgspec.Struct, rename="camel"):
    output: _Output
    stop_reason: str = ""
    usage: msgspec.Raw = NO_USAGE
    additional_model_response_fields: More | None = None
    service_tier: Tier | None = None


_decoder = msgspec.json.Decoder(_Answer)


def read_response(body: bytes, target: Target) -> Response:
    """The answer. Raises one of `rawjson.UNREADABLE` where it is none."""
    found = _decoder.decode(body)
    named = origin(NAME, target.dialect)
    parts = [part for block in found.output.message.content if (part := read_block(block, named)) is not None]
    usage, more = usage_of(found.usage), found.additional_model_response_fields
    calls = any(isinstance(part, ToolCall) for part in parts)
    candidate = Candidate(
        tuple(parts),
        finish_of(found.stop_reason, calls=calls) if found.stop_reason else None,
        found.stop_reason,
        more.stop_sequence if more is not None else None,
    )
    return Response(
        candidates=(candidate,),
        usage=usage,
        raw_usage=found.usage,
        service_tier=found.service_tier.type if found.service_tier is not None else "",
    )


def finish_of(stop_reason: str, *, calls: bool) -> FinishReason:
    """Why it ended; words that are not known are `OTHER`. Some models call tools and say that they are done."""
    found = FINISH.get(stop_reason, FinishReason.OTHER)
    return FinishReason.TOOL_CALLS if calls and found is FinishReason.END else found

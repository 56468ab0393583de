"""A whole answer of Responses, read. In: the provider's body. Out: the canonical answer.

https://developers.openai.com/api/reference/resources/responses/methods/create (Returns)
"""

from typing import Any

import msgspec

from trunkline.ir.fault import Fault
from trunkline.ir.parts import Part, Refusal, ToolCall
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.carry import origin
from trunkline.protocols.codec import RESPONSES, Target
from trunkline.protocols.openai_responses.errors import read_fault
from trunkline.protocols.openai_responses.items_in import Reading, read_item
from trunkline.protocols.openai_responses.usage import read_usage
from trunkline.protocols.openai_responses.wire import is_null
from trunkline.protocols.rawjson import Fields

_NULL = msgspec.Raw(b"null")


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Searches(msgspec.Struct):
    num_requests: int | None = None


class _ToolUsage(msgspec.Struct):
    web_search: _Searches | None = None


class Answer(msgspec.Struct):
    """The wire's response object, also of the events of a stream."""

    id: str | None = None
    model: str | None = None
    created_at: float | None = None
    status: str | None = None
    output: list[Fields] | None = None
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL
    incomplete_details: _Incomplete | None = None
    service_tier: str | None = None
    tool_usage: _ToolUsage | None = None


_decoder = msgspec.json.Decoder(Answer)
_REASONS = {"max_output_tokens": FinishReason.LENGTH, "content_filter": FinishReason.CONTENT_FILTER}


def read_response(body: bytes, target: Target) -> Response:
    """The answer. Raises one of `rawjson.UNREADABLE` where it is none; a response that failed has a `fault`."""
    answer = _decoder.decode(body)
    if answer.output is None and is_null(answer.error) and answer.status != "failed":
        raise msgspec.ValidationError("`output` is missing: this is no response")
    parts = parts_of(answer, origin(RESPONSES, target.dialect))
    finish, native = finish_of(answer, is_call(parts), any(isinstance(part, Refusal) for part in parts))
    return Response(
        id=answer.id or "",
        model=answer.model or "",
        created_s=int(answer.created_at or 0),
        candidates=(Candidate(parts, finish, native),),
        usage=usage_of(answer, parts),
        raw_usage=answer.usage,
        service_tier=answer.service_tier or "",
        fault=fault_of(answer),
    )


def parts_of(answer: Answer, dialect_origin: str) -> tuple[Part, ...]:
    """All items, as the parts of one turn."""
    parts: list[Part] = []
    reading = Reading(dialect_origin)
    for item in answer.output or ():
        read_item(item, reading, parts)
    return tuple(parts)


def is_call(parts: tuple[Part, ...]) -> bool:
    """Whether the answer waits for results of the caller's tools."""
    return any(isinstance(part, ToolCall) and part.kind != "server" for part in parts)


def finish_of(answer: Answer, has_calls: bool, has_refusal: bool) -> tuple[FinishReason | None, str]:
    """Why the answer ended, ours and theirs; None where it did not."""
    status = answer.status or "completed"
    if status == "completed":
        ended = FinishReason.REFUSAL if has_refusal else FinishReason.END
        return FinishReason.TOOL_CALLS if has_calls else ended, status
    if status == "incomplete":
        reason = (answer.incomplete_details.reason if answer.incomplete_details else None) or ""
        return _REASONS.get(reason, FinishReason.OTHER), reason or status
    return (FinishReason.OTHER, status) if status == "cancelled" else (None, "")


def usage_of(answer: Answer, parts: tuple[Part, ...]) -> Usage | None:
    """The counts; billable searches are told beside the usage, by older servers only as items."""
    if is_null(answer.usage):
        return None
    told = answer.tool_usage.web_search if answer.tool_usage else None
    searches = told.num_requests if told else None
    if searches is None:
        searches = sum(isinstance(part, ToolCall) and part.kind == "server" for part in parts)
    usage = read_usage(answer.usage)
    return msgspec.structs.replace(usage, web_searches=searches) if searches else usage


def fault_of(answer: Answer) -> Fault | None:
    if is_null(answer.error):
        return Fault(message="The response failed.") if answer.status == "failed" else None
    return read_fault(b'{"error":%b}' % bytes(answer.error))


def read_part(value: Any, dialect_origin: str) -> list[Part]:
    """The parts of one item."""
    parts: list[Part] = []
    read_item(value, Reading(dialect_origin), parts)
    return parts

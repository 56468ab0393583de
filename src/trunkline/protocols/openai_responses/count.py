"""Counting of input tokens: `POST /responses/input_tokens`. In: a body like that of an answer, all of it optional. Out: a request, a body, a number.

https://developers.openai.com/api/reference/resources/responses/subresources/input_tokens/methods/count
"""

import msgspec

from trunkline.ir.request import Request
from trunkline.protocols.codec import RequestContext, Target, UpstreamBody
from trunkline.protocols.openai_responses.request_in import fields_of, read_fields
from trunkline.protocols.openai_responses.request_out import write_request
from trunkline.protocols.rawjson import join, split

_OBJECT = "response.input_tokens"
_TAKEN = frozenset(
    {
        "conversation",
        "input",
        "instructions",
        "model",
        "parallel_tool_calls",
        "personality",
        "reasoning",
        "text",
        "tool_choice",
        "tools",
        "truncation",
    }
)


class _Count(msgspec.Struct):
    input_tokens: int


def read_count_request(body: bytes, context: RequestContext) -> Request:
    """What is to be counted. Raises `InvalidParams`, as `read_request` does; here `input` may be missing."""
    return read_fields(fields_of(body), context)


def write_count_request(request: Request, target: Target) -> UpstreamBody:
    """The body for a provider that counts."""
    written = write_request(request, target)
    fields = {name: value for name, value in split(written.body).items() if name in _TAKEN}
    return UpstreamBody(join(fields), written.losses)


def read_count(body: bytes) -> int:
    """The provider's number. Raises one of `rawjson.UNREADABLE`."""
    return msgspec.json.decode(body, type=_Count).input_tokens


def write_count(input_tokens: int) -> bytes:
    """The answer to the caller."""
    return msgspec.json.encode({"object": _OBJECT, "input_tokens": input_tokens})

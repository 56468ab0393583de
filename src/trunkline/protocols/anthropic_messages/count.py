"""Counting a prompt's tokens, for callers and toward Anthropic (https://platform.claude.com/docs/en/api/messages/count_tokens).

In: bodies, canonical requests, numbers. Out: the same in Anthropic's shape. The request is that of a message.
"""

import msgspec

from trunkline.ir.request import Request
from trunkline.protocols.anthropic_messages.request_in import read_request as read_count_request
from trunkline.protocols.anthropic_messages.request_out import write_request
from trunkline.protocols.codec import Target, UpstreamBody
from trunkline.protocols.rawjson import join, split

__all__ = ("read_count", "read_count_request", "write_count", "write_count_request")

_NOT_COUNTED = ("max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "stream", "metadata", "service_tier")


class _Count(msgspec.Struct):
    input_tokens: int


_decoder = msgspec.json.Decoder(_Count)


def read_count(body: bytes) -> int:
    """The tokens of a prompt. Raises one of `rawjson.UNREADABLE` where the answer is none."""
    return _decoder.decode(body).input_tokens


def write_count(input_tokens: int) -> bytes:
    """The answer to a caller."""
    return msgspec.json.encode(_Count(input_tokens))


def write_count_request(request: Request, target: Target) -> UpstreamBody:
    """The body for `/v1/messages/count_tokens`: what makes the prompt, without what makes the answer.

    https://platform.claude.com/docs/en/api/messages/count_tokens
    """
    written = write_request(request, target)
    fields = {name: value for name, value in split(written.body).items() if name not in _NOT_COUNTED}
    return msgspec.structs.replace(written, body=join(fields), stop_here=())

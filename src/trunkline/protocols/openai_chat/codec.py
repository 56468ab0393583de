"""Chat Completions: the module that satisfies `protocols.codec.Codec`. In, out: see there; each direction has a module of its own."""

from trunkline.protocols.codec import AnswerContext, Peeked, RequestContext
from trunkline.protocols.openai_chat import NAME, request
from trunkline.protocols.openai_chat.answer_in import read_response
from trunkline.protocols.openai_chat.answer_out import write_response
from trunkline.protocols.openai_chat.errors import error_body, read_fault
from trunkline.protocols.openai_chat.request_in import read_request
from trunkline.protocols.openai_chat.request_out import write_request
from trunkline.protocols.openai_chat.resume import resume
from trunkline.protocols.openai_chat.stream_in import stream_reader
from trunkline.protocols.openai_chat.stream_out import stream_writer
from trunkline.protocols.openai_chat.usage_both import read_usage, write_usage
from trunkline.protocols.sse import comment

__all__ = [
    "NAME",
    "error_body",
    "keepalive",
    "peek",
    "read_fault",
    "read_request",
    "read_response",
    "read_usage",
    "resume",
    "stream_reader",
    "stream_writer",
    "write_request",
    "write_response",
    "write_usage",
]


def peek(body: bytes, context: RequestContext, vocabulary: frozenset[str]) -> Peeked:  # noqa: ARG001 (of the seam)
    """All that routing asks for stands in the body."""
    found = request.read(body, vocabulary)
    return Peeked(found.fields, found.facts)


def keepalive(context: AnswerContext) -> bytes:  # noqa: ARG001 (of the seam)
    """Every client of Chat skips comments (https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation)."""
    return comment(b"TRUNKLINE PROCESSING")

"""The codec of `openai.responses`: this module is the `Codec` of docs/decisions/0002-canonical-form.md.

https://developers.openai.com/api/reference/resources/responses. What stored responses need beside it is in `stored`, counting of tokens in `count`.
"""

from trunkline.ir.fold import unfold
from trunkline.ir.response import Response
from trunkline.protocols import sse
from trunkline.protocols.codec import RESPONSES, AnswerContext, Bill, Target
from trunkline.protocols.openai_responses.answer_in import read_response
from trunkline.protocols.openai_responses.errors import error_body, read_fault
from trunkline.protocols.openai_responses.peek import peek
from trunkline.protocols.openai_responses.request_in import read_request
from trunkline.protocols.openai_responses.request_out import write_request
from trunkline.protocols.openai_responses.resume import resume
from trunkline.protocols.openai_responses.stream_in import StreamReader
from trunkline.protocols.openai_responses.stream_out import StreamWriter
from trunkline.protocols.openai_responses.usage import read_usage, write_usage
from trunkline.protocols.openai_responses.usual_out import usual_body

__all__ = [
    "NAME", "error_body", "keepalive", "peek", "read_fault", "read_request", "read_response", "read_usage", "resume", "stream_reader", "stream_writer",
    "write_request", "write_response", "write_usage",
]  # fmt: skip

NAME = RESPONSES


def stream_reader(target: Target) -> StreamReader:
    return StreamReader(target)


def stream_writer(context: AnswerContext) -> StreamWriter:
    return StreamWriter(context)


def write_response(response: Response, context: AnswerContext, bill: Bill) -> bytes:
    """The body: what a stream of the same answer would end with."""
    usual = usual_body(response, context, bill)
    if usual is not None:
        return usual
    writer = StreamWriter(context)
    for event in unfold(response):
        writer.feed(event)
    writer.end(bill)
    return writer.body


def keepalive(context: AnswerContext) -> bytes:  # noqa: ARG001
    """A comment: every client of this protocol skips it, also at the start."""
    return sse.comment(b"keep-alive")

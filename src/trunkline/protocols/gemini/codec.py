"""The codec of Google's Gemini protocol; this module is the `protocols.codec.Codec`. In and out: see there.

A stream is asked for with `alt=sse`, and is an SSE stream for callers that say so, a JSON array for others. Whoever serves this protocol also
needs `count` (countTokens, models list) and `request_in.model_name` (names in paths).
"""

from trunkline.protocols.codec import AnswerContext, Target
from trunkline.protocols.gemini.answer_in import read_response
from trunkline.protocols.gemini.answer_out import write_response
from trunkline.protocols.gemini.errors import error_body, read_fault
from trunkline.protocols.gemini.names import NAME
from trunkline.protocols.gemini.peek import peek
from trunkline.protocols.gemini.request_in import read_request
from trunkline.protocols.gemini.request_out import write_request
from trunkline.protocols.gemini.resume import resume
from trunkline.protocols.gemini.stream_in import Reader
from trunkline.protocols.gemini.stream_out import Writer
from trunkline.protocols.gemini.usage import read_usage, write_usage

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

_BLANK = b"\r\n\r\n"


def stream_reader(target: Target) -> Reader:
    return Reader(target)


def stream_writer(context: AnswerContext) -> Writer:
    return Writer(context)


def keepalive(context: AnswerContext) -> bytes:  # noqa: ARG001 - the same in both framings
    """Empty lines. A comment would be taken for broken JSON by Google's own SDKs; blanks do in an array what they do in SSE."""
    return _BLANK

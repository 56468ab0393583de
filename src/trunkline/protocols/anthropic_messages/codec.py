"""The codec of Anthropic Messages: this module is a `trunkline.protocols.codec.Codec`. Beside it what the protocol has for counting tokens."""

from trunkline.protocols.anthropic_messages import NAME
from trunkline.protocols.anthropic_messages.answer_in import read_response
from trunkline.protocols.anthropic_messages.answer_out import write_response
from trunkline.protocols.anthropic_messages.count import read_count, write_count, write_count_request
from trunkline.protocols.anthropic_messages.errors import error_body, read_fault
from trunkline.protocols.anthropic_messages.peek import peek
from trunkline.protocols.anthropic_messages.request_in import read_request
from trunkline.protocols.anthropic_messages.request_out import write_request
from trunkline.protocols.anthropic_messages.resume import resume
from trunkline.protocols.anthropic_messages.stream_in import Reader
from trunkline.protocols.anthropic_messages.stream_out import Writer
from trunkline.protocols.anthropic_messages.usage import read_usage, write_usage
from trunkline.protocols.codec import AnswerContext, StreamReader, StreamWriter, Target

__all__ = (
    "NAME",
    "error_body",
    "keepalive",
    "peek",
    "read_count",
    "read_fault",
    "read_request",
    "read_response",
    "read_usage",
    "resume",
    "stream_reader",
    "stream_writer",
    "write_count",
    "write_count_request",
    "write_request",
    "write_response",
    "write_usage",
)

_PING = b'event: ping\ndata: {"type":"ping"}\n\n'


def stream_reader(target: Target) -> StreamReader:
    """Of one upstream stream."""
    return Reader(target)


def stream_writer(context: AnswerContext) -> StreamWriter:
    """Of one stream to the caller."""
    return Writer(context)


def keepalive(context: AnswerContext) -> bytes:
    """A ping, which may stand anywhere: https://platform.claude.com/docs/en/build-with-claude/streaming#ping-events"""
    del context
    return _PING

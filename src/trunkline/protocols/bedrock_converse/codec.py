"""The codec of Bedrock's Converse: this module is a `trunkline.protocols.codec.ProviderCodec`."""

from trunkline.protocols.bedrock_converse import NAME
from trunkline.protocols.bedrock_converse.answer_in import read_response
from trunkline.protocols.bedrock_converse.errors import read_fault
from trunkline.protocols.bedrock_converse.request_out import write_request
from trunkline.protocols.bedrock_converse.stream_in import Reader
from trunkline.protocols.bedrock_converse.usage import read_usage
from trunkline.protocols.codec import StreamReader, Target

__all__ = ("NAME", "read_fault", "read_response", "read_usage", "stream_reader", "write_request")


def stream_reader(target: Target) -> StreamReader:
    """Of one upstream stream, whose frames have been made server-sent events by `providers.eventstream`."""
    return Reader(target)

"""The end of a stream that the provider itself began and did not end. In: its first and its last event, the error. Out: `response.failed`, numbered on.

https://platform.openai.com/docs/api-reference/responses-streaming/response/failed: SDKs refuse a second `response.created`, and another id.
"""

import msgspec

from trunkline.errors import RequestError
from trunkline.protocols.openai_responses.errors import answer_error
from trunkline.protocols.rawjson import UNREADABLE, Fields
from trunkline.protocols.sse import data_of


class _Event(msgspec.Struct):
    sequence_number: int = 0
    response: Fields = {}


def failed(first: bytes, last: bytes, error: RequestError) -> bytes:
    """The event; of what cannot be read of the provider's, there is less in it."""
    response = {**_event(first).response}
    response["status"] = msgspec.Raw(b'"failed"')
    response["error"] = msgspec.Raw(msgspec.json.encode(answer_error(error)))
    told = {"type": "response.failed", "sequence_number": _event(last).sequence_number + 1, "response": response}
    return b"event: response.failed\ndata: %b\n\n" % msgspec.json.encode(told)


def _event(event: bytes) -> _Event:
    try:
        return msgspec.json.decode(data_of(event) or b"{}", type=_Event)
    except UNREADABLE:
        return _Event()

"""Errors of Bedrock. In: the body of an error answer, or the event that an exception in a stream was made into. Out: `Fault`.

https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from trunkline.ir.fault import Fault
from trunkline.protocols.rawjson import UNREADABLE

# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html#API_runtime_ConverseStream_Errors
_STATUSES: Mapping[str, int] = {
    "validationException": 400,
    "accessDeniedException": 403,
    "resourceNotFoundException": 404,
    "modelTimeoutException": 408,
    "modelErrorException": 424,
    "modelStreamErrorException": 424,
    "throttlingException": 429,
    "modelNotReadyException": 429,
    "internalServerException": 500,
    "serviceUnavailableException": 503,
}


class _Body(msgspec.Struct):
    message: Any = None
    upper: Any = msgspec.field(name="Message", default=None)
    """As some of AWS's front doors write it."""
    kind: Any = msgspec.field(name="__type", default=None)
    code: Any = None


_decoder = msgspec.json.Decoder(_Body)


def read_fault(body: bytes) -> Fault:
    """The provider's words. What is no JSON is no words (it may be a proxy's page)."""
    try:
        found = _decoder.decode(body)
    except UNREADABLE:
        return Fault()
    # `com.amazon.coral.service#AccessDeniedException`: what stands before the sign is a name of the service.
    kind = _text(found.kind).rpartition("#")[2]
    return Fault(message=_text(found.message) or _text(found.upper), code=_text(found.code), type=kind)


def status_of(exception: str) -> int:
    """The status that an exception inside a stream would have had as an answer; 0 where it is not known."""
    return _STATUSES.get(f"{exception[:1].lower()}{exception[1:]}", 0)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

"""Errors of Messages: read a provider's, write ours in Anthropic's shape, in a body or in a stream.

https://platform.claude.com/docs/en/api/errors
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from trunkline.errors import RequestError
from trunkline.ir.fault import Fault
from trunkline.protocols.anthropic_messages.wire import named_event
from trunkline.protocols.rawjson import UNREADABLE

_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
STATUSES: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
# By this Anthropic's SDKs know that they have to send the whole conversation, and then do so by themselves.
_NO_THREADS = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


class _Error(msgspec.Struct):
    message: Any = ""
    type: Any = ""
    code: Any = ""
    status: Any = ""
    param: Any = None
    details: Any = None


class _Body(msgspec.Struct):
    error: _Error | str | None = None
    message: Any = None
    detail: Any = None
    code: Any = None
    """Amazon's `__type` and `code` stand beside `message`."""


def error_body(error: RequestError, request_id: str) -> bytes:
    """The body of an error answer. `type` is Anthropic's word for the status, `code` the status itself."""
    fields: dict[str, object] = {
        "type": _TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error"),
        "message": error.message,
        "code": str(error.status),
    }
    if error.param is not None:
        fields["param"] = error.param
    if error.status == 400 and error.param == "thread":
        fields["details"] = _NO_THREADS
    return msgspec.json.encode({"type": "error", "error": fields, "request_id": request_id})


def error_event(error: RequestError, request_id: str) -> bytes:
    """The last event of a stream that ends in an error."""
    return named_event(b"error", error_body(error, request_id))


def read_fault(body: bytes) -> Fault:
    """The provider's words: Anthropic's own, or those of clouds that serve Claude. What is no JSON is no words (it may be a proxy's page)."""
    text = body.strip()
    try:
        # Vertex wraps its errors in a list of one.
        return fault_of(text[1:-1] if text.startswith(b"[") and text.endswith(b"]") else text)
    except UNREADABLE:
        return Fault()


def fault_of(body: bytes | msgspec.Raw) -> Fault:
    """The same; raises one of `rawjson.UNREADABLE` where it is no JSON object."""
    found = _decoder.decode(body)
    error = found.error
    if isinstance(error, str):
        return Fault(message=error)
    if error is None:
        return Fault(message=_text(found.message) or _text(found.detail), code=_text(found.code))
    details = error.details if isinstance(error.details, dict) else {}
    return Fault(
        message=_text(error.message),
        code=_text(details.get("error_code")) or _text(error.code),
        type=_text(error.type) or _text(error.status),
        param=error.param if isinstance(error.param, str) else None,
    )


def status_of(fault: Fault) -> int:
    """The status that an error inside a stream would have had as an answer; 0 where its type is not known."""
    return STATUSES.get(fault.type, 0)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


_decoder = msgspec.json.Decoder(_Body)

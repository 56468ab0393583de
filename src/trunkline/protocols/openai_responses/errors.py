"""Errors of Responses: read a provider's, write ours in ZenMux's shape (https://docs.zenmux.ai/guide/advanced/error-codes), in a body or inside an answer."""

from typing import Any

import msgspec

from trunkline.errors import RequestError
from trunkline.ir.fault import Fault
from trunkline.protocols.rawjson import UNREADABLE

# What Codex and OpenAI's agents read of a failed answer: https://developers.openai.com/api/reference/resources/responses/methods/create (error.code)
_CODES = {
    400: "invalid_prompt",
    413: "invalid_prompt",
    422: "invalid_prompt",
    402: "insufficient_quota",
    429: "rate_limit_exceeded",
}
_STATUSES = {
    "rate_limit_exceeded": 429, "insufficient_quota": 429, "invalid_prompt": 400, "context_length_exceeded": 400, "bio_policy": 400,
    "server_error": 500, "server_is_overloaded": 503, "slow_down": 503, "vector_store_timeout": 504,
}  # fmt: skip


class _Error(msgspec.Struct):
    message: Any = ""
    code: Any = ""
    type: Any = ""
    param: Any = None
    status: Any = ""


class _Body(msgspec.Struct):
    error: _Error | str | None = None
    message: Any = None
    detail: Any = None
    code: Any = ""
    param: Any = None
    type: Any = ""


def error_body(error: RequestError, request_id: str) -> bytes:
    """The body of an error answer. `code` is the HTTP status as a string: some clients decode it so."""
    fields = {
        "code": str(error.status),
        "type": error.type,
        "message": error.message,
        "param": error.param,
        "request_id": request_id,
    }
    return msgspec.json.encode({"error": fields})


def answer_error(error: RequestError) -> dict[str, object]:
    """`error` of a response that failed. Its codes are few, so our own word for it stands in `type`."""
    code = _CODES.get(error.status, "server_error")
    return {"code": code, "message": error.message, "type": error.type, "param": error.param}


def read_fault(body: bytes) -> Fault:
    """The provider's words, from any of the shapes in use; what is no JSON is no words (it may be a proxy's page)."""
    try:
        return _fault(msgspec.json.decode(body, type=_Body))
    except UNREADABLE:
        return Fault()


def read_event_fault(data: bytes | msgspec.Raw) -> Fault:
    """The same of an `error` event, whose words stand at the top or under `error`."""
    found = msgspec.json.decode(data, type=_Body)
    if found.error is not None:
        return _fault(found)
    return _of_error(_Error(found.message, found.code, "", found.param))


def status_of(fault: Fault) -> int:
    """The HTTP status that a fault inside an answer would have had; 0 where its code does not say."""
    if fault.code.isdecimal() and 400 <= int(fault.code) < 600:
        return int(fault.code)
    if fault.code.startswith(("invalid_", "image_", "unsupported_", "empty_")):
        return 400
    return _STATUSES.get(fault.code, 0)


def _fault(found: _Body) -> Fault:
    if isinstance(found.error, str):
        return Fault(message=found.error)
    if found.error is None:
        return Fault(message=_text(found.message) or _text(found.detail))
    return _of_error(found.error)


def _of_error(error: _Error) -> Fault:
    return Fault(
        message=_text(error.message),
        code=_text(error.code),
        type=_text(error.type) or _text(error.status),
        param=error.param if isinstance(error.param, str) else None,
    )


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()

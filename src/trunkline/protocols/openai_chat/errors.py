"""Errors of Chat Completions: read a provider's, write ours in ZenMux's shape (https://docs.zenmux.ai/guide/advanced/error-codes), in a body or in a stream."""

from typing import Any

import msgspec

from trunkline.errors import RequestError
from trunkline.ir.fault import Fault
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.protocols.sse import event


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


def error_body(error: RequestError, request_id: str) -> bytes:
    """The body of an error answer. `code` is the HTTP status as a string: some clients decode it so."""
    return msgspec.json.encode({"error": _fields(error, request_id)})


def error_event(error: RequestError, request_id: str) -> bytes:
    """The last event of a stream that ends in an error. No [DONE] follows."""
    return event(error_body(error, request_id))


def read_fault(body: bytes) -> Fault:
    """The provider's words, from any of the shapes in use; what is no JSON is no words (it may be a proxy's page)."""
    try:
        found = msgspec.json.decode(_first_of_list(body), type=_Body)
    except UNREADABLE:
        return Fault()
    return _fault(found)


def read_stream_fault(error: bytes) -> Fault:
    """The same from the value of `error` in a stream's event."""
    try:
        return _fault(_Body(error=msgspec.json.decode(error, type=_Error | str | None)))
    except UNREADABLE:
        return Fault()


def _fields(error: RequestError, request_id: str) -> dict[str, object]:
    return {
        "code": str(error.status),
        "type": error.type,
        "message": error.message,
        "param": error.param,
        "request_id": request_id,
    }


def _first_of_list(body: bytes) -> bytes:
    """Google's OpenAI-compatible surface wraps its errors in a list of one."""
    text = body.strip()
    return text[1:-1] if text.startswith(b"[") and text.endswith(b"]") else text


def _fault(found: _Body) -> Fault:
    error = found.error
    if isinstance(error, str):
        return Fault(message=error)
    if error is None:
        return Fault(message=_text(found.message) or _text(found.detail))
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

"""Errors: read Google's, write ours in its shape, with its status words (https://cloud.google.com/apis/design/errors#http_mapping).

The details are those of Google's error model, which Gemini CLI reads (`RetryInfo`). `type` and `request_id` are additions of ours within `error`.
"""

import re
from typing import Any

import msgspec

from trunkline.errors import RequestError
from trunkline.ir.fault import Fault
from trunkline.protocols.gemini.names import STATUS
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.protocols.sse import event

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s", re.ASCII)
_TYPES = "type.googleapis.com/google.rpc."


class _Detail(msgspec.Struct, rename="camel"):
    reason: Any = ""
    field_violations: Any = None
    retry_delay: Any = None


class _Error(msgspec.Struct):
    message: Any = ""
    code: Any = ""
    status: Any = ""
    details: Any = None


class _Body(msgspec.Struct):
    error: _Error | str | None = None
    message: Any = None


_DETAILS = msgspec.json.Decoder(list[_Detail])


def error_body(error: RequestError, request_id: str) -> bytes:
    """The body of an error answer."""
    return msgspec.json.encode({"error": _fields(error, request_id)})


def error_event(error: RequestError, request_id: str) -> bytes:
    """The last event of a stream that ends in an error."""
    return event(error_body(error, request_id))


def read_fault(body: bytes) -> Fault:
    """Google's words. A stream that is a JSON array has its error in one, too. What is no JSON is no words."""
    text = body.strip().removeprefix(b"[").removesuffix(b"]")
    try:
        found = msgspec.json.decode(text, type=_Body)
    except UNREADABLE:
        return Fault()
    if isinstance(found.error, str):
        return Fault(message=found.error)
    if found.error is None:
        return Fault(message=_text(found.message))
    return _fault(found.error)


def read_stream_fault(raw: msgspec.Raw) -> tuple[Fault, int]:
    """The same of an event's `error`, and the status that it would have been."""
    try:
        found = msgspec.json.decode(raw, type=_Error)
    except UNREADABLE:
        return Fault(), 0
    code = found.code if isinstance(found.code, int) else 0
    return _fault(found), code if 400 <= code < 600 else 0


def _fault(error: _Error) -> Fault:
    details = _details(error.details)
    reason = next((detail.reason for detail in details if isinstance(detail.reason, str) and detail.reason), "")
    return Fault(
        message=_text(error.message),
        code=reason or _text(error.code),
        type=_text(error.status),
        param=next((field for detail in details if (field := _violated(detail.field_violations))), None),
        retry_after_s=next((s for detail in details if (s := _seconds(detail.retry_delay)) is not None), None),
    )


def _seconds(value: Any) -> float | None:
    """A duration in Google's JSON, `27s` or `0.5s`: https://protobuf.dev/programming-guides/json/"""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return float(found[1]) if found is not None else None


def _details(value: Any) -> list[_Detail]:
    try:
        return _DETAILS.decode(msgspec.json.encode(value))
    except UNREADABLE:
        return []


def _violated(violations: Any) -> str | None:
    first = violations[0] if isinstance(violations, list) and violations else None
    field = first.get("field") if isinstance(first, dict) else None
    return field if isinstance(field, str) else None


def _fields(error: RequestError, request_id: str) -> dict[str, Any]:
    info = {"@type": f"{_TYPES}ErrorInfo", "reason": error.type.upper(), "metadata": {"requestId": request_id}}
    details: list[dict[str, Any]] = [info]
    if error.param:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": f"{_TYPES}BadRequest", "fieldViolations": [violation]})
    if error.retry_after_s is not None:
        details.append({"@type": f"{_TYPES}RetryInfo", "retryDelay": f"{error.retry_after_s:g}s"})
    return {
        "code": error.status,
        "message": error.message,
        "status": STATUS.get(error.status, "INTERNAL" if error.status >= 500 else "INVALID_ARGUMENT"),
        "details": details,
        "type": error.type,
        "request_id": request_id,
    }


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()

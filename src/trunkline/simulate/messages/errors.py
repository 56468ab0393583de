"""Error answers of Anthropic's API.

In: a status or a named cause. Out: a frozen `ErrorAnswer`; `request_id` is put into its body when it is sent. Types:
https://platform.claude.com/docs/en/api/errors
"""

from math import ceil
from typing import Any

import msgspec

from trunkline.simulate.vendor_errors import ErrorAnswer, RefusedError

INVALID = "invalid_request_error"
# status -> type, message. 529 is the vendor's own.
STATUS: dict[int, tuple[str, str]] = {
    400: (INVALID, "Simulated: the request is not valid."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Simulated: there is an issue with billing."),
    403: ("permission_error", "Simulated: the key may not use this resource."),
    404: ("not_found_error", "Not found"),
    409: ("conflict_error", "Simulated: the request conflicts with the state of the resource."),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "Simulated: this request would exceed the rate limit."),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "Simulated: the request timed out."),
    529: ("overloaded_error", "Overloaded"),
}


def body_of(type_: str, message: str, details: dict[str, Any] | None = None) -> bytes:
    error: dict[str, Any] = {"type": type_, "message": message}
    return msgspec.json.encode({"type": "error", "error": error | ({"details": details} if details else {})})


def status_body(status: int) -> bytes:
    kind = "api_error" if status >= 500 else INVALID
    return body_of(*STATUS.get(status, (kind, f"Simulated failure {status}.")))


def failed(status: int, retry_after_s: float | None) -> ErrorAnswer:
    """A failure of the provider's own; `retry-after` and the limits' headers go with a 429
    (https://platform.claude.com/docs/en/api/rate-limits, "Response headers")."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if retry_after_s is not None:
        headers = ((b"retry-after", b"%d" % ceil(retry_after_s)),)
    if status == 429:
        headers += ((b"anthropic-ratelimit-requests-remaining", b"0"),)
    should_retry = b"true" if status in (408, 409, 429) or status >= 500 else b"false"
    return ErrorAnswer(status, status_body(status), (*headers, (b"x-should-retry", should_retry)))


def refuse(
    message: str, *, status: int = 400, type_: str = INVALID, details: dict[str, Any] | None = None
) -> RefusedError:
    """A refusal for the request's content. Messages begin with the place in the body, as the vendor's do."""
    return RefusedError(ErrorAnswer(status, body_of(type_, message, details)))


def wrong_key(*, given: bool) -> RefusedError:
    message = "invalid x-api-key" if given else "x-api-key header is required"
    return refuse(message, status=401, type_="authentication_error")


def unknown_model(model: str) -> RefusedError:
    return refuse(f"model: {model}", status=404, type_="not_found_error")


def unknown_path(_method: str, _path: str) -> RefusedError:
    return refuse("Not found", status=404, type_="not_found_error")


def wrong_method(_method: str, _path: str) -> RefusedError:
    return refuse("Method Not Allowed", status=405)


def bad_directive(message: str) -> RefusedError:
    return refuse(f"messages: [simulated] {message}")


def with_request_id(body: bytes, request_id: str) -> bytes:
    """The same id as in the header `request-id` (https://platform.claude.com/docs/en/api/errors, "Error shapes")."""
    fields: dict[str, Any] = msgspec.json.decode(body)
    return msgspec.json.encode(fields | {"request_id": request_id})


def error_event(_sent: int) -> bytes:
    """An error after the stream has begun (https://platform.claude.com/docs/en/build-with-claude/streaming, "Error
    events")."""
    return b"event: error\ndata: " + status_body(529) + b"\n\n"

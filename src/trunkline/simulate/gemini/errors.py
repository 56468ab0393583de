"""Error answers of the Gemini API: Google's `{"error": {code, message, status, details}}`.

In: a status or a named cause. Out: a frozen `ErrorAnswer`. Statuses: https://ai.google.dev/gemini-api/docs/troubleshooting
and https://cloud.google.com/apis/design/errors
"""

from math import ceil
from typing import Any

import msgspec

from trunkline.simulate.vendor_errors import ErrorAnswer, RefusedError

TYPE = "type.googleapis.com/google.rpc."
SERVICE = "generativelanguage.googleapis.com"
# HTTP status -> gRPC status, message.
STATUS: dict[int, tuple[str, str]] = {
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    403: ("PERMISSION_DENIED", "The caller does not have permission"),
    404: ("NOT_FOUND", "Requested entity was not found."),
    408: ("DEADLINE_EXCEEDED", "Simulated: the request timed out."),
    409: ("ABORTED", "Simulated: the operation was aborted."),
    429: ("RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    499: ("CANCELLED", "The operation was cancelled."),
    500: ("INTERNAL", "An internal error has occurred. Please retry or report."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    504: ("DEADLINE_EXCEEDED", "The request timed out. Please try again."),
}


def fields_of(status: int, message: str, details: list[dict[str, Any]]) -> dict[str, Any]:
    word = STATUS.get(status, ("INTERNAL" if status >= 500 else "INVALID_ARGUMENT", ""))[0]
    error: dict[str, Any] = {"code": status, "message": message, "status": word}
    return {"error": error | ({"details": details} if details else {})}


def failed(status: int, retry_after_s: float | None) -> ErrorAnswer:
    """A failure of the provider's own. How long to wait stands in the body (`RetryInfo`, google.rpc error_details)."""
    message = STATUS.get(status, ("", f"Simulated failure {status}."))[1]
    details: list[dict[str, Any]] = []
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if retry_after_s is not None:
        details = [{"@type": f"{TYPE}RetryInfo", "retryDelay": f"{retry_after_s:g}s"}]
        headers = ((b"retry-after", b"%d" % ceil(retry_after_s)),)
    return ErrorAnswer(status, msgspec.json.encode(fields_of(status, message, details)), headers)


def refuse(message: str, *, status: int = 400, details: list[dict[str, Any]] | None = None) -> RefusedError:
    return RefusedError(ErrorAnswer(status, msgspec.json.encode(fields_of(status, message, details or []))))


def unknown_name(name: str, where: str) -> RefusedError:
    """A field that the message type does not have, as Google's JSON reader says it."""
    at = f" at '{where}'" if where else ""
    message = f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.'
    violation = {"field": where, "description": message} if where else {"description": message}
    return refuse(message, details=[{"@type": f"{TYPE}BadRequest", "fieldViolations": [violation]}])


def wrong_value(where: str, kind: str, value: object) -> RefusedError:
    shown = f'"{value}"' if isinstance(value, str) else msgspec.json.encode(value).decode()
    return refuse(f"Invalid value at '{where}' ({kind}), {shown}")


def in_request(where: str, problem: str) -> RefusedError:
    """A value that the JSON reader takes and the service does not."""
    return refuse(f"* GenerateContentRequest.{where}: {problem}\n")


def wrong_key(*, given: bool) -> RefusedError:
    """A bad key is a 400 here, a missing one a 403 (https://ai.google.dev/gemini-api/docs/troubleshooting; bodies as in
    https://github.com/can1357/oh-my-pi/issues/449 and https://github.com/PublicAffairs/openai-gemini/issues/92)."""
    if not given:
        return refuse(
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or "
            "other form of API consumer identity to call this API.",
            status=403,
        )
    info = {"@type": f"{TYPE}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
    message = "API key not valid. Please pass a valid API key."
    return refuse(message, details=[info | {"metadata": {"service": SERVICE}}])


def unknown_model(model: str) -> RefusedError:
    return refuse(
        f"models/{model} is not found for API version v1beta, or is not supported for generateContent. Call ListModels "
        "to see the list of available models and their supported methods.",
        status=404,
    )


def unknown_path(_method: str, _path: str) -> RefusedError:
    return refuse(STATUS[404][1], status=404)


def wrong_method(method: str, path: str) -> RefusedError:
    return refuse(f"The HTTP method {method} is not allowed on {path}.", status=405)


def bad_directive(message: str) -> RefusedError:
    return refuse(f"[simulated] {message}")


def in_array(body: bytes) -> bytes:
    """Without `alt=sse` a stream is a JSON array, and an error its only element."""
    return b"[" + body + b"\n]"


STREAM_ERROR = msgspec.json.encode(fields_of(503, STATUS[503][1], []))

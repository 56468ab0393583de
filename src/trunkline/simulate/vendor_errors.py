"""Error answers of OpenAI and of Azure OpenAI: status, body and the headers that go with it.

In: a status or a named cause, and the dialect. Out: a frozen `ErrorAnswer`. Codes, types and params are the vendors';
no key or prompt is ever repeated in one. Statuses and causes: https://platform.openai.com/docs/guides/error-codes and
https://learn.microsoft.com/azure/ai-foundry/openai/reference
"""

from math import ceil
from typing import Any

import msgspec

INVALID = "invalid_request_error"


class ErrorAnswer(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class RefusedError(Exception):
    """The vendor would answer this request with an error."""

    def __init__(self, answer: ErrorAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


# status -> message, type, code. The 429, 500 and 503 are the wordings of the page above.
OPENAI_STATUS: dict[int, tuple[str, str, str | None]] = {
    400: ("Simulated: the request is not valid.", INVALID, None),
    401: ("Incorrect API key provided.", INVALID, "invalid_api_key"),
    402: ("Simulated: payment required.", "billing_error", "billing_not_active"),
    403: ("Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"),
    404: ("Simulated: not found.", INVALID, "model_not_found"),
    408: ("Simulated: the request timed out.", "timeout", None),
    413: ("Simulated: the request is too large.", INVALID, None),
    429: ("Rate limit reached for requests", "requests", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request", "server_error", None),
    503: ("The engine is currently overloaded, please try again later", "server_error", None),
}
# Azure gives a status of its front door as a string code; the model's own refusals have OpenAI's shape there too.
AZURE_STATUS: dict[int, tuple[str, str]] = {
    401: ("401", "Access denied due to invalid subscription key or wrong API endpoint."),
    403: ("403", "Access denied due to Virtual Network/Firewall rules."),
    404: ("DeploymentNotFound", "The API deployment for this resource does not exist."),
    408: ("Timeout", "The operation was timeout."),
    429: ("429", "Rate limit is exceeded."),
    500: ("InternalServerError", "Simulated: internal server error."),
    503: ("503", "Simulated: the service is unavailable."),
}


def openai_body(message: str, type_: str, *, param: str | None = None, code: str | None = None) -> bytes:
    fields: dict[str, Any] = {"message": message, "type": type_, "param": param, "code": code}
    return msgspec.json.encode({"error": fields})


def azure_body(code: str, message: str) -> bytes:
    return msgspec.json.encode({"error": {"code": code, "message": message}})


def status_body(dialect: str, status: int) -> bytes:
    if dialect == "azure" and status != 400:
        return azure_body(*AZURE_STATUS.get(status, (str(status), f"Simulated failure {status}.")))
    kind = "server_error" if status >= 500 else INVALID
    message, type_, code = OPENAI_STATUS.get(status, (f"Simulated failure {status}.", kind, None))
    return openai_body(message, type_, code=code)


def failed(dialect: str, status: int, retry_after_s: float | None) -> ErrorAnswer:
    """A failure of the provider's own, with the headers from which clients learn how long to wait.

    `retry-after` is in whole seconds, `retry-after-ms` finer; both vendors send them with a 429, and their SDKs read
    the latter first (https://learn.microsoft.com/azure/ai-foundry/openai/how-to/quota).
    """
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if retry_after_s is not None:
        headers = (
            (b"retry-after", b"%d" % ceil(retry_after_s)),
            (b"retry-after-ms", b"%d" % round(retry_after_s * 1000)),
        )
    if status == 429:
        wait = b"%d" % ceil(retry_after_s or 0)
        reset = wait if dialect == "azure" else wait + b"s"
        headers += ((b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-reset-requests", reset))
    return ErrorAnswer(status, status_body(dialect, status), headers)


def refuse(
    message: str, *, param: str | None = None, code: str | None = None, status: int = 400, type_: str = INVALID
) -> RefusedError:
    """A refusal for the request's content, in the shape that both vendors share."""
    return RefusedError(ErrorAnswer(status, openai_body(message, type_, param=param, code=code)))


def unsupported_parameter(name: str) -> RefusedError:
    """As reported for o4-mini in https://github.com/griptape-ai/griptape/issues/1915"""
    instead = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
    message = f"Unsupported parameter: '{name}' is not supported with this model.{instead}"
    return refuse(message, param=name, code="unsupported_parameter")


def unsupported_value(name: str, value: object, rest: str) -> RefusedError:
    message = f"Unsupported value: '{name}' does not support {value} with this model. {rest}"
    return refuse(message, param=name, code="unsupported_value")


def wrong_key(dialect: str) -> RefusedError:
    return RefusedError(ErrorAnswer(401, status_body(dialect, 401)))


def unknown_model(dialect: str, model: str) -> RefusedError:
    if dialect == "azure":
        return RefusedError(ErrorAnswer(404, status_body("azure", 404)))
    message = f"The model `{model}` does not exist or you do not have access to it."
    return refuse(message, code="model_not_found", status=404)


def unknown_path(dialect: str, method: str, path: str) -> RefusedError:
    if dialect == "azure":
        return RefusedError(ErrorAnswer(404, azure_body("404", "Resource not found")))
    return refuse(f"Invalid URL ({method} {path})", status=404)


def wrong_method(method: str, path: str) -> RefusedError:
    return refuse(f"Not allowed to {method} on {path} .", code="method_not_supported", status=405)


ERROR_EVENT = b"data: " + status_body("openai", 500) + b"\n\n"
"""What a stream says when the server fails in its middle; nothing follows it, not even [DONE]."""

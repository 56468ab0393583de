"""Errors of the console as JSON. In: an exception. Out: `{"error": {"code", "type", "message"}}`, the shape of the
whole API
(https://docs.zenmux.ai/guide/advanced/error-codes).
"""

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from trunkline.errors import RequestError, StoreError

TYPES = {404: "not_found", 405: "method_not_allowed"}


def error_answer(request: Request, status: int, kind: str, message: str, param: str | None = None) -> JSONResponse:
    """The body that every client of the API understands; `code` is a string. The data plane gives each request its
    id."""
    request_id = request.headers.get("x-request-id")
    body = {"code": str(status), "type": kind, "message": message, "param": param, "request_id": request_id}
    return JSONResponse({"error": body}, status_code=status)


async def on_request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return error_answer(request, error.status, error.type, error.message, error.param)


async def on_invalid(request: Request, error: Exception) -> Response:
    """Names the first field that is wrong; the input itself is not repeated."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return error_answer(request, 400, "invalid_params", f"{place}: {first['msg']}", place)


async def on_store_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StoreError)
    return error_answer(request, 503, "overloaded", f"the store cannot answer: {error}")


async def on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = TYPES.get(error.status_code, "invalid_params")
    return error_answer(request, error.status_code, kind, f"{request.method} {request.url.path}: {error.detail}")


async def on_surprise(request: Request, error: Exception) -> Response:
    """Says nothing of the cause: the log does."""
    del error
    return error_answer(request, 500, "internal_server_error", "the console failed on this request; its log says why")

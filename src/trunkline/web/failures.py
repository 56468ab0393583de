"""What a request gets that went wrong: a page for people, JSON for programs. In: an exception. Out: an answer in the form that was asked for."""

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from trunkline.api.management import errors
from trunkline.errors import RequestError
from trunkline.web.render import pages_of

API_PATHS = ("/api/", "/v1/", "/v1beta/", "/anthropic/v1/", "/anthropic/api/", "/healthz", "/readyz")
"""Under these a client program asks, whatever it says that it accepts."""


def is_for_people(request: Request) -> bool:
    """Whether a browser asks for a page."""
    return not request.url.path.startswith(API_PATHS) and "text/html" in request.headers.get("accept", "")


async def on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if not is_for_people(request):
        return await errors.on_http_error(request, error)
    words = "" if error.detail in ("Not Found", "Method Not Allowed") else str(error.detail)
    return pages_of(request).message(request, error.status_code, words)


async def on_request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    if not is_for_people(request):
        return await errors.on_request_error(request, error)
    return pages_of(request).message(request, error.status, error.message)


async def on_invalid(request: Request, error: Exception) -> Response:
    """Names the field, and does not repeat what was in it."""
    assert isinstance(error, RequestValidationError)
    if not is_for_people(request):
        return await errors.on_invalid(request, error)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    return pages_of(request).message(request, 400, f"{place}: {first['msg']}. Correct the address, or go back.")


async def on_store_error(request: Request, error: Exception) -> Response:
    if not is_for_people(request):
        return await errors.on_store_error(request, error)
    return pages_of(request).message(request, 503, f"The store cannot answer: {error}")


async def on_surprise(request: Request, error: Exception) -> Response:
    """Says nothing of the cause: the log does."""
    if not is_for_people(request):
        return await errors.on_surprise(request, error)
    number = request.headers.get("x-request-id", "")
    words = f"The log of the console says why{f', at request {number}' if number else ''}. Calls of models are not affected."
    return pages_of(request).message(request, 500, words)

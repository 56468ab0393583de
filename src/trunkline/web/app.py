"""The console's ASGI app: management API, pages, static files, 404s. In: a `Console`. Out: a FastAPI app.

Pages make no request to anyone but this address, and a strict policy says so to the browser.
"""

from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trunkline import __version__
from trunkline.api.management import errors, generation, keys, providers, records, statistics
from trunkline.api.management.console import Console
from trunkline.errors import RequestError, StoreError
from trunkline.web import start
from trunkline.web.render import Pages

HERE = Path(__file__).parent
API_PATHS = ("/api/", "/v1/", "/v1beta/", "/anthropic/", "/healthz", "/readyz")
"""Under these a client program asks, whatever it says that it accepts."""

SECURITY_HEADERS = {
    # https://developer.mozilla.org/docs/Web/HTTP/Guides/CSP: nothing but our own style sheet, icon and forms; no script
    # at all.
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def make_app(console: Console) -> FastAPI:
    """Everything that the console process answers."""
    app = FastAPI(
        title="Trunkline management API",
        version=__version__,
        openapi_url="/api/v1/management/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.console = console
    app.state.pages = Pages(HERE / "templates")
    for part in (generation, keys, providers, records, statistics, start):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.add_exception_handler(RequestError, errors.on_request_error)
    app.add_exception_handler(RequestValidationError, errors.on_invalid)
    app.add_exception_handler(StoreError, errors.on_store_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, errors.on_surprise)
    app.add_middleware(SecureHeaders)
    return app


async def _on_http_error(request: Request, error: Exception) -> Response:
    """A page for people, JSON for programs."""
    assert isinstance(error, HTTPException)
    if request.url.path.startswith(API_PATHS) or "text/html" not in request.headers.get("accept", ""):
        return await errors.on_http_error(request, error)
    pages: Pages = request.app.state.pages
    return pages.message(request, error.status_code, str(error.detail))


class SecureHeaders:
    """Adds the headers above to every answer. Lives as long as the app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self._app(scope, receive, send_more)

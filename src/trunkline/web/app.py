"""The console's ASGI app: management API, pages, static files, 404s. In: a `Console`. Out: a FastAPI app.

Pages make no request to anyone but this address, and a strict policy says so to the browser.
"""

from pathlib import Path
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trunkline import __version__
from trunkline.api.management import (
    audit,
    budgets,
    credits,
    export,
    generation,
    keys,
    members,
    organisations,
    plans,
    projects,
    providers,
    records,
    statistics,
    stored_credentials,
)
from trunkline.api.management.console import Console
from trunkline.api.management.reference import describe
from trunkline.api.management.sessions import Doorkeeper
from trunkline.errors import RequestError, StoreError
from trunkline.web import (
    account,
    audit_page,
    budgets_page,
    chat,
    compare,
    cost,
    credentials,
    credits_page,
    failures,
    first_run,
    join,
    keys_page,
    log,
    logs,
    members_page,
    model,
    models,
    oidc,
    organisations_page,
    projects_page,
    provider,
    provider_keys,
    replay,
    routing,
    session_key,
    settings_page,
    sign_in,
    start,
    status,
    usage,
)
from trunkline.web import providers as provider_list
from trunkline.web.remembered import Remembered
from trunkline.web.render import Pages
from trunkline.web.session import Readers, SignInFirstError
from trunkline.web.uptime import Past
from trunkline.web.worked_out import Rated

HERE = Path(__file__).parent
SECURITY_HEADERS = {
    # https://developer.mozilla.org/docs/Web/HTTP/Guides/CSP: our own files and forms, and questions to this address alone; a picture
    # may be one that the reader has just chosen.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
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
    app.state.doorkeeper = Doorkeeper()
    app.state.past = Past()
    app.state.rated = Rated()
    app.state.remembered = Remembered()
    for part in (
        generation,
        keys,
        budgets,
        stored_credentials,
        providers,
        records,
        export,
        credits,
        plans,
        members,
        organisations,
        projects,
        audit,
        statistics,
        models,
        compare,
        provider_list,
        provider,
        status,
        start,
        sign_in,
        join,
        oidc,
        session_key,
        account,
        members_page,
        projects_page,
        organisations_page,
        audit_page,
        chat,
        credentials,
        provider_keys,
        first_run,
        routing,
        settings_page,
        usage,
        cost,
        credits_page,
        keys_page,
        budgets_page,
        logs,
        log,
        replay,
    ):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    # Last: its path is any of two parts and more.
    app.include_router(model.router)
    app.add_exception_handler(RequestError, failures.on_request_error)
    app.add_exception_handler(RequestValidationError, failures.on_invalid)
    app.add_exception_handler(StoreError, failures.on_store_error)
    app.add_exception_handler(HTTPException, failures.on_http_error)
    app.add_exception_handler(SignInFirstError, _on_nobody)
    app.add_exception_handler(Exception, _on_surprise)
    app.add_middleware(Readers)
    app.add_middleware(SecureHeaders)
    # FastAPI asks the app itself: https://fastapi.tiangolo.com/how-to/extending-openapi/
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app


async def _on_surprise(request: Request, error: Exception) -> Response:
    """The framework answers these outside of all middleware, so the headers are put on here."""
    answer = await failures.on_surprise(request, error)
    answer.headers.update(SECURITY_HEADERS)
    return answer


async def _on_nobody(request: Request, error: Exception) -> Response:
    """Off to signing in, and back afterwards; a part of a page that was asked for by htmx takes the whole page along."""
    del error
    if "hx-request" in request.headers:
        shown = quote(_page_shown(request), safe="")
        return Response(status_code=403, headers={"hx-redirect": f"/sign-in?next={shown}"})
    back = quote(_path_and_query(request.url.path, request.url.query), safe="")
    return RedirectResponse(f"/sign-in?next={back if request.method == 'GET' else ''}", 303)


def _page_shown(request: Request) -> str:
    """Path and query of the page whose part htmx asked for (https://htmx.org/reference/#request_headers): this site's, whatever host it says."""
    try:
        shown = urlsplit(request.headers.get("hx-current-url", ""))
    except ValueError:
        return ""
    return _path_and_query(shown.path, shown.query)


def _path_and_query(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


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

"""Who reads a page. In: a request's cookie. Out: a `Reader`, found once for each request; refusals for what a reader may not do.

The session itself is `api.management.sessions`'.
"""

import hmac
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from trunkline.accounts.roles import ALLOWED, Act
from trunkline.api.management.access import ConsoleOf, address_of, console_of
from trunkline.api.management.console import Console
from trunkline.api.management.sessions import HOLDS_MS, NOBODY, TRIES, Doorkeeper, Reader, reader_of_cookie
from trunkline.errors import StoreError

__all__ = ["HOLDS_MS", "NOBODY", "TRIES", "Reader"]

COOKIE = "trunkline_session_{port}"
"""Browsers keep cookies by host alone: gateways at other ports of it have their own (https://www.rfc-editor.org/rfc/rfc6265#section-8.5)."""
MAX_FORM_BYTES = 256 * 1024
MAX_FORM_FIELDS = 200
CLOSED = (
    "The pages of this gateway are not open to everyone. Sign in to see them; the API works as ever. Its operator opens them with "
    "[pages] public = true."
)
OPEN_PLACES = (("/models", "Models"), ("/providers", "Providers"), ("/status", "Status"))
PLATFORM_PLACES: tuple[tuple[str, str, Act], ...] = (
    ("/platform/chat", "Chat", "use"),
    ("/platform/logs", "Logs", "use"),
    ("/platform/usage", "Usage", "use"),
    ("/platform/cost", "Cost", "use"),
    ("/platform/credits", "Credits", "credits.see"),
    ("/platform/budgets", "Budgets", "budgets.see"),
    ("/platform/keys", "Keys", "keys"),
    ("/platform/providers", "Credentials", "credentials"),
    ("/platform/projects", "Projects", "projects.see"),
    ("/platform/members", "Members", "members"),
    ("/platform/audit", "Audit", "audit"),
    ("/platform/routing", "Routing", "installation"),
    ("/platform/settings", "Settings", "installation"),
)
"""Path, words, and what a reader must be able to do to be led there."""


class Readers:
    """Finds out who reads, before anything else of a request is looked at. Lives as long as the app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith("/static/"):
            await _find_reader(HTTPConnection(scope))
        await self._app(scope, receive, send)


async def _find_reader(request: HTTPConnection) -> None:
    console: Console = request.app.state.console
    cookie = request.cookies.get(cookie_name(console), "") if request.cookies else ""
    if not cookie:
        return
    try:
        request.state.reader = await reader_of_cookie(console, cookie, address_of(request))
    except StoreError as error:
        # The page of a fault of ours must stand, whatever is missing.
        request.state.fault = error


def doorkeeper_of(request: Request) -> Doorkeeper:
    """The process's."""
    doorkeeper = request.app.state.doorkeeper
    assert isinstance(doorkeeper, Doorkeeper)
    return doorkeeper


def reader_of(request: Request) -> Reader:
    """Who reads; nobody where no valid cookie came."""
    reader = getattr(request.state, "reader", NOBODY)
    assert isinstance(reader, Reader)
    return reader


def places_of(reader: Reader) -> tuple[tuple[str, str], ...]:
    """Path and words of what the head of a page leads to."""
    own = tuple((path, words) for path, words, act in PLATFORM_PLACES if reader.may(act))
    return OPEN_PLACES + own


def cookie_name(console: Console) -> str:
    """Of this gateway's sessions."""
    return COOKIE.format(port=console.settings.server.port)


async def open_page(request: Request, console: ConsoleOf) -> Reader:
    """The reader of a page that is open where `Settings.pages_public` says so; elsewhere whoever has signed in."""
    reader = reader_of(request)
    if reader.signed_in or console.settings.pages_public:
        return reader
    raise HTTPException(403, CLOSED)


class SignInFirstError(Exception):
    """A page of the platform was asked for by nobody known; the answer leads to signing in and back."""


async def platform_page(request: Request) -> Reader:
    """The reader of a page that needs signing in."""
    reader = reader_of(request)
    if not reader.signed_in:
        fault = getattr(request.state, "fault", None)
        raise fault if isinstance(fault, StoreError) else SignInFirstError
    return reader


def demand(reader: Reader, act: Act) -> None:
    """Raises 403 where the reader's role may not do it."""
    if not reader.may(act):
        words = ALLOWED[act].words
        raise HTTPException(403, f"Your role may not do this: {words[0].lower()}{words[1:]}. Ask an administrator.")


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form as browsers send it unless told otherwise (`application/x-www-form-urlencoded`); the last of a name counts."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM_BYTES:
            raise HTTPException(413, "The form is too large.")
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS))
    except ValueError:
        raise HTTPException(400, f"The form has more than {MAX_FORM_FIELDS} fields.") from None


FormFields = Annotated[dict[str, str], Depends(form_of)]


async def changing(request: Request, form: FormFields) -> Reader:
    """The reader who changes something: signed in, and from one of our own pages."""
    reader = await platform_page(request)
    token = form.get("csrf") or request.headers.get("x-csrf-token", "")
    if not hmac.compare_digest(token.encode(), reader.csrf.encode()):
        raise HTTPException(403, "This form is not from this session: load the page again, then repeat.")
    return reader


def set_cookie(response: Response, request: Request, value: str) -> None:
    """Not for scripts, not from other sites; over TLS alone where this address has it."""
    response.set_cookie(
        cookie_name(console_of(request)),
        value,
        max_age=HOLDS_MS // 1000,
        path="/",
        httponly=True,
        samesite="lax",
        secure=is_secure(request),
    )


def is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS with this address, as far as we are told."""
    return request.headers.get("x-forwarded-proto") == "https" or console_of(request).settings.address.startswith(
        "https:"
    )


OpenReader = Annotated[Reader, Depends(open_page)]
PlatformReader = Annotated[Reader, Depends(platform_page)]
ChangingReader = Annotated[Reader, Depends(changing)]

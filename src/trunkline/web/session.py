"""Who reads a page. In: a request's cookie, the master key at signing in. Out: a `Reader`; the cookie; refusals for what a reader may not do.

The cookie is signed and holds nothing but an id and an end: no store is asked. It ends with the master key that made it. A change needs the token that
stands in the page besides, so that another site's form does nothing (https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html).
"""

import base64
import hmac
from collections import OrderedDict, deque
from typing import Annotated
from urllib.parse import parse_qsl

import msgspec
from fastapi import Depends, Request, Response
from starlette.exceptions import HTTPException

from trunkline.api.management.access import ConsoleOf, console_of
from trunkline.api.management.console import Console

COOKIE = "trunkline_session_{port}"
"""Browsers keep cookies by host alone: gateways at other ports of it have their own (https://www.rfc-editor.org/rfc/rfc6265#section-8.5)."""
HOLDS_MS = 12 * 3_600_000
MAX_FORM_BYTES = 256 * 1024
MAX_FORM_FIELDS = 200
TRIES = 10
MAX_ADDRESSES = 1_000
TRIES_WITHIN_MS = 60_000
CLOSED = (
    "The pages of this gateway are not open to everyone. Sign in to see them; the API works as ever. Its operator opens them with "
    "[pages] public = true."
)
OPEN_PLACES = (("/models", "Models"), ("/providers", "Providers"), ("/status", "Status"))
PLATFORM_PLACES = (
    ("/platform/chat", "Chat"),
    ("/platform/logs", "Logs"),
    ("/platform/usage", "Usage"),
    ("/platform/cost", "Cost"),
    ("/platform/keys", "Keys"),
    ("/platform/providers", "Credentials"),
    ("/platform/routing", "Routing"),
    ("/platform/settings", "Settings"),
)


class _Session(msgspec.Struct, frozen=True, array_like=True):
    id: str
    expires_ms: int


class Reader(msgspec.Struct, frozen=True):
    """The person before the page. `csrf` goes back with every change."""

    signed_in: bool = False
    csrf: str = ""
    session_id: str = ""
    expires_ms: int = 0
    """When the session ends, in Unix time."""

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """Path and words of what the head of a page leads to."""
        return OPEN_PLACES + PLATFORM_PLACES if self.signed_in else OPEN_PLACES


NOBODY = Reader()
_decoder = msgspec.json.Decoder(_Session)


class Sessions:
    """Signed cookies, those that were signed out, and how often the key was wrong of late. Lives as long as the app."""

    def __init__(self) -> None:
        self._ended: dict[str, int] = {}
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        """Address -> when wrong keys came from it, the newest of so many addresses."""

    def sign_in(self, console: Console, master_key: str, address: str) -> str | None:
        """The cookie's value; None for a wrong key. Raises 429 where wrong keys came too often from the address."""
        now = console.now_ms()
        wrong = self._wrong.get(address)
        if wrong is not None and len(wrong) == TRIES and now - wrong[0] < TRIES_WITHIN_MS:
            raise HTTPException(429, "Too many wrong keys came from your address; wait a minute.")
        if not hmac.compare_digest(master_key.encode(), console.master_key.encode()):
            self._note_wrong(address, now)
            return None
        made = _Session(console.random_bytes(16).hex(), int(now) + HOLDS_MS)
        body = base64.urlsafe_b64encode(msgspec.json.encode(made)).decode()
        return f"{body}.{_sign(console, 'session', body)}"

    def _note_wrong(self, address: str, now_ms: float) -> None:
        self._wrong.setdefault(address, deque(maxlen=TRIES)).append(now_ms)
        self._wrong.move_to_end(address)
        while len(self._wrong) > MAX_ADDRESSES:
            self._wrong.popitem(last=False)

    def sign_out(self, reader: Reader, now_ms: float) -> None:
        """From now on this session's cookie holds nowhere."""
        self._ended = {id_: until for id_, until in self._ended.items() if until > now_ms}
        self._ended[reader.session_id] = int(now_ms) + HOLDS_MS

    def reader(self, console: Console, cookie: str) -> Reader:
        """Whose cookie it is."""
        body, _, signature = cookie.partition(".")
        if not body or not hmac.compare_digest(signature.encode(), _sign(console, "session", body).encode()):
            return NOBODY
        try:
            found = _decoder.decode(base64.urlsafe_b64decode(body))
        except (msgspec.MsgspecError, ValueError):
            return NOBODY
        if found.expires_ms <= console.now_ms() or found.id in self._ended:
            return NOBODY
        csrf = _sign(console, "csrf", found.id)
        return Reader(signed_in=True, csrf=csrf, session_id=found.id, expires_ms=found.expires_ms)


def _sign(console: Console, purpose: str, text: str) -> str:
    key = hmac.digest(console.pepper, console.master_key.encode(), "sha256")
    return hmac.digest(key, f"{purpose}:{text}".encode(), "sha256").hex()


def sessions_of(request: Request) -> Sessions:
    """The process's."""
    sessions = request.app.state.sessions
    assert isinstance(sessions, Sessions)
    return sessions


def reader_of(request: Request) -> Reader:
    """Who reads; nobody where no valid cookie came."""
    if not request.cookies:
        # The page of a fault of ours must stand, whatever is missing.
        return NOBODY
    console = console_of(request)
    cookie = request.cookies.get(cookie_name(console), "")
    return sessions_of(request).reader(console, cookie) if cookie else NOBODY


def cookie_name(console: Console) -> str:
    """Of this gateway's sessions."""
    return COOKIE.format(port=console.settings.server.port)


def open_page(request: Request, console: ConsoleOf) -> Reader:
    """The reader of a page that is open where `Settings.pages_public` says so; elsewhere whoever has signed in."""
    reader = reader_of(request)
    if reader.signed_in or console.settings.pages_public:
        return reader
    raise HTTPException(403, CLOSED)


class SignInFirstError(Exception):
    """A page of the platform was asked for by nobody known; the answer leads to signing in and back."""


def platform_page(request: Request) -> Reader:
    """The reader of a page that needs signing in."""
    reader = reader_of(request)
    if not reader.signed_in:
        raise SignInFirstError
    return reader


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


def changing(request: Request, form: FormFields) -> Reader:
    """The reader who changes something: signed in, and from one of our own pages."""
    reader = platform_page(request)
    token = form.get("csrf") or request.headers.get("x-csrf-token", "")
    if not hmac.compare_digest(token.encode(), reader.csrf.encode()):
        raise HTTPException(403, "This form is not from this session: load the page again, then repeat.")
    return reader


def set_cookie(response: Response, request: Request, value: str) -> None:
    """Not for scripts, not from other sites; over TLS alone where this address has it."""
    console = console_of(request)
    secure = request.headers.get("x-forwarded-proto") == "https" or console.settings.address.startswith("https:")
    response.set_cookie(
        cookie_name(console),
        value,
        max_age=HOLDS_MS // 1000,
        path="/",
        httponly=True,
        samesite="lax",
        secure=secure,
    )


OpenReader = Annotated[Reader, Depends(open_page)]
PlatformReader = Annotated[Reader, Depends(platform_page)]
ChangingReader = Annotated[Reader, Depends(changing)]

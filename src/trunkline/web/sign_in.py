"""`/sign-in` and `/sign-out`. In: the master key. Out: a session's cookie, and the page that was asked for."""

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from trunkline.api.management.access import ConsoleOf
from trunkline.web.render import pages_of
from trunkline.web.session import ChangingReader, FormFields, cookie_name, reader_of, sessions_of, set_cookie
from trunkline.web.session_key import end_session_key

HOME = "/platform/logs"
router = APIRouter(include_in_schema=False)


@router.api_route("/sign-in", methods=["GET", "HEAD"], response_class=Response)
async def sign_in(request: Request, next: str = HOME) -> Response:
    """The form."""
    if reader_of(request).signed_in:
        return RedirectResponse(_own(next), 303)
    return pages_of(request).page(request, "sign_in.html", {"next": _own(next), "wrong": False})


@router.post("/sign-in", response_class=Response)
async def signed_in(request: Request, console: ConsoleOf, form: FormFields) -> Response:
    """Compare the key, and go on."""
    where = _own(form.get("next", HOME))
    cookie = sessions_of(request).sign_in(console, form.get("key", "").strip(), _address(request))
    if cookie is None:
        return pages_of(request).page(request, "sign_in.html", {"next": where, "wrong": True}, 403)
    answer = RedirectResponse(where, 303)
    set_cookie(answer, request, cookie)
    return answer


@router.post("/sign-out", response_class=Response)
async def signed_out(request: Request, console: ConsoleOf, reader: ChangingReader) -> Response:
    """End the session, here and wherever its cookie was copied to."""
    await end_session_key(console, reader)
    sessions_of(request).sign_out(reader, console.now_ms())
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(cookie_name(console), path="/")
    return answer


def _address(request: Request) -> str:
    """Who asks, as the data plane tells it."""
    return request.headers.get("x-trunkline-peer", "")


def _own(path: str) -> str:
    """A path of this site, whatever was asked for: another site's address would make the form a bait."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_own and not path.startswith(("/sign-in", "/sign-out")) else HOME

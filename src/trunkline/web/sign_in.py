"""`/sign-in` and `/sign-out`. In: an address of mail and a password, or the master key. Out: a session's cookie, and the page that was asked for."""

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from trunkline.accounts.links import email_of
from trunkline.api.management.access import ConsoleOf, address_of
from trunkline.api.management.console import Console
from trunkline.storage.people import has_members, has_passwords
from trunkline.storage.sign_in import end_session
from trunkline.web.render import pages_of
from trunkline.web.session import ChangingReader, FormFields, cookie_name, doorkeeper_of, reader_of, set_cookie
from trunkline.web.session_key import end_session_keys

HOME = "/platform/logs"
WRONG_KEY = "This is not the master key."
WRONG_PASSWORD = "This address and this password do not belong together."  # noqa: S105 - words
router = APIRouter(include_in_schema=False)


@router.api_route("/sign-in", methods=["GET", "HEAD"], response_class=Response)
async def sign_in(request: Request, console: ConsoleOf, next: str = HOME) -> Response:
    """The form."""
    if reader_of(request).signed_in:
        return RedirectResponse(own_path(next), 303)
    return await sign_in_page(request, console, own_path(next))


@router.post("/sign-in", response_class=Response)
async def signed_in(request: Request, console: ConsoleOf, form: FormFields) -> Response:
    """Compare what was typed, and go on."""
    where = own_path(form.get("next", HOME))
    doorkeeper, address = doorkeeper_of(request), address_of(request)
    if "email" in form:
        email = email_of(form["email"]) or ""
        cookie = await doorkeeper.with_password(console, email, form.get("password", ""), address)
        if cookie is None:
            return await sign_in_page(request, console, where, wrong_password=WRONG_PASSWORD, email=form["email"][:254])
    else:
        cookie = await doorkeeper.with_master_key(console, form.get("key", "").strip(), address)
        if cookie is None:
            return await sign_in_page(request, console, where, wrong_key=WRONG_KEY)
    return let_in(request, cookie, where)


@router.post("/sign-out", response_class=Response)
async def signed_out(console: ConsoleOf, reader: ChangingReader) -> Response:
    """End the session, here and wherever its cookie was copied to."""
    # The session first: a page that asks for a key meanwhile gets none.
    await end_session(console.store, reader.session_id, reader.actor, int(console.now_ms()))
    await end_session_keys(console, [reader.session_id])
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(cookie_name(console), path="/")
    return answer


async def sign_in_page(
    request: Request,
    console: Console,
    where: str,
    *,
    wrong_key: str = "",
    wrong_password: str = "",
    wrong_account: str = "",
    email: str = "",
) -> Response:
    """The ways in that there are here, and what was wrong with the last try."""
    view = {
        "next": where,
        "has_members": await has_members(console.store),
        "has_passwords": await has_passwords(console.store),
        "oidc": console.settings.auth.oidc,
        "wrong_key": wrong_key,
        "wrong_password": wrong_password,
        "wrong_account": wrong_account,
        "email": email,
    }
    status = 403 if wrong_key or wrong_password or wrong_account else 200
    return pages_of(request).page(request, "sign_in.html", view, status)


def let_in(request: Request, cookie: str, where: str) -> Response:
    """On to the page, with the session's cookie."""
    answer = RedirectResponse(where, 303)
    set_cookie(answer, request, cookie)
    return answer


def own_path(path: str) -> str:
    """A path of this site, whatever was asked for: another site's address would make the form a bait."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_own and not path.startswith(("/sign-in", "/sign-out")) else HOME

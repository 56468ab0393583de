"""`/sign-in/oidc`: off to the provider of accounts and back. In: `[auth.oidc]`; a code. Out: a session of a member, who may have joined with it.

What the browser keeps meanwhile is signed: the state, so that nobody is signed in as somebody else by a link, the nonce and the verifier of the code.
"""

import base64
import hmac
import secrets

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from trunkline.accounts.types import Actor, Member
from trunkline.api.management.access import ConsoleOf, address_of
from trunkline.api.management.console import Console
from trunkline.api.management.oidc import Account, OidcClient, OidcError, Started, may_join
from trunkline.api.management.sessions import actor_of, new_session
from trunkline.errors import Conflict
from trunkline.execution.transport.client import HttpTransport
from trunkline.execution.transport.options import TransportOptions
from trunkline.sections import OidcSettings
from trunkline.storage import people
from trunkline.storage import sign_in as kept
from trunkline.web.session import cookie_name, doorkeeper_of, is_secure
from trunkline.web.sign_in import HOME, let_in, own_path, sign_in_page

PATH = "/sign-in/oidc"
CALLBACK = f"{PATH}/callback"
WITHIN_S = 600

router = APIRouter(include_in_schema=False)


@router.get(PATH, response_class=Response)
async def leave(request: Request, console: ConsoleOf, next: str = HOME) -> Response:
    """Off to the issuer."""
    settings = _settings(console)
    started = Started(
        state=secrets.token_urlsafe(24),
        nonce=secrets.token_urlsafe(24),
        verifier=secrets.token_urlsafe(48),
        next=own_path(next),
        expires_ms=int(console.now_ms()) + WITHIN_S * 1000,
    )
    try:
        url = await _client(request, console).authorization_url(settings, _redirect_uri(console), started)
    except OidcError as error:
        return await sign_in_page(request, console, started.next, wrong_account=str(error))
    answer = RedirectResponse(url, 303)
    answer.set_cookie(
        _cookie(console), _sealed(console, started), max_age=WITHIN_S, path=PATH, httponly=True, samesite="lax",
        secure=is_secure(request),
    )  # fmt: skip
    return answer


@router.get(CALLBACK, response_class=Response)
async def come_back(
    request: Request, console: ConsoleOf, code: str = "", state: str = "", error: str = "", iss: str = ""
) -> Response:
    """Back from the issuer."""
    settings, address = _settings(console), address_of(request)
    await doorkeeper_of(request).demand_tries_left(console, address)
    started = _opened(console, request.cookies.get(_cookie(console), ""))
    where = started.next if started else HOME
    try:
        account = await _account(
            request, console, settings, started, {"code": code, "state": state, "error": error, "iss": iss}
        )
        member = await _member(console, settings, account, address)
    except OidcError as refusal:
        await doorkeeper_of(request).note_wrong(console, address)
        answer = await sign_in_page(request, console, where, wrong_account=str(refusal))
    else:
        cookie = await new_session(console, actor_of(member, address), member, "oidc")
        answer = let_in(request, cookie, where)
    answer.delete_cookie(_cookie(console), path=PATH)
    return answer


async def _account(
    request: Request, console: Console, settings: OidcSettings, started: Started | None, said: dict[str, str]
) -> Account:
    if started is None or not hmac.compare_digest(started.state.encode(), said["state"].encode("utf-8", "replace")):
        raise OidcError("This signing in was not begun in this browser, or too long ago. Begin again.")
    # https://www.rfc-editor.org/rfc/rfc9207#section-2.4
    if said["iss"] and said["iss"] != settings.issuer:
        raise OidcError("The answer came from another issuer. Begin again.")
    if said["error"] or not said["code"]:
        raise OidcError(f"The issuer did not let you in ({said['error'][:60] or 'no code'}).")
    return await _client(request, console).account(settings, _redirect_uri(console), started, said["code"])


async def _member(console: Console, settings: OidcSettings, account: Account, address: str) -> Member:
    """The member with this account; else the one with its address, who has it from now on; else a new one, where that may be."""
    known = await kept.member_of_account(console.store, account.issuer, account.subject)
    if known is None and account.email:
        known = await _bound(console, account, address)
    if known is None and may_join(settings, account.email):
        known = await _joined(console, settings, account, address)
    if known is None:
        words = (
            "Ask an administrator for an invitation."
            if account.email
            else "Its issuer does not say that the address of mail is verified."
        )
        raise OidcError(f"This account is no member's. {words}")
    if known.disabled_ms is not None:
        raise OidcError("You are disabled here. Ask an administrator.")
    return known


async def _bound(console: Console, account: Account, address: str) -> Member | None:
    found = await people.member_of_email(console.store, account.email)
    if found is None:
        return None
    member = found[0]
    if member.disabled_ms is not None:
        return member
    actor: Actor = actor_of(member, address)
    try:
        await kept.bind_account(
            console.store, member.id, account.issuer, account.subject, account.name, actor, int(console.now_ms())
        )
    except Conflict:
        raise OidcError("The member with this address signs in with another account.") from None
    return msgspec.structs.replace(member, issuer=account.issuer, subject=account.subject)


async def _joined(console: Console, settings: OidcSettings, account: Account, address: str) -> Member:
    if await people.organisation(console.store, settings.organisation) is None:
        raise OidcError(f"There is no organisation {settings.organisation}: correct [auth.oidc] organisation.")
    new = Member(
        id=f"mem_{console.random_bytes(10).hex()}",
        org_id=settings.organisation,
        email=account.email,
        name=account.name,
        role="admin" if account.email in settings.admin_emails else "member",
        created_ms=int(console.now_ms()),
        issuer=account.issuer,
        subject=account.subject,
    )
    try:
        await kept.join_by_account(console.store, new, actor_of(new, address))
    except Conflict as error:
        raise OidcError(f"This did not come about: {error.message}. Sign in again.") from None
    return new


def _client(request: Request, console: Console) -> OidcClient:
    """Made at the first need, and kept as long as the app."""
    client = getattr(request.app.state, "oidc", None)
    if not isinstance(client, OidcClient):
        env = console.settings.env
        options = TransportOptions(proxies=env, ca_file=env.get("SSL_CERT_FILE", ""))
        client = request.app.state.oidc = OidcClient(HttpTransport(options), lambda: console.now_ms() / 1000)
    return client


def _settings(console: Console) -> OidcSettings:
    settings = console.settings.auth.oidc
    if settings is None:
        raise HTTPException(404, "No other accounts are known here: [auth.oidc] names their issuer.")
    return settings


def _redirect_uri(console: Console) -> str:
    return f"{console.settings.address}{CALLBACK}"


def _cookie(console: Console) -> str:
    return f"{cookie_name(console)}_oidc"


def _sealed(console: Console, started: Started) -> str:
    body = base64.urlsafe_b64encode(msgspec.json.encode(started)).decode()
    return f"{body}.{_sign(console, body)}"


def _opened(console: Console, cookie: str) -> Started | None:
    body, _, signature = cookie.partition(".")
    if not hmac.compare_digest(signature.encode("utf-8", "replace"), _sign(console, body).encode()):
        return None
    try:
        started = msgspec.json.decode(base64.urlsafe_b64decode(body), type=Started)
    except (msgspec.MsgspecError, ValueError):
        return None
    return started if started.expires_ms > console.now_ms() else None


def _sign(console: Console, text: str) -> str:
    return hmac.digest(console.pepper, f"oidc:{text}".encode("utf-8", "replace"), "sha256").hex()

"""`/platform/account`: the reader's own name, password and sessions. In: a member who has signed in. Out: pages."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from trunkline.accounts.passwords import LEAST_CHARS, MOST_CHARS, fault_of
from trunkline.accounts.types import Member
from trunkline.api.management.access import ConsoleOf, address_of
from trunkline.api.management.console import Console
from trunkline.api.management.members import MOST_NAME_CHARS
from trunkline.storage import people, sign_in
from trunkline.web.render import pages_of
from trunkline.web.session import ChangingReader, FormFields, PlatformReader, Reader, doorkeeper_of

PATH = "/platform/account"
TOLD = {
    "name": "Your name is changed.",
    "password": "Your password is changed. Every other session of yours has ended.",
    "sessions": "Every other session of yours has ended.",
}

router = APIRouter(include_in_schema=False)


@router.api_route(PATH, methods=["GET", "HEAD"], response_class=Response)
async def account(request: Request, console: ConsoleOf, reader: PlatformReader, told: str = "") -> Response:
    """The page."""
    return await _page(request, console, reader, told=TOLD.get(told, ""))


@router.post(f"{PATH}/name", response_class=Response)
async def rename(request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields) -> Response:
    """Another name."""
    member, name = await _member(console, reader), form.get("name", "").strip()
    if not 1 <= len(name) <= MOST_NAME_CHARS:
        return await _page(request, console, reader, faults=[f"A name has 1 to {MOST_NAME_CHARS} characters."])
    await people.change_member(console.store, member.id, {"name": name}, reader.actor, int(console.now_ms()))
    return RedirectResponse(f"{PATH}?told=name", 303)


@router.post(f"{PATH}/password", response_class=Response)
async def change_password(request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields) -> Response:
    """Another password, for whoever knows the old one. Every other session ends."""
    member = await _member(console, reader)
    typed = form.get("password", "")
    faults = [fault_of(typed)] if fault_of(typed) else []
    if typed != form.get("again", typed):
        faults.append("The two passwords are not the same.")
    doorkeeper, old = doorkeeper_of(request), await people.password_of(console.store, member.id)
    if not old:
        raise HTTPException(
            409, "You sign in with another account. An administrator can make you a link for a password."
        )
    if not faults and not await doorkeeper.shows(old, form.get("old", ""), member, address_of(request), console):
        faults.append("This is not your password as it was.")
    if faults:
        return await _page(request, console, reader, faults=faults)
    hashed = await doorkeeper.hashed(typed)
    now_ms = int(console.now_ms())
    await sign_in.change_password(console.store, member, hashed, reader.actor, now_ms, but=reader.session_id)
    return RedirectResponse(f"{PATH}?told=password", 303)


@router.post(f"{PATH}/sign-out-others", response_class=Response)
async def sign_out_others(console: ConsoleOf, reader: ChangingReader) -> Response:
    """End every session but this one."""
    member_id = _member_id(reader)
    await sign_in.end_other_sessions(console.store, member_id, reader.session_id, reader.actor, int(console.now_ms()))
    return RedirectResponse(f"{PATH}?told=sessions", 303)


async def _page(
    request: Request, console: Console, reader: Reader, *, told: str = "", faults: list[str] | None = None
) -> Response:
    open_ = await sign_in.open_sessions(console.store, _member_id(reader), console.now_ms())
    member = await people.member(console.store, reader.actor.id) if reader.actor.kind == "member" else None
    organisation = await people.organisation(console.store, reader.actor.org_id)
    view: dict[str, Any] = {
        "member": member,
        "organisation": organisation,
        "sessions": [(one, one.hash == reader.session_id) for one in open_],
        "told": told,
        "faults": faults or [],
        "least": LEAST_CHARS,
        "most": MOST_CHARS,
        "most_name": MOST_NAME_CHARS,
    }
    return pages_of(request).page(request, "account.html", view, 400 if faults else 200)


async def _member(console: Console, reader: Reader) -> Member:
    found = await people.member(console.store, reader.actor.id) if reader.actor.kind == "member" else None
    if found is None:
        raise HTTPException(
            409, "You have signed in with the master key, which has no name and no password of its own."
        )
    return found


def _member_id(reader: Reader) -> str:
    """As sessions have it: empty for those of the master key."""
    return reader.actor.id if reader.actor.kind == "member" else ""

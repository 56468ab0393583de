"""`/platform/members`: who is in the organisation; invite, change, disable. In: an administrator. Out: pages; a link on the one that follows its making.

The rules are those of the API (`api.management.members`): this is a face for them.
"""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from trunkline.accounts.links import HOLDS_MS
from trunkline.accounts.types import Member
from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.members import Invitation, invite_member, link_for, member_of
from trunkline.errors import Conflict
from trunkline.storage import people
from trunkline.storage.people import MemberQuery, state_of
from trunkline.web.render import pages_of
from trunkline.web.session import ChangingReader, FormFields, PlatformReader, Reader, demand
from trunkline.web.use_page import logs_of_key

PATH = "/platform/members"
ROWS = 100
ROLES = (("member", "Member"), ("admin", "Administrator"))
TOLD = {
    "changed": "is changed",
    "disabled": "is disabled: their keys and sessions have ended",
    "enabled": "may sign in again",
}

router = APIRouter(include_in_schema=False)


@router.api_route(PATH, methods=["GET", "HEAD"], response_class=Response)
async def members_page(
    request: Request,
    console: ConsoleOf,
    reader: PlatformReader,
    text: str = "",
    after: str = "",
    told: str = "",
    who: str = "",
) -> Response:
    """Newest first."""
    demand(reader, "members")
    return await _page(request, console, reader, text=text[:100], after=after[:100], told=told, who=who[:100])


@router.post(PATH, response_class=Response)
async def invite(request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields) -> Response:
    """Invite somebody, and show the link."""
    demand(reader, "members")
    try:
        wanted = Invitation(
            email=form.get("email", ""), name=form.get("name", "").strip(), role=form.get("role", "member")
        )
        member, link, expires_ms = await invite_member(console, reader.actor, wanted, reader.actor.org_id)
    except ValidationError as error:
        faults = [
            f"{str(fault['loc'][0]).capitalize()}: {fault['msg'].removeprefix('Value error, ')}."
            for fault in error.errors()
        ]
        return await _page(request, console, reader, faults=faults, filled=form)
    except Conflict as error:
        return await _page(
            request, console, reader, faults=[f"{error.message[0].upper()}{error.message[1:]}."], filled=form
        )
    return _link_page(request, member, link, expires_ms, joining=True)


@router.api_route(f"{PATH}/{{member_id}}", methods=["GET", "HEAD"], response_class=Response)
async def member_page(request: Request, console: ConsoleOf, reader: PlatformReader, member_id: str) -> Response:
    """One member, and what can be done."""
    demand(reader, "members")
    return await _member_page(request, console, reader, member_id)


@router.post(f"{PATH}/{{member_id}}", response_class=Response)
async def change(
    request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields, member_id: str
) -> Response:
    """Another name or role."""
    demand(reader, "members")
    await member_of(console, reader.actor, member_id)
    role, name = form.get("role", ""), form.get("name", "").strip()
    if role not in dict(ROLES) or not 1 <= len(name) <= 100:
        raise HTTPException(400, "A member has a name of 1 to 100 characters and a role.")
    try:
        await people.change_member(
            console.store, member_id, {"name": name, "role": role}, reader.actor, int(console.now_ms())
        )
    except Conflict as error:
        return await _member_page(request, console, reader, member_id, fault=error.message)
    return RedirectResponse(f"{PATH}?told=changed&who={member_id}", 303)


@router.post(f"{PATH}/{{member_id}}/disable", response_class=Response)
async def disable(request: Request, console: ConsoleOf, reader: ChangingReader, member_id: str) -> Response:
    """End their keys and sessions."""
    demand(reader, "members")
    await member_of(console, reader.actor, member_id)
    try:
        await people.disable_member(console.store, member_id, reader.actor, int(console.now_ms()))
    except Conflict as error:
        return await _member_page(request, console, reader, member_id, fault=error.message)
    return RedirectResponse(f"{PATH}?told=disabled&who={member_id}", 303)


@router.post(f"{PATH}/{{member_id}}/enable", response_class=Response)
async def enable(console: ConsoleOf, reader: ChangingReader, member_id: str) -> Response:
    """Let them in again."""
    demand(reader, "members")
    await member_of(console, reader.actor, member_id)
    await people.enable_member(console.store, member_id, reader.actor, int(console.now_ms()))
    return RedirectResponse(f"{PATH}?told=enabled&who={member_id}", 303)


@router.post(f"{PATH}/{{member_id}}/link", response_class=Response)
async def link(request: Request, console: ConsoleOf, reader: ChangingReader, member_id: str) -> Response:
    """A link to join with, or to a new password; shown this once."""
    demand(reader, "members")
    member = await member_of(console, reader.actor, member_id)
    made, expires_ms = await link_for(console, reader.actor, member, "password")
    return _link_page(request, member, made, expires_ms, joining=state_of(member) == "invited")


async def _page(
    request: Request,
    console: Console,
    reader: Reader,
    *,
    text: str = "",
    after: str = "",
    told: str = "",
    who: str = "",
    faults: list[str] | None = None,
    filled: dict[str, str] | None = None,
) -> Response:
    query = MemberQuery(reader.actor.org_id, text=text.strip(), after=after, limit=ROWS + 1)
    found = await people.find_members(console.store, query)
    changed = await people.member(console.store, who) if told in TOLD and who else None
    if changed is not None and changed.org_id != reader.actor.org_id:
        changed = None
    view: dict[str, Any] = {
        "members": [(one, state_of(one)) for one in found[:ROWS]],
        "next": found[ROWS - 1].id if len(found) > ROWS else "",
        "is_first": not after,
        "text": text,
        "roles": ROLES,
        "told": f"{changed.name or changed.email} {TOLD[told]}." if changed else "",
        "faults": faults or [],
        "filled": filled or {},
        "days": HOLDS_MS["join"] // 86_400_000,
    }
    return pages_of(request).page(request, "members.html", view, 400 if faults else 200)


async def _member_page(
    request: Request, console: Console, reader: Reader, member_id: str, *, fault: str = ""
) -> Response:
    member = await member_of(console, reader.actor, member_id)
    keys = [key for key in await console.store.list_keys() if key.member_id == member.id]
    view = {
        "member": member,
        "state": state_of(member),
        "roles": ROLES,
        "fault": fault,
        "keys": [(key, logs_of_key(key.id)) for key in keys if key.revoked_ms is None][:50],
        "is_self": member.id == reader.actor.id,
    }
    return pages_of(request).page(request, "member.html", view, 409 if fault else 200)


def _link_page(request: Request, member: Member, link: str, expires_ms: int, *, joining: bool) -> Response:
    view = {"member": member, "link": link, "expires_ms": expires_ms, "joining": joining}
    return pages_of(request).page(request, "member_link.html", view)

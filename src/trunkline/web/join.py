"""`/sign-in/first`, `/sign-in/join`, `/sign-in/password`: what links that work once lead to. In: a token; a name, a password. Out: a member who has signed in.

A token is looked at when the page is shown and used up when its form is sent: programs that open links in mails use nothing up.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from trunkline.accounts.links import PATHS, LinkKind, email_of, link_hash
from trunkline.accounts.passwords import LEAST_CHARS, MOST_CHARS, fault_of
from trunkline.accounts.types import DEFAULT_ORGANISATION, Member
from trunkline.api.management.access import ConsoleOf, address_of
from trunkline.api.management.console import Console
from trunkline.api.management.members import MOST_NAME_CHARS
from trunkline.api.management.sessions import actor_of, new_session
from trunkline.storage import sign_in as kept
from trunkline.web.render import pages_of
from trunkline.web.session import FormFields, doorkeeper_of
from trunkline.web.sign_in import HOME, let_in

GONE = "This link holds no more: it was used, is too old, or another one was made since. Ask an administrator for a new one."
TITLES: Mapping[LinkKind, str] = {"first": "The first administrator", "join": "Join", "password": "A new password"}

router = APIRouter(include_in_schema=False)


class Joining(msgspec.Struct, frozen=True):
    """A link that holds, and what was typed so far. `member` is None for the first administrator's."""

    kind: LinkKind
    token: str
    hash: str
    member: Member | None
    email: str = ""
    name: str = ""


@router.api_route(PATHS["first"], methods=["GET", "HEAD"], response_class=Response)
async def first(request: Request, console: ConsoleOf, token: str = "") -> Response:
    """Who the first administrator is."""
    return _form(request, await _joining(request, console, "first", token))


@router.api_route(PATHS["join"], methods=["GET", "HEAD"], response_class=Response)
async def join(request: Request, console: ConsoleOf, token: str = "") -> Response:
    """Who was invited."""
    return _form(request, await _joining(request, console, "join", token))


@router.api_route(PATHS["password"], methods=["GET", "HEAD"], response_class=Response)
async def password(request: Request, console: ConsoleOf, token: str = "") -> Response:
    """Whose password it is."""
    return _form(request, await _joining(request, console, "password", token))


@router.post(PATHS["first"], response_class=Response)
async def first_joins(request: Request, console: ConsoleOf, form: FormFields) -> Response:
    """The gateway has its first administrator."""
    return await _used(request, console, "first", form)


@router.post(PATHS["join"], response_class=Response)
async def joins(request: Request, console: ConsoleOf, form: FormFields) -> Response:
    """The organisation has one more member."""
    return await _used(request, console, "join", form)


@router.post(PATHS["password"], response_class=Response)
async def password_set(request: Request, console: ConsoleOf, form: FormFields) -> Response:
    """The new password holds; every session that there was has ended."""
    return await _used(request, console, "password", form)


async def _used(request: Request, console: Console, kind: LinkKind, form: dict[str, str]) -> Response:
    asked = await _joining(request, console, kind, form.get("token", ""))
    asked = msgspec.structs.replace(asked, email=form.get("email", ""), name=form.get("name", "").strip())
    faults = _faults(asked, form)
    if faults:
        return _form(request, asked, faults)
    hashed = await doorkeeper_of(request).hashed(form["password"])
    member = await _keep(console, asked, hashed, address_of(request))
    if member is None:
        raise HTTPException(403, GONE)
    cookie = await new_session(console, actor_of(member, address_of(request)), member, "link")
    return let_in(request, cookie, HOME)


async def _keep(console: Console, asked: Joining, hashed: str, address: str) -> Member | None:
    now_ms = int(console.now_ms())
    if asked.member is None:
        id_ = f"mem_{console.random_bytes(10).hex()}"
        email = email_of(asked.email) or ""
        new = Member(id_, DEFAULT_ORGANISATION, email, asked.name, "admin", now_ms)
        return await kept.make_first_admin(console.store, asked.hash, new, hashed, actor_of(new, address))
    actor = actor_of(asked.member, address)
    if asked.kind == "join":
        return await kept.join(console.store, asked.hash, asked.name, hashed, actor, now_ms)
    return await kept.use_password_link(console.store, asked.hash, hashed, actor, now_ms)


async def _joining(request: Request, console: Console, kind: LinkKind, token: str) -> Joining:
    """Raises 403 for a link that does not hold, and 429 where there were too many of them."""
    doorkeeper, address = doorkeeper_of(request), address_of(request)
    await doorkeeper.demand_tries_left(console, address)
    hashed = link_hash(console.pepper, token[:200])
    found = await kept.find_link(console.store, hashed, console.now_ms())
    if found is None or found[0].kind != kind:
        await doorkeeper.note_wrong(console, address)
        raise HTTPException(403, GONE)
    return Joining(kind, token, hashed, found[1], name=found[1].name if found[1] else "")


def _faults(asked: Joining, form: Mapping[str, str]) -> list[str]:
    typed = form.get("password", "")
    found = [fault_of(typed)]
    if typed != form.get("again", typed):
        found.append("The two passwords are not the same.")
    if asked.kind != "password" and not 1 <= len(asked.name) <= MOST_NAME_CHARS:
        found.append(f"A name has 1 to {MOST_NAME_CHARS} characters.")
    if asked.kind == "first" and email_of(asked.email) is None:
        found.append("An e-mail address looks like alice@example.com.")
    return [fault for fault in found if fault]


def _form(request: Request, asked: Joining, faults: list[str] | None = None) -> Response:
    view: dict[str, Any] = {
        "asked": asked,
        "action": PATHS[asked.kind],
        "heading": TITLES[asked.kind],
        "faults": faults or [],
        "least": LEAST_CHARS,
        "most": MOST_CHARS,
        "most_name": MOST_NAME_CHARS,
    }
    return pages_of(request).page(request, "join.html", view, 400 if faults else 200)

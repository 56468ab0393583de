"""`/platform/credentials`: keys of providers that the store keeps, added, replaced and revoked. In: a signed-in reader. Out: pages, never a key.

The rules are those of the API (`api.management.stored_credentials`); the list stands on `/platform/providers`.
"""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from trunkline.accounts.roles import reach
from trunkline.accounts.types import StoredCredential
from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.stored_credentials import (
    NewCredential,
    NewSecret,
    keep,
    missing,
    renew,
    revoke,
    seen,
    seen_one,
)
from trunkline.errors import RequestError
from trunkline.storage.people import MemberQuery, find_members
from trunkline.web.key_form import MOST_CHOICES, read_form
from trunkline.web.render import pages_of
from trunkline.web.session import ChangingReader, FormFields, PlatformReader, Reader

PATH = "/platform/credentials"
PLACE = "/platform/providers"

router = APIRouter(include_in_schema=False)


class StoredRow(msgspec.Struct, frozen=True):
    """A kept key as the list shows it."""

    credential: StoredCredential
    provider: str
    """Its name for people."""
    whose: str
    missing: str


async def stored_view(console: Console, reader: Reader) -> dict[str, Any]:
    """What `parts/stored_credentials.html` shows."""
    found = [one for one in await seen(console, reader.actor) if one.revoked_ms is None]
    members = await _members(console, reader)
    named = console.catalog.providers
    rows = [
        StoredRow(
            one,
            named[one.provider].name if one.provider in named else one.provider,
            ("your own" if one.member_id == reader.actor.id else members.get(one.member_id, one.member_id))
            if one.member_id
            else "the organisation",
            "" if one.member_id else missing(console, one.provider),
        )
        for one in found
    ]
    choices = sorted(
        ((slug, one.name) for slug, one in named.items() if not one.profile), key=lambda one: one[1].lower()
    )
    return {
        "stored": rows,
        "stored_choices": choices,
        "shares": reach(reader.actor, "credentials") != "own",
        "is_member": reader.actor.kind == "member",
        "unusable": console.unusable if reader.may("installation") else [],
    }


@router.post(PATH, response_class=Response)
async def add(request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields) -> Response:
    """Keep one."""
    own = form.get("whose") == "own" and reader.actor.kind == "member"
    fields = {
        "provider": form.get("provider", ""),
        "name": form.get("name", "").strip(),
        "secret": form.get("secret", "").strip(),
        "member_id": reader.actor.id if own else "",
    }
    wanted, faults = read_form(NewCredential, fields)
    if wanted is not None:
        try:
            kept = await keep(console, reader.actor, wanted)
            return RedirectResponse(f"{PLACE}?kept={kept.id}#stored", 303)
        except RequestError as error:
            faults = [error.message]
    # Of what was typed all but the key comes back.
    filled = {name: value for name, value in form.items() if name != "secret"}
    view = await stored_view(console, reader) | {"faults": faults, "filled": filled}
    return pages_of(request).page(request, "credential_new.html", view, 400)


@router.api_route(f"{PATH}/{{credential_id}}", methods=["GET", "HEAD"], response_class=Response)
async def show(request: Request, console: ConsoleOf, reader: PlatformReader, credential_id: str) -> Response:
    """To replace or revoke it."""
    found = await seen_one(console, reader.actor, credential_id)
    return pages_of(request).page(request, "credential.html", {"one": found, "faults": []})


@router.post(f"{PATH}/{{credential_id}}/rotate", response_class=Response)
async def rotate(
    request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields, credential_id: str
) -> Response:
    """Another key in its place."""
    found = await seen_one(console, reader.actor, credential_id)
    wanted, faults = read_form(NewSecret, {"secret": form.get("secret", "").strip()})
    if wanted is not None:
        try:
            await renew(console, reader.actor, credential_id, wanted)
            return RedirectResponse(f"{PLACE}?replaced={credential_id}#stored", 303)
        except RequestError as error:
            faults = [error.message]
    return pages_of(request).page(request, "credential.html", {"one": found, "faults": faults}, 400)


@router.post(f"{PATH}/{{credential_id}}/revoke", response_class=Response)
async def revoke_it(console: ConsoleOf, reader: ChangingReader, credential_id: str) -> Response:
    """End it."""
    await revoke(console, reader.actor, credential_id)
    return RedirectResponse(f"{PLACE}?revoked={credential_id}#stored", 303)


async def _members(console: Console, reader: Reader) -> dict[str, str]:
    if not reader.may("members"):
        return {}
    query = MemberQuery(org_id=reader.actor.org_id, limit=MOST_CHOICES)
    return {one.id: one.name or one.email for one in await find_members(console.store, query)}

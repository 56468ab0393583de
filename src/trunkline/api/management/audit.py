"""`/api/v1/management/audit`: who did what, newest first. In: filters, a place. Out: `{"success": true, "data": [...], "next": ...}`."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from trunkline.accounts.roles import organisation_of, reach
from trunkline.accounts.types import Actor, AuditEntry
from trunkline.api.management.access import ConsoleOf, allowed
from trunkline.api.management.members import Limit, OrganisationId
from trunkline.errors import InvalidParams
from trunkline.storage.audit import AuditQuery, acts

Looker = Annotated[Actor, Depends(allowed("audit"))]
Word = Annotated[str, Query(max_length=100)]
Time = Annotated[str, Query(max_length=40, description="ISO 8601; UTC where it says nothing else.")]


class ActCard(BaseModel):
    """One act. `actor` is the id of a member or a key, or `master`: never a name."""

    number: int
    at: str
    organisation: str
    actor_kind: str
    actor: str
    address: str
    action: str
    target: str
    detail: dict[str, str | int | float | bool | None]


class ActList(BaseModel):
    """`next` is the `after` of the following page, null on the last."""

    success: Literal[True] = True
    data: list[ActCard]
    next: int | None


router = APIRouter(prefix="/api/v1/management/audit")


@router.get("")
async def list_acts(
    looker: Looker,
    console: ConsoleOf,
    organisation: OrganisationId = None,
    actor: Word = "",
    action: Word = "",
    target: Word = "",
    since: Time = "",
    until: Time = "",
    after: Annotated[int | None, Query(ge=0, le=2**62)] = None,
    limit: Limit = 50,
) -> ActList:
    """Newest first; with the master key over all organisations, unless one is named. `action=key` finds `key.create` and the like."""
    everything = reach(looker, "audit") == "everything"
    org_id = "" if everything and not organisation else organisation_of(looker, organisation)
    since_ms, until_ms = unix_ms(since, "since"), unix_ms(until, "until")
    query = AuditQuery(org_id, actor, action, target, since_ms, until_ms, after, limit + 1)
    found = await acts(console.store, query)
    page = found[:limit]
    return ActList(data=[card(one) for one in page], next=page[-1].number if len(found) > limit else None)


def card(one: AuditEntry) -> ActCard:
    return ActCard(
        number=one.number,
        at=datetime.fromtimestamp(one.at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        organisation=one.org_id,
        actor_kind=one.actor_kind,
        actor=one.actor_id,
        address=one.address,
        action=one.action,
        target=one.target,
        detail=one.detail,
    )


def unix_ms(text: str, name: str) -> int | None:
    """Of an ISO 8601 date or time; None for an empty text. Raises InvalidParams."""
    if not text.strip():
        return None
    try:
        at = datetime.fromisoformat(text.strip().replace(" ", "+"))
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidParams(
            f"{name} is a date or a time such as 2026-11-24 or 2026-11-24T15:30Z, not {text[:40]!r}", param=name
        ) from None

"""`/api/v1/management/members`: who is in an organisation. In: an administrator's calls. Out: `{"success": true, "data": ...}`.

An invitation and a new password are links, shown once to the administrator who asked, to be passed on; the gateway sends no mail.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field, field_validator

from trunkline.accounts.links import MOST_EMAIL_CHARS, LinkKind, email_of, new_link
from trunkline.accounts.roles import covers, organisation_of
from trunkline.accounts.types import Actor, Member, Role
from trunkline.api.management.access import ConsoleOf, allowed
from trunkline.api.management.console import Console
from trunkline.errors import Conflict, NotFound
from trunkline.storage import people
from trunkline.storage.people import MemberQuery, State, state_of
from trunkline.storage.sign_in import keep_link

MOST_NAME_CHARS = 100
Manager = Annotated[Actor, Depends(allowed("members"))]
Limit = Annotated[int, Query(ge=1, le=200)]
After = Annotated[str, Query(max_length=100)]
OrganisationId = Annotated[
    str | None, Query(max_length=100, description="Of the master key alone: another one than the first.")
]


class MemberCard(BaseModel):
    """A member as they are shown."""

    id: str
    organisation: str
    email: str
    name: str
    role: Role
    state: State
    signs_in_with: list[Literal["password", "oidc"]]
    created_at: str
    disabled_at: str | None


class MemberAnswer(BaseModel):
    success: Literal[True] = True
    data: MemberCard


class MemberList(BaseModel):
    """`next` is the `after` of the following page, null on the last."""

    success: Literal[True] = True
    data: list[MemberCard]
    next: str | None


class LinkCard(BaseModel):
    """A link that works once. It is in this answer and nowhere else."""

    member: MemberCard
    link: str
    expires_at: str


class LinkAnswer(BaseModel):
    success: Literal[True] = True
    data: LinkCard


class Invitation(BaseModel):
    """Whom to invite."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(max_length=MOST_EMAIL_CHARS, examples=["alice@example.com"])
    name: str = Field("", max_length=MOST_NAME_CHARS)
    role: Role = "member"

    @field_validator("email")
    @classmethod
    def _email_is_one(cls, value: str) -> str:
        email = email_of(value)
        if email is None:
            raise ValueError("must be an address of mail, such as alice@example.com")
        return email


class MemberChange(BaseModel):
    """What to change; what is not named stays."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, min_length=1, max_length=MOST_NAME_CHARS)
    role: Role | None = None


router = APIRouter(prefix="/api/v1/management/members")


@router.get("")
async def list_members(
    actor: Manager,
    console: ConsoleOf,
    organisation: OrganisationId = None,
    role: Role | Literal[""] = "",
    state: State | Literal[""] = "",
    text: Annotated[str, Query(max_length=100)] = "",
    after: After = "",
    limit: Limit = 50,
) -> MemberList:
    """Newest first."""
    org_id = organisation_of(actor, organisation)
    found = await people.find_members(console.store, MemberQuery(org_id, role, state, text, after, limit + 1))
    page = found[:limit]
    return MemberList(data=[card(one) for one in page], next=page[-1].id if len(found) > limit else None)


@router.post("", status_code=201)
async def invite(
    body: Invitation, actor: Manager, console: ConsoleOf, organisation: OrganisationId = None
) -> LinkAnswer:
    """Invite somebody. Asked again for somebody who has not joined yet, a new link takes the place of the old one."""
    member, link, expires_ms = await invite_member(console, actor, body, organisation_of(actor, organisation))
    return LinkAnswer(data=LinkCard(member=card(member), link=link, expires_at=iso(expires_ms)))


@router.get("/{member_id}")
async def get_member(member_id: str, actor: Manager, console: ConsoleOf) -> MemberAnswer:
    """One member."""
    return MemberAnswer(data=card(await member_of(console, actor, member_id)))


@router.patch("/{member_id}")
async def change_member(member_id: str, body: MemberChange, actor: Manager, console: ConsoleOf) -> MemberAnswer:
    """Change a name or a role. The last administrator stays one."""
    await member_of(console, actor, member_id)
    changed: dict[str, str] = {}
    if body.name is not None:
        changed["name"] = body.name
    if body.role is not None:
        changed["role"] = body.role
    after = await people.change_member(console.store, member_id, changed, actor, int(console.now_ms()))
    return MemberAnswer(data=card(after))


@router.post("/{member_id}/disable")
async def disable_member(member_id: str, actor: Manager, console: ConsoleOf) -> MemberAnswer:
    """End a member's sessions and keys, and let them in no more. The last administrator cannot be disabled."""
    await member_of(console, actor, member_id)
    return MemberAnswer(data=card(await people.disable_member(console.store, member_id, actor, int(console.now_ms()))))


@router.post("/{member_id}/enable")
async def enable_member(member_id: str, actor: Manager, console: ConsoleOf) -> MemberAnswer:
    """Let a disabled member sign in again. The keys that were revoked stay so."""
    await member_of(console, actor, member_id)
    return MemberAnswer(data=card(await people.enable_member(console.store, member_id, actor, int(console.now_ms()))))


@router.post("/{member_id}/password-link", status_code=201)
async def password_link(member_id: str, actor: Manager, console: ConsoleOf) -> LinkAnswer:
    """A link with which a member chooses a new password."""
    member = await member_of(console, actor, member_id)
    link, expires_ms = await link_for(console, actor, member, "password")
    return LinkAnswer(data=LinkCard(member=card(member), link=link, expires_at=iso(expires_ms)))


async def invite_member(console: Console, actor: Actor, body: Invitation, org_id: str) -> tuple[Member, str, int]:
    """The member, the link, and when it ends. For the page too."""
    new = Member(
        f"mem_{console.random_bytes(10).hex()}", org_id, body.email, body.name, body.role, int(console.now_ms())
    )
    member = await people.invite_member(console.store, new, actor)
    return member, *(await link_for(console, actor, member, "join"))


async def link_for(console: Console, actor: Actor, member: Member, kind: LinkKind) -> tuple[str, int]:
    """A link and when it ends. Conflict where it would lead nowhere: for the disabled, and those who have to join first."""
    state = state_of(member)
    if state == "disabled":
        raise Conflict("this member is disabled: enable them first", param="member_id")
    if kind == "password" and state == "invited":
        kind = "join"
    path, link = new_link(kind, member.id, console.pepper, console.random_bytes, int(console.now_ms()))
    await keep_link(console.store, link, actor, member.org_id)
    return f"{console.settings.address}{path}", link.expires_ms


async def member_of(console: Console, actor: Actor, member_id: str) -> Member:
    """The member, where the actor may manage them. NotFound for another organisation's, as for nobody's."""
    found = await people.member(console.store, member_id)
    if found is None or not covers(actor, "members", found.org_id):
        raise NotFound(f"there is no member {member_id[:60]}", param="member_id")
    return found


def card(one: Member) -> MemberCard:
    ways: list[Literal["password", "oidc"]] = []
    if one.has_password:
        ways.append("password")
    if one.subject:
        ways.append("oidc")
    return MemberCard(
        id=one.id,
        organisation=one.org_id,
        email=one.email,
        name=one.name,
        role=one.role,
        state=state_of(one),
        signs_in_with=ways,
        created_at=iso(one.created_ms),
        disabled_at=None if one.disabled_ms is None else iso(one.disabled_ms),
    )


def iso(unix_ms: int) -> str:
    """ISO 8601 without fractions: some clients cannot read those."""
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

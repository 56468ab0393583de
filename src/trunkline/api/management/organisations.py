"""`/api/v1/management/organisations`: made and changed with the master key; an administrator sees their own. Out: `{"success": true, "data": ...}`."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from trunkline.accounts.roles import covers, reach
from trunkline.accounts.types import Actor, Organisation
from trunkline.api.management.access import ConsoleOf, Master, allowed
from trunkline.api.management.members import After, Limit, iso
from trunkline.api.management.projects import Again, demand_same, made_id
from trunkline.errors import NotFound
from trunkline.storage import people

Looker = Annotated[Actor, Depends(allowed("organisations.see"))]


class OrganisationCard(BaseModel):
    id: str
    name: str
    prepaid: bool
    """Its requests are paid from its wallets, and refused when these are empty."""
    created_at: str


class OrganisationAnswer(BaseModel):
    success: Literal[True] = True
    data: OrganisationCard


class OrganisationList(BaseModel):
    """`next` is the `after` of the following page, null on the last."""

    success: Literal[True] = True
    data: list[OrganisationCard]
    next: str | None


class NewOrganisation(BaseModel):
    """What an organisation is made from."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: str = Field(min_length=1, max_length=100, examples=["acme"])
    prepaid: bool = False


class OrganisationChange(BaseModel):
    """What to change; what is not named stays."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: str | None = Field(None, min_length=1, max_length=100)
    prepaid: bool | None = None


router = APIRouter(prefix="/api/v1/management/organisations")


@router.get("")
async def list_organisations(
    actor: Looker, console: ConsoleOf, after: After = "", limit: Limit = 50
) -> OrganisationList:
    """The oldest first; of anyone but the master key their own alone."""
    if reach(actor, "organisations") != "everything":
        own = await people.organisation(console.store, actor.org_id)
        return OrganisationList(data=[card(own)] if own and not after else [], next=None)
    found = await people.find_organisations(console.store, after=after, limit=limit + 1)
    page = found[:limit]
    return OrganisationList(data=[card(one) for one in page], next=page[-1].id if len(found) > limit else None)


@router.post("", status_code=201)
async def make_organisation(
    body: NewOrganisation, actor: Master, console: ConsoleOf, again: Again = None
) -> OrganisationAnswer:
    """Make one."""
    id_ = f"org_{made_id(console, actor, again)}"
    new = Organisation(id_, body.name, int(console.now_ms()), body.prepaid)
    kept = await people.make_organisation(console.store, new, actor)
    demand_same(kept, new)
    return OrganisationAnswer(data=card(kept))


@router.get("/{organisation_id}")
async def get_organisation(organisation_id: str, actor: Looker, console: ConsoleOf) -> OrganisationAnswer:
    """One organisation."""
    found = await people.organisation(console.store, organisation_id)
    if found is None or not covers(actor, "organisations.see", found.id):
        raise NotFound(f"there is no organisation {organisation_id[:60]}", param="organisation_id")
    return OrganisationAnswer(data=card(found))


@router.patch("/{organisation_id}")
async def change_organisation(
    organisation_id: str, body: OrganisationChange, actor: Master, console: ConsoleOf
) -> OrganisationAnswer:
    """Rename it; let it pay beforehand, or not."""
    changed: dict[str, str | bool] = {}
    if body.name is not None:
        changed["name"] = body.name
    if body.prepaid is not None:
        changed["prepaid"] = body.prepaid
    after = await people.change_organisation(console.store, organisation_id, changed, actor, int(console.now_ms()))
    return OrganisationAnswer(data=card(after))


def card(one: Organisation) -> OrganisationCard:
    return OrganisationCard(id=one.id, name=one.name, prepaid=one.prepaid, created_at=iso(one.created_ms))

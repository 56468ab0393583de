"""`/api/v1/management/projects`: what keys and budgets are grouped by. In: names. Out: `{"success": true, "data": ...}`."""

import hashlib
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Header, Query
from pydantic import BaseModel, ConfigDict, Field

from trunkline.accounts.repeats import REPEATED_WITHIN_MS
from trunkline.accounts.roles import covers, organisation_of
from trunkline.accounts.types import Actor, Organisation, Project
from trunkline.api.management.access import ConsoleOf, allowed
from trunkline.api.management.console import Console
from trunkline.api.management.key_changes import KEY_REUSED
from trunkline.api.management.members import After, Limit, OrganisationId, iso
from trunkline.errors import KeyReused, NotFound
from trunkline.storage import people, projects
from trunkline.storage.projects import ProjectQuery

MOST_NAME_CHARS = 100
Looker = Annotated[Actor, Depends(allowed("projects.see"))]
Manager = Annotated[Actor, Depends(allowed("projects"))]
Again = Annotated[
    str | None, Header(alias="idempotency-key", max_length=200, description="The same again makes nothing new.")
]


class ProjectCard(BaseModel):
    id: str
    organisation: str
    name: str
    created_at: str
    archived_at: str | None


class ProjectAnswer(BaseModel):
    success: Literal[True] = True
    data: ProjectCard


class ProjectList(BaseModel):
    """`next` is the `after` of the following page, null on the last."""

    success: Literal[True] = True
    data: list[ProjectCard]
    next: str | None


class NewProject(BaseModel):
    """What a project is made from."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: str = Field(min_length=1, max_length=MOST_NAME_CHARS, examples=["search"])


class ProjectChange(BaseModel):
    """What to change; what is not named stays."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: str | None = Field(None, min_length=1, max_length=MOST_NAME_CHARS)
    archived: bool | None = None


router = APIRouter(prefix="/api/v1/management/projects")


@router.get("")
async def list_projects(
    actor: Looker,
    console: ConsoleOf,
    organisation: OrganisationId = None,
    text: Annotated[str, Query(max_length=100)] = "",
    archived: bool | None = None,
    after: After = "",
    limit: Limit = 50,
) -> ProjectList:
    """Newest first."""
    org_id = organisation_of(actor, organisation)
    found = await projects.find_projects(console.store, ProjectQuery(org_id, text, archived, after, limit + 1))
    page = found[:limit]
    return ProjectList(data=[card(one) for one in page], next=page[-1].id if len(found) > limit else None)


@router.post("", status_code=201)
async def make_project(
    body: NewProject, actor: Manager, console: ConsoleOf, again: Again = None, organisation: OrganisationId = None
) -> ProjectAnswer:
    """Make one. Names are of one project of the organisation only."""
    return ProjectAnswer(
        data=card(await new_project(console, actor, body, organisation_of(actor, organisation), again))
    )


@router.get("/{project_id}")
async def get_project(project_id: str, actor: Looker, console: ConsoleOf) -> ProjectAnswer:
    """One project."""
    return ProjectAnswer(data=card(await project_of(console, actor, project_id)))


@router.patch("/{project_id}")
async def change_project(project_id: str, body: ProjectChange, actor: Manager, console: ConsoleOf) -> ProjectAnswer:
    """Rename, archive or restore it. The keys of an archived project go on."""
    found = await project_of(console, actor, project_id)
    now_ms = int(console.now_ms())
    if body.name is not None:
        found = await projects.rename_project(console.store, project_id, body.name, actor, now_ms)
    if body.archived is not None:
        found = await projects.archive_project(console.store, project_id, actor, now_ms, archived=body.archived)
    return ProjectAnswer(data=card(found))


async def new_project(
    console: Console, actor: Actor, body: NewProject, org_id: str, again: str | None = None
) -> Project:
    """For the page too. With the same `again`, the same project; KeyReused where that was said of another."""
    if await people.organisation(console.store, org_id) is None:
        raise NotFound(f"there is no organisation {org_id[:60]}", param="organisation")
    new = Project(f"prj_{made_id(console, actor, again)}", org_id, body.name, int(console.now_ms()))
    kept = await projects.make_project(console.store, new, actor)
    demand_same(kept, new)
    return kept


async def project_of(console: Console, actor: Actor, project_id: str) -> Project:
    """The project, where the actor may see it. NotFound for another organisation's, as for nobody's."""
    found = await projects.project(console.store, project_id)
    if found is None or not covers(actor, "projects.see", found.org_id):
        raise NotFound(f"there is no project {project_id[:60]}", param="project_id")
    return found


def made_id(console: Console, actor: Actor, again: str | None) -> str:
    """20 hexadecimal digits: random, or of what the caller says to mean the same making."""
    if not again:
        return console.random_bytes(10).hex()
    return hashlib.sha256(f"{actor.org_id}:{actor.id}:{again}".encode()).hexdigest()[:20]


def demand_same(kept: Project | Organisation, asked: Project | Organisation) -> None:
    """Raises KeyReused where what is kept came of another call, or of one that is over a day old."""
    is_late = asked.created_ms - kept.created_ms > REPEATED_WITHIN_MS
    if is_late or kept != msgspec.structs.replace(asked, created_ms=kept.created_ms):
        raise KeyReused(KEY_REUSED, param="Idempotency-Key")


def card(one: Project) -> ProjectCard:
    return ProjectCard(
        id=one.id,
        organisation=one.org_id,
        name=one.name,
        created_at=iso(one.created_ms),
        archived_at=None if one.archived_ms is None else iso(one.archived_ms),
    )

"""Projects, by which keys and budgets are grouped. In: an open store, an actor, a change. Out: them as they are afterwards; pages of them."""

from typing import Any

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from trunkline.accounts.types import Actor, Project
from trunkline.errors import Conflict, NotFound
from trunkline.storage.audit import record_act
from trunkline.storage.followed import will_change
from trunkline.storage.people import before_or_after
from trunkline.storage.queries import Store
from trunkline.storage.schema import projects


class ProjectQuery(msgspec.Struct, frozen=True):
    """Which projects. An empty text stands for all; `text` is found in names, without regard to case."""

    org_id: str = ""
    text: str = ""
    archived: bool | None = None
    after: str = ""
    """The id of the last one of the page before."""
    limit: int = 50


async def find_projects(store: Store, query: ProjectQuery) -> list[Project]:
    """Newest first."""
    conditions: list[Any] = [projects.c.org_id == query.org_id] if query.org_id else []
    if query.text:
        conditions.append(projects.c.name.icontains(query.text, autoescape=True))
    if query.archived is not None:
        ended = projects.c.archived_ms
        conditions.append(ended.is_not(None) if query.archived else ended.is_(None))
    if query.after:
        conditions.append(before_or_after(projects, query.after))
    newest_first = (projects.c.created_ms.desc(), projects.c.id.desc())
    found = select(projects).where(*conditions).order_by(*newest_first).limit(query.limit)
    return await store.ask(lambda connection: [Project(**dict(row._mapping)) for row in connection.execute(found)])


async def project(store: Store, id_: str) -> Project | None:
    """The one with this id."""
    return await store.ask(lambda connection: _get(connection, id_))


async def make_project(store: Store, new: Project, actor: Actor) -> Project:
    """Keep a new one. Where its id is there already (the same making, repeated), that one is given as it is.

    Conflict where a project of the organisation has this name and is not archived.
    """

    def make(connection: Connection) -> Project:
        will_change(connection)
        there = _get(connection, new.id)
        if there is not None:
            return there
        _demand_name(connection, new)
        record_act(connection, actor, new.created_ms, "project.create", new.id, org_id=new.org_id)
        connection.execute(insert(projects).values(msgspec.structs.asdict(new)))
        return new

    return await store.ask(make)


async def rename_project(store: Store, id_: str, name: str, actor: Actor, at_ms: int) -> Project:
    """NotFound where there is none; Conflict where another one has the name."""

    def rename(connection: Connection) -> Project:
        before = _demand(connection, id_)
        after = msgspec.structs.replace(before, name=name)
        if after == before:
            return before
        _demand_name(connection, after)
        record_act(connection, actor, at_ms, "project.rename", id_, org_id=before.org_id)
        connection.execute(update(projects).where(projects.c.id == id_).values(name=name))
        return after

    return await store.ask(rename)


async def archive_project(store: Store, id_: str, actor: Actor, at_ms: int, *, archived: bool = True) -> Project:
    """Archived, it is out of the way: its keys go on, and no new ones are made in it. NotFound where there is none."""

    def archive(connection: Connection) -> Project:
        before = _demand(connection, id_)
        if (before.archived_ms is not None) == archived:
            return before
        after = msgspec.structs.replace(before, archived_ms=at_ms if archived else None)
        if not archived:
            _demand_name(connection, after)
        action = "project.archive" if archived else "project.restore"
        record_act(connection, actor, at_ms, action, id_, org_id=before.org_id)
        connection.execute(update(projects).where(projects.c.id == id_).values(archived_ms=after.archived_ms))
        return after

    return await store.ask(archive)


def _get(connection: Connection, id_: str) -> Project | None:
    row = connection.execute(select(projects).where(projects.c.id == id_)).first()
    return Project(**dict(row._mapping)) if row else None


def _demand(connection: Connection, id_: str) -> Project:
    will_change(connection)
    found = _get(connection, id_)
    if found is None:
        raise NotFound(f"there is no project {id_}", param="project_id")
    return found


def _demand_name(connection: Connection, one: Project) -> None:
    """Two projects of one name could not be told apart in figures."""
    same = select(func.count()).where(
        projects.c.org_id == one.org_id,
        projects.c.id != one.id,
        projects.c.archived_ms.is_(None),
        func.lower(projects.c.name) == one.name.lower(),
    )
    if connection.execute(same).scalar_one():
        raise Conflict(f"there is a project with the name {one.name} already", param="name")

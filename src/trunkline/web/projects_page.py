"""`/platform/projects`: what keys and budgets are grouped by. In: a signed-in reader. Out: pages.

The rules are those of the API (`api.management.projects`): this is a face for them.
"""

from collections import Counter

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from starlette.responses import RedirectResponse

from trunkline.accounts.keys import is_valid
from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.projects import NewProject, new_project, project_of
from trunkline.errors import Conflict
from trunkline.storage import projects
from trunkline.storage.projects import ProjectQuery
from trunkline.web.render import pages_of
from trunkline.web.session import ChangingReader, FormFields, PlatformReader, Reader, demand

PATH = "/platform/projects"
ROWS = 100

router = APIRouter(include_in_schema=False)


@router.api_route(PATH, methods=["GET", "HEAD"], response_class=Response)
async def projects_page(
    request: Request, console: ConsoleOf, reader: PlatformReader, after: str = "", archived: bool = False
) -> Response:
    """Newest first."""
    demand(reader, "projects.see")
    return await _page(request, console, reader, after=after[:100], archived=archived)


@router.post(PATH, response_class=Response)
async def make(request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields) -> Response:
    """Make one."""
    demand(reader, "projects")
    try:
        wanted = NewProject(name=form.get("name", ""))
        await new_project(console, reader.actor, wanted, reader.actor.org_id)
    except ValidationError:
        return await _page(request, console, reader, fault="A name has 1 to 100 characters.")
    except Conflict as error:
        return await _page(
            request, console, reader, fault=f"{error.message[0].upper()}{error.message[1:]}.", name=form["name"]
        )
    return RedirectResponse(PATH, 303)


@router.post(f"{PATH}/{{project_id}}", response_class=Response)
async def change(
    request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields, project_id: str
) -> Response:
    """Rename, archive or restore one."""
    demand(reader, "projects")
    found = await project_of(console, reader.actor, project_id)
    now_ms = int(console.now_ms())
    try:
        if "name" in form:
            name = NewProject(name=form["name"]).name
            await projects.rename_project(console.store, found.id, name, reader.actor, now_ms)
        else:
            archived = form.get("do") == "archive"
            await projects.archive_project(console.store, found.id, reader.actor, now_ms, archived=archived)
    except ValidationError:
        return await _page(request, console, reader, fault="A name has 1 to 100 characters.")
    except Conflict as error:
        return await _page(request, console, reader, fault=f"{error.message[0].upper()}{error.message[1:]}.")
    return RedirectResponse(PATH, 303)


async def _page(
    request: Request,
    console: Console,
    reader: Reader,
    *,
    after: str = "",
    archived: bool = False,
    fault: str = "",
    name: str = "",
) -> Response:
    query = ProjectQuery(reader.actor.org_id, archived=archived, after=after, limit=ROWS + 1)
    found = await projects.find_projects(console.store, query)
    now_ms = console.now_ms()
    keys = Counter(key.project_id for key in await console.store.list_keys() if is_valid(key, now_ms))
    view = {
        "projects": [(one, keys[one.id]) for one in found[:ROWS]],
        "next": found[ROWS - 1].id if len(found) > ROWS else "",
        "archived": archived,
        "fault": fault,
        "name": name,
    }
    return pages_of(request).page(request, "projects.html", view, 400 if fault else 200)

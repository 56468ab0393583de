"""`/platform/organisations`: who shares the installation. In: whoever has the master key. Out: pages.

The rules are those of the API (`api.management.organisations`): this is a face for them.
"""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ValidationError
from starlette.responses import RedirectResponse

from trunkline.accounts.types import Organisation
from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.organisations import NewOrganisation, OrganisationChange
from trunkline.api.management.projects import made_id
from trunkline.storage import people
from trunkline.storage.ledger import credits_of
from trunkline.web.render import pages_of
from trunkline.web.session import ChangingReader, FormFields, PlatformReader, demand

PATH = "/platform/organisations"
ROWS = 50
WRONG_NAME = "A name has 1 to 100 characters."
TOLD = {"made": "The organisation is made.", "changed": "The organisation was changed."}

router = APIRouter(include_in_schema=False)


@router.api_route(PATH, methods=["GET", "HEAD"], response_class=Response)
async def organisations_page(
    request: Request, console: ConsoleOf, reader: PlatformReader, after: str = "", told: str = ""
) -> Response:
    """The oldest first."""
    demand(reader, "organisations")
    return await _page(request, console, after=after[:60], told=TOLD.get(told, ""))


@router.post(PATH, response_class=Response)
async def make(request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields) -> Response:
    """Make one."""
    demand(reader, "organisations")
    name, prepaid = form.get("name", ""), form.get("prepaid") == "on"
    if not _is_fit(NewOrganisation, name):
        return await _page(request, console, fault=WRONG_NAME, name=name)
    new = Organisation(f"org_{made_id(console, reader.actor, None)}", name.strip(), int(console.now_ms()), prepaid)
    await people.make_organisation(console.store, new, reader.actor)
    return RedirectResponse(f"{PATH}?told=made", 303)


@router.post(f"{PATH}/{{organisation_id}}", response_class=Response)
async def change(
    request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields, organisation_id: str
) -> Response:
    """Rename one, or have it pay beforehand."""
    demand(reader, "organisations")
    changed: dict[str, str | bool] = {"prepaid": form.get("prepaid") == "on"}
    if "name" in form:
        if not _is_fit(OrganisationChange, form["name"]):
            return await _page(request, console, fault=WRONG_NAME)
        changed = {"name": form["name"].strip()}
    await people.change_organisation(console.store, organisation_id, changed, reader.actor, int(console.now_ms()))
    return RedirectResponse(f"{PATH}?told=changed", 303)


def _is_fit(body: type[BaseModel], name: str) -> bool:
    try:
        body.model_validate({"name": name})
    except ValidationError:
        return False
    return True


async def _page(
    request: Request, console: Console, *, after: str = "", told: str = "", fault: str = "", name: str = ""
) -> Response:
    found = await people.find_organisations(console.store, after=after, limit=ROWS + 1)
    rows = [(one, await credits_of(console.store, one.id) if one.prepaid else None) for one in found[:ROWS]]
    view = {
        "rows": rows,
        "next": found[ROWS - 1].id if len(found) > ROWS else "",
        "told": told,
        "fault": fault,
        "name": name,
    }
    return pages_of(request).page(request, "organisations.html", view, 400 if fault else 200)

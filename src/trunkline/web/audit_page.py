"""`/platform/audit`: who did what, newest first. In: an administrator; filters and a place in the query. Out: a page of acts.

The log holds ids; names stand beside them as long as there are any.
"""

from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from trunkline.accounts.keys import MASTER_ID
from trunkline.accounts.roles import reach
from trunkline.accounts.types import AuditEntry
from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.audit import unix_ms
from trunkline.errors import InvalidParams
from trunkline.storage.audit import AuditQuery, acts, kinds_of_acts
from trunkline.storage.people import names_of
from trunkline.storage.queries import Store
from trunkline.web.render import pages_of
from trunkline.web.session import PlatformReader, demand

PATH = "/platform/audit"
ROWS = 100
FILTERS = ("actor", "action", "target", "since", "until")
MOST_NUMBER = 2**62

router = APIRouter(include_in_schema=False)


@router.api_route(PATH, methods=["GET", "HEAD"], response_class=Response)
async def audit_page(request: Request, console: ConsoleOf, reader: PlatformReader) -> Response:
    """The newest, or those behind `after`."""
    demand(reader, "audit")
    said = {name: request.query_params.get(name, "").strip()[:100] for name in FILTERS}
    org_id = "" if reach(reader.actor, "audit") == "everything" else reader.actor.org_id
    query = AuditQuery(
        org_id,
        said["actor"],
        said["action"],
        said["target"],
        _time(said["since"], "since"),
        _time(said["until"], "until"),
        _number(request.query_params.get("after", "")),
        ROWS + 1,
    )
    found = await acts(console.store, query)
    page = found[:ROWS]
    view = {
        "acts": page,
        "names": await _names(page, console.store, said),
        "said": said,
        "kinds": _with_families(await kinds_of_acts(console.store, org_id)),
        "older": _address(said, after=str(page[-1].number)) if len(found) > ROWS else "",
        "newest": _address(said) if query.before is not None else "",
        "address": lambda **changed: _address(said | changed),
        "everything": not org_id,
    }
    return pages_of(request).page(request, "audit.html", view)


async def _names(page: list[AuditEntry], store: Store, said: dict[str, str]) -> dict[str, str]:
    ids = {id_ for act in page for id_ in (act.actor_id, act.target)} | {said["actor"], said["target"]}
    found = await names_of(store, ids - {""})
    return found | {MASTER_ID: "master key"}


def _with_families(kinds: list[str]) -> list[str]:
    """`key` beside `key.create`, where there is more than one of it."""
    families = [kind.partition(".")[0] for kind in kinds]
    return sorted({*kinds, *(family for family in families if families.count(family) > 1)})


def _address(said: dict[str, str], **more: str) -> str:
    query = urlencode({name: value for name, value in {**said, **more}.items() if value})
    return f"{PATH}?{query}" if query else PATH


def _time(text: str, name: str) -> int | None:
    try:
        return unix_ms(text, name)
    except InvalidParams as error:
        raise HTTPException(400, f"{error.message[0].upper()}{error.message[1:]}.") from None


def _number(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or int(text[:30]) > MOST_NUMBER:
        raise HTTPException(400, "This place in the log cannot be read: begin at the newest.")
    return int(text)

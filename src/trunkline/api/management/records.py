"""`GET /api/v1/management/records`: the newest records, page by page. In: a limit and the last id of the page before.
Out: whole records."""

import math
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Response

from trunkline.accounts.types import Actor
from trunkline.api.management.access import ConsoleOf, allowed
from trunkline.api.management.console import Console
from trunkline.api.management.scope import Scope, may_read, scope_of
from trunkline.errors import InvalidParams, NotFound
from trunkline.records.types import Record
from trunkline.storage.logs import LogFilter, Logs, Place

MOST_STEPS = 50
"""A page of few among many is looked for in steps of a bounded time each."""
_REACHED = "before:"
router = APIRouter()


@router.get("/api/v1/management/records", response_class=Response)
async def records(
    actor: Annotated[Actor, Depends(allowed("use"))],
    console: ConsoleOf,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """The newest first, of those that the caller may see. `next` is the `before` of the following page, null on the last one."""
    scope = await scope_of(console, actor)
    if scope.keys is None:
        found = await console.store.recent(limit, before)
        next_ = found[-1].id if len(found) == limit else None
    else:
        found, next_ = await _own(console, actor, scope, limit, before)
    page = {"data": found, "next": next_}
    return Response(msgspec.json.encode(page), media_type="application/json")


async def _own(
    console: Console, actor: Actor, scope: Scope, limit: int, before: str | None
) -> tuple[list[Record], str | None]:
    """Of these keys alone."""
    place = None if before is None else _reached(before)
    if before is not None and place is None:
        last = await console.store.generation(before)
        if last is None or not await may_read(console, actor, last):
            raise NotFound(f"there is no record {before}", param="before")
        place = Place(last.received_ms, last.id)
    logs, wanted, found = Logs(console.store, console.now_ms), LogFilter(keys=scope.keys), list[Record]()
    for _ in range(MOST_STEPS):
        page = await logs.older(wanted, limit - len(found), place)
        found, place = found + page.records, page.more
        if len(found) == limit or place is None:
            break
    if place is None:
        return found, None
    return found, place.id or f"{_REACHED}{place.received_ms!r}"


def _reached(before: str) -> Place | None:
    """The place in the text that a search gave which ended between two records."""
    if not before.startswith(_REACHED):
        return None
    try:
        received_ms = float(before.removeprefix(_REACHED))
    except ValueError:
        received_ms = math.nan
    if not math.isfinite(received_ms):
        raise InvalidParams("before: give the `next` of the page before, as it is", param="before")
    return Place(received_ms, "")

"""`GET /api/v1/management/records`: the newest records, page by page. In: a limit and the last id of the page before.
Out: whole records."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response

from trunkline.api.management.access import ConsoleOf, Master

router = APIRouter()


@router.get("/api/v1/management/records", response_class=Response)
async def records(
    _: Master,
    console: ConsoleOf,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """The newest first. `next` is the `before` of the following page, null on the last one."""
    found = await console.store.recent(limit, before)
    page = {"data": found, "next": found[-1].id if len(found) == limit else None}
    return Response(msgspec.json.encode(page), media_type="application/json")

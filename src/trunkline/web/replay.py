"""`/platform/logs/{id}/replay`: a captured request once more, at another model or offer, beside the answer that it had.

In: the request's id. Out: a page; its script sends the request through the data plane, as any client does, with the session's key.
"""

import asyncio

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.web.log import bodies_of, conversation_of, record_of
from trunkline.web.log_rows import log_row
from trunkline.web.logs import PATH
from trunkline.web.render import pages_of
from trunkline.web.session import PlatformReader

MOST = 400

router = APIRouter(include_in_schema=False)


@router.api_route(f"{PATH}/{{id}}/replay", methods=["GET", "HEAD"], response_class=Response)
async def replay(request: Request, id: str, console: ConsoleOf, reader: PlatformReader) -> Response:
    """The page. 404 where the request's body was not captured whole."""
    record = await record_of(console, id, reader)
    captured = await bodies_of(console, record)
    asked = None if captured is None else captured.bodies[0]
    if captured is None or asked is None or asked.data is None or asked.is_cut:
        raise HTTPException(404, "The body of this request was not captured whole, so it cannot be sent again.")
    said = await asyncio.to_thread(conversation_of, record, captured)
    shown = {
        "record": record,
        "row": log_row(record),
        "said": said,
        "path": asked.target.partition(" ")[2],
        "offers": callable_offers(console),
        "is_redacted": b"[redacted: " in asked.data,
    }
    return pages_of(request).page(request, "replay.html", shown)


def callable_offers(console: Console) -> list[str]:
    """Models that can be called now, and each of their offers as `model:provider`."""
    today = console.today()
    found: list[str] = []
    for model in console.catalog.models.values():
        offers = console.state.callable_offers(model, today)
        if offers:
            found += [model.slug, *(offer.id for offer in offers)]
    return sorted(found)[:MOST]

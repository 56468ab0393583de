"""`/platform/logs`: requests, newest first. In: filters and a place in the query. Out: a page of rows; `/platform/logs/tail`: what has come since.

Query names, by which other pages lead here: `from`, `to` (ISO 8601 in UTC, or Unix milliseconds), `model`, `provider`, `key`, `protocol`, `outcome`,
`finish`, `app`, `id`.
"""

import datetime
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from trunkline.accounts.keys import MASTER_ID, ApiKey
from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.scope import EVERYTHING, Scope, may_read, scope_of
from trunkline.storage.backfill import made_up_until_ms
from trunkline.storage.logs import Came, LogFilter, Logs, Place, placed, written
from trunkline.web.facts import made_up_since
from trunkline.web.log_rows import OUTCOMES, LogRow, log_row
from trunkline.web.render import pages_of
from trunkline.web.session import PlatformReader, demand
from trunkline.web.use_page import key_choices

ROWS = 50
TAIL_MOST = 400
"""Rows that the tail adds before the page is loaded anew."""
MOST_WHOLE = 2**63 - 1
"""https://www.sqlite.org/datatype3.html: a larger whole number the store cannot take."""
LATEST_MS = 253_402_300_799_000.0
"""The last second of the year 9999: dates end there."""
PATH = "/platform/logs"
PROTOCOLS = {
    "openai.chat": "OpenAI Chat Completions",
    "openai.responses": "OpenAI Responses",
    "anthropic.messages": "Anthropic Messages",
    "gemini": "Google Gemini",
}
FINISHES = ("stop", "length", "tool_calls", "content_filter", "refusal", "stop_sequence", "context_length", "other")
SPANS = (("1h", "1 h", 1), ("24h", "24 h", 24), ("7d", "7 days", 168), ("30d", "30 days", 720), ("", "All", 0))
_NAMES = ("range", "from", "to", "model", "provider", "key", "protocol", "outcome", "finish", "app")

router = APIRouter(include_in_schema=False)


class Asked(msgspec.Struct, frozen=True):
    """The query, read."""

    wanted: LogFilter
    fields: dict[str, str]
    """What was said, as it was said."""
    scope: Scope = EVERYTHING

    def address(self, path: str = PATH, **more: str) -> str:
        """The same filters, elsewhere."""
        said = {**self.fields, **more}
        query = urlencode({name: value for name, value in said.items() if value})
        return f"{path}?{query}" if query else path


async def asked(request: Request, console: ConsoleOf, reader: PlatformReader) -> Asked:
    """Raises 400 for what is no time or no range; 403 and 404 for what the reader may not see."""
    demand(reader, "use")
    scope = await scope_of(console, reader.actor)
    said = {name: request.query_params.get(name, "").strip()[:300] for name in _NAMES}
    hours = {name: hours for name, _, hours in SPANS}.get(said["range"])
    if hours is None:
        raise HTTPException(400, f"There is no range {said['range'][:40]!r}: it is 1h, 24h, 7d or 30d.")
    from_ms = _time(said["from"], "from")
    if hours and from_ms is None:
        from_ms = console.now_ms() - hours * 3_600_000
    wanted = LogFilter(
        from_ms=from_ms or 0.0,
        to_ms=_time(said["to"], "to"),
        model=said["model"],
        provider=said["provider"],
        key_id=said["key"],
        keys=None if said["key"] else scope.keys,
        protocol=said["protocol"],
        outcome=said["outcome"],
        finish_reason=said["finish"],
        app=said["app"],
    )
    if said["key"] and not scope.has(said["key"]):
        raise HTTPException(404, f"There is no key {said['key'][:60]}.")
    return Asked(wanted, {name: value for name, value in said.items() if value}, scope)


AskedOf = Annotated[Asked, Depends(asked)]


@router.api_route(PATH, methods=["GET", "HEAD"], response_class=Response)
async def logs(
    request: Request,
    console: ConsoleOf,
    reader: PlatformReader,
    asked: AskedOf,
    id: str = "",
    after: str = "",
    before: str = "",
) -> Response:
    """A page of rows: the newest, those behind `after`, or those before `before`."""
    if id.strip():
        found = await console.store.generation(id.strip())
        if found is None or not await may_read(console, reader.actor, found):
            raise HTTPException(
                404,
                f"There is no request {id.strip()[:100]}: it is the X-Request-Id of an answer, or the id in its body.",
            )
        return RedirectResponse(f"{PATH}/{found.id}", 303)
    return pages_of(request).page(request, "logs.html", await _shown(console, asked, after, before))


@router.api_route(f"{PATH}/tail", methods=["GET", "HEAD"], response_class=Response)
async def tail(
    request: Request,
    console: ConsoleOf,
    reader: PlatformReader,
    asked: AskedOf,
    mark: Annotated[int, Query(ge=0, le=MOST_WHOLE)] = 0,
    shown: Annotated[int, Query(ge=0, le=MOST_WHOLE)] = 0,
    paused: bool = False,
) -> Response:
    """What was stored after `mark`, as rows to stand above the others; paused: nothing, until somebody goes on."""
    del reader  # `asked` has looked at what they may see.
    came = Came([], mark) if paused else await logs_of(console).since(asked.wanted, mark, ROWS)
    found = came.records
    context = {
        "rows": [log_row(record) for record in found],
        "left_out": came.left_out,
        "is_all": came.is_all,
        "newest": asked.address(),
        "keys": await key_names(console) if found else {},
        **_tail(asked, came.mark, shown + len(found), paused=paused),
    }
    answer = pages_of(request).page(request, "logs_tail.html", {**context, "outcomes": OUTCOMES})
    if shown + len(found) > TAIL_MOST:
        # A page that is left open must not grow for ever.
        answer.headers["hx-refresh"] = "true"
    return answer


def logs_of(console: Console) -> Logs:
    """Over the console's store."""
    return Logs(console.store, console.now_ms)


async def key_names(console: Console) -> dict[str, str]:
    """Id -> name, of every key that there is."""
    return _names_of(await console.store.list_keys())


def _names_of(keys: Sequence[ApiKey]) -> dict[str, str]:
    return {MASTER_ID: "master key", **{key.id: key.name for key in keys}}


async def _shown(console: Console, asked: Asked, after: str, before: str) -> dict[str, Any]:
    store = logs_of(console)
    back, ahead = _placed(after), _placed(before)
    # Asked first: what comes in between is shown twice rather than never.
    mark = await store.mark()
    if ahead is not None:
        page = await store.newer(asked.wanted, ROWS, ahead)
        if page.more is None and len(page.records) < ROWS:
            # The newest page has its own full length.
            page, ahead = await store.older(asked.wanted, ROWS), None
    else:
        page = await store.older(asked.wanted, ROWS, back)
    rows = [log_row(record) for record in page.records]
    made_up_ms = await made_up_until_ms(console.store)
    keys = [key for key in await console.store.list_keys() if asked.scope.has(key.id)]
    first = Place(page.records[0].received_ms, page.records[0].id) if page.records else None
    last = Place(page.records[-1].received_ms, page.records[-1].id) if page.records else None
    older = last if ahead is not None else page.more
    is_newest = back is None and ahead is None
    return {
        "rows": rows,
        "asked": asked,
        "said": asked.fields,
        "times": {name: _minute(asked.wanted, name) if name in asked.fields else "" for name in ("from", "to")},
        "keys": _names_of(keys),
        "key_choices": key_choices(keys, console.now_ms(), asked.wanted.key_id, asked.scope),
        "made_up_until_ms": made_up_since(made_up_ms, last.received_ms) if last else None,
        "providers": sorted({offer.provider for model in console.catalog.models.values() for offer in model.offers}),
        "models": _models(console, rows),
        "protocols": PROTOCOLS,
        "finishes": FINISHES,
        "outcomes": OUTCOMES,
        "spans": [(name, words) for name, words, _ in SPANS],
        "older": asked.address(after=written(older)) if older else "",
        "newer": "" if is_newest else asked.address(before=written(first)) if first else asked.address(),
        "newest": "" if is_newest else asked.address(),
        "is_cut": page.is_cut and ahead is None,
        "looked_back_ms": page.more.received_ms if page.is_cut and page.more else None,
        "is_live": is_newest and asked.wanted.to_ms is None,
        "capture": console.settings.capture.bodies,
        **_tail(asked, mark, 0, paused=False),
    }


def _tail(asked: Asked, mark: int, shown: int, *, paused: bool) -> dict[str, Any]:
    place = {"mark": str(mark), "shown": str(shown)}
    return {
        "paused": paused,
        "tail_next": asked.address(f"{PATH}/tail", **place),
        "tail_pause": asked.address(f"{PATH}/tail", **place, paused="1"),
    }


def _models(console: Console, rows: list[LogRow]) -> list[str]:
    """To choose from: those that can be called, and those on the page."""
    today = console.today()
    known = {model.slug for model in console.catalog.models.values() if console.state.callable_offers(model, today)}
    return sorted(known | {row.record.model for row in rows if row.record.model})[:300]


def _placed(text: str) -> Place | None:
    if not text:
        return None
    place = placed(text)
    if place is None or not 0 <= place.received_ms <= LATEST_MS:
        raise HTTPException(400, "This place in the logs cannot be read: begin at the newest.")
    return place


def _time(text: str, name: str) -> float | None:
    """Unix milliseconds, within what a date can be. Raises 400."""
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) <= 15:
        return min(float(text), LATEST_MS)
    try:
        at = datetime.datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise HTTPException(
            400,
            f"`{name}` is no time: {text[:40]!r}. Write one as 2026-11-24 or 2026-11-24T15:30 (UTC), or Unix milliseconds.",
        ) from None
    unix_ms = (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).timestamp() * 1000
    return min(max(unix_ms, 0.0), LATEST_MS)


def _minute(wanted: LogFilter, name: str) -> str:
    """As an input of a local date and time takes it (https://html.spec.whatwg.org/#valid-local-date-and-time-string), in UTC."""
    unix_ms = wanted.from_ms if name == "from" else wanted.to_ms
    return "" if unix_ms is None else f"{datetime.datetime.fromtimestamp(unix_ms / 1000, datetime.UTC):%Y-%m-%dT%H:%M}"

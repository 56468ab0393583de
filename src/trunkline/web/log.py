"""`/platform/logs/{id}`: everything about one request. In: its id. Out: figures, attempts, plan, bill, and what was said, where it was captured.

Below it: `/bodies/{n}` (a view, to be put into the page, or as plain text), `/curl`.
"""

import asyncio
import shlex
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from trunkline.api.management import conversation
from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.conversation import Said, Unreadable
from trunkline.api.management.generation import wait_for_record
from trunkline.api.management.scope import may_read
from trunkline.records.bodies import Body, Captured
from trunkline.records.types import Attempt, Record
from trunkline.storage.body_reading import find_bodies
from trunkline.storage.cipher import Cipher
from trunkline.storage.ledger import credits_of
from trunkline.web.log_rows import ITEMS, OUTCOMES, log_row, throughput
from trunkline.web.logs import PATH, PROTOCOLS, key_names
from trunkline.web.render import pages_of
from trunkline.web.session import PlatformReader, Reader

MAX_SAID_CHARS = 100_000
"""Of a conversation on the page; the bodies have the rest."""
MAX_SHOWN_CHARS = 150_000
"""Of one view in the page."""
VIEWS = {
    "client_request": "Client to gateway",
    "provider_request": "Gateway to provider",
    "provider_answer": "Provider to gateway",
    "client_answer": "Gateway to client",
}
CAUSES = {
    "ok": "answered",
    "connect": "no connection",
    "tls": "no secure connection",
    "timeout_connect": "no connection in time",
    "timeout_first_event": "silent for too long",
    "timeout_idle": "went silent inside the answer",
    "timeout_total": "took too long",
    "reset": "closed the connection",
    "truncated": "broke off inside the answer",
    "malformed": "cannot be read",
    "empty": "an answer without content",
    "in_stream_error": "an error inside the stream",
    "status": "an error status",
    "client_left": "the caller left",
    "interrupted": "the gateway stopped",
    "internal": "a fault of the gateway",
    "configuration": "cannot be called as configured",
    "refused": "cannot take this request",
    "lost": "the attempt beside it was first",
    "client_slow": "the caller took it too slowly",
}

router = APIRouter(include_in_schema=False)


class Bar(msgspec.Struct, frozen=True):
    """An attempt in the waterfall. Places and widths in percent of the whole request."""

    number: int
    attempt: Attempt
    left: float
    width: float
    wait: float
    """Of the width, until the first token."""
    duration_ms: float
    throughput: float | None
    words: str
    is_good: bool


class View(msgspec.Struct, frozen=True):
    """One captured body, without its content."""

    number: int
    title: str
    body: Body
    attempt: int
    """Which one, from 1; 0: none."""


class Conversation(msgspec.Struct, frozen=True):
    """What was said, for reading."""

    asked: list[Said] | None
    answered: list[Said] | None
    """None: cannot be read as one."""
    is_shortened: bool


@router.api_route(f"{PATH}/{{id}}", methods=["GET", "HEAD"], response_class=Response)
async def log(request: Request, id: str, console: ConsoleOf, reader: PlatformReader) -> Response:
    """The page."""
    record = await record_of(console, id, reader)
    captured = await bodies_of(console, record)
    said = None if captured is None else await asyncio.to_thread(conversation_of, record, captured)
    shown = {
        "record": record,
        "row": log_row(record),
        "outcomes": OUTCOMES,
        "items": ITEMS,
        "key": (await key_names(console)).get(record.key_id, record.key_id),
        "protocol": PROTOCOLS.get(record.protocol, record.protocol),
        "bars": waterfall(record),
        "bills": _bills(record),
        "charges": await _charges(console, record),
        "views": [] if captured is None else views_of(record, captured),
        "said": said,
        "capture": console.settings.capture.bodies,
        "is_full": captured is not None and any(body.data is not None for body in captured.bodies),
        "can_replay": captured is not None and _can_replay(captured),
    }
    return pages_of(request).page(request, "log.html", shown)


@router.api_route(f"{PATH}/{{id}}/bodies/{{number}}", methods=["GET", "HEAD"], response_class=Response)
async def body(
    request: Request, id: str, number: int, console: ConsoleOf, reader: PlatformReader, plain: bool = False
) -> Response:
    """One view, to be put into the page; `plain`: all of it, as text that no browser takes for a page."""
    one = await _view(console, id, number, reader)
    text = "" if one.data is None else one.data.decode("utf-8", "replace")
    if plain:
        return PlainTextResponse(text, headers={"cache-control": "no-store"})
    pretty = await asyncio.to_thread(_pretty, one.data)
    shown = {"body": one, "text": pretty[:MAX_SHOWN_CHARS], "left_out": max(0, len(pretty) - MAX_SHOWN_CHARS)}
    return pages_of(request).page(request, "log_body.html", {**shown, "plain": f"{PATH}/{id}/bodies/{number}?plain=1"})


@router.api_route(f"{PATH}/{{id}}/curl", methods=["GET", "HEAD"], response_class=Response)
async def curl(request: Request, id: str, console: ConsoleOf, reader: PlatformReader) -> Response:
    """The request as a command, the key as a variable."""
    one = await _view(console, id, 0, reader)
    if one.data is None or one.is_cut:
        raise HTTPException(404, "The body of this request was not captured whole.")
    command = curl_of(console.settings.address, one)
    return pages_of(request).page(request, "log_curl.html", {"command": command})


async def record_of(console: Console, id_: str, reader: Reader) -> Record:
    """Raises 404 where there is none that the reader may see."""
    record = await wait_for_record(console.store, id_[:200])
    if record is None or not await may_read(console, reader.actor, record):
        raise HTTPException(
            404, f"There is no request {id_[:100]}: it is the X-Request-Id of an answer, or the id in its body."
        )
    return record


async def _view(console: Console, id_: str, number: int, reader: Reader) -> Body:
    captured = await bodies_of(console, await record_of(console, id_, reader))
    if captured is None or not 0 <= number < len(captured.bodies):
        raise HTTPException(404, "This body was not captured, or is not kept any more.")
    return captured.bodies[number]


async def bodies_of(console: Console, record: Record) -> Captured | None:
    """What was captured of a request."""
    url, cipher = console.settings.store.url, Cipher(console.pepper)
    return await find_bodies(console.store, url, cipher, record.id, record.received_ms)


def waterfall(record: Record) -> list[Bar]:
    """The attempts over the time of the request."""
    start = min([record.received_ms, *(attempt.started_ms for attempt in record.attempts)])
    end = max([record.ended_ms, *(attempt.ended_ms for attempt in record.attempts)])
    whole = max(end - start, 0.001)
    return [_bar(number, attempt, start, whole) for number, attempt in enumerate(record.attempts, 1)]


def _bar(number: int, attempt: Attempt, start: float, whole: float) -> Bar:
    lasted = max(attempt.ended_ms - attempt.started_ms, 0.0)
    first = attempt.first_token_ms
    words = CAUSES.get(attempt.outcome, attempt.outcome)
    return Bar(
        number=number,
        attempt=attempt,
        left=round((attempt.started_ms - start) / whole * 100, 2),
        width=max(round(lasted / whole * 100, 2), 0.3),
        wait=100.0 if first is None or not lasted else round(min(first / lasted, 1.0) * 100, 2),
        duration_ms=lasted,
        throughput=throughput(attempt),
        words=f"status {attempt.status}" if attempt.outcome == "status" else words,
        is_good=attempt.outcome == "ok",
    )


def _bills(record: Record) -> list[tuple[int, Attempt]]:
    """The attempts that cost something, or of which a price is missing."""
    return [
        (number, attempt)
        for number, attempt in enumerate(record.attempts, 1)
        if attempt.cost.lines or attempt.cost.unpriced
    ]


async def _charges(console: Console, record: Record) -> list[tuple[str, str, int]]:
    """What was taken from which wallet: its name, its id (empty: from none), pico-USD."""
    if not record.charges:
        return []
    names = {one.wallet.id: one.wallet.name for one in (await credits_of(console.store, record.prepaid_by)).balances}
    return [(names.get(one.wallet, one.wallet), one.wallet, one.amount_pico_usd) for one in record.charges]


def views_of(record: Record, captured: Captured) -> list[View]:
    """In the order of a request: the caller's, each attempt's two, the answer."""
    numbers = {(attempt.offer, attempt.started_ms): at for at, attempt in enumerate(record.attempts, 1)}
    found = [
        View(number, VIEWS[body.view], body, numbers.get((body.offer, body.started_ms), 0))
        for number, body in enumerate(captured.bodies)
    ]
    order = {"client_request": 0, "provider_request": 1, "provider_answer": 1, "client_answer": 2}
    return sorted(found, key=lambda view: (order[view.body.view], view.attempt, view.number))


def conversation_of(record: Record, captured: Captured) -> Conversation | None:
    """What the caller asked and was answered; None where only metadata was captured."""
    by_view = {body.view: body for body in captured.bodies}
    request, answer = by_view.get("client_request"), by_view.get("client_answer")
    if request is None or request.data is None:
        return None
    asked = _read(lambda data: conversation.asked(record.protocol, data, request.target), request)
    answered = _read(lambda data: conversation.answered(record.protocol, data), answer)
    left = MAX_SAID_CHARS
    shortened = False
    for turns in (answered, asked):
        for at in range(len(turns or ()) - 1, -1, -1):
            assert turns is not None
            size = sum(len(piece.text) + len(piece.picture) for piece in turns[at].pieces)
            if size > left:
                turns[: at + 1] = []
                shortened = True
                break
            left -= size
    return Conversation(asked, answered, shortened)


def _read(reading: Any, body: Body | None) -> list[Said] | None:
    if body is None or not body.data:
        return None
    try:
        found: list[Said] = reading(body.data)
    except Unreadable:
        return None
    return found


def _can_replay(captured: Captured) -> bool:
    request = captured.bodies[0]
    return request.data is not None and not request.is_cut


def _pretty(data: bytes | None) -> str:
    if data is None:
        return ""
    try:
        return msgspec.json.format(data, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return data.decode("utf-8", "replace")


def curl_of(address: str, request: Body) -> str:
    """To be pasted into a shell."""
    method, _, path = request.target.partition(" ")
    query = "?alt=sse" if path.endswith(":streamGenerateContent") else ""
    text = (request.data or b"").decode("utf-8", "replace")
    named = [name for name in request.headers if name[0] in ("anthropic-version", "anthropic-beta", "openai-beta")]
    headers = [("content-type", "application/json"), *named]
    lines = [
        f"curl -X {method} {shlex.quote(address + path + query)}",
        '  -H "Authorization: Bearer $TRUNKLINE_API_KEY"',
    ]
    lines += [f"  -H {shlex.quote(f'{name}: {value}')}" for name, value in headers]
    return " \\\n".join([*lines, f"  --data-raw {shlex.quote(text)}"])

"""`/platform/keys`: list, make, change, rotate and revoke API keys. In: a reader. Out: pages; a secret on the one that follows its making, and never again.

The rules are those of the API (`api.management.key_changes`): this is a face for them. A member sees their own keys.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from trunkline.accounts.keys import MASTER_ID, ApiKey, is_valid
from trunkline.accounts.roles import reach
from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.key_bodies import ChangedKey, NewKey, RotatedKey
from trunkline.api.management.key_changes import change, desk_of, list_keys, make_key, revoke, rotate, seen_key
from trunkline.errors import RequestError
from trunkline.records.figures import DAY_S, HOUR_S, TOKENS, Use
from trunkline.storage.api_keys import KeyQuery, State
from trunkline.storage.budgets import BudgetQuery, find_budgets, standings
from trunkline.storage.ladder import Span
from trunkline.storage.statistics import Statistics
from trunkline.web import key_form, session_key
from trunkline.web.budgets_page import PERIODS
from trunkline.web.render import pages_of
from trunkline.web.session import ChangingReader, FormFields, PlatformReader, Reader
from trunkline.web.use_page import logs_of_key

PATH = "/platform/keys"
DAYS = 30
RECENT_S = 2 * DAY_S
"""Within it the hour of the last use is told, else the day."""
MOST = 200
"""In force, a page."""
MOST_ENDED = 100
MOST_BUDGETS = 20
OVERLAPS = (("0", "At once"), ("3600", "After an hour"), ("86400", "After a day"), ("604800", "After a week"))
"""Seconds for which the old secret goes on holding."""

Uses = dict[str, tuple[Use, int, bool]]
"""Key -> use of 30 days, the start of the hour or day in which it was used last (Unix seconds), and whether that is told to the hour."""

router = APIRouter(include_in_schema=False)


class KeyRow(msgspec.Struct, frozen=True):
    """A key as the list shows it. `last_used_ms` is the start of the hour or day in which it was used last."""

    key: ApiKey
    state: str
    """`valid`, `expired` or `revoked`."""
    use: Use
    last_used_ms: int | None
    to_the_hour: bool
    of_session: bool
    logs: str
    limits: tuple[str, ...]
    """What it may not do, in a few words each."""


@router.api_route(PATH, methods=["GET", "HEAD"], response_class=Response)
async def keys(
    request: Request,
    console: ConsoleOf,
    reader: PlatformReader,
    revoked: str = "",
    text: str = "",
    member: str = "",
    project: str = "",
    after: str = "",
) -> Response:
    """Those that the reader may see, in three parts."""
    text, member, project = text.strip()[:100], member[:60], project[:60]
    asked = KeyQuery(text=text, member_id=member or None, project_id=project, after=after[:60])
    valid, ended, used = await _listed(console, reader, asked)
    own = [row for row in valid if not row.of_session]
    sees_all = reach(reader.actor, "keys") == "everything"
    filters = {name: value for name, value in (("text", text), ("member", member), ("project", project)) if value}
    view = {
        "valid": own,
        "of_sessions": [row for row in valid if row.of_session],
        "ended": ended[:MOST_ENDED],
        "more_ended": max(len(ended) - MOST_ENDED, 0),
        "next": f"{PATH}?{urlencode({**filters, 'after': valid[-1].key.id})}" if len(valid) == MOST else "",
        "master": used[MASTER_ID][0] if sees_all and MASTER_ID in used else None,
        "master_logs": logs_of_key(MASTER_ID),
        "days": DAYS,
        "asked": filters,
        "just_revoked": next((row.key for row in ended if row.key.id == revoked), None),
    }
    return pages_of(request).page(request, "keys.html", await key_form.choices(console, reader) | view)


@router.post(PATH, response_class=Response)
async def make(request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields) -> Response:
    """Make one, and show its secret."""
    faults: list[str] = []
    try:
        fields = {
            "name": form.get("name", "").strip(),
            "zero_retention": form.get("zero_retention") == "on",
            "kind": form.get("kind") or "inference",
            "member_id": form.get("member_id", ""),
            "project_id": form.get("project_id", ""),
            "rules": key_form.rules(form),
            **key_form.lifetime(form, console.now_ms()),
        }
        wanted, faults = key_form.read_form(NewKey, fields)
        if wanted is not None:
            issued = await make_key(desk_of(console), reader.actor, wanted)
            return pages_of(request).page(request, "key_made.html", _made(console, issued.secret, issued.key))
    except RequestError as error:
        faults = [error.message]
    view = await key_form.choices(console, reader) | {"faults": faults, "filled": form}
    return pages_of(request).page(request, "key_new.html", view, 400)


@router.api_route(f"{PATH}/{{key_id}}", methods=["GET", "HEAD"], response_class=Response)
async def show(
    request: Request, console: ConsoleOf, reader: PlatformReader, key_id: str, changed: str = ""
) -> Response:
    """What a key may do, to be changed."""
    key = await seen_key(desk_of(console), reader.actor, key_id)
    return await _shown(request, console, reader, key, {"changed": bool(changed)})


@router.post(f"{PATH}/{{key_id}}", response_class=Response)
async def change_it(
    request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields, key_id: str
) -> Response:
    """Put what the form says in place."""
    desk = desk_of(console)
    key = await seen_key(desk, reader.actor, key_id)
    faults: list[str] = []
    try:
        fields: dict[str, Any] = {
            "name": form.get("name", "").strip(),
            "zero_retention": form.get("zero_retention") == "on",
            "project_id": form.get("project_id", ""),
            "rules": key_form.rules(form),
        }
        if form.get("until", "") != key_form.filled(key)["until"]:
            fields |= key_form.lifetime({"until": form.get("until", "")}, console.now_ms()) or {"expires_at": None}
        wanted, faults = key_form.read_form(ChangedKey, fields)
        if wanted is not None:
            await change(desk, reader.actor, key_id, wanted)
            return RedirectResponse(f"{PATH}/{key_id}?changed=1", 303)
    except RequestError as error:
        faults = [error.message]
    return await _shown(request, console, reader, key, {"faults": faults, "filled": form}, 400)


@router.post(f"{PATH}/{{key_id}}/rotate", response_class=Response)
async def rotate_it(
    request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields, key_id: str
) -> Response:
    """A new secret, shown once."""
    overlap = form.get("overlap", "0")
    if overlap not in dict(OVERLAPS):
        raise HTTPException(400, f"The old key ends after one of the times in the list, not {overlap[:40]!r}.")
    wanted = RotatedKey(overlap_s=int(overlap))
    issued, old = await rotate(desk_of(console), reader.actor, key_id, wanted)
    view = _made(console, issued.secret, issued.key) | {"old": old, "at_once": overlap == "0"}
    return pages_of(request).page(request, "key_made.html", view)


@router.api_route(f"{PATH}/{{key_id}}/revoke", methods=["GET", "HEAD"], response_class=Response)
async def ask_to_revoke(request: Request, console: ConsoleOf, reader: PlatformReader, key_id: str) -> Response:
    """What would end, and who may miss it."""
    key = await seen_key(desk_of(console), reader.actor, key_id)
    (row,) = _rows(console, [key], await uses(console))
    return pages_of(request).page(request, "key_revoke.html", {"row": row, "days": DAYS})


@router.post(f"{PATH}/{{key_id}}/revoke", response_class=Response)
async def revoke_it(console: ConsoleOf, reader: ChangingReader, key_id: str) -> Response:
    """End it now."""
    key = await revoke(desk_of(console), reader.actor, key_id)
    return RedirectResponse(f"{PATH}?revoked={key.id}", 303)


async def _listed(console: Console, reader: Reader, asked: KeyQuery) -> tuple[list[KeyRow], list[KeyRow], Uses]:
    """In force (a page of them), ended (one more than is shown), and the use of every id that there was."""
    desk = desk_of(console)

    async def found(state: State, limit: int) -> list[ApiKey]:
        # The place of a page is that of the keys in force.
        query = msgspec.structs.replace(asked, state=state, limit=limit, after=asked.after if state == "valid" else "")
        return await list_keys(desk, reader.actor, query)

    used, valid, expired, revoked = await asyncio.gather(
        uses(console), found("valid", MOST), found("expired", MOST_ENDED + 1), found("revoked", MOST_ENDED + 1)
    )
    ended = sorted((*expired, *revoked), key=lambda key: (-key.created_ms, key.id))
    return _rows(console, valid, used), _rows(console, ended, used), used


def _rows(console: Console, found: Sequence[ApiKey], used: Uses) -> list[KeyRow]:
    now_ms = console.now_ms()
    rows = []
    for key in found:
        use, last_s, to_the_hour = used.get(key.id) or (Use(), None, False)
        rows.append(
            KeyRow(
                key=key,
                state="revoked" if key.revoked_ms is not None else "valid" if is_valid(key, now_ms) else "expired",
                use=use,
                last_used_ms=None if last_s is None else last_s * 1000,
                to_the_hour=to_the_hour,
                of_session=key.name == session_key.NAME,
                logs=logs_of_key(key.id),
                limits=_limits(key),
            )
        )
    return rows


def _limits(key: ApiKey) -> tuple[str, ...]:
    rules = key.rules
    counted = (("model", rules.models), ("provider", rules.providers), ("protocol", rules.protocols))
    said = [f"{len(names)} {what}{'s' if len(names) > 1 else ''}" for what, names in counted if names]
    numbers = (("requests/min", rules.requests_per_minute), ("tokens/min", rules.tokens_per_minute))
    said += [f"{number:,} {what}" for what, number in numbers if number is not None]
    if rules.concurrency is not None:
        said.append(f"{rules.concurrency:,} at once")
    policy = rules.data_policy
    if policy.no_training or policy.zero_retention or policy.region:
        said.append("data policy")
    return tuple(said)


def _made(console: Console, secret: str, key: ApiKey) -> dict[str, object]:
    return {"secret": secret, "key": key, "old": None, "base_url": f"{console.settings.address}/api/v1"}


async def _shown(
    request: Request, console: Console, reader: Reader, key: ApiKey, more: Mapping[str, object], status: int = 200
) -> Response:
    (row,) = _rows(console, [key], await uses(console))
    view = await key_form.choices(console, reader) | {"filled": key_form.filled(key), "changed": False, **more}
    query = BudgetQuery(key.org_id, "key", key.rotated_from or key.id, limit=MOST_BUDGETS)
    budgets = await standings(console.store, await find_budgets(console.store, query), console.now_ms())
    view |= {"row": row, "key": key, "days": DAYS, "overlaps": OVERLAPS, "budgets": budgets, "periods": dict(PERIODS)}
    return pages_of(request).page(request, "key.html", view, status)


async def uses(console: Console) -> Uses:
    """Of all keys."""
    statistics, now_s = Statistics(console.store, console.now_ms), int(console.now_ms() // 1000)
    today_s, end_s = now_s - now_s % DAY_S, now_s + HOUR_S
    span, recent = Span(today_s - (DAYS - 1) * DAY_S, end_s), Span(today_s - RECENT_S + DAY_S, end_s)
    used, days, hours = await asyncio.gather(
        statistics.use_over(span, ("key_id",), sums=("requests", *TOKENS, "cost_pico_usd")),
        statistics.last_used(span, "key_id", DAY_S),
        statistics.last_used(recent, "key_id", HOUR_S),
    )
    found: Uses = {}
    for row in used:
        id_ = row.by[0]
        day_s, hour_s = days.get(id_, 0), hours.get(id_, 0)
        found[id_] = row.use, max(day_s, hour_s), hour_s >= day_s
    return found

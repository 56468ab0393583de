"""`/platform/keys`: list, make and revoke API keys. In: a signed-in reader. Out: pages; a secret on the one that follows its making, and never again.

The rules are those of the API (`api.management.keys`): this is a face for them.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from trunkline.accounts.keys import MASTER_ID, ApiKey, is_valid
from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.keys import NewKey, make_key
from trunkline.records.figures import DAY_S, HOUR_S, Use
from trunkline.storage.ladder import Span
from trunkline.storage.statistics import Statistics
from trunkline.web import session_key
from trunkline.web.render import pages_of
from trunkline.web.session import ChangingReader, FormFields, PlatformReader
from trunkline.web.use import add
from trunkline.web.use_page import logs_of_key

PATH = "/platform/keys"
DAYS = 30
RECENT_S = 2 * DAY_S
"""Within it the hour of the last use is told, else the day."""
LIFETIMES = (("", "Never"), ("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "1 year"))
"""Days; or the reader's own date, in `until`."""
MOST_ENDED = 100

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


@router.api_route(PATH, methods=["GET", "HEAD"], response_class=Response)
async def keys(request: Request, console: ConsoleOf, _: PlatformReader, revoked: str = "") -> Response:
    """All of them."""
    rows, uses = await key_rows(console)
    valid = [row for row in rows if row.state == "valid"]
    ended = [row for row in rows if row.state != "valid"]
    view = {
        "valid": [row for row in valid if not row.of_session],
        "of_sessions": [row for row in valid if row.of_session],
        "ended": ended[:MOST_ENDED],
        "more_ended": max(len(ended) - MOST_ENDED, 0),
        "master": uses[MASTER_ID][0] if MASTER_ID in uses else None,
        "master_logs": logs_of_key(MASTER_ID),
        "days": DAYS,
        "just_revoked": next((row.key for row in ended if row.key.id == revoked), None),
    }
    return pages_of(request).page(request, "keys.html", _form(console) | view)


@router.post(PATH, response_class=Response)
async def make(request: Request, console: ConsoleOf, _: ChangingReader, form: FormFields) -> Response:
    """Make one, and show its secret."""
    wanted, faults = wanted_key(form, console.now_ms())
    if wanted is None:
        view = {"faults": faults, "filled": form}
        return pages_of(request).page(request, "key_new.html", _form(console) | view, 400)
    issued = await make_key(console, wanted)
    made = {"secret": issued.secret, "key": issued.key, "base_url": f"{console.settings.address}/api/v1"}
    return pages_of(request).page(request, "key_made.html", made)


@router.api_route(f"{PATH}/{{key_id}}/revoke", methods=["GET", "HEAD"], response_class=Response)
async def ask_to_revoke(request: Request, console: ConsoleOf, reader: PlatformReader, key_id: str) -> Response:
    """What would end, and who may miss it."""
    del reader
    rows, _ = await key_rows(console)
    row = next((row for row in rows if row.key.id == key_id), None)
    if row is None:
        raise HTTPException(404, f"There is no key {key_id[:60]}.")
    return pages_of(request).page(request, "key_revoke.html", {"row": row, "days": DAYS})


@router.post(f"{PATH}/{{key_id}}/revoke", response_class=Response)
async def revoke(console: ConsoleOf, _: ChangingReader, key_id: str) -> Response:
    """End it now."""
    key = await console.store.revoke_key(key_id, now_ms=int(console.now_ms()))
    if key is None:
        raise HTTPException(404, f"There is no key {key_id[:60]}.")
    return RedirectResponse(f"{PATH}?revoked={key.id}", 303)


async def key_rows(console: Console) -> tuple[list[KeyRow], Uses]:
    """Newest first, with the use of 30 days; and that of every id that there was."""
    now_ms = console.now_ms()
    found, uses = await asyncio.gather(console.store.list_keys(), _uses(console))
    rows = []
    for key in found:
        use, last_s, to_the_hour = uses.get(key.id) or (Use(), None, False)
        rows.append(
            KeyRow(
                key=key,
                state="revoked" if key.revoked_ms is not None else "valid" if is_valid(key, now_ms) else "expired",
                use=use,
                last_used_ms=None if last_s is None else last_s * 1000,
                to_the_hour=to_the_hour,
                of_session=key.name == session_key.NAME,
                logs=logs_of_key(key.id),
            )
        )
    return rows, uses


def wanted_key(form: Mapping[str, str], now_ms: float) -> tuple[NewKey | None, list[str]]:
    """What the form asks for by the API's rules, or what is wrong with it in words."""
    try:
        expires_in_s = _lifetime_s(form, now_ms)
        return NewKey(
            name=form.get("name", "").strip(),
            expires_in_s=expires_in_s,
            zero_retention=form.get("zero_retention") == "on",
        ), []
    except ValidationError as error:
        return None, [f"{str(fault['loc'][0]).capitalize()}: {fault['msg'].lower()}." for fault in error.errors()]
    except ValueError as error:
        return None, [str(error)]


def _lifetime_s(form: Mapping[str, str], now_ms: float) -> int | None:
    """Until the end of the day of `until`, else so many days as `expires` says; None without an end. Raises ValueError."""
    until, expires = form.get("until", "").strip(), form.get("expires", "")
    if until:
        try:
            last = datetime.strptime(until, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            raise ValueError(f"The last day is a date such as 2027-01-31, not {until[:40]!r}.") from None
        left_s = int(last.timestamp() + DAY_S - now_ms / 1000)
        if left_s <= 0:
            raise ValueError(f"The last day, {until}, is over.")
        return left_s
    if expires not in dict(LIFETIMES):
        raise ValueError(f"A key ends after one of the times in the list, not {expires[:40]!r}.")
    return int(expires) * DAY_S if expires else None


def _form(console: Console) -> dict[str, object]:
    return {"lifetimes": LIFETIMES, "today": console.today(), "faults": [], "filled": {}}


async def _uses(console: Console) -> Uses:
    statistics, now_s = Statistics(console.store, console.now_ms), int(console.now_ms() // 1000)
    today_s, end_s = now_s - now_s % DAY_S, now_s + HOUR_S
    by_day, by_hour = await asyncio.gather(
        statistics.use_over(Span(today_s - (DAYS - 1) * DAY_S, end_s), ("key_id",), width_s=DAY_S),
        statistics.use_over(Span(today_s - RECENT_S + DAY_S, end_s), ("key_id",), width_s=HOUR_S, sums=("requests",)),
    )
    hours: dict[str, int] = {}
    for row in by_hour:
        hours[row.by[0]] = max(hours.get(row.by[0], 0), row.start_s or 0)
    found: Uses = {}
    for row in by_day:
        id_, start_s = row.by[0], row.start_s or 0
        use, last_s, _ = found.get(id_) or (Use(), 0, False)
        add(use, row.use)
        last_s = max(last_s, start_s)
        found[id_] = use, max(last_s, hours.get(id_, 0)), hours.get(id_, 0) >= last_s
    return found

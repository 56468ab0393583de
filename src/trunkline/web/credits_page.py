"""`/platform/credits`: what is left in an organisation's wallets, how fast it goes, and the statement. In: an administrator. Out: pages.

The rules are those of the API (`api.management.credits`): this is a face for them.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from starlette.responses import RedirectResponse

from trunkline.accounts.keys import MASTER_ID
from trunkline.accounts.ledger import wallet_account
from trunkline.accounts.roles import organisation_of
from trunkline.accounts.types import DEFAULT_ORGANISATION, Transaction
from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.credits import Adjustment, NewCredit, add, mark_of, put_right, written
from trunkline.errors import RequestError
from trunkline.records.figures import DAY_S
from trunkline.storage import ledger, people
from trunkline.storage.ladder import Span
from trunkline.storage.ledger import Credits
from trunkline.storage.people import names_of
from trunkline.storage.statistics import Statistics
from trunkline.web.render import pages_of
from trunkline.web.session import ChangingReader, FormFields, PlatformReader, Reader, demand

PATH = "/platform/credits"
ROWS = 50
DAYS = 30
PICO = 10**12

router = APIRouter(include_in_schema=False)


class Row(msgspec.Struct, frozen=True):
    """A transaction as the statement shows it: what the wallets gained or lost by it, all together and each."""

    transaction: Transaction
    amount_pico_usd: int
    wallets: tuple[tuple[str, int], ...]


@router.api_route(PATH, methods=["GET", "HEAD"], response_class=Response)
async def credits_page(
    request: Request,
    console: ConsoleOf,
    reader: PlatformReader,
    after: str = "",
    spending: bool = False,
    organisation: str = "",
    done: str = "",
) -> Response:
    """How it stands."""
    demand(reader, "credits.see")
    org_id = organisation_of(reader.actor, organisation or None)
    return await _page(request, console, reader, org_id, after=after[:120], spending=spending, done=done[:20])


@router.post(PATH, response_class=Response)
async def put_in(request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields) -> Response:
    """Put money in."""
    demand(reader, "credits")
    org_id = organisation_of(reader.actor, form.get("organisation") or None)
    until = form.get("until", "")
    fields = {name: form[name] for name in ("amount_usd", "kind", "name", "note") if name in form}
    try:
        body = NewCredit(**fields, expires_at=f"{until}T00:00:00Z" if until else None)
        await add(console, reader.actor, body, org_id, form.get("again") or None)
    except ValidationError as error:
        return await _page(request, console, reader, org_id, fault=_fault(error), filled=form)
    except RequestError as error:
        return await _page(request, console, reader, org_id, fault=_sentence(error.message), filled=form)
    return RedirectResponse(_address(org_id, done="added"), 303)


@router.post(f"{PATH}/{{wallet_id}}", response_class=Response)
async def adjust(
    request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields, wallet_id: str
) -> Response:
    """Put right what is in a wallet."""
    demand(reader, "credits")
    org_id = organisation_of(reader.actor, form.get("organisation") or None)
    try:
        body = Adjustment(amount_usd=form.get("amount_usd", ""), note=form.get("note", ""))
        await put_right(console, reader.actor, wallet_id, body, form.get("again") or None)
    except ValidationError as error:
        return await _page(request, console, reader, org_id, fault=_fault(error))
    except RequestError as error:
        return await _page(request, console, reader, org_id, fault=_sentence(error.message))
    return RedirectResponse(_address(org_id, done="adjusted"), 303)


async def _page(
    request: Request,
    console: Console,
    reader: Reader,
    org_id: str,
    *,
    after: str = "",
    spending: bool = False,
    done: str = "",
    fault: str = "",
    filled: dict[str, str] | None = None,
) -> Response:
    before = mark_of(after)
    own, credits, transactions, burn, organisations = await asyncio.gather(
        people.organisation(console.store, org_id),
        ledger.credits_of(console.store, org_id),
        ledger.statement(console.store, org_id, limit=ROWS + 1, before=before, spending=spending),
        _burn(console, org_id),
        _organisations(console, reader),
    )
    rows = [_row(one, credits) for one in transactions[:ROWS]]
    days, spent = burn
    view = {
        "organisation": own,
        "organisations": organisations,
        "org_id": org_id,
        "credits": credits,
        "rows": rows,
        "names": await names_of(console.store, {one.transaction.actor for one in rows}) | {MASTER_ID: "master key"},
        "wallet_names": {one.wallet.id: one.wallet.name for one in credits.balances},
        "older": _address(org_id, after=written(transactions[ROWS - 1]), spending=spending)
        if len(transactions) > ROWS
        else "",
        "newest": _address(org_id, spending=spending) if after else "",
        "other": _address(org_id, spending=not spending),
        "spending": spending,
        "burn": {"x": days, "series": [{"name": "Spent", "values": [one / PICO for one in spent]}], "kind": "bars"},
        "spent": sum(spent),
        "days": DAYS,
        "lasts_days": _lasts_days(credits, spent),
        "done": done,
        "fault": fault,
        "filled": filled or {},
        "again": console.random_bytes(12).hex(),
    }
    return pages_of(request).page(request, "credits.html", view, 400 if fault else 200)


async def _burn(console: Console, org_id: str) -> tuple[list[int], list[int]]:
    """What the keys of an organisation spent by day: starts in Unix seconds, pico-USD."""
    now_s = int(console.now_ms() // 1000)
    first_s = now_s - now_s % DAY_S - (DAYS - 1) * DAY_S
    keys = {key.id for key in await console.store.list_keys() if key.org_id == org_id}
    keys |= {MASTER_ID} if org_id == DEFAULT_ORGANISATION else set()
    statistics = Statistics(console.store, console.now_ms)
    found = await statistics.use_over(Span(first_s, now_s + 1), ("key_id",), width_s=DAY_S, sums=("cost_pico_usd",))
    spent = dict.fromkeys(range(first_s, now_s + 1, DAY_S), 0)
    for row in found:
        start_s = (row.start_s or first_s) // DAY_S * DAY_S
        if row.by[0] in keys and start_s in spent:
            spent[start_s] += row.use.cost_pico_usd
    return list(spent), list(spent.values())


async def _organisations(console: Console, reader: Reader) -> list[Any]:
    """Between which the reader may choose; empty where there is nothing to choose."""
    if not reader.may("organisations"):
        return []
    found = await people.find_organisations(console.store, limit=200)
    return found if len(found) > 1 else []


def _row(transaction: Transaction, credits: Credits) -> Row:
    accounts = {wallet_account(one.wallet.id): one.wallet.id for one in credits.balances}
    wallets = tuple(
        (accounts[entry.account], entry.amount_pico_usd) for entry in transaction.entries if entry.account in accounts
    )
    return Row(transaction, sum(amount for _, amount in wallets), wallets)


def _lasts_days(credits: Credits, spent: Sequence[int]) -> int | None:
    """As long as what is left lasts, if it goes on as in the last seven days; None where nothing tells."""
    week = sum(spent[-7:])
    return None if week <= 0 or credits.left_pico_usd <= 0 else credits.left_pico_usd * 7 // week


def _address(org_id: str, **more: str | bool) -> str:
    named = {} if org_id == DEFAULT_ORGANISATION else {"organisation": org_id}
    query = urlencode(
        {name: "1" if value is True else str(value) for name, value in {**named, **more}.items() if value}
    )
    return f"{PATH}?{query}" if query else PATH


def _fault(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    names = {
        "amount_usd": "The amount",
        "expires_at": "The end",
        "note": "The note",
        "name": "The name",
        "kind": "The kind",
    }
    name = names.get(str(first["loc"][0]), "A field")
    if first["loc"][0] == "amount_usd":
        return f"{name} is in USD, such as 12.50, with twelve places at most."
    return f"{name}: {first['msg']}."


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."

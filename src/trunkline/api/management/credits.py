"""`/api/v1/management/credits`: what an organisation put in, spent and has left; its statement. In: an administrator. Out: `{"success": true, "data": ...}`.

Amounts are exact decimals in USD, as text. Money is put in by whoever runs the installation.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from trunkline.accounts.ledger import Balance
from trunkline.accounts.roles import covers, organisation_of
from trunkline.accounts.types import Actor, Transaction, TransactionKind, WalletKind
from trunkline.api.management.access import ConsoleOf, allowed
from trunkline.api.management.console import Console
from trunkline.api.management.members import Limit, OrganisationId, iso
from trunkline.api.management.projects import Again
from trunkline.errors import InvalidParams, NotFound
from trunkline.pricing.money import usd
from trunkline.storage import ledger, people
from trunkline.storage.ledger import Credit, Credits, Mark

PICO = 10**12
Looker = Annotated[Actor, Depends(allowed("credits.see"))]
Giver = Annotated[Actor, Depends(allowed("credits"))]
Usd = Annotated[Decimal, Field(max_digits=18, decimal_places=12, examples=["12.50"])]
_MARK = re.compile(r"([0-9]{1,18})_([A-Za-z0-9_]{1,80})")


class WalletCard(BaseModel):
    """A wallet with what is left in it."""

    id: str
    kind: WalletKind
    name: str
    left_usd: str
    created_at: str
    expires_at: str | None


class WalletAnswer(BaseModel):
    success: Literal[True] = True
    data: WalletCard


class CreditsCard(BaseModel):
    """`wallets` are in the order in which they are spent. Only a prepaid organisation spends from them."""

    organisation: str
    prepaid: bool
    funded_usd: str
    spent_usd: str
    left_usd: str
    wallets: list[WalletCard]


class CreditsAnswer(BaseModel):
    success: Literal[True] = True
    data: CreditsCard


class EntryCard(BaseModel):
    account: str
    amount_usd: str


class TransactionCard(BaseModel):
    """The amounts of its entries add up to nothing."""

    id: str
    at: str
    kind: TransactionKind
    note: str
    actor: str
    entries: list[EntryCard]


class Statement(BaseModel):
    """`next` is the `after` of the following page, null on the last."""

    success: Literal[True] = True
    data: list[TransactionCard]
    next: str | None


class NewCredit(BaseModel):
    """Money to be put in. It goes into the wallet of the same kind, name and end, which is made where there is none."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    amount_usd: Usd
    kind: WalletKind = "top_up"
    name: str = Field("", max_length=100, examples=["Welcome"])
    expires_at: datetime | None = None
    note: str = Field("", max_length=500)


class Adjustment(BaseModel):
    """What to put into a wallet, or below nothing what to take out, and why."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    amount_usd: Usd
    note: str = Field(min_length=1, max_length=500)


router = APIRouter(prefix="/api/v1/management/credits")


@router.get("")
async def show_credits(actor: Looker, console: ConsoleOf, organisation: OrganisationId = None) -> CreditsAnswer:
    """What there is."""
    org_id = organisation_of(actor, organisation)
    found = await people.organisation(console.store, org_id)
    if found is None:
        raise NotFound(f"there is no organisation {org_id[:60]}", param="organisation")
    standing = await ledger.credits_of(console.store, org_id)
    return CreditsAnswer(data=_card(standing, prepaid=found.prepaid))


@router.get("/statement")
async def show_statement(
    actor: Looker,
    console: ConsoleOf,
    organisation: OrganisationId = None,
    spending: Annotated[bool, Query(description="What requests spent too, a line for each batch.")] = False,
    after: Annotated[str, Query(max_length=120)] = "",
    limit: Limit = 50,
) -> Statement:
    """Newest first."""
    org_id, before = organisation_of(actor, organisation), mark_of(after)
    found = await ledger.statement(console.store, org_id, limit=limit + 1, before=before, spending=spending)
    page = found[:limit]
    last = written(page[-1]) if len(found) > limit else None
    return Statement(data=[_transaction_card(one) for one in page], next=last)


@router.post("", status_code=201)
async def put_in(
    body: NewCredit, actor: Giver, console: ConsoleOf, again: Again = None, organisation: OrganisationId = None
) -> WalletAnswer:
    """Put money in. Gives the wallet as it is then."""
    return WalletAnswer(data=_wallet_card(await add(console, actor, body, organisation_of(actor, organisation), again)))


@router.post("/{wallet_id}/adjustments", status_code=201)
async def adjust(
    wallet_id: str, body: Adjustment, actor: Giver, console: ConsoleOf, again: Again = None
) -> WalletAnswer:
    """Put right what is in a wallet. Gives it as it is then."""
    return WalletAnswer(data=_wallet_card(await put_right(console, actor, wallet_id, body, again)))


async def add(console: Console, actor: Actor, body: NewCredit, org_id: str, again: str | None) -> Balance:
    """For the page too. With the same `again` once."""
    expires_ms = None if body.expires_at is None else _unix_ms(body.expires_at)
    reference = again or console.random_bytes(12).hex()
    credit = Credit(org_id, body.kind, _pico(body.amount_usd), reference, body.name, expires_ms, body.note)
    at_ms = int(console.now_ms())
    return await ledger.add_credit(
        console.store, credit, actor, at_ms=at_ms, new_id=lambda: console.random_bytes(10).hex()
    )


async def put_right(console: Console, actor: Actor, wallet_id: str, body: Adjustment, again: str | None) -> Balance:
    """For the page too. NotFound for a wallet of nobody, or of another organisation."""
    wallet = await ledger.wallet_of(console.store, wallet_id)
    after: Balance | None = None
    if wallet is not None and covers(actor, "credits", wallet.org_id):
        after = await ledger.adjust(
            console.store,
            wallet_id,
            _pico(body.amount_usd),
            actor,
            at_ms=int(console.now_ms()),
            reference=again or console.random_bytes(12).hex(),
            note=body.note,
        )
    if after is None:
        raise NotFound(f"there is no wallet {wallet_id[:60]}", param="wallet_id")
    return after


def mark_of(text: str) -> Mark | None:
    """The place that `written` gives. InvalidParams for what is none."""
    if not text:
        return None
    found = _MARK.fullmatch(text)
    if found is None:
        raise InvalidParams("after is the `next` of the page before", param="after")
    return Mark(int(found[1]), found[2])


def written(transaction: Transaction) -> str:
    """A place for an address."""
    return f"{transaction.at_ms}_{transaction.id}"


def _unix_ms(moment: datetime) -> int:
    """UTC where it says nothing else."""
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _pico(amount: Decimal) -> int:
    return int(amount * PICO)


def _card(found: Credits, *, prepaid: bool) -> CreditsCard:
    return CreditsCard(
        organisation=found.org_id,
        prepaid=prepaid,
        funded_usd=usd(found.funded_pico_usd),
        spent_usd=usd(found.spent_pico_usd),
        left_usd=usd(found.left_pico_usd),
        wallets=[_wallet_card(one) for one in found.balances],
    )


def _wallet_card(balance: Balance) -> WalletCard:
    wallet = balance.wallet
    return WalletCard(
        id=wallet.id,
        kind=wallet.kind,
        name=wallet.name,
        left_usd=usd(balance.left_pico_usd),
        created_at=iso(wallet.created_ms),
        expires_at=None if wallet.expires_ms is None else iso(wallet.expires_ms),
    )


def _transaction_card(one: Transaction) -> TransactionCard:
    entries = [EntryCard(account=entry.account, amount_usd=usd(entry.amount_pico_usd)) for entry in one.entries]
    return TransactionCard(id=one.id, at=iso(one.at_ms), kind=one.kind, note=one.note, actor=one.actor, entries=entries)

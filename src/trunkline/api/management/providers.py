"""`GET /api/v1/management/providers`: which providers can be called, and what is missing of the others. In: the
console. Out: a card each."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from trunkline.accounts.types import Actor
from trunkline.api.management.access import ConsoleOf, allowed
from trunkline.api.management.console import Console
from trunkline.catalog.query import has_ended
from trunkline.providers.accounts import Absent, Account
from trunkline.records.types import Attempt, Record

OPERATOR_STATUSES = frozenset({401, 402, 403})
"""What a provider answers when the operator's key or credit is at fault, not the caller's request."""
LOOK_BACK_RECORDS = 200


class Fault(BaseModel):
    """The last refusal that only the operator can mend."""

    at_ms: float
    status: int
    message: str
    offer: str


class ProviderCard(BaseModel):
    """A provider as this installation has it. `variables` are those of the environment that would bring it."""

    slug: str
    name: str
    state: Literal["ready", "absent"]
    reason: str
    variables: list[str]
    hosts: list[str]
    models: int
    local: bool
    status_page: str | None
    last_fault: Fault | None


class ProviderList(BaseModel):
    data: list[ProviderCard]


Operator = Annotated[Actor, Depends(allowed("installation"))]
router = APIRouter()


@router.get("/api/v1/management/providers")
async def providers(_: Operator, console: ConsoleOf) -> ProviderList:
    """All providers of the catalog: those that can be called first."""
    faults = operator_faults(await console.store.recent(LOOK_BACK_RECORDS))
    return ProviderList(data=provider_cards(console, faults))


def provider_cards(console: Console, faults: dict[str, Fault]) -> list[ProviderCard]:
    """A card for each provider, the ready ones first, then by name. Offers that have ended do not count."""
    today = console.today()
    offered: dict[str, int] = {}
    for model in console.catalog.models.values():
        for offer in model.offers:
            if not has_ended(offer, today):
                offered[offer.provider] = offered.get(offer.provider, 0) + 1
    cards = [
        _card(slug, state, offered.get(slug, 0), faults.get(slug)) for slug, state in sorted(console.accounts.items())
    ]
    return sorted(cards, key=lambda card: (card.state != "ready", card.name.lower()))


def operator_faults(newest_first: Sequence[Record]) -> dict[str, Fault]:
    """Provider -> its last refusal of the operator's key or credit, unless a later attempt there went well."""
    latest: dict[str, Attempt] = {}
    for record in newest_first:
        for attempt in reversed(record.attempts):
            if attempt.outcome == "ok" or attempt.status in OPERATOR_STATUSES:
                latest.setdefault(attempt.provider, attempt)
    return {slug: _fault(attempt) for slug, attempt in latest.items() if attempt.outcome != "ok"}


def _fault(attempt: Attempt) -> Fault:
    return Fault(at_ms=attempt.ended_ms, status=attempt.status, message=attempt.message, offer=attempt.offer)


def _card(slug: str, state: Account | Absent, models: int, fault: Fault | None) -> ProviderCard:
    absent = state if isinstance(state, Absent) else None
    return ProviderCard(
        slug=slug,
        name=state.provider.name,
        state="absent" if absent else "ready",
        reason=absent.reason if absent else "",
        variables=list(absent.variables) if absent else [],
        hosts=state.hosts if isinstance(state, Account) else [],
        models=models,
        local=state.provider.local,
        status_page=state.provider.status_url or None,
        last_fault=fault,
    )

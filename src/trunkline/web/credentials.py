"""`/platform/providers`: what opens each provider, how it does, what is missing. In: the console, and what the reader asks to be tried.

No value of a credential is ever shown: where it was found, and how many there are. A test is one small request through the data plane's own port.
"""

import asyncio
import os
import signal
from collections.abc import Mapping
from decimal import Decimal

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.credentials import Credentials, credentials
from trunkline.api.management.generation import wait_for_record
from trunkline.api.management.providers import LOOK_BACK_RECORDS, ProviderCard, operator_faults, provider_cards
from trunkline.catalog.types import Offer
from trunkline.cli.serve import check_catalog, running_pid
from trunkline.errors import ConfigError
from trunkline.records.figures import DAY_S, HOUR_S, OfferFigures
from trunkline.records.types import Attempt, Record
from trunkline.settings import load_settings
from trunkline.storage.ladder import Span
from trunkline.storage.statistics import Statistics
from trunkline.web import data_plane
from trunkline.web.provider_keys import stored_view
from trunkline.web.render import pages_of
from trunkline.web.session import ChangingReader, FormFields, PlatformReader, Reader, demand
from trunkline.web.session_key import session_key

CHAT = "/api/v1/chat/completions"
PLACE = "/platform/providers"
PROMPT = "Answer with the word ok."
MAX_TOKENS = 16
"""OpenAI's Responses refuses fewer: https://github.com/earendil-works/pi/issues/6265."""
TEST_WITHIN_S = 90.0
"""A local model may have to be loaded first."""
MAX_CHOICES = 40
UNKNOWN_PRICE = Decimal(10**9)

MENDS = {
    401: "The provider refuses the key: check that it is whole, of this provider, and not revoked.",
    402: "The account has no credit left: add some at the provider.",
    403: "The key may not do this: check what the account and the key are allowed to.",
    404: "The provider does not know the model for this account: it may have to be enabled there, or the deployment has another name.",
    429: "The account is at its limit, or out of quota: wait, or raise it at the provider.",
}
CAUSES = {
    "connect": "No connection could be made: check the address and what stands between (proxy, firewall).",
    "tls": "The provider's certificate is not good for its address.",
    "timeout_connect": "No connection came about in time: check the address and what stands between (proxy, firewall).",
    "timeout_first_event": "The provider took the request and then said nothing in time.",
}


class Entry(msgspec.Struct, frozen=True):
    """A provider that can be called. `figures` are of 24 hours; None where there were no requests."""

    card: ProviderCard
    credentials: Credentials
    figures: OfferFigures | None
    cost_pico_usd: int
    choices: tuple[str, ...]
    """Offers to try, the cheapest first."""
    simulated: bool


class Missing(msgspec.Struct, frozen=True):
    """A provider that cannot be called."""

    card: ProviderCard
    switched_off: bool
    docs_url: str


class Tried(msgspec.Struct, frozen=True):
    """What came of a test."""

    slug: str
    offer: str
    ok: bool
    words: str
    mend: str = ""
    ms: float | None = None
    record: Record | None = None


router = APIRouter(include_in_schema=False)


@router.api_route(PLACE, methods=["GET", "HEAD"], response_class=Response)
async def credentials_page(
    request: Request,
    console: ConsoleOf,
    reader: PlatformReader,
    told: str = "",
    kept: str = "",
    replaced: str = "",
    revoked: str = "",
) -> Response:
    """The page. Those who do not run the installation see their stored keys alone."""
    demand(reader, "credentials")
    done = {"The key is kept": kept, "The key was replaced": replaced, "The key is revoked": revoked}
    words = next((f"{words}; gateways go by it within a second." for words, id_ in done.items() if id_), "")
    return await _page(request, console, reader, reloading=told == "reloading", stored_told=words)


@router.post(PLACE + "/{slug}/test", response_class=Response)
async def tried_page(
    request: Request, console: ConsoleOf, reader: ChangingReader, form: FormFields, slug: str
) -> Response:
    """Try one offer, and say what came of it: in the card alone where htmx asks."""
    demand(reader, "installation")
    choices = _choices_by_provider(console).get(slug, [])
    offer = form.get("offer") or (choices[0] if choices else "")
    if offer not in choices:
        raise HTTPException(404, f"{slug[:80]} has no offer {offer[:120]!r} that can be called for text.")
    tried = await _try(console, reader, slug, offer)
    if "hx-request" in request.headers:
        return pages_of(request).page(request, "parts/tried.html", {"tried": tried})
    return await _page(request, console, reader, tried=tried)


@router.post("/platform/reload", response_class=Response)
async def reload(console: ConsoleOf, reader: ChangingReader) -> Response:
    """Have the whole gateway take its file over, as `trunkline reload` does. Raises 409 with the reason where it would be refused."""
    demand(reader, "installation")
    settings = console.settings
    try:
        check_catalog(load_settings(settings.path, settings.env))
    except ConfigError as error:
        raise HTTPException(409, f"The file is wrong, so the old configuration stays. {error}") from None
    pid = running_pid(settings.pid_path)
    if pid is None:
        raise HTTPException(409, "This gateway was not started by `trunkline serve`: start it anew instead.")
    os.kill(pid, signal.SIGHUP)
    return RedirectResponse(f"{PLACE}?told=reloading", 303)


async def _page(
    request: Request,
    console: Console,
    reader: Reader,
    tried: Tried | None = None,
    *,
    reloading: bool = False,
    stored_told: str = "",
) -> Response:
    shown = await stored_view(console, reader) | {"faults": [], "filled": {}, "stored_told": stored_told}
    if not reader.may("installation"):
        return pages_of(request).page(request, "credentials.html", shown | {"operates": False})
    cards = provider_cards(console, operator_faults(await console.store.recent(LOOK_BACK_RECORDS)))
    figures, costs = await figures_of_day(console)
    shown |= {
        "operates": True,
        "entries": _entries(console, cards, figures, costs),
        "missing": _missing(console, cards),
        "tried": tried,
        "reloading": reloading,
        "config": console.settings.path,
        "max_tokens": MAX_TOKENS,
    }
    return pages_of(request).page(request, "credentials.html", shown)


async def figures_of_day(console: Console) -> tuple[dict[str, OfferFigures], dict[str, int]]:
    """Of this hour and the 23 before: provider -> figures, and what it cost. From whole hours, which are far fewer rows than the minutes of the first."""
    now_s = int(console.now_ms() // 1000)
    hour_s = now_s - now_s % HOUR_S
    statistics, span = Statistics(console.store, console.now_ms), Span(hour_s + HOUR_S - DAY_S, hour_s + HOUR_S)
    (_, offers), used = await asyncio.gather(
        statistics.offers(span), statistics.use_over(span, ("provider",), sums=("cost_pico_usd",))
    )
    found: dict[str, OfferFigures] = {}
    for offer, figures in offers.items():
        found.setdefault(offer.rpartition(":")[2], OfferFigures()).merge(figures)
    return found, {row.by[0]: row.use.cost_pico_usd for row in used}


def _entries(
    console: Console, cards: list[ProviderCard], figures: Mapping[str, OfferFigures], costs: Mapping[str, int]
) -> list[Entry]:
    """Of those that can be called."""
    choices = _choices_by_provider(console)
    simulated = {
        offer.provider for model in console.catalog.models.values() for offer in model.offers if offer.simulated
    }
    return [
        Entry(
            card,
            credentials(console, card.slug),
            figures.get(card.slug),
            costs.get(card.slug, 0),
            tuple(choices.get(card.slug, ())[:MAX_CHOICES]),
            simulated=card.slug in simulated,
        )
        for card in cards
        if card.state == "ready"
    ]


def _missing(console: Console, cards: list[ProviderCard]) -> list[Missing]:
    """Those with most models first; those that were switched off on purpose last."""
    found = [
        Missing(card, credentials(console, card.slug).switched_off, console.accounts[card.slug].provider.docs_url)
        for card in cards
        if card.state == "absent"
    ]
    return sorted(found, key=lambda one: (one.switched_off, -one.card.models, one.card.name.lower()))


def _choices_by_provider(console: Console) -> dict[str, list[str]]:
    """Provider -> its offers that answer in text, the cheapest first, those that think last."""
    today = console.today()
    found: dict[str, list[tuple[bool, Decimal, str]]] = {}
    for model in console.catalog.models.values():
        if "text" in model.output:
            for offer in console.state.callable_offers(model, today):
                found.setdefault(offer.provider, []).append((model.reasoning, _price(offer), offer.id))
    return {slug: [id_ for *_, id_ in sorted(those)] for slug, those in found.items()}


def _price(offer: Offer) -> Decimal:
    """What a token in and one out cost, as far as it is known."""
    first: dict[str, Decimal] = {}
    for line in offer.price:
        if line.unit == "perMTokens":
            first.setdefault(line.item, line.value)
    return sum((first.get(item, UNKNOWN_PRICE) for item in ("prompt", "completion")), Decimal(0))


async def _try(console: Console, reader: Reader, slug: str, offer: str) -> Tried:
    body = {
        "model": offer,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": MAX_TOKENS,
        "stream": True,
    }
    key = await session_key(console, reader)
    try:
        answer = await data_plane.post(console.settings, CHAT, key, msgspec.json.encode(body), timeout_s=TEST_WITHIN_S)
    except data_plane.UnreachableError as error:
        return Tried(slug, offer, False, str(error))
    record = await wait_for_record(console.store, answer.headers.get("x-request-id", ""))
    if record is None:
        # Nothing was sent: the request was refused before it had a plan.
        return Tried(
            slug, offer, answer.status == 200, "Answered." if answer.status == 200 else answer.error, ms=answer.ms
        )
    if record.outcome == "ok":
        return Tried(slug, offer, True, "Answered", ms=answer.ms, record=record)
    words, mend = _why(record.attempts[-1] if record.attempts else None, answer)
    return Tried(slug, offer, False, words, mend, answer.ms, record)


def _why(attempt: Attempt | None, answer: data_plane.Answered) -> tuple[str, str]:
    """What went wrong, and what mends it."""
    if attempt is None:
        return answer.error, ""
    if attempt.status >= 400:
        text = f"The provider answered {attempt.status}: {attempt.message or 'without a word'}"
        busy = "The provider is broken or busy: try again." if attempt.status >= 500 else ""
        return text, MENDS.get(attempt.status, busy)
    return attempt.message or attempt.outcome.replace("_", " "), CAUSES.get(attempt.outcome, "")

"""`/providers/{slug}`: one provider with its offers, prices, figures and uptime. In: its slug. Out: the page."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.providers import ProviderCard, provider_cards
from trunkline.catalog.query import folded, has_ended, provider_names
from trunkline.catalog.types import Model, Offer
from trunkline.records.figures import DAY_S, HOUR_S, OfferFigures
from trunkline.storage.ladder import Span
from trunkline.storage.outcomes import Outcomes, OutcomesOverTime
from trunkline.web import facts, uptime
from trunkline.web.facts import Live
from trunkline.web.providers import RESTING, now_s
from trunkline.web.render import pages_of
from trunkline.web.session import OpenReader
from trunkline.web.uptime import Bar

HOURS = 72
FIGURE_DAYS = 7
BAR_DAYS = 30

router = APIRouter(include_in_schema=False)


class OfferRow(msgspec.Struct, frozen=True):
    """One of its offers."""

    offer: Offer
    model: Model
    context: int
    longest_answer: int
    prices: dict[str, Decimal | None]
    policy: str
    """Where it is another than the provider's."""
    has_ended: bool
    live: Live
    """Of the last days."""
    bars: list[Bar]
    """Of days; none without traffic."""


@router.api_route("/providers/{slug}", methods=["GET", "HEAD"], response_class=Response)
async def provider(request: Request, console: ConsoleOf, _: OpenReader, slug: str) -> Response:
    """The page; another spelling of its name leads to it."""
    if slug not in console.catalog.providers:
        known = provider_names(console.catalog).get(folded(slug))
        if known is not None:
            return RedirectResponse(f"/providers/{known}", 308)
        raise HTTPException(404, f"There is no provider {slug[:100]}. /providers lists those that there are.")
    return pages_of(request).page(request, "provider.html", await shown(console, slug))


async def shown(console: Console, slug: str) -> dict[str, Any]:
    """What the template shows."""
    offers = {
        offer.id: offer for model in console.catalog.models.values() for offer in model.offers if offer.provider == slug
    }
    names, now = sorted(offers), now_s(console)
    over_time = OutcomesOverTime(console.store, console.now_ms)
    figures = await facts.figures_of_days(console, FIGURE_DAYS, names)
    hours = Span(now - now % HOUR_S - (HOURS - 1) * HOUR_S, now - now % HOUR_S + HOUR_S)
    by_hour = await over_time.together(hours, HOUR_S, names)
    by_day = uptime.by_name(await over_time.offers(uptime.days(now, BAR_DAYS), DAY_S, names))
    recent = await uptime.recent(lambda span, width_s: over_time.together(span, width_s, names), now)
    state = uptime.now_of(recent, "")
    card = next(one for one in provider_cards(console, {}) if one.slug == slug)
    return {
        "provider": console.catalog.providers[slug],
        "card": card,
        "word": _word(card, state.state),
        "now": state,
        "live": facts.live(facts.added(figures.values())),
        "hours": [(bar.start_ms, bar.share) for bar in uptime.bars(by_hour, hours, HOUR_S)],
        "hour_count": HOURS,
        "rows": rows(console, offers, figures, by_day),
        "training": facts.training_words(console.catalog.providers[slug].data_policy),
        "retention": facts.retention_words(console.catalog.providers[slug].data_policy),
        "is_simulated": slug in facts.simulated(console),
        "items": {name: facts.PRICE_WORDS[name] for name in PRICE_ITEMS},
        "dollars": facts.dollars,
        "protocols": {name: facts.PROTOCOL_WORDS.get(name, name) for one in offers.values() for name in one.protocols},
        "days": FIGURE_DAYS,
        "bar_days": BAR_DAYS,
    }


PRICE_ITEMS = ("prompt", "completion", "input_cache_read")


def rows(
    console: Console,
    offers: Mapping[str, Offer],
    figures: Mapping[str, OfferFigures],
    by_day: Mapping[str, list[Outcomes]],
) -> list[OfferRow]:
    """The busiest first; those that have ended last."""
    today, span = console.today(), uptime.days(now_s(console), BAR_DAYS)
    found = []
    for offer_id, offer in offers.items():
        model = console.catalog.models[offer.model]
        days = by_day.get(offer_id)
        policy = offer.data_policy
        found.append(
            OfferRow(
                offer=offer,
                model=model,
                context=facts.context_of(console, offer),
                longest_answer=offer.max_output_tokens or model.max_output_tokens,
                prices={item: facts.price(offer, item, today) for item in PRICE_ITEMS},
                policy="" if policy is None else facts.retention_words(policy),
                has_ended=has_ended(offer, today),
                live=facts.live(figures.get(offer_id)),
                bars=uptime.bars(days, span, DAY_S) if days else [],
            )
        )
    return sorted(found, key=lambda row: (row.has_ended, -row.live.attempts, row.model.name.casefold()))


def _word(card: ProviderCard, state: str) -> str:
    if card.state == "absent":
        return "Absent"
    return "Resting" if state in RESTING else "Ready"

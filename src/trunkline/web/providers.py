"""`/providers`: every provider with its state, its figures of today and its share of the traffic, or what it needs to be ready. Out: the page.

"Resting" goes by our own traffic: where hardly anything went well in the last minutes, requests go elsewhere.
"""

from collections.abc import Mapping, Sequence

import msgspec
from fastapi import APIRouter, Request, Response

from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.providers import ProviderCard, provider_cards
from trunkline.records.figures import OfferFigures
from trunkline.storage.outcomes import OutcomesOverTime
from trunkline.web import facts, uptime
from trunkline.web.facts import Live
from trunkline.web.render import pages_of
from trunkline.web.session import OpenReader
from trunkline.web.uptime import Now, Recent

RESTING = ("down", "limited")

router = APIRouter(include_in_schema=False)


class Ready(msgspec.Struct, frozen=True):
    """A provider that can be called."""

    card: ProviderCard
    live: Live
    """Of today."""
    now: Now
    share: float | None
    """Of all attempts of today."""

    @property
    def is_resting(self) -> bool:
        return self.now.state in RESTING


@router.api_route("/providers", methods=["GET", "HEAD"], response_class=Response)
async def providers(request: Request, console: ConsoleOf, _: OpenReader) -> Response:
    """The page."""
    figures = await facts.figures_of_days(console, 1)
    over_time = OutcomesOverTime(console.store, console.now_ms)
    recent = await uptime.recent(over_time.providers, now_s(console))
    cards = provider_cards(console, {})
    shown = {
        "ready": ready(cards, figures, recent),
        "absent": [card for card in cards if card.state == "absent"],
        "simulated": facts.simulated(console),
        "attempts": sum(one.attempts for one in figures.values()),
    }
    return pages_of(request).page(request, "providers.html", shown)


def ready(cards: Sequence[ProviderCard], figures: Mapping[str, OfferFigures], recent: Recent) -> list[Ready]:
    """Those that can be called, the busiest first."""
    by_provider: dict[str, list[OfferFigures]] = {}
    for offer, one in figures.items():
        by_provider.setdefault(offer.rpartition(":")[2], []).append(one)
    everything = sum(one.attempts for one in figures.values())
    found = []
    for card in cards:
        if card.state == "ready":
            live = facts.live(facts.added(by_provider.get(card.slug, ())))
            share = live.attempts / everything if everything else None
            found.append(Ready(card, live, uptime.now_of(recent, card.slug), share))
    return sorted(found, key=lambda one: (-one.live.attempts, one.card.name.lower()))


def now_s(console: Console) -> int:
    """Unix seconds."""
    return int(console.now_ms() // 1000)

"""The plan of one request: which offers can take it, in which order, what must be left out, and the reason for each.

In: the request's facts, the model's offers that can be reached, what is measured of them. Out: `Plan`. Pure, and says why (design.md section 1).
"""

from collections.abc import Callable, Mapping, Sequence

from trunkline.catalog.types import Model, Offer, Provider
from trunkline.ir.facts import RequestFacts
from trunkline.ir.wish import NO_WISH, RoutingWish
from trunkline.routing.eligible import Rules, eligible
from trunkline.routing.health import Figures
from trunkline.routing.order import draw, order
from trunkline.routing.types import Choice, Plan

NO_PROVIDERS: Mapping[str, Provider] = {}


def plan(
    facts: RequestFacts,
    model: Model,
    offers: Sequence[Offer],
    figures: Callable[[str], Figures],
    *,
    require_parameters: bool,
    today: str,
    wish: RoutingWish = NO_WISH,
    providers: Mapping[str, Provider] = NO_PROVIDERS,
    chance: Callable[[], float] = lambda: 0.0,
) -> Plan:
    """`eligible`, then `order`, then `draw`; chance 0 draws the best."""
    rules = Rules(today, require_parameters, wish, providers)
    found = eligible(facts, [Choice(model, tuple(offers))], rules)
    return draw(order(found, figures, wish), chance)

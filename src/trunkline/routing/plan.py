"""The plan of one request: which offers can take it, in which order, what must be left out, and the reason for each.

In: the request's facts, the model's offers that can be reached, what is measured of them. Out: `Plan`. Pure, and says why (design.md section 1).
"""

from collections.abc import Callable, Sequence

from trunkline.catalog.types import Model, Offer
from trunkline.ir.facts import RequestFacts
from trunkline.routing.eligible import eligible
from trunkline.routing.health import Figures
from trunkline.routing.order import order
from trunkline.routing.types import Plan


def plan(
    facts: RequestFacts,
    model: Model,
    offers: Sequence[Offer],
    figures: Callable[[str], Figures],
    *,
    require_parameters: bool,
    today: str,
) -> Plan:
    """`eligible`, then `order`."""
    return order(eligible(facts, model, offers, require_parameters=require_parameters, today=today), figures)

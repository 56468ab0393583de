"""The most that requests of a shape can cost: what is held for one that goes the short way. In: a shape's bounds and offers, sizes. Out: pico-USD.

The same as `accounting` finds for each request anew: only the length of the text differs, and prices hold for a band of lengths.
"""

from bisect import bisect_left
from collections.abc import Sequence

import msgspec

from trunkline.accounts.shared import Claim
from trunkline.accounts.terms import KeyTerms
from trunkline.catalog.types import Model
from trunkline.execution.accounting import Accounting, tokens_of
from trunkline.execution.worst import Bounds, Ceilings, Worst, of_size, worst_of
from trunkline.routing.types import Step


class _Offered(msgspec.Struct, frozen=True):
    worst: Worst
    most_tokens: int | None
    """Of a prompt that the offer takes; None: any."""


class Quotes:
    """Of one model's offers, for a day. Lives as long as its shape."""

    def __init__(self, bounds: Bounds, model: Model, steps: Sequence[Step], ceilings: Ceilings, today: str) -> None:
        self.model = model.slug
        self.max_output_tokens = bounds.asked_output
        self.longest_s = max(step.offer.deadlines.total_s for step in steps)
        self._bounds, self._of, self._steps, self._ceilings, self._today = bounds, model, steps, ceilings, today
        bands = {line.when.prompt_tokens_gt for step in steps for line in step.offer.price}
        self._bands = sorted(band for band in bands if band is not None)
        self._offered: dict[int, dict[str, _Offered]] = {}
        """Band -> offer -> what it costs there."""

    def amount(self, offer: str, prompt_bytes: int, request_bytes: int) -> int | None:
        """Of the dearest offer, for any of them may be tried. None where the first one has no bound, or has to be told one."""
        bounds = of_size(self._bounds, prompt_bytes, request_bytes)
        band = bisect_left(self._bands, bounds.text_tokens)
        offered = self._offered.get(band)
        if offered is None:
            offered = self._offered[band] = self._found(bounds)
        first = offered.get(offer)
        if first is None or not first.worst.is_told:
            return None
        return max([_cost(one, bounds.text_tokens) for one in offered.values()])

    def _found(self, bounds: Bounds) -> dict[str, _Offered]:
        found: dict[str, _Offered] = {}
        for step in self._steps:
            offer = step.offer
            worst = worst_of(bounds, self._of, offer, self._ceilings, self._today)
            context = offer.context_tokens or self._of.context_tokens
            if worst is not None:
                most = max(context, offer.max_input_tokens or 0) if context else None
                found[offer.id] = _Offered(worst, most)
        return found


def _cost(one: _Offered, text_tokens: int) -> int:
    worst, most = one.worst, one.most_tokens
    tokens = text_tokens if most is None or text_tokens < most else most
    return worst.prices.cost(tokens, worst.output_tokens * worst.answers) + worst.fixed_pico_usd


def claim_of(
    accounting: Accounting,
    terms: KeyTerms,
    quotes: Quotes,
    offer: str,
    id_: str,
    received_ms: float,
    prompt_bytes: int,
    request_bytes: int,
) -> Claim | None:
    """All or nothing: where there is less, the long way asks for that. None where it cannot be told what to ask for."""
    amount = quotes.amount(offer, prompt_bytes, request_bytes) if terms.has_money else 0
    if amount is None:
        return None
    return Claim(
        id_,
        amount,
        amount,
        terms.holds(received_ms) if terms.has_money else (),
        terms.rates,
        terms.places,
        tokens_of(prompt_bytes, quotes.max_output_tokens) if terms.rates else 0,
        accounting.lease_s(quotes.longest_s),
    )

"""How good an offer is among the others of its model. In: figures, prices. Out: gate, rated latency, weight. Pure."""

from collections.abc import Sequence
from decimal import Decimal
from math import exp as _exp
from math import log as _log

import msgspec

from trunkline.catalog.types import Offer, PriceLine
from trunkline.routing.health import GATE_LAST, GATE_LATER, Figures

DOUBT = 8.0
"""An offer's latency counts as if the model's mean had been measured so many times as well: few samples say little (shrinkage, on a logarithmic scale)."""
_SURE = 3 * DOUBT
KNOWN = 0.5
"""With fewer samples than this an offer counts as unmeasured: they have nearly faded."""
POWER = 5.0
"""Shares are as (1 / latency) ** POWER: half the latency, 32 times the share; a fifth less, three times. OpenRouter draws by the inverse square of the price
(https://openrouter.ai/docs/features/provider-routing); waiting is what callers notice, so the better ones get more here, and never all."""
MIN_PRICE_FACTOR = 0.25
"""Price breaks ties: share times (cheapest / price), and never less than this. So an eighth less latency outweighs twice the price."""
CLEARLY_QUICKER = 0.5
"""Bytes that pass as they are lose nothing, so offers of the caller's own protocol go first; one by translation goes with them where its
first token takes at most this part of the quickest's, and that is measured well enough (`DOUBT` samples)."""


class Rates(msgspec.Struct, frozen=True, gc=False):
    """USD per million tokens, of a short prompt in the ordinary tier. None: unknown."""

    input: float | None = None
    cache_read: float | None = None
    blended: float | None = None
    """Three parts prompt, one part answer."""


def rates(offer: Offer) -> Rates:
    """An offer's prices, found once and kept with it: an offer never changes, a reload makes another."""
    known: Rates | None = offer.__dict__.get("rates")
    if known is None:
        known = offer.__dict__["rates"] = _rates(offer.price)
    return known


def _rates(lines: Sequence[PriceLine]) -> Rates:
    values: dict[str, Decimal] = {}
    # Where a price has an end, the one after it is meant: it has come or soon will.
    for line in sorted(lines, key=lambda line: (line.valid_to is not None, line.valid_from or "")):
        when = line.when
        is_special = when.prompt_tokens_gt or when.service_tier is not None or when.utc_from or when.utc_days
        if line.unit == "perMTokens" and not is_special:
            values.setdefault(line.item, line.value)
    prompt, completion, cached = (values.get(item) for item in ("prompt", "completion", "input_cache_read"))
    blended = None if prompt is None or completion is None else float(3 * prompt + completion) / 4
    return Rates(
        None if prompt is None else float(prompt),
        None if cached is None else float(cached),
        blended,
    )


def gate(figures: Figures) -> int:
    """0 first, 1 later, 2 last: by uptime, as far as there is evidence for it."""
    if figures.reliability >= GATE_LATER:
        return 1 if figures.failed_lately else 0
    return 1 if figures.reliability >= GATE_LAST else 2


def rated_latencies(figures: Sequence[Figures]) -> list[float | None]:
    """Of the offers of one model, in their order: milliseconds that an offer is rated at. None where nothing is measured of any.

    Medians (as they are now, where that is known), drawn towards the mean of all by as much as is not known of each; an unmeasured offer is at the mean.
    """
    sure = total = 0.0
    logs: list[tuple[float, float]] = []
    for one in figures:
        ms, samples = one.lately_ms or one.first_token_ms, one.samples
        if ms is None or samples < KNOWN:
            logs.append((0.0, 0.0))
            continue
        log = _log(ms) if ms > 1.0 else 0.0
        logs.append((samples, log))
        # Past some number of samples an offer's say in the mean does not grow.
        share = samples if samples < _SURE else _SURE
        sure += share
        total += share * log
    if not sure:
        return [None] * len(logs)
    mean = DOUBT * total / sure
    return [_exp((samples * log + mean) / (samples + DOUBT)) for samples, log in logs]


def weights(
    rated_ms: Sequence[float | None], figures: Sequence[Figures], prices: Sequence[float | None]
) -> list[float]:
    """How much of the traffic offers should get, not yet normalised: quick and cheap ones more, little known ones less until more is known."""
    priced = [price for price in prices if price is not None]
    cheapest = min(priced) if priced else 0.0
    found = []
    for ms, known, price in zip(rated_ms, figures, prices, strict=True):
        one = known.room
        if ms is not None:
            one *= (1000.0 / ms) ** POWER
            if known.samples < DOUBT:
                one *= (known.samples + KNOWN) / (DOUBT + KNOWN)
        if price is not None and price > cheapest:
            ratio = cheapest / price
            one *= ratio if ratio > MIN_PRICE_FACTOR else MIN_PRICE_FACTOR
        found.append(one)
    return found

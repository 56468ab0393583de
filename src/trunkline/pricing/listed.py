"""What tokens cost at an offer's list prices, by bucket, for what sums of tokens can tell. In: price lines. Out: pico-USD for a million of each bucket.

A sum does not know in which tier, prompt length or minute its tokens arose: the standard tier's price of short prompts counts, outside of windows. So what
is worked out from it is no bill.
"""

from collections.abc import Iterable, Mapping

import msgspec

from trunkline.catalog.types import PriceLine, When
from trunkline.ir.usage import Usage
from trunkline.pricing.rate import BUCKETS, STANDARD_TIERS, RateCard

MILLION = 10**6
CACHE_BUCKETS = ("cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")

Rates = Mapping[str, int | None]
"""Bucket -> pico-USD for a million; None where it has no price."""


def list_rates(lines: Iterable[PriceLine], *, at_ms: float) -> Rates:
    """The prices that hold at a time (Unix ms)."""
    card = RateCard(tuple(_plainest(lines)))
    rates: dict[str, int | None] = {}
    for bucket, _ in BUCKETS:
        bill = card.bill(msgspec.convert({bucket: MILLION}, Usage), at_ms=at_ms)
        amount = sum(line.amount_pico_usd for line in bill.lines if line.item != "request")
        rates[bucket] = None if bill.unpriced else amount
    return rates


def amount(rate: int | None, count: int) -> int | None:
    """Pico-USD of so many; None where there is no price for what there is some of."""
    if not count:
        return 0
    return None if rate is None else rate * count // MILLION


def saved(rates: Rates, counts: Mapping[str, int]) -> int | None:
    """What the tokens of `CACHE_BUCKETS` would have cost as input, less what they cost; below zero where writing cost more than reading saved.

    None where a price is missing.
    """
    total = 0
    for bucket in CACHE_BUCKETS:
        plain = amount(rates["input_tokens"], counts[bucket])
        paid = amount(rates[bucket], counts[bucket])
        if plain is None or paid is None:
            return None
        total += plain - paid
    return total


def _plainest(lines: Iterable[PriceLine]) -> list[PriceLine]:
    """Of each item the lines with the fewest conditions, without them."""
    found: dict[str, list[PriceLine]] = {}
    for line in lines:
        found.setdefault(line.item, []).append(line)
    kept = []
    for of_item in found.values():
        least = min(map(_conditions, of_item))
        kept += [msgspec.structs.replace(line, when=When()) for line in of_item if _conditions(line) == least]
    return kept


def _conditions(line: PriceLine) -> tuple[bool, bool, int]:
    when = line.when
    windowed = any(value is not None for value in (when.utc_from, when.utc_to, when.utc_days))
    return when.service_tier not in STANDARD_TIERS, windowed, when.prompt_tokens_gt or 0

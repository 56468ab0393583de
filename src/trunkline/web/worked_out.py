"""What no bill says of sums: cost by kind of token, and what caches saved, at the list prices of today. In: use by offer, the catalog. Out: pico-USD.

Bills know tiers, prompt lengths and the prices of their day; this does not. So pages say that it is worked out, and show what it leaves unexplained.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from operator import attrgetter
from typing import Any

import msgspec

from trunkline.catalog.types import Catalog
from trunkline.pricing.listed import CACHE_BUCKETS, Rates, amount, list_rates, saved
from trunkline.records.figures import HOUR_S, Use
from trunkline.storage.statistics import Statistics, UseRow, Wanted
from trunkline.web.use import KINDS, Places
from trunkline.web.use import added as used_together

SEARCHES = "web_searches"
REST = "rest"
"""What bills have beyond what the list prices explain."""
ROUNDING_PICO_USD = 6
"""Each line of a bill is rounded once: as much of an attempt's bill says nothing."""
BILLED = (*KINDS, SEARCHES)
_billed: Callable[[Use], tuple[int, ...]] = attrgetter(*BILLED)
ITEMS = {**KINDS, SEARCHES: "Web searches", REST: "Difference to the bills"}
ItemPlace = tuple[int | None, str]
"""When, the kind of token."""
NO_RATES: Rates = dict.fromkeys(BILLED)


class Savings(msgspec.Struct):
    """`unknown_tokens` were read from caches or written to them at offers of which the catalog has no price."""

    pico_usd: int = 0
    cached_tokens: int = 0
    unknown_tokens: int = 0


class Listed:
    """Rates by offer, looked up once each. Lives for the pages of an hour."""

    def __init__(self, catalog: Catalog, now_ms: float) -> None:
        self._catalog = catalog
        self._now_ms = now_ms
        self._found: dict[tuple[str, str], Rates] = {}

    def rates(self, model: str, provider: str) -> Rates:
        """Those of an offer that is no longer known are all None."""
        place = model, provider
        if place not in self._found:
            self._found[place] = self._look_up(model, provider)
        return self._found[place]

    def _look_up(self, model: str, provider: str) -> Rates:
        known = self._catalog.models.get(model)
        for offer in known.offers if known else ():
            if offer.provider == provider:
                return list_rates(offer.price, at_ms=self._now_ms)
        return NO_RATES


class Rated:
    """The list prices of this hour. Lives as long as the app."""

    def __init__(self) -> None:
        self._known: tuple[Catalog, float, Listed] | None = None

    def now(self, catalog: Catalog, now_ms: float) -> Listed:
        """Those of another catalog, or of the next hour, are looked up anew."""
        hour_ms = now_ms - now_ms % (HOUR_S * 1000)
        if self._known is None or self._known[0] is not catalog or self._known[1] != hour_ms:
            self._known = catalog, hour_ms, Listed(catalog, now_ms)
        return self._known[2]


def savings_by(rows: Iterable[UseRow], group: Callable[[UseRow], str], listed: Listed) -> dict[str, Savings]:
    """Rows by (..., model, provider), put together by a group."""
    found: dict[str, Savings] = {}
    for row in rows:
        counts = {bucket: getattr(row.use, bucket) for bucket in CACHE_BUCKETS}
        tokens = sum(counts.values())
        if not tokens:
            continue
        known = found.setdefault(group(row), Savings())
        known.cached_tokens += tokens
        gained = saved(listed.rates(*row.by[-2:]), counts)
        if gained is None:
            known.unknown_tokens += tokens
        else:
            known.pico_usd += gained
    return found


def added(savings: Iterable[Savings]) -> Savings:
    total = Savings()
    for one in savings:
        total.pico_usd += one.pico_usd
        total.cached_tokens += one.cached_tokens
        total.unknown_tokens += one.unknown_tokens
    return total


def by_item(rows: Iterable[UseRow], listed: Listed) -> dict[ItemPlace, Use]:
    """Rows by (model, provider) as one for each time and kind of token, with what it cost; what the bills have beyond it, or less, is the rest."""
    counts: dict[ItemPlace, int] = {}
    costs: dict[ItemPlace, int] = {}
    for row in rows:
        rates, use, start_s, explained = listed.rates(*row.by), row.use, row.start_s, 0
        for kind, count in zip(BILLED, _billed(use), strict=True):
            if count:
                cost = amount(rates[kind], count) or 0
                explained += cost
                place = start_s, kind
                counts[place] = counts.get(place, 0) + count
                costs[place] = costs.get(place, 0) + cost
        rest = use.cost_pico_usd - explained
        if abs(rest) > ROUNDING_PICO_USD * use.attempts:
            costs[start_s, REST] = costs.get((start_s, REST), 0) + rest
    found: dict[ItemPlace, Use] = {}
    for place, cost in costs.items():
        used = found[place] = Use(cost_pico_usd=cost)
        if place[1] != REST:
            setattr(used, place[1], counts[place])
    return found


def items_over(statistics: Statistics, wanted: Wanted, listed: Listed) -> Coroutine[Any, Any, dict[ItemPlace, Use]]:
    """The same of a time. What is over is remembered as long as these prices are: of 90 days that is a thousandth of the rows."""
    return statistics.use_made(wanted, ("items", listed), lambda rows: by_item(rows, listed), _both)


def places(items: Mapping[ItemPlace, Use]) -> Places:
    """As `use.put_together` takes them."""
    return ((start_s, kind, used) for (start_s, kind), used in items.items())


def _both(one: Use, other: Use) -> Use:
    return used_together((one, other))

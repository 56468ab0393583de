"""Why an offer is not what the caller wishes. In: a `RoutingWish` with slugs of providers, an offer, its data policy. Out: the reason, with the field. Pure."""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from trunkline.catalog.types import DataPolicy, Offer, PriceLine
from trunkline.ir.wish import PolicyWish, RoutingWish

_MUST_BE_KNOWN = frozenset({"prompt", "completion"})
"""An offer without these prices is unpriced; without one of the others it takes nothing for them."""
_UNITS = {"prompt": "perMTokens", "completion": "perMTokens", "request": "perCount", "image": "perCount"}
"""What a ceiling counts by: https://openrouter.ai/docs/client-sdks/python/components/maxprice.md. Audio has units of several kinds."""
_SHOWN = {"perMTokens": "per million tokens", "perCount": "each", "perSecond": "a second"}


class Unwished(msgspec.Struct, frozen=True):
    reason: str
    param: str
    """The field of the request that excludes it."""


def unwished(wish: RoutingWish, offer: Offer, policy: DataPolicy, prompt_bytes: int, today: str) -> Unwished | None:
    """Why the offer is out; None where it is as wished. `today` is an ISO date."""
    if wish.only and offer.provider not in wish.only:
        return Unwished("is not one of `provider.only`", "provider.only")
    if offer.provider in wish.ignore:
        return Unwished("is one of `provider.ignore`", "provider.ignore")
    return against_policy(wish.data_policy, policy) or _too_dear(wish, offer, prompt_bytes, today)


def against_policy(wish: PolicyWish, policy: DataPolicy) -> Unwished | None:
    """What a vendor does not say, it does not promise."""
    where = "provider.data_policy"
    if wish.no_training and policy.training is not False:
        why = "trains on prompts" if policy.training else "does not say that it never trains on prompts"
        return Unwished(why, f"{where}.no_training")
    if wish.zero_retention and not (policy.zdr or policy.retention_days == 0):
        days = policy.retention_days
        why = "does not say that it keeps nothing" if days is None else f"keeps prompts for {days} days"
        return Unwished(why, f"{where}.zero_retention")
    if wish.region and not _lies_in(policy.region, wish.region):
        is_in = f"is in {policy.region}" if policy.region else "does not say where it is"
        return Unwished(f"{is_in}, {wish.region} is asked for", f"{where}.region")
    return None


def _lies_in(region: str, wished: str) -> bool:
    """`eu-west-1` lies in `EU`."""
    have, want = region.casefold(), wished.casefold()
    return have == want or have.startswith(f"{want}-")


def _too_dear(wish: RoutingWish, offer: Offer, prompt_bytes: int, today: str) -> Unwished | None:
    for item, ceiling in wish.max_price:
        where = f"provider.max_price.{item}"
        lines = list(_lines(offer, item, prompt_bytes, today))
        unit = _UNITS.get(item)
        if any(unit and line.unit != unit for line in lines):
            return Unwished(f"its price of `{item}` is counted otherwise than the ceiling", where)
        if not lines and item in _MUST_BE_KNOWN:
            return Unwished(f"its price of `{item}` is not known", where)
        dearest = max(lines, key=lambda line: line.value, default=None)
        if dearest is not None and dearest.value > Decimal(ceiling):
            return Unwished(
                f"takes {dearest.value} USD {_SHOWN[dearest.unit]} for `{item}`, {ceiling} at most is wished", where
            )
    return None


def _lines(offer: Offer, item: str, prompt_bytes: int, today: str) -> Iterator[PriceLine]:
    """The prices that may hold for the request, whatever the time of day. Tiers are asked for by name, and so known to the caller."""
    for line in offer.price:
        if line.item != item or line.when.service_tier is not None:
            continue
        if (line.valid_from or "") > today or (line.valid_to is not None and line.valid_to <= today):
            continue
        # A prompt has never more tokens than bytes.
        if line.when.prompt_tokens_gt is None or prompt_bytes > line.when.prompt_tokens_gt:
            yield line


def same_price_bytes(offer: Offer) -> int | None:
    """Prompts of at most so many bytes are all in the lowest band of prices; None: there is one band."""
    bounds = [line.when.prompt_tokens_gt for line in offer.price if line.when.prompt_tokens_gt]
    return min(bounds) if bounds else None

"""From usage and price lines to an exact bill.

In: `Usage`, the price lines of an offer, when it was and in which service tier. Out: `Cost`, whole pico-USD a line, each
rounded half to even once (a price of up to six decimals per million tokens needs no rounding). Integers, never a float.
"""

import datetime
from bisect import bisect_left
from collections.abc import Callable
from fractions import Fraction
from operator import itemgetter

import msgspec
from msgspec.structs import astuple

from trunkline.catalog.types import PriceLine
from trunkline.ir.usage import Usage
from trunkline.pricing.types import Cost, CostLine

PICO_PER_USD = 10**12

_SCALE = {"perMTokens": 10**6, "perCount": 1, "perSecond": 1}
"""How many of what was counted make one unit of the price."""

BUCKETS: tuple[tuple[str, tuple[str, ...]], ...] = (
    # bucket of the usage        items that may price it, the first with a price wins
    ("input_tokens", ("prompt",)),
    # Without a cache price a hit is ordinary input: https://developers.openai.com/api/docs/pricing (a dash for gpt-5-pro).
    ("cache_read_tokens", ("input_cache_read", "prompt")),
    # Where writing has no price it is ordinary input (https://developers.openai.com/api/docs/guides/prompt-caching); but a
    # vendor that tells the time to live bills for it: then a missing price stays missing.
    ("cache_write_tokens", ("input_cache_write", "input_cache_write_5_min", "prompt")),
    ("cache_write_5m_tokens", ("input_cache_write_5_min", "input_cache_write")),
    ("cache_write_1h_tokens", ("input_cache_write_1_h",)),
    # Pictures and sound that go in are prompt tokens unless the vendor lists them: https://ai.google.dev/gemini-api/docs/pricing
    ("input_audio_tokens", ("audio", "prompt")),
    ("input_image_tokens", ("prompt",)),
    ("output_tokens", ("completion",)),
    # https://platform.openai.com/docs/guides/reasoning: reasoning tokens are billed as output tokens.
    ("reasoning_tokens", ("internal_reasoning", "completion")),
    # What comes out as sound or pictures always costs more than text: never guessed.
    ("output_audio_tokens", ()),
    ("output_image_tokens", ("image",)),
    ("web_searches", ("web_search",)),
)

_ITEM_WHEN_UNPRICED = {"output_audio_tokens": "audio"}
_REQUEST = len(BUCKETS)
"""Its place behind the counts of the buckets; of it there is 1."""
assert tuple(bucket for bucket, _ in BUCKETS) == Usage.__struct_fields__[:_REQUEST], "counts are taken by their place"
STANDARD_TIERS = frozenset({None, "", "auto", "default", "standard", "standard_only"})
"""https://platform.openai.com/docs/api-reference/chat/create, https://docs.anthropic.com/en/api/service-tiers"""
_DAY_MIN = 24 * 60


class Rate(msgspec.Struct, frozen=True):
    """A price line made ready: `numerator / denominator` pico-USD for each token, call or second."""

    line: PriceLine
    value: str
    numerator: int
    denominator: int
    tier: str | None
    over_tokens: int
    up_to_tokens: int | None
    from_ms: float | None
    to_ms: float | None
    window_min: tuple[int, int] | None
    days: frozenset[int] | None


class RateCard:
    """The price lines of one offer, compiled once; lives as long as the catalog.

    Which lines hold depends on the tier, the length band and the minute: every date, weekday and time of day begins with
    one. What was found for a minute is kept until the next.
    """

    __slots__ = ("_found", "_minute", "_plain", "_rates", "_steps", "_tiers", "_timed")

    def __init__(self, lines: tuple[PriceLine, ...]) -> None:
        self._rates = tuple(_rate(line) for line in lines)
        self._tiers = frozenset(rate.tier for rate in self._rates if rate.tier is not None)
        steps = {step for rate in self._rates for step in (rate.over_tokens, rate.up_to_tokens)}
        self._steps = sorted(step for step in steps if step is not None and step >= 0)
        self._timed = any(_is_timed(rate) for rate in self._rates)
        conditional = self._timed or self._tiers or self._steps
        self._plain = None if conditional else _slots(self._rates)
        self._found: dict[tuple[str | None, int], _Slots] = {}
        self._minute = -1

    def bill(self, usage: Usage, *, at_ms: float, service_tier: str | None = None) -> Cost:
        """The bill of one answer. `at_ms` is Unix time; `service_tier` is what the provider says it served."""
        slots = self._plain or self._slots_at(usage.total_input_tokens, at_ms, service_tier)
        counts = [*astuple(usage)]
        counts[_REQUEST] = 1
        form = slots.last
        if form is None or counts.count(0) != form.zeros or not all(form.used_of(counts)):
            form = slots.last = _found(slots, counts)
        lines = []
        total = 0
        for item, unit, value, numerator, denominator, place, others in form.rows:
            quantity = counts[place]
            if others is not None:
                quantity += sum(map(counts.__getitem__, others))
            amount = quantity * numerator
            if denominator != 1:
                amount = round_half_even(amount, denominator)
            total += amount
            lines.append(CostLine(item, quantity, unit, value, amount))
        return Cost(tuple(lines), total, form.unpriced, usage.estimated)

    def _slots_at(self, prompt_tokens: int, at_ms: float, service_tier: str | None) -> "_Slots":
        if self._timed and (minute := int(at_ms // 60_000)) != self._minute:
            self._found, self._minute = {}, minute
        key = (service_tier if service_tier in self._tiers else None, bisect_left(self._steps, prompt_tokens))
        slots = self._found.get(key)
        if slots is None:
            holding = [rate for rate in self._rates if _holds(rate, prompt_tokens, at_ms, key[0])]
            slots = self._found[key] = _slots(holding)
        return slots


_Row = tuple[str, str, str, int, int, int, tuple[int, ...] | None]
"""One line of a bill: item, unit, value of its price; that as numerator and denominator; its quantity, by place in the counts of `BUCKETS`, and what else
is added to it. A tuple, because each bill takes all of it."""


class _Form(msgspec.Struct, frozen=True):
    """What a bill looks like for all usages that use the same buckets."""

    rows: tuple[_Row, ...]
    unpriced: tuple[str, ...]
    zeros: int
    """How many buckets are not used."""
    used_of: Callable[[list[int]], tuple[int, ...]]
    """Their counts."""


class _Slots(msgspec.Struct):
    """For each bucket its rate, or the item that has none; and the price of the request as such. Keeps the forms that were needed."""

    buckets: tuple[Rate | str, ...]
    request: Rate | None
    forms: dict[tuple[bool, ...], _Form] = {}
    last: _Form | None = None
    """The form that was needed last. Most usages that follow need it too."""


def price(usage: Usage, lines: tuple[PriceLine, ...], *, at_ms: float, service_tier: str | None = None) -> Cost:
    """The bill of one answer; on the hot path keep the `RateCard` of the offer and call its `bill`.

    A bucket that was used and has no price is named in `unpriced` by its item; a tier without prices costs the standard ones.
    """
    return RateCard(lines).bill(usage, at_ms=at_ms, service_tier=service_tier)


def _found(slots: _Slots, counts: list[int]) -> _Form:
    used = tuple(map(bool, counts))
    form = slots.forms.get(used)
    if form is None:
        form = slots.forms[used] = _form(slots, used)
    return form


def _form(slots: _Slots, used: tuple[bool, ...]) -> _Form:
    """Which lines a usage of these buckets gets: one for each item, in the order of the buckets. After them stands the request itself, which counts 1."""
    places: dict[str, list[int]] = {}
    rates: dict[str, Rate] = {}
    unpriced: dict[str, None] = {}
    for place, slot in enumerate((*slots.buckets, slots.request)):
        if not used[place] or slot is None:
            continue
        if isinstance(slot, str):
            unpriced[slot] = None
            continue
        item = slot.line.item
        places.setdefault(item, []).append(place)
        rates[item] = slot
    rows = [
        (
            item,
            rate.line.unit,
            rate.value,
            rate.numerator,
            rate.denominator,
            places[item][0],
            tuple(places[item][1:]) or None,
        )
        for item, rate in rates.items()
    ]
    # The request is always used. Twice, for a getter of one place would not give a tuple.
    used_of = itemgetter(_REQUEST, *[place for place, is_used in enumerate(used) if is_used])
    return _Form(tuple(rows), tuple(unpriced), used.count(False), used_of)


def round_half_even(numerator: int, denominator: int) -> int:
    """The nearest integer of a fraction of integers, a tie going to the even one."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return quotient + 1 if twice > denominator or (twice == denominator and quotient & 1) else quotient


def _slots(rates: "tuple[Rate, ...] | list[Rate]") -> _Slots:
    best: dict[str, Rate] = {}
    for rate in rates:
        known = best.get(rate.line.item)
        if known is None or _narrowness(rate) > _narrowness(known):
            best[rate.line.item] = rate
    buckets = tuple(_slot(bucket, items, best) for bucket, items in BUCKETS)
    return _Slots(buckets, best.get("request"))


def _slot(bucket: str, items: tuple[str, ...], best: dict[str, Rate]) -> Rate | str:
    for item in items:
        if item in best:
            return best[item]
    return items[0] if items else _ITEM_WHEN_UNPRICED[bucket]


def _narrowness(rate: Rate) -> tuple[bool, bool, int, float]:
    """Of several lines that hold the narrowest counts: a tier, then a window, then the higher band, then the later start."""
    windowed = rate.window_min is not None or rate.days is not None
    return rate.tier is not None, windowed, rate.over_tokens, rate.from_ms or 0.0


def _holds(rate: Rate, prompt_tokens: int, at_ms: float, tier: str | None) -> bool:
    if rate.tier is not None and rate.tier != tier:
        return False
    if prompt_tokens <= rate.over_tokens or (rate.up_to_tokens is not None and prompt_tokens > rate.up_to_tokens):
        return False
    if (rate.from_ms is not None and at_ms < rate.from_ms) or (rate.to_ms is not None and at_ms >= rate.to_ms):
        return False
    minute = int(at_ms // 60_000)
    # 1970-01-01 was a Thursday, the fourth day of its week.
    if rate.days is not None and (minute // _DAY_MIN + 3) % 7 + 1 not in rate.days:
        return False
    return rate.window_min is None or _in_window(rate.window_min, minute % _DAY_MIN)


def _in_window(window: tuple[int, int], minute: int) -> bool:
    start, end = window
    return start <= minute < end if start <= end else minute >= start or minute < end


def _is_timed(rate: Rate) -> bool:
    return any(condition is not None for condition in (rate.from_ms, rate.to_ms, rate.window_min, rate.days))


def _rate(line: PriceLine) -> Rate:
    exact = Fraction(line.value) * PICO_PER_USD / _SCALE[line.unit]
    when = line.when
    return Rate(
        line=line,
        value=str(line.value),
        numerator=exact.numerator,
        denominator=exact.denominator,
        tier=None if when.service_tier in STANDARD_TIERS else when.service_tier,
        over_tokens=-1 if when.prompt_tokens_gt is None else when.prompt_tokens_gt,
        up_to_tokens=when.prompt_tokens_lte,
        from_ms=_start_ms(line.valid_from),
        to_ms=_start_ms(line.valid_to),
        window_min=_window(when.utc_from, when.utc_to),
        days=None if when.utc_days is None else frozenset(map(int, when.utc_days)),
    )


def _window(utc_from: str | None, utc_to: str | None) -> tuple[int, int] | None:
    return None if utc_from is None and utc_to is None else (_minute(utc_from or "00:00"), _minute(utc_to or "24:00"))


def _minute(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)


def _start_ms(iso_date: str | None) -> float | None:
    """A price holds from the start of its first day in UTC and ends with the start of its last."""
    if iso_date is None:
        return None
    day = datetime.date.fromisoformat(iso_date)
    return datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC).timestamp() * 1000

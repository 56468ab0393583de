"""In which order the offers that can take a request are tried. In: `Eligible`, what is measured of each, the caller's wish. Out: `Ranked`, and of it a `Plan`.

`order` ranks, and holds until something changes; `draw` picks the first offer of one request, by chance in proportion to how good the offers are, so
that no offer gets everything for one lucky measurement and none is forgotten. Pure: chance comes in.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

import msgspec

from trunkline.catalog.types import Model
from trunkline.errors import NoProviderAvailable, RateLimited, RequestError
from trunkline.ir.wish import NO_WISH, Factor, RoutingWish
from trunkline.records.types import Candidate
from trunkline.routing.affinity import Held, gain_usd, saving_usd
from trunkline.routing.health import GATE_LATER, Figures
from trunkline.routing.rating import CLEARLY_QUICKER, DOUBT, KNOWN, gate, rated_latencies, rates, weights
from trunkline.routing.types import Eligible, Plan, Step

EXPLORE = 0.05
"""Of the requests, so many go first to each offer that is not measured, where others are."""
TRIAL = 0.05
"""The same to one whose breaker is half-open: one request at a time, until it is closed."""
OVERDUE_S = 30.0
"""One that waited for its trial for so long gets it with the next request, for there may be few requests, or no chance in drawing."""
GLANCE = 0.01
"""The same to one that comes later or last by its uptime, so that its recovery is seen."""
MAX_CURIOSITY = 0.2
"""All of these together at most."""

_DOWN = {"closed": 0, "half_open": 1, "open": 2}
_LATER = ("", ", later: uptime below 95 %, or failed or was limited lately", ", last: uptime below 80 %")
_UNKNOWN = float("inf")


Standing = tuple[bool, int, int, int, int, int, bool]
"""What goes before any score, in this order, each the lower the better: no offer of the model has a closed breaker; the model in the caller's order;
breaker (closed, half-open, open); the provider in the order that the caller gave; parameters that it does not take; uptime gate; by translation."""


class Rated(msgspec.Struct, frozen=True, gc=False):
    """One offer in its rank."""

    step: Step
    figures: Figures
    rated_ms: float | None
    """First-token latency as far as it is believed; None: nothing is measured of this model."""
    price_usd: float | None
    """Per million tokens, three parts prompt to one part answer."""
    standing: Standing
    down: int
    """Breaker: closed, half-open, open."""
    later: int
    """By uptime: first, later, last."""
    factor: float
    """What the caller wants them ordered by; 0 where it is our own rating."""
    weight: float


_Row = tuple[Standing, float, float, int, Rated]
"""What is sorted by, and what for: standing, factor, weight, place as found."""


class Ranked:
    """The offers in their rank. Holds as long as the figures do; plans that were made of it are kept."""

    __slots__ = ("_ends", "_found", "_picks", "_plans", "_reasons", "_waiting", "_wish", "rated", "shares", "whys")

    def __init__(self, found: Eligible, rated: list[Rated], waiting: tuple[Candidate, ...], wish: RoutingWish) -> None:
        self.rated = rated
        self._found = found
        self._waiting = waiting
        self._wish = wish
        self.shares: list[float] = [1.0]
        """Of the requests that go to each first."""
        self.whys: dict[int, str] = {}
        """Place -> why it gets its share, where that is not its rating."""
        self._picks, self._ends = [0], [1.0]
        if len(rated) > 1:
            self.shares = shares = _shares(rated, self.whys, is_strict=wish.factor != "")
            self._picks = [place for place, share in enumerate(shares) if share]
            self._ends = list(accumulate([share for share in shares if share]))
        self._plans: dict[int, Plan] = {}
        self._reasons: list[str] = []

    @property
    def is_strict(self) -> bool:
        """The caller said what they are to be ordered by."""
        return bool(self._wish.factor or self._wish.order)

    def pick(self, random: Callable[[], float]) -> int:
        """The place of the offer to be tried first. Chance 0 picks the best."""
        picks = self._picks
        if len(picks) == 1:
            return picks[0]
        return picks[min(bisect_right(self._ends, random()), len(picks) - 1)]

    def plan(self, first: int) -> Plan:
        """The plan that begins with the offer at a place; the others follow in their rank."""
        known = self._plans.get(first)
        if known is None:
            known = self._plans[first] = self._plan(first)
        return known

    def _plan(self, first: int) -> Plan:
        rated, places = self.rated, [first, *range(first), *range(first + 1, len(self.rated))]
        if not self._reasons:
            self._reasons = [self._reason(place) for place in range(len(rated))]
        taken, left_out = _within_fallbacks(places, rated, self._wish)
        candidates = [
            Candidate(rated[place].step.offer.id, rank, self._reasons[place]) for rank, place in enumerate(taken, 1)
        ]
        candidates += [Candidate(rated[place].step.offer.id, None, "no fallback is allowed") for place in left_out]
        return Plan(
            self._found.model,
            tuple([rated[place].step for place in taken]),
            (*candidates, *self._waiting, *self._found.excluded),
        )

    def _reason(self, place: int) -> str:
        words, share = _reason(self.rated[place]), self.shares[place]
        if share and len(self.rated) > 1:
            words += f", first for {share:.1%} of requests"
        return self.whys.get(place, "") + words


def order(found: Eligible, figures: Callable[[str], Figures], wish: RoutingWish = NO_WISH) -> Ranked:
    """Rank the offers. Raises where all ask to be left alone.

    First what holds for any rating, see `Standing`: the models in the caller's order, but one with nothing but open breakers after the others (they are
    named for uptime's sake); of each model open breakers last; the providers in the caller's order; those that miss fewer parameters; uptime (a provider
    that the caller put into an order keeps its place); the caller's own protocol. Then what the caller wants them ordered by, strictly; else our rating.
    """
    steps, known, waiting = _awake(found, figures)
    rows: list[_Row] = []
    begin = 0
    for model, end in enumerate(_ends_of_models(steps)):
        _rate(rows, steps[begin:end], known[begin:end], model, wish)
        begin = end
    rows.sort()
    return Ranked(found, [row[-1] for row in rows], waiting, wish)


def draw(ranked: Ranked, random: Callable[[], float], held: Held | None = None) -> Plan:
    """The plan of one request. `random` gives numbers from 0 to below 1; `held` is what an account has of the conversation."""
    if held is None:
        return ranked.plan(ranked.pick(random))
    place, words = _staying(ranked, held)
    plan = ranked.plan(ranked.pick(random) if place is None else place)
    head, *others = plan.candidates
    told = (Candidate(head.offer, head.rank, words + head.reason), *others) if words else plan.candidates
    return Plan(plan.model, plan.steps, told, held)


# --- ranking


def _awake(
    found: Eligible, figures: Callable[[str], Figures]
) -> tuple[Sequence[Step], list[Figures], tuple[Candidate, ...]]:
    """Those that may be asked, what is known of each, and the others with the reason."""
    known = [figures(step.offer.id) for step in found.steps]
    if not any([one.rest_s for one in known]):  # noqa: C419 - a generator takes twice as long
        return found.steps, known, ()
    pairs = list(zip(found.steps, known, strict=True))
    waiting = tuple([Candidate(step.offer.id, None, _rest_reason(one)) for step, one in pairs if one.rest_s])
    awake = [(step, one) for step, one in pairs if not one.rest_s]
    if not awake:
        error = _resting(found.model, known)
        error.candidates = (*waiting, *found.excluded)
        raise error
    return [step for step, _ in awake], [one for _, one in awake], waiting


def _ends_of_models(steps: Sequence[Step]) -> list[int]:
    """Where the steps of each model end; they stand together."""
    if steps[0].offer.model == steps[-1].offer.model:
        return [len(steps)]
    ends = [place for place in range(1, len(steps)) if steps[place].offer.model != steps[place - 1].offer.model]
    return [*ends, len(steps)]


def _rate(rows: list[_Row], steps: Sequence[Step], known: list[Figures], model: int, wish: RoutingWish) -> None:
    """Add the offers of one model."""
    factor, named = wish.factor, {provider: place for place, provider in enumerate(wish.order)}
    rated_ms = rated_latencies(known)
    prices = [rates(step.offer).blended for step in steps]
    worths = weights(rated_ms, known, prices)
    quick_ms = _clearly_quicker_ms(steps, rated_ms)
    is_down = known[0].breaker != "closed" and all(one.breaker != "closed" for one in known)
    for step, one, ms, price, worth in zip(steps, known, rated_ms, prices, worths, strict=True):
        down = _DOWN[one.breaker]
        later = gate(one) if one.failed_lately or one.reliability < GATE_LATER else 0
        listed, kept = 0, later
        if named:
            listed = named.get(step.offer.provider, len(named))
            kept = later if listed == len(named) else 0
        is_native = step.native or factor != "" or (ms is not None and ms <= quick_ms and one.samples >= DOUBT)
        by = _factor(factor, one, ms, price) if factor else 0.0
        standing = (is_down, model, down, listed, len(step.dropped), kept, not is_native)
        rows.append((standing, by, -worth, len(rows), Rated(step, one, ms, price, standing, down, later, by, worth)))


def _clearly_quicker_ms(steps: Sequence[Step], rated_ms: list[float | None]) -> float:
    """How quick an offer by translation must be to stand with those of the caller's own protocol."""
    if steps[0].native and steps[-1].native and all([step.native for step in steps]):  # noqa: C419 - as above
        return 0.0
    native = [ms for step, ms in zip(steps, rated_ms, strict=True) if step.native and ms is not None]
    return min(native, default=0.0) * CLEARLY_QUICKER


def _factor(factor: Factor, known: Figures, rated_ms: float | None, price: float | None) -> float:
    """The lower the better; what is not known comes last."""
    if factor == "price":
        return _UNKNOWN if price is None else price
    if factor == "throughput":
        return -known.tokens_per_second if known.tokens_per_second else _UNKNOWN
    return rated_ms if rated_ms is not None and known.samples >= KNOWN else _UNKNOWN


# --- shares


def _shares(rows: list[Rated], whys: dict[int, str], *, is_strict: bool) -> list[float]:
    """Each offer's share of first tries: by weight to those that stand like the best, a little to those of which more should be known."""
    head = rows[0]
    standing = head.standing
    pool = [0] if is_strict else [place for place, one in enumerate(rows) if one.standing == standing]
    curious: dict[int, float] = {}
    unmeasured = [place for place in pool if rows[place].figures.samples < KNOWN]
    if len(unmeasured) < len(pool):
        for place in unmeasured:
            curious[place] = EXPLORE
            whys[place] = "to be measured: "
    if len(pool) < len(rows):
        for place in range(1, len(rows)):
            one = rows[place]
            if one.down == 1 or one.later > head.later:
                _look_after(place, one, head, curious, whys)
    shares = [0.0] * len(rows)
    for place in curious:
        if rows[place].down and rows[place].figures.waited_s >= OVERDUE_S:
            shares[place] = 1.0
            return shares
    if curious:
        pool = [place for place in pool if place not in curious]
    asked = sum(curious.values())
    scale = MAX_CURIOSITY / asked if asked > MAX_CURIOSITY else 1.0
    each = (1.0 - asked * scale) / sum([rows[place].weight for place in pool])
    for place in pool:
        shares[place] = rows[place].weight * each
    for place, share in curious.items():
        shares[place] = share * scale
    return shares


def _look_after(place: int, one: Rated, head: Rated, curious: dict[int, float], whys: dict[int, str]) -> None:
    """Look whether an offer is back that only its health keeps from standing with the best or before it."""
    _, model, down, *rest = one.standing
    _, best_model, best_down, *best_rest = head.standing
    del rest[2], best_rest[2]
    if best_down or down > 1 or (model, *rest) > (best_model, *best_rest) or one.factor > head.factor:
        return
    curious[place] = TRIAL if down else GLANCE
    whys[place] = "to see whether it is back: "


# --- staying


def _staying(ranked: Ranked, held: Held) -> tuple[int | None, str]:
    """The place of the offer that the conversation stays with, and why; None where it need not or cannot."""
    rated = ranked.rated
    place = next((place for place, one in enumerate(rated) if one.step.offer.id == held.offer), None)
    if place is None:
        return None, ""
    one, head = rated[place], rated[0]
    if one.down or one.standing[1] != head.standing[1]:
        return None, ""
    if held.is_bound:
        return place, "state of this conversation is bound to it: "
    if ranked.is_strict or one.later > head.later or len(one.step.dropped) > len(head.step.dropped):
        return None, ""
    price = rates(one.step.offer)
    saved = saving_usd(held, price.input, price.cache_read)
    other_ms = min(
        [other.rated_ms for other in rated if other.standing == head.standing and other.rated_ms], default=None
    )
    if not held.cached_tokens or saved < gain_usd(one.rated_ms, other_ms):
        return None, ""
    return place, f"holds this conversation's prompt cache, {held.cached_tokens} tokens worth {saved:.4f} USD: "


# --- words


def _within_fallbacks(places: list[int], rated: list[Rated], wish: RoutingWish) -> tuple[list[int], list[int]]:
    """Those that may be tried, and the others. Without fallbacks: the providers that were named in an order, else the first offer of each model.

    https://openrouter.ai/docs/features/provider-routing
    """
    if wish.allow_fallbacks:
        return places, []
    taken = [place for place in places if rated[place].step.offer.provider in wish.order]
    if not taken:
        first: dict[str, int] = {}
        for place in places:
            first.setdefault(rated[place].step.offer.model, place)
        taken = list(first.values())
    return taken, [place for place in places if place not in taken]


def _reason(one: Rated) -> str:
    known = one.figures
    if known.first_token_ms is None:
        words = "first-token latency not measured yet"
    else:
        words = f"first-token latency {known.first_token_ms:.0f} ms"
        if one.rated_ms is not None:
            words += f" (of {known.samples:.0f}, rated {one.rated_ms:.0f} ms)"
    if one.price_usd is not None:
        words += f", {one.price_usd:.3g} USD/M"
    if not one.step.native:
        words += ", by translation"
    if known.room < 1.0:
        words += f", room for {known.room:.0%} of its share"
    if one.step.dropped:
        words += f", without {', '.join(one.step.dropped)}"
    if one.down:
        return words + (", breaker half-open" if one.down == 1 else f", breaker open for {known.open_s:.0f} s")
    return words + _LATER[one.later]


def _rest_reason(figures: Figures) -> str:
    return f"asked to be left alone for {figures.rest_s:.0f} s (status {figures.rest_status})"


def _resting(model: Model, figures: list[Figures]) -> RequestError:
    soonest = min(figures, key=lambda known: known.rest_s)
    message = f"Every offer of {model.slug} asked to be left alone for now."
    if soonest.rest_status == 429:
        return RateLimited(message, retry_after_s=soonest.rest_s)
    return NoProviderAvailable(message, retry_after_s=soonest.rest_s)

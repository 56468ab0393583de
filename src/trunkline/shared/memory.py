"""Shared state of an installation that is one process. In: claims. Out: answers at once, in time that grows with a claim's own terms alone.

Implements `accounts.shared.SharedState`. Nothing waits inside a call, so calls are atomic.
"""

import heapq
from collections.abc import Iterable, Sequence
from typing import Literal

from trunkline.accounts.limits import correct, state, take
from trunkline.accounts.shared import Claim, Grant, Hold, Places, Rate, RateState, Refusal, Spent

_REMEMBERED_S = 86_400.0
"""A claim that ended by its lease is known for so long: its request may live on, and settle."""
_COUNTED_S = 3_600.0
_SPARE = 64
_NOTHING = Spent(0, 0)


class _Kept:
    """A hold, while it is used. Before it is filled, what is settled is remembered by its request's id; then, for a while, what its sum had already."""

    __slots__ = ("counted", "counted_ms", "ends_ms", "held", "late", "spent")

    def __init__(self, ends_ms: float | None) -> None:
        self.spent = self.held = 0
        self.ends_ms = ends_ms
        self.late: dict[str, int] | None = {}
        self.counted: frozenset[str] = frozenset()
        self.counted_ms = 0.0


class _Claimed:
    __slots__ = ("amount", "claim", "expires_ms", "is_released")

    def __init__(self, claim: Claim, amount: int, expires_ms: float) -> None:
        self.claim = claim
        self.amount = amount
        self.expires_ms = expires_ms
        self.is_released = False


class InMemory:
    """Lives as long as the process. Claims that are settled or over take no memory, nor do holds whose period has ended."""

    answers_at_once = True

    def __init__(self) -> None:
        self._holds: dict[str, _Kept] = {}
        self._rates: dict[str, float] = {}
        self._places: dict[str, int] = {}
        self._claims: dict[str, _Claimed] = {}
        self._leases: list[tuple[float, str]] = []
        self._swept_ms = 0.0

    # --- filling

    def open(self, hold: Hold) -> bool:
        """Begin to keep a hold. True: it was not kept, so what is spent of it must be found out and told by `fill`."""
        if hold.name in self._holds:
            return False
        self._holds[hold.name] = _Kept(hold.ends_ms)
        return True

    def fill(self, name: str, spent_pico_usd: int, counted: Iterable[str]) -> None:
        """What was spent, with the ids of those requests in it that may have settled since `open`."""
        kept = self._holds.get(name)
        if kept is None or kept.late is None:
            return
        known = kept.counted = frozenset(counted)
        kept.counted_ms = self._swept_ms
        kept.spent = spent_pico_usd + sum([cost for id_, cost in kept.late.items() if id_ not in known])
        kept.late = None

    def forget(self, name: str) -> None:
        """What is spent could not be found out: the next claim asks again."""
        kept = self._holds.get(name)
        if kept is not None and kept.late is not None:
            del self._holds[name]

    # --- claims

    def claim(self, claim: Claim, now_ms: float) -> Grant | Refusal:
        """All or nothing."""
        self._sweep(now_ms)
        refusal, amount = self._money(claim)
        if refusal is None:
            refusal = self._place(claim)
        states: list[RateState] = []
        until: list[float] = []
        for rate in claim.rates:
            known = self._rates.get(rate.name, 0.0)
            verdict = take(known, rate.per_minute, _quantity(rate, claim), now_ms)
            if refusal is None and not verdict.allowed:
                refusal = Refusal(rate.kind, rate.name, retry_after_s=verdict.wait_s)
            until.append(verdict.until_ms)
            states.append(state(rate, verdict.until_ms, now_ms))
        if refusal is not None:
            return self._refused(refusal, claim.rates, now_ms)
        for rate, until_ms in zip(claim.rates, until, strict=True):
            self._rates[rate.name] = until_ms
        for places in claim.places:
            self._places[places.name] = self._places.get(places.name, 0) + 1
        for hold in claim.holds:
            self._holds[hold.name].held += amount
        expires_ms = now_ms + claim.lease_s * 1000
        self._claims[claim.id] = _Claimed(claim, amount, expires_ms)
        heapq.heappush(self._leases, (expires_ms, claim.id))
        return Grant(amount, tuple(states))

    def extend(self, id_: str, more_pico_usd: int, now_ms: float) -> Grant | Refusal:
        """Hold more: all of it, or a refusal. A claim that goes on is leased anew."""
        known = self._claims.get(id_)
        if known is None or known.is_released:
            return Refusal("unavailable", "")
        for hold in known.claim.holds:
            kept = self._holds.get(hold.name)
            left = 0 if kept is None else hold.limit_pico_usd - kept.spent - kept.held
            if left < more_pico_usd:
                return Refusal(_kind(hold), hold.name, max(left, 0))
        for hold in known.claim.holds:
            self._holds[hold.name].held += more_pico_usd
        known.amount += more_pico_usd
        known.expires_ms = now_ms + known.claim.lease_s * 1000
        return Grant(known.amount)

    def settle(self, id_: str, cost_pico_usd: int, tokens: int, now_ms: float, names: Sequence[str] = ()) -> None:
        """What it really was. `names` are the holds that cover the request now: what its claim did not have of them is charged too."""
        del now_ms
        known = self._claims.pop(id_, None)
        if known is not None:
            self._release(known)
            if known.claim.tokens != tokens:
                self._correct(known.claim, tokens - known.claim.tokens)
            for hold in known.claim.holds:
                self._charge(hold.name, id_, cost_pico_usd)
        if cost_pico_usd and names:
            held = () if known is None else [hold.name for hold in known.claim.holds]
            for name in names:
                if name not in held:
                    self._charge(name, id_, cost_pico_usd)

    def settle_interrupted(self, id_: str, cost_pico_usd: int, now_ms: float, names: Sequence[str]) -> None:
        """Of an earlier process: this one has settled nothing of it."""
        self.settle(id_, cost_pico_usd, 0, now_ms, names)

    def spent(self, names: Sequence[str], now_ms: float) -> Sequence[Spent]:
        """In their order."""
        self._sweep(now_ms)
        found = [self._holds.get(name) for name in names]
        return [_NOTHING if one is None else Spent(one.spent, one.held) for one in found]

    # --- parts

    def _money(self, claim: Claim) -> tuple[Refusal | None, int]:
        amount, tightest = claim.amount_pico_usd, None
        for hold in claim.holds:
            kept = self._holds.get(hold.name)
            if kept is None or kept.late is not None:
                return Refusal("unknown", hold.name), 0
            left = hold.limit_pico_usd - kept.spent - kept.held
            # What costs nothing goes whatever was spent.
            if left < amount and claim.amount_pico_usd:
                amount, tightest = left, hold
        if tightest is not None and (amount <= 0 or amount < claim.least_pico_usd):
            return Refusal(_kind(tightest), tightest.name, max(amount, 0)), 0
        return None, amount

    def _place(self, claim: Claim) -> Refusal | None:
        for places in claim.places:
            if self._places.get(places.name, 0) >= places.most:
                return Refusal("concurrency", places.name, retry_after_s=1.0)
        return None

    def _refused(self, refusal: Refusal, rates: tuple[Rate, ...], now_ms: float) -> Refusal:
        states = tuple([state(rate, self._rates.get(rate.name, 0.0), now_ms) for rate in rates])
        return Refusal(refusal.kind, refusal.name, refusal.left_pico_usd, refusal.retry_after_s, states)

    def _charge(self, name: str, id_: str, cost_pico_usd: int) -> None:
        kept = self._holds.get(name)
        if kept is None:
            return
        if kept.late is None:
            kept.spent += 0 if id_ in kept.counted else cost_pico_usd
        else:
            kept.late[id_] = cost_pico_usd

    def _release(self, known: _Claimed) -> None:
        if known.is_released:
            return
        known.is_released = True
        for hold in known.claim.holds:
            kept = self._holds.get(hold.name)
            if kept is not None:
                kept.held -= known.amount
        for places in known.claim.places:
            self._free(places)

    def _free(self, places: Places) -> None:
        left = self._places[places.name] - 1
        if left:
            self._places[places.name] = left
        else:
            del self._places[places.name]

    def _correct(self, claim: Claim, difference: int) -> None:
        for rate in claim.rates:
            if rate.kind == "tokens":
                self._rates[rate.name] = correct(self._rates.get(rate.name, 0.0), rate.per_minute, difference)

    def _sweep(self, now_ms: float) -> None:
        """Release what is over its lease; now and then forget what is over altogether."""
        leases = self._leases
        while leases and leases[0][0] <= now_ms:
            _, id_ = heapq.heappop(leases)
            self._expire(id_, now_ms)
        if len(leases) > 2 * len(self._claims) + _SPARE:
            self._leases = [(one.expires_ms, id_) for id_, one in self._claims.items()]
            heapq.heapify(self._leases)
        if now_ms - self._swept_ms > 60_000:
            self._swept_ms = now_ms
            self._rates = {name: until for name, until in self._rates.items() if until > now_ms}
            over = [name for name, kept in self._holds.items() if kept.ends_ms is not None and _is_over(kept, now_ms)]
            for name in over:
                del self._holds[name]
            for kept in self._holds.values():
                if kept.counted and kept.counted_ms <= now_ms - _COUNTED_S * 1000:
                    kept.counted = frozenset()

    def _expire(self, id_: str, now_ms: float) -> None:
        known = self._claims.get(id_)
        if known is None:
            return
        if known.expires_ms > now_ms:
            # It was extended.
            heapq.heappush(self._leases, (known.expires_ms, id_))
        elif known.is_released:
            del self._claims[id_]
        else:
            self._release(known)
            known.expires_ms = now_ms + _REMEMBERED_S * 1000
            heapq.heappush(self._leases, (known.expires_ms, id_))


def _is_over(kept: _Kept, now_ms: float) -> bool:
    """A day after its end nobody settles anything of it."""
    return kept.ends_ms is not None and kept.ends_ms + _REMEMBERED_S * 1000 <= now_ms and not kept.held


def _quantity(rate: Rate, claim: Claim) -> int:
    return 1 if rate.kind == "requests" else claim.tokens


def _kind(hold: Hold) -> Literal["budget", "credits"]:
    return "credits" if hold.name.startswith("credits:") else "budget"

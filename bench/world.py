"""Simulated providers for `bench.routing`: latencies that change, outages, limits, and the load that callers put on them. Virtual time, seeded.

In: an offer and a time. Out: what becomes of an attempt. Nothing here knows how offers are chosen.
"""

import math
from collections.abc import Callable

import msgspec

FIRST_EVENT_S = 10.0
"""The deadline of an offer that hangs."""
REFUSED_S = 0.05
FAILED_S = 0.3
PROMPT_TOKENS, ANSWER_TOKENS = 1000, 300


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """Something that holds from one time to another. Seconds since the start; with `every_s` it comes again and again."""

    from_s: float
    to_s: float
    every_s: float = 0.0
    fails: float = 0.0
    """Share of attempts that end with a 5xx."""
    hangs: float = 0.0
    """Share of attempts that never get a first event."""
    slower: float = 1.0

    def holds(self, at_s: float) -> bool:
        if self.every_s and at_s >= self.from_s:
            at_s = self.from_s + (at_s - self.from_s) % self.every_s
        return self.from_s <= at_s < self.to_s


class Sim(msgspec.Struct, frozen=True, kw_only=True):
    """One offer as it really is."""

    name: str
    median_ms: float
    spread: float = 0.35
    """Sigma of the lognormal first-token latency."""
    usd: float = 1.0
    """Per million tokens of the prompt; an answer's cost three times as much."""
    tokens_per_s: float = 80.0
    capacity: float = 200.0
    """Open requests at which its latency has doubled."""
    limit_per_s: float = 0.0
    retry_after_s: float | None = None
    """What it says with a 429."""
    wave: float = 0.0
    """Its latency swings by this factor up and down ..."""
    wave_s: float = 600.0
    """... in so many seconds."""
    fails: float = 0.001
    phases: tuple[Phase, ...] = ()


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """Of one attempt: `ok`, `status` (with `code`) or `timeout_first_event`. Durations count from sending."""

    kind: str
    code: int
    ended_s: float
    first_s: float | None = None
    retry_after_s: float | None = None


class World:
    """The providers at work. Lives as long as one simulation."""

    def __init__(self, sims: tuple[Sim, ...], random: Callable[[], float], gauss: Callable[[], float]) -> None:
        self.sims = sims
        self._random = random
        self._gauss = gauss
        self.open = [0] * len(sims)
        self._bucket = [one.limit_per_s * 2 for one in sims]
        self._filled_s = [0.0] * len(sims)

    def begin(self, place: int, at_s: float) -> Outcome:
        """An attempt begins; `end` must follow after `ended_s`."""
        sim = self.sims[place]
        self.open[place] += 1
        if not self._take(place, at_s):
            return Outcome("status", 429, REFUSED_S, retry_after_s=sim.retry_after_s)
        fails, hangs, _ = self._state(sim, at_s)
        drawn = self._random()
        if drawn < fails:
            return Outcome("status", 503, FAILED_S)
        if drawn < fails + hangs:
            return Outcome("timeout_first_event", 0, FIRST_EVENT_S)
        first_s = self.expected_ms(place, at_s) / 1000 * math.exp(sim.spread * self._gauss())
        if first_s > FIRST_EVENT_S:
            return Outcome("timeout_first_event", 0, FIRST_EVENT_S)
        return Outcome("ok", 200, first_s + ANSWER_TOKENS / sim.tokens_per_s, first_s)

    def end(self, place: int) -> None:
        self.open[place] -= 1

    def expected_ms(self, place: int, at_s: float) -> float:
        """The median first-token latency now."""
        sim = self.sims[place]
        wave = sim.wave ** math.sin(2 * math.pi * at_s / sim.wave_s) if sim.wave else 1.0
        load = 1.0 + (self.open[place] / sim.capacity) ** 2
        return sim.median_ms * wave * load * self._state(sim, at_s)[2]

    def broken(self, place: int, at_s: float) -> float:
        """The share of attempts that fail now; 1 where its limit is reached."""
        if not self._has_room(place, at_s):
            return 1.0
        fails, hangs, _ = self._state(self.sims[place], at_s)
        return min(1.0, fails + hangs)

    def _state(self, sim: Sim, at_s: float) -> tuple[float, float, float]:
        fails, hangs, slower = sim.fails, 0.0, 1.0
        for phase in sim.phases:
            if phase.holds(at_s):
                fails, hangs, slower = max(fails, phase.fails), max(hangs, phase.hangs), slower * phase.slower
        return fails, hangs, slower

    def _has_room(self, place: int, at_s: float) -> bool:
        limit = self.sims[place].limit_per_s
        if not limit:
            return True
        filled = self._bucket[place] + (at_s - self._filled_s[place]) * limit
        self._bucket[place], self._filled_s[place] = min(limit * 2, filled), at_s
        return self._bucket[place] >= 1

    def _take(self, place: int, at_s: float) -> bool:
        if not self._has_room(place, at_s):
            return False
        self._bucket[place] -= 1
        return True


def cost_usd(sim: Sim) -> float:
    """Of one answer."""
    return (PROMPT_TOKENS + 3 * ANSWER_TOKENS) * sim.usd / 1e6


def scenarios() -> dict[str, tuple[Sim, ...]]:
    """Name -> six offers of one model. Like what live pages of providers show: medians of 0.4 to 1.6 s, prices up to twice the lowest."""
    a = Sim(name="a", median_ms=420, usd=1.3, tokens_per_s=110)
    b = Sim(name="b", median_ms=600, usd=1.0, tokens_per_s=80)
    c = Sim(name="c", median_ms=650, usd=1.1, tokens_per_s=90)
    d = Sim(name="d", median_ms=900, usd=0.9, tokens_per_s=60)
    e = Sim(name="e", median_ms=1200, usd=0.8, tokens_per_s=50)
    f = Sim(name="f", median_ms=1600, usd=0.7, tokens_per_s=40)
    change = msgspec.structs.replace
    return {
        "calm": (a, b, c, d, e, f),
        "changing": (
            change(a, wave=2.5, wave_s=700.0),
            change(b, wave=2.0, wave_s=500.0),
            change(c, phases=(Phase(from_s=300, to_s=600, slower=4.0),)),
            change(d, wave=1.8, wave_s=900.0),
            e,
            change(f, phases=(Phase(from_s=600, to_s=900, slower=0.2),)),
        ),
        "outages": (
            change(a, phases=(Phase(from_s=200, to_s=380, fails=1.0), Phase(from_s=900, to_s=1000, fails=1.0))),
            change(b, phases=(Phase(from_s=250, to_s=500, fails=0.2),)),
            change(c, phases=(Phase(from_s=400, to_s=420, every_s=60.0, fails=1.0),)),
            d,
            change(e, fails=0.03),
            f,
        ),
        "hanging": (
            change(a, phases=(Phase(from_s=200, to_s=400, hangs=1.0), Phase(from_s=700, to_s=900, hangs=0.3))),
            change(b, phases=(Phase(from_s=800, to_s=1000, hangs=0.1),)),
            c,
            d,
            e,
            f,
        ),
        "limits": (
            change(a, limit_per_s=4, retry_after_s=2.0),
            change(b, limit_per_s=6),
            change(c, capacity=25.0),
            change(d, limit_per_s=3, retry_after_s=30.0),
            e,
            f,
        ),
        "all of it": (
            change(a, wave=2.0, wave_s=700.0, limit_per_s=8, retry_after_s=2.0, phases=(Phase(from_s=300, to_s=480, fails=1.0),)),
            change(b, phases=(Phase(from_s=420, to_s=600, hangs=0.5),)),
            change(c, capacity=30.0, phases=(Phase(from_s=600, to_s=620, every_s=60.0, fails=1.0),)),
            change(d, limit_per_s=5, phases=(Phase(from_s=750, to_s=900, slower=4.0),)),
            change(e, fails=0.03),
            change(f, phases=(Phase(from_s=440, to_s=460, fails=1.0),)),
        ),
    }  # fmt: skip

"""`python -m bench.routing`: our routing against other ways of choosing an offer, on simulated providers, in virtual time.

In: `bench.world`, and the pure code of `trunkline.routing` as the gateway calls it. Out: the table of docs/routing-simulation.md, a plot in bench/results/.
`python -m bench.routing --decision` measures what one decision costs.
"""

import argparse
import heapq
import itertools
import json
import random
import re
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from statistics import quantiles
from typing import Protocol

import msgspec

from bench.world import Outcome, Sim, World, cost_usd, scenarios
from trunkline.catalog.types import Model, Offer, PriceLine
from trunkline.errors import RequestError
from trunkline.routing.health import Health, Sample
from trunkline.routing.order import Ranked, draw, order
from trunkline.routing.types import Eligible, Step

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "routing-simulation.md"
RATE_PER_S = 20.0
SECONDS = 1200.0
SEEDS = (1, 2, 3)
HEADS = ("way", "answered", "p50 first token", "p99", "USD / 1,000 answers", "attempts / request", "refused with 429")
ORDER_HOLDS_S = 0.1
"""As `execution.planning` remembers an order."""


class Chooser(Protocol):
    """A way of choosing: the places of the offers to try, in order, and what it is told of attempts."""

    def plan(self, at_s: float) -> Sequence[int]: ...

    def begin(self, place: int, at_s: float) -> int:
        """The attempt's token for the other two."""
        ...

    def hear(self, place: int, token: int) -> None:
        """It had its first event."""
        ...

    def end(self, place: int, at_s: float, outcome: Outcome, token: int, began_s: float) -> None: ...

    def hedge_after_s(self, place: int, at_s: float) -> float | None:
        """How long the first offer may be silent before the next one is asked too; None: for ever."""
        ...


class Blind:
    """One that learns nothing."""

    def hedge_after_s(self, place: int, at_s: float) -> float | None:
        return None

    def begin(self, place: int, at_s: float) -> int:
        return 0

    def hear(self, place: int, token: int) -> None:
        pass

    def end(self, place: int, at_s: float, outcome: Outcome, token: int, began_s: float) -> None:
        pass


class Ours(Blind):
    """`routing.order` and `routing.draw` over `routing.health`, told what `execution` tells it."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.health = Health(rng.random)
        self._random = rng.random
        self._found = eligible_of(world.sims)
        self._ids = [step.offer.id for step in self._found.steps]
        self._places = {name: place for place, name in enumerate(self._ids)}
        self._ranked: Ranked | None = None
        self._until_s, self._changes = 0.0, -1

    def plan(self, at_s: float) -> Sequence[int]:
        if self._ranked is None or at_s >= self._until_s or self._changes != self.health.changes:
            self._ranked = None
            try:
                self._ranked = order(self._found, lambda name: self.health.figures(name, at_s))
            except RequestError:
                return ()
            self._until_s, self._changes = at_s + ORDER_HOLDS_S, self.health.changes
        made = draw(self._ranked, self._random)
        return [self._places[step.offer.id] for step in made.steps]

    def begin(self, place: int, at_s: float) -> int:
        return self.health.begin(self._ids[place], at_s, is_stream=True)

    def hear(self, place: int, token: int) -> None:
        self.health.hear(self._ids[place], token)

    def end(self, place: int, at_s: float, outcome: Outcome, token: int, began_s: float) -> None:
        name = self._ids[place]
        is_limit = outcome.code == 429
        up = None if is_limit else outcome.kind == "ok"
        first_ms = None if outcome.first_s is None else outcome.first_s * 1000
        self.health.observe(name, Sample(at_s, up, first_ms, limited=is_limit, began_s=began_s), token)
        if outcome.retry_after_s:
            self.health.rest(name, at_s, outcome.retry_after_s, outcome.code)


class Hedging(Ours):
    """The same for callers that wish `provider.hedge`: by the offer's own 95th percentile."""

    def hedge_after_s(self, place: int, at_s: float) -> float | None:
        p95_ms = self.health.figures(self._ids[place], at_s).p95_ms
        return None if p95_ms is None else p95_ms / 1000


class RoundRobin(Blind):
    def __init__(self, world: World, rng: random.Random) -> None:
        self._count = len(world.sims)
        self._turn = itertools.count()

    def plan(self, at_s: float) -> Sequence[int]:
        first = next(self._turn) % self._count
        return [(first + step) % self._count for step in range(self._count)]


class Static(Blind):
    """The quickest by repute first, always."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._order = range(len(world.sims))

    def plan(self, at_s: float) -> Sequence[int]:
        return self._order


class AtRandom(Blind):
    def __init__(self, world: World, rng: random.Random) -> None:
        self._places = list(range(len(world.sims)))
        self._rng = rng

    def plan(self, at_s: float) -> Sequence[int]:
        self._rng.shuffle(self._places)
        return tuple(self._places)


class Newest(Blind):
    """The offer whose last answer was quickest: no memory, no chance."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._last = [0.0] * len(world.sims)

    def plan(self, at_s: float) -> Sequence[int]:
        return sorted(range(len(self._last)), key=self._last.__getitem__)

    def end(self, place: int, at_s: float, outcome: Outcome, token: int, began_s: float) -> None:
        self._last[place] = outcome.ended_s * 100 if outcome.first_s is None else outcome.first_s


class Oracle(Blind):
    """Sees the state of every offer at this moment, its limit and its load too, but not what chance brings."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world

    def plan(self, at_s: float) -> Sequence[int]:
        world = self._world
        places = range(len(world.sims))
        return sorted(places, key=lambda place: (round(world.broken(place, at_s), 1), world.expected_ms(place, at_s)))


WAYS: dict[str, Callable[[World, random.Random], Chooser]] = {
    "oracle": Oracle,
    "Trunkline": Ours,
    "Trunkline, hedging": Hedging,
    "last was quickest": Newest,
    "static order": Static,
    "round robin": RoundRobin,
    "random": AtRandom,
}


class Run(msgspec.Struct):
    """What came of one simulation."""

    requests: int = 0
    failed: int = 0
    attempts: int = 0
    limited: int = 0
    cost_usd: float = 0.0
    firsts: list[tuple[float, float]] = []
    """(when it was asked, seconds to the first token), failed attempts before it included."""
    tried: list[tuple[float, int]] = []
    """(when, place) of each request's first try."""


class _Asked:
    """A request under way. What is left to try, and what is being tried."""

    def __init__(self, at_s: float, places: list[int]) -> None:
        self.at_s = at_s
        self.places = places
        self.under_way = 0
        self.answered = False


def simulate(sims: tuple[Sim, ...], way: Callable[[World, random.Random], Chooser], seed: int, seconds: float) -> Run:
    """One way in one world. The same seed brings the same arrivals to every way."""
    rng = random.Random(seed)
    world = World(sims, rng.random, lambda: rng.gauss(0.0, 1.0))
    chooser = way(world, random.Random(seed + 1000))
    arrivals = random.Random(seed + 2000)
    run = Run()
    count = itertools.count()
    events: list[tuple[float, int, Callable[[float], None]]] = []

    def later(at_s: float, what: Callable[[float], None]) -> None:
        heapq.heappush(events, (at_s, next(count), what))

    def arrive(at_s: float) -> None:
        later(at_s + arrivals.expovariate(RATE_PER_S), arrive)
        run.requests += 1
        asked = _Asked(at_s, list(chooser.plan(at_s)))
        if not asked.places:
            run.failed += 1
            return
        first = asked.places[0]
        run.tried.append((at_s, first))
        after_s = chooser.hedge_after_s(first, at_s)
        attempt(at_s, asked)
        if after_s is not None:
            later(at_s + after_s, lambda now_s: None if asked.answered else attempt(now_s, asked))

    def attempt(at_s: float, asked: _Asked) -> None:
        if not asked.places:
            return
        place = asked.places.pop(0)
        run.attempts += 1
        asked.under_way += 1
        token = chooser.begin(place, at_s)
        outcome = world.begin(place, at_s)
        run.limited += outcome.code == 429

        def first(now_s: float) -> None:
            run.cost_usd += cost_usd(sims[place])
            chooser.hear(place, token)
            if not asked.answered:
                asked.answered = True
                run.firsts.append((asked.at_s, now_s - asked.at_s))

        def end(now_s: float) -> None:
            world.end(place)
            chooser.end(place, now_s, outcome, token, at_s)
            asked.under_way -= 1
            if outcome.kind == "ok" or asked.answered or asked.under_way:
                return
            if asked.places:
                attempt(now_s, asked)
            else:
                run.failed += 1

        if outcome.first_s is not None:
            later(at_s + outcome.first_s, first)
        later(at_s + outcome.ended_s, end)

    later(0.0, arrive)
    while events and events[0][0] < seconds:
        at_s, _, what = heapq.heappop(events)
        what(at_s)
    return run


class Row(msgspec.Struct, frozen=True):
    """The figures of one way in one scenario, over all seeds."""

    way: str
    success: float
    p50_s: float
    p99_s: float
    usd_per_1000: float
    attempts: float
    limited: float


def row(way: str, runs: Sequence[Run]) -> Row:
    """Drawn together. A request that nobody answered counts in `success` alone."""
    requests = sum(run.requests for run in runs)
    firsts = [first for run in runs for _, first in run.firsts]
    cuts = quantiles(firsts, n=100)
    return Row(
        way,
        1 - sum(run.failed for run in runs) / requests,
        cuts[49],
        cuts[98],
        sum(run.cost_usd for run in runs) / len(firsts) * 1000,
        sum(run.attempts for run in runs) / requests,
        sum(run.limited for run in runs) / requests,
    )


def table(rows: dict[str, list[Row]]) -> str:
    """As Markdown, a part for each scenario."""
    parts = []
    for name, found in rows.items():
        parts.append(f"**{name}**\n\n| {' | '.join(HEADS)} |\n{'|---' * len(HEADS)}|")
        parts += [
            f"| {one.way} | {one.success:.2%} | {one.p50_s:.2f} s | {one.p99_s:.2f} s | {one.usd_per_1000:.2f} | {one.attempts:.2f} | {one.limited:.1%} |"
            for one in found
        ]
        parts.append("")
    return "\n".join(parts)


# --- what a decision costs


def eligible_of(sims: Sequence[Sim]) -> Eligible:
    """The offers as the catalog would have them."""
    model = Model("acme/alpha", "Alpha", "acme", context_tokens=100_000)
    steps = []
    for sim in sims:
        price = tuple(
            PriceLine(item, "perMTokens", Decimal(str(round(sim.usd * times, 4))))
            for item, times in (("prompt", 1), ("completion", 3))
        )
        steps.append(Step(Offer(model.slug, sim.name, "alpha-1", ("openai.chat",), price)))
    return Eligible(model, tuple(steps), (), 2**40)


def decision(offers: int = 10, seconds: float = 0.4) -> dict[str, float]:
    """CPU µs of an order made from scratch and of a draw from a remembered one, of offers that are measured. The lowest of several rounds."""
    rng = random.Random(1)
    sims = [Sim(name=f"p{number}", median_ms=300 + 100 * number, usd=1 + number / 10) for number in range(offers)]
    found = eligible_of(sims)
    health = Health(rng.random)
    for number in range(60):
        for sim in sims:
            name = f"acme/alpha:{sim.name}"
            health.begin(name, float(number))
            health.observe(name, Sample(float(number), True, sim.median_ms * rng.uniform(0.8, 1.4), 60.0))
    now_s = 61.0
    ranked = order(found, lambda name: health.figures(name, now_s))
    draw(ranked, rng.random)
    return {
        "order": _least_us(lambda: order(found, lambda name: health.figures(name, now_s)), seconds),
        "draw": _least_us(lambda: draw(ranked, rng.random), seconds),
    }


def _least_us(work: Callable[[], object], seconds: float) -> float:
    rounds: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or not rounds:
        began = time.process_time()
        for _ in range(200):
            work()
        rounds.append((time.process_time() - began) / 200 * 1e6)
    return min(rounds)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.routing", description=__doc__)
    parser.add_argument("--decision", action="store_true", help="only what one decision costs, as JSON")
    parser.add_argument("--quick", action="store_true", help="one seed, a quarter of the time")
    parser.add_argument(
        "--write", action="store_true", help="into docs/routing-simulation.md and bench/results/routing.svg"
    )
    options = parser.parse_args(argv)
    if options.decision:
        print(json.dumps(decision()))
        return 0
    seeds, seconds = (SEEDS[:1], SECONDS / 4) if options.quick else (SEEDS, SECONDS)
    rows: dict[str, list[Row]] = {}
    shown: dict[str, Run] = {}
    for name, sims in scenarios().items():
        for way, make in WAYS.items():
            runs = [simulate(sims, make, seed, seconds) for seed in seeds]
            rows.setdefault(name, []).append(row(way, runs))
            if name == "all of it":
                shown[way] = runs[0]
        print(table({name: rows[name]}), flush=True)
    if options.write:
        from bench.routing_plot import svg

        words = table(rows)
        page = PAGE.read_text("utf-8")
        PAGE.write_text(
            re.sub(
                r"(<!-- tables -->\n).*(<!-- end -->)", lambda found: found[1] + words + found[2], page, flags=re.DOTALL
            )
        )
        (HERE / "results" / "routing.svg").write_text(svg(shown, scenarios()["all of it"], seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A figure that varies: given as min, max and average, drawn from one bounded distribution with exactly that mean.

In: `Spread` and a `random.Random`. Out: floats. The logarithm of a draw is a Beta(2, b) stretched over [log min, log
max], with b chosen so that the mean of the draws, not of their logarithms, is the average: one hump near the low end
and a long tail, as latencies have, that reaches towards the bounds and never passes them.
"""

from functools import lru_cache
from math import exp, log
from random import Random

import msgspec

ALPHA = 2.0
STEPS = 80
"""Halvings of the search for b; the range that is left is far below what a float can tell."""


class Spread(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds and mean of a figure, all in the unit that the field's name says."""

    min: float
    max: float
    avg: float

    def __post_init__(self) -> None:
        flat = 0 <= self.min == self.avg == self.max
        if not (flat or 0 < self.min < self.avg < self.max):
            raise ValueError(f"0 < min {self.min} < avg {self.avg} < max {self.max} must hold, or all three be equal")


def draw(spread: Spread, random: Random) -> float:
    """One value within the bounds."""
    if spread.min == spread.max:
        return spread.avg
    width = log(spread.max / spread.min)
    value = spread.min * exp(width * random.betavariate(ALPHA, fitted_beta(spread)))
    return min(max(value, spread.min), spread.max)


@lru_cache(maxsize=64)  # A pure function that is asked the same for every request.
def fitted_beta(spread: Spread) -> float:
    """The b for which the mean is the average. The mean falls as b grows, from max to min, so halving finds it."""
    width = log(spread.max / spread.min)
    low, high = log(1e-9), log(1e9)
    for _ in range(STEPS):
        middle = (low + high) / 2
        if spread.min * mean_factor(exp(middle), width) > spread.avg:
            low = middle
        else:
            high = middle
    return exp(low)


def mean_factor(beta: float, width: float) -> float:
    """Mean of exp(width * B) for B ~ Beta(ALPHA, beta): Kummer's function M(a, a + b, width), by its series
    (https://dlmf.nist.gov/13.4, 13.4.1; the Beta distribution's moment generating function)."""
    term = total = 1.0
    k = 0
    while term > total * 1e-14:
        term *= (ALPHA + k) / (ALPHA + beta + k) * width / (k + 1)
        total += term
        k += 1
    return total

"""A histogram of durations or speeds that can be merged. In: positive floats. Out: exact count, sum, least and greatest; quantiles within 2.5 %.

Its buckets grow by `GROWTH`, so that any quantile is off by at most (GROWTH - 1) / (GROWTH + 1) of itself, whatever the values are
(DDSketch, https://arxiv.org/abs/1908.10693, section 2). Merging adds counts: the order and the way of merging change nothing.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable
from itertools import accumulate
from math import ceil, log
from typing import Any

import msgspec

GROWTH = 1.05
RELATIVE_ERROR = (GROWTH - 1) / (GROWTH + 1)
_SCALE = 1 / math.log(GROWTH)
SMALLEST = 1e-3
"""Less counts as this: a microsecond, where the unit is milliseconds."""
_FIRST = math.ceil(math.log(SMALLEST) * _SCALE)
_INFINITE = math.inf
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


class Histogram:
    """Grows by `add` and `merge`. `low` and `high` are of use only where `count` is not 0."""

    __slots__ = ("count", "counts", "high", "low", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.low = math.inf
        self.high = 0.0
        self.counts: defaultdict[int, int] = defaultdict(int)
        """Bucket -> how many; bucket i holds what is over GROWTH ** (i - 1) and at most GROWTH ** i."""

    def add(self, value: float) -> None:
        """Take in one value. One that is no finite number is left out."""
        if not value < _INFINITE:
            return
        index = ceil(log(value) * _SCALE) if value > SMALLEST else _FIRST
        self.counts[index] += 1
        self.count += 1
        self.total += value
        if value < self.low:
            self.low = value
        if value > self.high:
            self.high = value

    def merge(self, other: "Histogram") -> None:
        """Take in all that another one has."""
        self._take(other.total, other.low, other.high, other.counts, other.counts.values())

    def merge_packed(self, packed: bytes) -> None:
        """The same from bytes."""
        if not packed:
            return
        total, low, high, steps = _decoder.decode(packed)
        self._take(total, low, high, accumulate(steps[::2]), steps[1::2])

    def packed(self) -> bytes:
        """Few bytes: two for most buckets. Empty where nothing was added."""
        if not self.count:
            return b""
        steps: list[int] = []
        before = 0
        for index, count in sorted(self.counts.items()):
            steps += (index - before, count)
            before = index
        return _encoder.encode((self.total, self.low, self.high, steps))

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None

    def quantile(self, share: float) -> float | None:
        """The value that `share` (0 to 1) of all values do not exceed, within `RELATIVE_ERROR`; None of nothing."""
        if not self.count:
            return None
        rank, seen = share * (self.count - 1), 0
        for index, count in sorted(self.counts.items()):
            seen += count
            if seen > rank:
                # The middle of the bucket, as seen from both of its ends in shares of themselves.
                return min(max(2 * GROWTH**index / (GROWTH + 1), self.low), self.high)
        return self.high

    def _take(self, total: float, low: float, high: float, indexes: Iterable[int], numbers: Collection[int]) -> None:
        counts = self.counts
        if counts:
            for index, number in zip(indexes, numbers, strict=False):
                counts[index] += number
        else:
            counts.update(zip(indexes, numbers, strict=False))
        self.count += sum(numbers)
        self.total += total
        if low < self.low:
            self.low = low
        if high > self.high:
            self.high = high

    def __eq__(self, other: Any) -> bool:
        """Sums of floats depend on their order in the last digits."""
        if not isinstance(other, Histogram):
            return NotImplemented
        same = (self.counts, self.low, self.high) == (other.counts, other.low, other.high)
        return same and math.isclose(self.total, other.total, rel_tol=1e-9, abs_tol=1e-9)

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return f"Histogram({self.count} values, {self.low} to {self.high})"

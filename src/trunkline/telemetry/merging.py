"""One page of several processes' metrics. In: pages in Prometheus' text format, as `telemetry.text` writes them. Out: one such page.

Counters and histograms are added up; of processes that are gone they still count, or sums would fall, which Prometheus takes for a new start
(https://prometheus.io/docs/concepts/metric_types/#counter). Gauges of processes that are there become one by a rule of their name.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from statistics import fmean

Rule = Callable[[Sequence[float]], float]
MEAN: Rule = fmean
_AT_ONCE = 500


class _Metric:
    __slots__ = ("head", "is_gauge", "samples")

    def __init__(self, head: list[str]) -> None:
        self.head = head
        self.is_gauge = head[-1].endswith(" gauge")
        self.samples: dict[str, list[float]] = {}
        """Name and labels -> the values: of a gauge all, else their sum."""


class Merging:
    """Lives as long as it takes to make a page. Each step of its iterators takes well under a millisecond."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        """Of gauges: their name -> what becomes of several values. They are added up where nothing else is said."""
        self._rules = rules
        self._metrics: dict[str, _Metric] = {}

    def take(self, page: bytes, *, is_gone: bool = False) -> Iterator[None]:
        """Take in a page, some lines at a time."""
        lines = iter(page.decode().splitlines())
        metric = _Metric(["", ""])
        words = ""
        while some := list(islice(lines, _AT_ONCE)):
            for line in some:
                if line.startswith("# HELP "):
                    words = line
                elif line.startswith("# TYPE "):
                    metric = self._metrics.setdefault(line.split(" ")[2], _Metric([words, line]))
                elif not (is_gone and metric.is_gauge):
                    _add(metric, line)
            yield

    def pages(self) -> Iterator[bytes]:
        """The one page, a piece at a time."""
        for name, metric in self._metrics.items():
            rule = self._rules.get(name, sum)
            samples = iter(metric.samples.items())
            lines = list(metric.head) if metric.samples else []
            while some := list(islice(samples, _AT_ONCE)):
                lines += [f"{sample} {_number(rule(values))}" for sample, values in some]
                yield ("\n".join(lines) + "\n").encode()
                lines = []


def _add(metric: _Metric, line: str) -> None:
    sample, _, number = line.rpartition(" ")
    value = int(number) if number.isdigit() else float(number)
    known = metric.samples.get(sample)
    if known is None:
        metric.samples[sample] = [value]
    elif metric.is_gauge:
        known.append(value)
    else:
        known[0] += value


def _number(value: float) -> str:
    return str(value) if type(value) is int else f"{value:.12g}"

"""The plot of `bench.routing`: over the time of one scenario, the slowest twentieth of first tokens by each way, and which offers ours tries first.

In: runs by way. Out: SVG, in the colours of `bench.plot`.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import quantiles

from bench.plot import COLOURS, STYLE
from bench.routing import Run
from bench.world import Sim

_W, _H, _LEFT, _TOP, _GAP, _BUCKETS = 860, 220, 64, 60, 70, 60
_LOW, _HIGH = 0.3, 20.0
_MARKS_S = (0.5, 1, 2, 5, 10, 20)


def svg(runs: Mapping[str, Run], sims: Sequence[Sim], seconds: float) -> str:
    """Both panels, one under the other."""
    below = _TOP + _H + _GAP
    height = below + _H + 90
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _W + 30} {height}" width="{_LEFT + _W + 30}" role="img">'
    ]
    parts.append(f"<title>Routing over simulated providers</title><style>{STYLE}</style>")
    parts.append(
        _text(
            _LEFT, 20, "First token that 95 of 100 requests keep, by way of choosing (all of it, log scale)", bold=True
        )
    )
    colours = dict(zip(runs, COLOURS, strict=False))
    for seconds_mark in _MARKS_S:
        y = _y(seconds_mark)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + _W}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT - 6, y + 4, f"{seconds_mark:g} s", anchor="end"))
    for way, run in runs.items():
        points = " ".join(f"{_x(at, seconds):.1f},{_y(value):.1f}" for at, value in _curve(run, seconds))
        width = 2.6 if way == "Trunkline" else 1.2
        parts.append(f'<polyline fill="none" stroke="{colours[way]}" stroke-width="{width}" points="{points}"/>')
    parts += _legend(list(runs), colours, _TOP - 22)
    parts.append(_text(_LEFT, below - 34, "Share of requests that Trunkline gives to each offer first", bold=True))
    parts += _stack(runs["Trunkline"], len(sims), seconds, below)
    parts += _legend(
        [sim.name for sim in sims], dict(zip([sim.name for sim in sims], COLOURS, strict=False)), below - 14
    )
    for minute in range(0, int(seconds) + 1, 120):
        parts.append(_text(_x(minute, seconds), below + _H + 18, f"{minute // 60} min", anchor="middle"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _curve(run: Run, seconds: float) -> list[tuple[float, float]]:
    """(time, 95th percentile) of the requests of each bucket."""
    buckets: list[list[float]] = [[] for _ in range(_BUCKETS)]
    for asked_s, first_s in run.firsts:
        buckets[min(_BUCKETS - 1, int(asked_s / seconds * _BUCKETS))].append(first_s)
    width = seconds / _BUCKETS
    return [
        ((place + 0.5) * width, quantiles(found, n=20)[18]) for place, found in enumerate(buckets) if len(found) > 1
    ]


def _stack(run: Run, count: int, seconds: float, top: float) -> list[str]:
    tries = [[0] * count for _ in range(_BUCKETS)]
    for at_s, place in run.tried:
        tries[min(_BUCKETS - 1, int(at_s / seconds * _BUCKETS))][place] += 1
    width = _W / _BUCKETS
    parts = []
    for bucket, row in enumerate(tries):
        y, total = top, sum(row) or 1
        for place, number in enumerate(row):
            height = number / total * _H
            parts.append(
                f'<rect x="{_LEFT + bucket * width:.1f}" y="{y:.1f}" width="{width + 0.3:.1f}" height="{height:.1f}" fill="{COLOURS[place]}"/>'
            )
            y += height
    return parts


def _legend(names: Sequence[str], colours: Mapping[str, str], y: float) -> list[str]:
    parts, x = [], float(_LEFT)
    for name in names:
        parts.append(f'<rect x="{x:.0f}" y="{y - 9:.0f}" width="14" height="6" fill="{colours[name]}"/>')
        parts.append(_text(x + 20, y, name))
        x += 46 + 7 * len(name)
    return parts


def _text(x: float, y: float, words: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' style="font-weight:bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{words}</text>'


def _x(at_s: float, seconds: float) -> float:
    return _LEFT + at_s / seconds * _W


def _y(value_s: float) -> float:
    share = (math.log(min(_HIGH, max(_LOW, value_s))) - math.log(_LOW)) / (math.log(_HIGH) - math.log(_LOW))
    return _TOP + _H * (1 - share)

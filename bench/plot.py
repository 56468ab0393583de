"""Latency distributions as a hand-made SVG: one panel a rate, one line a stack, percentiles towards 100 stretched,
microseconds on a log scale."""

import math
from collections.abc import Sequence
from statistics import median

from bench.types import PERCENTILES, Report

_PANEL_W, _PANEL_H, _LEFT, _TOP, _GAP = 330, 300, 64, 56, 60
COLOURS = ("#e4572e", "#17bebb", "#ffc914", "#7768ae", "#76b041", "#2e86ab", "#8d6a4f")
_MARKS = (0.0, 50.0, 90.0, 99.0, 99.9)
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#333}.grid{stroke:#ccc;stroke-width:.6}svg{background:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#444}svg{background:#16181d}}"
)


def curves(report: Report, row: str) -> dict[str, list[float]]:
    """Stack -> latency in microseconds at each of `PERCENTILES`, the median over the rounds."""
    by_stack: dict[str, list[list[float]]] = {}
    for sample in report.samples:
        if sample.row == row and sample.value is not None and sample.latency_us:
            by_stack.setdefault(sample.stack, []).append(sample.latency_us)
    return {stack: [median(values) for values in zip(*rounds, strict=True)] for stack, rounds in by_stack.items()}


def latency_svg(report: Report) -> str:
    rows = [row for row in dict.fromkeys(sample.row for sample in report.samples) if row.startswith("latency@")]
    panels = {row: curves(report, row) for row in rows}
    names = list(dict.fromkeys(stack for panel in panels.values() for stack in panel))
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
    values = [value for panel in panels.values() for curve in panel.values() for value in curve if value > 0]
    low, high = (math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))) if values else (1, 6)
    width = _LEFT + len(rows) * (_PANEL_W + _GAP)
    height = _TOP + _PANEL_H + 48 + 18 * len(names)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">']
    parts += [f"<title>Latency by percentile, {report.meta.get('date', '')}</title><style>{STYLE}</style>"]
    parts.append(
        f'<text x="{_LEFT}" y="20" font-weight="bold">Latency of a small chat request by percentile (log scale)</text>'
    )
    for index, row in enumerate(rows):
        parts += _panel(_LEFT + index * (_PANEL_W + _GAP), row, panels[row], colours, low, high)
    for index, name in enumerate(names):
        y = _TOP + _PANEL_H + 48 + 18 * index
        parts.append(f'<rect x="{_LEFT}" y="{y - 9}" width="14" height="4" fill="{colours[name]}"/>')
        parts.append(f'<text x="{_LEFT + 22}" y="{y}">{_escaped(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(
    left: float, row: str, panel: dict[str, list[float]], colours: dict[str, str], low: int, high: int
) -> list[str]:
    rate = int(row.partition("@")[2])
    parts = [f'<text x="{left}" y="{_TOP - 10}">{rate:,} requests/s</text>']
    for decade in range(low, high + 1):
        y = _y(10.0**decade, low, high)
        parts.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{left + _PANEL_W}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{_duration(10.0**decade)}</text>')
    for mark in _MARKS:
        x = left + _x(mark)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_TOP + _PANEL_H}"/>')
        parts.append(f'<text x="{x:.1f}" y="{_TOP + _PANEL_H + 18}" text-anchor="middle">{mark:g}</text>')
    for name, curve in panel.items():
        parts.append(_line(left, curve, colours[name], low, high))
    return parts


def _line(left: float, curve: Sequence[float], colour: str, low: int, high: int) -> str:
    points = [
        f"{left + _x(percent):.1f},{_y(value, low, high):.1f}"
        for percent, value in zip(PERCENTILES, curve, strict=True)
        if percent <= _MARKS[-1] and value > 0
    ]
    return f'<polyline fill="none" stroke="{colour}" stroke-width="1.8" points="{" ".join(points)}"/>'


def _x(percent: float) -> float:
    """Each further nine takes the same room: 90, 99 and 99.9 are equally far apart."""
    return -math.log10(1 - percent / 100) / 3 * _PANEL_W


def _y(value: float, low: int, high: int) -> float:
    return _TOP + _PANEL_H * (1 - (math.log10(value) - low) / (high - low))


def _duration(value_us: float) -> str:
    return (
        f"{value_us:g} µs"
        if value_us < 1000
        else f"{value_us / 1000:g} ms"
        if value_us < 1e6
        else f"{value_us / 1e6:g} s"
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

"""Prometheus' text format, version 0.0.4. In: families of lines. Out: bytes.

https://prometheus.io/docs/instrumenting/exposition_formats/. Tested against prometheus-client's parser; its counters cost several µs each, so ours are plain.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

import msgspec

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]


class Family(msgspec.Struct, frozen=True):
    """One metric with its lines. Without lines it is not told; without words it goes on with the one before."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    words: str
    lines: list[str]


def render(family: Family) -> bytes:
    """A family; empty where it has no lines."""
    if not family.lines:
        return b""
    head = f"# HELP {family.name} {family.words}\n# TYPE {family.name} {family.kind}\n"
    return ((head if family.words else "") + "\n".join(family.lines) + "\n").encode()


def line(name: str, labels: Labels, value: float) -> str:
    """One sample. Labels without a value are left out, which means the same."""
    told = _told(labels)
    return f"{name}{{{told}}} {_number(value)}" if told else f"{name} {_number(value)}"


def histogram_lines(
    name: str, labels: Labels, bounds: Sequence[float], counts: Sequence[int], total: float
) -> list[str]:
    """Buckets, sum and count. `counts` has one more than `bounds`."""
    told = _told(labels)
    comma = "," if told else ""
    up_to = [*[f"{bound:g}" if bound < 1e6 else str(int(bound)) for bound in bounds], "+Inf"]
    reached = list(accumulate(counts))
    lines = [f'{name}_bucket{{{told}{comma}le="{bound}"}} {count}' for bound, count in zip(up_to, reached, strict=True)]
    ending = f"{{{told}}}" if told else ""
    return [*lines, f"{name}_sum{ending} {_number(total)}", f"{name}_count{ending} {reached[-1]}"]


def _told(labels: Labels) -> str:
    return ",".join([f'{name}="{_escaped(value)}"' for name, value in labels if value])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(value) if type(value) is int else f"{value:.12g}"

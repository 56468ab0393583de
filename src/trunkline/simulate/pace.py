"""What a request will meet: how long it waits, and whether its answer breaks, and how.

In: a provider's `Behaviour`, the message's `Script`, randomness. Out: a frozen `Fate`. The script wins over the
behaviour.
"""

from collections.abc import Callable
from random import Random

import msgspec

from trunkline.simulate.config import Behaviour
from trunkline.simulate.directives import BEFORE_HEAD, Fault, Script
from trunkline.simulate.spread import draw

BREAKS_WITHIN = 8
"""Pieces within which an answer breaks by chance; fewer than the shortest text has."""


class Fate(msgspec.Struct, frozen=True):
    """Everything about one answer but its content."""

    status: int = 200
    """Of the provider's own failures; 200 is none."""
    retry_after_s: float | None = None
    fault: Fault | None = None
    content_type: str | None = None
    malformed: bool = False
    empty: bool = False
    first_s: float = 0.0
    """From the request to the first byte."""
    tokens_per_s: float | None = None
    gap_s: float | None = None
    """Between pieces; wins over `tokens_per_s`."""


def fate(behaviour: Behaviour, script: Script, random: Random) -> Fate:
    """Draws what happens to an answer."""
    wait_s = script.wait_ms / 1000 if script.wait_ms is not None else drawn_wait_s(behaviour, random)
    rate = script.tokens_per_s
    if rate is None and behaviour.tokens_per_s is not None:
        rate = draw(behaviour.tokens_per_s, random) * behaviour.speed
    mishap = drawn_mishap(behaviour, random)
    return msgspec.structs.replace(
        mishap,
        fault=script.fault or mishap.fault,
        content_type=script.content_type if script.content_type is not None else mishap.content_type,
        malformed=script.malformed or mishap.malformed,
        empty=script.empty or mishap.empty,
        first_s=wait_s,
        tokens_per_s=rate,
        gap_s=script.gap_ms / 1000 if script.gap_ms is not None else None,
    )


def drawn_wait_s(behaviour: Behaviour, random: Random) -> float:
    return draw(behaviour.ttft_ms, random) / 1000 / behaviour.speed if behaviour.ttft_ms else 0.0


def drawn_mishap(behaviour: Behaviour, random: Random) -> Fate:
    """At most one thing goes wrong; one draw falls into the share of one of them, or of none."""
    left = random.random()
    for status, share in behaviour.error_rates.items():
        left -= share
        if left < 0:
            return Fate(status=status, retry_after_s=retry_after_s(behaviour, status))
    for rate, make in MISHAPS:
        left -= getattr(behaviour, rate)
        if left < 0:
            return make(random.randint(BEFORE_HEAD, BREAKS_WITHIN))
    return Fate()


def retry_after_s(behaviour: Behaviour, status: int) -> float | None:
    return behaviour.retry_after_s if status in (429, 503) else None


MISHAPS: tuple[tuple[str, Callable[[int], Fate]], ...] = (
    ("reset_rate", lambda after: Fate(fault=Fault("reset", after))),
    ("stall_rate", lambda after: Fate(fault=Fault("stall", after))),
    ("cut_rate", lambda after: Fate(fault=Fault("cut", after))),
    ("error_event_rate", lambda after: Fate(fault=Fault("error", after))),
    ("malformed_rate", lambda _after: Fate(malformed=True)),
    ("wrong_type_rate", lambda _after: Fate(content_type="text/html")),
    ("empty_rate", lambda _after: Fate(empty=True)),
)


def gap_s(fate: Fate, pieces: int, tokens: int) -> float:
    """Seconds between pieces, so that all `tokens` (the hidden reasoning too) over the time from the first to the last
    piece are `fate.tokens_per_s`: what a meter at the other end works out."""
    if fate.gap_s is not None:
        return fate.gap_s
    if not fate.tokens_per_s or pieces < 2:
        return 0.0
    return tokens / fate.tokens_per_s / (pieces - 1)

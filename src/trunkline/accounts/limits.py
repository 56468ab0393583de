"""Rates by the generic cell rate algorithm (https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm). Pure. In: one number kept for a rate. Out: verdicts.

The number is the time, in Unix milliseconds, at which all that was taken is there again. What may be taken at once is what a minute brings.
"""

import msgspec

from trunkline.accounts.shared import Rate, RateState

MINUTE_MS = 60_000.0


class Verdict(msgspec.Struct, frozen=True):
    """Whether it may be taken. `until_ms` is the number to keep if it is."""

    allowed: bool
    until_ms: float
    wait_s: float = 0.0
    """How long until it could be taken, if nothing else is."""


def take(until_ms: float, per_minute: int, quantity: int, now_ms: float) -> Verdict:
    """Take so much. More than a whole minute's worth goes when all of it is there, and is owed afterwards: it would never go otherwise."""
    step_ms = MINUTE_MS / per_minute
    begin = max(until_ms, now_ms)
    after = begin + quantity * step_ms
    over_ms = begin + min(quantity, per_minute) * step_ms - now_ms - MINUTE_MS
    if over_ms > 1e-6:
        return Verdict(False, begin, over_ms / 1000)
    return Verdict(True, after)


def correct(until_ms: float, per_minute: int, difference: int) -> float:
    """It was so much more than was taken; less where it is below nothing."""
    return until_ms + difference * (MINUTE_MS / per_minute)


def state(rate: Rate, until_ms: float, now_ms: float) -> RateState:
    """How the rate stands."""
    owed_ms = max(until_ms - now_ms, 0.0)
    remaining = int((MINUTE_MS - owed_ms) * rate.per_minute / MINUTE_MS + 1e-6)
    return RateState(rate, max(remaining, 0), owed_ms / 1000)

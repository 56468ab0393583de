"""What is compared: sums of a day, a model and a key. In: nothing. Out: frozen structs. Money is pico-USD, days are ISO dates in UTC."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from trunkline.errors import TrunklineError

Measure = Literal["requests", "input_tokens", "output_tokens", "cost_pico_usd"]
MEASURES: tuple[Measure, ...] = ("requests", "input_tokens", "output_tokens", "cost_pico_usd")


class ReconcileError(TrunklineError):
    """An export that cannot be read; the message says which place, and what is expected."""


class Sums(msgspec.Struct, frozen=True):
    """Of a measure that the export does not have, nothing is compared. Input tokens are all of them, those from caches too."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_pico_usd: int = 0

    def of(self, measure: Measure) -> int:
        value: int = getattr(self, measure)
        return value


class Line(msgspec.Struct, frozen=True):
    """A row of an export. `model` is the provider's name of it; `key` its id of the key, empty where it has none."""

    day: str
    model: str
    key: str
    sums: Sums


class Export(msgspec.Struct, frozen=True):
    """`days` are all that it tells of, those without use too. `measures`: what it has."""

    lines: tuple[Line, ...]
    days: tuple[str, ...]
    measures: tuple[Measure, ...]


def added(several: Iterable[Sums]) -> Sums:
    """Their sum."""
    all_of_them = list(several)
    return Sums(**{measure: sum(one.of(measure) for one in all_of_them) for measure in MEASURES})

"""What routing makes of a request. In: nothing. Out: `Step`, `Plan` and `Eligible`, shared by what finds the offers, what orders them and what tries them."""

import msgspec

from trunkline.catalog.types import Model, Offer
from trunkline.records.types import Candidate


class Step(msgspec.Struct, frozen=True):
    """One offer to try. `dropped` are parameters that it does not take, left out with notice; `emulated` those that we do on the answer.

    `native`: it speaks the caller's protocol, so nothing has to be translated.
    """

    offer: Offer
    dropped: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()
    native: bool = True


class Plan(msgspec.Struct, frozen=True):
    """The ordered offers, and the reason for every candidate."""

    model: Model
    steps: tuple[Step, ...]
    candidates: tuple[Candidate, ...]


class Eligible(msgspec.Struct, frozen=True):
    """The offers that can take requests of one kind: what does not depend on measurements, so it may be kept for the next one.

    Holds for every request with the same facts whose prompt has at most `sure_bytes`, as long as the catalog and the day stay.
    """

    model: Model
    steps: tuple[Step, ...]
    excluded: tuple[Candidate, ...]
    sure_bytes: int

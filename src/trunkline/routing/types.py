"""What routing makes of a request. In: nothing. Out: `Step`, `Plan` and `Eligible`, shared by what finds the offers, what orders them and what tries them."""

import msgspec

from trunkline.catalog.types import Model, Offer
from trunkline.errors import RequestError
from trunkline.records.types import Candidate
from trunkline.routing.affinity import Held


class Step(msgspec.Struct, frozen=True):
    """One offer to try. `dropped` are parameters that it does not take, left out with notice; `emulated` those that we do on the answer.

    `native`: it speaks the caller's protocol, so nothing has to be translated.
    """

    offer: Offer
    dropped: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()
    native: bool = True
    shown_model: str = ""
    """What an answer that we write calls its model, where that is not the name that the caller asked for: a fallback, or a chosen one."""
    max_output_tokens: int | None = None
    """A lower output limit than the caller asked for, or one where it asked for none: what its budget pays."""


class Choice(msgspec.Struct, frozen=True):
    """A model that may answer, with its offers that can be reached, or why there is none."""

    model: Model
    offers: tuple[Offer, ...]
    error: RequestError | None = None
    is_asked_for: bool = True
    """By its name, and not a fallback or chosen by us."""


class Plan(msgspec.Struct, frozen=True):
    """The ordered offers, and the reason for every candidate. Offers of one model stand together; `model` is that of the first."""

    model: Model
    steps: tuple[Step, ...]
    candidates: tuple[Candidate, ...]
    held: Held | None = None
    """What an account has of the conversation: which of its keys is to be used, and whether state is bound to it."""


class Eligible(msgspec.Struct, frozen=True):
    """The offers that can take requests of one kind: what does not depend on measurements, so it may be kept for the next one.

    Offers of one model stand together, in the order in which the models are to be tried; `model` is the first one that has an offer.
    Holds for every request with the same facts whose prompt has at most `sure_bytes`, as long as the catalog and the day stay.
    """

    model: Model
    steps: tuple[Step, ...]
    excluded: tuple[Candidate, ...]
    sure_bytes: int

"""What all gateways of an installation must agree on while requests are under way: budgets, credits, rates, places. In: `Claim`s. Out: grants or refusals.

One process keeps it in memory, several keep it in Redis (`trunkline.shared`): the same answers from both. Money is pico-USD, times are Unix milliseconds.
"""

from collections.abc import Awaitable, Sequence
from typing import Literal, Protocol

import msgspec


class Hold(msgspec.Struct, frozen=True):
    """A sum of money that a request may not pass: what is left of a budget in its period, or of an organisation's credits."""

    name: str
    """`budget:ID:START_MS`, `credits:ORG`: with the period's start, so that a new period begins at nothing spent."""
    limit_pico_usd: int
    ends_ms: int | None = None
    """When the period does."""


class Rate(msgspec.Struct, frozen=True):
    """So many requests or tokens a minute, by GCRA (https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm); a burst of one minute's worth."""

    name: str
    kind: Literal["requests", "tokens"]
    per_minute: int


class Places(msgspec.Struct, frozen=True):
    """So many requests under way at once."""

    name: str
    most: int


class Claim(msgspec.Struct, frozen=True):
    """What a request wants before its first byte leaves: all of it or nothing.

    Of the money it takes less where a budget holds less, but not less than `least_pico_usd`.
    """

    id: str
    """The request's."""
    amount_pico_usd: int
    """The worst case."""
    least_pico_usd: int
    holds: tuple[Hold, ...] = ()
    rates: tuple[Rate, ...] = ()
    places: tuple[Places, ...] = ()
    tokens: int = 0
    """The worst case."""
    lease_s: float = 900.0
    """A claim that nobody settles within this time (its process died) ends by itself."""


class RateState(msgspec.Struct, frozen=True):
    """How a rate stands after the claim, for the headers."""

    rate: Rate
    remaining: int
    reset_s: float
    """Until all of it is there again."""


class Grant(msgspec.Struct, frozen=True):
    """The request may go, for at most so much."""

    amount_pico_usd: int
    rates: tuple[RateState, ...] = ()


class Refusal(msgspec.Struct, frozen=True):
    """It may not. `name` is that of the first hold, rate or places that refused."""

    kind: Literal["budget", "credits", "requests", "tokens", "concurrency", "unavailable", "unknown"]
    """`unknown`: what was spent of the hold has not been told yet, see `SharedState.open`."""
    name: str
    left_pico_usd: int = 0
    """Of the money, what no other request holds."""
    retry_after_s: float | None = None
    """None: not by waiting."""
    rates: tuple[RateState, ...] = ()


class Spent(msgspec.Struct, frozen=True):
    """How a hold stands: what is spent, and what requests under way hold beyond that."""

    spent_pico_usd: int
    held_pico_usd: int


class SharedState(Protocol):
    """The seam. What memory can say it says at once; what needs the network is awaited."""

    answers_at_once: bool
    """`claim` never has to be awaited."""

    def claim(self, claim: Claim, now_ms: float) -> "Grant | Refusal | Awaitable[Grant | Refusal]":
        """All or nothing, atomically over all gateways."""
        ...

    def extend(self, id_: str, more_pico_usd: int, now_ms: float) -> "Grant | Refusal | Awaitable[Grant | Refusal]":
        """Hold more for a further attempt or a hedge of a request that has its grant: all of it, or a refusal."""
        ...

    def settle(self, id_: str, cost_pico_usd: int, tokens: int, now_ms: float, names: Sequence[str] = ()) -> None:
        """What it really was; never waits, and is not lost while a Redis is away. `names` are the holds that cover the request when it ends: a budget that
        was made in the meantime is charged too. A request without a claim is charged to these alone."""
        ...

    def settle_interrupted(self, id_: str, cost_pico_usd: int, now_ms: float, names: Sequence[str]) -> None:
        """Of a request whose process is gone: what its record says, also where that process had settled it at another cost and died before its record."""
        ...

    def open(self, hold: Hold) -> "bool | Awaitable[bool]":
        """Begin to keep a hold; what is settled from now on is remembered. True: the caller must find out what was spent of it, and `fill` it."""
        ...

    def fill(self, name: str, spent_pico_usd: int, counted: Sequence[str]) -> "Awaitable[None] | None":
        """What the store says was spent, read after `open`; `counted` are the ids of requests in that sum which may have settled since."""
        ...

    def forget(self, name: str) -> "Awaitable[None] | None":
        """The store could not be read: whoever comes next opens the hold again."""
        ...

    def spent(self, names: Sequence[str], now_ms: float) -> "Sequence[Spent] | Awaitable[Sequence[Spent]]":
        """For pages and alerts."""
        ...

"""What most requests have in common with one before: the same body but for its messages. In: a body. Out: its `Shape`, which `learning` found.

JSON has no context: where `{"model":"m","messages":` and `}` stood around one list, they say the same around any other. So what a request asks
for beside its messages, the offers for it and the bytes that each of them gets are found once. Only texts, only Chat, nothing that is streamed.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from trunkline.accounts.types import NO_RULES, KeyRules
from trunkline.catalog.types import Offer
from trunkline.execution.keys import Key
from trunkline.execution.permitted import part_of_kind
from trunkline.execution.transport.pool import Pool
from trunkline.ir.facts import RequestFacts
from trunkline.routing.types import Step

if TYPE_CHECKING:
    from trunkline.execution.gateway import RememberedPlan
    from trunkline.execution.quotes import Quotes

MESSAGES = b'"messages"'
_MAX_SHAPES = 256
_MAX_SUFFIXES = 8
_MAX_SEEN = 4096
_MAX_RULES = 256


class Road(msgspec.Struct, frozen=True):
    """How a shape's requests reach one offer."""

    step: Step
    offer: Offer
    key: Key
    pool: Pool
    head: bytes
    """Up to the length of the body."""
    before: bytes
    after: bytes
    """What the offer gets around the messages."""
    lines: bytes
    """Header lines of each answer."""
    family: str
    around_bytes: int
    """Of `before` and `after`."""
    total_s: float
    """The deadline of an attempt."""


class Shape(msgspec.Struct):
    """Lives as long as its snapshot."""

    suffix: bytes
    facts: RequestFacts
    """Of the request that it was learned from: sizes are another's."""
    beside_bytes: int
    """Of the text, what does not stand in the messages."""
    from_ms: float
    until_ms: float
    """The day, in Unix milliseconds, for which it holds."""
    known: "RememberedPlan"
    include_cost: bool
    roads: dict[str, Road] = {}
    """Offer -> how it is reached."""
    quotes: "Quotes | None" = None
    """Where there are keys with budgets, and what it costs has a bound."""


class Shapes:
    """Those that came more than once. Lives as long as its snapshot."""

    def __init__(self) -> None:
        self._by_prefix: dict[bytes, list[Shape]] = {}
        self._seen: set[int] = set()
        self._count = 0
        self._under: dict[tuple[Any, ...], Shapes] = {}

    def under(self, rules: KeyRules) -> "Shapes":
        """Those of keys with such rules: of the offers that these allow."""
        if rules is NO_RULES:
            return self
        part = part_of_kind(rules)
        found = self._under.get(part)
        if found is None:
            if len(self._under) >= _MAX_RULES:
                self._under.clear()
            found = self._under[part] = Shapes()
        return found

    def find(self, body: bytes) -> tuple[Shape, bytes] | None:
        """The shape of a body and its messages, which are still to be read; None where nothing is known."""
        start = body.find(b"[", body.find(MESSAGES))
        found = self._by_prefix.get(body[:start])
        if found is not None:
            for shape in found:
                if body.endswith(shape.suffix):
                    return shape, body[start : len(body) - len(shape.suffix)]
        return None

    def of(self, before: bytes, after: bytes) -> Shape | None:
        """The one with these bytes around its messages."""
        return next((one for one in self._by_prefix.get(before, ()) if one.suffix == after), None)

    def is_seen_again(self, before: bytes, after: bytes) -> bool:
        """What each request writes anew (a user's id) is no shape, and must not crowd out those that are."""
        mark = hash((before, after))
        if mark in self._seen:
            return True
        if len(self._seen) >= _MAX_SEEN:
            self._seen.clear()
        self._seen.add(mark)
        return False

    def keep(self, before: bytes, shape: Shape) -> None:
        """From now on this is what bodies with these bytes have in common."""
        if self._count >= _MAX_SHAPES:
            self._by_prefix.clear()
            self._count = 0
        earlier = self._by_prefix.get(before, ())
        shapes = [one for one in earlier if one.suffix != shape.suffix]
        if len(shapes) >= _MAX_SUFFIXES:
            shapes.clear()
        # One may end as another does.
        self._by_prefix[before] = sorted([*shapes, shape], key=lambda one: -len(one.suffix))
        self._count += len(shapes) + 1 - len(earlier)

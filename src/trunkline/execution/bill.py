"""What one attempt used and costs, as far as it is known. In: what was seen of the answer. Out: `Usage`, `Cost`, and the JSON that goes into the answer."""

from collections.abc import Callable

import msgspec

from trunkline.catalog.types import Offer
from trunkline.execution.gateway import Snapshot
from trunkline.execution.seen import Observed
from trunkline.ir.facts import RequestFacts
from trunkline.ir.usage import Usage
from trunkline.pricing.money import usd
from trunkline.pricing.types import FREE, Cost, CostLine
from trunkline.protocols import codec
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.records.types import Attempt

CHARACTERS_PER_TOKEN = 4
"""For estimates, which are flagged (https://help.openai.com/en/articles/4936856-what-are-tokens-and-how-to-count-them)."""
NO_PRICE = b"null"


class Bill:
    """Lives as long as its attempt."""

    __slots__ = (
        "_facts",
        "_offer",
        "_read_usage",
        "_settled",
        "_snapshot",
        "_started_ms",
        "_written",
        "cost",
        "notes",
        "usage",
    )

    def __init__(
        self,
        snapshot: Snapshot,
        offer: Offer,
        facts: RequestFacts,
        read_usage: Callable[[bytes], Usage],
        started_ms: float,
        notes: list[str],
    ) -> None:
        """`read_usage` is that of the provider's protocol."""
        self._snapshot = snapshot
        self._offer = offer
        self._facts = facts
        self._read_usage = read_usage
        self._started_ms = started_ms
        self._settled: bytes | None = None
        """The raw usage that `usage` and `cost` were made of."""
        self.notes = notes
        """Of the request's record."""
        self.usage: Usage | None = None
        self.cost: Cost = FREE
        self._written: tuple[bytes, bytes] | None = None
        """Of this attempt alone."""

    def settle(self, seen: Observed) -> None:
        """Read the usage, or estimate it, and price it. What is known last counts."""
        raw, ended = seen.usage, seen.finish_reason != ""
        if raw is not None and raw is self._settled and ended:
            return
        self._settled = raw
        usage: Usage | None = None
        if raw is not None:
            try:
                usage = self._read_usage(raw)
            except UNREADABLE as error:
                self.notes.append(f"usage could not be read: {error}")
        estimate = -(-seen.characters // CHARACTERS_PER_TOKEN)
        if usage is None and seen.useful:
            usage = Usage(
                input_tokens=-(-self._facts.prompt_bytes // CHARACTERS_PER_TOKEN),
                output_tokens=estimate,
                estimated=True,
            )
        elif usage is not None and not ended and estimate > usage.total_output_tokens:
            # The counts so far of an answer that was cut: Anthropic's `message_start` says 1 for an output that has only begun.
            missing = estimate - usage.total_output_tokens
            usage = msgspec.structs.replace(usage, output_tokens=usage.output_tokens + missing, estimated=True)
        if usage is not None and usage != self.usage:
            self.usage = usage
            self._written = None
            self.cost = self._snapshot.price(self._offer, usage, self._started_ms, seen.service_tier)

    def written(self, earlier: list[Attempt]) -> tuple[bytes, bytes]:
        """`cost` and `cost_details` as JSON. The cost is of all attempts so far; an item without a price is null, never zero."""
        own = self._written
        if own is None:
            own = self._written = written_of(self.cost)
        if not earlier or own[0] == NO_PRICE:
            return own
        spent = self.cost.total_pico_usd + sum([one.cost.total_pico_usd for one in earlier])
        return usd(spent).encode(), own[1]

    def shown(self, earlier: list[Attempt], *, include: bool) -> codec.Bill:
        """The same for a writer of answers; empty where the caller does not want it, or there is nothing to tell."""
        return codec.Bill(*self.written(earlier)) if include and self.usage is not None else codec.Bill()


def together(first: Cost, second: Cost) -> Cost:
    """The bill of an answer that two attempts made. What has the same price in both is one line."""
    lines = {(line.item, line.unit, line.value): line for line in first.lines}
    for line in second.lines:
        known = lines.get(price := (line.item, line.unit, line.value))
        lines[price] = line if known is None else _sum(known, line)
    unpriced = tuple(dict.fromkeys((*first.unpriced, *second.unpriced)))
    total = first.total_pico_usd + second.total_pico_usd
    return Cost(tuple(lines.values()), total, unpriced, first.estimated or second.estimated)


def _sum(first: CostLine, second: CostLine) -> CostLine:
    quantity, amount = first.quantity + second.quantity, first.amount_pico_usd + second.amount_pico_usd
    return msgspec.structs.replace(first, quantity=quantity, amount_pico_usd=amount)


def written_of(cost: Cost) -> tuple[bytes, bytes]:
    """`cost` and `cost_details` of one attempt."""
    parts = [f'"{line.item}":{usd(line.amount_pico_usd)}' for line in cost.lines]
    if cost.unpriced:
        priced = {line.item for line in cost.lines}
        parts += [f'"{item}":null' for item in cost.unpriced if item not in priced]
    details = f"{{{','.join(parts)}}}".encode()
    return (NO_PRICE if cost.unpriced and not cost.lines else usd(cost.total_pico_usd).encode()), details

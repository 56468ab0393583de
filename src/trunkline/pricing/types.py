"""An exact bill. Money is pico-USD (1e-12 USD) in integers; a `Decimal` only while it is computed, a float never."""

import msgspec


class CostLine(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One bucket of the bill: `quantity` units at `value` USD per `unit`."""

    item: str
    quantity: int
    unit: str
    value: str
    """USD per unit, as written in the price line."""
    amount_pico_usd: int


class Cost(msgspec.Struct, frozen=True, gc=False):
    """The bill of one attempt. `unpriced` names items that were used and have no price: never zero by silence."""

    lines: tuple[CostLine, ...] = ()
    total_pico_usd: int = 0
    unpriced: tuple[str, ...] = ()
    estimated: bool = False


FREE = Cost()

"""An alert, and the seam to those who are told. In: nothing. Out: frozen structs."""

from typing import Literal, Protocol

import msgspec

AlertType = Literal["budget.threshold", "provider.outage", "provider.recovered", "model.unpriced", "credits.low"]


class Alert(msgspec.Struct, frozen=True):
    """Something to be told once. `key` names it for good: the same key is never told again to the same receiver."""

    key: str
    type: AlertType
    title: str
    text: str
    data: dict[str, str | int | float | bool | None]
    after: str = ""
    """Told only to whom the alert with this key was told."""


class UndeliveredError(Exception):
    """A receiver was not reached, or did not take it; it is tried again later. The words hold no secret."""


class Receiver(Protocol):
    """Somebody to tell. `name` stands in the memory of what was told, and in the log."""

    name: str

    async def tell(self, alert: Alert, at_ms: int) -> None:
        """Raises UndeliveredError."""
        ...

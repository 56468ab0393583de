"""A `Gateway` for tests of one part: the services that the part needs, and nothing where it needs none."""

from collections.abc import Mapping
from typing import Any

from trunkline.execution.gateway import Clock, Gateway, Snapshot, Vault
from trunkline.routing.health import Health


class NoStates:
    """Knows no state."""

    def keep(self, key: str, data: bytes) -> None:
        """Forget it."""

    async def find(self, keys: tuple[str, ...]) -> Mapping[str, bytes]:
        """Nothing."""
        return {}


def gateway_of(
    snapshot: Snapshot,
    clock: Clock,
    *,
    transports: Mapping[str, Any] | None = None,
    health: Health | None = None,
    sink: Any = None,
) -> Gateway:
    """A gateway without a store, tokens or conversations."""
    nothing: Any = None
    states = NoStates()
    vault = Vault(b"a secret of 32 bytes for tests...", states.keep)
    return Gateway(snapshot, transports or {}, health or Health(), sink, clock, vault, vault, states, nothing, nothing)

"""The keys of providers that the store keeps, put into the state of configuration that requests see. In: what was read. Out: the gateway's snapshots.

Files and environment make one state, the store's keys another on top of it; whichever changes, the gateway gets both together.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from trunkline.accounts.stored_keys import StoredKey
from trunkline.errors import StoreError
from trunkline.execution.gateway import Gateway, Snapshot
from trunkline.settings import Settings
from trunkline.snapshot import with_stored

POLL_S = 0.5
"""A change is in force within this, wherever it was made."""


class StoredKeys:
    """Lives as long as the data-plane process. `read` gives the keys where they have changed since it was last asked, else None."""

    def __init__(
        self,
        gateway: Gateway,
        settings: Settings,
        read: Callable[[], Sequence[StoredKey] | None],
        close: Callable[[], None],
    ) -> None:
        self.close = close
        """Let go of the store."""
        self._gateway = gateway
        self._settings = settings
        self._bare = gateway.snapshot
        self._read = read
        self._keys: Sequence[StoredKey] = ()

    def put(self, bare: Snapshot, settings: Settings) -> None:
        """A new state of files and environment is in force."""
        self._bare, self._settings = bare, settings
        self._gateway.snapshot, self._gateway.apart = with_stored(bare, settings, self._keys)

    def follow(self) -> None:
        """Take over what has changed in the store. Raises StoreError where it cannot be read, and then the keys known so far go on."""
        keys = self._read()
        if keys is None or keys == self._keys:
            return
        self._keys = keys
        self.put(self._bare, self._settings)

    async def keep_fresh(self, log: Any) -> None:
        """Follow the store until cancelled. While it cannot be read, the keys known so far go on."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                self.follow()
            except StoreError as error:
                log.error("stored keys of providers cannot be read, the known ones go on", error=str(error))

"""State that rides behind a tool call's id, kept in the store. In: `protocols.carry.store`. Out: `recall` in the next turn."""

from collections.abc import Callable, Mapping

from trunkline.execution.shelf import DAY_MS, Shelf
from trunkline.records.types import Kept


class StoredStates:
    """Implements `StateStore`. Lives as long as the process. Ids are HMACs of what they stand for, so they are not told apart by API key."""

    def __init__(self, shelf: Shelf, unix_ms: Callable[[], float], days: float) -> None:
        self._shelf = shelf
        self._unix_ms = unix_ms
        self._days = days

    def retain(self, days: float) -> None:
        """From now on keep for so many days; 0: in this process's memory only."""
        self._days = days

    def keep(self, key: str, data: bytes) -> None:
        """Never waits."""
        kept = self._kept(key, data)
        if self._days > 0:
            self._shelf.keep(kept)
        else:
            self._shelf.keep_here(kept)

    def keep_here(self, key: str, data: bytes) -> None:
        """The same, never in the store: for who wants nothing retained."""
        self._shelf.keep_here(self._kept(key, data))

    async def find(self, keys: tuple[str, ...]) -> Mapping[str, bytes]:
        """Those that are known. A conversation that goes on keeps its states: what has used up half of its time gets it anew."""
        found = await self._shelf.find(keys)
        now_ms = self._unix_ms()
        for kept in found.values():
            if 0 < kept.expires_ms - now_ms < self._days * DAY_MS / 2:
                self.keep(kept.key, kept.data)
        return {key: kept.data for key, kept in found.items()}

    def _kept(self, key: str, data: bytes) -> Kept:
        now_ms = int(self._unix_ms())
        # Who keeps nothing in the store has it for a day: more than a turn of an agent takes.
        return Kept(key, "state", "", now_ms, now_ms + int((self._days or 1) * DAY_MS), data)

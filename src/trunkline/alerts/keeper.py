"""Looks now and then for what is worth an alert, and tells each receiver once. In: a way to find alerts, receivers, a memory. Out: told receivers, a log.

Lives in the console process. With several consoles on one store, whoever comes first tells; what could not be told is tried again, later each time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from trunkline.alerts.types import Alert, Receiver, UndeliveredError
from trunkline.errors import StoreError

FIRST_PAUSE_S = 1.0
LAST_PAUSE_S = 600.0
TRIES_AT_ONCE = 3


class Memory(Protocol):
    """Of what was told: `storage.told`, over an open store."""

    async def untold(self, keys: list[str]) -> set[str]: ...

    async def take(self, key: str, now_ms: int) -> bool: ...

    async def done(self, key: str, now_ms: int) -> None: ...

    async def give_back(self, key: str) -> None: ...


class AlertKeeper:
    """Lives as long as the console. `find` gives all alerts of the moment, told before or not; `receivers` is asked anew each time, since settings change."""

    def __init__(
        self,
        find: Callable[[], Awaitable[Sequence[Alert]]],
        receivers: Callable[[], Sequence[Receiver]],
        memory: Memory,
        now_ms: Callable[[], float],
        log: Any,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._find = find
        self._receivers = receivers
        self._memory = memory
        self._now_ms = now_ms
        self._log = log
        self._sleep = sleep
        self._failures: dict[str, tuple[int, float]] = {}
        """Key -> how often it failed in a row, and the time before which it is not tried again."""

    async def look(self) -> int:
        """Tell what was not told yet; how many were told. Raises StoreError where the store cannot be asked."""
        receivers = self._receivers()
        alerts = await self._find() if receivers else ()
        # Side by side: one that does not answer holds nobody else up.
        return sum(await asyncio.gather(*(self._tell_all(receiver, alerts) for receiver in receivers)))

    async def keep_looking(self, every_s: Callable[[], float]) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                self._log.error("alerts: the store cannot be asked", error=str(error))
            except Exception:  # noqa: BLE001 - a background loop: told in the log, and tried again
                self._log.exception("alerts: looking failed")
            await self._sleep(every_s())

    async def _tell_all(self, receiver: Receiver, alerts: Sequence[Alert]) -> int:
        return sum([await self._tell(receiver, alert) for alert in await self._new(receiver, alerts)])

    async def _new(self, receiver: Receiver, alerts: Sequence[Alert]) -> list[Alert]:
        keys = [name for alert in alerts for name in (_of(receiver, alert.key), _of(receiver, alert.after))]
        if not keys:
            return []
        untold = await self._memory.untold(keys)
        now = self._now_ms()
        return [
            alert
            for alert in alerts
            if _of(receiver, alert.key) in untold
            and not (alert.after and _of(receiver, alert.after) in untold)
            and self._failures.get(_of(receiver, alert.key), (0, 0.0))[1] <= now
        ]

    async def _tell(self, receiver: Receiver, alert: Alert) -> int:
        key, now_ms = _of(receiver, alert.key), int(self._now_ms())
        if not await self._memory.take(key, now_ms):
            return 0
        try:
            await self._try(receiver, alert, now_ms)
        except UndeliveredError as error:
            self._note_failure(key)
            self._log.error(
                "alert not delivered, it is tried again", receiver=receiver.name, title=alert.title, error=str(error)
            )
            await self._memory.give_back(key)
            return 0
        except BaseException:
            await self._memory.give_back(key)
            raise
        self._failures.pop(key, None)
        await self._memory.done(key, int(self._now_ms()))
        self._log.info("alert told", receiver=receiver.name, type=alert.type, title=alert.title)
        return 1

    async def _try(self, receiver: Receiver, alert: Alert, at_ms: int) -> None:
        pause_s = FIRST_PAUSE_S
        for _ in range(TRIES_AT_ONCE - 1):
            try:
                return await receiver.tell(alert, at_ms)
            except UndeliveredError:
                await self._sleep(pause_s)
                pause_s *= 4
        return await receiver.tell(alert, at_ms)

    def _note_failure(self, key: str) -> None:
        count = self._failures.get(key, (0, 0.0))[0] + 1
        pause_s = min(FIRST_PAUSE_S * 2 ** min(count + 4, 20), LAST_PAUSE_S)
        self._failures[key] = count, self._now_ms() + pause_s * 1000


def _of(receiver: Receiver, key: str) -> str:
    return f"{receiver.name}:{key}" if key else ""

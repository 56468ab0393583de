"""What gateways of one store tell each other beside budgets: repeated requests, conversations, offers' health. In: settings. Out: parts for `app`.

In memory of this process alone, where `[shared]` names no Redis or the store is not of several processes.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from trunkline.execution.gateway import Clock
from trunkline.execution.holds import Holds
from trunkline.execution.idempotency import LocalLedger
from trunkline.execution.shared_holds import SharedHolds
from trunkline.execution.shared_ledger import SharedLedger
from trunkline.execution.shelf import Shelf
from trunkline.records.writer import RecordWriter
from trunkline.routing.health import Health
from trunkline.settings import Settings, resolve_secret

if TYPE_CHECKING:
    from trunkline.shared.link import Link
    from trunkline.shared.names import Names


class Beside:
    """Lives as long as the process; `keep_fresh` runs beside it."""

    def __init__(self, settings: Settings, clock: Clock, health: Health) -> None:
        """`health`: what the others measured comes to count in it too."""
        self.health = health
        self._clock = clock
        self._link = _link(settings)
        self._names: Names | None = None

    def holds(self, most: int) -> Holds:
        """Of conversations."""
        if self._link is None:
            return Holds(most)
        from trunkline.shared.board import Board

        return SharedHolds(Board(self._link), self._clock.now_s, self._clock.unix_ms, most)

    def ledger(self, answers: Shelf, writer: RecordWriter) -> LocalLedger:
        """Of requests with an `Idempotency-Key`."""
        if self._link is None:
            return LocalLedger(answers, self._clock.now_s)
        from trunkline.shared.names import Names

        self._names = Names(self._link, self._clock.unix_ms)
        return SharedLedger(answers, self._clock.now_s, self._names, lambda: writer.stats().spooled_bytes > 0)

    async def keep_fresh(self, log: Any) -> None:
        """Until cancelled."""
        link, health, now_s = self._link, self.health, self._clock.now_s
        if link is None:
            return
        from trunkline.shared.hearing import Hearing

        hearing = Hearing(
            link, lambda: health.news(now_s()), lambda words, ago_s: health.hear_of(words, now_s(), ago_s)
        )
        going_on = [link.keep_up(log), hearing.keep_up()]
        if self._names is not None:
            going_on.append(self._names.keep_up())
        await asyncio.gather(*going_on)

    def close(self) -> None:
        if self._link is not None:
            self._link.close()


def _link(settings: Settings) -> "Link | None":
    shared = settings.shared
    if shared.url is None or not settings.store.is_postgres:
        return None
    from trunkline.shared.link import Link
    from trunkline.shared.redis_client import address_of

    url = resolve_secret(shared.url, settings.env, "shared.url")
    return Link(address_of(url), timeout_s=shared.timeout_s, ca_file=settings.env.get("SSL_CERT_FILE", ""))

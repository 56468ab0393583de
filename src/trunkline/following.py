"""Follows in the store what keys may do and spend, and reads what was spent so far. In: the store's URL. Out: an `Accounting` that is up to date."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from trunkline.accounts.terms import terms_of
from trunkline.accounts.types import Budget
from trunkline.errors import StoreError
from trunkline.execution.accounting import Accounting
from trunkline.execution.gateway import Clock
from trunkline.execution.worst import Ceilings, pico_usd
from trunkline.settings import Settings, resolve_secret
from trunkline.shared.memory import InMemory
from trunkline.storage.gateway_store import Left
from trunkline.storage.terms_sync import Followed, SpendingReader, TermsFeed

if TYPE_CHECKING:
    from trunkline.shared.redis import InRedis

SETTLED_S = 2.0
"""Other gateways know of a new budget within this, and what they have ended before is in the store."""
FOLLOW_S = 0.5
"""A budget holds within this, wherever it was made."""


class StoredSpending:
    """Reads in a thread. Lives as long as the process."""

    def __init__(self, url: str, clock: Clock, settled: Callable[[], Awaitable[None]], *, is_shared: bool) -> None:
        """`settled` waits until all that has ended here is in the store, StoreError where it is not; `is_shared`: others write to it too."""
        self._is_shared = is_shared
        self._reader = SpendingReader(url)
        self._thread = ThreadPoolExecutor(1, "spending-reader")
        self._clock = clock
        self._settled = settled

    async def of_budget(self, budget: Budget, at_ms: float) -> tuple[int, list[str]]:
        """See `execution.accounting.Spending`."""
        await self._settled()
        known_s = (self._clock.unix_ms() - budget.created_ms) / 1000
        if self._is_shared and known_s < SETTLED_S:
            await asyncio.sleep(SETTLED_S - known_s)
        return await self._run(self._reader.of_budget, budget, at_ms, self._clock.unix_ms())

    async def of_credits(self, org_id: str) -> tuple[int, list[str]]:
        """See `execution.accounting.Spending`."""
        await self._settled()
        return await self._run(self._reader.of_credits, org_id, self._clock.unix_ms())

    async def _run(self, read: Callable[..., tuple[int, list[str]]], *values: Any) -> tuple[int, list[str]]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, read, *values)

    def close(self) -> None:
        self._thread.shutdown()
        self._reader.close()


class Following:
    """Lives as long as the process. `accounting` is what requests see."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        state: "InMemory | InRedis",
        settled: Callable[[], Awaitable[None]],
        left: Left,
    ) -> None:
        """`left` is of gateways that are gone; more may come. Raises StoreError where the store cannot be read at the start."""
        self._state = state
        self._left = left
        self._feed = TermsFeed(settings.store.url)
        self._spending = StoredSpending(settings.store.url, clock, settled, is_shared=not isinstance(state, InMemory))
        self.accounting = Accounting(state, self._spending, clock, ceilings_of(settings), settings.gateway.drain_cap_s)
        self.accounting.follow_now = self.follow
        self.follow()

    def take_over(self, settings: Settings) -> None:
        """These hold from now on."""
        self.accounting.ceilings = ceilings_of(settings)
        self.accounting.drain_cap_s = settings.gateway.drain_cap_s

    def follow(self) -> None:
        """Take over what has changed. Raises StoreError where the store cannot be read: then what is known goes on holding."""
        self._take(self._feed.poll())

    async def _follow(self) -> None:
        if self._feed.is_remote:
            self._take(await asyncio.to_thread(self._feed.poll))
        else:
            # Some 10 µs of a file that is in memory: less than a thread's switch.
            self.follow()

    def _take(self, found: Followed | None) -> None:
        if found is not None:
            self.accounting.terms = terms_of(found.keys, found.budgets, found.prepaid)

    async def keep_fresh(self, log: Any) -> None:
        """Until cancelled."""
        if isinstance(self._state, InMemory):
            await self._go_on(log)
        else:
            await asyncio.gather(self._go_on(log), self._state.keep_up(log))

    async def _go_on(self, log: Any) -> None:
        while True:
            self._settle_left()
            await asyncio.sleep(FOLLOW_S)
            try:
                await self._follow()
            except StoreError as error:
                log.error("budgets cannot be read, the known ones go on holding", error=str(error))

    def _settle_left(self) -> None:
        """A gateway's name comes after its records: so what has a record is charged before the rest is let go."""
        left = self._left
        gone = [left.gateways.pop(0) for _ in range(len(left.gateways))]
        while left.records:
            self.accounting.close(left.records.pop())
        if not isinstance(self._state, InMemory):
            for name in gone:
                self._state.let_go(name)

    def close(self) -> None:
        self._feed.close()
        self._spending.close()
        if not isinstance(self._state, InMemory):
            self._state.close()


def shared_state(settings: Settings, clock: Clock, gateway: str) -> "InMemory | InRedis":
    """In Redis where `[shared]` names one and the store is one of several processes, else in memory. `gateway` is our name in the store. Raises
    ConfigError."""
    shared = settings.shared
    if shared.url is None or not settings.store.is_postgres:
        return InMemory()
    from trunkline.shared.redis import InRedis
    from trunkline.shared.redis_client import address_of

    url = resolve_secret(shared.url, settings.env, "shared.url")
    return InRedis(
        address_of(url),
        clock.unix_ms,
        timeout_s=shared.timeout_s,
        when_away=shared.when_away,
        ca_file=settings.env.get("SSL_CERT_FILE", ""),
        gate=gateway,
    )


def ceilings_of(settings: Settings) -> Ceilings:
    """Of `[limits]`."""
    limits = settings.limits
    return Ceilings(
        limits.least_output_tokens, limits.image_tokens, pico_usd(limits.tool_usd), pico_usd(limits.document_usd)
    )

"""The console's alerts: what is found in its store, told to whom its settings name. In: the console. Out: an `AlertKeeper`."""

import asyncio
from collections.abc import Sequence
from typing import Any

from trunkline.alerts import find
from trunkline.alerts.keeper import AlertKeeper
from trunkline.alerts.mail import Mail
from trunkline.alerts.types import Alert, Receiver
from trunkline.alerts.webhook import Webhook
from trunkline.api.management.console import Console
from trunkline.errors import StoreError
from trunkline.execution.transport.types import Transport
from trunkline.records.figures import DAY_S, HOUR_S
from trunkline.records.incidents import BELOW, Incident, edges, incidents
from trunkline.sections import AlertsSettings
from trunkline.storage import told
from trunkline.storage.budgets import BudgetQuery, find_budgets, standings
from trunkline.storage.ladder import Span
from trunkline.storage.ledger import expire, prepaid_credits
from trunkline.storage.outcomes import OutcomesOverTime
from trunkline.storage.queries import Store
from trunkline.storage.rollups import KEEP_MINUTES_S
from trunkline.storage.statistics import Statistics
from trunkline.web.status import joined

MOST_BUDGETS = 10_000
EXPIRE_EVERY_S = 30.0


class StoredMemory:
    """Implements `Memory`. Lives as long as the console."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def untold(self, keys: list[str]) -> set[str]:
        return await told.untold(self._store, keys)

    async def take(self, key: str, now_ms: int) -> bool:
        return await told.take(self._store, key, now_ms)

    async def done(self, key: str, now_ms: int) -> None:
        await told.done(self._store, key, now_ms)

    async def give_back(self, key: str) -> None:
        await told.give_back(self._store, key)


def keeper_of(console: Console, transport: Transport, log: Any) -> AlertKeeper:
    """Looks at the settings each time: a reload takes other receivers over."""
    return AlertKeeper(
        lambda: found(console),
        lambda: receivers(console.settings.alerts, transport, console.settings.env.get("SSL_CERT_FILE", "")),
        StoredMemory(console.store),
        console.now_ms,
        log,
    )


def receivers(asked: AlertsSettings, transport: Transport, ca_file: str) -> list[Receiver]:
    """Those that the settings name."""
    named: list[Receiver] = []
    if asked.webhook_url is not None:
        named.append(Webhook(transport, asked.webhook_url, asked.webhook_secret))
    if asked.email_to and asked.smtp_url is not None:
        named.append(Mail(asked.smtp_url, asked.email_from, asked.email_to, ca_file))
    return named


async def found(console: Console) -> Sequence[Alert]:
    """All that is worth an alert now."""
    asked, now_ms = console.settings.alerts, console.now_ms()
    alerts: list[Alert] = []
    if asked.budgets:
        budgets = await find_budgets(console.store, BudgetQuery(limit=MOST_BUDGETS))
        alerts += find.of_budgets(await standings(console.store, budgets, now_ms))
    if asked.low_credits_usd is not None or asked.low_credits_of:
        alerts += find.of_credits(await prepaid_credits(console.store), lambda org_id: _low_credits(asked, org_id))
    if asked.outages:
        alerts += find.of_incidents(await _incidents(console), int(now_ms // 1000) - DAY_S)
    if asked.unpriced:
        now_s = int(now_ms // 1000)
        statistics = Statistics(console.store, console.now_ms)
        rows = await statistics.use_over(
            Span(now_s - DAY_S, now_s + 1), ("model", "provider"), sums=("attempts", "unpriced")
        )
        alerts += find.of_unpriced([(row.by[0], row.by[1], row.use) for row in rows], now_ms)
    return alerts


def _low_credits(asked: AlertsSettings, org_id: str) -> int | None:
    usd = asked.low_credits_of.get(org_id, asked.low_credits_usd)
    return None if usd is None else int(usd * 10**12)


async def keep_house(console: Console, log: Any) -> None:
    """Alerts, and the end of credits whose time is over, until cancelled."""
    from trunkline.execution.transport.client import HttpTransport
    from trunkline.execution.transport.options import TransportOptions

    env = console.settings.env
    transport = HttpTransport(TransportOptions(proxies=env, ca_file=env.get("SSL_CERT_FILE", "")))
    keeper = keeper_of(console, transport, log)
    try:
        await asyncio.gather(
            keeper.keep_looking(lambda: console.settings.alerts.every_s),
            _expire_credits(console, log),
        )
    finally:
        await transport.aclose()


async def _expire_credits(console: Console, log: Any) -> None:
    while True:
        try:
            for transaction in await expire(console.store, int(console.now_ms())):
                log.info("credit has expired", organisation=transaction.org_id, transaction=transaction.id)
            await told.forget_old(console.store, int(console.now_ms()))
        except StoreError as error:
            log.error("credits cannot be looked through", error=str(error))
        await asyncio.sleep(EXPIRE_EVERY_S)


async def _incidents(console: Console) -> list[Incident]:
    """Of the last two days."""
    now_s = int(console.now_ms() // 1000)
    outcomes = OutcomesOverTime(console.store, console.now_ms)
    first_s = now_s - now_s % HOUR_S - 2 * DAY_S
    hours = await outcomes.spoiled_hours(Span(first_s, now_s + 1), BELOW)
    starts, names = edges(hours, now_s - KEEP_MINUTES_S)
    # The minutes after a run tell whether it is over.
    spans = joined([Span(start_s, start_s + 2 * HOUR_S) for start_s in starts])
    minutes = await outcomes.minutes(spans, names) if names else []
    return incidents(hours, minutes, now_s)

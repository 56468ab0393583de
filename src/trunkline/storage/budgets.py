"""Budgets, for console and command line: made, changed and ended with their entry in the audit log; how each stands. In: a store, an actor. Out: `Budget`s.

Each change is one transaction that grows the revision, by which every gateway sees it within a second.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, tuple_, update

from trunkline.accounts.budgets import window
from trunkline.accounts.types import Actor, Budget, Scope
from trunkline.storage.audit import record_act
from trunkline.storage.budget_rows import budget_values, read_budget
from trunkline.storage.followed import will_change
from trunkline.storage.queries import Store
from trunkline.storage.schema import budgets
from trunkline.storage.spending import held_of, spent_of
from trunkline.storage.tails import tail_of


class BudgetQuery(msgspec.Struct, frozen=True):
    """Which budgets. An empty text stands for all."""

    org_id: str = ""
    scope: Scope | str = ""
    scope_id: str = ""
    ended: bool = False
    """Those that have ended, too."""
    after: str = ""
    """The id of the last budget of the page before."""
    limit: int = 50


class BudgetStanding(msgspec.Struct, frozen=True):
    """How a budget stands in the period of the moment that was asked about. What is spent is without requests under way."""

    budget: Budget
    spent_pico_usd: int
    start_ms: int
    """Of the period; 0 for `total`."""
    ends_ms: int | None
    held_pico_usd: int = 0
    """What requests under way hold."""

    @property
    def left_pico_usd(self) -> int:
        """Below nothing where a limit was made lower than what is spent."""
        return self.budget.limit_pico_usd - self.spent_pico_usd


async def create_budget(store: Store, budget: Budget, actor: Actor) -> Budget:
    """Keep a new budget. Where its id is there already (the same making, repeated), that one is given as it is."""

    def create(connection: Connection) -> Budget:
        will_change(connection)
        there = _get(connection, budget.id)
        if there is not None:
            return there
        _write_down(connection, actor, budget.created_ms, "budget.create", budget)
        connection.execute(insert(budgets).values(budget_values(budget)))
        return budget

    return await store.ask(create)


async def find_budgets(store: Store, query: BudgetQuery) -> list[Budget]:
    """Newest first."""
    return await store.ask(lambda connection: _find(connection, query))


async def get_budget(store: Store, id_: str) -> Budget | None:
    return await store.ask(lambda connection: _get(connection, id_))


async def change_budget(
    store: Store,
    id_: str,
    actor: Actor,
    at_ms: int,
    *,
    limit_pico_usd: int | None = None,
    alerts: tuple[int, ...] | None = None,
) -> Budget | None:
    """Another limit, or other alerts, from now on; in the period that is under way too. Gives the budget as it is then: unchanged where it has
    ended. None where there is none."""

    def change(connection: Connection) -> Budget | None:
        will_change(connection)
        before = _get(connection, id_)
        if before is None or before.ended_ms is not None:
            return before
        after = msgspec.structs.replace(
            before,
            limit_pico_usd=before.limit_pico_usd if limit_pico_usd is None else limit_pico_usd,
            alerts=before.alerts if alerts is None else alerts,
        )
        _write_down(connection, actor, at_ms, "budget.change", after)
        connection.execute(update(budgets).where(budgets.c.id == id_).values(budget_values(after)))
        return after

    return await store.ask(change)


async def end_budget(store: Store, id_: str, actor: Actor, at_ms: int) -> Budget | None:
    """From now on it holds nobody back. Gives the budget as it is then, None where there is none."""

    def end(connection: Connection) -> Budget | None:
        will_change(connection)
        before = _get(connection, id_)
        if before is None or before.ended_ms is not None:
            return before
        after = msgspec.structs.replace(before, ended_ms=at_ms)
        _write_down(connection, actor, at_ms, "budget.end", after)
        connection.execute(update(budgets).where(budgets.c.id == id_).values(ended_ms=at_ms))
        return after

    return await store.ask(end)


async def standings(store: Store, of: Sequence[Budget], now_ms: float) -> list[BudgetStanding]:
    """How budgets stand, in their order: what all records of the period of `now_ms` cost, as they are in the store."""

    def stand(connection: Connection) -> list[BudgetStanding]:
        return [read_standing(connection, budget, now_ms) for budget in of]

    return await store.ask(stand)


def read_standing(connection: Connection, budget: Budget, now_ms: float) -> BudgetStanding:
    """Inside a transaction of the caller."""
    found = window(budget.period, now_ms)
    spent = connection.exec_driver_sql(spent_of(budget, found, tail_of(connection.dialect.name))).scalar()
    held = connection.exec_driver_sql(held_of(budget)).scalar()
    return BudgetStanding(budget, int(spent or 0), found.start_ms, found.end_ms, int(held or 0))


def _write_down(connection: Connection, actor: Actor, at_ms: int, action: str, budget: Budget) -> None:
    detail: dict[str, str | int | float | bool | None] = {
        "scope": budget.scope,
        "scope_id": budget.scope_id,
        "period": budget.period,
        "limit_pico_usd": budget.limit_pico_usd,
    }
    record_act(connection, actor, at_ms, action, budget.id, detail, org_id=budget.org_id)


def _get(connection: Connection, id_: str) -> Budget | None:
    row = connection.execute(select(budgets).where(budgets.c.id == id_)).first()
    return None if row is None else _read(row)


def _find(connection: Connection, query: BudgetQuery) -> list[Budget]:
    conditions: list[Any] = [
        column == value
        for column, value in (
            (budgets.c.org_id, query.org_id),
            (budgets.c.scope, query.scope),
            (budgets.c.scope_id, query.scope_id),
        )
        if value
    ]
    if not query.ended:
        conditions.append(budgets.c.ended_ms.is_(None))
    if query.after:
        mark = select(budgets.c.created_ms, budgets.c.id).where(budgets.c.id == query.after)
        conditions.append(tuple_(budgets.c.created_ms, budgets.c.id) < mark.scalar_subquery())
    newest_first = (budgets.c.created_ms.desc(), budgets.c.id.desc())
    return [
        _read(row)
        for row in connection.execute(select(budgets).where(*conditions).order_by(*newest_first).limit(query.limit))
    ]


def _read(row: Row[Any]) -> Budget:
    return read_budget(dict(row._mapping))

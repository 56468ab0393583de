"""Proves the ledger. In: an open store. Out: every place where something does not add up; none in a store that is well.

Reads one state of the store: what is written meanwhile is not looked at. Records are read once, in pieces; of each only the end of its detail.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, func, select, text, tuple_

from trunkline.accounts.ledger import funding_account, owed_account, spent_account, wallet_account
from trunkline.storage.queries import Store
from trunkline.storage.rows import read_payment
from trunkline.storage.schema import balances, ledger, ledger_entries, organisations, records, wallets

_PIECE = 5_000
_SHOWN = 20
"""Of each kind of fault."""


class Checked(msgspec.Struct, frozen=True):
    """What was looked at, and what is wrong."""

    transactions: int
    records: int
    prepaid: int
    """Of the records."""
    faults: tuple[str, ...]


async def check(store: Store, on_progress: Callable[[int], None] = lambda _: None) -> Checked:
    """Every transaction adds up to nothing; the sums that are kept are those of the entries; per organisation wallets hold what was put in less what was
    spent; what each wallet paid is what the records say. `on_progress` is given the records read so far."""
    return await store.ask(lambda connection: _check(connection, on_progress))


def _check(connection: Connection, on_progress: Callable[[int], None]) -> Checked:
    _begin(connection)
    sums = _pairs(connection, select(ledger_entries.c.account, _total()).group_by(ledger_entries.c.account))
    kept = _pairs(connection, select(balances.c.account, balances.c.amount_pico_usd))
    orgs = list(connection.execute(select(organisations.c.id)).scalars())
    owners = {row.id: row.org_id for row in connection.execute(select(wallets.c.id, wallets.c.org_id))}
    paid, read, prepaid, faults = _paid(connection, on_progress)
    faults += _unbalanced(connection)
    faults += _differing("the balance kept for", kept, sums)
    for org_id in orgs:
        of_wallets = sum(sums.get(wallet_account(id_), 0) for id_, owner in owners.items() if owner == org_id)
        held = of_wallets + sums.get(owed_account(org_id), 0)
        left = -sums.get(funding_account(org_id), 0) - sums.get(spent_account(org_id), 0)
        if held != left:
            faults.append(f"{org_id}: its wallets hold {held} pico-USD, but put in less spent is {left}")
    faults += _differing("what the ledger says was spent from", _spent(connection), paid)
    transactions = connection.execute(select(func.count()).select_from(ledger)).scalar_one()
    return Checked(transactions, read, prepaid, tuple(faults))


def _begin(connection: Connection) -> None:
    """One state for all questions."""
    if connection.dialect.name == "sqlite":
        # The driver begins a transaction only with a change (https://docs.python.org/3/library/sqlite3.html#transaction-control).
        connection.exec_driver_sql("BEGIN")
    else:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


def _total() -> Any:
    return func.sum(ledger_entries.c.amount_pico_usd)


def _pairs(connection: Connection, query: Select[Any]) -> dict[str, int]:
    return {account: int(amount) for account, amount in connection.execute(query)}


def _unbalanced(connection: Connection) -> list[str]:
    of = ledger_entries.c.transaction_id
    query = select(of, _total()).group_by(of).having(_total() != 0).limit(_SHOWN)
    found = [f"transaction {id_} does not add up: {amount} pico-USD" for id_, amount in connection.execute(query)]
    lone = select(ledger.c.id).where(~select(of).where(of == ledger.c.id).exists()).limit(_SHOWN)
    found += [f"transaction {id_} has no entries" for id_ in connection.execute(lone).scalars()]
    stray = select(of).where(~select(ledger.c.id).where(ledger.c.id == of).exists()).distinct().limit(_SHOWN)
    return found + [f"entries of {id_} are of no transaction" for id_ in connection.execute(stray).scalars()]


def _spent(connection: Connection) -> dict[str, int]:
    """Account -> what spending took out of it."""
    query = (
        select(ledger_entries.c.account, -_total())
        .join(ledger, ledger.c.id == ledger_entries.c.transaction_id)
        .where(ledger.c.kind == "spend", ~ledger_entries.c.account.startswith("spent:"))
        .group_by(ledger_entries.c.account)
    )
    return _pairs(connection, query)


def _paid(connection: Connection, on_progress: Callable[[int], None]) -> tuple[dict[str, int], int, int, list[str]]:
    """Account -> what records say they took from it; how many there are, how many are prepaid, and what is wrong with any."""
    paid: dict[str, int] = {}
    faults: list[str] = []
    read = prepaid = 0
    for id_, cost, detail in _costs(connection):
        read += 1
        if read % _PIECE == 0:
            on_progress(read)
        org_id, charges = read_payment(detail)
        if not org_id:
            continue
        prepaid += 1
        for charge in charges:
            account = wallet_account(charge.wallet) if charge.wallet else owed_account(org_id)
            paid[account] = paid.get(account, 0) + charge.amount_pico_usd
        if sum(charge.amount_pico_usd for charge in charges) != cost and len(faults) < _SHOWN:
            faults.append(f"record {id_} cost {cost} pico-USD, its charges are others")
    on_progress(read)
    return paid, read, prepaid, faults


def _costs(connection: Connection) -> Iterator[tuple[str, int, bytes]]:
    place = (records.c.received_ms, records.c.id)
    query = select(*place, records.c.cost_pico_usd, records.c.detail).order_by(*place).limit(_PIECE)
    rows = connection.execute(query).all()
    while rows:
        for _, id_, cost, detail in rows:
            yield id_, cost, detail
        rows = connection.execute(query.where(tuple_(*place) > tuple_(rows[-1][0], rows[-1][1]))).all()


def _differing(what: str, found: dict[str, int], expected: dict[str, int]) -> list[str]:
    accounts = sorted(account for account in {*found, *expected} if found.get(account, 0) != expected.get(account, 0))
    return [
        f"{what} {account} is {found.get(account, 0)} pico-USD, and should be {expected.get(account, 0)}"
        for account in accounts[:_SHOWN]
    ]

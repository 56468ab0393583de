"""Spending of prepaid organisations, posted by the writer on SQLite's driver, in the transaction of its records. In: records. Out: the same with their charges.

Exactly once: a record that is in the store already was charged when it came there, so it is not again. Which those are is asked within the transaction.
"""

import sqlite3
from collections.abc import Iterable, Sequence

from trunkline.accounts.ledger import Balance, charged, spend
from trunkline.accounts.types import Transaction, Wallet
from trunkline.records.types import Record
from trunkline.storage.columns import WALLET_COLUMNS
from trunkline.storage.statements import insert

LEDGER_COLUMNS = ("id", "org_id", "at_ms", "kind", "reference", "note", "actor")
ENTRY_COLUMNS = ("account", "transaction_id", "amount_pico_usd")
_ASK_AT_ONCE = 500
_WALLETS = (
    f"SELECT coalesce(amount_pico_usd, 0), {', '.join(WALLET_COLUMNS)} FROM wallets "  # noqa: S608 - names of ours
    "LEFT JOIN balances ON account = 'wallet:' || id WHERE org_id = ?"
)
_POST = insert("ledger", LEDGER_COLUMNS)
_POST_ENTRIES = insert("ledger_entries", ENTRY_COLUMNS)
_PAYERS = (
    "SELECT api_keys.id, organisations.id FROM api_keys JOIN organisations ON organisations.id = org_id "
    "WHERE prepaid AND api_keys.id IN "
)


def post_spending(connection: sqlite3.Connection, records: Sequence[Record]) -> list[Record]:
    """Charge those that are prepaid and new, and post that to the ledger. All records are given back, in their order."""
    prepaid = {record.id: record for record in records if record.prepaid_by}
    new = _new(connection, list(prepaid))
    by_org: dict[str, list[Record]] = {}
    for id_, record in prepaid.items():
        if id_ in new:
            by_org.setdefault(record.prepaid_by, []).append(record)
    paid: dict[str, Record] = {}
    for org_id in sorted(by_org):
        of_org = charged(by_org[org_id], _balances(connection, org_id))
        transaction = spend(org_id, of_org)
        if transaction is not None:
            _post(connection, transaction)
        paid |= {record.id: record for record in of_org}
    return [paid.get(record.id, record) for record in records]


def payers(connection: sqlite3.Connection, key_ids: Iterable[str]) -> dict[str, str]:
    """Key -> the prepaid organisation that pays for it now. For requests of which a crash left no more than the key."""
    asked = sorted(set(key_ids))
    found: dict[str, str] = {}
    for start in range(0, len(asked), _ASK_AT_ONCE):
        some = asked[start : start + _ASK_AT_ONCE]
        found |= dict(connection.execute(f"{_PAYERS}({', '.join('?' * len(some))})", some).fetchall())
    return found


def _new(connection: sqlite3.Connection, ids: Sequence[str]) -> set[str]:
    new = set(ids)
    for start in range(0, len(ids), _ASK_AT_ONCE):
        some = ids[start : start + _ASK_AT_ONCE]
        known = f"SELECT id FROM records WHERE id IN ({', '.join('?' * len(some))})"  # noqa: S608 - only marks
        new -= {id_ for (id_,) in connection.execute(known, some)}
    return new


def _balances(connection: sqlite3.Connection, org_id: str) -> list[Balance]:
    return [Balance(Wallet(*wallet), left) for left, *wallet in connection.execute(_WALLETS, (org_id,))]


def _post(connection: sqlite3.Connection, transaction: Transaction) -> None:
    _POST.run(connection, [tuple(getattr(transaction, name) for name in LEDGER_COLUMNS)])
    _POST_ENTRIES.run(
        connection, [(entry.account, transaction.id, entry.amount_pico_usd) for entry in transaction.entries]
    )

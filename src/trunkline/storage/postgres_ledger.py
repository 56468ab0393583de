"""Spending of prepaid organisations on PostgreSQL, posted by the writer in the transaction of its records. In: records. Out: the same with their charges.

As `ledger_batch` does it on SQLite. Gateways that charge the same organisation wait for each other at its row, so each sees what the others left.
"""

from collections.abc import Iterable, Sequence

import asyncpg

from trunkline.accounts.ledger import Balance, charged, spend
from trunkline.accounts.types import Transaction, Wallet
from trunkline.records.types import Record
from trunkline.storage.columns import WALLET_COLUMNS
from trunkline.storage.ledger_batch import ENTRY_COLUMNS, LEDGER_COLUMNS

# S608: names are constants of ours.
_LOCK = "SELECT id FROM organisations WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE"
_KNOWN = "SELECT id FROM records WHERE id = ANY($1::text[])"
_WALLETS = (
    f"SELECT coalesce(amount_pico_usd, 0), {', '.join(WALLET_COLUMNS)} FROM wallets "  # noqa: S608
    "LEFT JOIN balances ON account = 'wallet:' || id WHERE org_id = $1"
)
_POST = (
    f"INSERT INTO ledger ({', '.join(LEDGER_COLUMNS)}) "  # noqa: S608
    f"VALUES ({', '.join(f'${at + 1}' for at in range(len(LEDGER_COLUMNS)))})"
)
_POST_ENTRIES = (
    f"INSERT INTO ledger_entries ({', '.join(ENTRY_COLUMNS)}) "  # noqa: S608
    "SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])"
)
_PAYERS = (
    "SELECT api_keys.id, organisations.id FROM api_keys JOIN organisations ON organisations.id = org_id "
    "WHERE prepaid AND api_keys.id = ANY($1::text[])"
)


async def post_spending(connection: asyncpg.Connection, records: Sequence[Record]) -> list[Record]:
    """Charge those that are prepaid and new, and post that to the ledger. All records are given back, in their order."""
    prepaid = {record.id: record for record in records if record.prepaid_by}
    await connection.fetch(_LOCK, sorted({record.prepaid_by for record in prepaid.values()}))
    known = {id_ for (id_,) in await connection.fetch(_KNOWN, list(prepaid))}
    by_org: dict[str, list[Record]] = {}
    for id_, record in prepaid.items():
        if id_ not in known:
            by_org.setdefault(record.prepaid_by, []).append(record)
    paid: dict[str, Record] = {}
    for org_id in sorted(by_org):
        balances = [Balance(Wallet(*wallet), left) for left, *wallet in await connection.fetch(_WALLETS, org_id)]
        of_org = charged(by_org[org_id], balances)
        transaction = spend(org_id, of_org)
        if transaction is not None:
            await _post(connection, transaction)
        paid |= {record.id: record for record in of_org}
    return [paid.get(record.id, record) for record in records]


async def payers(connection: asyncpg.Connection, key_ids: Iterable[str]) -> dict[str, str]:
    """Key -> the prepaid organisation that pays for it now. For requests of which a crash left no more than the key."""
    found = await connection.fetch(_PAYERS, sorted(set(key_ids)))
    return {row[0]: row[1] for row in found}


async def _post(connection: asyncpg.Connection, transaction: Transaction) -> None:
    await connection.execute(_POST, *(getattr(transaction, name) for name in LEDGER_COLUMNS))
    # In one order, since each entry changes the row of its account's balance.
    entries = sorted(transaction.entries, key=lambda entry: entry.account)
    await connection.execute(
        _POST_ENTRIES,
        [entry.account for entry in entries],
        [transaction.id] * len(entries),
        [entry.amount_pico_usd for entry in entries],
    )

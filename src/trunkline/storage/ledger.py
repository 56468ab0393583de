"""Credits and their ledger, for console and command line. In: a store, acts of administrators. Out: balances, statements, and whether it all adds up.

Every change is one transaction of the store: the ledger's, its entry in the audit log, and the revision by which gateways see it. Spending is posted
by the writer, see `ledger_batch`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, insert, select, tuple_

from trunkline.accounts.ledger import (
    Balance,
    expiry,
    funding_account,
    owed_account,
    pay_in,
    spending_order,
    spent_account,
    wallet_account,
)
from trunkline.accounts.types import Actor, Entry, Transaction, Wallet, WalletKind
from trunkline.errors import InvalidParams, NotFound
from trunkline.storage.audit import record_act
from trunkline.storage.followed import will_change
from trunkline.storage.queries import Store
from trunkline.storage.schema import balances, ledger, ledger_entries, organisations, wallets

MOST_PICO_USD = 1_000_000 * 10**12
"""That is paid in at once. The store's integers hold nine times as much in an account."""
_MOST_IN_ALL = 9_000_000 * 10**12
NAMES: dict[WalletKind, str] = {"top_up": "Top-up", "bonus": "Bonus"}


class Credit(msgspec.Struct, frozen=True):
    """Money to be put in. It goes into the wallet of the same kind, name and end, which is made where there is none."""

    org_id: str
    kind: WalletKind
    amount_pico_usd: int
    reference: str
    """Of the act: the same one, done twice, counts once. Of its organisation only."""
    name: str = ""
    expires_ms: int | None = None
    note: str = ""


class Mark(msgspec.Struct, frozen=True):
    """Between two transactions of a statement."""

    at_ms: int
    id: str


class Credits(msgspec.Struct, frozen=True):
    """What an organisation has put in, spent, and has left: its wallets in the order of spending."""

    org_id: str
    funded_pico_usd: int
    spent_pico_usd: int
    balances: tuple[Balance, ...]

    @property
    def left_pico_usd(self) -> int:
        return self.funded_pico_usd - self.spent_pico_usd

    def left_of(self, kind: WalletKind) -> int:
        """In the wallets of a kind."""
        return sum(one.left_pico_usd for one in self.balances if one.wallet.kind == kind)


async def add_credit(store: Store, credit: Credit, actor: Actor, *, at_ms: int, new_id: Callable[[], str]) -> Balance:
    """Put money in. Gives the wallet as it is then. InvalidParams for what cannot be."""
    if not 0 < credit.amount_pico_usd <= MOST_PICO_USD:
        raise InvalidParams(f"an amount must be more than nothing and at most {MOST_PICO_USD // 10**12} USD at once")
    if credit.expires_ms is not None and credit.expires_ms <= at_ms:
        raise InvalidParams("the credit would have expired already")

    def add(connection: Connection) -> Balance:
        will_change(connection)
        _lock(connection, credit.org_id)
        reference = f"credit:{credit.org_id}:{credit.reference}"
        there = _wallet_posted_to(connection, reference, credit.amount_pico_usd)
        if there is not None:
            return _balance(connection, there)
        if _sum(connection, funding_account(credit.org_id)) - credit.amount_pico_usd < -_MOST_IN_ALL:
            raise InvalidParams(f"no more than {_MOST_IN_ALL // 10**12} USD can be put in")
        wallet = _wallet_for(connection, credit, at_ms, new_id)
        transaction = pay_in(
            wallet,
            credit.amount_pico_usd,
            kind=credit.kind,
            at_ms=at_ms,
            reference=reference,
            note=credit.note,
            actor=actor.id,
        )
        _post(connection, transaction)
        _write_down(connection, actor, transaction, wallet)
        return _balance(connection, wallet)

    return await store.ask(add)


async def adjust(
    store: Store, wallet_id: str, amount_pico_usd: int, actor: Actor, *, at_ms: int, reference: str, note: str
) -> Balance | None:
    """Put right what is in a wallet: more, or less where the amount is below nothing. None where there is no such wallet."""
    if amount_pico_usd == 0 or abs(amount_pico_usd) > MOST_PICO_USD:
        raise InvalidParams(f"an amount must not be nothing, nor more than {MOST_PICO_USD // 10**12} USD at once")
    if not note:
        raise InvalidParams("an adjustment needs a note that says why")

    def change(connection: Connection) -> Balance | None:
        will_change(connection)
        wallet = _wallet(connection, wallet_id)
        if wallet is None:
            return None
        _lock(connection, wallet.org_id)
        name = f"adjustment:{wallet.org_id}:{reference}"
        if _wallet_posted_to(connection, name, amount_pico_usd) is not None:
            return _balance(connection, wallet)
        left = _balance(connection, wallet).left_pico_usd
        if left + amount_pico_usd < min(left, 0):
            raise InvalidParams("there is less in the wallet than is to be taken out")
        transaction = pay_in(
            wallet, amount_pico_usd, kind="adjustment", at_ms=at_ms, reference=name, note=note, actor=actor.id
        )
        _post(connection, transaction)
        _write_down(connection, actor, transaction, wallet)
        return _balance(connection, wallet)

    return await store.ask(change)


async def expire(store: Store, now_ms: int) -> list[Transaction]:
    """Take out what is left in wallets whose time is over; what was done. By whoever comes first, once."""

    def due(connection: Connection) -> bool:
        over = (wallets.c.expires_ms <= now_ms, balances.c.amount_pico_usd > 0)
        found = select(wallets.c.id).join(balances, balances.c.account == "wallet:" + wallets.c.id).where(*over)
        return connection.execute(found.limit(1)).first() is not None

    def take_out(connection: Connection) -> list[Transaction]:
        will_change(connection)
        over = select(wallets.c.org_id).distinct().where(wallets.c.expires_ms <= now_ms).order_by(wallets.c.org_id)
        done: list[Transaction] = []
        for org_id in connection.execute(over).scalars().all():
            _lock(connection, org_id)
            found = (expiry(balance, now_ms) for balance in _balances(connection, org_id))
            done += [transaction for transaction in found if transaction is not None]
        for transaction in done:
            _post(connection, transaction)
        return done

    # Most of the time there is nothing to do, and then nothing is written.
    return await store.ask(take_out) if await store.ask(due) else []


async def credits_of(store: Store, org_id: str) -> Credits:
    """How an organisation stands."""
    return await store.ask(lambda connection: read_credits(connection, org_id))


async def wallet_of(store: Store, id_: str) -> Wallet | None:
    """The one with this id."""
    return await store.ask(lambda connection: _wallet(connection, id_))


async def prepaid_credits(store: Store) -> list[Credits]:
    """Of all prepaid organisations."""

    def find(connection: Connection) -> list[Credits]:
        ids = select(organisations.c.id).where(organisations.c.prepaid).order_by(organisations.c.id)
        return [read_credits(connection, id_) for id_ in connection.execute(ids).scalars().all()]

    return await store.ask(find)


async def statement(
    store: Store, org_id: str, *, limit: int = 50, before: Mark | None = None, spending: bool = False
) -> list[Transaction]:
    """Transactions, newest first. Without `spending`, only what somebody did and what expired."""
    query = select(ledger).where(ledger.c.org_id == org_id)
    if not spending:
        query = query.where(ledger.c.kind != "spend")
    if before is not None:
        query = query.where(tuple_(ledger.c.at_ms, ledger.c.id) < tuple_(before.at_ms, before.id))
    query = query.order_by(ledger.c.at_ms.desc(), ledger.c.id.desc()).limit(limit)
    return await store.ask(lambda connection: _transactions(connection, connection.execute(query).all()))


def read_credits(connection: Connection, org_id: str) -> Credits:
    """Inside a transaction of the caller."""
    return Credits(
        org_id,
        -_sum(connection, funding_account(org_id)),
        _sum(connection, spent_account(org_id)),
        tuple(_balances(connection, org_id)),
    )


def read_owed(connection: Connection, org_id: str) -> int:
    """What was spent without any wallet."""
    return -_sum(connection, owed_account(org_id))


def _write_down(connection: Connection, actor: Actor, transaction: Transaction, wallet: Wallet) -> None:
    amount = next(entry.amount_pico_usd for entry in transaction.entries if entry.account == wallet_account(wallet.id))
    detail: dict[str, str | int] = {"transaction": transaction.id, "amount_pico_usd": amount}
    action = f"credits.{transaction.kind}"
    record_act(connection, actor, transaction.at_ms, action, wallet.id, detail, org_id=wallet.org_id)


def _lock(connection: Connection, org_id: str) -> None:
    """One after the other per organisation. SQLite has one writer anyway and no such lock."""
    found = connection.execute(select(organisations.c.id).where(organisations.c.id == org_id).with_for_update())
    if found.first() is None:
        raise NotFound(f"there is no organisation {org_id}", param="organisation")


def _wallet_for(connection: Connection, credit: Credit, at_ms: int, new_id: Callable[[], str]) -> Wallet:
    name = credit.name or NAMES[credit.kind]
    same = (
        wallets.c.org_id == credit.org_id,
        wallets.c.kind == credit.kind,
        wallets.c.name == name,
        wallets.c.expires_ms == credit.expires_ms if credit.expires_ms is not None else wallets.c.expires_ms.is_(None),
    )
    row = connection.execute(select(wallets).where(*same)).first()
    if row is not None:
        return Wallet(**row._mapping)
    wallet = Wallet(f"wal_{new_id()}", credit.org_id, credit.kind, name, at_ms, credit.expires_ms)
    connection.execute(insert(wallets).values(msgspec.structs.asdict(wallet)))
    return wallet


def _wallet_posted_to(connection: Connection, reference: str, amount_pico_usd: int) -> Wallet | None:
    """Of a transaction that was posted before. InvalidParams where that was about something else."""
    query = (
        select(ledger_entries.c.amount_pico_usd, wallets)
        .join(ledger, ledger.c.id == ledger_entries.c.transaction_id)
        .join(wallets, ledger_entries.c.account == "wallet:" + wallets.c.id)
        .where(ledger.c.reference == reference)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    if row[0] != amount_pico_usd:
        raise InvalidParams("this reference was used before, for another amount")
    return Wallet(*row[1:])


def _wallet(connection: Connection, id_: str) -> Wallet | None:
    row = connection.execute(select(wallets).where(wallets.c.id == id_)).first()
    return Wallet(**row._mapping) if row else None


def _balance(connection: Connection, wallet: Wallet) -> Balance:
    return Balance(wallet, _sum(connection, wallet_account(wallet.id)))


def _balances(connection: Connection, org_id: str) -> list[Balance]:
    left = func.coalesce(balances.c.amount_pico_usd, 0)
    query = (
        select(left, wallets)
        .join_from(wallets, balances, balances.c.account == "wallet:" + wallets.c.id, isouter=True)
        .where(wallets.c.org_id == org_id)
    )
    return spending_order(Balance(Wallet(*row[1:]), row[0]) for row in connection.execute(query))


def _sum(connection: Connection, account: str) -> int:
    query = select(balances.c.amount_pico_usd).where(balances.c.account == account)
    return connection.execute(query).scalar() or 0


def _post(connection: Connection, transaction: Transaction) -> None:
    values = msgspec.structs.asdict(transaction)
    entries = values.pop("entries")
    connection.execute(insert(ledger).values(values))
    rows = [{**msgspec.structs.asdict(entry), "transaction_id": transaction.id} for entry in entries]
    connection.execute(insert(ledger_entries), rows)


def _transactions(connection: Connection, rows: Sequence[Row[Any]]) -> list[Transaction]:
    ids = [row.id for row in rows]
    entries: dict[str, list[Entry]] = {}
    query = select(ledger_entries).where(ledger_entries.c.transaction_id.in_(ids)).order_by(ledger_entries.c.account)
    for row in connection.execute(query) if ids else ():
        entries.setdefault(row.transaction_id, []).append(Entry(row.account, row.amount_pico_usd))
    return [Transaction(**row._mapping, entries=tuple(entries.get(row.id, ()))) for row in rows]

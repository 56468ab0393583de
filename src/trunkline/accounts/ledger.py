"""Money that was paid in, and what it is spent on, in double entry. Pure. In: wallets' balances, records, acts of administrators. Out: charges, `Transaction`s.

Every transaction adds up to nothing over its entries. The data plane only says in `Record.prepaid_by` who pays; the writer splits the cost in the same
transaction of the store in which the record is kept, with the balances as they are there: so the order of spending holds over any number of gateways.
"""

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from trunkline.accounts.types import Entry, Transaction, TransactionKind, Wallet
from trunkline.records.types import Charge, Record

GATEWAY = "gateway"
"""The actor of what nobody did by hand: spending and expiry."""
_ID_CHARS = 24


class Balance(msgspec.Struct, frozen=True):
    """What is left in a wallet: the sum of its entries. Below nothing where a request cost more than all wallets held."""

    wallet: Wallet
    left_pico_usd: int


def wallet_account(wallet_id: str) -> str:
    """The account of a wallet."""
    return f"wallet:{wallet_id}"


def funding_account(org_id: str) -> str:
    """Where money comes from: minus all that was ever paid in and not taken back."""
    return f"funding:{org_id}"


def spent_account(org_id: str) -> str:
    """Where money goes: all that was ever spent."""
    return f"spent:{org_id}"


def owed_account(org_id: str) -> str:
    """What was spent by an organisation that never had a wallet. Nothing, unless somebody made it prepaid while a request was under way."""
    return f"owed:{org_id}"


def spending_order(balances: Iterable[Balance]) -> list[Balance]:
    """Bonus before money that was paid in, what expires sooner first, then what is older."""

    def rank(balance: Balance) -> tuple[bool, bool, int, int, str]:
        wallet = balance.wallet
        expires_ms = wallet.expires_ms
        return wallet.kind != "bonus", expires_ms is None, expires_ms or 0, wallet.created_ms, wallet.id

    return sorted(balances, key=rank)


def split(cost_pico_usd: int, balances: Iterable[Balance]) -> tuple[Charge, ...]:
    """A cost over wallets, in their order. What none of them holds goes to the last, which is then below nothing: a cost is never lost."""
    charges: list[Charge] = []
    rest = cost_pico_usd
    last = ""
    for balance in spending_order(balances):
        last = balance.wallet.id
        part = min(rest, balance.left_pico_usd)
        if part > 0:
            charges.append(Charge(last, part))
            rest -= part
    if rest > 0:
        more = charges.pop().amount_pico_usd if charges and charges[-1].wallet == last else 0
        charges.append(Charge(last, rest + more))
    return tuple(charges)


def charged(records: Iterable[Record], balances: Sequence[Balance]) -> list[Record]:
    """The same records, each with what it takes from which wallet, one after the other. All of one organisation, whose wallets these are."""
    left = {balance.wallet.id: balance for balance in balances}
    paid: list[Record] = []
    for record in records:
        charges = split(record.cost_pico_usd, left.values())
        for charge in charges:
            before = left.get(charge.wallet)
            if before is not None:
                left[charge.wallet] = Balance(before.wallet, before.left_pico_usd - charge.amount_pico_usd)
        paid.append(msgspec.structs.replace(record, charges=charges))
    return paid


def spend(org_id: str, records: Sequence[Record]) -> Transaction | None:
    """One transaction for the charges of some records; None where there are none. The same records make the same transaction."""
    sums: dict[str, int] = {}
    for record in records:
        for charge in record.charges:
            account = wallet_account(charge.wallet) if charge.wallet else owed_account(org_id)
            sums[account] = sums.get(account, 0) - charge.amount_pico_usd
    if not sums:
        return None
    sums[spent_account(org_id)] = -sum(sums.values())
    ids = "\n".join(sorted(record.id for record in records))
    return _transaction(
        org_id=org_id,
        at_ms=int(max(record.ended_ms for record in records)),
        kind="spend",
        reference=f"spend:{_digest(ids)}",
        note="1 request" if len(records) == 1 else f"{len(records)} requests",
        actor=GATEWAY,
        sums=sums,
    )


def pay_in(
    wallet: Wallet,
    amount_pico_usd: int,
    *,
    kind: TransactionKind,
    at_ms: int,
    reference: str,
    note: str,
    actor: str,
) -> Transaction:
    """Money into a wallet, or out of it again where the amount is below nothing (`adjustment`, `expiry`)."""
    sums = {wallet_account(wallet.id): amount_pico_usd, funding_account(wallet.org_id): -amount_pico_usd}
    return _transaction(wallet.org_id, at_ms, kind, reference, note, actor, sums)


def expiry(balance: Balance, now_ms: int) -> Transaction | None:
    """What takes the rest out of a wallet whose time is over; None where nothing is left."""
    wallet = balance.wallet
    if wallet.expires_ms is None or now_ms < wallet.expires_ms or balance.left_pico_usd <= 0:
        return None
    return pay_in(
        wallet,
        -balance.left_pico_usd,
        kind="expiry",
        at_ms=now_ms,
        # A second one is possible: what is put back into a wallet by an adjustment expires as well.
        reference=f"expiry:{wallet.id}:{now_ms}",
        note=f"{wallet.name} has expired",
        actor=GATEWAY,
    )


def is_balanced(transaction: Transaction) -> bool:
    """Whether it adds up to nothing."""
    return sum(entry.amount_pico_usd for entry in transaction.entries) == 0


def _transaction(
    org_id: str, at_ms: int, kind: TransactionKind, reference: str, note: str, actor: str, sums: dict[str, int]
) -> Transaction:
    # In the order of accounts: gateways that post at the same time then wait for each other's rows in the same order.
    entries = tuple(Entry(account, sums[account]) for account in sorted(sums))
    return Transaction(f"txn_{_digest(reference)}", org_id, at_ms, kind, reference, note, actor, entries)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_CHARS]

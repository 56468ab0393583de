"""The order of spending, the split of a cost, and that every transaction adds up to nothing."""

from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.records import a_record
from trunkline.accounts.ledger import Balance, charged, expiry, is_balanced, pay_in, spend, spending_order, split
from trunkline.accounts.types import Wallet
from trunkline.records.types import Charge


def wallet(id_, kind="top_up", created_ms=1, expires_ms=None):
    return Wallet(id_, "org_1", kind, id_, created_ms, expires_ms)


PAID = wallet("paid", created_ms=1)
NEWER = wallet("newer", created_ms=2)
BONUS = wallet("bonus", "bonus", created_ms=9)
SOON = wallet("soon", "bonus", created_ms=9, expires_ms=100)
ENDING = wallet("ending", created_ms=9, expires_ms=50)

amounts = st.integers(0, 10**15)
balances = st.lists(
    st.builds(
        Balance,
        st.builds(wallet, st.uuids().map(str), st.sampled_from(["top_up", "bonus"]), amounts, st.none() | amounts),
        st.integers(-(10**12), 10**15),
    ),
    max_size=6,
)


def test_bonus_goes_first_then_what_expires_sooner_then_what_is_older():
    given_in = [Balance(one, 1) for one in (NEWER, BONUS, PAID, ENDING, SOON)]
    assert [one.wallet for one in spending_order(given_in)] == [SOON, BONUS, ENDING, PAID, NEWER]


def test_a_cost_empties_one_wallet_after_the_other():
    held = [Balance(PAID, 100), Balance(BONUS, 30)]
    assert split(50, held) == (Charge("bonus", 30), Charge("paid", 20))
    assert split(30, held) == (Charge("bonus", 30),)


def test_what_no_wallet_holds_goes_to_the_last_in_one_charge():
    assert split(200, [Balance(PAID, 100), Balance(BONUS, 30)]) == (Charge("bonus", 30), Charge("paid", 170))
    assert split(5, [Balance(PAID, -3)]) == (Charge("paid", 5),)
    assert split(5, []) == (Charge("", 5),)


@given(amounts, balances)
def test_a_split_is_the_whole_cost_and_takes_no_wallet_below_nothing_but_the_last(cost, held):
    charges = split(cost, held)
    assert sum(charge.amount_pico_usd for charge in charges) == cost
    assert all(charge.amount_pico_usd > 0 for charge in charges)
    left = {one.wallet.id: one.left_pico_usd for one in held}
    last = spending_order(held)[-1].wallet.id if held else ""
    assert all(charge.amount_pico_usd <= left[charge.wallet] for charge in charges if charge.wallet != last)


@given(st.lists(amounts, min_size=1, max_size=5), balances)
def test_spending_adds_up_to_nothing_and_to_what_the_records_cost(costs, held):
    records = [a_record(number, cost_pico_usd=cost, prepaid_by="org_1") for number, cost in enumerate(costs)]
    paid = charged(records, held)
    transaction = spend("org_1", paid)
    if sum(costs) == 0:
        assert transaction is None
        return
    assert is_balanced(transaction)
    assert {entry.account: entry.amount_pico_usd for entry in transaction.entries}["spent:org_1"] == sum(costs)
    assert transaction == spend("org_1", paid[::-1]), "whatever the order, the same transaction"


def test_money_in_comes_from_the_funding_of_its_organisation():
    made = pay_in(PAID, 7, kind="top_up", at_ms=1, reference="r", note="", actor="master")
    assert {entry.account: entry.amount_pico_usd for entry in made.entries} == {"wallet:paid": 7, "funding:org_1": -7}
    assert is_balanced(made)


def test_only_what_is_left_expires_and_only_at_its_time():
    assert expiry(Balance(SOON, 7), 99) is None
    assert expiry(Balance(SOON, 0), 100) is None
    assert expiry(Balance(SOON, -1), 100) is None
    assert expiry(Balance(PAID, 7), 100) is None
    taken = expiry(Balance(SOON, 7), 100)
    assert {entry.account: entry.amount_pico_usd for entry in taken.entries} == {"wallet:soon": -7, "funding:org_1": 7}

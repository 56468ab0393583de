"""Credits: put in, spent by the writer, expired; and the proof that they add up."""

import asyncio
import itertools
import threading

import msgspec
import pytest

from tests.fakes.records import START_MS, a_record, an_intent
from trunkline.accounts.types import Actor
from trunkline.errors import InvalidParams, NotFound, StoreError
from trunkline.records.recovery import recover
from trunkline.records.types import Charge
from trunkline.storage.audit import AuditQuery, acts
from trunkline.storage.ledger import Credit, Mark, add_credit, adjust, credits_of, expire, statement
from trunkline.storage.ledger_check import check
from trunkline.storage.queries import Store

ORG = "org_default"
USD = 10**12
NOW_MS = int(START_MS)
ADMIN = Actor("member", "mem_1", "Alice", "admin")
COST = a_record(1).cost_pico_usd


@pytest.fixture
async def store(any_store):
    async with await Store.open(any_store.url) as store:
        yield store


@pytest.fixture
def batch(any_store):
    batch = any_store.batch()
    yield batch
    batch.close()


@pytest.fixture
def put_in(store):
    numbers = itertools.count()

    async def put_in(pico_usd, **changes):
        number = str(next(numbers))
        credit = Credit(ORG, "top_up", pico_usd, reference=number)
        credit = msgspec.structs.replace(credit, **changes)
        return await add_credit(store, credit, ADMIN, at_ms=NOW_MS, new_id=lambda: number)

    return put_in


def prepaid(number, **changes):
    return a_record(number, prepaid_by=ORG, **changes)


async def test_credit_is_the_balance_of_its_wallet(store, put_in):
    balance = await put_in(5 * USD)
    assert (balance.wallet.name, balance.left_pico_usd) == ("Top-up", 5 * USD)
    credits = await credits_of(store, ORG)
    assert (credits.funded_pico_usd, credits.spent_pico_usd, credits.left_pico_usd) == (5 * USD, 0, 5 * USD)
    assert (await check(store)).faults == ()


async def test_the_same_act_again_counts_once_and_another_amount_under_its_reference_is_refused(store, put_in):
    await put_in(5 * USD, reference="invoice 7")
    await put_in(5 * USD, reference="invoice 7")
    assert (await credits_of(store, ORG)).left_pico_usd == 5 * USD
    with pytest.raises(InvalidParams, match="another amount"):
        await put_in(6 * USD, reference="invoice 7")


async def test_credit_of_the_same_kind_name_and_end_shares_a_wallet(store, put_in):
    await put_in(1 * USD)
    await put_in(2 * USD)
    await put_in(4 * USD, kind="bonus", expires_ms=NOW_MS + 1000)
    credits = await credits_of(store, ORG)
    assert [(one.wallet.kind, one.left_pico_usd) for one in credits.balances] == [
        ("bonus", 4 * USD),
        ("top_up", 3 * USD),
    ]
    assert (credits.left_of("bonus"), credits.left_of("top_up")) == (4 * USD, 3 * USD)


async def test_every_act_is_in_the_audit_log_with_its_actor(store, put_in):
    balance = await put_in(5 * USD)
    await adjust(store, balance.wallet.id, -USD, ADMIN, at_ms=NOW_MS, reference="a", note="typed wrong")
    found = await acts(store, AuditQuery())
    assert [(one.action, one.actor_id, one.target, one.detail["amount_pico_usd"]) for one in found] == [
        ("credits.adjustment", "mem_1", balance.wallet.id, -USD),
        ("credits.top_up", "mem_1", balance.wallet.id, 5 * USD),
    ]


@pytest.mark.parametrize("amount", [0, -1, 1_000_001 * USD])
async def test_an_amount_that_is_none_is_refused(store, put_in, amount):
    with pytest.raises(InvalidParams):
        await put_in(amount)
    assert await statement(store, ORG) == []


async def test_nothing_is_put_into_an_organisation_that_is_not_there(store, put_in):
    with pytest.raises(NotFound, match="no organisation org_none"):
        await put_in(USD, org_id="org_none")


async def test_an_adjustment_takes_no_more_than_there_is(store, put_in):
    balance = await put_in(USD)
    with pytest.raises(InvalidParams, match="less in the wallet"):
        await adjust(store, balance.wallet.id, -USD - 1, ADMIN, at_ms=NOW_MS, reference="a", note="n")
    for _ in range(2):
        after = await adjust(store, balance.wallet.id, -USD, ADMIN, at_ms=NOW_MS, reference="b", note="n")
        assert after.left_pico_usd == 0
    assert await adjust(store, "wal_none", USD, ADMIN, at_ms=NOW_MS, reference="c", note="n") is None


async def test_a_request_takes_the_bonus_first_and_its_record_says_so(store, put_in, batch):
    bonus = await put_in(COST // 4, kind="bonus")
    paid = await put_in(5 * USD)
    batch.write([prepaid(1), a_record(2), prepaid(3)], [], [])
    first, free, last = [await store.generation(f"req_00000{number}") for number in (1, 2, 3)]
    assert first.charges == (Charge(bonus.wallet.id, COST // 4), Charge(paid.wallet.id, COST - COST // 4))
    assert last.charges == (Charge(paid.wallet.id, COST),)
    assert free == a_record(2)
    credits = await credits_of(store, ORG)
    assert (credits.spent_pico_usd, credits.left_pico_usd) == (2 * COST, 5 * USD + COST // 4 - 2 * COST)
    checked = await check(store)
    assert (checked.records, checked.prepaid, checked.faults) == (3, 2, ())


async def test_a_batch_is_one_transaction_of_the_ledger(store, put_in, batch):
    await put_in(5 * USD)
    batch.write([prepaid(number) for number in range(100)], [], [])
    spent, top_up = await statement(store, ORG, spending=True)
    assert (spent.kind, spent.note, spent.actor, top_up.kind) == ("spend", "100 requests", "gateway", "top_up")
    assert {entry.account: entry.amount_pico_usd for entry in spent.entries}[f"spent:{ORG}"] == 100 * COST


async def test_a_batch_that_comes_again_in_parts_or_whole_is_charged_once(store, put_in, batch):
    await put_in(5 * USD)
    batch.write([prepaid(1), prepaid(2)], [], [])
    for again in ([prepaid(1), prepaid(2)], [prepaid(2)], [prepaid(2), prepaid(3), prepaid(3)], [prepaid(3)]):
        batch.write(again, [], [])
    assert (await credits_of(store, ORG)).spent_pico_usd == 3 * COST
    assert (await check(store)).faults == ()


async def test_a_cost_that_no_wallet_holds_is_charged_to_the_last_one(store, put_in, batch):
    await put_in(1, kind="bonus")
    wallet = (await put_in(2)).wallet
    batch.write([prepaid(1)], [], [])
    record = await store.generation("req_000001")
    assert record.charges[-1] == Charge(wallet.id, COST - 1)
    assert (await credits_of(store, ORG)).left_pico_usd == 3 - COST
    assert (await check(store)).faults == ()


async def test_a_cost_without_any_wallet_is_owed(store, batch):
    batch.write([prepaid(1)], [], [])
    assert (await store.generation("req_000001")).charges == (Charge("", COST),)
    assert (await check(store)).faults == ()


async def test_batches_without_prepaid_records_leave_the_ledger_alone(batch, any_store):
    batch.write([a_record(1), prepaid(2, cost_pico_usd=0)], [], [])
    assert any_store.count("ledger") == any_store.count("ledger_entries") == 0


async def test_a_record_that_the_store_cannot_keep_as_it_is_is_charged_all_the_same(store, put_in, batch):
    await put_in(5 * USD)
    batch.write([prepaid(1, error_message="\ud800"), prepaid(2)], [], [])
    assert (await credits_of(store, ORG)).spent_pico_usd == 2 * COST
    assert (await check(store)).faults == ()


async def test_what_is_left_is_taken_out_once_when_its_time_is_over(store, put_in, batch):
    await put_in(COST + 7, kind="bonus", expires_ms=NOW_MS + 1000)
    await put_in(USD)
    batch.write([prepaid(1)], [], [])
    assert await expire(store, NOW_MS + 999) == []
    done = await expire(store, NOW_MS + 1000)
    assert [(one.kind, one.note) for one in done] == [("expiry", "Bonus has expired")]
    assert await expire(store, NOW_MS + 2000) == []
    credits = await credits_of(store, ORG)
    assert [one.left_pico_usd for one in credits.balances] == [0, USD]
    assert credits.left_pico_usd == USD
    assert (await check(store)).faults == ()


def write_until_taken(batch, records):
    """As the record writer does it."""
    while True:
        try:
            return batch.write(records, [], [])
        except StoreError:
            continue


async def test_gateways_that_charge_at_the_same_time_keep_to_the_order_and_lose_nothing(store, put_in, any_store):
    bonus = (await put_in(COST * 50, kind="bonus")).wallet
    await put_in(COST * 1_000)

    def gateway(first):
        batch = any_store.batch(f"gw_{first}")
        for start in range(first, first + 60, 3):
            write_until_taken(batch, [prepaid(number) for number in range(start, start + 3)])
        batch.close()

    writing = [threading.Thread(target=gateway, args=(first,)) for first in (1_000, 2_000, 3_000)]
    for thread in writing:
        thread.start()
    for thread in writing:
        await asyncio.to_thread(thread.join)
    credits = await credits_of(store, ORG)
    assert credits.spent_pico_usd == 180 * COST
    assert {one.wallet.id: one.left_pico_usd for one in credits.balances}[bonus.id] == 0
    assert (await check(store)).faults == ()


async def test_a_statement_goes_on_page_by_page(store, put_in, batch):
    for number in range(5):
        await put_in(USD + number)
        batch.write([prepaid(number)], [], [])
    pages, before = [], None
    while page := await statement(store, ORG, limit=2, before=before, spending=True):
        pages += page
        before = Mark(page[-1].at_ms, page[-1].id)
    assert len(pages) == 10
    assert pages == await statement(store, ORG, spending=True)
    assert [one.kind for one in await statement(store, ORG)] == ["top_up"] * 5


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            "UPDATE balances SET amount_pico_usd = 1 WHERE account = 'wallet:wal_0'",
            "the balance kept for wallet:wal_0 is 1",
        ),
        ("INSERT INTO ledger_entries VALUES ('wallet:wal_0', 'txn_x', 5)", "transaction txn_x does not add up"),
        ("INSERT INTO ledger VALUES ('txn_y', 'org_default', 1, 'spend', 'r', '', '')", "txn_y has no entries"),
        ("DELETE FROM records", "what the ledger says was spent from wallet:wal_0 is"),
        ("UPDATE records SET cost_pico_usd = 5", "record req_000001 cost 5 pico-USD"),
    ],
)
async def test_the_check_finds_what_does_not_add_up(store, put_in, batch, any_store, damage, said):
    await put_in(5 * USD)
    batch.write([prepaid(1)], [], [])
    assert (await check(store)).faults == ()
    any_store.execute(damage)
    assert any(said in fault for fault in (await check(store)).faults)


@pytest.mark.parametrize("table", ["ledger", "ledger_entries"])
@pytest.mark.parametrize("words", ["DELETE FROM {}", "UPDATE {} SET org_id = 'x'"])
async def test_nobody_changes_what_was_posted(store, put_in, table, words):
    await put_in(5 * USD)
    words = (words.replace("org_id", "account") if table == "ledger_entries" else words).format(table)
    with pytest.raises(StoreError):
        await store.ask(lambda connection: connection.exec_driver_sql(words))
    assert (await credits_of(store, ORG)).left_pico_usd == 5 * USD
    assert (await check(store)).faults == ()


async def test_what_a_crash_left_is_paid_by_the_organisation_of_its_key(store, put_in, batch, any_store):
    await put_in(5 * USD)
    columns = "id, name, hash, hint, created_ms"
    any_store.execute(f"INSERT INTO api_keys ({columns}) VALUES ('key_1', '', 'h', '', 1)")
    any_store.execute(f"INSERT INTO api_keys ({columns}, org_id) VALUES ('key_2', '', 'i', '', 1, 'org_other')")
    any_store.execute("UPDATE organisations SET prepaid = true")
    batch.write([], [an_intent(1), an_intent(2, key_id="key_2"), an_intent(3, key_id="key_none")], [])
    for _ in range(2):
        recover(batch, NOW_MS)
    assert [record.prepaid_by for record in any_store.records()] == [ORG, "", ""]
    assert (await credits_of(store, ORG)).spent_pico_usd == an_intent(1).reserved_pico_usd
    assert (await check(store)).faults == ()

"""Budgets in the store, and what was spent of them: exact on both stores, in rollups and before them, across the edges of periods."""

import asyncio
import time

import msgspec
import pytest

from tests.fakes.stores import AnyStore
from trunkline.accounts.budgets import window
from trunkline.accounts.keys import ApiKey
from trunkline.accounts.types import Actor, Budget, KeyRules, Member
from trunkline.pricing.types import Cost
from trunkline.records.types import Attempt, Record
from trunkline.storage.api_keys import keep_key
from trunkline.storage.audit import AuditQuery, acts
from trunkline.storage.budgets import (
    BudgetQuery,
    change_budget,
    create_budget,
    end_budget,
    find_budgets,
    get_budget,
    standings,
)
from trunkline.storage.people import invite_member
from trunkline.storage.queries import Store
from trunkline.storage.terms_sync import SpendingReader, TermsFeed

MASTER = Actor("master", "master", "master key", "admin")
DAY_MS = 86_400_000
NOW_MS = time.time() * 1000
TODAY_MS = NOW_MS - NOW_MS % DAY_MS
BUDGET = Budget("bud_1", "org_default", "key", "key_1", "day", 1_000, 1)


def key(id_: str, **more: str) -> ApiKey:
    return ApiKey(id_, id_, f"hash of {id_}", "abcd", 1, **more)


def record(id_: str, key_id: str, cost: int, received_ms: float, took_ms: float = 10.0) -> Record:
    attempt = Attempt("first", "acme/m:first", "m", received_ms, received_ms + took_ms, cost=Cost((), cost))
    return Record(
        id_,
        received_ms,
        received_ms + took_ms,
        "ok",
        200,
        "openai.chat",
        "acme/m",
        offer="acme/m:first",
        provider="first",
        key_id=key_id,
        cost_pico_usd=cost,
        attempts=(attempt,),
    )


def spent(store: AnyStore, budget: Budget, at_ms: float = NOW_MS) -> tuple[int, set[str]]:
    reader = SpendingReader(store.url)
    try:
        total, ids = reader.of_budget(budget, at_ms, NOW_MS)
        return total, set(ids)
    finally:
        reader.close()


def write(store: AnyStore, *records: Record, fold: bool) -> None:
    batch = store.batch()
    batch.write(records, [], [])
    if fold:
        while not batch.fold(NOW_MS):
            pass
    batch.close()


def keep_keys(store: AnyStore, *keys: ApiKey) -> None:
    async def keep() -> None:
        async with await Store.open(store.url) as opened:
            for one in keys:
                await keep_key(opened, one, MASTER)

    asyncio.run(keep())


@pytest.mark.parametrize("fold", [False, True], ids=["before", "in rollups"])
def test_a_request_counts_in_the_period_in_which_it_was_received(any_store, fold) -> None:
    keep_keys(any_store, key("key_1"), key("key_2"))
    write(
        any_store,
        record("r1", "key_1", 1, TODAY_MS + 1),
        record("r2", "key_1", 20, TODAY_MS - 5, took_ms=60_000),
        record("r3", "key_1", 300, TODAY_MS - 3 * 3_600_000),
        record("r4", "key_2", 4_000, TODAY_MS + 1),
        fold=fold,
    )
    assert spent(any_store, BUDGET)[0] == 1
    assert spent(any_store, BUDGET, TODAY_MS - 1)[0] == 320
    assert spent(any_store, msgspec.structs.replace(BUDGET, period="total"))[0] == 321


def test_what_is_folded_and_what_is_not_add_up(any_store) -> None:
    keep_keys(any_store, key("key_1"))
    write(any_store, record("r1", "key_1", 1, NOW_MS - 5), fold=True)
    write(any_store, record("r2", "key_1", 2, NOW_MS - 4), fold=False)
    assert spent(any_store, msgspec.structs.replace(BUDGET, period="total")) == (3, {"r1", "r2"})


def test_a_rotated_key_goes_on_with_the_budget_of_the_first(any_store) -> None:
    keep_keys(any_store, key("key_1"), key("key_9", rotated_from="key_1"))
    write(any_store, record("r1", "key_1", 1, NOW_MS - 5), record("r2", "key_9", 2, NOW_MS - 4), fold=False)
    assert spent(any_store, msgspec.structs.replace(BUDGET, period="total"))[0] == 3


async def test_scopes_cover_what_they_say(any_store) -> None:
    async with await Store.open(any_store.url) as store:
        await invite_member(store, Member("mem", "org_default", "alice@example.com", "Alice", "member", 1), MASTER)
        await keep_key(store, key("key_1", project_id="prj", member_id="mem"), MASTER)
        await keep_key(store, key("key_2", member_id="mem"), MASTER)
        await keep_key(store, key("key_3", org_id="org_2"), MASTER)
        made = [
            Budget(f"bud_{scope}", "org_default", scope, id_, "total", 10_000, 1)
            for scope, id_ in (("key", "key_2"), ("project", "prj"), ("member", "mem"), ("organisation", "org_default"))
        ]
        records = [record(f"r{at}", f"key_{at}", 10**at, NOW_MS - 9) for at in (1, 2, 3)]
        write(any_store, *records, fold=True)
        found = await standings(store, made, NOW_MS)
    assert [one.spent_pico_usd for one in found] == [100, 10, 110, 110]


async def test_a_budget_is_made_once_changed_ended_and_written_down(any_store) -> None:
    async with await Store.open(any_store.url) as store:
        assert await create_budget(store, BUDGET, MASTER) == BUDGET
        again = msgspec.structs.replace(BUDGET, limit_pico_usd=5)
        assert await create_budget(store, again, MASTER) == BUDGET
        changed = await change_budget(store, "bud_1", MASTER, 7, limit_pico_usd=2**53 + 1, alerts=(50,))
        assert changed == msgspec.structs.replace(BUDGET, limit_pico_usd=2**53 + 1, alerts=(50,))
        assert await find_budgets(store, BudgetQuery(scope="key", scope_id="key_1")) == [changed]
        ended = await end_budget(store, "bud_1", MASTER, 9)
        assert await change_budget(store, "bud_1", MASTER, 10, limit_pico_usd=1) == ended
        assert await find_budgets(store, BudgetQuery()) == []
        assert await find_budgets(store, BudgetQuery(ended=True)) == [ended]
        assert await get_budget(store, "none") is None
        done = [one.action for one in await acts(store, AuditQuery(target="bud_1"))]
    assert done == ["budget.end", "budget.change", "budget.create"]


async def test_gateways_follow_keys_budgets_and_credits(any_store) -> None:
    feed = TermsFeed(any_store.url)
    try:
        first = feed.poll()
        assert first is not None
        assert feed.poll() is None
        async with await Store.open(any_store.url) as store:
            await keep_key(store, msgspec.structs.replace(key("key_1"), rules=KeyRules(concurrency=2)), MASTER)
            await create_budget(store, BUDGET, MASTER)
        any_store.execute("UPDATE organisations SET prepaid = true")
        found = feed.poll()
        assert found is not None
        assert [one.rules.concurrency for one in found.keys] == [2]
        assert found.budgets == (BUDGET,)
        assert found.prepaid == {"org_default": 0}
    finally:
        feed.close()


def test_periods_are_those_of_the_calendar() -> None:
    at = 1_709_251_199_999  # 2024-02-29 23:59:59.999 UTC, a Thursday
    assert window("day", at) == window("day", at - DAY_MS + 1)
    assert (window("day", at).end_ms, window("day", at + 1).start_ms) == (at + 1, at + 1)
    assert window("month", at).start_ms == 1_706_745_600_000
    assert window("month", at).end_ms == at + 1
    assert window("week", at).start_ms == 1_708_905_600_000
    assert window("week", 0).start_ms == -3 * DAY_MS
    assert (window("total", at).start_ms, window("total", at).end_ms) == (0, None)

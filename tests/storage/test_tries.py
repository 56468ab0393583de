"""Tries that are counted by all who share a store, on both kinds of stores."""

import asyncio

from trunkline.storage.queries import Store
from trunkline.storage.tries import Most, give_back_try, spent_try, take_try

ADDRESS, ACCOUNT = Most("address", 3, 60_000), Most("account", 5, 900_000)


async def test_no_more_are_let_through_at_once_than_one_after_the_other(any_store):
    async with await Store.open(any_store.url) as one, await Store.open(any_store.url) as other:
        told = []
        for start in range(1_000, 1_012, 4):
            # As many as two consoles compare at once.
            asked = [take_try((one, other)[at % 2], (ADDRESS, ACCOUNT), at) for at in range(start, start + 4)]
            told += await asyncio.gather(*asked)
        assert [told.count(None), told.count(ADDRESS)] == [3, 9]
        assert await spent_try(other, (ACCOUNT,), 2_000) is None
        assert await spent_try(other, (ACCOUNT, ADDRESS), 2_000) == ADDRESS


async def test_after_their_time_they_are_forgotten(any_store):
    async with await Store.open(any_store.url) as store:
        for at_ms in (0, 10_000, 20_000):
            assert await take_try(store, (ADDRESS,), at_ms) is None
        assert await take_try(store, (ADDRESS,), 59_999) == ADDRESS
        assert await take_try(store, (ADDRESS,), 60_000) is None
        assert await take_try(store, (ADDRESS,), 60_001) == ADDRESS
        assert await take_try(store, (ACCOUNT,), 10_000_000) is None
        assert any_store.rows("SELECT name FROM tries") == [("account",)]


async def test_what_was_right_is_given_back_and_the_account_begins_anew(any_store):
    async with await Store.open(any_store.url) as store:
        for at_ms in (1, 2, 3):
            assert await take_try(store, (ADDRESS, ACCOUNT), at_ms) is None
        await give_back_try(store, ADDRESS, (ACCOUNT,), 3)
        for at_ms in range(4, 9):
            assert await take_try(store, (ACCOUNT,), at_ms) is None
        assert await take_try(store, (ADDRESS,), 9) is None
        assert await take_try(store, (ADDRESS,), 10) == ADDRESS

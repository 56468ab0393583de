import asyncio
import sqlite3
import time

import pytest

from tests.fakes.records import START_MS, a_record, until
from trunkline.accounts.keys import ApiKey
from trunkline.errors import StoreError
from trunkline.storage.keys_sync import KeyFeed
from trunkline.storage.queries import Store

KEY = ApiKey("key_1", "alice", "a" * 64, "wxyz", 1_000, expires_ms=9_000)
LATER = ApiKey("key_2", "bob", "b" * 64, "abcd", 2_000)


@pytest.fixture
async def store(store_url):
    async with await Store.open(store_url) as store:
        yield store


async def anew(poll):
    """What a poll tells, once it tells something: PostgreSQL's changes come a moment later."""
    found = []
    await until(lambda: bool(found.append(poll()) or found[-1] is not None))
    return found[-1]


@pytest.fixture
def write(any_store):
    batch = any_store.batch()
    yield lambda *records: batch.write(records, [], [])
    batch.close()


async def test_a_generation_is_found_by_our_id(store, write):
    write(a_record(1), a_record(2))
    assert await store.generation("req_000002") == a_record(2)


async def test_a_generation_is_found_by_the_id_of_its_answer_and_the_newest_wins(store, write):
    records = [a_record(number, answer_id="chatcmpl-x") for number in (1, 3, 2)]
    write(*records)
    assert await store.generation("chatcmpl-x") == a_record(3, answer_id="chatcmpl-x")


@pytest.mark.parametrize("id_", ["req_nope", "", "%", "'"])
async def test_other_ids_find_nothing_though_many_records_have_no_answer(store, write, id_):
    write(a_record(1, answer_id=""))
    assert await store.generation(id_) is None


async def test_recent_records_come_newest_first_page_by_page(store, write):
    write(*[a_record(number) for number in (3, 1, 5, 2, 4)])
    first = await store.recent(2)
    second = await store.recent(2, before=first[-1].id)
    third = await store.recent(2, before=second[-1].id)
    assert [record.id[-1] for record in (*first, *second, *third)] == list("54321")


async def test_pages_neither_skip_nor_repeat_records_of_the_same_moment(store, write):
    write(*[a_record(number, received_ms=START_MS) for number in range(5)])
    seen: list[str] = []
    while page := await store.recent(2, before=seen[-1] if seen else None):
        seen += [record.id for record in page]
    assert sorted(seen) == [f"req_{number:06}" for number in range(5)]


async def test_a_page_before_an_unknown_record_is_empty(store, write):
    write(a_record(1))
    assert await store.recent(2, before="req_nope") == []


async def test_keys_are_kept_and_listed_newest_first(store):
    await store.create_key(KEY)
    await store.create_key(LATER)
    assert await store.list_keys() == [LATER, KEY]
    assert await store.get_key("key_1") == KEY
    assert await store.get_key_by_hash("b" * 64) == LATER
    assert await store.get_key("key_3") is None


async def test_a_key_that_wants_nothing_kept_is_told_apart_everywhere(store, store_url):
    key = ApiKey("key_3", "alice", "c" * 64, "wxyz", 3_000, zero_retention=True)
    await store.create_key(key)
    await store.create_key(KEY)
    feed = KeyFeed(store_url)
    polled = {known.id: known for known in feed.poll()}
    feed.close()
    assert polled == {"key_1": KEY, "key_3": key}
    assert polled["key_3"].zero_retention is True
    assert await store.get_key("key_3") == key


async def test_a_key_that_is_there_already_is_refused_and_its_hash_not_shown(store):
    await store.create_key(KEY)
    with pytest.raises(StoreError, match="already") as caught:
        await store.create_key(KEY)
    assert KEY.hash not in str(caught.value)


async def test_revoking_sets_the_time_once(store):
    await store.create_key(KEY)
    first = await store.revoke_key("key_1", now_ms=5_000)
    second = await store.revoke_key("key_1", now_ms=6_000)
    assert first == second
    assert first.revoked_ms == 5_000
    assert await store.revoke_key("key_3", now_ms=1) is None


async def test_the_feed_tells_each_change_once(store, store_url):
    feed = KeyFeed(store_url)
    assert feed.poll() == []
    assert feed.poll() is None
    await store.create_key(KEY)
    assert await anew(feed.poll) == [KEY]
    assert feed.poll_now() is None
    await store.revoke_key("key_1", now_ms=5_000)
    assert await anew(feed.poll) == [], "what was revoked is of no use to a gateway"
    feed.close()


async def test_a_change_that_failed_is_not_told(store, store_url):
    await store.create_key(KEY)
    feed = KeyFeed(store_url)
    feed.poll()
    with pytest.raises(StoreError):
        await store.create_key(KEY)
    assert feed.poll_now() is None
    feed.close()


async def test_the_feed_reads_while_another_process_writes(url, path):
    async with await Store.open(url) as store:
        await store.create_key(KEY)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    feed = KeyFeed(url)
    assert feed.poll() == [KEY]
    feed.close()
    writer.close()


async def test_what_was_changed_a_moment_ago_can_be_asked_for(store, store_url):
    feed = KeyFeed(store_url)
    feed.poll()
    await store.create_key(KEY)
    assert feed.poll_now() == [KEY]
    feed.close()


async def test_keys_that_nobody_has_are_waited_for_seldom(postgres_store):
    feed = KeyFeed(postgres_store.url)
    feed.poll()
    began_s = time.monotonic()
    for _ in range(200):
        assert feed.poll_now() is None
    waits = feed._source._asked
    feed.close()
    assert waits <= 1 + (time.monotonic() - began_s)


async def test_a_feed_tells_that_the_server_is_away_and_goes_on_once_it_is_back(postgres_store, postgres):
    feed = KeyFeed(postgres_store.url)
    feed.poll()
    postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'trunkline'")
    async with await Store.open(postgres_store.url) as store:
        await store.create_key(KEY)
    told = []

    def news():
        try:
            return feed.poll()
        except StoreError as error:
            told.append(str(error))
            return None

    assert await anew(news) == [KEY]
    feed.close()
    assert all("postgresql://" in one for one in told)


async def test_changes_made_at_once_all_arrive(store):
    keys = [ApiKey(f"key_{number}", "x", str(number), "h", number) for number in range(20)]
    await asyncio.gather(*(store.create_key(key) for key in keys))
    assert len(await store.list_keys()) == 20


async def test_opening_a_store_that_is_not_there_says_what_makes_it(tmp_path):
    with pytest.raises(StoreError, match="trunkline migrate"):
        await Store.open(f"sqlite:///{tmp_path}/none.db")


async def test_a_store_without_the_tables_is_a_store_error(tmp_path):
    (tmp_path / "empty.db").touch()
    async with await Store.open(f"sqlite:///{tmp_path}/empty.db") as store:
        with pytest.raises(StoreError, match="no such table"):
            await store.list_keys()

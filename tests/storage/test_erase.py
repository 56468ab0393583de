"""What tells who somebody was is taken out, on both stores; what their requests cost stays."""

import msgspec
import pytest

from tests.fakes.kept import a_kept
from tests.fakes.records import START_MS, a_record
from trunkline.accounts.types import Actor, Member
from trunkline.errors import Conflict, NotFound
from trunkline.records.bodies import DAY_MS
from trunkline.storage.audit import AuditQuery, acts
from trunkline.storage.body_files import days_of
from trunkline.storage.erase import PIECE, erase_end_user, erase_member
from trunkline.storage.people import change_member, invite_member, member
from trunkline.storage.queries import Store

ADMIN = Actor("master", "master", "master key", "admin")
NOW_MS = int(START_MS) + 1_000_000
SECRET = "alice-4711"


@pytest.fixture
async def store(any_store):
    async with await Store.open(any_store.url) as store:
        yield store


@pytest.fixture
def keep(any_store):
    def keep(*records, changes=()):
        batch = any_store.batch()
        batch.write(records, [], [], changes)
        batch.close()
        days = days_of(any_store.url)
        by_day = {}
        for record in records:
            by_day.setdefault(int(record.received_ms // DAY_MS), []).append((record.id, record.key_id, SECRET.encode()))
        days.write(by_day)
        days.close()

    return keep


def told(number, **changes):
    """A record with everything that a caller may say of itself."""
    record = a_record(
        number, session_id=SECRET, user_agent=SECRET, app_title=SECRET, app_url=SECRET, error_message=SECRET
    )
    attempts = tuple(msgspec.structs.replace(one, message=SECRET) for one in record.attempts)
    return msgspec.structs.replace(record, attempts=attempts, **changes)


def blank(record):
    attempts = tuple(msgspec.structs.replace(one, message="") for one in record.attempts)
    nothing = dict.fromkeys(("session_id", "user_agent", "app_title", "app_url", "error_message"), "")
    return msgspec.structs.replace(record, attempts=attempts, **nothing)


async def test_of_an_end_user_only_what_was_used_stays(store, keep, any_store):
    mine = told(1, answer_id="resp_1")
    others = told(2, session_id="bob"), a_record(3)
    keep(mine, *others, changes=[a_kept("key_1/resp_1"), a_kept("key_1/resp_2")])
    erased = await erase_end_user(store, any_store.url, SECRET, ADMIN, NOW_MS)
    assert (erased.records, erased.bodies, erased.kept) == (1, 1, 1)
    assert any_store.records() == [blank(mine), *others]
    assert any_store.rows("SELECT key FROM kept") == [("key_1/resp_2",)]
    (act,) = await acts(store, AuditQuery())
    assert (act.action, act.detail["records"]) == ("end_user.erase", 1)
    assert SECRET not in act.target


async def test_nothing_is_left_in_any_file(store, keep, any_store, tmp_path):
    if any_store.is_postgres:
        assert (await erase_end_user(store, any_store.url, SECRET, ADMIN, NOW_MS)).records == 0
        return
    keep(told(1))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(SECRET.encode() in path.read_bytes() for path in files)
    await erase_end_user(store, any_store.url, SECRET, ADMIN, NOW_MS)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()] == []


async def test_many_are_taken_out_in_pieces(store, keep, any_store):
    keep(*(told(number, received_ms=START_MS + number // 7 * DAY_MS / 50) for number in range(PIECE + 3)))
    erased = await erase_end_user(store, any_store.url, SECRET, ADMIN, NOW_MS)
    assert (erased.records, erased.bodies) == (PIECE + 3, PIECE + 3)
    assert (await erase_end_user(store, any_store.url, SECRET, ADMIN, NOW_MS)).records == 0


@pytest.fixture
async def alice(store, any_store):
    made = Member("mem_1", "org_default", "alice@example.com", "Alice", "member", NOW_MS)
    await invite_member(store, made, ADMIN)
    columns = "id, name, hash, hint, created_ms, member_id"
    any_store.execute(f"INSERT INTO api_keys ({columns}) VALUES ('key_a', 'laptop of Alice', 'a', '', 1, 'mem_1')")
    any_store.execute(f"INSERT INTO api_keys ({columns}) VALUES ('key_b', 'of Bob', 'b', '', 1, 'mem_2')")
    any_store.execute(
        "INSERT INTO provider_credentials (id, org_id, member_id, provider, name, hint, sealed, created_ms, created_by) "
        "VALUES ('c', 'org_default', 'mem_1', 'acme', 'mine', '', '', 1, 'mem_1')"
    )
    return made


async def test_of_a_member_nothing_tells_who_it_was(store, keep, any_store, alice):
    mine, of_bob = told(1, key_id="key_a"), told(2, key_id="key_b")
    keep(mine, of_bob, changes=[a_kept("key_a/resp", key_id="key_a"), a_kept("key_b/resp", key_id="key_b")])
    erased = await erase_member(store, any_store.url, "mem_1", ADMIN, NOW_MS)
    assert (erased.records, erased.bodies, erased.kept) == (1, 1, 1)
    assert any_store.records() == [blank(mine), of_bob]
    left = await member(store, "mem_1")
    assert (left.email, left.name, left.disabled_ms) == ("mem_1@erased.invalid", "", NOW_MS)
    keys = any_store.rows("SELECT id, name, revoked_ms FROM api_keys ORDER BY id")
    assert keys == [("key_a", "erased", NOW_MS), ("key_b", "of Bob", None)]
    assert any_store.count("provider_credentials") == 0
    assert any_store.rows("SELECT id FROM members WHERE email LIKE 'alice%'") == []
    assert "member.erase" in [act.action for act in await acts(store, AuditQuery(target="mem_1"))]


async def test_a_member_may_be_erased_again_and_one_that_is_not_there_is_said(store, any_store, alice):
    for _ in range(2):
        await erase_member(store, any_store.url, "mem_1", ADMIN, NOW_MS)
    with pytest.raises(NotFound, match="no member mem_9"):
        await erase_member(store, any_store.url, "mem_9", ADMIN, NOW_MS)


async def test_the_last_administrator_stays(store, any_store, alice):
    await change_member(store, "mem_1", {"role": "admin"}, ADMIN, NOW_MS)
    any_store.execute("UPDATE members SET password = 'x'")
    with pytest.raises(Conflict):
        await erase_member(store, any_store.url, "mem_1", ADMIN, NOW_MS)
    assert (await member(store, "mem_1")).email == "alice@example.com"

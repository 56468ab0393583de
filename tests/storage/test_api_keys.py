"""API keys and kept keys of providers in the store, on both stores: changed with their entry in the audit log, followed by gateways."""

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from trunkline.accounts.keys import ApiKey
from trunkline.accounts.types import Actor, KeyRules, Member, StoredCredential
from trunkline.errors import InvalidParams
from trunkline.storage.api_keys import KeyQuery, change_key, end_key, find_keys, keep_key, rotate_key
from trunkline.storage.audit import AuditQuery, acts
from trunkline.storage.columns import CREDENTIAL_COLUMNS
from trunkline.storage.credential_cipher import CredentialCipher
from trunkline.storage.credentials import (
    credentials_in_force,
    keep_credential,
    list_credentials,
    replace_secret,
    revoke_credential,
)
from trunkline.storage.credentials_sync import CredentialFeed
from trunkline.storage.followed import keys_revision
from trunkline.storage.people import disable_member, invite_member
from trunkline.storage.queries import Store

ROOT = Actor("master", "master", "master key", "admin")
MEMBER = Member("mem_1", "org_default", "alice@example.com", "Alice", "member", 1)
CIPHER = CredentialCipher(b"p" * 32)


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    async with await Store.open(store_url) as opened:
        yield opened


def key(number: int, **fields) -> ApiKey:
    made = ApiKey(f"key_{number}", f"name {number}", f"hash {number}", f"h{number:03}", created_ms=1000 + number // 2)
    return msgspec.structs.replace(made, **fields)


def credential(number: int, **fields) -> StoredCredential:
    made = StoredCredential(f"cred_{number}", "org_default", "", "openai", "", "0123", number, "master")
    return msgspec.structs.replace(made, **fields)


async def names(store: Store, **query) -> list[str]:
    return [one.id for one in await find_keys(store, KeyQuery(**query), 5000)]


async def test_pages_by_time_and_id_hold_every_key_once(store: Store) -> None:
    for number in range(7):
        await keep_key(store, key(number), ROOT)
    found: list[str] = []
    while True:
        page = await names(store, limit=3, after=found[-1] if found else "")
        found += page
        if len(page) < 3:
            break
    assert found == ["key_6", "key_5", "key_4", "key_3", "key_2", "key_1", "key_0"]


async def test_each_filter_leaves_what_fits(store: Store) -> None:
    kept = [
        key(1, member_id="mem_1", expires_ms=4000),
        key(2, org_id="org_2", kind="management"),
        key(3, project_id="prj_1", revoked_ms=4000, name="100% Ünique_"),
        key(4, expires_ms=6000),
    ]
    await invite_member(store, MEMBER, ROOT)
    for one in kept:
        await keep_key(store, one, ROOT)
    assert await names(store, state="expired") == ["key_1"]
    assert await names(store, state="revoked") == ["key_3"]
    assert await names(store, state="valid") == ["key_4", "key_2"]
    assert await names(store, org_id="org_2") == ["key_2"]
    assert await names(store, kind="management") == ["key_2"]
    assert await names(store, member_id="mem_1") == ["key_1"]
    assert await names(store, member_id="", org_id="org_default") == ["key_4", "key_3"]
    assert await names(store, project_id="prj_1") == ["key_3"]
    assert await names(store, text="100% ü") == ["key_3"] or await names(store, text="100% Ü") == ["key_3"]
    assert await names(store, text="%") == ["key_3"]
    assert await names(store, text="UE_") == ["key_3"]
    assert await names(store, text="h004") == ["key_4"]


async def test_a_change_is_kept_told_and_followed(store: Store) -> None:
    before = await keys_revision(store)
    await keep_key(store, key(1), ROOT)
    rules = KeyRules(models=("acme/alpha",), requests_per_minute=5)
    changed = await change_key(store, "key_1", {"rules": rules, "name": "other"}, ROOT, 2000)
    assert changed == await store.get_key("key_1")
    assert changed is not None
    assert (changed.rules, changed.name) == (rules, "other")
    await end_key(store, "key_1", ROOT, 3000)
    assert await end_key(store, "key_1", ROOT, 4000) == await store.get_key("key_1")
    assert await change_key(store, "key_1", {"name": "late"}, ROOT, 5000) == await store.get_key("key_1")
    assert await change_key(store, "key_none", {"name": "x"}, ROOT, 5000) is None
    assert [act.action for act in await acts(store, AuditQuery(target="key_1"))] == [
        "key.revoke",
        "key.change",
        "key.create",
    ]
    assert await keys_revision(store) > before
    with pytest.raises(ValueError, match="no hash can be changed"):
        await change_key(store, "key_1", {"hash": "x"}, ROOT, 1)


async def test_a_rotation_that_is_repeated_changes_nothing_more(store: Store) -> None:
    await keep_key(store, key(1, expires_ms=9000), ROOT)
    new = key(2, rotated_from="key_1")
    first = await rotate_key(store, new, ROOT, old_id="key_1", old_ends_ms=5000)
    again = await rotate_key(store, new, ROOT, old_id="key_1", old_ends_ms=8000)
    assert first == again
    assert first[1].expires_ms == 5000
    third = key(3, rotated_from="key_1")
    _, ended = await rotate_key(store, third, ROOT, old_id="key_1", old_ends_ms=99_000)
    assert ended.expires_ms == 5000, "an overlap makes no key last longer"


async def test_a_key_that_has_ended_is_not_rotated(store: Store) -> None:
    await keep_key(store, key(1), ROOT)
    await end_key(store, "key_1", ROOT, 1000)
    with pytest.raises(InvalidParams, match="was revoked"):
        await rotate_key(store, key(2, rotated_from="key_1"), ROOT, old_id="key_1", old_ends_ms=5000)
    assert await names(store) == ["key_1"]


async def test_nobody_who_is_disabled_gets_a_key(store: Store) -> None:
    await invite_member(store, MEMBER, ROOT)
    await disable_member(store, MEMBER.id, ROOT, 1)
    for member_id in (MEMBER.id, "mem_none"):
        with pytest.raises(InvalidParams, match="member_id"):
            await keep_key(store, key(1, member_id=member_id), ROOT)
    assert await names(store) == []


async def test_of_two_changes_of_rules_at_once_none_is_lost(store: Store) -> None:
    await keep_key(store, key(1), ROOT)
    changes: list[dict[str, int]] = [{"concurrency": 2}, {"requests_per_minute": 3}]

    def put(change: dict[str, int]) -> Callable[[KeyRules], KeyRules]:
        return lambda before: msgspec.structs.replace(before, **change)

    await asyncio.gather(*(change_key(store, "key_1", {}, ROOT, 2000, new_rules=put(one)) for one in changes))
    kept = await store.get_key("key_1")
    assert kept is not None
    assert (kept.rules.concurrency, kept.rules.requests_per_minute) == (2, 3)


async def test_the_same_making_twice_at_once_makes_one(store: Store) -> None:
    kept = await asyncio.gather(*(keep_key(store, key(1), ROOT) for _ in range(4)))
    assert kept == [key(1)] * 4
    assert len(await acts(store, AuditQuery(target="key_1"))) == 1


async def test_kept_keys_of_providers_are_followed_opened(store: Store, store_url: str) -> None:
    told: list[str] = []
    feed = CredentialFeed(store_url, CIPHER, told.append)
    assert feed.poll() == []
    for number, secret in ((1, "sk-one"), (2, "sk-two")):
        one = credential(number)
        await keep_credential(store, one, CIPHER.seal(one, secret), ROOT)
    other = credential(3)
    await keep_credential(store, other, CredentialCipher(b"q" * 32).seal(other, "sk-lost"), ROOT)

    async def news() -> list[str]:
        async with asyncio.timeout(20):
            while True:
                found = feed.poll()
                if found is not None and len(found) < 3 and told:
                    return [one.secret for one in found]
                await asyncio.sleep(0.02)

    assert await news() == ["sk-one", "sk-two"]
    assert "cred_3" in told[0]
    assert "sk-lost" not in told[0]
    await replace_secret(store, credential(1, hint="9999"), CIPHER.seal(credential(1), "sk-new"), ROOT, 5000)
    await revoke_credential(store, "cred_2", ROOT, 6000)
    assert await news() == ["sk-new"]
    feed.close()
    kept = {one.id: one for one in await list_credentials(store, "org_default")}
    assert (kept["cred_1"].hint, kept["cred_2"].revoked_ms) == ("9999", 6000)
    assert [one.credential.id for one in await credentials_in_force(store)] == ["cred_1", "cred_3"]
    assert await replace_secret(store, credential(2), b"", ROOT, 7000) is None


def test_the_columns_are_those_of_the_struct() -> None:
    assert StoredCredential.__struct_fields__ == CREDENTIAL_COLUMNS

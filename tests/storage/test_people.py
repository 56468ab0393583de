"""Members, organisations, projects, links, sessions and the audit log, on both stores: each change with its entry, or neither."""

import asyncio

import msgspec
import pytest
from sqlalchemy import delete, select, update

from trunkline.accounts.keys import SESSION_KEY_NAME, ApiKey
from trunkline.accounts.links import Link
from trunkline.accounts.types import DEFAULT_ORGANISATION, Actor, Member, Organisation, Project
from trunkline.errors import Conflict, NotFound, StoreError
from trunkline.storage import people, projects, sign_in
from trunkline.storage.audit import AuditQuery, acts, kinds_of_acts, record_act
from trunkline.storage.people import MemberQuery
from trunkline.storage.projects import ProjectQuery
from trunkline.storage.queries import Store
from trunkline.storage.schema import audit, members
from trunkline.storage.sign_in import Session

ROOT = Actor("master", "master", "master key", "admin", address="192.0.2.1")
NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000


@pytest.fixture
async def store(store_url):
    async with await Store.open(store_url) as store:
        yield store


def a_member(number: int, role="member", org_id=DEFAULT_ORGANISATION, **changes) -> Member:
    return Member(
        f"mem_{number}", org_id, f"user{number}@example.com", f"User {number}", role, NOW_MS + number, **changes
    )


async def keep(store, one: Member, password: str = "") -> Member:
    """As if they had joined, where a hash of a password is given."""
    await people.invite_member(store, one, ROOT)
    if password:
        await store.ask(
            lambda connection: connection.execute(
                update(members).where(members.c.id == one.id).values(password=password)
            )
        )
    return msgspec.structs.replace(one, has_password=bool(password))


async def actions(store) -> list[str]:
    return [act.action for act in await acts(store, AuditQuery())]


def a_key(id_: str, member_id: str, name: str = "own") -> ApiKey:
    return ApiKey(id_, name, id_ * 9, "wxyz", NOW_MS, member_id=member_id)


async def test_an_invited_member_is_there_and_so_is_the_act(store):
    one = await keep(store, a_member(1))
    assert await people.member(store, "mem_1") == one
    assert people.state_of(one) == "invited"
    (act,) = await acts(store, AuditQuery())
    assert (act.action, act.target, act.actor_id, act.actor_kind) == ("member.invite", "mem_1", "master", "master")
    assert (act.address, act.org_id, act.detail) == ("192.0.2.1", DEFAULT_ORGANISATION, {"role": "member"})


async def test_the_log_holds_no_address_and_no_name(store):
    await keep(store, a_member(1))
    await people.change_member(store, "mem_1", {"name": "Alice"}, ROOT, NOW_MS)
    told = msgspec.json.encode(await acts(store, AuditQuery())).decode()
    assert "@" not in told
    assert "Alice" not in told


@pytest.mark.parametrize("change", [lambda: update(audit).values(actor_id="x"), lambda: delete(audit)])
async def test_what_is_in_the_log_stays(store, change):
    await keep(store, a_member(1))
    with pytest.raises(StoreError):
        await store.ask(lambda connection: connection.execute(change()))
    assert await actions(store) == ["member.invite"]


async def test_an_act_that_fails_is_not_in_the_log(store):
    def act(connection):
        record_act(connection, ROOT, NOW_MS, "member.invite", "mem_1")
        raise NotFound("no")

    with pytest.raises(NotFound):
        await store.ask(act)
    assert await actions(store) == []


async def test_an_address_is_of_one_member(store):
    one = await keep(store, a_member(1), "hash")
    with pytest.raises(Conflict):
        await people.invite_member(store, msgspec.structs.replace(one, id="mem_2"), ROOT)


async def test_inviting_again_whoever_has_not_joined_gives_that_member(store):
    one = await keep(store, a_member(1))
    assert await people.invite_member(store, msgspec.structs.replace(one, id="mem_2"), ROOT) == one
    assert await actions(store) == ["member.invite"]


async def test_inviting_again_with_another_role_changes_it(store):
    one = await keep(store, a_member(1, "admin"))
    await store.create_key(msgspec.structs.replace(a_key("key_1", one.id), kind="management"))
    asked = msgspec.structs.replace(one, id="mem_2", role="member")
    assert (await people.invite_member(store, asked, ROOT)).id == one.id
    assert (await people.member(store, one.id)).role == "member"
    (act,) = await acts(store, AuditQuery(action="member.change"))
    assert act.detail == {"changed": "role", "role": "member", "keys_revoked": 1}


async def test_an_administrator_no_more_has_no_management_keys(store):
    await keep(store, a_member(1, "admin"), "hash")
    await keep(store, a_member(2, "admin"), "hash")
    await store.create_key(msgspec.structs.replace(a_key("key_all", "mem_1"), kind="management"))
    await store.create_key(a_key("key_own", "mem_1"))
    await people.change_member(store, "mem_1", {"role": "member"}, ROOT, NOW_MS + 5)
    assert {key.id: key.revoked_ms for key in await store.list_keys()} == {"key_all": NOW_MS + 5, "key_own": None}


async def test_an_invitation_holds_no_more_for_whoever_joined_with_an_account(store):
    one = await keep(store, a_member(1))
    await sign_in.keep_link(store, Link("l1", "join", one.id, NOW_MS, NOW_MS + HOUR_MS), ROOT, one.org_id)
    assert await sign_in.find_link(store, "l1", NOW_MS) is not None
    await sign_in.bind_account(store, one.id, "https://login.example.com", "sub-1", "Alice", ROOT, NOW_MS)
    assert await sign_in.find_link(store, "l1", NOW_MS) is None
    assert await sign_in.join(store, "l1", "Mallory", "hash", ROOT, NOW_MS) is None
    assert await people.password_of(store, one.id) == ""


async def test_links_of_whoever_was_disabled_stay_dead(store):
    one = await keep(store, a_member(1), "hash")
    await sign_in.keep_link(store, Link("l1", "password", one.id, NOW_MS, NOW_MS + HOUR_MS), ROOT, one.org_id)
    await people.disable_member(store, one.id, ROOT, NOW_MS)
    await people.enable_member(store, one.id, ROOT, NOW_MS)
    assert await sign_in.find_link(store, "l1", NOW_MS) is None


async def test_a_password_that_was_changed_meanwhile_opens_no_session(store):
    one = await keep(store, a_member(1), "hash")
    session = Session("h1", NOW_MS, NOW_MS + HOUR_MS, one)
    await sign_in.change_password(store, one, "new", ROOT, NOW_MS, but="")
    assert not await sign_in.open_session(store, session, ROOT, "password", password="hash")
    assert await sign_in.find_session(store, ["h1"], NOW_MS) is None
    assert await sign_in.open_session(store, session, ROOT, "password", password="new")
    assert await sign_in.find_session(store, ["h1"], NOW_MS) is not None


async def test_a_session_that_has_ended_gets_no_key(store):
    one = await keep(store, a_member(1), "hash")
    await sign_in.open_session(store, Session("h1", NOW_MS, NOW_MS + HOUR_MS, one), ROOT, "password")
    await sign_in.end_session(store, "h1", ROOT, NOW_MS)
    assert await sign_in.keep_session_key(store, "h1", a_key("key_1", one.id)) is None
    await sign_in.open_session(store, Session("h2", NOW_MS, NOW_MS + HOUR_MS, one), ROOT, "password")
    kept = await sign_in.keep_session_key(store, "h2", a_key("key_1", one.id))
    assert kept == await sign_in.keep_session_key(store, "h2", a_key("key_1", one.id))
    assert [key.id for key in await store.list_keys()] == ["key_1"]


async def test_nobody_is_invited_to_an_organisation_that_is_not_there(store):
    with pytest.raises(NotFound):
        await people.invite_member(store, a_member(1, org_id="org_none"), ROOT)


async def test_the_last_administrator_can_be_neither_demoted_nor_disabled(store):
    await keep(store, a_member(1, "admin"), "hash")
    await keep(store, a_member(2, "admin"))
    with pytest.raises(Conflict, match="last administrator"):
        await people.change_member(store, "mem_1", {"role": "member"}, ROOT, NOW_MS)
    with pytest.raises(Conflict, match="last administrator"):
        await people.disable_member(store, "mem_1", ROOT, NOW_MS)
    await keep(store, a_member(3, "admin"), "hash")
    assert (await people.disable_member(store, "mem_1", ROOT, NOW_MS)).disabled_ms == NOW_MS


async def test_of_two_administrators_who_demote_each_other_at_once_one_stays(store):
    for number in (1, 2):
        await keep(store, a_member(number, "admin"), "hash")
    ends = await asyncio.gather(
        *(people.change_member(store, f"mem_{n}", {"role": "member"}, ROOT, NOW_MS) for n in (1, 2)),
        return_exceptions=True,
    )
    assert sorted(type(end).__name__ for end in ends) == ["Conflict", "Member"]


async def test_disabling_ends_keys_and_sessions_at_once(store):
    one = await keep(store, a_member(1), "hash")
    await store.create_key(a_key("key_own", "mem_1"))
    await store.create_key(a_key("key_other", "mem_2"))
    await sign_in.open_session(store, Session("h1", NOW_MS, NOW_MS + HOUR_MS, one), ROOT, "password")
    await people.disable_member(store, "mem_1", ROOT, NOW_MS + 5)
    assert {key.id: key.revoked_ms for key in await store.list_keys()} == {"key_own": NOW_MS + 5, "key_other": None}
    assert await sign_in.find_session(store, ["h1"], NOW_MS + 6) is None
    (act,) = await acts(store, AuditQuery(action="member.disable"))
    assert act.detail == {"keys_revoked": 1, "sessions_ended": 1}
    assert people.state_of(await people.enable_member(store, "mem_1", ROOT, NOW_MS + 7)) == "active"
    assert await sign_in.find_session(store, ["h1"], NOW_MS + 8) is None, "what has ended stays so"


async def test_gateways_are_told_when_keys_of_a_member_end(store):
    await keep(store, a_member(1), "hash")
    before = await revision(store)
    await people.disable_member(store, "mem_1", ROOT, NOW_MS)
    assert await revision(store) > before


async def revision(store) -> int:
    from trunkline.storage.columns import KEYS_REVISION
    from trunkline.storage.schema import meta

    query = select(meta.c.value).where(meta.c.key == KEYS_REVISION)
    return int(await store.ask(lambda connection: connection.execute(query).scalar_one()))


async def test_members_come_newest_first_page_by_page(store):
    for number in range(5):
        await keep(store, a_member(number), "hash" if number % 2 else "")
    first = await people.find_members(store, MemberQuery(limit=2))
    assert [one.id for one in first] == ["mem_4", "mem_3"]
    assert [one.id for one in await people.find_members(store, MemberQuery(after="mem_3"))] == [
        "mem_2",
        "mem_1",
        "mem_0",
    ]
    assert [one.id for one in await people.find_members(store, MemberQuery(state="active"))] == ["mem_3", "mem_1"]
    assert [one.id for one in await people.find_members(store, MemberQuery(text="USER3@"))] == ["mem_3"]
    assert await people.find_members(store, MemberQuery(org_id="org_none")) == []


async def test_an_organisation_is_made_once_and_changed(store):
    new = Organisation("org_1", "acme", NOW_MS)
    assert await people.make_organisation(store, new, ROOT) == new
    assert await people.make_organisation(store, msgspec.structs.replace(new, name="other"), ROOT) == new
    changed = await people.change_organisation(store, "org_1", {"prepaid": True}, ROOT, NOW_MS)
    assert await people.organisation(store, "org_1") == changed == msgspec.structs.replace(new, prepaid=True)
    first, second = await people.find_organisations(store)
    assert (first.id, second.id) == (DEFAULT_ORGANISATION, "org_1")
    assert await people.find_organisations(store, after=DEFAULT_ORGANISATION) == [second]
    assert await actions(store) == ["organisation.change", "organisation.create"]


async def test_projects_have_names_of_their_own_until_they_are_archived(store):
    one = await projects.make_project(store, Project("prj_1", DEFAULT_ORGANISATION, "search", NOW_MS), ROOT)
    twin = Project("prj_2", DEFAULT_ORGANISATION, "Search", NOW_MS + 1)
    with pytest.raises(Conflict):
        await projects.make_project(store, twin, ROOT)
    await projects.archive_project(store, one.id, ROOT, NOW_MS + 2)
    await projects.make_project(store, twin, ROOT)
    with pytest.raises(Conflict):
        await projects.archive_project(store, one.id, ROOT, NOW_MS + 3, archived=False)
    assert (await projects.rename_project(store, "prj_2", "find", ROOT, NOW_MS + 4)).name == "find"
    assert [p.id for p in await projects.find_projects(store, ProjectQuery(archived=False))] == ["prj_2"]
    assert [p.id for p in await projects.find_projects(store, ProjectQuery(after="prj_2"))] == ["prj_1"]


async def test_a_link_works_once_and_in_its_time(store):
    one = await keep(store, a_member(1))
    await sign_in.keep_link(store, Link("l1", "join", one.id, NOW_MS, NOW_MS + HOUR_MS), ROOT, one.org_id)
    assert await sign_in.find_link(store, "l1", NOW_MS + HOUR_MS) is None
    link, whose = await sign_in.find_link(store, "l1", NOW_MS)
    assert (link.kind, whose) == ("join", one)
    joined = await sign_in.join(store, "l1", "Alice", "hash", ROOT, NOW_MS)
    assert (joined.name, joined.has_password) == ("Alice", True)
    assert await sign_in.join(store, "l1", "Mallory", "other", ROOT, NOW_MS) is None
    assert await people.password_of(store, one.id) == "hash"


async def test_a_new_link_takes_the_place_of_the_old_one(store):
    one = await keep(store, a_member(1))
    for name in ("l1", "l2"):
        await sign_in.keep_link(store, Link(name, "join", one.id, NOW_MS, NOW_MS + HOUR_MS), ROOT, one.org_id)
    assert await sign_in.find_link(store, "l1", NOW_MS) is None
    assert await sign_in.find_link(store, "l2", NOW_MS) is not None


async def test_the_first_link_makes_one_administrator_however_many_use_it_at_once(store):
    await sign_in.keep_link(store, Link("l1", "first", "", NOW_MS, NOW_MS + HOUR_MS), ROOT, DEFAULT_ORGANISATION)
    made = await asyncio.gather(
        *(sign_in.make_first_admin(store, "l1", a_member(number, "admin"), "hash", ROOT) for number in range(4))
    )
    assert sum(one is not None for one in made) == 1
    assert len(await people.find_members(store, MemberQuery())) == 1


async def test_the_first_link_leads_nowhere_once_there_are_members(store):
    await sign_in.keep_link(store, Link("l1", "first", "", NOW_MS, NOW_MS + HOUR_MS), ROOT, DEFAULT_ORGANISATION)
    await keep(store, a_member(1))
    assert await sign_in.find_link(store, "l1", NOW_MS) is None
    with pytest.raises(Conflict):
        await sign_in.make_first_admin(store, "l1", a_member(2, "admin"), "hash", ROOT)


async def test_a_disabled_member_can_use_no_link(store):
    one = await keep(store, a_member(1), "hash")
    await sign_in.keep_link(store, Link("l1", "password", one.id, NOW_MS, NOW_MS + HOUR_MS), ROOT, one.org_id)
    await people.disable_member(store, one.id, ROOT, NOW_MS)
    assert await sign_in.find_link(store, "l1", NOW_MS) is None
    assert await sign_in.use_password_link(store, "l1", "new", ROOT, NOW_MS) is None


async def test_a_new_password_ends_every_other_session_and_its_key(store):
    one = await keep(store, a_member(1), "hash")
    for name in ("h1", "h2"):
        await sign_in.open_session(store, Session(name, NOW_MS, NOW_MS + HOUR_MS, one), ROOT, "password")
    await store.create_key(a_key("key_session", one.id, SESSION_KEY_NAME))
    await store.create_key(a_key("key_own", one.id))
    await sign_in.change_password(store, one, "new", ROOT, NOW_MS + 1, but="h1")
    assert [session.hash for session in await sign_in.open_sessions(store, one.id, NOW_MS + 2)] == ["h1"]
    assert [key.id for key in await store.list_keys() if key.revoked_ms is None] == ["key_own"]
    assert await people.password_of(store, one.id) == "new"


async def test_a_session_ends_by_itself(store):
    await sign_in.open_session(store, Session("h1", NOW_MS, NOW_MS + 10), ROOT, "master_key")
    assert await sign_in.find_session(store, ["h0", "h1"], NOW_MS + 9) == Session("h1", NOW_MS, NOW_MS + 10)
    assert await sign_in.find_session(store, ["h1"], NOW_MS + 10) is None


async def test_an_account_elsewhere_is_of_one_member(store):
    one = await keep(store, a_member(1))
    await sign_in.bind_account(store, one.id, "https://login.example.com", "sub-1", "Alice", ROOT, NOW_MS)
    found = await sign_in.member_of_account(store, "https://login.example.com", "sub-1")
    assert (found.id, found.name) == (one.id, one.name)
    with pytest.raises(Conflict):
        await sign_in.bind_account(store, one.id, "https://login.example.com", "sub-2", "Bob", ROOT, NOW_MS)
    assert await sign_in.member_of_account(store, "https://other.example.com", "sub-1") is None


async def test_acts_are_found_by_actor_kind_target_and_time(store):
    for number, action in enumerate(("key.create", "key.revoke", "keyring", "member.invite")):
        actor = msgspec.structs.replace(ROOT, id=f"actor{number}", org_id=f"org{number % 2}")
        await store.ask(
            lambda connection, actor=actor, number=number, action=action: record_act(
                connection, actor, NOW_MS + number, action, f"target{number}"
            )
        )

    async def found(**query):
        return [act.action for act in await acts(store, AuditQuery(**query))]

    assert await found(action="key") == ["key.revoke", "key.create"]
    assert await found(actor_id="actor3") == ["member.invite"]
    assert await found(target="target2") == ["keyring"]
    assert await found(org_id="org1") == ["member.invite", "key.revoke"]
    assert await found(since_ms=NOW_MS + 1, until_ms=NOW_MS + 3) == ["keyring", "key.revoke"]
    newest = await acts(store, AuditQuery(limit=2))
    assert [act.number for act in await acts(store, AuditQuery(before=newest[-1].number))] == [2, 1]
    assert await kinds_of_acts(store, "org1") == ["key.revoke", "member.invite"]


async def test_names_are_found_for_ids(store):
    await keep(store, msgspec.structs.replace(a_member(1), name=""))
    await store.create_key(a_key("key_1", "mem_1", "laptop"))
    assert await people.names_of(store, {"mem_1", "key_1", "prj_none"}) == {
        "mem_1": "user1@example.com",
        "key_1": "laptop",
    }

"""Organisations and their members. In: an open store, an actor, a change. Out: them as they are afterwards; pages of them.

Each change is one transaction with its entry in the audit log. All of them begin with `will_change`, one after the other: so of two administrators who
demote each other at once one stays.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Row, Select, Table, delete, func, insert, or_, select, tuple_, update

from trunkline.accounts.keys import SESSION_KEY_NAME
from trunkline.accounts.types import Actor, Member, Organisation, Role
from trunkline.errors import Conflict, NotFound
from trunkline.storage.audit import Detail, record_act
from trunkline.storage.followed import will_change
from trunkline.storage.queries import Store
from trunkline.storage.schema import api_keys, links, members, organisations, projects, sessions

State = Literal["active", "invited", "disabled"]


class MemberQuery(msgspec.Struct, frozen=True):
    """Which members. An empty text stands for all; `text` is found in names and addresses, without regard to case."""

    org_id: str = ""
    role: Role | Literal[""] = ""
    state: State | Literal[""] = ""
    text: str = ""
    after: str = ""
    """The id of the last one of the page before."""
    limit: int = 50


async def find_organisations(store: Store, *, after: str = "", limit: int = 50) -> list[Organisation]:
    """The oldest first, so that the first one is that which came with the store."""
    return await store.ask(lambda connection: _organisations(connection, after, limit))


async def organisation(store: Store, id_: str) -> Organisation | None:
    """The one with this id."""
    return await store.ask(lambda connection: _organisation(connection, id_))


async def make_organisation(store: Store, new: Organisation, actor: Actor) -> Organisation:
    """Keep a new one. Where its id is there already (the same making, repeated), that one is given as it is."""

    def make(connection: Connection) -> Organisation:
        will_change(connection)
        there = _organisation(connection, new.id)
        if there is not None:
            return there
        record_act(
            connection, actor, new.created_ms, "organisation.create", new.id, {"prepaid": new.prepaid}, org_id=new.id
        )
        connection.execute(insert(organisations).values(msgspec.structs.asdict(new)))
        return new

    return await store.ask(make)


async def change_organisation(
    store: Store, id_: str, changed: Mapping[str, str | bool], actor: Actor, at_ms: int
) -> Organisation:
    """Put another `name` or `prepaid` in place. NotFound where there is none."""

    def change(connection: Connection) -> Organisation:
        will_change(connection)
        before = _organisation(connection, id_)
        if before is None:
            raise NotFound(f"there is no organisation {id_}", param="organisation")
        after = msgspec.structs.replace(before, **changed)
        if after != before:
            detail: Detail = {"changed": ",".join(sorted(changed)), "prepaid": after.prepaid}
            record_act(connection, actor, at_ms, "organisation.change", id_, detail, org_id=id_)
            connection.execute(update(organisations).where(organisations.c.id == id_).values(**changed))
        return after

    return await store.ask(change)


async def find_members(store: Store, query: MemberQuery) -> list[Member]:
    """Newest first."""
    return await store.ask(lambda connection: [_member(row) for row in connection.execute(_members(query))])


async def member(store: Store, id_: str) -> Member | None:
    """The one with this id."""
    return await store.ask(lambda connection: get_member(connection, id_))


async def member_of_email(store: Store, email: str) -> tuple[Member, str] | None:
    """Whose address of mail it is, and the hash of their password (empty where they have none)."""
    query = select(members).where(members.c.email == email)

    def find(connection: Connection) -> tuple[Member, str] | None:
        row = connection.execute(query).first()
        return (_member(row), row.password) if row else None

    return await store.ask(find)


async def names_of(store: Store, ids: Collection[str]) -> dict[str, str]:
    """What those of these ids that are members, keys or projects are called."""
    called = func.coalesce(func.nullif(members.c.name, ""), members.c.email)
    asked = sorted(ids)
    queries = [select(members.c.id, called).where(members.c.id.in_(asked))] + [
        select(table.c.id, table.c.name).where(table.c.id.in_(asked)) for table in (api_keys, projects)
    ]

    def find(connection: Connection) -> dict[str, str]:
        return {id_: name for query in queries for id_, name in connection.execute(query)}

    return await store.ask(find)


async def password_of(store: Store, member_id: str) -> str:
    """The hash of a member's password; empty where there is none."""
    query = select(members.c.password).where(members.c.id == member_id)
    return await store.ask(lambda connection: connection.execute(query).scalar() or "")


async def has_members(store: Store) -> bool:
    """Whether anybody can sign in other than with the master key."""
    return await store.ask(any_member)


async def has_passwords(store: Store) -> bool:
    """Whether anybody can sign in with one."""
    query = select(members.c.id).where(members.c.password != "", members.c.disabled_ms.is_(None)).limit(1)
    return await store.ask(lambda connection: connection.execute(query).first() is not None)


async def invite_member(store: Store, new: Member, actor: Actor) -> Member:
    """Keep somebody who has yet to join. Where this address was invited to the same organisation before and has not joined, that
    member is given, with the role of now. Conflict where the address is a member's."""

    def invite(connection: Connection) -> Member:
        will_change(connection)
        if _organisation(connection, new.org_id) is None:
            raise NotFound(f"there is no organisation {new.org_id}", param="organisation")
        row = connection.execute(select(members).where(members.c.email == new.email)).first()
        there = _member(row) if row else None
        if there is not None and there.org_id == new.org_id and state_of(there) == "invited":
            return _with_role(connection, there, new.role, actor, new.created_ms)
        if there is not None:
            raise Conflict(f"{new.email} is a member already", param="email")
        record_act(connection, actor, new.created_ms, "member.invite", new.id, {"role": new.role}, org_id=new.org_id)
        keep_member(connection, new)
        return new

    return await store.ask(invite)


async def change_member(store: Store, id_: str, changed: Mapping[str, str], actor: Actor, at_ms: int) -> Member:
    """Put another `name` or `role` in place. NotFound where there is none, Conflict where nobody would be left who may do everything."""

    def change(before: Member, connection: Connection) -> Member:
        after = msgspec.structs.replace(before, **changed)
        if after == before:
            return after
        if before.role == "admin" and after.role != "admin":
            _demand_another_admin(connection, before)
        detail: dict[str, str | int | None] = {"changed": ",".join(sorted(changed)), "role": after.role}
        if before.role == "admin" and after.role != "admin":
            detail["keys_revoked"] = _revoke_management_keys(connection, id_, at_ms)
        record_act(connection, actor, at_ms, "member.change", id_, detail, org_id=before.org_id)
        connection.execute(update(members).where(members.c.id == id_).values(**changed))
        return after

    return await _change(store, id_, change)


async def disable_member(store: Store, id_: str, actor: Actor, at_ms: int) -> Member:
    """From now on none of their keys and sessions holds, and they cannot sign in. NotFound; Conflict for the last administrator."""

    def disable(before: Member, connection: Connection) -> Member:
        if before.disabled_ms is not None:
            return before
        if before.role == "admin":
            _demand_another_admin(connection, before)
        ended = end_sessions_of(connection, id_, at_ms)
        keys = update(api_keys).where(api_keys.c.member_id == id_, api_keys.c.revoked_ms.is_(None))
        revoked = connection.execute(keys.values(revoked_ms=at_ms)).rowcount
        connection.execute(delete(links).where(links.c.member_id == id_, links.c.used_ms.is_(None)))
        detail = {"keys_revoked": revoked, "sessions_ended": ended}
        record_act(connection, actor, at_ms, "member.disable", id_, detail, org_id=before.org_id)
        connection.execute(update(members).where(members.c.id == id_).values(disabled_ms=at_ms))
        return msgspec.structs.replace(before, disabled_ms=at_ms)

    return await _change(store, id_, disable)


async def enable_member(store: Store, id_: str, actor: Actor, at_ms: int) -> Member:
    """They may sign in again; the keys that were revoked stay so."""

    def enable(before: Member, connection: Connection) -> Member:
        if before.disabled_ms is None:
            return before
        record_act(connection, actor, at_ms, "member.enable", id_, org_id=before.org_id)
        connection.execute(update(members).where(members.c.id == id_).values(disabled_ms=None))
        return msgspec.structs.replace(before, disabled_ms=None)

    return await _change(store, id_, enable)


def state_of(one: Member) -> State:
    """`invited`: has not joined yet."""
    if one.disabled_ms is not None:
        return "disabled"
    return "active" if one.has_password or one.subject else "invited"


def get_member(connection: Connection, id_: str) -> Member | None:
    """Inside a transaction."""
    row = connection.execute(select(members).where(members.c.id == id_)).first()
    return _member(row) if row else None


def any_member(connection: Connection) -> bool:
    """Inside a transaction."""
    return connection.execute(select(members.c.id).limit(1)).first() is not None


def keep_member(connection: Connection, new: Member, password: str = "") -> None:
    """Inside a transaction that has begun with `will_change` and wrote its act down. `password` is a hash."""
    values = msgspec.structs.asdict(new)
    values.pop("has_password")
    connection.execute(insert(members).values(**values, password=password))


def end_sessions_of(connection: Connection, member_id: str, at_ms: int, *, but: str = "") -> int:
    """End a member's sessions, but for the one with this hash, and the keys of their pages: the one that stays gets a new one. Gives how many.

    Inside a transaction that has begun with `will_change`. An empty id stands for the sessions of the master key.
    """
    keys = update(api_keys).where(
        api_keys.c.member_id == member_id, api_keys.c.name == SESSION_KEY_NAME, api_keys.c.revoked_ms.is_(None)
    )
    connection.execute(keys.values(revoked_ms=at_ms))
    theirs = update(sessions).where(
        sessions.c.member_id == member_id,
        sessions.c.ended_ms.is_(None),
        sessions.c.expires_ms > at_ms,
        sessions.c.hash != but,
    )
    return connection.execute(theirs.values(ended_ms=at_ms)).rowcount


def before_or_after(table: Table, id_: str, *, newest_first: bool = True) -> Any:
    """The condition of rows that follow the one with this id, by the time of making and the id."""
    place = tuple_(table.c.created_ms, table.c.id)
    mark = select(table.c.created_ms, table.c.id).where(table.c.id == id_).scalar_subquery()
    return place < mark if newest_first else place > mark


async def _change(store: Store, id_: str, change: Callable[[Member, Connection], Member]) -> Member:
    def changed(connection: Connection) -> Member:
        will_change(connection)
        before = get_member(connection, id_)
        if before is None:
            raise NotFound(f"there is no member {id_}", param="member_id")
        return change(before, connection)

    return await store.ask(changed)


def _with_role(connection: Connection, invited: Member, role: Role, actor: Actor, at_ms: int) -> Member:
    """Somebody who has yet to join, with this role."""
    if invited.role == role:
        return invited
    detail: dict[str, str | int | None] = {"changed": "role", "role": role}
    if invited.role == "admin":
        detail["keys_revoked"] = _revoke_management_keys(connection, invited.id, at_ms)
    record_act(connection, actor, at_ms, "member.change", invited.id, detail, org_id=invited.org_id)
    connection.execute(update(members).where(members.c.id == invited.id).values(role=role))
    return msgspec.structs.replace(invited, role=role)


def _revoke_management_keys(connection: Connection, member_id: str, at_ms: int) -> int:
    """Such a key does what an administrator may, so it ends with that role. Gives how many."""
    theirs = update(api_keys).where(
        api_keys.c.member_id == member_id, api_keys.c.kind == "management", api_keys.c.revoked_ms.is_(None)
    )
    return connection.execute(theirs.values(revoked_ms=at_ms)).rowcount


def _demand_another_admin(connection: Connection, one: Member) -> None:
    others = select(func.count()).where(
        members.c.org_id == one.org_id, members.c.id != one.id, members.c.role == "admin", *_in_state("active")
    )
    if state_of(one) == "active" and not connection.execute(others).scalar_one():
        raise Conflict(
            "this is the organisation's last administrator: make another member one first", param="member_id"
        )


def _in_state(state: State) -> list[Any]:
    if state == "disabled":
        return [members.c.disabled_ms.is_not(None)]
    joined = or_(members.c.password != "", members.c.subject != "")
    return [members.c.disabled_ms.is_(None), joined if state == "active" else ~joined]


def _members(query: MemberQuery) -> Select[Any]:
    conditions = [
        column == value for column, value in ((members.c.org_id, query.org_id), (members.c.role, query.role)) if value
    ]
    if query.state:
        conditions += _in_state(query.state)
    if query.text:
        conditions.append(
            or_(
                members.c.name.icontains(query.text, autoescape=True),
                members.c.email.icontains(query.text, autoescape=True),
                members.c.id == query.text,
            )
        )
    if query.after:
        conditions.append(before_or_after(members, query.after))
    newest_first = (members.c.created_ms.desc(), members.c.id.desc())
    return select(members).where(*conditions).order_by(*newest_first).limit(query.limit)


def _member(row: Row[Any]) -> Member:
    values = dict(row._mapping)
    password = values.pop("password")
    return Member(**values, has_password=bool(password))


def _organisation(connection: Connection, id_: str) -> Organisation | None:
    row = connection.execute(select(organisations).where(organisations.c.id == id_)).first()
    return Organisation(**dict(row._mapping)) if row else None


def _organisations(connection: Connection, after: str, limit: int) -> list[Organisation]:
    query = select(organisations).order_by(organisations.c.created_ms, organisations.c.id).limit(limit)
    if after:
        query = query.where(before_or_after(organisations, after, newest_first=False))
    return [Organisation(**dict(row._mapping)) for row in connection.execute(query)]

"""Sessions, links that work once, passwords. In: an open store, hashes. Out: whose they are; members who have just joined.

Of cookies, tokens and passwords the store has hashes. Each change is one transaction with its entry in the audit log.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from trunkline.accounts.keys import ApiKey
from trunkline.accounts.links import Link
from trunkline.accounts.types import Actor, Member
from trunkline.errors import Conflict
from trunkline.storage.audit import record_act
from trunkline.storage.followed import will_change
from trunkline.storage.key_rows import key_values, read_key
from trunkline.storage.people import any_member, end_sessions_of, get_member, keep_member, state_of
from trunkline.storage.queries import Store
from trunkline.storage.schema import api_keys, links, members, sessions

_DAY_MS = 86_400_000
# Asked for each page: built once, or building it would take longer than its answer.
_IN_FORCE = select(sessions).where(
    sessions.c.hash.in_(bindparam("hashes", expanding=True)),
    sessions.c.ended_ms.is_(None),
    sessions.c.expires_ms > bindparam("now_ms"),
)


class Session(msgspec.Struct, frozen=True):
    """`member` is None where the master key was shown."""

    hash: str
    created_ms: int
    expires_ms: int
    member: Member | None = None


async def open_session(store: Store, session: Session, actor: Actor, way: str, *, password: str = "") -> bool:
    """Keep a new session of `actor`'s. `way`: `password`, `oidc`, `master_key` or `link`.

    With `password`, the hash that was compared: only where it is the member's still, and the member is not disabled. Gives whether it is kept.
    """

    def keep(connection: Connection) -> bool:
        if password and (session.member is None or not _holds_password(connection, session.member.id, password)):
            return False
        _keep_session(connection, session, actor, way)
        connection.execute(delete(sessions).where(sessions.c.expires_ms < session.created_ms - _DAY_MS))
        return True

    return await store.ask(keep)


async def find_session(store: Store, hashes: Sequence[str], now_ms: float) -> Session | None:
    """The one with one of these hashes, if it holds, and so does its member."""

    def find(connection: Connection) -> Session | None:
        row = connection.execute(_IN_FORCE, {"hashes": list(hashes), "now_ms": int(now_ms)}).first()
        if row is None:
            return None
        found = Session(row.hash, row.created_ms, row.expires_ms)
        if not row.member_id:
            return found
        member = _able(connection, row.member_id)
        return msgspec.structs.replace(found, member=member) if member else None

    return await store.ask(find)


async def open_sessions(store: Store, member_id: str, now_ms: float) -> list[Session]:
    """A member's, newest first; an empty id stands for those of the master key."""
    query = (
        select(sessions)
        .where(sessions.c.member_id == member_id, sessions.c.ended_ms.is_(None), sessions.c.expires_ms > int(now_ms))
        .order_by(sessions.c.created_ms.desc(), sessions.c.hash)
    )
    return await store.ask(
        lambda connection: [Session(row.hash, row.created_ms, row.expires_ms) for row in connection.execute(query)]
    )


async def end_session(store: Store, hash_: str, actor: Actor, at_ms: int) -> None:
    """It holds nowhere from now on."""

    def end(connection: Connection) -> None:
        # Before or after `keep_session_key`, never beside it.
        will_change(connection)
        one = update(sessions).where(sessions.c.hash == hash_, sessions.c.ended_ms.is_(None))
        if connection.execute(one.values(ended_ms=at_ms)).rowcount:
            record_act(connection, actor, at_ms, "sign_out", actor.id)

    await store.ask(end)


async def keep_session_key(store: Store, session_hash: str, key: ApiKey) -> ApiKey | None:
    """Keep the key of a session's pages. Gives the one that is there where two pages asked at once; None where the session has ended."""
    holds = select(sessions.c.member_id).where(
        sessions.c.hash == session_hash, sessions.c.ended_ms.is_(None), sessions.c.expires_ms > key.created_ms
    )
    same = select(api_keys).where(api_keys.c.hash == key.hash)

    def keep(connection: Connection) -> ApiKey | None:
        will_change(connection)
        session = connection.execute(holds).first()
        if session is None or (session.member_id and _able(connection, session.member_id) is None):
            return None
        there = connection.execute(same).first()
        if there is not None:
            return read_key(dict(there._mapping))
        connection.execute(insert(api_keys).values(key_values(key)))
        return key

    return await store.ask(keep)


async def end_other_sessions(store: Store, member_id: str, but: str, actor: Actor, at_ms: int) -> int:
    """All of a member's, but for the one with the hash `but`. Gives how many."""

    def end(connection: Connection) -> int:
        will_change(connection)
        ended = end_sessions_of(connection, member_id, at_ms, but=but)
        if ended:
            record_act(connection, actor, at_ms, "sign_out.everywhere", actor.id, {"sessions_ended": ended})
        return ended

    return await store.ask(end)


async def note_failed(store: Store, actor: Actor, at_ms: int, way: str) -> None:
    """Somebody could not show that they are this actor."""
    await store.ask(lambda connection: record_act(connection, actor, at_ms, "sign_in.failed", actor.id, {"way": way}))


async def keep_link(store: Store, link: Link, actor: Actor, org_id: str) -> None:
    """Keep a new link; those of its kind that the same member had hold no more."""

    def keep(connection: Connection) -> None:
        same = (links.c.kind == link.kind, links.c.member_id == link.member_id, links.c.used_ms.is_(None))
        connection.execute(delete(links).where(*same))
        record_act(connection, actor, link.created_ms, f"link.{link.kind}", link.member_id, org_id=org_id)
        connection.execute(insert(links).values(msgspec.structs.asdict(link)))

    await store.ask(keep)


async def find_link(store: Store, hash_: str, now_ms: float) -> tuple[Link, Member | None] | None:
    """A link that can be used now, and whom it is for."""

    def find(connection: Connection) -> tuple[Link, Member | None] | None:
        return _usable(connection, hash_, int(now_ms))

    return await store.ask(find)


async def make_first_admin(store: Store, hash_: str, new: Member, password: str, actor: Actor) -> Member | None:
    """Use the first link. `password` is a hash. None where the link does not hold; Conflict where the gateway has members."""

    def make(connection: Connection) -> Member | None:
        will_change(connection)
        if _use(connection, hash_, new.created_ms) is None:
            return None
        if any_member(connection):
            raise Conflict("this gateway has members already: one of its administrators can invite you")
        record_act(connection, actor, new.created_ms, "member.first", new.id, {"role": new.role}, org_id=new.org_id)
        keep_member(connection, new, password)
        return msgspec.structs.replace(new, has_password=True)

    return await store.ask(make)


async def join(store: Store, hash_: str, name: str, password: str, actor: Actor, at_ms: int) -> Member | None:
    """Use an invitation: a name and the hash of a password. None where the link does not hold."""

    def use(connection: Connection) -> Member | None:
        will_change(connection)
        member = _use(connection, hash_, at_ms)
        if not isinstance(member, Member):
            return None
        record_act(connection, actor, at_ms, "member.join", member.id, org_id=member.org_id)
        values = {"name": name, "password": password}
        connection.execute(update(members).where(members.c.id == member.id).values(values))
        return msgspec.structs.replace(member, name=name, has_password=True)

    return await store.ask(use)


async def use_password_link(store: Store, hash_: str, password: str, actor: Actor, at_ms: int) -> Member | None:
    """Use a link for a new password (its hash); every session of the member ends. None where the link does not hold."""

    def use(connection: Connection) -> Member | None:
        will_change(connection)
        member = _use(connection, hash_, at_ms)
        if not isinstance(member, Member):
            return None
        _set_password(connection, member, password, actor, at_ms, but="")
        return msgspec.structs.replace(member, has_password=True)

    return await store.ask(use)


async def change_password(store: Store, member: Member, password: str, actor: Actor, at_ms: int, *, but: str) -> None:
    """Put another password's hash in place. Every session of the member ends, but for the one with the hash `but`."""

    def change(connection: Connection) -> None:
        will_change(connection)
        _set_password(connection, member, password, actor, at_ms, but=but)

    await store.ask(change)


async def refresh_password(store: Store, member_id: str, old: str, new: str) -> None:
    """The same password, hashed with today's parameters, unless it was changed meanwhile."""
    same = update(members).where(members.c.id == member_id, members.c.password == old)
    await store.ask(lambda connection: connection.execute(same.values(password=new)))


async def bind_account(
    store: Store, member_id: str, issuer: str, subject: str, name: str, actor: Actor, at_ms: int
) -> None:
    """From now on this account of another provider is the member's. The name is taken where the member has none."""

    def bind(connection: Connection) -> None:
        will_change(connection)
        member = get_member(connection, member_id)
        if member is None or member.subject:
            raise Conflict("this member signs in with another account already")
        record_act(connection, actor, at_ms, "member.bind", member_id, org_id=member.org_id)
        values = {"issuer": issuer, "subject": subject, "name": member.name or name}
        connection.execute(update(members).where(members.c.id == member_id).values(values))

    await store.ask(bind)


async def member_of_account(store: Store, issuer: str, subject: str) -> Member | None:
    """Whose account this is."""
    query = select(members.c.id).where(members.c.issuer == issuer, members.c.subject == subject)

    def find(connection: Connection) -> Member | None:
        id_ = connection.execute(query).scalar()
        return get_member(connection, id_) if id_ else None

    return await store.ask(find)


async def join_by_account(store: Store, new: Member, actor: Actor) -> None:
    """Keep a member who comes with an account of another provider. Conflict where the address of mail is somebody's."""

    def keep(connection: Connection) -> None:
        will_change(connection)
        if connection.execute(select(members.c.id).where(members.c.email == new.email)).first():
            raise Conflict("this address of mail is another member's")
        record_act(connection, actor, new.created_ms, "member.join", new.id, {"role": new.role}, org_id=new.org_id)
        keep_member(connection, new)

    await store.ask(keep)


def _keep_session(connection: Connection, session: Session, actor: Actor, way: str) -> None:
    member_id = session.member.id if session.member else ""
    values = {"created_ms": session.created_ms, "expires_ms": session.expires_ms}
    connection.execute(insert(sessions).values(hash=session.hash, member_id=member_id, **values))
    record_act(connection, actor, session.created_ms, "sign_in", actor.id, {"way": way})


def _holds_password(connection: Connection, member_id: str, password: str) -> bool:
    """A write that changes nothing: whoever puts another password in place comes before it, or after this transaction."""
    same = update(members).where(
        members.c.id == member_id, members.c.password == password, members.c.disabled_ms.is_(None)
    )
    return bool(connection.execute(same.values(password=password)).rowcount)


def _set_password(connection: Connection, member: Member, password: str, actor: Actor, at_ms: int, *, but: str) -> None:
    connection.execute(update(members).where(members.c.id == member.id).values(password=password))
    ended = end_sessions_of(connection, member.id, at_ms, but=but)
    record_act(connection, actor, at_ms, "member.password", member.id, {"sessions_ended": ended}, org_id=member.org_id)


def _use(connection: Connection, hash_: str, at_ms: int) -> Link | Member | None:
    """Whom it is for, or the first administrator's link itself; None where it does not hold. Of two uses at once, one has it."""
    one = update(links).where(links.c.hash == hash_, links.c.used_ms.is_(None), links.c.expires_ms > at_ms)
    if not connection.execute(one.values(used_ms=at_ms)).rowcount:
        return None
    link = _link(connection, hash_)
    return link if link.kind == "first" else _for_whom(connection, link)


def _usable(connection: Connection, hash_: str, now_ms: int) -> tuple[Link, Member | None] | None:
    holds = select(links.c.hash).where(links.c.hash == hash_, links.c.used_ms.is_(None), links.c.expires_ms > now_ms)
    if connection.execute(holds).first() is None:
        return None
    link = _link(connection, hash_)
    if link.kind == "first":
        return None if any_member(connection) else (link, None)
    member = _for_whom(connection, link)
    return (link, member) if member else None


def _for_whom(connection: Connection, link: Link) -> Member | None:
    """None for whom it is of no use any more: an invitation, for whoever has joined in another way."""
    member = _able(connection, link.member_id)
    has_joined = link.kind == "join" and member is not None and state_of(member) != "invited"
    return None if has_joined else member


def _link(connection: Connection, hash_: str) -> Link:
    row = connection.execute(select(links).where(links.c.hash == hash_)).one()
    return Link(row.hash, row.kind, row.member_id, row.created_ms, row.expires_ms)


def _able(connection: Connection, member_id: str) -> Member | None:
    member = get_member(connection, member_id)
    return member if member is not None and member.disabled_ms is None else None

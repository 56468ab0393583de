"""API keys, changed with their entry in the audit log. In: a store, an actor, a change. Out: keys as they are afterwards; pages of them.

Each change is one transaction that grows the revision, by which every gateway sees it within a second.
"""

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, and_, insert, or_, select, true, tuple_, update

from trunkline.accounts.keys import ApiKey, is_valid
from trunkline.accounts.types import Actor, KeyKind, KeyRules
from trunkline.errors import InvalidParams
from trunkline.storage.audit import record_act
from trunkline.storage.followed import will_change
from trunkline.storage.key_rows import key_values, read_key
from trunkline.storage.people import get_member
from trunkline.storage.queries import Store
from trunkline.storage.schema import api_keys

State = Literal["valid", "expired", "revoked"]
_CHANGEABLE = ("name", "expires_ms", "zero_retention", "project_id", "rules")


class KeyQuery(msgspec.Struct, frozen=True):
    """Which keys. An empty text stands for all; `text` is found in names, without regard to case, or is an id or the end of a secret."""

    org_id: str = ""
    member_id: str | None = None
    """None: of everyone; empty: of the organisation's own."""
    project_id: str = ""
    kind: KeyKind | Literal[""] = ""
    state: State | Literal[""] = ""
    text: str = ""
    after: str = ""
    """The id of the last key of the page before."""
    limit: int = 50


async def find_keys(store: Store, query: KeyQuery, now_ms: float) -> list[ApiKey]:
    """Newest first."""
    return await store.ask(lambda connection: _find(connection, query, int(now_ms)))


async def keep_key(store: Store, key: ApiKey, actor: Actor) -> ApiKey:
    """Keep a new key. Where its id is there already (the same making, repeated), that key is given as it is. InvalidParams for a member who is disabled."""

    def keep(connection: Connection) -> ApiKey:
        will_change(connection)
        there = _get(connection, key.id)
        if there is not None:
            return there
        if key.member_id:
            _demand_member(connection, key.member_id)
        record_act(connection, actor, key.created_ms, "key.create", key.id, _told(key), org_id=key.org_id)
        connection.execute(insert(api_keys).values(key_values(key)))
        return key

    return await store.ask(keep)


async def change_key(
    store: Store,
    id_: str,
    changed: dict[str, Any],
    actor: Actor,
    at_ms: int,
    *,
    new_rules: Callable[[KeyRules], KeyRules] | None = None,
) -> ApiKey | None:
    """Put other values in place of those of a key that holds: `name`, `expires_ms`, `zero_retention`, `project_id`, `rules`.

    `new_rules` gives its rules from those that it has by then: of two changes at once none is lost.

    Gives the key as it is then: unchanged where it has ended. None where there is none.
    """
    unknown = set(changed) - set(_CHANGEABLE)
    if unknown:
        raise ValueError(f"of a key no {', '.join(sorted(unknown))} can be changed")

    def change(connection: Connection) -> ApiKey | None:
        will_change(connection)
        before = _get(connection, id_)
        if before is None or not is_valid(before, at_ms):
            return before
        put = changed if new_rules is None else {**changed, "rules": new_rules(before.rules)}
        after = msgspec.structs.replace(before, **put)
        detail = {"changed": ",".join(sorted(put)), **_told(after)}
        record_act(connection, actor, at_ms, "key.change", id_, detail, org_id=before.org_id)
        values = {name: value for name, value in key_values(after).items() if name in put}
        connection.execute(update(api_keys).where(api_keys.c.id == id_).values(values))
        return after

    return await store.ask(change)


async def rotate_key(
    store: Store, new: ApiKey, actor: Actor, *, old_id: str, old_ends_ms: int
) -> tuple[ApiKey, ApiKey]:
    """Keep a key that takes the place of another, which ends at `old_ends_ms`. Gives the new one and the old one as they are then.

    Where the new one is there already (the same rotation, repeated), nothing is changed. InvalidParams where the old one has ended.
    """

    def rotate(connection: Connection) -> tuple[ApiKey, ApiKey]:
        will_change(connection)
        old = _get(connection, old_id)
        assert old is not None, "asked for by its caller"
        there = _get(connection, new.id)
        if there is not None:
            return there, old
        if not is_valid(old, new.created_ms):
            how = "was revoked" if old.revoked_ms is not None else "has expired"
            raise InvalidParams(f"the key {old.id} {how}, so nothing takes its place; make a new one", param="key_id")
        detail: dict[str, str | int | None] = {"new": new.id, "old_ends_ms": old_ends_ms}
        record_act(connection, actor, new.created_ms, "key.rotate", old.id, detail, org_id=old.org_id)
        connection.execute(insert(api_keys).values(key_values(new)))
        ends_ms = old_ends_ms if old.expires_ms is None else min(old_ends_ms, old.expires_ms)
        connection.execute(update(api_keys).where(api_keys.c.id == old.id).values(expires_ms=ends_ms))
        return new, msgspec.structs.replace(old, expires_ms=ends_ms)

    return await store.ask(rotate)


async def end_key(store: Store, id_: str, actor: Actor, at_ms: int) -> ApiKey | None:
    """Revoke a key, unless it was before. Gives the key as it is then, None where there is none."""

    def end(connection: Connection) -> ApiKey | None:
        will_change(connection)
        before = _get(connection, id_)
        if before is None or before.revoked_ms is not None:
            return before
        record_act(connection, actor, at_ms, "key.revoke", id_, org_id=before.org_id)
        connection.execute(update(api_keys).where(api_keys.c.id == id_).values(revoked_ms=at_ms))
        return msgspec.structs.replace(before, revoked_ms=at_ms)

    return await store.ask(end)


def _demand_member(connection: Connection, id_: str) -> None:
    """One who could use a key."""
    member = get_member(connection, id_)
    if member is None or member.disabled_ms is not None:
        how = "there is no such member" if member is None else "this member is disabled"
        raise InvalidParams(f"member_id: {how}", param="member_id")


def _get(connection: Connection, id_: str) -> ApiKey | None:
    found = connection.execute(select(api_keys).where(api_keys.c.id == id_)).first()
    return read_key(dict(found._mapping)) if found else None


def _find(connection: Connection, query: KeyQuery, now_ms: int) -> list[ApiKey]:
    keys = api_keys.c
    conditions: list[Any] = [
        column == value
        for column, value in ((keys.org_id, query.org_id), (keys.project_id, query.project_id), (keys.kind, query.kind))
        if value
    ]
    if query.member_id is not None:
        conditions.append(keys.member_id == query.member_id)
    if query.state:
        conditions.append(_in_state(query.state, now_ms))
    if query.text:
        named = keys.name.icontains(query.text, autoescape=True)
        conditions.append(or_(named, keys.id == query.text, keys.hint == query.text.removeprefix("…")))
    if query.after:
        mark = select(keys.created_ms, keys.id).where(keys.id == query.after)
        conditions.append(tuple_(keys.created_ms, keys.id) < mark.scalar_subquery())
    newest_first = (keys.created_ms.desc(), keys.id.desc())
    found = connection.execute(select(api_keys).where(true(), *conditions).order_by(*newest_first).limit(query.limit))
    return [read_key(dict(row._mapping)) for row in found]


def _in_state(state: State, now_ms: int) -> Any:
    keys = api_keys.c
    if state == "revoked":
        return keys.revoked_ms.is_not(None)
    expired = and_(keys.expires_ms.is_not(None), keys.expires_ms <= now_ms)
    return and_(keys.revoked_ms.is_(None), expired if state == "expired" else ~expired)


def _told(key: ApiKey) -> dict[str, str | int | None]:
    """For the audit log: never the name, which may be a person's."""
    return {
        "kind": key.kind,
        "member": key.member_id,
        "project": key.project_id,
        "expires_ms": key.expires_ms,
        "rules": msgspec.json.encode(key.rules).decode(),
    }

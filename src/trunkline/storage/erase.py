"""Takes out of a store what tells who somebody was: a member, or an end user of an application. In: an open store, an id. Out: how much was taken out.

Taken out: bodies, stored responses and answers, sessions' ids, what the caller said of itself (user agent, application), the words of errors, which may repeat
what was said; of a member also name, address, password, keys. What stays: the records with their model, tokens and cost, the ledger, the audit log (ids only).
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, bindparam, delete, select, text, tuple_, update

from trunkline.accounts.types import Actor
from trunkline.errors import NotFound
from trunkline.records.bodies import DAY_MS
from trunkline.storage.audit import record_act
from trunkline.storage.body_files import bodies_folder, day_file
from trunkline.storage.followed import will_change
from trunkline.storage.people import disable_member, member
from trunkline.storage.queries import Store
from trunkline.storage.rows import without_person
from trunkline.storage.schema import api_keys, kept, links, members, provider_credentials, records, sessions
from trunkline.storage.sqlite_file import connect
from trunkline.storage.url import PostgresStore, store_of

PIECE = 500
_PLACE = (records.c.received_ms, records.c.id)
_COLUMNS = (*_PLACE, records.c.key_id, records.c.answer_id, records.c.detail)


class Erased(msgspec.Struct, frozen=True):
    """`kept` are stored responses, and answers for requests that come again."""

    records: int
    bodies: int
    kept: int


async def erase_member(store: Store, url: str, id_: str, actor: Actor, at_ms: int) -> Erased:
    """A member who goes: disabled first. NotFound; Conflict for the last administrator. May be done again, if it was broken off."""
    found = await member(store, id_)
    if found is None:
        raise NotFound(f"there is no member {id_}; `trunkline members list` shows them")
    await disable_member(store, id_, actor, at_ms)
    await store.ask(lambda connection: _erase_person(connection, id_, actor, at_ms, found.org_id))
    of_member = select(api_keys.c.id).where(api_keys.c.member_id == id_)
    keys = await store.ask(lambda connection: list(connection.execute(of_member).scalars()))
    if not keys:
        return Erased(0, 0, 0)
    gone = delete(kept).where(kept.c.key_id.in_(keys))
    forgotten: int = await store.ask(lambda connection: connection.execute(gone).rowcount)
    erased = await _erase_records(store, url, records.c.key_id.in_(keys))
    return msgspec.structs.replace(erased, kept=erased.kept + forgotten)


async def erase_end_user(store: Store, url: str, session_id: str, actor: Actor, at_ms: int) -> Erased:
    """Whom applications named so in `session_id`, `prompt_cache_key`, `metadata.user_id` or the like."""
    erased = await _erase_records(store, url, records.c.session_id == session_id)
    # Not the id: the audit log is never changed, and this is what was to be taken out.
    digest = hashlib.sha256(session_id.encode()).hexdigest()[:16]
    detail = {"records": erased.records, "bodies": erased.bodies, "kept": erased.kept}
    await store.ask(
        lambda connection: record_act(connection, actor, at_ms, "end_user.erase", f"sha256:{digest}", detail)
    )
    return erased


def _erase_person(connection: Connection, id_: str, actor: Actor, at_ms: int, org_id: str) -> None:
    will_change(connection)
    record_act(connection, actor, at_ms, "member.erase", id_, org_id=org_id)
    nobody = {"email": f"{id_}@erased.invalid", "name": "", "password": "", "issuer": "", "subject": ""}
    connection.execute(update(members).where(members.c.id == id_).values(nobody))
    connection.execute(delete(links).where(links.c.member_id == id_))
    connection.execute(delete(sessions).where(sessions.c.member_id == id_))
    own = provider_credentials.c.member_id == id_
    connection.execute(delete(provider_credentials).where(own))
    connection.execute(update(api_keys).where(api_keys.c.member_id == id_).values(name="erased"))


async def _erase_records(store: Store, url: str, which: ColumnElement[bool]) -> Erased:
    """In pieces, each a transaction: gateways go on writing between them."""
    count = bodies = forgotten = 0
    place: tuple[float, str] | None = None
    erase_bodies = _bodies_of(store, url)
    while True:
        rows = await store.ask(lambda connection, place=place: _piece(connection, which, place))  # type: ignore[misc]
        if not rows:
            await store.ask(_overwrite)
            return Erased(count, bodies, forgotten)
        # Bodies first: what is broken off here is found again, as long as the records say whose they are.
        bodies += await erase_bodies(rows)
        forgotten += await store.ask(lambda connection, rows=rows: _blank(connection, rows))  # type: ignore[misc]
        count += len(rows)
        place = rows[-1].received_ms, rows[-1].id


def _piece(connection: Connection, which: ColumnElement[bool], place: tuple[float, str] | None) -> Sequence[Any]:
    query = select(*_COLUMNS).where(which).order_by(*_PLACE).limit(PIECE)
    if place is not None:
        query = query.where(tuple_(*_PLACE) > tuple_(*place))
    return connection.execute(query).all()


def _blank(connection: Connection, rows: Sequence[Any]) -> int:
    """How many stored responses went with them."""
    if connection.dialect.name == "sqlite":
        # What is deleted is overwritten: https://www.sqlite.org/pragma.html#pragma_secure_delete
        connection.exec_driver_sql("PRAGMA secure_delete = ON")
    change = update(records).where(records.c.id == bindparam("of")).values(session_id="", detail=bindparam("left"))
    connection.execute(change, [{"of": row.id, "left": without_person(row.detail)} for row in rows])
    responses = [f"{row.key_id}/{row.answer_id}" for row in rows if row.answer_id]
    return connection.execute(delete(kept).where(kept.c.key.in_(responses))).rowcount if responses else 0


def _overwrite(connection: Connection) -> None:
    """On SQLite: bring the changes from the WAL into the file, so that the old pages go."""
    if connection.dialect.name == "sqlite":
        with contextlib.suppress(Exception):
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _bodies_of(store: Store, url: str) -> Callable[[Sequence[Any]], Any]:
    if isinstance(store_of(url), PostgresStore):
        gone = text("DELETE FROM bodies WHERE day = ANY(:days) AND id = ANY(:ids)")

        async def from_table(rows: Sequence[Any]) -> int:
            by_day = dict(_by_day(rows))
            values = {"days": list(by_day), "ids": [row.id for row in rows]}
            found: int = await store.ask(lambda connection: connection.execute(gone, values).rowcount)
            return found

        return from_table

    async def from_files(rows: Sequence[Any]) -> int:
        return await asyncio.to_thread(_erase_in_files, url, rows)

    return from_files


def _erase_in_files(url: str, rows: Sequence[Any]) -> int:
    erased = 0
    for day, ids in _by_day(rows):
        path = day_file(bodies_folder(url), day)
        if not path.exists():
            continue
        with contextlib.closing(connect(path)) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            marks = ", ".join("?" * len(ids))
            erased += connection.execute(f"DELETE FROM bodies WHERE id IN ({marks})", ids).rowcount  # noqa: S608
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return erased


def _by_day(rows: Sequence[Any]) -> Iterator[tuple[int, list[str]]]:
    days: dict[int, list[str]] = {}
    for row in rows:
        days.setdefault(int(row.received_ms // DAY_MS), []).append(row.id)
    yield from days.items()

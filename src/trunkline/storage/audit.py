"""The audit log: who did which administrative act, and when. In: an actor and an act. Out: rows that nothing changes any more, and pages of them.

An act is written in the transaction that does it (`record_act` first, the change after it): what was not done is not in the log, and what is not in
the log was not done.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select

from trunkline.accounts.types import Actor, AuditEntry
from trunkline.storage.queries import Store
from trunkline.storage.schema import audit

Detail = Mapping[str, str | int | float | bool | None]
_detail = msgspec.json.Decoder(dict[str, str | int | float | bool | None])
MOST = 500
LATE = 10_000
"""So many acts are looked at for their kinds."""


class AuditQuery(msgspec.Struct, frozen=True):
    """Which acts. An empty text stands for all; `action` finds what begins with it too: `key` finds `key.create`."""

    org_id: str = ""
    actor_id: str = ""
    action: str = ""
    target: str = ""
    since_ms: int | None = None
    until_ms: int | None = None
    """From `since_ms` on, before `until_ms`."""
    before: int | None = None
    """The number of an entry: those that are older than it."""
    limit: int = 50


def record_act(
    connection: Connection,
    actor: Actor,
    at_ms: int,
    action: str,
    target: str,
    detail: Detail | None = None,
    *,
    org_id: str | None = None,
) -> None:
    """Write one act down, inside the transaction that does it.

    `detail` never holds a secret, a name or an address of mail. `org_id` is that of what was changed, where it is not the actor's.
    """
    connection.execute(
        insert(audit).values(
            at_ms=at_ms,
            org_id=actor.org_id if org_id is None else org_id,
            actor_kind=actor.kind,
            actor_id=actor.id,
            address=actor.address,
            action=action,
            target=target,
            detail=msgspec.json.encode(detail or {}).decode(),
        )
    )


async def acts(store: Store, query: AuditQuery) -> list[AuditEntry]:
    """Newest first, `query.limit` at most."""
    return await store.ask(lambda connection: _find(connection, query))


async def kinds_of_acts(store: Store, org_id: str = "") -> list[str]:
    """Every action that was done of late."""
    late = select(audit.c.action).order_by(audit.c.number.desc()).limit(LATE)
    if org_id:
        late = late.where(audit.c.org_id == org_id)
    newest = late.subquery()
    found = select(newest.c.action).distinct().order_by(newest.c.action)
    return await store.ask(lambda connection: list(connection.execute(found).scalars()))


def _find(connection: Connection, query: AuditQuery) -> list[AuditEntry]:
    conditions = [
        column == value
        for column, value in (
            (audit.c.org_id, query.org_id),
            (audit.c.actor_id, query.actor_id),
            (audit.c.target, query.target),
        )
        if value
    ]
    if query.action:
        conditions.append(
            (audit.c.action == query.action) | audit.c.action.startswith(f"{query.action}.", autoescape=True)
        )
    if query.since_ms is not None:
        conditions.append(audit.c.at_ms >= query.since_ms)
    if query.until_ms is not None:
        conditions.append(audit.c.at_ms < query.until_ms)
    if query.before is not None:
        conditions.append(audit.c.number < query.before)
    newest = select(audit).where(*conditions).order_by(audit.c.number.desc()).limit(min(query.limit, MOST))
    return [_read(row) for row in connection.execute(newest)]


def _read(row: Row[Any]) -> AuditEntry:
    values = dict(row._mapping)
    return AuditEntry(**values | {"detail": _detail.decode(values["detail"])})

"""The keys of providers that are kept in the store, encrypted (see `credential_cipher`). In: a store, an actor, a change. Out: credentials, never with a key.

Each change is one transaction with its entry in the audit log, and grows the revision by which gateways follow. Of a revoked one the ciphertext is gone.
"""

from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update

from trunkline.accounts.types import Actor, StoredCredential
from trunkline.storage.audit import record_act
from trunkline.storage.columns import CREDENTIAL_COLUMNS
from trunkline.storage.credential_cipher import SealedCredential
from trunkline.storage.followed import will_change
from trunkline.storage.queries import Store
from trunkline.storage.schema import provider_credentials

_SHOWN = tuple(provider_credentials.c[name] for name in CREDENTIAL_COLUMNS)


async def list_credentials(store: Store, org_id: str, *, provider: str = "") -> list[StoredCredential]:
    """Of an organisation, newest first, the revoked ones too."""
    newest_first = (provider_credentials.c.created_ms.desc(), provider_credentials.c.id)
    query = select(*_SHOWN).where(provider_credentials.c.org_id == org_id).order_by(*newest_first)
    if provider:
        query = query.where(provider_credentials.c.provider == provider)
    return await store.ask(lambda connection: [_read(row) for row in connection.execute(query)])


async def get_credential(store: Store, id_: str) -> StoredCredential | None:
    return await store.ask(lambda connection: _get(connection, id_))


async def credentials_in_force(store: Store) -> list[SealedCredential]:
    """Of every organisation, oldest first."""
    return await store.ask(_in_force)


async def keep_credential(store: Store, credential: StoredCredential, sealed: bytes, actor: Actor) -> StoredCredential:
    """Keep a new one. Where its id is there already (the same call, repeated), that one is given as it is."""

    def keep(connection: Connection) -> StoredCredential:
        will_change(connection)
        there = _get(connection, credential.id)
        if there is not None:
            return there
        detail = {"provider": credential.provider, "member": credential.member_id}
        made = ("credential.create", credential.id, detail)
        record_act(connection, actor, credential.created_ms, *made, org_id=credential.org_id)
        values = msgspec.structs.asdict(credential) | {"sealed": sealed}
        connection.execute(insert(provider_credentials).values(values))
        return credential

    return await store.ask(keep)


async def replace_secret(
    store: Store, credential: StoredCredential, sealed: bytes, actor: Actor, at_ms: int
) -> StoredCredential | None:
    """Another secret in place of the one of a credential that holds; `credential` has the new `hint`. None where it does not hold any more."""

    def replace(connection: Connection) -> StoredCredential | None:
        will_change(connection)
        there = _get(connection, credential.id)
        if there is None or there.revoked_ms is not None:
            return None
        detail = {"provider": there.provider}
        record_act(connection, actor, at_ms, "credential.rotate", there.id, detail, org_id=there.org_id)
        connection.execute(
            update(provider_credentials)
            .where(provider_credentials.c.id == there.id)
            .values(sealed=sealed, hint=credential.hint)
        )
        return msgspec.structs.replace(there, hint=credential.hint)

    return await store.ask(replace)


async def revoke_credential(store: Store, id_: str, actor: Actor, at_ms: int) -> StoredCredential | None:
    """End one, unless it was before; its ciphertext is taken out. Gives it as it is then, None where there is none."""

    def revoke(connection: Connection) -> StoredCredential | None:
        will_change(connection)
        there = _get(connection, id_)
        if there is None or there.revoked_ms is not None:
            return there
        detail = {"provider": there.provider}
        record_act(connection, actor, at_ms, "credential.revoke", id_, detail, org_id=there.org_id)
        connection.execute(
            update(provider_credentials).where(provider_credentials.c.id == id_).values(revoked_ms=at_ms, sealed=b"")
        )
        return msgspec.structs.replace(there, revoked_ms=at_ms)

    return await store.ask(revoke)


def _in_force(connection: Connection) -> list[SealedCredential]:
    query = (
        select(*_SHOWN, provider_credentials.c.sealed)
        .where(provider_credentials.c.revoked_ms.is_(None))
        .order_by(provider_credentials.c.created_ms, provider_credentials.c.id)
    )
    return [SealedCredential(_read(row), row.sealed) for row in connection.execute(query)]


def _get(connection: Connection, id_: str) -> StoredCredential | None:
    found = connection.execute(select(*_SHOWN).where(provider_credentials.c.id == id_)).first()
    return _read(found) if found else None


def _read(row: Any) -> StoredCredential:
    return StoredCredential(**{name: getattr(row, name) for name in CREDENTIAL_COLUMNS})

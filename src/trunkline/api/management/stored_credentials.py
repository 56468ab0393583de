"""`/api/v1/management/credentials`: keys of providers in the store, kept encrypted. In: an actor, a provider's key. Out: what is kept, never the key again.

The organisation's own are used in turn with those of files and environment, for its requests alone; a member's own before all others, for that member's keys.
"""

import difflib
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field, SecretStr

from trunkline.accounts.repeats import REPEATED_WITHIN_MS
from trunkline.accounts.roles import covers, demand, organisation_of, reach
from trunkline.accounts.types import Actor, StoredCredential
from trunkline.api.management.access import Caller, ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.key_bodies import Body, Card, Id, iso
from trunkline.api.management.key_changes import KEY_REUSED, desk_of
from trunkline.api.management.parameters import Repeated
from trunkline.catalog.credentials import fault_of_key, names_a_secret
from trunkline.catalog.query import folded, provider_names
from trunkline.errors import InvalidParams, KeyReused, NotFound
from trunkline.providers.accounts import Absent, auth_of
from trunkline.storage import people
from trunkline.storage.credential_cipher import CredentialCipher
from trunkline.storage.credentials import (
    get_credential,
    keep_credential,
    list_credentials,
    replace_secret,
    revoke_credential,
)

_ID_BYTES = 10
_HINT_CHARS = 4
_HINTED_FROM = 16
"""Of a shorter secret its end would say too much."""
Secret = Annotated[SecretStr, Field(min_length=8, max_length=4096)]


class NewCredential(Body):
    """A provider's key to keep."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"provider": "openai", "name": "team key", "secret": "sk-..."}]},
    )

    provider: str = Field(min_length=1, max_length=100)
    """Its slug, as `GET /api/v1/management/providers` lists it."""
    secret: Secret
    """Encrypted at once, and never told again."""
    name: Annotated[str, Field(max_length=100)] = ""
    member_id: Id = ""
    """Whose own it is; empty: of the organisation. A member's are always that member's."""
    organisation: Id | None = None
    """For the master key; everyone else's own."""


class NewSecret(Body):
    """What takes the place of the secret that is kept."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"secret": "sk-..."}]})

    secret: Secret


class CredentialCard(Card):
    """A kept key as it is shown. `hint` is the end of the secret; empty for a short one."""

    id: str
    organisation: str
    member_id: str
    provider: str
    name: str
    hint: str
    state: Literal["in use", "revoked"]
    created_at: str
    created_by: str
    revoked_at: str | None
    missing: str
    """What the provider needs besides, before it can be called."""


class CredentialList(Card):
    data: list[CredentialCard]


router = APIRouter(prefix="/api/v1/management/credentials", tags=["Provider credentials"])


@router.post("", status_code=201, summary="Keep a provider's key")
async def create(body: NewCredential, actor: Caller, console: ConsoleOf, repeated: Repeated = "") -> CredentialCard:
    """Gateways use it within a second, without a restart."""
    return _card(console, await keep(console, actor, body, repeated))


@router.get("", summary="List kept keys of providers")
async def list_(
    actor: Caller,
    console: ConsoleOf,
    provider: Annotated[str, Query(max_length=100)] = "",
    organisation: Annotated[str, Query(max_length=60)] = "",
    revoked: bool = False,
) -> CredentialList:
    """Newest first. A member's own; for administrators, all of the organisation's and its members'."""
    found = await seen(console, actor, organisation or None, provider=provider)
    return CredentialList(data=[_card(console, one) for one in found if revoked or one.revoked_ms is None])


@router.get("/{credential_id}", summary="Show a kept key of a provider")
async def get(credential_id: str, actor: Caller, console: ConsoleOf) -> CredentialCard:
    """All but the key."""
    return _card(console, await seen_one(console, actor, credential_id))


@router.post("/{credential_id}/rotate", summary="Replace a kept key of a provider")
async def rotate(credential_id: str, body: NewSecret, actor: Caller, console: ConsoleOf) -> CredentialCard:
    """Requests under way end with the old key, the next ones come with the new one."""
    return _card(console, await renew(console, actor, credential_id, body))


@router.delete("/{credential_id}", summary="Revoke a kept key of a provider")
async def delete(credential_id: str, actor: Caller, console: ConsoleOf) -> CredentialCard:
    """Gateways stop using it within a second, and what was kept of it is deleted. At the provider it goes on holding until it is revoked there."""
    return _card(console, await revoke(console, actor, credential_id))


async def keep(console: Console, actor: Actor, wanted: NewCredential, idempotency_key: str = "") -> StoredCredential:
    """A new one. The same call with the same `Idempotency-Key` within a day is done once."""
    desk = desk_of(console)
    org_id, member_id = await _owner(console, actor, wanted)
    slug, secret = _provider(console, wanted.provider), _secret(wanted.secret)
    credential = StoredCredential(
        id=f"cred_{desk.draws(actor, 'credentials', idempotency_key)(_ID_BYTES).hex()}",
        org_id=org_id,
        member_id=member_id,
        provider=slug,
        name=wanted.name.strip(),
        hint=_hint(secret),
        created_ms=desk.now_ms,
        created_by=actor.id,
    )
    cipher = CredentialCipher(console.pepper)
    kept = await keep_credential(console.store, credential, cipher.seal(credential, secret), actor)
    if kept != msgspec.structs.replace(credential, created_ms=kept.created_ms) or (
        desk.now_ms - kept.created_ms > REPEATED_WITHIN_MS
    ):
        raise KeyReused(KEY_REUSED, param="Idempotency-Key")
    await console.follow()
    return kept


async def seen(
    console: Console, actor: Actor, organisation: str | None = None, *, provider: str = ""
) -> list[StoredCredential]:
    """Those that the actor may see, newest first, the revoked ones too."""
    demand(actor, "credentials")
    found = await list_credentials(console.store, organisation_of(actor, organisation), provider=provider)
    return [one for one in found if covers(actor, "credentials", one.org_id, one.member_id)]


async def seen_one(console: Console, actor: Actor, credential_id: str) -> StoredCredential:
    """NotFound for one that the actor may not see."""
    found = await get_credential(console.store, credential_id)
    if found is None or not covers(actor, "credentials", found.org_id, found.member_id):
        raise NotFound(
            f"there is no credential {credential_id[:60]}; GET /api/v1/management/credentials lists them",
            param="credential_id",
        )
    return found


async def renew(console: Console, actor: Actor, credential_id: str, wanted: NewSecret) -> StoredCredential:
    """Another secret in its place."""
    found, secret = await seen_one(console, actor, credential_id), _secret(wanted.secret)
    found = msgspec.structs.replace(found, hint=_hint(secret))
    sealed = CredentialCipher(console.pepper).seal(found, secret)
    kept = await replace_secret(console.store, found, sealed, actor, int(console.now_ms()))
    if kept is None:
        raise InvalidParams(f"{credential_id} was revoked; keep the key anew", param="credential_id")
    await console.follow()
    return kept


async def revoke(console: Console, actor: Actor, credential_id: str) -> StoredCredential:
    """End it."""
    await seen_one(console, actor, credential_id)
    kept = await revoke_credential(console.store, credential_id, actor, int(console.now_ms()))
    assert kept is not None, "credentials are never deleted"
    await console.follow()
    return kept


def missing(console: Console, provider: str) -> str:
    """What a provider needs besides a key."""
    state = console.accounts.get(provider)
    if state is None:
        return "the catalog has no such provider any more"
    return state.reason if isinstance(state, Absent) else ""


async def _owner(console: Console, actor: Actor, wanted: NewCredential) -> tuple[str, str]:
    """The organisation and the member that a new one is of."""
    org_id = organisation_of(actor, wanted.organisation)
    if org_id != actor.org_id and await people.organisation(console.store, org_id) is None:
        raise NotFound(f"there is no organisation {org_id}", param="organisation")
    member_id = wanted.member_id
    if reach(actor, "credentials") == "own":
        if member_id not in ("", actor.id):
            raise NotFound(f"there is no member {member_id}", param="member_id")
        return org_id, actor.id
    demand(actor, "credentials")
    if member_id:
        member = await people.member(console.store, member_id)
        if member is None or member.org_id != org_id:
            raise NotFound(f"there is no member {member_id}", param="member_id")
    return org_id, member_id


def _provider(console: Console, name: str) -> str:
    known = provider_names(console.catalog)
    slug = known.get(folded(name))
    if slug is None:
        close = difflib.get_close_matches(folded(name), list(known), 3)
        near = " or ".join(dict.fromkeys(known[one] for one in close))
        hint = f"did you mean {near}?" if near else "GET /api/v1/management/providers lists those that there are"
        raise InvalidParams(f"provider: there is no provider {name[:100]!r}; {hint}", param="provider")
    provider = console.catalog.providers[slug]
    if provider.profile or all(auth_of(provider, protocol) == "none" for protocol in provider.base_urls):
        raise InvalidParams(f"provider: {slug} takes no key; there is nothing to keep for it", param="provider")
    return slug


def _secret(given: SecretStr) -> str:
    secret = given.get_secret_value().strip()
    fault = fault_of_key(secret)
    if fault:
        raise InvalidParams(f"secret: {fault}", param="secret")
    if len(secret) < 8:
        raise InvalidParams("secret: this is too short for a key; copy it anew", param="secret")
    if names_a_secret(secret):
        raise InvalidParams(
            "secret: this names a variable or a file, which only the configuration file can do; send the key itself",
            param="secret",
        )
    return secret


def _hint(secret: str) -> str:
    return secret[-_HINT_CHARS:] if len(secret) >= _HINTED_FROM else ""


def _card(console: Console, one: StoredCredential) -> CredentialCard:
    return CredentialCard(
        id=one.id,
        organisation=one.org_id,
        member_id=one.member_id,
        provider=one.provider,
        name=one.name,
        hint=one.hint,
        state="in use" if one.revoked_ms is None else "revoked",
        created_at=iso(one.created_ms) or "",
        created_by=one.created_by,
        revoked_at=iso(one.revoked_ms),
        missing="" if one.revoked_ms is not None or one.member_id else missing(console, one.provider),
    )

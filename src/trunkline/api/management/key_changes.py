"""Making, changing, rotating and revoking API keys by the rules of who may. In: an actor, a checked body. Out: keys; refusals that name the field and the mend.

One way for the API, the pages and the command line. What an actor may not see is not there for them: NotFound.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from trunkline.accounts.keys import ApiKey, IssuedKey, is_valid, issue_key
from trunkline.accounts.repeats import MAX_CHARS, REPEATED_WITHIN_MS, repeatable
from trunkline.accounts.roles import covers, demand, organisation_of, reach
from trunkline.accounts.types import Actor
from trunkline.api.management.console import Console
from trunkline.api.management.key_bodies import ChangedKey, NewKey, RotatedKey, checked_rules, merging
from trunkline.catalog.types import Catalog
from trunkline.errors import InvalidParams, KeyReused, NotFound
from trunkline.storage import people, projects
from trunkline.storage.api_keys import KeyQuery, change_key, end_key, find_keys, keep_key, rotate_key
from trunkline.storage.queries import Store

KEY_REUSED = (
    "this Idempotency-Key came with another request, or more than a day ago; send a new one, or leave the header out"
)


@dataclass(frozen=True)
class Desk:
    """What changes of accounts are made with. `now_ms` is the time of the change."""

    store: Store
    catalog: Catalog
    pepper: bytes = field(repr=False)
    now_ms: int
    random_bytes: Callable[[int], bytes]

    def draws(self, actor: Actor, purpose: str, idempotency_key: str) -> Callable[[int], bytes]:
        """Bytes for ids and secrets: the same again for a call that is repeated. Raises InvalidParams for a key that is too long."""
        if not idempotency_key:
            return self.random_bytes
        if len(idempotency_key) > MAX_CHARS:
            raise InvalidParams(f"Idempotency-Key: at most {MAX_CHARS} characters", param="Idempotency-Key")
        return repeatable(self.pepper, actor, purpose, idempotency_key)


def desk_of(console: Console) -> Desk:
    """The console's, now."""
    return Desk(console.store, console.catalog, console.pepper, int(console.now_ms()), console.random_bytes)


async def make_key(desk: Desk, actor: Actor, wanted: NewKey, idempotency_key: str = "") -> IssuedKey:
    """A new key. The same call with the same `Idempotency-Key` within a day gives the same one; KeyReused where the call is another."""
    org_id, member_id = await _owner(desk, actor, wanted)
    if wanted.kind == "management":
        demand(actor, "budgets")
    await _check_project(desk, org_id, wanted.project_id)
    issued = issue_key(
        wanted.name,
        desk.pepper,
        desk.draws(actor, "keys", idempotency_key),
        now_ms=desk.now_ms,
        expires_ms=wanted.expires_ms(desk.now_ms),
        zero_retention=wanted.zero_retention,
    )
    key = msgspec.structs.replace(
        issued.key,
        org_id=org_id,
        member_id=member_id,
        project_id=wanted.project_id,
        kind=wanted.kind,
        rules=checked_rules(wanted.rules, desk.catalog),
    )
    kept = await keep_key(desk.store, key, actor)
    if kept != key and not _is_repeat(kept, key, wanted.expires_in_s):
        raise KeyReused(KEY_REUSED, param="Idempotency-Key")
    return IssuedKey(issued.secret, kept)


async def seen_key(desk: Desk, actor: Actor, key_id: str) -> ApiKey:
    """A key that the actor may see and change. NotFound for every other."""
    key = await desk.store.get_key(key_id)
    if key is None or not covers(actor, "keys", key.org_id, key.member_id):
        raise NotFound(f"there is no key {key_id[:60]}; GET /api/v1/management/keys lists them", param="key_id")
    return key


async def list_keys(desk: Desk, actor: Actor, query: KeyQuery) -> list[ApiKey]:
    """Those of the query that the actor may see."""
    if demand(actor, "keys") == "own":
        query = msgspec.structs.replace(query, org_id=actor.org_id, member_id=actor.id)
    elif reach(actor, "keys") == "organisation":
        query = msgspec.structs.replace(query, org_id=actor.org_id)
    return await find_keys(desk.store, query, desk.now_ms)


async def change(desk: Desk, actor: Actor, key_id: str, wanted: ChangedKey) -> ApiKey:
    """Other values for a key that holds."""
    key = await seen_key(desk, actor, key_id)
    _demand_kind(actor, key)
    changed = {
        name: getattr(wanted, name)
        for name in ("name", "zero_retention", "project_id")
        if getattr(wanted, name) is not None
    }
    if changed.get("project_id"):
        await _check_project(desk, key.org_id, changed["project_id"])
    new_rules = None if wanted.rules is None else merging(wanted.rules, desk.catalog)
    if wanted.model_fields_set & {"expires_in_s", "expires_at"}:
        changed["expires_ms"] = wanted.expires_ms(desk.now_ms)
    _demand_valid(desk, key)
    if not changed and new_rules is None:
        return key
    after = await change_key(desk.store, key_id, changed, actor, desk.now_ms, new_rules=new_rules)
    assert after is not None, "keys are never deleted"
    return after


async def rotate(
    desk: Desk, actor: Actor, key_id: str, wanted: RotatedKey, idempotency_key: str = ""
) -> tuple[IssuedKey, ApiKey]:
    """A new secret with the same rules and owner; the old key ends after the overlap. Gives the new key and the old one as it is then."""
    old = await seen_key(desk, actor, key_id)
    _demand_kind(actor, old)
    expires_ms = wanted.expires_ms(desk.now_ms)
    if not wanted.model_fields_set & {"expires_in_s", "expires_at"} and old.expires_ms is not None:
        expires_ms = desk.now_ms + _made_for_ms(old)
    issued = issue_key(
        old.name,
        desk.pepper,
        desk.draws(actor, f"keys/{key_id}/rotate", idempotency_key),
        now_ms=desk.now_ms,
        expires_ms=expires_ms,
        zero_retention=old.zero_retention,
    )
    key = msgspec.structs.replace(
        issued.key,
        org_id=old.org_id,
        member_id=old.member_id,
        project_id=old.project_id,
        kind=old.kind,
        rules=old.rules,
        rotated_from=old.rotated_from or old.id,
    )
    there = await desk.store.get_key(key.id)
    if there is None:
        _demand_valid(desk, old)
    elif not _is_repeat(there, key, None, lasting=False):
        raise KeyReused(KEY_REUSED, param="Idempotency-Key")
    ends_ms = desk.now_ms + wanted.overlap_s * 1000
    kept, ended = await rotate_key(desk.store, key, actor, old_id=old.id, old_ends_ms=ends_ms)
    return IssuedKey(issued.secret, kept), ended


async def revoke(desk: Desk, actor: Actor, key_id: str) -> ApiKey:
    """End a key now."""
    key = await seen_key(desk, actor, key_id)
    _demand_kind(actor, key)
    ended = await end_key(desk.store, key_id, actor, desk.now_ms)
    assert ended is not None, "keys are never deleted"
    return ended


async def _owner(desk: Desk, actor: Actor, wanted: NewKey) -> tuple[str, str]:
    """The organisation and the member that a new key is of."""
    org_id = organisation_of(actor, wanted.organisation)
    if org_id != actor.org_id and await people.organisation(desk.store, org_id) is None:
        raise NotFound(f"there is no organisation {org_id}", param="organisation")
    member_id = wanted.member_id
    if demand(actor, "keys") == "own":
        if member_id not in ("", actor.id):
            raise NotFound(f"there is no member {member_id}", param="member_id")
        return org_id, actor.id
    if member_id:
        member = await people.member(desk.store, member_id)
        if member is None or member.org_id != org_id:
            raise NotFound(
                f"there is no member {member_id}; GET /api/v1/management/members lists them", param="member_id"
            )
        if member.disabled_ms is not None:
            raise InvalidParams(f"member_id: {member_id} is disabled; enable the member first", param="member_id")
    return org_id, member_id


async def _check_project(desk: Desk, org_id: str, project_id: str) -> None:
    if not project_id:
        return
    project = await projects.project(desk.store, project_id)
    if project is None or project.org_id != org_id:
        raise NotFound(
            f"there is no project {project_id}; GET /api/v1/management/projects lists them", param="project_id"
        )
    if project.archived_ms is not None:
        raise InvalidParams(f"project_id: {project_id} is archived; take another one", param="project_id")


def _demand_kind(actor: Actor, key: ApiKey) -> None:
    """A management key is changed by those who may make one."""
    if key.kind == "management":
        demand(actor, "budgets")


def _demand_valid(desk: Desk, key: ApiKey) -> None:
    if not is_valid(key, desk.now_ms):
        how = "was revoked" if key.revoked_ms is not None else "has expired"
        raise InvalidParams(f"the key {key.id} {how}, so nothing of it can be changed; make a new one", param="key_id")


def _is_repeat(there: ApiKey, asked: ApiKey, expires_in_s: int | None, *, lasting: bool = True) -> bool:
    """Whether a key that is there came of the same call, not long ago. `lasting`: its end is compared too."""
    if asked.created_ms - there.created_ms > REPEATED_WITHIN_MS or there.hash != asked.hash:
        return False
    if expires_in_s is not None:
        asked = msgspec.structs.replace(asked, expires_ms=there.created_ms + expires_in_s * 1000)
    if not lasting:
        asked = msgspec.structs.replace(asked, expires_ms=there.expires_ms)
    return msgspec.structs.replace(asked, created_ms=there.created_ms) == there


def _made_for_ms(key: ApiKey) -> int:
    assert key.expires_ms is not None
    return key.expires_ms - key.created_ms

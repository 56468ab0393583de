"""`/api/v1/management/keys`: make, list, change, rotate and revoke API keys. In: an actor. Out: keys, without their secrets but for the moment of making."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from trunkline.accounts.types import KeyKind
from trunkline.api.management.access import Caller, ConsoleOf
from trunkline.api.management.budgets import make_key_with_budgets
from trunkline.api.management.key_bodies import (
    ChangedKey,
    KeyCard,
    KeyList,
    MadeKey,
    NewKey,
    RotatedKey,
    key_card,
)
from trunkline.api.management.key_changes import change, desk_of, list_keys, revoke, rotate, seen_key
from trunkline.api.management.parameters import MOST, Repeated, Wanted
from trunkline.storage.api_keys import KeyQuery, State

router = APIRouter(prefix="/api/v1/management/keys", tags=["Keys"])


@router.post("", status_code=201, summary="Make a key")
async def create(body: NewKey, actor: Caller, console: ConsoleOf, repeated: Repeated = "") -> MadeKey:
    """Its secret is in this answer and nowhere else. Members make keys of their own; management keys need an administrator."""
    desk = desk_of(console)
    issued = await make_key_with_budgets(desk, actor, body, repeated)
    return MadeKey(**key_card(issued.key, desk.now_ms), secret=issued.secret)


@router.get("", summary="List keys")
async def list_(
    actor: Caller,
    console: ConsoleOf,
    state: Literal["", "valid", "expired", "revoked"] = "",
    kind: Literal["", "inference", "management"] = "",
    organisation: Wanted = "",
    member_id: Annotated[str | None, Query(max_length=100)] = None,
    project_id: Wanted = "",
    text: Wanted = "",
    after: Wanted = "",
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> KeyList:
    """Newest first: a member's own, an administrator's organisation's, with the master key all. `text`: part of a name, an id, or the end of a secret."""
    desk = desk_of(console)
    wanted_state: State | Literal[""] = state
    wanted_kind: KeyKind | Literal[""] = kind
    query = KeyQuery(organisation, member_id, project_id, wanted_kind, wanted_state, text, after, limit)
    found = await list_keys(desk, actor, query)
    cards = [KeyCard(**key_card(key, desk.now_ms)) for key in found]
    return KeyList(data=cards, next=found[-1].id if len(found) == limit else None)


@router.get("/{key_id}", summary="Show a key")
async def get(key_id: str, actor: Caller, console: ConsoleOf) -> KeyCard:
    """Never its secret."""
    desk = desk_of(console)
    return KeyCard(**key_card(await seen_key(desk, actor, key_id), desk.now_ms))


@router.patch("/{key_id}", summary="Change a key")
async def patch(key_id: str, body: ChangedKey, actor: Caller, console: ConsoleOf) -> KeyCard:
    """What is not named stays as it is. Gateways go by it within a second."""
    desk = desk_of(console)
    return KeyCard(**key_card(await change(desk, actor, key_id, body), desk.now_ms))


@router.post("/{key_id}/rotate", status_code=201, summary="Rotate a key")
async def rotate_(key_id: str, body: RotatedKey, actor: Caller, console: ConsoleOf, repeated: Repeated = "") -> MadeKey:
    """A new key with a new secret, the same rules and the same budgets. The old one goes on holding for `overlap_s`, then ends."""
    desk = desk_of(console)
    issued, _ = await rotate(desk, actor, key_id, body, repeated)
    return MadeKey(**key_card(issued.key, desk.now_ms), secret=issued.secret)


@router.delete("/{key_id}", summary="Revoke a key")
async def delete(key_id: str, actor: Caller, console: ConsoleOf) -> KeyCard:
    """Requests with it are refused within a second, everywhere; those under way go on. A key that has ended already is shown as it is."""
    desk = desk_of(console)
    return KeyCard(**key_card(await revoke(desk, actor, key_id), desk.now_ms))

"""`/api/v1/management/keys`: make, list and revoke API keys. In: the master key. Out: keys, without their secrets but
for the moment of making."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from trunkline.accounts.keys import ApiKey, IssuedKey, is_valid, issue_key
from trunkline.api.management.access import ConsoleOf, Master
from trunkline.api.management.console import Console
from trunkline.errors import NotFound

YEAR_S = 365 * 24 * 3600


class NewKey(BaseModel):
    """What a key is made from."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, examples=["laptop of alice@example.com"])
    expires_in_s: Annotated[int, Field(gt=0, le=100 * YEAR_S)] | None = None
    zero_retention: bool = False
    """Nothing of what is said with it is kept: no stored responses, no bodies, state in memory only."""


class KeyCard(BaseModel):
    """A key as it is shown. `hint` is the end of its secret."""

    id: str
    name: str
    hint: str
    valid: bool
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    zero_retention: bool


class MadeKey(KeyCard):
    """A key that was just made. `secret` is shown this once."""

    secret: str


class KeyList(BaseModel):
    data: list[KeyCard]


router = APIRouter(prefix="/api/v1/management/keys")


@router.post("", status_code=201)
async def create_key(body: NewKey, _: Master, console: ConsoleOf) -> MadeKey:
    """Make a key. Its secret is in this answer and nowhere else."""
    issued = await make_key(console, body)
    return MadeKey(**_card(issued.key, console.now_ms()), secret=issued.secret)


@router.get("")
async def list_keys(_: Master, console: ConsoleOf) -> KeyList:
    """All keys, newest first, the revoked and expired ones too."""
    keys = await console.store.list_keys()
    return KeyList(data=[KeyCard(**_card(key, console.now_ms())) for key in keys])


@router.delete("/{key_id}")
async def revoke_key(key_id: str, _: Master, console: ConsoleOf) -> KeyCard:
    """Revoke a key; requests with it are refused at once."""
    now_ms = int(console.now_ms())
    key = await console.store.revoke_key(key_id, now_ms=now_ms)
    if key is None:
        raise NotFound(f"there is no key {key_id}; GET /api/v1/management/keys lists them", param="key_id")
    return KeyCard(**_card(key, now_ms))


async def make_key(console: Console, wanted: NewKey) -> IssuedKey:
    """For the page of keys too."""
    now_ms = int(console.now_ms())
    issued = issue_key(
        wanted.name,
        console.pepper,
        console.random_bytes,
        now_ms=now_ms,
        expires_ms=None if wanted.expires_in_s is None else now_ms + wanted.expires_in_s * 1000,
        zero_retention=wanted.zero_retention,
    )
    await console.store.create_key(issued.key)
    return issued


def _card(key: ApiKey, now_ms: float) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "valid": is_valid(key, now_ms),
        "created_at": _iso(key.created_ms),
        "expires_at": _iso(key.expires_ms),
        "revoked_at": _iso(key.revoked_ms),
        "zero_retention": key.zero_retention,
    }


def _iso(unix_ms: int | None) -> str | None:
    """ISO 8601 without fractions: some clients cannot read those."""
    if unix_ms is None:
        return None
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

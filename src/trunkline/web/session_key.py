"""`POST /platform/session-key`: an API key with which a page of this session asks for answers. In: a signed-in reader. Out: the key, to the page alone.

Its secret follows from the session's id and the pepper, which no page ever shows: so it is the same however often a session asks, over a restart of
the console too, and only its hash is kept, as of any key. It ends with the session; where it was revoked, the next of the session takes its place.
"""

import hmac

from fastapi import APIRouter, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from trunkline.accounts.keys import ApiKey, IssuedKey, is_valid, issue_key
from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.errors import StoreError
from trunkline.web.session import ChangingReader, Reader

NAME = "console session"
MOST = 100
"""Keys of one session: each but the last was revoked by hand."""

router = APIRouter(include_in_schema=False)


class SessionKey(BaseModel):
    """`expires_ms` is Unix time."""

    key: str
    expires_ms: int


@router.post("/platform/session-key")
async def make_session_key(response: Response, console: ConsoleOf, reader: ChangingReader) -> SessionKey:
    """The session's key; made where there is none yet."""
    response.headers["cache-control"] = "no-store"
    return SessionKey(key=await session_key(console, reader), expires_ms=reader.expires_ms)


async def session_key(console: Console, reader: Reader) -> str:
    """The secret of the session's key. It holds at the data plane at once."""
    for number in range(MOST):
        issued = _issued(console, reader, number)
        kept = await console.store.get_key_by_hash(issued.key.hash) or await _keep(console, issued.key)
        if is_valid(kept, console.now_ms()):
            return issued.secret
    raise HTTPException(409, "This session's keys were revoked too often: sign out and in again.")


async def end_session_key(console: Console, reader: Reader) -> None:
    """Revoke what the session had, at signing out."""
    for number in range(MOST):
        kept = await console.store.get_key_by_hash(_issued(console, reader, number).key.hash)
        if kept is None:
            return
        if kept.revoked_ms is None:
            await console.store.revoke_key(kept.id, now_ms=int(console.now_ms()))


async def _keep(console: Console, key: ApiKey) -> ApiKey:
    try:
        await console.store.create_key(key)
    except StoreError:
        # Two tabs asked at once: then it is there now.
        kept = await console.store.get_key_by_hash(key.hash)
        if kept is None:
            raise
        return kept
    return key


def _issued(console: Console, reader: Reader, number: int) -> IssuedKey:
    """The session's key of this number, whether it is kept or not."""
    source = hmac.digest(console.pepper, b"session keys", "sha256")
    # Two draws: what its id is made of says nothing about its secret.
    draws = iter(
        hmac.digest(source, f"{part}:{number}:{reader.session_id}".encode(), "sha256") for part in ("secret", "id")
    )
    return issue_key(
        NAME,
        console.pepper,
        lambda count: next(draws)[:count],
        now_ms=int(console.now_ms()),
        expires_ms=reader.expires_ms,
    )

"""`POST /platform/session-key`: an API key with which a page of this session asks for answers. In: a signed-in reader. Out: the key, to the page alone.

Its secret follows from the session's id and the pepper, which no page ever shows: so it is the same however often a session asks, over a restart of
the console too, and only its hash is kept, as of any key. It ends with the session; where it was revoked, the next of the session takes its place.
"""

import hmac
from collections.abc import Sequence

import msgspec
from fastapi import APIRouter, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from trunkline.accounts.keys import SESSION_KEY_NAME, IssuedKey, is_valid, issue_key
from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.storage.sign_in import keep_session_key
from trunkline.web.session import ChangingReader, Reader

NAME = SESSION_KEY_NAME
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
        kept = await console.store.get_key_by_hash(issued.key.hash) or await keep_session_key(
            console.store, reader.session_id, issued.key
        )
        if kept is None:
            raise HTTPException(401, "This session has ended: sign in again.")
        if is_valid(kept, console.now_ms()):
            return issued.secret
    raise HTTPException(409, "This session's keys were revoked too often: sign out and in again.")


async def end_session_keys(console: Console, session_ids: Sequence[str]) -> None:
    """Revoke what these sessions had, when they end."""
    for session_id in session_ids:
        for number in range(MOST):
            issued = _issued(console, Reader(session_id=session_id), number)
            kept = await console.store.get_key_by_hash(issued.key.hash)
            if kept is None:
                break
            if kept.revoked_ms is None:
                await console.store.revoke_key(kept.id, now_ms=int(console.now_ms()))


def _issued(console: Console, reader: Reader, number: int) -> IssuedKey:
    """The session's key of this number, whether it is kept or not."""
    source = hmac.digest(console.pepper, b"session keys", "sha256")
    # Two draws: what its id is made of says nothing about its secret.
    draws = iter(
        hmac.digest(source, f"{part}:{number}:{reader.session_id}".encode(), "sha256") for part in ("secret", "id")
    )
    issued = issue_key(
        NAME,
        console.pepper,
        lambda count: next(draws)[:count],
        now_ms=int(console.now_ms()),
        expires_ms=reader.expires_ms,
    )
    if reader.actor.kind != "member" or not reader.actor.id:
        return issued
    # What a member asks in the chat is the member's own use, within the member's budgets.
    own = msgspec.structs.replace(issued.key, org_id=reader.actor.org_id, member_id=reader.actor.id)
    return IssuedKey(issued.secret, own)

"""Who has signed in to the pages. In: a cookie, a password, the master key. Out: a `Reader`; a session in the store.

The cookie is random and says nothing; the store has its HMAC, so that a session outlives the console, ends everywhere at once, and holds on every replica.
A session that the master key opened ends with that key. A change needs the token that stands in the page besides, so that another site's form does
nothing (https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html).
"""

import asyncio
import base64
import hmac
from collections.abc import Callable
from typing import TypeVar, overload

import msgspec
from starlette.exceptions import HTTPException

from trunkline.accounts.keys import MASTER_ID
from trunkline.accounts.passwords import NOBODYS, fits, hash_password, is_outdated
from trunkline.accounts.roles import Act, may
from trunkline.accounts.types import Actor, Member
from trunkline.api.management.console import Console
from trunkline.storage.people import member_of_email
from trunkline.storage.sign_in import Session, find_session, note_failed, open_session, refresh_password
from trunkline.storage.tries import Most, give_back_try, spent_try, take_try

HOLDS_MS = 12 * 3_600_000
TRIES = 10
TRIES_WITHIN_MS = 60_000
ACCOUNT_TRIES = 10
ACCOUNT_TRIES_WITHIN_MS = 15 * 60_000
HASHES_AT_ONCE = 2
"""Each takes 64 MiB and a core."""
Found = TypeVar("Found")
NOBODY_ACTOR = Actor(kind="member", id="", name="", role="member", org_id="")


class Reader(msgspec.Struct, frozen=True):
    """The person before the page. `csrf` goes back with every change."""

    signed_in: bool = False
    csrf: str = ""
    session_id: str = ""
    """The HMAC of the cookie, by which the session is kept."""
    expires_ms: int = 0
    """When the session ends, in Unix time."""
    actor: Actor = NOBODY_ACTOR

    def may(self, act: Act) -> bool:
        """Whether their role may do it at all; see `accounts.roles`."""
        return self.signed_in and may(self.actor, act)


NOBODY = Reader()


class Doorkeeper:
    """Lets people in, and counts who cannot show who they are, by address and by account, with all consoles of the store. Lives as long as the app."""

    def __init__(self) -> None:
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)

    async def with_master_key(self, console: Console, key: str, address: str) -> str | None:
        """The cookie's value; None for a wrong key. Raises 429 where too much was wrong that came from the address."""
        taken_ms = await _take(console, address)
        actor = master_actor(address)
        if not hmac.compare_digest(key.encode("utf-8", "surrogatepass"), console.master_key.encode()):
            await _write_failed(console, actor, "master_key")
            return None
        await give_back_try(console.store, _of_address(console, address), (), taken_ms)
        return await new_session(console, actor, None, "master_key")

    async def with_password(self, console: Console, email: str, password: str, address: str) -> str | None:
        """The same with a member's password. An address of mail that is nobody's takes as long and says as little as a wrong password."""
        await self.demand_tries_left(console, address, email)
        found = await member_of_email(console.store, email)
        member, hashed = found or (None, "")
        may_enter = member is not None and bool(hashed) and member.disabled_ms is None
        right = await self._compare(console, hashed, password, address, email, may_enter=may_enter)
        if member is None or not right:
            await _write_failed(console, actor_of(member, address) if member else None, "password")
            return None
        if is_outdated(hashed):
            newer = await self.hashed(password)
            await refresh_password(console.store, member.id, hashed, newer)
            hashed = newer
        return await new_session(console, actor_of(member, address), member, "password", password=hashed)

    async def shows(self, hashed: str, password: str, member: Member, address: str, console: Console) -> bool:
        """Whether a member who has signed in knows their password: counted as at signing in."""
        if await self._compare(console, hashed, password, address, member.email):
            return True
        await _write_failed(console, actor_of(member, address), "password")
        return False

    async def hashed(self, password: str) -> str:
        """To keep."""
        return await self._in_thread(lambda: hash_password(password))

    async def demand_tries_left(self, console: Console, address: str, email: str = "") -> None:
        """Raises 429 where too much was wrong that came from the address, or for the account."""
        _refuse(
            console, await spent_try(console.store, _counted(console, address, email), int(console.now_ms())), email
        )

    async def note_wrong(self, console: Console, address: str) -> None:
        """A link or an answer of another provider that did not hold."""
        await take_try(console.store, _counted(console, address), int(console.now_ms()))

    async def _compare(
        self, console: Console, hashed: str, password: str, address: str, email: str, *, may_enter: bool = True
    ) -> bool:
        """Whether the password fits. The try is counted before: who asks many at once, here and elsewhere, has no more than one after the other."""
        async with self._hashing:
            taken_ms = await _take(console, address, email)
            right = await asyncio.to_thread(fits, hashed or NOBODYS, password) and may_enter
            if right:
                of_account = _of_account(console, email)
                await give_back_try(console.store, _of_address(console, address), (of_account,), taken_ms)
            return right

    async def _in_thread(self, work: Callable[[], Found]) -> Found:
        async with self._hashing:
            return await asyncio.to_thread(work)


async def _take(console: Console, address: str, email: str = "") -> int:
    """Count a try; when. Raises 429 where there are none left."""
    now_ms = int(console.now_ms())
    _refuse(console, await take_try(console.store, _counted(console, address, email), now_ms), email)
    return now_ms


def _refuse(console: Console, spent: Most | None, email: str) -> None:
    if spent is None:
        return
    if email and spent == _of_account(console, email):
        raise HTTPException(429, "Too many wrong passwords for this account; wait a quarter of an hour.")
    raise HTTPException(429, "Too much was wrong that came from your address; wait a minute.")


def _counted(console: Console, address: str, email: str = "") -> tuple[Most, ...]:
    of_address = _of_address(console, address)
    return (of_address, _of_account(console, email)) if email else (of_address,)


def _of_address(console: Console, address: str) -> Most:
    return Most(_hash(console, f"address:{address}"), TRIES, TRIES_WITHIN_MS)


def _of_account(console: Console, email: str) -> Most:
    return Most(_hash(console, f"account:{email}"), ACCOUNT_TRIES, ACCOUNT_TRIES_WITHIN_MS)


def _hash(console: Console, name: str) -> str:
    return hmac.digest(console.pepper, f"tries:{name}".encode("utf-8", "surrogatepass"), "sha256").hex()[:32]


async def _write_failed(console: Console, actor: Actor | None, way: str) -> None:
    if actor is not None:
        await note_failed(console.store, actor, int(console.now_ms()), way)


@overload
async def new_session(console: Console, actor: Actor, member: Member | None, way: str) -> str: ...
@overload
async def new_session(
    console: Console, actor: Actor, member: Member | None, way: str, *, password: str
) -> str | None: ...
async def new_session(
    console: Console, actor: Actor, member: Member | None, way: str, *, password: str = ""
) -> str | None:
    """Open one. Gives the cookie's value; None where `password`, the hash that was compared, is the member's no longer."""
    now_ms = int(console.now_ms())
    cookie = base64.urlsafe_b64encode(console.random_bytes(32)).rstrip(b"=").decode("ascii")
    hashed = _master_hash(console, cookie) if member is None else _member_hash(console, cookie)
    session = Session(hashed, now_ms, now_ms + HOLDS_MS, member)
    is_open = await open_session(console.store, session, actor, way, password=password)
    return cookie if is_open else None


async def reader_of_cookie(console: Console, cookie: str, address: str) -> Reader:
    """Whose cookie it is; nobody's where it does not hold. Raises StoreError."""
    if not cookie or len(cookie) > 100:
        return NOBODY
    hashes = (_member_hash(console, cookie), _master_hash(console, cookie))
    found = await find_session(console.store, hashes, console.now_ms())
    if found is None:
        return NOBODY
    csrf = hmac.digest(console.pepper, f"csrf:{found.hash}".encode(), "sha256").hex()
    actor = master_actor(address) if found.member is None else actor_of(found.member, address)
    return Reader(signed_in=True, csrf=csrf, session_id=found.hash, expires_ms=found.expires_ms, actor=actor)


def master_actor(address: str = "") -> Actor:
    """Whoever has the master key."""
    return Actor(kind="master", id=MASTER_ID, name="master key", role="admin", address=address)


def actor_of(member: Member, address: str = "") -> Actor:
    """A member who has signed in."""
    return Actor("member", member.id, member.name or member.email, member.role, member.org_id, address)


def _member_hash(console: Console, cookie: str) -> str:
    return hmac.digest(console.pepper, f"session:{cookie}".encode("utf-8", "surrogatepass"), "sha256").hex()


def _master_hash(console: Console, cookie: str) -> str:
    key = hmac.digest(console.pepper, console.master_key.encode(), "sha256")
    return hmac.digest(key, f"session:{cookie}".encode("utf-8", "surrogatepass"), "sha256").hex()

"""Who calls the management API. In: a request's headers. Out: the key that it came with, or AccessDenied.

The master key may do everything; an API key may read its own generations. A key comes in any of the three headers that
clients use.
"""

import hmac
from typing import Annotated

from fastapi import Depends, Request

from trunkline.accounts.keys import MASTER_ID, ApiKey, hash_secret, is_valid
from trunkline.api.management.console import Console
from trunkline.errors import AccessDenied

HEADERS = ("x-api-key", "x-goog-api-key")


def console_of(request: Request) -> Console:
    """The process's console."""
    console = request.app.state.console
    assert isinstance(console, Console)
    return console


async def caller(request: Request) -> ApiKey:
    """The key of the caller. Raises AccessDenied without one that holds."""
    secret = _secret(request)
    if not secret:
        raise AccessDenied("no key was sent; send the master key or an API key as `Authorization: Bearer KEY`")
    console = console_of(request)
    hashed = hash_secret(console.pepper, secret)
    if hmac.compare_digest(hashed, hash_secret(console.pepper, console.master_key)):
        return ApiKey(id=MASTER_ID, name="master key", hash=hashed, hint=secret[-4:], created_ms=0)
    key = await console.store.get_key_by_hash(hashed)
    if key is None or not is_valid(key, console.now_ms()):
        raise AccessDenied("this key is not known, has expired or was revoked")
    return key


async def master(key: Annotated[ApiKey, Depends(caller)]) -> ApiKey:
    """The master key. Raises AccessDenied for any other."""
    if key.id != MASTER_ID:
        raise AccessDenied("this needs the master key; an API key may only read its own generations")
    return key


def _secret(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return next((request.headers[name] for name in HEADERS if request.headers.get(name)), "")


ConsoleOf = Annotated[Console, Depends(console_of)]
Caller = Annotated[ApiKey, Depends(caller)]
Master = Annotated[ApiKey, Depends(master)]

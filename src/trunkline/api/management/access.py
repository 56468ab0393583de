"""Who calls the management API. In: a request's headers, or the session of a page of ours. Out: an `Actor`, or AccessDenied.

A key comes in any of the three headers that clients use: the master key may do everything, a management key what an administrator of its organisation
may. Without one the session of a signed-in member counts; to change something it needs the session's token in `x-csrf-token`.
"""

import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from trunkline.accounts.keys import ApiKey, hash_secret, is_valid
from trunkline.accounts.roles import Act, demand
from trunkline.accounts.types import Actor
from trunkline.api.management.console import Console
from trunkline.api.management.sessions import NOBODY, Reader, master_actor
from trunkline.errors import AccessDenied, StoreError

HEADERS = ("x-api-key", "x-goog-api-key")
SAFE = ("GET", "HEAD", "OPTIONS")
NEEDED = "send the master key or a management key as `Authorization: Bearer KEY`"


def console_of(request: Request) -> Console:
    """The process's console."""
    console = request.app.state.console
    assert isinstance(console, Console)
    return console


async def _console(request: Request) -> Console:
    # A coroutine, though it waits for nothing: a plain function is called in a thread, which costs more than some pages do
    # (https://fastapi.tiangolo.com/async/#dependencies). So are all dependencies here.
    return console_of(request)


def address_of(request: HTTPConnection) -> str:
    """Who asks, as the data plane tells it."""
    return request.headers.get("x-trunkline-peer", "")[:60]


async def any_caller(request: Request) -> Actor | ApiKey:
    """An actor, or an inference key, which may read its own generations and nothing else. Raises AccessDenied without any that holds."""
    secret = _secret(request)
    if not secret:
        return _signed_in(request)
    console = console_of(request)
    hashed = hash_secret(console.pepper, secret)
    if hmac.compare_digest(hashed, hash_secret(console.pepper, console.master_key)):
        return master_actor(address_of(request))
    key = await console.store.get_key_by_hash(hashed)
    if key is None or not is_valid(key, console.now_ms()):
        raise AccessDenied("this key is not known, has expired or was revoked")
    return actor_of_key(key, address_of(request)) if key.kind == "management" else key


async def caller(found: Annotated[Actor | ApiKey, Depends(any_caller)]) -> Actor:
    """Whoever may manage something. Raises AccessDenied for an inference key."""
    if isinstance(found, ApiKey):
        raise AccessDenied(f"this is a key for models; {NEEDED}")
    return found


async def master(actor: Annotated[Actor, Depends(caller)]) -> Actor:
    """The master key, also by a session that it opened. Raises AccessDenied for everyone else."""
    if actor.kind != "master":
        raise AccessDenied("this needs the master key")
    return actor


async def admin(actor: Annotated[Actor, Depends(caller)]) -> Actor:
    """The master key, a management key, or an administrator. Raises AccessDenied for other members."""
    if actor.role != "admin":
        raise AccessDenied("this needs an administrator")
    return actor


def allowed(act: Act) -> Callable[[Actor], Awaitable[Actor]]:
    """A dependency that gives whoever may do it at all (see `accounts.roles`); how far, `covers` and `organisation_of` say."""

    async def check(actor: Caller) -> Actor:
        demand(actor, act)
        return actor

    return check


def actor_of_key(key: ApiKey, address: str) -> Actor:
    """A management key acts as an administrator of its organisation."""
    return Actor("key", key.id, key.name, "admin", key.org_id, address)


def _signed_in(request: Request) -> Actor:
    reader = getattr(request.state, "reader", NOBODY)
    assert isinstance(reader, Reader)
    if not reader.signed_in:
        fault = getattr(request.state, "fault", None)
        raise fault if isinstance(fault, StoreError) else AccessDenied(f"no key was sent; {NEEDED}")
    token = request.headers.get("x-csrf-token", "")
    if request.method not in SAFE and not hmac.compare_digest(token.encode(), reader.csrf.encode()):
        raise AccessDenied("a page that changes something sends its session's token as `x-csrf-token`")
    return reader.actor


def _secret(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return next((request.headers[name] for name in HEADERS if request.headers.get(name)), "")


ConsoleOf = Annotated[Console, Depends(_console)]
AnyCaller = Annotated[Actor | ApiKey, Depends(any_caller)]
Caller = Annotated[Actor, Depends(caller)]
Master = Annotated[Actor, Depends(master)]
Admin = Annotated[Actor, Depends(admin)]
Member = Caller
"""Whoever has signed in, and the keys that stand for administrators."""

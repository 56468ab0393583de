"""Both implementations of the shared state, behind one face; each test's names are its own, so that one Redis serves all."""

import asyncio
import contextlib
import inspect
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.redis_server import RedisServer, redis_server
from trunkline.accounts.shared import Claim, Grant, Hold, Places, Rate, Refusal, Spent
from trunkline.shared.memory import InMemory
from trunkline.shared.redis import InRedis
from trunkline.shared.redis_client import address_of

__all__ = ["redis_server"]
START_MS = 1_800_000_000_000.0


class Shared:
    """A state, and a clock that a test sets."""

    def __init__(self, state: Any) -> None:
        self.state = state
        self.now_ms = START_MS
        self._mark = uuid.uuid4().hex

    def name(self, text: str) -> str:
        """Of its own."""
        return f"{text}:{self._mark}"

    def hold(self, text: str = "budget:b", limit: int = 100) -> Hold:
        return Hold(self.name(text), limit)

    def rate(self, kind: Any = "requests", per_minute: int = 60) -> Rate:
        return Rate(self.name(kind), kind, per_minute)

    def places(self, most: int = 2) -> Places:
        return Places(self.name("places"), most)

    async def filled(self, hold: Hold, spent: int = 0, counted: tuple[str, ...] = ()) -> Hold:
        await now(self.state.open(hold))
        await now(self.state.fill(hold.name, spent, [self.name(id_) for id_ in counted]))
        return hold

    async def claim(self, id_: str, amount: int = 10, least: int | None = None, **terms: Any) -> Grant | Refusal:
        claim = Claim(self.name(id_), amount, amount if least is None else least, **terms)
        return await now(self.state.claim(claim, self.now_ms))

    async def extend(self, id_: str, more: int) -> Grant | Refusal:
        return await now(self.state.extend(self.name(id_), more, self.now_ms))

    async def settle(self, id_: str, cost: int, tokens: int = 0, *names: str) -> None:
        self.state.settle(self.name(id_), cost, tokens, self.now_ms, names)

    async def spent(self, hold: Hold) -> Spent:
        found = await now(self.state.spent([hold.name], self.now_ms))
        return found[0]

    def passes(self, seconds: float) -> None:
        self.now_ms += seconds * 1000


async def now(answer: Any) -> Any:
    return await answer if inspect.isawaitable(answer) else answer


class Quiet:
    """A log that nobody reads."""

    def error(self, *_: Any, **__: Any) -> None: ...

    def info(self, *_: Any, **__: Any) -> None: ...


@contextlib.asynccontextmanager
async def in_redis(server: RedisServer, **more: Any) -> AsyncIterator[InRedis]:
    """One gateway's side."""
    made = InRedis(address_of(server.url), lambda: time.time() * 1000, **({"wait_ms": 0} | more))
    keeping = asyncio.create_task(made.keep_up(Quiet()))
    with contextlib.suppress(Exception):
        await made.connect()
    try:
        yield made
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})
        made.close()
        # A connection is closed in the next turn of the loop.
        await asyncio.sleep(0)


@pytest.fixture(params=["memory", "redis"])
async def shared(request: pytest.FixtureRequest) -> AsyncIterator[Shared]:
    if request.param == "memory":
        yield Shared(InMemory())
        return
    async with in_redis(request.getfixturevalue("redis_server")) as made:
        yield Shared(made)

"""What gateways tell each other over a real Redis beside budgets: who answers which request, where conversations are, how offers do."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from tests.fakes.kept import NOW_MS, Sink, Source
from tests.fakes.redis_server import RedisServer, redis_server
from trunkline.errors import InProgress, KeyReused, Overloaded, StoreError
from trunkline.execution.idempotency import HOUR_MS, Answer
from trunkline.execution.shared_holds import SharedHolds
from trunkline.execution.shared_ledger import SharedLedger
from trunkline.execution.shelf import Shelf
from trunkline.records.types import Kept
from trunkline.routing.affinity import Held
from trunkline.routing.health import Health, Sample
from trunkline.shared.board import Board
from trunkline.shared.hearing import Hearing
from trunkline.shared.link import Link
from trunkline.shared.names import Names
from trunkline.shared.redis_client import Away, address_of

__all__ = ["redis_server"]
ASKED = b"digest"
ANSWER = Answer(ASKED, "req_1", "acme/alpha", "alpha", False, "stop", [(b"content-type", b"text/plain")], b"hello")
OFFER = "acme/alpha:acme"


@contextlib.asynccontextmanager
async def link_to(server: RedisServer, timeout_s: float = 5.0) -> AsyncIterator[Link]:
    """One gateway's."""
    made = Link(address_of(server.url), timeout_s=timeout_s)
    with contextlib.suppress(Away):
        await made.look()
    try:
        yield made
    finally:
        made.close()
        # A connection is closed in the next turn of the loop.
        await asyncio.sleep(0)


@pytest.fixture
async def links(redis_server: RedisServer) -> AsyncIterator[tuple[Link, Link]]:
    async with link_to(redis_server) as one, link_to(redis_server) as two:
        yield one, two


class World:
    """One store, and two gateways on it, each with its own memory."""

    def __init__(self, links: tuple[Link, Link], thread: ThreadPoolExecutor, lease_s: float) -> None:
        self.source = Source()
        self.sinks = [Sink(), Sink()]
        self.names = [Names(link, self.unix_ms, lease_s) for link in links]
        self.spools = False
        self.now_s = 100.0
        self.name = f"answer/key_1/{uuid.uuid4().hex}"
        self.ledgers = [
            SharedLedger(Shelf(sink, self.source, thread, self.unix_ms), self.clock, names, lambda: self.spools)
            for sink, names in zip(self.sinks, self.names, strict=True)
        ]

    def clock(self) -> float:
        """Time passes as it is looked at."""
        self.now_s += 0.25
        return self.now_s

    def unix_ms(self) -> float:
        return NOW_MS + self.now_s * 1000

    async def claim(self, gateway: int, asked: bytes = ASKED) -> Answer | None:
        return await self.ledgers[gateway].claim(self.name, asked)

    async def answer(self, gateway: int) -> None:
        """It has an answer, and whoever asked for it has it."""
        now_ms = int(self.unix_ms())
        data = msgspec.msgpack.encode(ANSWER)
        await self.ledgers[gateway].keep(Kept(self.name, "answer", "key_1", now_ms, now_ms + HOUR_MS, data))
        await self.ledgers[gateway].release(self.name)

    def store(self, gateway: int) -> None:
        """What was kept comes to the store."""
        self.sinks[gateway].store(self.source)


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


@pytest.fixture
def world(links: tuple[Link, Link], thread: ThreadPoolExecutor) -> World:
    return World(links, thread, lease_s=15.0)


@contextlib.asynccontextmanager
async def going_on(*work: Any) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def sooner_or_later(ask: Any) -> None:
    for _ in range(2_000):
        if await ask():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come")


# --- requests that come again


async def test_a_request_that_one_gateway_answers_is_in_progress_at_the_other(world: World) -> None:
    assert await world.claim(0) is None
    with pytest.raises(InProgress):
        await world.claim(1)


async def test_another_body_is_refused_at_the_other_gateway(world: World) -> None:
    await world.claim(0)
    with pytest.raises(KeyReused):
        await world.claim(1, b"another digest")


async def test_the_other_gateway_gives_the_answer_that_is_in_the_store(world: World) -> None:
    await world.claim(0)
    await world.answer(0)
    world.store(0)
    assert await world.claim(1) == ANSWER
    with pytest.raises(KeyReused):
        await world.claim(1, b"another digest")


async def test_the_other_gateway_waits_for_an_answer_that_is_on_its_way_to_the_store(world: World) -> None:
    await world.claim(0)
    await world.answer(0)
    asking = asyncio.create_task(world.claim(1))

    async def has_looked_twice() -> bool:
        return len(world.source.asked) >= 3

    await sooner_or_later(has_looked_twice)
    world.store(0)
    assert await asking == ANSWER


async def test_while_an_answer_is_in_one_gateway_alone_nobody_else_takes_the_name(world: World) -> None:
    await world.claim(0)
    world.spools = True
    await world.answer(0)
    world.sinks[0].durable_changes = 1
    async with going_on(world.names[0].keep_up()):
        with pytest.raises(InProgress):
            await world.claim(1)
        assert await world.claim(0) == ANSWER


async def test_once_it_is_stored_the_name_is_let_go(world: World, links: tuple[Link, Link]) -> None:
    await world.claim(0)
    await world.answer(0)
    world.store(0)

    async def is_free() -> bool:
        return await links[1].ask("EXISTS", f"tl:n:{world.name}") == 0

    assert not await is_free()
    async with going_on(world.names[0].keep_up()):
        await sooner_or_later(is_free)


async def test_what_ends_without_an_answer_is_asked_anew_anywhere(world: World) -> None:
    await world.claim(0)
    await world.ledgers[0].release(world.name)
    assert await world.claim(1) is None


async def test_what_may_not_be_stored_is_found_by_its_own_gateway_only(world: World) -> None:
    await world.claim(0)
    now_ms = int(world.unix_ms())
    data = msgspec.msgpack.encode(ANSWER)
    await world.ledgers[0].keep_here(Kept(world.name, "answer", "key_1", now_ms, now_ms + HOUR_MS, data))
    await world.ledgers[0].release(world.name)
    assert await world.claim(0) == ANSWER
    assert await world.claim(1) is None


async def test_of_many_at_two_gateways_at_once_one_is_to_answer(world: World) -> None:
    found = await asyncio.gather(*[world.claim(at % 2) for at in range(20)], return_exceptions=True)
    assert found.count(None) == 1
    assert sum(isinstance(one, InProgress) for one in found) == 19


async def test_a_store_that_cannot_be_read_leaves_the_name_to_the_next(world: World) -> None:
    world.source.error = StoreError("away")
    with pytest.raises(Overloaded):
        await world.claim(0)
    world.source.error = None
    assert await world.claim(1) is None


async def test_the_name_of_a_gateway_that_is_gone_is_free_after_its_lease(links, thread) -> None:
    world = World(links, thread, lease_s=0.2)
    await world.claim(0)

    async def is_ours() -> bool:
        with contextlib.suppress(InProgress):
            return await world.claim(1) is None
        return False

    await sooner_or_later(is_ours)


async def test_one_that_goes_on_holds_its_name_over_a_redis_that_comes_back_empty(world: World) -> None:
    await world.claim(0)
    await world.ledgers[0]._names._link.ask("FLUSHDB")  # type: ignore[attr-defined]
    await world.names[0].renew()
    await world.names[0]._link.look()
    with pytest.raises(InProgress):
        await world.claim(1)


async def test_without_a_redis_each_gateway_answers_by_itself(thread) -> None:
    server = RedisServer()
    async with link_to(server) as one, link_to(server) as two:
        world = World((one, two), thread, 15.0)
        server.stop()
        assert [await world.claim(0), await world.claim(1)] == [None, None]
        with pytest.raises(InProgress):
            await world.claim(0)


# --- conversations


def holds_of(link: Link, now_s: float) -> SharedHolds:
    """Of a gateway whose own clock stands there; the world's is the same for all."""
    return SharedHolds(Board(link), lambda: now_s, lambda: 1_000_000.0)


async def test_what_one_gateway_saw_of_a_conversation_the_other_knows_by_its_own_clock(links) -> None:
    one, two, name = holds_of(links[0], 50.0), holds_of(links[1], 9_000.0), uuid.uuid4().bytes
    one.keep(name, Held(OFFER, 1, 2_000, until_s=50.0 + 240, ttl_s=300.0))
    assert two.find(name) is None
    # Its own commands are answered in their order: by then the other's was.
    await links[0].ask("PING")
    await two.recall(name)
    assert two.find(name) == Held(OFFER, 1, 2_000, 9_240.0, 300.0)


async def test_a_cache_is_told_for_as_long_as_it_lives_and_state_for_a_day(links) -> None:
    holds, name, other = holds_of(links[0], 0.0), uuid.uuid4().bytes, uuid.uuid4().bytes
    held = Held(OFFER, until_s=300.0)
    holds.keep(name, held)
    holds.keep(other, held, has_state=True)
    left_ms = [await links[0].ask("PTTL", f"tl:a:{one.hex()}") for one in (name, other)]
    assert 0 < left_ms[0] <= 300_000 < left_ms[1] <= 86_400_000


async def test_words_that_cannot_be_read_and_a_redis_that_is_away_change_nothing(thread) -> None:
    server, name = RedisServer(), uuid.uuid4().bytes
    async with link_to(server) as link:
        holds = holds_of(link, 0.0)
        held = Held(OFFER, until_s=300.0)
        holds.keep(name, held)
        await link.ask("SET", f"tl:a:{name.hex()}", "of another version")
        await holds.recall(name)
        assert holds.find(name) == held
        server.stop()
        await holds.recall(name)
        assert holds.find(name) == held


# --- health


class Gate:
    """One gateway's view of offers."""

    def __init__(self, link: Link) -> None:
        self.health = Health()
        self.now_s = 1_000.0
        self.link = link
        self.hearing = Hearing(link, lambda: self.health.news(self.now_s), self._hear)

    def _hear(self, words: bytes, ago_s: float) -> None:
        # The real time that passed is no matter of this test.
        self.health.hear_of(words, self.now_s, 0.0)
        assert 0 <= ago_s < 60


async def test_a_breaker_that_opens_at_one_gateway_is_open_at_the_other_after_one_exchange(links) -> None:
    await links[0].ask("DEL", "tl:health")
    one, two = Gate(links[0]), Gate(links[1])
    for _ in range(3):
        one.health.observe(OFFER, Sample(one.now_s, False, began_s=one.now_s - 1))
    changes = two.health.changes
    await one.hearing.exchange()
    await two.hearing.exchange()
    figures = two.health.figures(OFFER, two.now_s)
    assert (figures.breaker, figures.uptime, figures.attempts) == ("open", 0.0, 3)
    assert two.health.changes > changes


async def test_nobody_hears_of_itself_nor_twice_nor_of_what_others_told_it(links) -> None:
    await links[0].ask("DEL", "tl:health")
    one, two = Gate(links[0]), Gate(links[1])
    one.health.observe(OFFER, Sample(one.now_s, True, 100.0, began_s=one.now_s - 1))
    for _ in range(3):
        await one.hearing.exchange()
        await two.hearing.exchange()
    assert one.health.figures(OFFER, one.now_s).attempts == 1
    assert two.health.figures(OFFER, two.now_s).attempts == 1


async def test_who_starts_hears_of_the_last_minute(links) -> None:
    await links[0].ask("DEL", "tl:health")
    one = Gate(links[0])
    one.health.observe(OFFER, Sample(one.now_s, True, 100.0, began_s=one.now_s - 1))
    await one.hearing.exchange()
    two = Gate(links[1])
    await two.hearing.exchange()
    assert two.health.figures(OFFER, two.now_s).first_token_ms == 100.0


async def test_a_redis_that_is_away_leaves_each_gateway_what_it_knows() -> None:
    server = RedisServer()
    async with link_to(server) as link:
        gate = Gate(link)
        server.stop()
        with contextlib.suppress(Away):
            await link.look()
        gate.health.observe(OFFER, Sample(gate.now_s, True, 100.0))
        await gate.hearing.exchange()
        assert list(gate.health.news(gate.now_s)), "what could not be told was not asked for"

"""A Redis that is away, slow, or comes back empty: nothing is granted twice, and nothing that was settled is lost."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.fakes.redis_server import RedisServer
from tests.shared.conftest import in_redis
from trunkline.accounts.shared import Claim, Grant, Hold, Places, Rate, Refusal, Spent
from trunkline.errors import ConfigError
from trunkline.shared.redis import InRedis
from trunkline.shared.redis_client import Away, RedisClient, address_of

_ids = itertools.count()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """One that this test may kill."""
    made = RedisServer()
    yield made
    made.stop()


@pytest.fixture
async def two(server: RedisServer) -> AsyncIterator[tuple[InRedis, InRedis]]:
    """Two gateways' sides."""
    async with in_redis(server) as first, in_redis(server) as second:
        yield first, second


def claim_of(hold: Hold, amount: int, least: int | None = None, **more: Any) -> Claim:
    return Claim(f"req_{next(_ids)}", amount, amount if least is None else least, (hold,), **more)


def now_ms() -> float:
    return time.time() * 1000


async def filled(state: InRedis, name: str, limit: int, spent: int = 0, counted: tuple[str, ...] = ()) -> Hold:
    hold = Hold(name, limit)
    await state.open(hold)
    await state.fill(name, spent, counted)
    return hold


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - another process brings it about
            await asyncio.sleep(0.02)


async def is_back(state: InRedis) -> bool:
    with contextlib.suppress(Away):
        await state.connect()
        return True
    return False


async def test_two_gateways_share_a_hold(two) -> None:
    first, second = two
    hold = await filled(first, "budget:shared", 1_000)
    claims = [claim_of(hold, 57, 20) for _ in range(100)]
    answers = await asyncio.gather(
        *[(first, second)[number % 2].claim(claim, now_ms()) for number, claim in enumerate(claims)]
    )
    assert sum(answer.amount_pico_usd for answer in answers if isinstance(answer, Grant)) == 1_000


async def test_one_that_holds_its_tongue_is_away_in_time_and_money_waits(server) -> None:
    async with in_redis(server, timeout_s=0.1) as state:
        hold = await filled(state, "budget:slow", 100)
        server.pause()
        started = time.monotonic()
        answer = await state.claim(claim_of(hold, 10), now_ms())
        assert answer == Refusal("unavailable", hold.name)
        assert time.monotonic() - started < 5
        assert state.is_away
        server.go_on()
        await until(lambda: is_back(state))
        # What may have been granted without anybody's knowledge is given back.
        await until(lambda: _is(state, hold, Spent(0, 0)))


async def test_what_is_settled_while_it_is_away_is_told_when_it_is_back(server) -> None:
    async with in_redis(server, timeout_s=0.1) as state:
        hold = await filled(state, "budget:later", 100)
        claim = claim_of(hold, 40)
        await state.claim(claim, now_ms())
        server.pause()
        await state.claim(claim_of(hold, 1), now_ms())
        state.settle(claim.id, 33, 0, now_ms(), [hold.name])
        server.go_on()
        await until(lambda: _is(state, hold, Spent(33, 0)))


async def test_rates_are_counted_here_alone_while_it_is_away(server) -> None:
    async with in_redis(server, timeout_s=0.1) as state:
        server.kill()
        rate = Rate("requests:local", "requests", 1)
        assert isinstance(await state.claim(Claim("a", 0, 0, rates=(rate,)), now_ms()), Grant)
        assert (await state.claim(Claim("b", 0, 0, rates=(rate,)), now_ms())).kind == "requests"
        state.settle("a", 0, 0, now_ms())


async def test_money_too_where_the_operator_wants_it(server) -> None:
    async with in_redis(server, timeout_s=0.1, when_away="local") as state:
        server.kill()
        await state.claim(Claim("nobody", 0, 0), now_ms())
        hold = Hold("budget:open", 100)
        assert (await state.claim(claim_of(hold, 60), now_ms())).kind == "unknown"
        assert await state.open(hold)
        await state.fill(hold.name, 30, [])
        claim = claim_of(hold, 60)
        assert await state.claim(claim, now_ms()) == Grant(60)
        assert (await state.claim(claim_of(hold, 60), now_ms())).kind == "budget"
        state.settle(claim.id, 50, 0, now_ms(), [hold.name])
        server.start()
        await until(lambda: is_back(state))
        # The other gateways learn of it: the sum of the store does not have it yet.
        await until(lambda: _opens(state, hold))
        await state.fill(hold.name, 30, [])
        await until(lambda: _is(state, hold, Spent(80, 0)))


async def test_one_that_comes_back_empty_learns_what_is_under_way_and_what_was_settled(server, two) -> None:
    first, second = two
    hold = await filled(first, "budget:lost", 100)
    open_here, open_there, done, stored = (claim_of(hold, amount) for amount in (10, 20, 30, 5))
    for state, claim in ((first, open_here), (second, open_there), (first, done), (second, stored)):
        assert isinstance(await state.claim(claim, now_ms()), Grant)
    first.settle(done.id, 29, 0, now_ms(), [hold.name])
    second.settle(stored.id, 4, 0, now_ms(), [hold.name])
    await until(lambda: _is(first, hold, Spent(33, 30)))
    server.kill()
    server.start()
    await until(lambda: is_back(first))
    await until(lambda: is_back(second))
    assert (await second.claim(claim_of(hold, 1), now_ms())).kind == "unknown"
    await until(lambda: _opens(second, hold))
    # The store has one of the two already.
    await second.fill(hold.name, 4, [stored.id])
    await until(lambda: _is(first, hold, Spent(33, 30)))
    first.settle(open_here.id, 9, 0, now_ms(), [hold.name])
    await until(lambda: _is(second, hold, Spent(42, 20)))


async def test_an_empty_one_grants_no_money_before_all_have_told(server) -> None:
    async with in_redis(server, wait_ms=60_000) as state:
        hold = await filled(state, "budget:early", 100)
        assert (await state.claim(claim_of(hold, 1), now_ms())).kind == "unknown"


async def test_scripts_that_were_flushed_are_loaded_again(server) -> None:
    async with in_redis(server) as state:
        hold = await filled(state, "budget:flushed", 100)
        await state._client.ask("SCRIPT", "FLUSH")
        await state.claim(claim_of(hold, 1), now_ms())
        await until(lambda: is_back(state))
        assert isinstance(await state.claim(claim_of(hold, 1), now_ms()), Grant)


async def test_a_wrong_password_is_away_and_not_shown(server) -> None:
    address = address_of(f"redis://:secret-nonsense@127.0.0.1:{server.port}/0")
    client = RedisClient(address, 1.0, {})
    with pytest.raises(Away) as told:
        await client.connect()
    assert "secret-nonsense" not in f"{told.value}{address!r}"
    await asyncio.sleep(0)


@pytest.mark.parametrize("url", ["http://a", "redis://", "redis://a:b/0", "redis://a/x"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(ConfigError, match="must be the address of Redis"):
        address_of(url)


def test_addresses_in_all_forms() -> None:
    assert address_of("unix:///run/redis.sock?db=2").path == "/run/redis.sock"
    found = address_of("rediss://who:p%40ss@host:6380/3")
    assert (found.host, found.port, found.user, found.password, found.database, found.tls) == (
        "host", 6380, "who", "p@ss", 3, True,
    )  # fmt: skip


async def _is(state: InRedis, hold: Hold, wanted: Spent) -> bool:
    with contextlib.suppress(Away):
        found = await state.spent([hold.name], now_ms())
        return found[0] == wanted
    return False


async def _opens(state: InRedis, hold: Hold) -> bool:
    with contextlib.suppress(Away):
        return await state.open(hold)
    return False


async def test_what_a_dead_gateway_held_is_let_go_once_it_is_known_to_be_dead(server) -> None:
    async with in_redis(server, gone_ms=0) as living:
        hold, places = await filled(living, "budget:dead", 100), Places("places:dead", 2)
        mine = claim_of(hold, 30, places=(places,))
        assert await living.claim(mine, now_ms()) == Grant(30)
        async with in_redis(server, gate="gw_dead") as dying:
            await dying.claim(claim_of(hold, 70, places=(places,)), now_ms())
            assert (await living.claim(claim_of(hold, 1), now_ms())).kind == "budget"
        living.let_go("gw_dead")
        await until(lambda: _is_after_a_beat(living, hold, Spent(0, 30)))
        assert await living.claim(claim_of(hold, 70, places=(places,)), now_ms()) == Grant(70)
        living.settle(mine.id, 30, 0, now_ms(), [hold.name])
        await until(lambda: _is(living, hold, Spent(30, 70)))


async def test_a_gateway_that_is_silent_here_alone_keeps_what_it_holds(server) -> None:
    async with in_redis(server) as first:
        hold = await filled(first, "budget:cut-off", 100)
        async with in_redis(server) as second:
            await second.claim(claim_of(hold, 70), now_ms())
        # As after an hour in which it was not heard.
        await _ago(second, 3_600, by=first)
        for _ in range(3):
            await first.connect()
        assert await _is(first, hold, Spent(0, 70))


async def test_what_an_earlier_process_of_the_same_name_held_is_let_go_at_the_start(server) -> None:
    async with in_redis(server) as living:
        hold = await filled(living, "budget:again", 100)
        async with in_redis(server, gate="gw_again") as before:
            await before.claim(claim_of(hold, 70), now_ms())
        async with in_redis(server, gate="gw_again", gone_ms=0) as after:
            going = claim_of(hold, 20)
            await after.claim(going, now_ms())
            await until(lambda: _is_after_a_beat(after, hold, Spent(0, 20)))
            await after.connect()
            assert await _is(living, hold, Spent(0, 20))


async def test_one_that_was_held_for_dead_and_lives_never_ceases_to_hold(server) -> None:
    async with in_redis(server, gone_ms=60_000) as first, in_redis(server, gate="gw_lives") as second:
        hold = await filled(first, "budget:alive", 100)
        going = claim_of(hold, 70)
        await second.claim(going, now_ms())
        first.let_go("gw_lives")
        await until(lambda: _has_told_of_the_dead(first))
        await second.connect()
        # What is let go is, from now on.
        await second._client.ask("SET", "tl:gone_at", "0")
        await first.connect()
        assert await _is(first, hold, Spent(0, 70))
        second.settle(going.id, 50, 0, now_ms(), [hold.name])
        await until(lambda: _is(first, hold, Spent(50, 0)))


async def test_one_that_comes_back_after_it_was_let_go_holds_again(server) -> None:
    async with in_redis(server, gone_ms=0) as first, in_redis(server, gate="gw_late") as second:
        hold = await filled(first, "budget:late", 100)
        await second.claim(claim_of(hold, 70), now_ms())
        first.let_go("gw_late")
        await until(lambda: _has_told_of_the_dead(first))
        await first.connect()
        # It may have shown life in between already.
        await second.connect()
        await until(lambda: _is(first, hold, Spent(0, 70)))


async def test_what_the_record_of_an_interrupted_request_says_takes_the_place_of_what_was_settled(server) -> None:
    """Its gateway had settled it, and was killed before its record was stored."""
    async with in_redis(server) as state:
        hold = await filled(state, "budget:interrupted", 100)
        claim = claim_of(hold, 70)
        await state.claim(claim, now_ms())
        state.settle(claim.id, 50, 0, now_ms(), [hold.name])
        for _ in range(2):
            state.settle_interrupted(claim.id, 70, now_ms(), [hold.name])
        state.settle(claim.id, 20, 0, now_ms(), [hold.name])
        await until(lambda: _is(state, hold, Spent(70, 0)))


async def test_of_a_sum_that_is_read_yet_it_counts_as_its_record_says(server) -> None:
    async with in_redis(server) as state:
        held, counted = Hold("budget:unread", 100), Hold("budget:counted", 100)
        for hold in (held, counted):
            await state.open(hold)
        state.settle("req_gone", 50, 0, now_ms(), [held.name, counted.name])
        state.settle_interrupted("req_gone", 70, now_ms(), [held.name, counted.name])
        await state.fill(held.name, 5, [])
        await state.fill(counted.name, 70, ["req_gone"])
        assert await state.spent([held.name, counted.name], now_ms()) == [Spent(75, 0), Spent(70, 0)]


async def test_a_filling_whose_gateway_is_dead_is_taken_over(server) -> None:
    hold = Hold("budget:half", 100)
    async with in_redis(server) as living:
        async with in_redis(server) as dying:
            assert await dying.open(hold)
            assert not await living.open(hold)
        await until(lambda: _opens(living, hold))
        await living.fill(hold.name, 40, [])
        assert await living.claim(claim_of(hold, 60), now_ms()) == Grant(60)


async def test_one_that_fills_for_long_and_lives_is_left_to_it(server) -> None:
    hold = Hold("budget:long", 100)
    async with in_redis(server) as first, in_redis(server) as second:
        assert await first.open(hold)
        await first.connect()
        assert not await second.open(hold)
        await _ago(first, 3)
        await first.connect()
        assert not await second.open(hold)


async def test_thousands_that_were_refused_while_it_was_away_are_no_load_when_it_is_back(server) -> None:
    async with in_redis(server) as state:
        hold = await filled(state, "budget:many", 100)
        server.kill()
        await until(lambda: _is_refused(state, hold))
        for _ in range(3_000):
            await state.claim(claim_of(hold, 1), now_ms())
        assert len(state._unsettled) <= 1


async def test_what_only_this_gateway_knew_of_is_not_kept_to_be_told(server) -> None:
    async with in_redis(server) as state:
        server.kill()
        await until(lambda: _is_lost(state))
        places, hold = Places("places:alone", 1), Hold("budget:refused", 100)
        for number in range(80_000):
            id_ = f"alone_{number}"
            assert isinstance(await state.claim(Claim(f"no_{number}", 1, 1, (hold,)), now_ms()), Refusal)
            assert isinstance(await state.claim(Claim(id_, 0, 0, places=(places,)), now_ms()), Grant)
            state.settle(id_, 0, 0, now_ms())
        assert not state._unsettled
        assert not state._recent
        server.start()
        await until(lambda: is_back(state))


async def test_what_is_on_its_way_is_not_sent_once_more(server) -> None:
    async with in_redis(server, timeout_s=20) as state:
        server.pause()
        for number in range(100):
            state.settle(f"going_{number}", 1, 0, now_ms(), ["budget:going"])
        state._lost.set()
        server.go_on()
        await until(lambda: _has_told_all(state))
        stats = (await state._client.ask("INFO", "commandstats")).decode()
        # Each once, and beats.
        assert stats.count("cmdstat_evalsha") == 1
        calls = int(stats.partition("cmdstat_set:calls=")[2].partition(",")[0])
        assert calls < 130


async def test_each_time_it_is_away_counting_begins_with_what_the_store_has(server) -> None:
    async with in_redis(server, when_away="local") as state:
        name = "budget:twice"
        server.kill()
        await until(lambda: _is_lost(state))
        hold = await filled(state, name, 10, 2)
        going = claim_of(hold, 1)
        assert await state.claim(going, now_ms()) == Grant(1)
        server.start()
        await until(lambda: is_back(state))
        await until(lambda: _opens(state, hold))
        await state.fill(name, 2, [])
        over = claim_of(hold, 6)
        assert await state.claim(over, now_ms()) == Grant(6)
        state.settle(over.id, 6, 0, now_ms(), [name])
        await until(lambda: _is(state, hold, Spent(8, 0)))
        server.kill()
        await until(lambda: _is_lost(state))
        assert (await state.claim(claim_of(hold, 7), now_ms())).kind == "unknown"
        await filled(state, name, 10, 8)
        assert (await state.claim(claim_of(hold, 7), now_ms())).kind == "budget"
        # What was granted by the one before goes on, and counts by now.
        assert await state.extend(going.id, 1, now_ms()) == Grant(2)
        state.settle(going.id, 2, 0, now_ms(), [name])
        assert (await state.claim(claim_of(hold, 1), now_ms())).kind == "budget"


async def test_what_goes_on_here_after_a_lost_answer_is_charged_there_too(server) -> None:
    """Its claim may be held there: it is not let go, with nothing to pay, before its end."""
    async with in_redis(server, timeout_s=0.1) as state:
        hold, places = await filled(state, "budget:lost-answer", 100), Places("places:lost-answer", 1)
        claim = Claim("lost_answer", 0, 0, places=(places,))
        server.pause()
        assert isinstance(await state.claim(claim, now_ms()), Grant)
        server.go_on()
        await until(lambda: is_back(state))
        await until(lambda: _has_told_all(state))
        state.settle(claim.id, 7, 0, now_ms(), [hold.name])
        await until(lambda: _is(state, hold, Spent(7, 0)))
        assert isinstance(await state.claim(Claim("next", 0, 0, places=(places,)), now_ms()), Grant)
        assert not state._local_ids
        assert not state._perhaps


async def _is_lost(state: InRedis) -> bool:
    return state.is_away


async def _has_told_all(state: InRedis) -> bool:
    return not state._unsettled


async def test_all_that_was_settled_in_a_busy_minute_is_told_to_an_empty_one(server, two) -> None:
    first, second = two
    hold = await filled(first, "budget:busy", 1_000_000)
    going = claim_of(hold, 500)
    await first.claim(going, now_ms())
    for number in range(10_000):
        first.settle(f"busy_{number}", 1, 0, now_ms(), [hold.name])
    await until(lambda: _is(second, hold, Spent(10_000, 500)))
    server.kill()
    server.start()
    await until(lambda: is_back(first))
    await until(lambda: _opens(second, hold))
    await second.fill(hold.name, 0, [])
    await until(lambda: _is(second, hold, Spent(10_000, 500)))


async def test_a_request_that_comes_with_the_start_waits_for_the_connection(server) -> None:
    state = InRedis(address_of(server.url), now_ms, wait_ms=0)
    rate = Rate("requests:start", "requests", 1)
    asked = asyncio.create_task(state.claim(Claim("early", 0, 0, rates=(rate,)), now_ms()))
    await asyncio.sleep(0)
    assert not asked.done()
    await state.connect()
    assert isinstance(await asked, Grant)
    assert not state._local_ids
    state.close()
    await asyncio.sleep(0)


async def _is_after_a_beat(state: InRedis, hold: Hold, wanted: Spent) -> bool:
    await state.connect()
    return await _is(state, hold, wanted)


async def _is_refused(state: InRedis, hold: Hold) -> bool:
    return state.is_away or isinstance(await state.claim(claim_of(hold, 1), now_ms()), Refusal)


async def _has_told_of_the_dead(state: InRedis) -> bool:
    return not state._gone


async def _ago(state: InRedis, seconds: float, *, by: InRedis | None = None) -> None:
    """As if it had been heard last so long ago."""
    at_ms = int(now_ms() - seconds * 1000)
    await (by or state)._client.ask("ZADD", "tl:gates", str(at_ms), state._gate)

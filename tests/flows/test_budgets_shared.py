"""A budget over several gateways, on PostgreSQL and Redis: never passed, also over a Redis that is killed and comes back empty."""

import asyncio
import contextlib
import os
import secrets
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.fakes.gateway import (
    CHAT,
    Answer,
    GatewayProcess,
    base_toml,
    eventually,
    model_toml,
    provider_toml,
    start_gateway,
    upstream_name,
)
from tests.fakes.postgres_server import PostgresServer, database, empty_postgres, postgres
from tests.fakes.redis_server import RedisServer
from tests.fakes.terms import MASTER, greedy, usd
from tests.fakes.upstream import Call, Upstream
from trunkline.accounts.budgets import hold_of
from trunkline.accounts.keys import issue_key
from trunkline.accounts.secrets_file import load_or_make
from trunkline.accounts.shared import Spent
from trunkline.accounts.types import Budget
from trunkline.shared.redis import InRedis
from trunkline.shared.redis_client import address_of
from trunkline.storage.api_keys import keep_key
from trunkline.storage.budgets import create_budget, standings
from trunkline.storage.queries import Store

__all__ = ["empty_postgres", "postgres"]
WORST = "max_output_tokens = 1_000\ncontext_tokens = 100_000"
GATEWAYS = 3


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    made = RedisServer()
    yield made
    made.stop()


class Fleet:
    """Several gateways on one store. Lives as long as a test."""

    def __init__(self, gateways: list[GatewayProcess], url: str, secrets_file: Path) -> None:
        self.gateways = gateways
        self.url = url
        self._secrets_file = secrets_file

    def key(self, limit_pico_usd: int) -> tuple[str, Budget]:
        """A key with a daily budget, which all gateways know by then."""

        async def make() -> tuple[str, Budget]:
            pepper = load_or_make(self._secrets_file).pepper
            now_ms = int(time.time() * 1000)
            issued = issue_key("shared", pepper, secrets.token_bytes, now_ms=now_ms)
            budget = Budget(
                f"bud_{secrets.token_hex(6)}", "org_default", "key", issued.key.id, "day", limit_pico_usd, now_ms
            )
            async with await Store.open(self.url) as store:
                await create_budget(store, budget, MASTER)
                await keep_key(store, issued.key, MASTER)
            return issued.secret, budget

        return asyncio.run(make())

    def spent(self, budget: Budget) -> int:
        async def ask() -> int:
            async with await Store.open(self.url) as store:
                return (await standings(store, [budget], time.time() * 1000))[0].spent_pico_usd

        return asyncio.run(ask())

    def records(self, budget: Budget) -> int:
        return self._count("records", budget)

    def intents(self, budget: Budget) -> int:
        return self._count("intents", budget)

    def shared(self, redis: RedisServer, budget: Budget) -> Spent:
        """As Redis has it."""

        async def ask() -> Spent:
            state = InRedis(address_of(redis.url), lambda: time.time() * 1000)
            await state.connect()
            found = await state.spent([hold_of(budget, time.time() * 1000).name], time.time() * 1000)
            state.close()
            await asyncio.sleep(0)
            return found[0]

        return asyncio.run(ask())

    def _count(self, table: str, budget: Budget) -> int:
        async def ask() -> int:
            connection = await asyncpg.connect(self.url)
            try:
                return await connection.fetchval(f"SELECT count(*) FROM {table} WHERE key_id = $1", budget.scope_id)
            finally:
                await connection.close()

        return asyncio.run(ask())

    def ask(self, number: int, secret: str, model: str, **fields: Any) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]} | fields
        return self.gateways[number % len(self.gateways)].request("POST", CHAT, body, key=secret)


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory,
    upstream: Upstream,
    redis: RedisServer,
    postgres: PostgresServer,
    empty_postgres: str,
) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    secrets_file = folder / "secrets"
    # All gateways of a store have the same; two that start at once would make it at once.
    load_or_make(secrets_file)
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(contextlib.contextmanager(database)(postgres, empty_postgres))
        with ThreadPoolExecutor(GATEWAYS) as pool:
            gateways = list(
                pool.map(lambda at: _start(folder / str(at), url, secrets_file, redis, upstream), range(GATEWAYS))
            )
        for gateway in gateways:
            stack.callback(gateway.stop)
        yield Fleet(gateways, url, secrets_file)


def _start(folder: Path, url: str, secrets_file: Path, redis: RedisServer, upstream: Upstream) -> GatewayProcess:
    folder.mkdir()
    own = f'url = "sqlite:///{folder}/trunkline.db"'
    base = base_toml(folder).replace(own, f'url = "{url}"\nsecrets_file = "{secrets_file}"')
    shared = f'[shared]\nurl = "{redis.url}"\n'
    models = [model_toml(f"acme/shared-{at}", ("first",), WORST) for at in range(4)]
    return start_gateway(folder, "\n".join([base, shared, provider_toml("first", upstream.url("first")), *models]))


def test_two_hundred_at_once_over_three_gateways_never_pass_a_budget(fleet, upstream) -> None:
    upstream.plays("first", upstream_name("acme/shared-0"), greedy(pause_s=0.5))
    secret, budget = fleet.key(usd(17 * 0.0057))
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda at: fleet.ask(at, secret, "acme/shared-0", max_tokens=1_000), range(200)))
    assert {answer.status for answer in answers} == {200, 402}
    assert sum(answer.status == 200 for answer in answers) >= 17
    eventually(lambda: fleet.records(budget) == 200)
    assert 0 < fleet.spent(budget) <= budget.limit_pico_usd


def test_what_a_killed_gateway_held_is_settled_by_its_successor(fleet, upstream, redis) -> None:
    upstream.plays("first", upstream_name("acme/shared-2"), Call.stall)
    secret, budget = fleet.key(usd(0.02))
    with fleet.gateways[0].begun("acme/shared-2", headers={"authorization": f"Bearer {secret}"}, max_tokens=1_000):
        held = eventually(lambda: fleet.shared(redis, budget).held_pico_usd)
        # Its intent is durable before its answer can end.
        eventually(lambda: fleet.intents(budget))
        os.kill(fleet.gateways[0].data_plane_pid, signal.SIGKILL)
        standing = eventually(lambda: (found := fleet.shared(redis, budget)).held_pico_usd == 0 and found)
    assert 0 < standing.spent_pico_usd <= held
    assert eventually(lambda: fleet.spent(budget)) == standing.spent_pico_usd
    assert fleet.records(budget) == 1


def test_a_redis_that_comes_back_empty_knows_what_was_spent(fleet, upstream, redis) -> None:
    upstream.plays("first", upstream_name("acme/shared-1"), greedy())
    secret, budget = fleet.key(usd(0.0125))
    for at in range(2):
        assert eventually(lambda at=at: fleet.ask(at, secret, "acme/shared-1", max_tokens=1_000).status == 200)
    redis.kill()
    answer = fleet.ask(0, secret, "acme/shared-1")
    assert (answer.status, answer.error["type"]) == (503, "overloaded")
    assert "retry-after" in answer.headers
    redis.start()
    status = eventually(
        lambda: (found := fleet.ask(1, secret, "acme/shared-1", max_tokens=1_000).status) != 503 and found
    )
    assert status in (200, 402)
    for at in range(5):
        fleet.ask(at, secret, "acme/shared-1", max_tokens=1_000)
    assert fleet.ask(2, secret, "acme/shared-1", max_tokens=1_000).status == 402
    eventually(lambda: fleet.spent(budget) > usd(0.008))
    assert fleet.spent(budget) <= budget.limit_pico_usd

"""`/metrics` of two data planes on one port: whichever is asked tells of both, and nothing that was counted is lost with a process."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.gateway import GatewayProcess, base_toml, eventually, model_toml, provider_toml, start_gateway
from tests.fakes.postgres_server import PostgresServer, database, empty_postgres, postgres
from tests.fakes.redis_server import RedisServer, redis_server
from tests.fakes.upstream import Upstream, says

__all__ = ["empty_postgres", "postgres", "redis_server"]
SLUG = "acme/counted"
WORKERS = 2


@pytest.fixture
def two(
    tmp_path, upstream: Upstream, redis_server: RedisServer, postgres: PostgresServer, empty_postgres: str
) -> Iterator[GatewayProcess]:
    with contextlib.contextmanager(database)(postgres, empty_postgres) as url:
        base = base_toml(tmp_path).replace(f'url = "sqlite:///{tmp_path}/trunkline.db"', f'url = "{url}"')
        parts = [base, f'[shared]\nurl = "{redis_server.url}"\n', provider_toml("first", upstream.url("first"))]
        upstream.plays("first", "acme--counted", says("hello"))
        made = start_gateway(tmp_path, "\n".join([*parts, model_toml(SLUG, ("first",))]), "--workers", str(WORKERS))
        yield made
        assert made.stop() == 0, made.log


def sample(gateway: GatewayProcess, name: str, **labels: str) -> float:
    """The sum of all samples of a name."""
    answer = gateway.get("/metrics", key="")
    assert answer.status == 200
    found = [one for family in text_string_to_metric_families(answer.body.decode()) for one in family.samples]
    return sum(one.value for one in found if one.name == name and labels.items() <= one.labels.items())


def asked(gateway: GatewayProcess) -> float:
    return sample(gateway, "trunkline_requests_total", gen_ai_request_model=SLUG)


def pids(gateway: GatewayProcess) -> list[int]:
    return [int(pid) for pid in re.findall(r'"child": "data plane \d", "child_pid": (\d+)', gateway.log)]


def test_whoever_is_asked_tells_of_all_and_nothing_is_lost_with_a_process(two: GatewayProcess) -> None:
    for _ in range(20):
        assert two.chat(SLUG).text == "hello"
    eventually(lambda: asked(two) == 20, "the count of both")
    # Each connection may get another of the two.
    assert [asked(two) for _ in range(10)] == [20] * 10
    assert sample(two, "trunkline_workers") == WORKERS
    assert sample(two, "gen_ai_client_operation_duration_seconds_count", gen_ai_request_model=SLUG) == 20
    killed = pids(two)[0]
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: len(pids(two)) == WORKERS + 1 and sample(two, "trunkline_workers") == WORKERS, "a new one")
    assert [asked(two) for _ in range(6)] == [20] * 6
    # Since they were asked last.
    for _ in range(10):
        two.chat(SLUG)
    os.kill(pids(two)[-1], signal.SIGTERM)
    eventually(lambda: len(pids(two)) == WORKERS + 2 and sample(two, "trunkline_workers") == WORKERS, "another one")
    eventually(lambda: asked(two) == 30, "the count goes on")
    assert [asked(two) for _ in range(6)] == [30] * 6

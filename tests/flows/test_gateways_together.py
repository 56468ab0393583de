"""Two gateways on one PostgreSQL and one Redis: a repeated request is answered once, a conversation finds its cache, an outage is known to both."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fakes.gateway import (
    CHAT,
    GatewayProcess,
    base_toml,
    eventually,
    model_toml,
    provider_toml,
    start_gateway,
    upstream_name,
)
from tests.fakes.postgres_server import PostgresServer, database, empty_postgres, postgres
from tests.fakes.redis_server import RedisServer, redis_server
from tests.fakes.upstream import Call, Upstream, chunk, completion, fails, says, stream_of, streams
from trunkline.accounts.secrets_file import load_or_make
from trunkline.shared.link import Link
from trunkline.shared.redis_client import address_of

__all__ = ["empty_postgres", "postgres", "redis_server"]
LONG = {"prompt_tokens": 2000, "completion_tokens": 5, "total_tokens": 2005}
HOUSE_RULES = "The rules of the house. " * 200
PROVIDERS = ("first", "second")


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory,
    upstream: Upstream,
    redis_server: RedisServer,
    postgres: PostgresServer,
    empty_postgres: str,
) -> Iterator[tuple[GatewayProcess, GatewayProcess]]:
    folder = tmp_path_factory.mktemp("together")
    # All gateways of a store have the same; two that start at once would make it at once.
    load_or_make(folder / "secrets")
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(contextlib.contextmanager(database)(postgres, empty_postgres))
        with ThreadPoolExecutor(2) as pool:
            made = list(pool.map(lambda at: _start(folder, at, url, redis_server, upstream), "12"))
        for gateway in made:
            stack.callback(gateway.stop)
        yield made[0], made[1]


def _start(shared: Path, name: str, url: str, redis: RedisServer, upstream: Upstream) -> GatewayProcess:
    folder = shared / name
    folder.mkdir()
    own = f'url = "sqlite:///{folder}/trunkline.db"'
    base = base_toml(folder).replace(own, f'url = "{url}"\nsecrets_file = "{shared}/secrets"')
    parts = [base, f'[shared]\nurl = "{redis.url}"\n']
    parts += [provider_toml(slug, upstream.url(slug)) for slug in PROVIDERS]
    parts += [model_toml(f"acme/together-{at}", PROVIDERS) for at in range(8)]
    return start_gateway(folder, "\n".join(parts))


def plays(upstream: Upstream, slug: str, **scripts: object) -> None:
    for provider, script in scripts.items():
        upstream.plays(provider, upstream_name(slug), *(script if isinstance(script, list) else [script]))


def conversations(redis: RedisServer) -> int:
    """Of so many Redis knows."""

    async def ask() -> int:
        link = Link(address_of(redis.url), timeout_s=5.0)
        await link.look()
        found = await link.ask("KEYS", "tl:a:*")
        link.close()
        await asyncio.sleep(0)
        return len(found)

    return asyncio.run(ask())


def test_a_request_that_comes_again_at_the_other_gateway_is_in_progress_and_then_has_the_same_answer(
    both, upstream
) -> None:
    one, two = both
    slug, headers = "acme/together-0", {"idempotency-key": uuid.uuid4().hex}
    plays(upstream, slug, first=streams(chunk({"content": "one "}), Call.pause, stream_of("two")))
    with one.open(slug, headers=headers) as stream:
        call = upstream.call(upstream_name(slug))
        body = json.dumps({"model": slug, "messages": [{"role": "user", "content": "hi"}], "stream": True}).encode()
        during = two.request("POST", CHAT, body, headers)
        other = two.stream(slug, "another question", headers=headers)
        call.go_on()
        answer = stream.answer()
    assert (during.status, other.status) == (409, 422)
    assert int(during.headers["retry-after"]) >= 1
    again = two.request("POST", CHAT, body, headers)
    assert (again.status, again.body) == (200, answer.body)
    assert again.headers["x-trunkline-original-request-id"] == stream.id
    assert len(upstream.calls(upstream_name(slug))) == 1


def test_of_many_at_both_at_once_one_is_answered_and_paid_for(both, upstream) -> None:
    slug, headers = "acme/together-1", {"idempotency-key": uuid.uuid4().hex}
    plays(upstream, slug, first=[lambda call: call.pause() or call.answer(200, completion("once"))])
    with ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(both[at % 2].chat, slug, headers=headers) for at in range(10)]
        eventually(lambda: sum(one.done() for one in asked) == 9)
        upstream.call(upstream_name(slug)).go_on()
        answers = [one.result() for one in asked]
    assert sorted(answer.status for answer in answers) == [200] + [409] * 9
    assert [both[at].chat(slug, headers=headers).text for at in (0, 1)] == ["once", "once"]
    assert len(upstream.calls(upstream_name(slug))) == 1


def test_a_conversation_goes_back_to_its_cache_whichever_gateway_gets_the_next_turn(
    both, upstream, redis_server
) -> None:
    one, two = both
    slug = "acme/together-2"
    plays(upstream, slug, first=says("first", usage=LONG), second=says("second", usage=LONG))
    begun = one.chat(f"{slug}:second", HOUSE_RULES, prompt_cache_key="c1")
    assert begun.text == "second"
    for gateway in both:
        assert gateway.chat(slug, "another conversation").text == "first"
    known = conversations(redis_server)
    held = one.chat(slug, HOUSE_RULES, prompt_cache_key="c2", provider={"order": ["second"]})
    assert held.text == "second"
    # It is told right behind the answer, not before it.
    eventually(lambda: conversations(redis_server) > known, "the word to the other gateway")
    answer = two.chat(slug, HOUSE_RULES + "And now?", prompt_cache_key="c2")
    assert answer.text == "second"
    assert two.chat(slug, HOUSE_RULES + "And now?", prompt_cache_key="c3").text == "first"


def test_an_outage_that_one_gateway_sees_sends_the_other_elsewhere(both, upstream) -> None:
    one, two = both
    slug = "acme/together-3"
    plays(upstream, slug, first=fails(503), second=says("second"))
    for _ in range(3):
        assert (
            one.chat(slug, headers={"x-session-id": uuid.uuid4().hex}, provider={"order": ["first"]}).text == "second"
        )
    labels = f'gen_ai_provider_name="first",gen_ai_request_model="{slug}"'
    wanted = f"trunkline_offer_breaker{{{labels}}} 2\n"
    eventually(lambda: wanted in two.get("/metrics").body.decode(), "the breaker at the other gateway")
    called = len(upstream.calls(upstream_name(slug)))
    assert two.chat(slug).text == "second"
    assert len(upstream.calls(upstream_name(slug))) == called + 1

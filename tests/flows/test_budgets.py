"""Budgets and limits of keys at a running gateway: never passed, whatever comes at once; told in each protocol's words."""

import contextlib
import http.client
import os
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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
from tests.fakes.terms import Made, Terms, greedy, limit_of, usd
from tests.fakes.upstream import Call, Upstream, chunk, fails, streams, usage_chunk
from trunkline.accounts.types import KeyRules

MODELS = 40
WORST = "max_output_tokens = 1_000\ncontext_tokens = 100_000"


def config(folder: Any, upstream: Upstream) -> str:
    parts = [base_toml(folder, gateway="drain_cap_s = 0.2")]
    parts += [provider_toml(name, upstream.url(name)) for name in ("first", "second")]
    parts += [
        model_toml(f"acme/budgeted-{number}", ("first", "second"), WORST, "prefill = true") for number in range(MODELS)
    ]
    return "\n".join(parts)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("budgets")
    made = start_gateway(folder, config(folder, upstream))
    yield made
    assert made.stop() == 0, made.log


@pytest.fixture(scope="module")
def terms(gateway: GatewayProcess) -> Terms:
    return Terms(gateway)


_numbers = iter(range(MODELS))


@pytest.fixture
def model(upstream: Upstream) -> str:
    """One of its own, whose providers write to the limit."""
    slug = f"acme/budgeted-{next(_numbers)}"
    upstream.plays("first", upstream_name(slug), greedy())
    upstream.plays("second", upstream_name(slug), greedy())
    return slug


def ask(gateway: GatewayProcess, made: Made, model: str, path: str = CHAT, **fields: Any) -> Answer:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]} | fields
    return gateway.request("POST", path, body, key=made.secret)


def cost(gateway: GatewayProcess, answer: Answer) -> int:
    return gateway.record(answer.id).cost_pico_usd


def test_two_hundred_at_once_never_pass_a_budget_that_holds_seventeen(gateway, terms, upstream, model) -> None:
    upstream.plays("first", upstream_name(model), greedy(pause_s=0.5))
    # What one may cost at most: 1,000 tokens of output and a prompt of its bytes and a thousand more.
    made = terms.key(KeyRules(), ("day", usd(17 * 0.0057)))
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda _: ask(gateway, made, model, max_tokens=1_000), range(200)))
    good = [answer for answer in answers if answer.status == 200]
    assert {answer.status for answer in answers} == {200, 402}
    assert len(good) >= 17
    terms.settled(made, 200)
    spent = sum(record.cost_pico_usd for record in gateway._rows("key_id", made.id))
    assert 0 < spent <= made.budgets[0].limit_pico_usd
    eventually(lambda: terms.standing(made.budgets[0]).spent_pico_usd == spent)


def test_the_limit_is_lowered_to_what_a_budget_holds_with_notice(gateway, terms, upstream, model) -> None:
    made = terms.key(KeyRules(), ("total", usd(0.0035)))
    answer = ask(gateway, made, model)
    assert answer.status == 200
    limit = limit_of(upstream.calls(upstream_name(model))[0])
    assert 256 <= limit < 1_000
    assert answer.headers["x-trunkline-notice"].startswith(f"the answer was limited to {limit} tokens")
    assert cost(gateway, answer) <= made.budgets[0].limit_pico_usd


def test_a_limit_that_was_asked_for_is_lowered_in_the_same_words(gateway, terms, upstream, model) -> None:
    made = terms.key(KeyRules(), ("total", usd(0.0035)))
    assert ask(gateway, made, model, max_tokens=900).status == 200
    sent = upstream.calls(upstream_name(model))[0].json
    assert 256 <= sent["max_tokens"] < 900
    assert "max_completion_tokens" not in sent


def test_below_the_least_answer_it_is_refused(gateway, terms, upstream, model) -> None:
    made = terms.key(KeyRules(), ("month", usd(0.002)))
    answer = ask(gateway, made, model)
    assert (answer.status, answer.error["type"]) == (402, "quote_exceeded")
    assert "the monthly budget of this key" in answer.error["message"]
    assert "It begins anew at 20" in answer.error["message"]
    assert not upstream.calls(upstream_name(model))
    record = gateway.record(answer.id)
    assert (record.outcome, record.attempts, record.cost_pico_usd) == ("error", (), 0)


def test_a_spent_budget_refuses_in_each_protocols_words(gateway, terms, model) -> None:
    made = terms.key(KeyRules(), ("week", 0))
    answer = ask(gateway, made, model)
    assert (answer.status, answer.error["type"]) == (402, "insufficient_credit")
    answer = ask(gateway, made, model, "/v1/messages", max_tokens=100)
    assert (answer.status, answer.json["type"], answer.error["type"]) == (402, "error", "billing_error")
    answer = gateway.request("POST", "/v1/responses", {"model": model, "input": "hi"}, key=made.secret)
    assert (answer.status, answer.error["type"]) == (402, "insufficient_credit")
    body = {"contents": [{"parts": [{"text": "hi"}]}]}
    answer = gateway.request("POST", f"/v1beta/models/{model}:generateContent", body, key=made.secret)
    assert (answer.status, answer.error["type"]) == (402, "insufficient_credit")


def test_several_answers_are_held_for(gateway, terms, upstream, model) -> None:
    made = terms.key(KeyRules(), ("total", usd(0.0057)))
    assert ask(gateway, made, model, n=3).status == 200
    assert limit_of(upstream.calls(upstream_name(model))[0]) <= 1_000 // 3 + 30


def test_what_was_spent_before_a_budget_was_made_counts_in_it(gateway, terms, model) -> None:
    made = terms.key()
    spent = cost(gateway, ask(gateway, made, model))
    assert spent
    terms.budget("key", made.id, "day", spent)
    eventually(lambda: ask(gateway, made, model).status == 402)
    terms.budget("key", made.id, "day", spent)


def test_a_budget_of_the_organisation_covers_all_its_keys(gateway, terms, model) -> None:
    first, second = (terms.key(KeyRules(), org_id="org_other") for _ in range(2))
    terms.budget("organisation", "org_other", "day", usd(0.0065), org_id="org_other")
    eventually(lambda: gateway.chat(model).status == 200)
    eventually(lambda: ask(gateway, first, model, max_tokens=1).status == 200)
    answer = ask(gateway, first, model)
    assert answer.status == 200
    answer = ask(gateway, second, model)
    assert answer.status == 402
    assert "of this key's organisation" in answer.error["message"]


def test_a_failover_takes_over_what_a_failed_attempt_did_not_use(gateway, terms, upstream, model) -> None:
    upstream.plays("first", upstream_name(model), fails(503, "overloaded"))
    made = terms.key(KeyRules(), ("total", usd(0.0057)))
    assert ask(gateway, made, model).status == 200


def test_a_failover_without_room_ends_with_the_failures_so_far(gateway, terms, upstream, model) -> None:
    # What breaks off has used so much of what is held that no other answer of use can be paid.
    used = {"prompt_tokens": 1_000, "completion_tokens": 900, "total_tokens": 1_900}
    broken = streams(usage_chunk(used), b"data: {broken\n\n")
    upstream.plays("first", upstream_name(model), broken)
    made = terms.key(KeyRules(), ("total", usd(0.0057)))
    answer = ask(gateway, made, model, stream=True)
    assert (answer.status, answer.error["type"]) == (402, "quote_exceeded")
    assert "no room for another attempt" in answer.error["message"]
    assert [call.provider for call in upstream.calls(upstream_name(model))] == ["first"]
    assert 0 < cost(gateway, answer) <= made.budgets[0].limit_pico_usd


def test_a_stream_that_breaks_is_rescued_within_what_is_held(gateway, terms, upstream, model) -> None:
    upstream.plays("first", upstream_name(model), streams(chunk({"content": "hel"}), Call.close))
    upstream.plays("second", upstream_name(model), greedy())
    made = terms.key(KeyRules(), ("total", usd(0.0057)))
    answer = ask(gateway, made, model, stream=True)
    assert answer.streamed_text == "helhello"
    record = gateway.record(answer.id)
    assert [one.kind for one in record.attempts] == ["plain", "rescue"]
    assert record.cost_pico_usd <= made.budgets[0].limit_pico_usd


def test_a_hedge_that_has_no_room_is_not_started(gateway, terms, upstream, model) -> None:
    upstream.plays("first", upstream_name(model), greedy(pause_s=0.3))
    made = terms.key(KeyRules(), ("total", usd(0.0065)))
    answer = ask(gateway, made, model, stream=True, provider={"hedge": {"after_ms": 30}})
    assert answer.status == 200
    assert [call.provider for call in upstream.calls(upstream_name(model))] == ["first"]
    rich = terms.key(KeyRules(), ("total", usd(1)))
    ask(gateway, rich, model, stream=True, provider={"hedge": {"after_ms": 30}})
    assert [call.provider for call in upstream.calls(upstream_name(model))] == ["first", "first", "second"]


def test_rates_are_told_and_held(gateway, terms, model) -> None:
    made = terms.key(KeyRules(requests_per_minute=2, tokens_per_minute=10_000))
    answer = ask(gateway, made, model, max_tokens=300)
    assert answer.headers["x-ratelimit-limit-requests"] == "2"
    assert answer.headers["x-ratelimit-remaining-requests"] == "1"
    assert answer.headers["x-ratelimit-limit-tokens"] == "10000"
    assert 9_600 < int(answer.headers["x-ratelimit-remaining-tokens"]) < 9_700
    assert answer.headers["x-ratelimit-reset-requests"].endswith("s")
    ask(gateway, made, model, max_tokens=300)
    answer = ask(gateway, made, model, max_tokens=300)
    assert (answer.status, answer.error["type"]) == (429, "rate_limit")
    assert 1 <= int(answer.headers["retry-after"]) <= 30
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    answer = ask(gateway, made, model, "/v1/messages", max_tokens=300)
    assert answer.headers["anthropic-ratelimit-requests-limit"] == "2"


def test_no_more_at_once_than_the_key_may(gateway, terms, upstream, model) -> None:
    upstream.plays("first", upstream_name(model), greedy(pause_s=0.5))
    made = terms.key(KeyRules(concurrency=3))
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: ask(gateway, made, model, max_tokens=1), range(10)))
    assert sorted(answer.status for answer in answers) == [200] * 3 + [429] * 7
    assert ask(gateway, made, model, max_tokens=1).status == 200


def test_a_tool_of_the_providers_own_is_refused_under_a_budget(gateway, terms, model) -> None:
    made = terms.key(KeyRules(), ("day", usd(5)))
    answer = ask(gateway, made, model, web_search_options={})
    assert (answer.status, answer.error["type"]) == (402, "quote_exceeded")
    assert "tool_usd" in answer.error["message"]


def test_a_caller_that_leaves_pays_what_was_used_and_gives_the_rest_back(gateway, terms, upstream, model) -> None:
    upstream.plays("first", upstream_name(model), streams(chunk({"content": "hel"}), Call.stall), greedy())
    made = terms.key(KeyRules(), ("day", usd(0.0062)))
    with gateway.begun(model, headers={"authorization": f"Bearer {made.secret}"}, stream=True) as connection:
        assert connection.getresponse().status == 200
    eventually(lambda: ask(gateway, made, model).status == 200)


def test_a_prepaid_organisation_spends_what_was_put_in_and_no_more(gateway, terms, model) -> None:
    with contextlib.closing(sqlite3.connect(gateway.database)) as connection, connection:
        connection.execute("INSERT INTO organisations VALUES ('org_prepaid', 'Acme', 1, true)")
    made = terms.key(KeyRules(), org_id="org_prepaid")
    answer = ask(gateway, made, model)
    assert (answer.status, answer.error["type"]) == (402, "reject_no_credit")
    assert "credits" in answer.error["message"]
    terms.credit("org_prepaid", usd(0.02))
    eventually(lambda: ask(gateway, made, model).status == 200)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: ask(gateway, made, model), range(20)))
    assert {answer.status for answer in answers} == {200, 402}
    good = [gateway.record(answer.id) for answer in answers if answer.status == 200]
    assert all(record.prepaid_by == "org_prepaid" and record.charges for record in good)
    spent = sum(record.cost_pico_usd for record in gateway._rows("key_id", made.id))
    assert 0 < spent <= usd(0.02)


def test_what_was_under_way_when_the_gateway_was_killed_counts(gateway, terms, upstream, model) -> None:
    upstream.plays("first", upstream_name(model), Call.stall, greedy())
    made = terms.key(KeyRules(), ("day", usd(0.0115)))
    with gateway.begun(model, headers={"authorization": f"Bearer {made.secret}"}, max_tokens=1_000):
        eventually(lambda: upstream.calls(upstream_name(model)))
        eventually(lambda: _intents(gateway, made))
        os.kill(gateway.data_plane_pid, signal.SIGKILL)
    records = eventually(lambda: gateway._rows("key_id", made.id))
    assert [record.outcome for record in records] == ["interrupted"]
    assert usd(0.0044) < records[0].cost_pico_usd < usd(0.0057)
    answers = [eventually(lambda: _answered(gateway, made, model)) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 402, 402]
    terms.settled(made, 4)
    spent = sum(record.cost_pico_usd for record in gateway._rows("key_id", made.id))
    assert spent <= made.budgets[0].limit_pico_usd


def _intents(gateway: GatewayProcess, made: Made) -> int:
    with contextlib.closing(sqlite3.connect(gateway.database)) as connection:
        return connection.execute("SELECT count(*) FROM intents WHERE key_id = ?", (made.id,)).fetchone()[0]


def _answered(gateway: GatewayProcess, made: Made, model: str) -> Answer | None:
    """None while the gateway is being started again."""
    try:
        return ask(gateway, made, model, max_tokens=1_000)
    except (OSError, http.client.HTTPException):
        return None

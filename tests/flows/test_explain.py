"""Answers say how they came about: who was tried, with what outcome, and on `X-Trunkline-Explain: 1` the whole plan, the record's own."""

import json
from typing import Any

import msgspec
import pytest

from tests.fakes.gateway import Answer
from tests.fakes.talking import PROTOCOLS, USERS, request
from tests.fakes.upstream import Script, fails, says, stream_of, streams
from trunkline.records.types import Record

EXPLAIN = {"x-trunkline-explain": "1"}
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def plan_of(answer: Answer) -> Any:
    line = answer.headers["x-trunkline-plan"]
    assert line.isascii()
    assert len(line) <= 4096
    return json.loads(line)


def recorded(record: Record) -> list[Any]:
    """The record's plan, those that were to be tried first."""
    ranked = sorted(record.plan, key=lambda one: (one.rank is None, one.rank or 0))
    return [msgspec.to_builtins(candidate) for candidate in ranked]


def fails_once() -> Script:
    """The first call fails, at whatever provider."""
    calls: list[Any] = []

    def script(call: Any) -> None:
        calls.append(call)
        (fails(503) if len(calls) == 1 else says("hello"))(call)

    return script


@STREAMED
def test_an_ordinary_answer_says_its_provider_and_no_more(model, stream) -> None:
    model.plays(says("hello"), second=says("hello"))
    answer = model.ask(stream=stream)
    assert answer.headers["x-trunkline-provider"] == model.asked[0]
    assert "x-trunkline-attempts" not in answer.headers
    assert "x-trunkline-plan" not in answer.headers


@STREAMED
def test_an_answer_after_a_failure_says_who_was_tried(model, stream) -> None:
    model.plays(script := fails_once(), second=script)
    answer = model.ask(stream=stream)
    failed, answered = model.asked
    assert answer.headers["x-trunkline-attempts"] == f"{failed}:status 503; {answered}:ok"


@STREAMED
def test_so_does_an_error_where_nobody_answered(model, stream) -> None:
    model.plays(fails(503), second=fails(500))
    answer = model.ask(stream=stream)
    status = {"first": 503, "second": 500}
    assert answer.status == 502
    assert answer.headers["x-trunkline-attempts"] == "; ".join(f"{one}:status {status[one]}" for one in model.asked)


@STREAMED
def test_who_asks_is_told_the_plan_that_the_record_has(model, stream) -> None:
    model.plays(says("hello"), second=says("hello"))
    answer = model.ask(stream=stream, headers=EXPLAIN)
    assert plan_of(answer) == {"model": model.slug, "candidates": recorded(model.gateway.record(answer.id))}
    assert [one["rank"] for one in plan_of(answer)["candidates"]] == [1, 2]
    assert answer.headers["x-trunkline-attempts"] == f"{model.asked[0]}:ok"


@pytest.mark.parametrize("client", PROTOCOLS)
@STREAMED
def test_in_every_protocol(four, simulated, client, stream) -> None:
    path, body = request(client, "acme/everywhere", USERS[client]("<<say hi>>"), stream=stream)
    answer = four.request("POST", path, body, EXPLAIN)
    offers = {one["offer"] for one in plan_of(answer)["candidates"]}
    assert offers == {f"acme/everywhere:sim-{kind}" for kind in ("chat", "responses", "messages", "gemini")}
    assert answer.headers["x-trunkline-attempts"].endswith(":ok")


def test_a_request_that_no_offer_can_take_has_its_plan_too(model_of) -> None:
    small = model_of("small")
    answer = small.ask("x" * 5_000, headers=EXPLAIN)
    assert answer.status == 413
    first, second = plan_of(answer)["candidates"]
    assert "prompt is too long" in first["reason"]
    assert ("rank" in first, "rank" in second) == (False, False)
    assert "x-trunkline-attempts" not in answer.headers


def test_where_there_is_no_plan_none_is_told(gateway) -> None:
    answer = gateway.chat("acme/unheard-of", headers=EXPLAIN)
    assert (answer.status, "x-trunkline-plan" in answer.headers) == (404, False)


def test_a_head_that_a_sign_of_life_sends_has_the_plan_and_the_failures_so_far(brisk_model) -> None:
    def script(call: Any) -> None:
        if len(brisk_model.calls) == 1:
            fails(503)(call)
        else:
            streams(lambda call: call.left.wait(0.15), stream_of("slow"))(call)

    brisk_model.plays(script, second=script)
    answer = brisk_model.stream(headers=EXPLAIN)
    assert answer.body.startswith(b": ")
    assert plan_of(answer)["model"] == brisk_model.slug
    assert answer.headers["x-trunkline-attempts"] == f"{brisk_model.asked[0]}:status 503"


@pytest.mark.parametrize("value", ["0", "", "no"])
def test_other_values_ask_for_nothing(model, value) -> None:
    model.plays(says("hello"), second=says("hello"))
    assert "x-trunkline-plan" not in model.ask(headers={"x-trunkline-explain": value}).headers

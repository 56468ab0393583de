"""Token limits and reasoning tokens."""

from typing import Any

import pytest

from tests.simulate.conftest import Post

LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def usage_of(answer: Any) -> tuple[int, int]:
    usage = answer["usage"]
    return usage["completion_tokens"], usage["completion_tokens_details"]["reasoning_tokens"]


@pytest.mark.parametrize(("effort", "tokens"), [("low", 64), ("medium", 192), ("high", 640)])
def test_reasoning_effort_costs_tokens(post: Post, effort: str, tokens: int) -> None:
    assert usage_of(post("<<say hi>>", reasoning_effort=effort).json) == (tokens + 2, tokens)


def test_a_model_that_does_not_reason_spends_none(post: Post) -> None:
    assert usage_of(post("<<say hi>>", model="gpt-4.1").json) == (2, 0)


def test_an_answer_is_cut_at_its_limit(post: Post) -> None:
    answer = post("<<say a b c d>>", model="gpt-4.1", max_completion_tokens=3).json
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["message"]["content"] == "[simulated] a b"
    assert usage_of(answer) == (3, 0)


def test_reasoning_can_use_up_the_whole_limit(post: Post) -> None:
    answer = post("<<say hi>>", max_completion_tokens=100).json
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["message"]["content"] == ""
    assert usage_of(answer) == (100, 100)


def test_shown_thinking_counts_against_the_limit_too(post: Post) -> None:
    answer = post("<<think a b c>><<say d e>>", model="gpt-4.1", max_completion_tokens=4).json
    message = answer["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("a b c", "[simulated]")


def test_a_limit_that_just_fits_cuts_nothing(post: Post) -> None:
    answer = post("<<say a b>>", model="gpt-4.1", max_completion_tokens=3).json
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_a_call_that_is_cut_keeps_the_begun_arguments(post: Post) -> None:
    answer = post(
        '<<call look {"a": "one two three four"}>>', model="gpt-4.1", tools=[LOOK], max_completion_tokens=3
    ).json
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"a": "one'

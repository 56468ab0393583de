"""Requests that the vendors refuse, and how."""

import json
from typing import Any

import openai
import pytest

from tests.fakes.simulated import SimulatedProvider
from tests.simulate.conftest import AZURE, OPENAI, Post

REFUSED = {
    "stop": (["x"], "unsupported_parameter"),
    "max_tokens": (10, "unsupported_parameter"),
    "top_p": (0.5, "unsupported_parameter"),
    "logprobs": (True, "unsupported_parameter"),
    "parallel_tool_calls": (True, "unsupported_parameter"),
    "temperature": (0.2, "unsupported_value"),
    "reasoning_effort": ("huge", "unsupported_value"),
    "n": (2, "unsupported_value"),
}


TURN = {"role": "user", "content": "hi"}
CALLING = {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "look", "arguments": "{}"}}]}


@pytest.mark.parametrize("path", [OPENAI, AZURE])
@pytest.mark.parametrize("name", REFUSED)
def test_a_reasoning_model_refuses_what_the_vendors_does(post: Post, path: str, name: str) -> None:
    value, code = REFUSED[name]
    answer = post("hi", path=path, **{name: value})
    assert answer.status == 400
    error = answer.json["error"]
    assert (error["param"], error["code"], error["type"]) == (name, code, "invalid_request_error")


def test_another_model_takes_them(post: Post) -> None:
    answer = post("<<say one two stop three>>", model="gpt-4.1", stop=["stop"], max_tokens=50, temperature=0.2, top_p=1)
    assert answer.json["choices"][0]["message"]["content"] == "[simulated] one two "


def test_null_is_the_same_as_absent(post: Post, simulated: SimulatedProvider) -> None:
    body = {"model": "o4-mini", "stop": None, "messages": [{"role": "user", "content": "hi"}]}
    assert json.loads(json.dumps(body))["stop"] is None
    assert post("hi", stop=None).status == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"model": None}, None),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"response_format": {"type": "json_object"}}, "messages"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"tools": [{"type": "function"}]}, "tools[0].function.name"),
        ({"reasoning_effort": "low", "model": "gpt-4.1"}, None),
        ({"temperature": 2.5, "model": "gpt-4.1"}, "temperature"),
        ({"top_p": -1, "model": "gpt-4.1"}, "top_p"),
        ({"messages": [{"role": "model", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "input_text"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "system", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [TURN, {"role": "tool", "tool_call_id": "c", "content": "x"}]}, "messages.[1].role"),
        ({"messages": [TURN, CALLING, TURN]}, "messages.[2].role"),
        ({"messages": [TURN, CALLING]}, "messages.[2].role"),
        ({"messages": [TURN, {"role": "assistant", "tool_calls": [{"id": "c" * 65}]}]}, "messages[1].tool_calls[0].id"),
    ],
)
def test_a_wrong_request_is_refused_by_the_fields_name(post: Post, fields: dict[str, Any], param: str | None) -> None:
    answer = post("hi", **fields)
    assert answer.status == 400
    assert answer.json["error"]["param"] == param


def test_a_wrong_key_is_refused_without_repeating_it(post: Post, simulated: SimulatedProvider) -> None:
    simulated.behaviour("openai-sim", api_keys=["secret"])
    answer = post("hi", headers={"authorization": "Bearer wrong-one"})
    assert answer.status == 401
    assert answer.json["error"]["code"] == "invalid_api_key"
    assert b"wrong-one" not in answer.body
    assert post("hi", headers={"authorization": "Bearer secret"}).status == 200


def test_an_unknown_model_is_told_in_each_vendors_words(post: Post, simulated: SimulatedProvider) -> None:
    for provider in ("openai-sim", "azure-sim"):
        simulated.behaviour(provider, models=["gpt-4.1"])
    assert post("hi").json["error"]["code"] == "model_not_found"
    assert post("hi", path=AZURE).json["error"]["code"] == "DeploymentNotFound"


def test_unknown_paths_and_methods_are_errors_that_the_sdk_understands(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.get("/nothing", cast_to=object)
    with pytest.raises(openai.APIStatusError, match="Not allowed"):
        client.get("/chat/completions", cast_to=object)


def test_a_directive_that_makes_no_sense_is_an_error_and_not_an_answer(post: Post) -> None:
    answer = post("<<fail soon>>")
    assert answer.status == 400
    assert "<<fail soon>>" in answer.json["error"]["message"]


def test_angle_brackets_that_are_no_directive_stay_text(post: Post) -> None:
    assert post("cat <<EOF >>").status == 200

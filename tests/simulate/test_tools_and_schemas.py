"""Tool calls that the request demands, agent loops, and structured output."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulate.conftest import Post
from trunkline.simulate.example import example

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 20, "maxLength": 24},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 3, "exclusiveMaximum": 8},
    },
    "required": ["city", "unit", "days"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
SCHEMAS: dict[str, dict[str, Any]] = {
    "strings": WEATHER,
    "formats": {
        "type": "object",
        "properties": {name: {"type": "string", "format": name} for name in ("date-time", "email", "uuid", "ipv4")},
    },
    "numbers": {
        "type": "array",
        "minItems": 3,
        "items": {"anyOf": [{"type": "number", "minimum": -2, "maximum": -1}, {"type": "integer", "multipleOf": 7}]},
    },
    "recursive": {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
        "required": ["next"],
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "value": {"type": ["integer", "null"]},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
                "required": ["value", "children"],
                "additionalProperties": False,
            }
        },
    },
    "joined": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]},
            {"properties": {"b": {"const": 5}}, "required": ["b"]},
        ]
    },
    "above": {"type": "object", "properties": {"n": {"type": "integer", "exclusiveMinimum": 10}, "m": {"maximum": -3}}},
}


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=25)
@given(choices=st.binary(min_size=1, max_size=64))
def test_an_example_fits_its_schema(name: str, choices: bytes) -> None:
    jsonschema.validate(example(SCHEMAS[name], choices), SCHEMAS[name])


def test_structured_output_is_an_instance_of_its_schema(post: Post) -> None:
    response_format = {"type": "json_schema", "json_schema": {"name": "weather", "schema": WEATHER, "strict": True}}
    content = post("hi", response_format=response_format).json["choices"][0]["message"]["content"]
    jsonschema.validate(json.loads(content), WEATHER)
    assert "[simulated]" in content


def test_a_json_object_is_given_where_one_was_asked_for(post: Post) -> None:
    content = post("as json", response_format={"type": "json_object"}).json["choices"][0]["message"]["content"]
    assert json.loads(content) == {"simulated": True}


def test_a_scripted_text_is_given_as_it_is_where_json_was_asked_for(post: Post) -> None:
    content = post('json <<say {"a": 1}>>', response_format={"type": "json_object"}).json["choices"][0]["message"]
    assert content["content"] == '{"a": 1}'


@pytest.mark.parametrize(
    ("choice", "reason"),
    [("required", "tool_calls"), ({"type": "function", "function": {"name": "weather"}}, "stop")],
)
def test_a_demanded_call_has_arguments_that_fit(post: Post, choice: Any, reason: str) -> None:
    answer = post("hi", tools=[TOOL], tool_choice=choice).json["choices"][0]
    jsonschema.validate(json.loads(answer["message"]["tool_calls"][0]["function"]["arguments"]), WEATHER)
    assert answer["message"]["content"] is None
    assert answer["finish_reason"] == reason


def test_tools_that_are_only_offered_are_left_alone(post: Post) -> None:
    assert "tool_calls" not in post("hi", tools=[TOOL]).json["choices"][0]["message"]


def test_a_provider_can_be_told_to_call_tools_of_its_own_will(post: Post, simulated: Any) -> None:
    simulated.behaviour("openai-sim", tool_call_rate=1)
    assert post("hi", tools=[TOOL]).json["choices"][0]["finish_reason"] == "tool_calls"


def test_steps_are_played_one_after_the_other_as_tools_are_answered(post: Post) -> None:
    message = '<<call weather {"city": "a"}>> <<call weather {"city": "b"}>> <<say it rains>>'
    messages: list[dict[str, Any]] = [{"role": "user", "content": message}]
    asked = []
    for _ in range(2):
        turn = post(messages=messages, tools=[TOOL]).json["choices"][0]["message"]
        asked.append(turn["tool_calls"][0]["function"]["arguments"])
        messages += [turn, {"role": "tool", "tool_call_id": turn["tool_calls"][0]["id"], "content": "rain"}]
    assert asked == ['{"city": "a"}', '{"city": "b"}']
    assert post(messages=messages, tools=[TOOL]).json["choices"][0]["message"]["content"] == "[simulated] it rains"


def test_steps_count_from_the_message_that_they_stand_in(post: Post) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    earlier: list[dict[str, Any]] = [
        {"role": "user", "content": "before"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "rain"},
        {"role": "user", "content": "<<say one>><<say two>>"},
    ]
    assert post(messages=earlier).json["choices"][0]["message"]["content"] == "[simulated] one"


def test_a_tool_that_was_not_offered_is_not_called(post: Post) -> None:
    content = post("<<call other {}>>", tools=[TOOL]).json["choices"][0]["message"]["content"]
    assert content == "[simulated] no such tool offered: other"

"""What the Responses API refuses, with code and place; above all reasoning that does not come back as it was given."""

from typing import Any

import pytest

from tests.simulate.conftest import RESPONSES, Answer, Call
from tests.simulate.test_responses_wire import ENCRYPTED, LOOK, asking

USER = {"role": "user", "content": "hi"}
CALLED = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "there"}
GPT = {"model": "gpt-4.1"}
REFUSED: list[tuple[dict[str, Any], str, str | None]] = [
    ({"messages": []}, "messages", "unknown_parameter"),
    ({"max_tokens": 20}, "max_tokens", "unknown_parameter"),
    ({"model": None}, "model", "missing_required_parameter"),
    ({"input": None}, "input", "missing_required_parameter"),
    ({"input": []}, "input", "empty_array"),
    ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role", "invalid_value"),
    ({"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "input[0].content[0].type", "invalid_value"),
    (
        {"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]},
        "input[0].content[0].type",
        "invalid_value",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": {"url": "x"}}]}]},
        "input[0].content[0].image_url",
        "invalid_type",
    ),
    ({"input": [USER | {"name": "bob"}]}, "input[0].name", "unknown_parameter"),
    ({"input": [USER, CALLED | {"id": "call_1"}, OUTPUT]}, "input[1].id", "invalid_value"),
    ({"input": [USER, CALLED | {"call_id": "c" * 65}]}, "input[1].call_id", "string_above_max_length"),
    ({"input": [USER, CALLED | {"arguments": {}}, OUTPUT]}, "input[1].arguments", "invalid_type"),
    ({"input": [USER, OUTPUT]}, "input", None),
    ({"input": [USER, CALLED]}, "input", None),
    ({"max_output_tokens": 5}, "max_output_tokens", "integer_below_min_value"),
    (GPT | {"temperature": 2.5}, "temperature", "decimal_above_max_value"),
    (GPT | {"temperature": -1}, "temperature", "decimal_below_min_value"),
    ({"temperature": 0.5}, "temperature", "unsupported_parameter"),
    (GPT | {"reasoning": {"effort": "low"}}, "reasoning.effort", "unsupported_parameter"),
    (GPT | {"include": ENCRYPTED}, "include", None),
    ({"reasoning": {"effort": "huge"}}, "reasoning.effort", "invalid_value"),
    ({"include": ["all"]}, "include[0]", "invalid_value"),
    ({"tools": [{"type": "function", "function": {"name": "a"}}]}, "tools[0].name", "missing_required_parameter"),
    ({"tools": [LOOK | {"name": "a.b"}]}, "tools[0].name", "invalid_value"),
    ({"tools": [LOOK | {"strict": True}]}, "tools[0].parameters", "invalid_function_parameters"),
    ({"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "look"}}}, "tool_choice.name", "missing_required_parameter"),
    ({"tools": [LOOK], "tool_choice": {"type": "function", "name": "b"}}, "tool_choice", None),
    ({"tool_choice": "required"}, "tool_choice", None),
    ({"tools": [LOOK], "tool_choice": "any"}, "tool_choice", "invalid_value"),
    ({"text": {"format": {"type": "json_schema", "json_schema": {}}}}, "text.format.name", "missing_required_parameter"),
    ({"text": {"format": {"type": "json_object"}}}, "input", None),
    ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
    ({"stream_options": {"include_obfuscation": False}}, "stream_options", None),
    ({"previous_response_id": "resp_1"}, "previous_response_id", "previous_response_not_found"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "param", "code"), REFUSED)
def test_a_wrong_request_is_refused_with_its_place(
    call: Call, fields: dict[str, Any], param: str, code: str | None
) -> None:
    answer = call(RESPONSES, {k: v for k, v in asking(**fields).items() if v is not None})
    error = answer.json["error"]
    assert (answer.status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert error["code"] == code


def first_round(call: Call, message: str = "<<call look {}>>") -> dict[str, Any]:
    """A request, its encrypted reasoning and call, and the output: the second round."""
    asked = asking([{"role": "user", "content": message}], include=ENCRYPTED, tools=[LOOK], store=False)
    items = call(RESPONSES, asked).json["output"]
    if "call_id" in items[-1]:
        items.append({"type": "function_call_output", "call_id": items[-1]["call_id"], "output": "there"})
    else:
        items.append(USER)
    return asked | {"input": [*asked["input"], *items]}


def failed(answer: Answer) -> str:
    assert answer.status == 400
    return str(answer.json["error"]["code"])


@pytest.mark.parametrize("message", ["<<call look {}>>", "<<say so>>"])
def test_reasoning_that_comes_back_unchanged_is_taken(call: Call, message: str) -> None:
    assert call(RESPONSES, first_round(call, message)).status == 200


def test_reasoning_that_was_changed_is_refused(call: Call) -> None:
    second = first_round(call)
    second["input"][1]["encrypted_content"] = second["input"][1]["encrypted_content"][:-6] + "AAAAA="
    assert failed(call(RESPONSES, second)) == "invalid_encrypted_content"


def test_reasoning_of_another_provider_is_refused(call: Call) -> None:
    second = first_round(call)
    assert failed(call(RESPONSES.replace("openai-sim", "other-sim"), second)) == "invalid_encrypted_content"


@pytest.mark.parametrize("message", ["<<call look {}>>", "<<say so>>"])
def test_reasoning_of_another_answer_is_refused(call: Call, message: str) -> None:
    second, other = first_round(call, message), first_round(call, message + " again")
    second["input"][1] = other["input"][1]
    assert failed(call(RESPONSES, second)) == "invalid_encrypted_content"


def test_reasoning_must_be_followed_by_what_it_led_to(call: Call) -> None:
    second = first_round(call, "<<say so>>")
    del second["input"][2]
    answer = call(RESPONSES, second)
    assert "without its required following item" in answer.json["error"]["message"]


def test_reasoning_without_its_content_is_not_found(call: Call) -> None:
    second = first_round(call)
    del second["input"][1]["encrypted_content"]
    answer = call(RESPONSES, second)
    assert answer.status == 404
    assert "Items are not persisted" in answer.json["error"]["message"]

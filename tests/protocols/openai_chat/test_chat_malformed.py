"""What is wrong in a request is named with its place and what would be right; what is wrong in an answer is one of the marked failures."""

import json
from typing import Any

import pytest

from tests.protocols.openai_chat.chat_golden import CONTEXT, read_stream, target
from trunkline.errors import InvalidParams
from trunkline.protocols.openai_chat import codec
from trunkline.protocols.rawjson import UNREADABLE

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


def tool(found: Any) -> dict[str, Any]:
    return {"messages": [USER], "tools": [found]}


def choice(found: Any) -> dict[str, Any]:
    return {"messages": [USER], "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": found}


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": None}, "messages", "at least one"),
    ({"messages": []}, "messages", "at least one"),
    ({"messages": {}}, "messages", "list"),
    ({"messages": ["Hi"]}, "messages", "object"),
    ({"messages": [USER, {"content": "Hi"}]}, "messages[1].role", "one of"),
    ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role", "one of"),
    ({"messages": [{"role": 1, "content": "Hi"}]}, "messages[0].role", "str"),
    (user(5), "messages[0].content", "string, or a list"),
    (user(["Hi"]), "messages[0].content", "object"),
    (user([{"text": 5, "type": "text"}]), "messages[0].content[0].text", "str"),
    (user([{"a": 5}]), "messages[0].content[0].type", "must say what it is"),
    (user([{"type": "image_url"}]), "messages[0].content[0].image_url", "url"),
    (user([{"type": "image_url", "image_url": {}}]), "messages[0].content[0].image_url.url", "data URL"),
    (user([{"type": "image_url", "image_url": {"url": 1}}]), "messages[0].content[0].image_url.url", "data URL"),
    (user([{"type": "input_audio", "input_audio": {}}]), "messages[0].content[0].input_audio", "base64"),
    (user([{"type": "file", "file": {}}]), "messages[0].content[0].file.file_data", "file_id"),
    (user([{"type": "file", "file": {"file_data": 5}}]), "messages[0].content[0].file.file_data", "string"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "`id` of the call"),
    ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].name", "called before"),
    ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls", "array"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, "messages[0].tool_calls.function", "list of calls"),
    ({"messages": [{"role": "assistant", "tool_calls": [{**CALL, "id": 7}]}]}, "messages[0].tool_calls.id", "str"),
    ({"messages": [{"role": "assistant", "reasoning_details": "x"}]}, "messages[0].reasoning_details", "array"),
    ({"messages": [{"role": "assistant", "content": "x", "annotations": [5]}]}, "messages[0].annotations", "object"),
    ({"messages": [USER], "model": ""}, "model", "name one"),
    ({"messages": [USER], "model": 5}, "model", "str"),
    ({"messages": [USER], "temperature": "hot"}, "temperature", "float"),
    ({"messages": [USER], "max_tokens": 0}, "max_tokens", "at least 1"),
    ({"messages": [USER], "max_completion_tokens": 1.5}, "max_completion_tokens", "int"),
    ({"messages": [USER], "stop": [1]}, "stop", "str"),
    ({"messages": [USER], "stop": {}}, "stop", "array"),
    ({"messages": [USER], "stream": "yes"}, "stream", "bool"),
    ({"messages": [USER], "stream_options": {"include_usage": 1}}, "stream_options.include_usage", "bool"),
    ({"messages": [USER], "metadata": {"a": 1}}, "metadata", "str"),
    ({"messages": [USER], "logit_bias": {"1": "x"}}, "logit_bias", "float"),
    ({"messages": [USER], "reasoning": "high"}, "reasoning", "object"),
    ({"messages": [USER], "reasoning": {"max_tokens": "x"}}, "reasoning.max_tokens", "int"),
    ({"messages": [USER], "response_format": "json"}, "response_format", "object"),
    ({"messages": [USER], "response_format": {"type": "json_schema"}}, "response_format.json_schema", "`schema`"),
    ({"messages": [USER], "response_format": {"type": "json_schema", "json_schema": {"schema": 5}}}, "response_format.json_schema", "`schema`"),
    (tool("f"), "tools", "object"),
    (tool({"type": "function", "function": {}}), "tools[0].function.name", "must have a name"),
    (tool({"type": "function", "function": {"name": "f", "parameters": "x"}}), "tools[0].function.parameters", "JSON Schema"),
    (tool({"type": "custom"}), "tools[0].custom", "`name`"),
    (choice("maybe"), "tool_choice", "`auto`"),
    (choice({"type": "function", "function": {}}), "tool_choice.function.name", "name of a tool"),
    (choice(5), "tool_choice", "object"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "param", "mend"), WRONG, ids=[f"{param}-{mend}" for _, param, mend in WRONG])
def test_what_is_wrong_is_named(body: dict[str, Any], param: str, mend: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        codec.read_request(json.dumps({"model": "m", **body}).encode(), CONTEXT)
    assert caught.value.param == param
    assert mend in caught.value.message
    assert param in caught.value.message


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"5", b'{"model": "m", "messages": [{"role": "\xff"}]}', b"[" * 99999]
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidParams):
        codec.read_request(body, CONTEXT)


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"[]", b'{"choices": 5}', b'{"choices": [5]}', b'{"choices": [{"message": {"content": 5}}]}',
     b'{"choices": [{"message": {"content": [{"type": "text", "text": 5}]}}]}', b'{"id": 5}'],
)  # fmt: skip
def test_what_is_no_answer_is_marked(answer: bytes) -> None:
    with pytest.raises(UNREADABLE):
        codec.read_response(answer, target())


@pytest.mark.parametrize(
    "data", [b"x", b"{", b"[]", b'{"choices": [{"delta": []}]}', b'{"choices":[{"delta":{"tool_calls":5}}]}']
)
def test_what_is_no_event_is_marked(data: bytes) -> None:
    with pytest.raises(UNREADABLE):
        read_stream([b"data: %b\n\n" % data])


def test_a_usage_that_cannot_be_read_costs_no_answer() -> None:
    answer = codec.read_response(b'{"choices":[{"message":{"content":"Hi"}}],"usage":{"prompt_tokens":"x"}}', target())
    assert answer.usage is None
    assert answer.candidates[0].parts


@pytest.mark.parametrize(
    "line", [b": ping\n\n", b"\n\n", b"event: ping\n\n", b"data:\n\n", b"data:  \n\n", b"id: 5\n\n"]
)
def test_what_says_nothing_is_skipped(line: bytes) -> None:
    assert read_stream([line]) == []

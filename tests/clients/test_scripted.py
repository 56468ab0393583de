"""The scripted model is a provider of four protocols: two rounds of tools, whole and streamed, and failures as written."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.clients.scripted.server import ScriptedModel
from tests.fakes.gateway import OPERATOR_KEY

PROMPT = r'<<call f {"a": 1}>> <<say tool said {{tool:KEY-\w+}} via {{proto}}>>'
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
FUNCTION = {"name": "f", "description": "d", "parameters": SCHEMA}
GEMINI = "/v1beta/models/m:generateContent"
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
RESULT = "x KEY-1 y"
ANSWER = "tool said KEY-1 via"


def post(model: ScriptedModel, path: str, body: dict[str, Any], key: str = OPERATOR_KEY) -> bytes:
    told = {"authorization": f"Bearer {key}", "x-api-key": key, "x-goog-api-key": key}
    url = f"http://127.0.0.1:{model.port}{path}"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), told)) as answer:
        return answer.read()


def events(data: bytes) -> list[Any]:
    return [json.loads(line[6:]) for line in data.decode().splitlines() if line.startswith("data: {")]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_chat(scripted_model: ScriptedModel) -> None:
    body: dict[str, Any] = {"model": "m", "tools": [{"type": "function", "function": FUNCTION}]}
    body["messages"] = [user(PROMPT)]
    message = json.loads(post(scripted_model, CHAT, body))["choices"][0]["message"]
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"a": 1}
    given = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": RESULT}
    body |= {"messages": [user(PROMPT), message, given], "stream": True, "stream_options": {"include_usage": True}}
    came = events(post(scripted_model, CHAT, body))
    text = "".join(event["choices"][0]["delta"].get("content") or "" for event in came if event["choices"])
    assert (text, came[-1]["usage"]["total_tokens"] > 0) == (f"{ANSWER} chat", True)


def test_responses(scripted_model: ScriptedModel) -> None:
    body: dict[str, Any] = {"model": "m", "tools": [{"type": "function", **FUNCTION}], "input": PROMPT}
    output = json.loads(post(scripted_model, RESPONSES, body))["output"]
    assert json.loads(output[0]["arguments"]) == {"a": 1}
    given = {"type": "function_call_output", "call_id": output[0]["call_id"], "output": RESULT}
    body |= {"input": [user(PROMPT), *output, given], "stream": True}
    came = events(post(scripted_model, RESPONSES, body))
    assert [event["sequence_number"] for event in came] == list(range(len(came)))
    assert came[-1]["response"]["output"][0]["content"][0]["text"] == f"{ANSWER} responses"


def test_messages(scripted_model: ScriptedModel) -> None:
    body: dict[str, Any] = {"model": "m", "max_tokens": 9, "tools": [{"name": "f", "input_schema": SCHEMA}]}
    body["messages"] = [user(PROMPT)]
    content = json.loads(post(scripted_model, MESSAGES, body))["content"]
    assert content[0]["input"] == {"a": 1}
    given = [{"type": "tool_result", "tool_use_id": content[0]["id"], "content": RESULT}]
    body["messages"] += [{"role": "assistant", "content": content}, {"role": "user", "content": given}]
    came = events(post(scripted_model, MESSAGES, body | {"stream": True}))
    text = "".join(event["delta"].get("text", "") for event in came if event["type"] == "content_block_delta")
    assert text == f"{ANSWER} messages"


def test_gemini(scripted_model: ScriptedModel) -> None:
    asked = {"role": "user", "parts": [{"text": PROMPT}]}
    body: dict[str, Any] = {"tools": [{"functionDeclarations": [FUNCTION]}], "contents": [asked]}
    content = json.loads(post(scripted_model, GEMINI, body))["candidates"][0]["content"]
    assert content["parts"][0]["functionCall"]["args"] == {"a": 1}
    given = {"functionResponse": {"name": "f", "response": {"output": RESULT}}}
    body["contents"] += [content, {"role": "user", "parts": [given]}]
    came = events(post(scripted_model, "/v1beta/models/m:streamGenerateContent?alt=sse", body))
    assert "".join(event["candidates"][0]["content"]["parts"][0]["text"] for event in came) == f"{ANSWER} gemini"


@pytest.mark.parametrize(("text", "key", "status"), [("<<fail 429 1>>", OPERATOR_KEY, 429), ("x", "other", 401)])
def test_failures(scripted_model: ScriptedModel, text: str, key: str, status: int) -> None:
    body = {"model": f"m-{status}", "messages": [user(text)]}
    with pytest.raises(urllib.error.HTTPError) as raised:
        post(scripted_model, CHAT, body, key)
    with raised.value as error:
        assert error.status == status


def test_lost_signatures_are_refused(scripted_model: ScriptedModel) -> None:
    call = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
    thought = {"type": "thinking", "thinking": "hm", "signature": "another"}
    bodies = {
        GEMINI: {"contents": [{"role": "user", "parts": [{"text": "x"}]}, call]},
        MESSAGES: {"model": "m", "messages": [user("x"), {"role": "assistant", "content": [thought]}]},
    }
    for path, body in bodies.items():
        with pytest.raises(urllib.error.HTTPError) as raised:
            post(scripted_model, path, body)
        with raised.value as error:
            assert error.status == 400

"""Bedrock's Converse as it is simulated: shapes, frames, and what is refused."""

import json
from typing import Any

import pytest

from tests.fakes.simulated import SimulatedProvider
from tests.simulate.conftest import Answer, Call
from trunkline.providers.eventstream import Message, Messages

NOVA, CLAUDE, LLAMA = "us.amazon.nova-2-lite-v1:0", "us.anthropic.claude-haiku-4-5-v1:0", "us.meta.llama4-scout-v1:0"
LOOK = {"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object", "properties": {}}}}}
USE = {"toolUse": {"toolUseId": "t1", "name": "look", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "t1", "content": [{"text": "there"}]}}
TOOLS = {"toolConfig": {"tools": [LOOK]}}


def path(model: str = NOVA, operation: str = "converse") -> str:
    return f"/bedrock-sim/model/{model.replace(':', '%3A')}/{operation}"


def asking(*contents: Any, **fields: Any) -> dict[str, Any]:
    """Turns of the user and the assistant, by turns; a text stands for itself."""
    listed = [[{"text": one}] if isinstance(one, str) else one for one in contents or ("hi",)]
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[n % 2], "content": content} for n, content in enumerate(listed)]} | fields


def frames(answer: Answer) -> list[Message]:
    reader = Messages()
    found = list(reader.feed(answer.body))
    assert not reader.cut
    return found


def test_an_answer_has_amazons_shape(call: Call, simulated: SimulatedProvider) -> None:
    answer = call(path(), asking("<<say hello>>"))
    assert set(answer.json) == {"output", "stopReason", "usage", "metrics"}
    assert answer.json["output"] == {"message": {"role": "assistant", "content": [{"text": "[simulated] hello"}]}}
    assert (
        answer.json["usage"]["totalTokens"]
        == answer.json["usage"]["inputTokens"] + answer.json["usage"]["outputTokens"]
    )
    assert answer.headers["x-simulated"] == "true"


def test_a_stream_is_frames_in_amazons_order(call: Call, simulated: SimulatedProvider) -> None:
    answer = call(path(CLAUDE, "converse-stream"), asking("<<call look {}>>", **TOOLS))
    assert answer.headers["content-type"] == "application/vnd.amazon.eventstream"
    names = [frame.headers[":event-type"] for frame in frames(answer)]
    assert names[:2] == ["messageStart", "contentBlockStart"]
    assert names[-3:] == ["contentBlockStop", "messageStop", "metadata"]
    assert json.loads(frames(answer)[-2].payload)["stopReason"] == "tool_use"


def test_a_failure_in_the_middle_is_an_exception(call: Call, simulated: SimulatedProvider) -> None:
    answer = call(path(operation="converse-stream"), asking("<<say one two three>><<errmid 1>>"))
    assert frames(answer)[-1].headers[":exception-type"] == "modelStreamErrorException"


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (NOVA, {"messages": []}, "must start with a user message"),
    (NOVA, asking(" "), "is blank"),
    (NOVA, asking("a", "b", "c") | {"model": "m"}, "extraneous key [model]"),
    (NOVA, {"messages": [{"role": "user", "content": [{"text": "a"}]}] * 2}, "roles must alternate"),
    (NOVA, asking([{"text": "a", "image": {}}]), "exactly one of"),
    (NOVA, asking("a", [USE], [RESULT]), "toolConfig field must be defined"),
    (NOVA, asking("a", [USE], "well?", **TOOLS), "does not match the number of toolUse"),
    (NOVA, asking(toolConfig={"tools": []}), "length greater than or equal to 1"),
    (NOVA, asking(toolConfig={"tools": [{"toolSpec": {"name": "a.b", "inputSchema": {"json": {}}}}]}), "[a-zA-Z0-9_-]+"),
    (NOVA, asking(toolConfig={"tools": [{"toolSpec": {"name": "a", "inputSchema": {"json": {}}}}]}), "must be one of the following: object"),
    (LLAMA, asking(toolConfig={"tools": [LOOK], "toolChoice": {"any": {}}}), "doesn't support the toolConfig.toolChoice.any"),
    (LLAMA, asking(additionalModelRequestFields={"top_k": 5}), "extraneous key [top_k]"),
    (NOVA, asking(inferenceConfig={"temperature": 1.2}), "less than or equal to 1"),
    (NOVA, asking(inferenceConfig={"maxTokens": 0}), "greater than or equal to 1"),
    (NOVA, asking(additionalModelRequestFields={"reasoningConfig": {"type": "enabled"}}), "reasoning config value is invalid"),
    (LLAMA, asking(outputConfig={"textFormat": {}}), "doesn't support the outputConfig.textFormat"),
    (NOVA, asking([{"document": {"format": "pdf", "name": "a", "source": {"bytes": "AAAA"}}}]), "has a document and no text"),
    (NOVA, asking([{"text": "x"}, {"document": {"format": "pdf", "name": "a.pdf", "source": {"bytes": "AAAA"}}}]), "the file name"),
    (CLAUDE, asking("a", [{"reasoningContent": {"reasoningText": {"text": "x", "signature": "eA=="}}}], "b"), "Invalid `signature`"),
    (NOVA, asking(serviceTier={"type": "auto"}), "serviceTier"),
    (NOVA, asking(requestMetadata={"a": "ü"}), "requestMetadata"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "body", "words"), REFUSED, ids=[words for *_, words in REFUSED])
def test_what_amazon_refuses_is_refused(call: Call, simulated: SimulatedProvider, model, body, words) -> None:
    answer = call(path(model), body)
    assert (answer.status, answer.headers["x-amzn-errortype"].partition(":")[0]) == (400, "ValidationException")
    assert words in answer.json["message"]
    assert answer.headers["x-simulated"] == "true"


def test_claudes_reasoning_comes_back_as_it_was(call: Call, simulated: SimulatedProvider) -> None:
    thinking = {
        "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        "inferenceConfig": {"maxTokens": 4000},
    }
    first = call(path(CLAUDE), asking("<<think deep>><<say x>>", **thinking)).json["output"]["message"]["content"]
    assert set(first[0]["reasoningContent"]["reasoningText"]) == {"text", "signature"}
    assert call(path(CLAUDE), asking("<<think deep>><<say x>>", first, "more", **thinking)).status == 200
    first[0]["reasoningContent"]["reasoningText"]["text"] = "other"
    assert call(path(CLAUDE), asking("<<think deep>><<say x>>", first, "more", **thinking)).status == 400


@pytest.mark.parametrize(
    ("status", "name"),
    [(429, "ThrottlingException"), (503, "ServiceUnavailableException"), (500, "InternalServerException")],
)
def test_a_failure_has_its_exception_in_a_header(call: Call, simulated: SimulatedProvider, status, name) -> None:
    answer = call(path(), asking(f"<<fail {status} 1>>"))
    assert (answer.status, answer.headers["x-amzn-errortype"].partition(":")[0]) == (status, name)

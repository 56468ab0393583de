"""What the Responses protocol looks like on the wire, and to the vendor's own SDK."""

from typing import Any

import openai
import pytest

from tests.simulate.conftest import RESPONSES, Call

LOOK: Any = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": False}
PATCH: Any = {"type": "custom", "name": "patch"}
ENCRYPTED = ["reasoning.encrypted_content"]


def asking(message: Any = "hi", **fields: Any) -> dict[str, Any]:
    return {"model": "o4-mini", "input": message} | fields


def test_a_response_has_the_vendors_fields_and_says_that_it_is_simulated(call: Call) -> None:
    answer = call(RESPONSES, asking(metadata={"a": "b"}, instructions="be brief"))
    said = answer.json
    assert (said["object"], said["status"], said["metadata"]) == ("response", "completed", {"a": "b"})
    assert said["instructions"] == "be brief"
    assert [item["type"] for item in said["output"]] == ["reasoning", "message"]
    assert said["output"][1]["content"][0]["text"].startswith("[simulated] ")
    assert answer.headers["x-simulated"] == "true"
    assert said["usage"]["output_tokens_details"]["reasoning_tokens"] == 192


def test_a_stream_has_the_vendors_events_in_their_order(call: Call) -> None:
    events = call(RESPONSES, asking("<<think so>><<say one two>>", stream=True, reasoning={"summary": "auto"})).events
    assert [event["event"].removeprefix("response.") for event in events] == [
        "created", "in_progress", "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done", "output_item.added",
        "content_part.added", "output_text.delta", "output_text.delta", "output_text.delta", "output_text.done",
        "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert all(event["event"] == event["type"] for event in events)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["output_index"] for event in events[2:-1]] == [0] * 6 + [1] * 8


@pytest.mark.parametrize(
    "message",
    [
        "hello",
        "<<think a b>><<think c>><<say so>>",
        '<<calls [{"name": "look", "args": {"a": 1}}, {"name": "patch"}]>>',
    ],
)
@pytest.mark.parametrize("model", ["o4-mini", "gpt-4.1"])
def test_the_items_that_are_done_are_those_of_the_response(call: Call, message: str, model: str) -> None:
    asked = asking(message, model=model, tools=[LOOK, PATCH])
    if model == "o4-mini":
        asked |= {"include": ENCRYPTED, "reasoning": {"summary": "auto"}}
    whole = call(RESPONSES, asked).json
    events = call(RESPONSES, asked | {"stream": True}).events
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == whole["output"] == events[-1]["response"]["output"]


def test_the_sdk_puts_text_and_arguments_together_again(client: openai.OpenAI) -> None:
    message = '<<call look {"where": "in the long cupboard", "n": 3}>>'
    with client.responses.stream(model="o4-mini", input=message, tools=[LOOK]) as stream:
        final = stream.get_final_response()
    item = final.output[-1]
    assert item.type == "function_call"
    assert item.arguments == '{"where": "in the long cupboard", "n": 3}'
    with client.responses.stream(model="o4-mini", input="<<say one two>>") as stream:
        assert stream.get_final_response().output_text == "[simulated] one two"


def test_a_custom_tool_is_called_with_free_text(call: Call) -> None:
    asked = asking('<<call patch {"input": "*** Begin"}>>', tools=[PATCH], stream=True)
    events = call(RESPONSES, asked).events
    assert events[-1]["response"]["output"][1] | {"id": ""} == {
        "id": "", "type": "custom_tool_call", "status": "completed", "name": "patch", "input": "*** Begin",
        "call_id": events[-1]["response"]["output"][1]["call_id"],
    }  # fmt: skip
    told = [event for event in events if "custom_tool_call_input" in event["type"]]
    assert [event.get("delta") or event.get("input") for event in told] == ["*** Begin", "*** Begin"]


def test_reasoning_is_hidden_unless_it_is_asked_for(call: Call) -> None:
    item = call(RESPONSES, asking("<<think a>>")).json["output"][0]
    assert (item["summary"], "encrypted_content" in item) == ([], False)
    item = call(RESPONSES, asking("hi", include=ENCRYPTED, reasoning={"summary": "auto"})).json["output"][0]
    assert item["summary"][0]["text"].startswith("[simulated] ")
    assert item["encrypted_content"]


def test_the_limit_makes_a_response_incomplete(call: Call) -> None:
    asked = asking("<<say " + "word " * 40 + ">>", model="gpt-4.1", max_output_tokens=16)
    said = call(RESPONSES, asked).json
    assert (said["status"], said["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert said["output"][0]["status"] == "incomplete"
    assert call(RESPONSES, asked | {"stream": True}).events[-1]["event"] == "response.incomplete"


def test_reasoning_can_use_up_the_limit(call: Call) -> None:
    said = call(RESPONSES, asking("hi", max_output_tokens=100)).json
    assert [item["type"] for item in said["output"]] == ["reasoning"]
    assert said["usage"]["output_tokens"] == 100


def test_azure_serves_it_too(call: Call) -> None:
    assert call("/azure-sim/openai/v1/responses", asking()).json["object"] == "response"
    failed = call("/azure-sim/openai/v1/responses", asking("<<fail 429 1>>"))
    assert failed.json["error"]["code"] == "429"


def test_structured_output_is_an_instance_of_its_schema(call: Call) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    said = call(RESPONSES, asking(text={"format": {"type": "json_schema", "name": "x", "schema": schema}})).json
    assert said["output"][1]["content"][0]["text"].startswith('{"n":')

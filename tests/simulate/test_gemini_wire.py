"""What the Gemini protocol looks like on the wire: objects, events, arrays."""

import json
from typing import Any

import pytest

from tests.fakes.simulated import SimulatedProvider
from tests.simulate.conftest import GEMINI, Call

LOOK = {"name": "look", "parameters": {"type": "OBJECT", "properties": {"where": {"type": "STRING"}}}}
TOOLS = [{"functionDeclarations": [LOOK]}]
PLAIN, SSE, ARRAY = (
    f"{GEMINI}/gemini-3-pro:generateContent",
    f"{GEMINI}/gemini-3-pro:streamGenerateContent?alt=sse",
    f"{GEMINI}/gemini-3-pro:streamGenerateContent",
)
SHOWN = {"thinkingConfig": {"includeThoughts": True}}


def asking(message: str = "hi", **fields: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": message}]}]} | fields


def folded(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts of all chunks, texts of a kind in a row joined."""
    parts: list[dict[str, Any]] = []
    for part in (part for chunk in chunks for part in chunk["candidates"][0]["content"].get("parts", [])):
        last = parts[-1] if parts else {}
        if "text" in part and "text" in last and part.get("thought") == last.get("thought"):
            last |= part | {"text": last["text"] + part["text"]}
        elif part != {"text": ""}:
            parts.append(dict(part))
    return parts


def test_an_answer_has_the_vendors_fields_and_says_that_it_is_simulated(call: Call) -> None:
    answer = call(PLAIN, asking())
    assert set(answer.json) == {"candidates", "usageMetadata", "modelVersion", "responseId"}
    candidate = answer.json["candidates"][0]
    assert (candidate["finishReason"], candidate["content"]["role"]) == ("STOP", "model")
    assert candidate["content"]["parts"][0]["text"].startswith("[simulated] ")
    assert answer.headers["x-simulated"] == "true"


def test_events_are_lines_of_data_that_end_with_crlf_and_without_done(call: Call) -> None:
    answer = call(SSE, asking("<<say one two>>", generationConfig={"maxOutputTokens": 900}))
    assert answer.headers["content-type"] == "text/event-stream"
    assert b"DONE" not in answer.body
    events = answer.body.decode().split("\r\n\r\n")
    assert events.pop() == ""
    assert all(event.startswith("data: {") and "\n" not in event for event in events)
    assert answer.events[-1]["candidates"][0]["finishReason"] == "STOP"
    assert all("finishReason" not in event["candidates"][0] for event in answer.events[:-1])


@pytest.mark.parametrize("config", [{}, SHOWN])
@pytest.mark.parametrize("message", ["hello", "<<think a b>><<think c>><<say so>>", "<<call look {}>>", "<<empty>>"])
def test_events_array_and_object_say_the_same(call: Call, message: str, config: dict[str, Any]) -> None:
    asked = asking(message, tools=TOOLS, generationConfig=config)
    whole = call(PLAIN, asked).json
    array = call(ARRAY, asked)
    assert array.headers["content-type"] == "application/json; charset=UTF-8"
    for chunks in (call(SSE, asked).events, json.loads(array.body)):
        assert folded(chunks) == folded([whole])
        assert chunks[-1]["usageMetadata"] == whole["usageMetadata"]


def test_calls_come_whole_and_the_first_has_the_signature(call: Call) -> None:
    asked = asking(
        '<<calls [{"name": "look", "args": {"where": "in the long cupboard"}}, {"name": "look"}]>>', tools=TOOLS
    )
    parts = folded(call(SSE, asked).events)
    assert [part["functionCall"]["args"] for part in parts] == [{"where": "in the long cupboard"}, {}]
    assert ["thoughtSignature" in part for part in parts] == [True, False]
    assert len({part["functionCall"]["id"] for part in parts}) == 2


def test_a_broken_call_is_a_finish_reason(call: Call) -> None:
    said = call(PLAIN, asking("<<call look {broken>>", tools=TOOLS)).json
    assert said["candidates"][0] == {
        "content": {"role": "model"}, "index": 0, "finishReason": "MALFORMED_FUNCTION_CALL",
    }  # fmt: skip


def test_thoughts_are_counted_beside_the_answer_and_shown_when_asked_for(call: Call) -> None:
    said = call(PLAIN, asking("<<usage 100 40 30 25>>")).json
    usage = said["usageMetadata"]
    assert (usage["candidatesTokenCount"], usage["thoughtsTokenCount"], usage["totalTokenCount"]) == (15, 25, 140)
    assert usage["cachedContentTokenCount"] == 30
    assert not any(part.get("thought") for part in said["candidates"][0]["content"]["parts"])
    shown = call(PLAIN, asking(generationConfig=SHOWN)).json
    assert shown["candidates"][0]["content"]["parts"][0]["thought"] is True


def test_the_limit_is_a_finish_reason(call: Call) -> None:
    config = {"maxOutputTokens": 1, "thinkingConfig": {"thinkingBudget": 0}}
    said = call(f"{GEMINI}/gemini-2.5-flash:generateContent", asking("<<say one two>>", generationConfig=config)).json
    assert said["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert said["candidates"][0]["content"]["parts"] == [{"text": "[simulated]"}]


@pytest.mark.parametrize(
    "path", ["", "/v1/publishers/google/models/x", "/v1/projects/p/locations/l/publishers/google/models/x"]
)
def test_vertex_paths_and_snake_case_are_taken(call: Call, path: str) -> None:
    asked = {
        "contents": [{"parts": [{"inline_data": {"mime_type": "image/png", "data": "AAAA"}}, {"text": "hi"}]}],
        "system_instruction": {"parts": {"text": "be brief"}},
        "generation_config": {"max_output_tokens": 900},
    }
    where = f"/gemini-sim{path}:generateContent" if path else PLAIN
    assert call(where, asked).status == 200


def test_tokens_are_counted(call: Call) -> None:
    counted = call(f"{GEMINI}/gemini-3-pro:countTokens", asking("how many?")).json
    whole = {"generateContentRequest": asking("how many?") | {"model": "models/gemini-3-pro"}}
    assert counted == call(f"{GEMINI}/gemini-3-pro:countTokens", whole).json
    assert counted["totalTokens"] == call(PLAIN, asking("how many?")).json["usageMetadata"]["promptTokenCount"]


def test_a_key_in_the_query_is_good_and_not_in_the_log(call: Call, simulated: SimulatedProvider) -> None:
    simulated.behaviour("gemini-sim", api_keys=["good-one"])
    assert call(f"{SSE}&key=good-one", asking()).status == 200
    assert call(PLAIN, asking(), {"x-goog-api-key": "good-one"}).status == 200
    bad = call(f"{PLAIN}?key=bad-one", asking())
    assert (bad.status, bad.json["error"]["details"][0]["reason"]) == (400, "API_KEY_INVALID")
    assert call(PLAIN, asking()).status == 403
    assert "one" not in json.dumps([entry["query"] + str(entry["headers"]) for entry in simulated.log()])


@pytest.mark.parametrize(("path", "headers"), [("v1beta", {}), ("v1", {"x-goog-api-key": "k"})])
def test_models_are_listed(call: Call, path: str, headers: dict[str, str]) -> None:
    listed = call(f"/gemini-sim/{path}/models", None, headers, method="GET").json
    assert listed["models"][0]["name"] == "models/gemini-2.5-flash"
    one = call(f"/gemini-sim/{path}/models/gemini-3-pro", None, headers, method="GET").json
    assert one["name"] == "models/gemini-3-pro"

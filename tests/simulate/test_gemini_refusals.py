"""What Google refuses, in its own shape; above all calls that do not come back with their signature."""

from typing import Any

import pytest

from tests.simulate.conftest import GEMINI, Answer, Call
from tests.simulate.test_gemini_wire import ARRAY, LOOK, PLAIN, SSE, TOOLS, asking

HI = {"role": "user", "parts": [{"text": "hi"}]}
CALLED = {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {}}}]}
ANSWERED = {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"output": "there"}}}]}
OLD = f"{GEMINI}/gemini-2.5-pro:generateContent"


def turns(*contents: Any) -> dict[str, Any]:
    return {"contents": list(contents)}


def declared(**fields: Any) -> dict[str, Any]:
    return {"tools": [{"functionDeclarations": [{"name": "look"} | fields]}]}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, 'Unknown name "messages": Cannot find field.'),
    ({"contents": []}, "contents is not specified"),
    (turns(HI | {"role": "assistant"}), "Please use a valid role: user, model."),
    (turns(HI | {"name": "bob"}), "Unknown name \"name\" at 'contents[0]'"),
    (turns({"role": "user", "parts": []}), "contents.parts must not be empty"),
    (turns({"role": "user", "parts": [{}]}), "required oneof field 'data' must have one initialized field"),
    (turns({"role": "user", "parts": [{"type": "text", "text": "x"}]}), "Unknown name \"type\" at 'contents[0].parts[0]'"),
    (turns({"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "*"}}]}), "Base64 decoding failed"),
    (turns({"role": "user", "parts": [{"inlineData": {"data": "AAAA"}}]}), "inline_data.mime_type"),
    (turns(HI, HI | {"role": "model"}), "end with a user role or a function response"),
    (turns(CALLED, ANSWERED), "function call turn comes immediately after a user turn"),
    (turns(ANSWERED), "function response turn comes immediately after a function call turn"),
    (turns(HI, CALLED, HI), "number of function response parts is equal to the number of function call parts"),
    (
        turns(HI, CALLED, {"role": "user", "parts": ANSWERED["parts"] * 2}),  # type: ignore[operator]
        "number of function response parts is equal",
    ),
    (
        turns(HI, CALLED, {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": "there"}}]}),
        "google.protobuf.Struct",
    ),
    ({"generationConfig": {"temperature": 3}}, "temperature must be in the range [0.0, 2.0]"),
    ({"generationConfig": {"max_tokens": 3}}, "Unknown name \"max_tokens\" at 'generation_config'"),
    ({"generationConfig": {"stopSequences": list("abcdef")}}, "at most 5"),
    ({"generationConfig": {"candidateCount": 2}}, "Only one candidate can be specified"),
    ({"generationConfig": {"responseSchema": {"type": "OBJECT"}}}, "only allowed if `response_mime_type`"),
    (
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": 200, "thinkingLevel": "LOW"}}},
        "only one of thinking budget and thinking level",
    ),
    ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}, "This model only works in thinking mode"),
    ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 5}}}, "choose a value between 128 and 32768"),
    ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "HIGH"}}}, "Thinking level is not supported"),
    (
        {"tools": TOOLS, "generationConfig": {"responseMimeType": "application/json"}},
        "Function calling with a response mime type: 'application/json' is unsupported",
    ),
    (declared(name="a b"), "[FIELD_INVALID] Invalid function name"),
    ({"tools": [{"functionDeclarations": [LOOK, LOOK]}]}, "Duplicate function declaration found: look"),
    (declared(input_schema={}), "Unknown name \"input_schema\" at 'tools[0].function_declarations[0]'"),
    (declared(parameters={"type": "object", "additionalProperties": False}), 'Unknown name "additionalProperties"'),
    (declared(parameters={"type": ["string", "null"]}), "Proto field is not repeating"),
    (
        declared(parameters={"type": "object", "properties": {"a": {"type": "string", "$ref": "#"}}}),
        "Unknown name \"$ref\" at 'tools[0].function_declarations[0].parameters.properties[0].value'",
    ),
    (
        {"tools": TOOLS, "toolConfig": {"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["look"]}}},
        "can only be set when the mode is ANY",
    ),
    (
        {"tools": TOOLS, "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["b"]}}},
        "'b' is not one of the function_declarations",
    ),
]  # fmt: skip


def refused(answer: Answer) -> str:
    error = answer.json["error"]
    assert (answer.status, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    return str(error["message"])


@pytest.mark.parametrize(("fields", "message"), REFUSED)
def test_a_wrong_request_is_refused_in_googles_words(call: Call, fields: dict[str, Any], message: str) -> None:
    assert message in refused(call(OLD, asking() | fields))


def test_json_schema_has_a_field_of_its_own(call: Call) -> None:
    schema = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "additionalProperties": False}
    assert call(PLAIN, asking() | declared(parametersJsonSchema=schema)).status == 200
    config = {"responseMimeType": "application/json", "responseJsonSchema": schema}
    assert call(PLAIN, asking(generationConfig=config)).status == 200


def test_chunks_that_an_sdk_keeps_as_turns_are_one_turn(call: Call) -> None:
    said = {"role": "model", "parts": [{"text": "a"}]}
    assert call(PLAIN, turns(HI, said, said, HI, HI)).status == 200


def test_without_sse_the_error_of_a_stream_is_in_an_array(call: Call) -> None:
    assert call(ARRAY, {}).json[0]["error"]["status"] == "INVALID_ARGUMENT"
    assert call(SSE, {}).json["error"]["status"] == "INVALID_ARGUMENT"


# Signatures that come back

CALLS = '<<calls [{"name": "look", "args": {"n": 1}}, {"name": "look"}]>>'


def first_round(call: Call, message: str = CALLS, path: str = PLAIN) -> dict[str, Any]:
    """A request, its calls, and their responses: the second round."""
    asked = asking(message, tools=TOOLS)
    content = call(path, asked).json["candidates"][0]["content"]
    results = [
        {"functionResponse": {k: v for k, v in part["functionCall"].items() if k != "args"} | {"response": {}}}
        for part in content["parts"]
    ]
    return asked | {"contents": [*asked["contents"], content, {"role": "user", "parts": results}]}


def parts_of(second: dict[str, Any]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = second["contents"][1]["parts"]
    return parts


def test_calls_that_come_back_with_their_signature_are_taken(call: Call) -> None:
    second = first_round(call)
    parts_of(second)[0]["functionCall"]["args"] = {"n": 1.0}
    assert call(PLAIN, second).status == 200


def test_a_call_without_its_signature_is_refused_from_gemini_3_on(call: Call) -> None:
    second = first_round(call)
    del parts_of(second)[0]["thoughtSignature"]
    message = refused(call(PLAIN, second))
    assert "missing a thought_signature in functionCall parts" in message
    assert "function call `default_api:look` , position 2." in message
    older = first_round(call, path=OLD)
    del parts_of(older)[0]["thoughtSignature"]
    assert call(OLD, older).status == 200


def test_a_signature_that_was_changed_or_moved_is_refused(call: Call) -> None:
    second = first_round(call)
    parts_of(second)[0]["thoughtSignature"] = parts_of(second)[0]["thoughtSignature"][:-6] + "AAAAA="
    assert refused(call(PLAIN, second)) == "Corrupted thought signature."
    second = first_round(call)
    parts_of(second)[1]["thoughtSignature"] = parts_of(second)[0].pop("thoughtSignature")
    assert refused(call(PLAIN, second)) == "Corrupted thought signature."
    second = first_round(call, path=OLD)
    parts_of(second)[0]["thoughtSignature"] = "*"
    assert "Base64 decoding failed" in refused(call(OLD, second))


def test_each_step_of_the_turn_needs_one_and_earlier_turns_do_not(call: Call) -> None:
    second = first_round(call)
    third = second | {"contents": [*second["contents"], *first_round(call, "again " + CALLS)["contents"][1:]]}
    assert call(PLAIN, third).status == 200
    del third["contents"][3]["parts"][0]["thoughtSignature"]
    assert "position 4" in refused(call(PLAIN, third))
    del second["contents"][1]["parts"][0]["thoughtSignature"]
    said = {"role": "model", "parts": [{"text": "done"}]}
    assert call(PLAIN, second | {"contents": [*second["contents"], said, HI]}).status == 200


def test_the_words_that_stand_for_a_signature_are_taken(call: Call) -> None:
    second = first_round(call)
    parts_of(second)[0]["thoughtSignature"] = "skip_thought_signature_validator"
    assert call(PLAIN, second).status == 200

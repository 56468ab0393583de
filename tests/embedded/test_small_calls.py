"""Tool calls in the words of small models: all texts here were written by such models, or are what they could have
written."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.protocols.openai_chat.small_calls import Sniffer, Tool, read_calls, schema_fault

WEATHER = Tool(
    "get_weather",
    "",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}},
        "required": ["city"],
    },
)
ADD = Tool("add", "", {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]})
TOOLS = {"get_weather": WEATHER, "add": ADD}

CALLS = {
    "tag": '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>',
    "fence": '```json\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n```',
    "fence without a word": '```\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n```',
    "fence on one line": '```json {"name": "get_weather", "arguments": {"city": "Paris"}} ```',
    "bare": '{"name": "get_weather", "arguments": {"city": "Paris"}}',
    "bare after blank lines": '\n\n{"name": "get_weather", "arguments": {"city": "Paris"}}',
    "tools tag": '<tools>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tools>',
    "fence with a tag inside": '```xml\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>\n```',
    "doubled braces": '{{"name": "get_weather", "arguments": {"city": "Paris"}}}',
    "list": '[{"name": "get_weather", "arguments": {"city": "Paris"}}]',
    "parameters": '{"name": "get_weather", "parameters": {"city": "Paris"}}',
    "arguments as text": '{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}',
    "wrapped function": '{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}',
    "function key": '{"function": "get_weather", "arguments": {"city": "Paris"}}',
    "text before": 'I will look.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>',
    "line before": 'Here it is:\n{"name": "get_weather", "arguments": {"city": "Paris"}}',
    "text after": '{"name": "get_weather", "arguments": {"city": "Paris"}}\nThat gives the weather.',
    "brace in a string": '{"name": "get_weather", "arguments": {"city": "Paris"}, "note": "}{\\"}"}',
}

TEXTS = {
    "words": "The capital of France is Paris.",
    "code": "Sure:\n\n```python\nprint('hello')\n```\n\nThat prints hello.",
    "json of its own": '{"color": "blue", "name": "sky"}',
    "fenced json": '```json\n{"color": "blue"}\n```\nas you asked',
    "foreign function": '<tool_call>\n{"name": "delete_all", "arguments": {}}\n</tool_call>',
    "half a tag": "a < b and <tool",
    "a list": "[1, 2, 3]",
    "braces in words": "The set is\n{1, 2, 3} and that is all.",
    "name of a tool": 'I could call get_weather with {"city": "Paris"}.',
}


def sniff(text: str, pieces: list[str] | None = None) -> tuple[str, Sniffer]:
    sniffer = Sniffer(tuple(TOOLS))
    out = "".join(sniffer.feed(piece) for piece in pieces or [text])
    return out + sniffer.end(), sniffer


@pytest.mark.parametrize("text", CALLS.values(), ids=CALLS.keys())
def test_a_call_is_found_in_whatever_form_it_comes(text: str) -> None:
    said, sniffer = sniff(text)
    calls = read_calls(sniffer.held, TOOLS)
    assert [(call.name, call.arguments, call.fault) for call in calls] == [("get_weather", '{"city":"Paris"}', "")]
    assert text.startswith(said)
    assert "get_weather" not in said


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_what_is_no_call_comes_out_unchanged(text: str) -> None:
    said, sniffer = sniff(text)
    assert said == text
    assert not sniffer.calling


@pytest.mark.parametrize("text", [*CALLS.values(), *TEXTS.values()])
def test_pieces_make_no_difference(text: str) -> None:
    whole = sniff(text)
    for seed in range(20):
        pieces = cut(text, random.Random(seed))
        said, sniffer = sniff(text, pieces)
        assert (said, sniffer.held) == (whole[0], whole[1].held)
    assert sniff(text, list(text))[0] == whole[0]


def cut(text: str, random_: random.Random) -> list[str]:
    places = sorted(random_.choices(range(len(text) + 1), k=6))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


@given(st.text(alphabet='ab{}[]"`<>/\n tool_cs:,', max_size=60))
def test_no_text_is_lost_whatever_it_is(text: str) -> None:
    said, sniffer = sniff(text, list(text))
    assert said + sniffer.held == text


def test_words_are_not_held_back() -> None:
    sniffer = Sniffer(tuple(TOOLS))
    assert sniffer.feed("The") == "The"
    assert sniffer.feed(" weather is `fine`.") == " weather is `fine`."
    assert sniffer.feed(" <") == " "
    assert sniffer.feed("b>") == "<b>"


def test_code_goes_out_as_soon_as_it_cannot_be_a_call() -> None:
    sniffer = Sniffer(tuple(TOOLS))
    assert sniffer.feed("```python\n") == ""
    assert sniffer.feed("pri") == "```python\npri"
    assert sniffer.feed("nt(1)") == "nt(1)"


def test_several_calls_are_all_read() -> None:
    text = CALLS["tag"] + '\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
    assert [call.name for call in read_calls(text, TOOLS)] == ["get_weather", "add"]
    listed = '[{"name": "add", "arguments": {"a": 1}}, {"name": "add", "arguments": {"a": 2}}]'
    assert [call.arguments for call in read_calls(listed, TOOLS)] == ['{"a":1}', '{"a":2}']


def test_arguments_that_break_the_schema_have_a_fault() -> None:
    (call,) = read_calls('{"name": "get_weather", "arguments": {"town": "Paris"}}', TOOLS)
    assert call.fault == "'city' is a required property"
    (call,) = read_calls('{"name": "get_weather", "arguments": {"city": "Paris", "unit": "kelvin"}}', TOOLS)
    assert "kelvin" in call.fault


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:1/schema"},
        {"$ref": "#"},
        {"type": "nonsense"},
        {"required": 5},
        {"$schema": "http://127.0.0.1:1/own", "$id": "http://127.0.0.1:1/x", "$ref": "other"},
        {"properties": {"city": {"type": "string", "pattern": "^(a+)+$"}}},
    ],
)
def test_a_schema_that_cannot_be_checked_fetches_nothing_and_finds_no_fault(schema: dict[str, Any]) -> None:
    assert schema_fault({"city": "a" * 40 + "!"}, schema) == ""


def test_broken_json_has_a_fault_and_still_a_name() -> None:
    (call,) = read_calls('<tool_call>\n{"name": "get_weather", "arguments": {"city": }}', TOOLS)
    assert call.name == "get_weather"
    assert call.fault.startswith("not JSON")


def test_a_call_that_does_not_end_has_a_fault() -> None:
    (call,) = read_calls('{"name": "get_weather", "arguments": {"city": "Par', TOOLS)
    assert call.fault

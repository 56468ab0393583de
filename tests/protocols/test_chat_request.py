"""What a Chat Completions request asks for, and the body that a provider gets for it."""

import json
from typing import Any

import pytest

from trunkline.catalog.types import PARAMETERS
from trunkline.errors import InvalidParams
from trunkline.protocols.openai_chat.request import GATEWAY_KEYS, ChatRequest, read, upstream_body

ASK = {"model": "openai/o4-mini", "messages": [{"role": "user", "content": "hi"}]}


def asked(**fields: Any) -> ChatRequest:
    return read(json.dumps({**ASK, **fields}).encode(), PARAMETERS)


def sent(request: ChatRequest, **options: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {"model": "o4-mini", "drop": (), "rename": {}, "ask_usage": False}
    return dict(json.loads(upstream_body(request, **{**defaults, **options})))


def part(kind: str) -> list[dict[str, Any]]:
    return [
        {
            "role": "user",
            "content": [{"type": "text", "text": "see"}, {"type": kind, kind: {"url": "https://example.com/a.png"}}],
        }
    ]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"[]", None),
        (b"{", None),
        (b'{"messages":[{"role":"user","content":"x"}]}', "model"),
        (b'{"model":"","messages":[1]}', "model"),
        (b'{"model":7,"messages":[1]}', "model"),
        (b'{"model":"m"}', "messages"),
        (b'{"model":"m","messages":[]}', "messages"),
        (b'{"model":"m","messages":[ ]}', "messages"),
        (b'{"model":"m","messages":{"role":"user"}}', "messages"),
        (b'{"model":"m","messages":[1],"stream":"yes"}', "stream"),
        (b'{"model":"m","messages":[1],"max_tokens":"many"}', "max_tokens"),
        (b'{"model":"m","messages":[1],"max_completion_tokens":0}', "max_completion_tokens"),
        (b'{"model":"m","messages":[1],"stop":5}', "stop"),
        (b'{"model":"m","messages":[1],"provider":{"require_parameters":"x"}}', "provider.require_parameters"),
        (b'{"model":"m","messages":[1],"stream_options":[]}', "stream_options"),
    ],
)
def test_a_bad_request_is_refused_naming_the_field(body: bytes, param: str | None) -> None:
    with pytest.raises(InvalidParams) as caught:
        read(body, PARAMETERS)
    assert caught.value.param == param


def test_the_facts_of_a_plain_request() -> None:
    facts = asked().facts
    assert (facts.model, facts.stream, facts.needs, facts.stop) == ("openai/o4-mini", False, (), ())
    assert facts.modalities == {"text"}
    assert facts.max_output_tokens is None


def test_either_name_of_the_output_limit_counts_as_the_newer_one() -> None:
    assert asked(max_tokens=5).facts.max_output_tokens == 5
    assert asked(max_tokens=5).facts.parameters == ("max_completion_tokens",)
    assert asked(max_completion_tokens=7, max_tokens=5).facts.max_output_tokens == 7


def test_a_parameter_that_is_null_is_not_asked_for() -> None:
    assert asked(temperature=None, seed=1).facts.parameters == ("seed",)


def test_words_outside_the_vocabulary_are_no_parameters() -> None:
    assert asked(metadata={"a": "b"}, store=True, from_the_future=1).facts.parameters == ()


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, ("tools",)),
        ({"tools": []}, ()),
        ({"tools": None}, ()),
        ({"response_format": {"type": "json_object"}}, ("response_format",)),
        ({"response_format": {"type": "text"}}, ()),
        ({"reasoning_effort": "low"}, ("reasoning",)),
        ({"reasoning_effort": "none"}, ()),
        ({"reasoning": {"effort": "high"}}, ("reasoning",)),
        ({"reasoning": {"enabled": False}}, ()),
        ({"reasoning": {"max_tokens": 100}}, ("reasoning",)),
    ],
)
def test_needs_are_what_an_answer_would_be_wrong_without(fields: dict[str, Any], needs: tuple[str, ...]) -> None:
    assert asked(**fields).facts.needs == needs


@pytest.mark.parametrize(("kind", "name"), [("image_url", "image"), ("input_audio", "audio"), ("file", "file")])
def test_media_are_found_by_the_type_of_their_part(kind: str, name: str) -> None:
    assert asked(messages=part(kind)).facts.modalities == {"text", name}


def test_a_text_about_images_is_no_image() -> None:
    told = [{"role": "user", "content": 'what is "image_url" and input_audio?'}]
    assert asked(messages=told).facts.modalities == {"text"}


def test_history_may_lack_content_beside_tool_calls() -> None:
    history = [{"role": "assistant", "tool_calls": []}, {"role": "assistant", "content": None}, *part("image_url")]
    assert asked(messages=history).facts.modalities == {"text", "image"}


def test_the_payload_of_a_data_url_does_not_count_as_prompt() -> None:
    url = "data:image/png;base64," + "A" * 100_000
    told = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    assert asked(messages=told).facts.prompt_bytes < 500


def test_the_provider_gets_its_own_name_of_the_model() -> None:
    assert sent(asked())["model"] == "o4-mini"


def test_keys_of_gateways_never_reach_a_provider() -> None:
    request = asked(**({name: {} for name in GATEWAY_KEYS} | {"models": []}))
    assert set(sent(request)) == {"model", "messages"}


def test_unknown_fields_pass_byte_for_byte() -> None:
    body = b'{"model":"m","messages":[ {"role":"user","content":"\\u00e9"} ],"x_new":{"a" : 1.0}}'
    out = upstream_body(read(body, PARAMETERS), model="u", drop=(), rename={}, ask_usage=False)
    assert out == b'{"model":"u","messages":[ {"role":"user","content":"\\u00e9"} ],"x_new":{"a" : 1.0}}'


def test_dropped_and_renamed_parameters() -> None:
    request = asked(temperature=1, max_tokens=9)
    assert sent(request, drop=("temperature",), rename={"max_tokens": "max_completion_tokens"}) == {
        **ASK,
        "model": "o4-mini",
        "max_completion_tokens": 9,
    }


def test_a_rename_gives_way_to_a_field_that_is_set() -> None:
    request = asked(max_tokens=9, max_completion_tokens=5)
    assert sent(request, rename={"max_tokens": "max_completion_tokens"})["max_completion_tokens"] == 5
    assert "max_tokens" not in sent(request, rename={"max_tokens": "max_completion_tokens"})


def test_reasoning_becomes_reasoning_effort_where_that_is_the_word() -> None:
    out = sent(asked(reasoning={"effort": "high", "exclude": True}), rename={"reasoning": "reasoning_effort"})
    assert out["reasoning_effort"] == "high"
    assert "reasoning" not in out


def test_usage_is_asked_for_beside_the_callers_own_options() -> None:
    assert sent(asked(stream=True), ask_usage=True)["stream_options"] == {"include_usage": True}
    options = {"include_usage": False, "include_obfuscation": False}
    out = sent(asked(stream=True, stream_options=options), ask_usage=True)
    assert out["stream_options"] == {"include_usage": True, "include_obfuscation": False}


@pytest.mark.parametrize(
    ("fields", "wants"),
    [
        ({}, False),
        ({"stream_options": {"include_usage": True}}, True),
        ({"usage": {"include": True}}, True),
        ({"usage": {"include": False}}, False),
    ],
)
def test_who_wants_the_usage_event(fields: dict[str, Any], wants: bool) -> None:
    assert asked(stream=True, **fields).facts.wants_usage is wants

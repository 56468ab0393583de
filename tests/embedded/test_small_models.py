"""The profile of small models: what the child is asked, and what is made of its answer. Pure; streams are written by
hand."""

import contextlib
import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from trunkline.errors import InvalidParams
from trunkline.protocols.openai_chat import small_answers, small_models

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
KEYS = st.sampled_from(
    [
        "messages",
        "role",
        "content",
        "type",
        "text",
        "tools",
        "function",
        "name",
        "parameters",
        "$defs",
        "$ref",
        "tool_choice",
        "allowed_tools",
        "tool_calls",
        "response_format",
        "json_schema",
        "schema",
        "stream",
        "n",
    ]
)
NOW = {"type": "function", "function": {"name": "now"}}
ASK = [{"role": "user", "content": "Weather in Paris?"}]


def prepared(**request: Any) -> tuple[small_models.Plan, dict[str, Any]]:
    plan = small_models.prepare(msgspec.json.encode({"model": "m", "messages": ASK, **request}))
    return plan, msgspec.json.decode(plan.body)


def stream(*texts: str, finish: str = "stop") -> bytes:
    """What a llama-server sends for these pieces."""
    head = {"id": "chatcmpl-1", "created": 1, "model": "m", "object": "chat.completion.chunk"}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None}, *({"content": text} for text in texts)]
    chunks = [head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 2},
    }
    chunks.append(head | {"choices": [], "usage": usage, "timings": {"prompt_n": 7}})
    return b"".join(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def answered(plan: small_models.Plan, *streams: bytes) -> tuple[ChatCompletion, list[dict[str, Any]]]:
    """The answer as one completion, and its choices as they came; further streams answer further tries."""
    ids = itertools.count(1)
    answer = small_answers.Answer(plan, lambda: f"call_{next(ids)}")
    choices = answer.feed(streams[0])
    for further in streams[1:]:
        assert answer.retry() is not None
        choices += answer.feed(further)
    assert answer.retry() is None
    choices += answer.close()
    whole = small_answers.Whole(plan)
    whole.add(choices)
    sse = small_answers.Sse(plan)
    for line in (sse.frames(answer, choices) + sse.end(answer)).split(b"\n\n")[:-2]:
        ChatCompletionChunk.model_validate_json(line.removeprefix(b"data: "), strict=True)
    return ChatCompletion.model_validate_json(whole.body(answer), strict=True), choices


def test_the_child_is_always_asked_for_a_stream_with_usage() -> None:
    _, body = prepared(stream=False, temperature=0.5)
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert body["temperature"] == 0.5


def test_switches_of_the_runtime_do_not_reach_it() -> None:
    _, body = prepared(grammar="root ::= x", id_slot=1, cache_prompt=False, max_completion_tokens=9, store=True)
    assert set(body) == {"messages", "max_tokens", "stream", "stream_options"}
    assert body["max_tokens"] == 9


def test_parts_of_text_and_the_developer_role_become_plain_turns() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    _, body = prepared(messages=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}])
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one\ntwo"},
    ]


def test_an_image_is_refused_by_name() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    with pytest.raises(InvalidParams, match="takes text only, not image_url"):
        prepared(messages=[{"role": "user", "content": parts}])


def test_a_required_tool_becomes_a_schema_of_all_tools() -> None:
    plan, body = prepared(tools=[WEATHER, NOW], tool_choice="required")
    schema = body["response_format"]["json_schema"]["schema"]
    assert plan.mode == "forced"
    assert [each["properties"]["name"]["const"] for each in schema["anyOf"]] == ["get_weather", "now"]
    assert "tools" not in body


def test_a_named_tool_becomes_the_schema_of_that_tool() -> None:
    _, body = prepared(tools=[WEATHER, NOW], tool_choice={"type": "function", "function": {"name": "now"}})
    assert body["response_format"]["json_schema"]["schema"]["properties"]["name"] == {"const": "now"}


def test_a_name_that_is_no_tool_is_refused() -> None:
    with pytest.raises(InvalidParams, match="not in tools"):
        prepared(tools=[NOW], tool_choice={"type": "function", "function": {"name": "later"}})


def test_definitions_of_a_tool_are_found_from_the_root() -> None:
    parameters = {
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/Place"}},
        "$defs": {
            "Place": {"type": "object", "properties": {"in": {"$ref": "#/$defs/Land"}}},
            "Land": {"enum": ["FR"]},
        },
    }
    tool = {"type": "function", "function": {"name": "go", "parameters": parameters}}
    _, body = prepared(tools=[tool], tool_choice="required")
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["arguments"]["properties"]["at"] == {"$ref": "#/$defs/t0_Place"}
    assert schema["$defs"]["t0_Place"]["properties"]["in"] == {"$ref": "#/$defs/t0_Land"}


def test_tools_of_free_choice_are_offered_in_words() -> None:
    plan, body = prepared(tools=[WEATHER])
    assert plan.mode == "auto"
    assert '"name":"get_weather"' in body["messages"][0]["content"]
    assert "response_format" not in body


def test_the_system_prompt_stays_before_the_offer() -> None:
    _, body = prepared(tools=[WEATHER], messages=[{"role": "system", "content": "Be brief."}, *ASK])
    assert body["messages"][0]["content"].startswith("Be brief.\n\n# Tools")


@pytest.mark.parametrize("request_", [{"tool_choice": "none"}, {"response_format": {"type": "json_object"}}])
def test_tools_that_may_not_be_called_are_not_mentioned(request_: dict[str, Any]) -> None:
    plan, body = prepared(tools=[WEATHER], **request_)
    assert plan.mode == "text"
    assert body["messages"] == ASK


def test_results_of_tools_go_back_as_words_of_the_user() -> None:
    call = {"id": "call_9", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
    turns = [
        *ASK,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_9", "content": "18 degrees"},
    ]
    plan, body = prepared(messages=turns, tools=[WEATHER])
    assert plan.mode == "text"
    assert body["messages"][1:] == [
        {"role": "assistant", "content": 'I call get_weather with {"city":"Paris"}.'},
        {"role": "user", "content": "Function get_weather returned: 18 degrees. Answer my question with this result."},
    ]


def test_json_object_is_a_schema_that_any_object_fits() -> None:
    _, body = prepared(response_format={"type": "json_object"})
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"[]", None),
        (b"{", None),
        (b'{"messages": "hi"}', "messages"),
        (b'{"messages": [{"role": "user", "content": 5}]}', "messages"),
        (b'{"messages": [], "tools": [{}]}', "tools"),
        (b'{"messages": [], "tools": 5}', "tools"),
        (b'{"messages": [], "tool_choice": "required"}', "tool_choice"),
        (b'{"messages": [], "response_format": {"type": "json_schema"}}', "response_format"),
        (b'{"messages": ' + b"[" * 100_000, None),
    ],
)
def test_what_is_no_request_is_refused_by_field(body: bytes, param: str | None) -> None:
    with pytest.raises(InvalidParams) as refused:
        small_models.prepare(body)
    assert refused.value.param == param


def test_a_schema_that_points_elsewhere_is_refused() -> None:
    for reference in ("http://169.254.169.254/x", "file:///etc/passwd"):
        tool = {"type": "function", "function": {"name": "go", "parameters": {"items": [{"$ref": reference}]}}}
        with pytest.raises(InvalidParams, match="must point into its own schema"):
            prepared(tools=[tool])


def test_a_schema_too_deep_for_native_code_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(50):
        schema = {"items": schema}
    with pytest.raises(InvalidParams, match="40 levels"):
        prepared(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from(["auto", "none", "required", "tool", "user", "now"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, JSON, max_size=5))
def test_whatever_comes_is_prepared_or_refused(request_: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidParams):
        small_models.prepare(msgspec.json.encode({"messages": [], **request_}))


def test_text_comes_as_it_is_written() -> None:
    plan, _ = prepared()
    whole, choices = answered(plan, stream("Hel", "lo"))
    assert whole.choices[0].message.content == "Hello"
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (7, 3)


def test_a_stream_cut_anywhere_gives_the_same_choices() -> None:
    plan, _ = prepared()
    data = stream("Hé", "llo 🙂")
    whole = small_answers.Answer(plan, str).feed(data)
    for size in (1, 3, 50):
        answer = small_answers.Answer(plan, str)
        cut = [choice for start in range(0, len(data), size) for choice in answer.feed(data[start : start + size])]
        assert cut == whole


def test_a_forced_call_streams_its_arguments_in_openais_form() -> None:
    plan, _ = prepared(tools=[WEATHER], tool_choice="required")
    pieces = ('{"na', 'me": "get_weather", "argu', 'ments": {"ci', 'ty": "Pa}ris', '"}', " }")
    whole, choices = answered(plan, stream(*pieces))
    calls = [call for choice in choices for call in choice["delta"].get("tool_calls", ())]
    assert calls[0] == {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": ""},
    }
    assert [call["function"]["arguments"] for call in calls[1:]] == ['{"ci', 'ty": "Pa}ris', '"}']
    assert whole.choices[0].finish_reason == "tool_calls"
    assert whole.choices[0].message.content is None


def test_a_forced_call_that_ran_out_of_tokens_says_so() -> None:
    plan, _ = prepared(tools=[WEATHER], tool_choice="required")
    whole, _ = answered(plan, stream('{"name": "get_weather", "arguments": {"city": "P', finish="length"))
    assert whole.choices[0].finish_reason == "length"


def test_a_call_of_free_choice_is_found_in_the_text() -> None:
    plan, _ = prepared(tools=[WEATHER])
    whole, _ = answered(plan, stream("<tool", '_call>\n{"name": "get_weather", ', '"arguments": {"city": "Paris"}}'))
    assert whole.choices[0].finish_reason == "tool_calls"
    (call,) = whole.choices[0].message.tool_calls or ()
    assert call.type == "function"
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "get_weather", '{"city":"Paris"}')


def test_plain_words_stay_words_where_tools_are_offered() -> None:
    plan, _ = prepared(tools=[WEATHER])
    whole, choices = answered(plan, stream("Hel", "lo."))
    assert whole.choices[0].message.content == "Hello."
    assert whole.choices[0].message.tool_calls is None
    assert choices[1]["delta"] == {"content": "Hel"}


def test_a_call_with_wrong_arguments_is_tried_once_more_with_its_form_enforced() -> None:
    plan, _ = prepared(tools=[WEATHER, NOW])
    wrong = stream('{"name": "get_weather", "arguments": {"town": "Paris"}}')
    right = stream('{"name": "get_weather", "arguments": {"city": "Paris"}}')
    answer = small_answers.Answer(plan, str)
    answer.feed(wrong)
    retry = answer.retry()
    assert retry
    assert msgspec.json.decode(retry.body)["response_format"]["json_schema"]["schema"]["properties"]["name"] == {
        "const": "get_weather"
    }
    whole, _ = answered(plan, wrong, right)
    assert whole.choices[0].finish_reason == "tool_calls"
    assert whole.usage
    assert whole.usage.total_tokens == 20


def test_a_further_try_that_cannot_be_made_leaves_the_models_words() -> None:
    plan, _ = prepared(tools=[WEATHER])
    answer = small_answers.Answer(plan, str)
    answer.feed(stream('{"name": "get_weather", "arguments": {}}'))
    assert answer.retry()
    answer.give_up()
    assert answer.close()[0]["delta"] == {"content": '{"name": "get_weather", "arguments": {}}'}


def test_one_call_is_kept_where_several_are_not_wanted() -> None:
    two = '[{"name": "now", "arguments": {}}, {"name": "now", "arguments": {}}]'
    for wanted, count in ((True, 2), (False, 1)):
        plan, _ = prepared(tools=[NOW], parallel_tool_calls=wanted)
        whole, _ = answered(plan, stream(two))
        assert len(whole.choices[0].message.tool_calls or ()) == count


def test_usage_is_told_in_a_stream_only_where_it_was_asked_for() -> None:
    for options, count in (({}, 0), ({"stream_options": {"include_usage": True}}, 1)):
        plan, _ = prepared(stream=True, **options)
        answer = small_answers.Answer(plan, str)
        answer.feed(stream("Hi"))
        assert small_answers.Sse(plan).end(answer).count(b'"usage"') == count


def test_an_error_inside_the_stream_is_kept_in_openais_shape() -> None:
    plan, _ = prepared()
    answer = small_answers.Answer(plan, str)
    answer.feed(b'data: {"error": {"code": 500, "message": "out of slots", "type": "server_error"}}\n\n')
    assert answer.error
    assert answer.error["error"]["message"] == "out of slots"


def test_a_prompt_over_the_limit_has_the_code_that_clients_look_for() -> None:
    said = (
        b'{"error":{"code":400,"message":"x","type":"exceed_context_size_error","n_prompt_tokens":5031,"n_ctx":4096}}'
    )
    status, body = small_answers.refusal(400, said)
    error = msgspec.json.decode(body)["error"]
    assert (status, error["code"], error["param"]) == (400, "context_length_exceeded", "messages")
    assert "4096 tokens" in error["message"]

"""A request is read whole: what only Anthropic knows is kept for it, what is wrong is named with its place."""

import json
from typing import Any

import msgspec
import pytest

from tests.protocols.anthropic_messages.golden import CONTEXT, SECRET, body
from trunkline.errors import InvalidParams
from trunkline.ir.parts import CacheMark, Carry, Media, Opaque, Text, Thinking, ToolCall, ToolResult
from trunkline.ir.request import Reasoning, Request, ToolChoice
from trunkline.protocols.anthropic_messages import NAME, codec
from trunkline.protocols.carry import Kept, seal, store
from trunkline.protocols.codec import QUIRKS, RESPONSES, Target
from trunkline.protocols.settle import settle

HI = [{"role": "user", "content": "Hi"}]


def read(**fields: Any) -> Request:
    return codec.read_request(json.dumps({"model": "m", "messages": HI, **fields}).encode(), CONTEXT)


def golden(name: str) -> Request:
    return codec.read_request(body("requests", f"{name}.json"), CONTEXT)


WRONG = {
    "model": ({"model": ""}, "model"),
    "model's type": ({"model": 1}, "model"),
    "no messages": ({"messages": []}, "messages"),
    "messages": ({"messages": "Hi"}, "messages"),
    "a message": ({"messages": ["Hi"]}, "messages.0"),
    "role": ({"messages": [*HI, {"role": "tool", "content": "x"}]}, "messages.1.role"),
    "role's type": ({"messages": [{"role": 1, "content": "x"}]}, "messages.0.role"),
    "no content": ({"messages": [{"role": "user"}]}, "messages.0.content"),
    "content": ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
    "a block": ({"messages": [{"role": "user", "content": ["x"]}]}, "messages.0.content.0"),
    "a block without type": ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages.0.content.0"),
    "a text": ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0"),
    "an image": (
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
        "messages.0.content.0",
    ),
    "a call": ({"messages": [{"role": "assistant", "content": [{"type": "tool_use"}]}]}, "messages.0.content.0"),
    "a result": ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages.0.content.0"),
    "a cache mark": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": 1}]}]},
        "messages.0.content.0",
    ),
    "system": ({"system": 5}, "system"),
    "max_tokens": ({"max_tokens": "many"}, "max_tokens"),
    "negative": ({"max_tokens": -1}, "max_tokens"),
    "temperature": ({"temperature": "hot"}, "temperature"),
    "stop_sequences": ({"stop_sequences": "END"}, "stop_sequences"),
    "stream": ({"stream": "yes"}, "stream"),
    "tools": ({"tools": {}}, "tools"),
    "a tool": ({"tools": [{"description": "x"}]}, "tools.0"),
    "tool_choice": ({"tool_choice": "auto"}, "tool_choice"),
    "tool_choice.type": ({"tool_choice": {"type": "must"}}, "tool_choice"),
    "tool_choice without a name": ({"tool_choice": {"type": "tool"}}, "tool_choice"),
    "thinking": ({"thinking": "hard"}, "thinking"),
    "output_config": ({"output_config": 1}, "output_config"),
    "effort": ({"output_config": {"effort": 3}}, "output_config.effort"),
    "format": ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format"),
    "metadata": ({"metadata": []}, "metadata"),
    "user_id": ({"metadata": {"user_id": 7}}, "metadata.user_id"),
    "cache_control": ({"cache_control": 1}, "cache_control"),
    "thread": ({"thread": {"type": "create"}}, "thread"),
}


@pytest.mark.parametrize(("fields", "param"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        read(**fields)
    assert caught.value.param == param
    assert param.split(".")[0] in caught.value.message


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"model":"\xff"}', b'"x"'])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    for look in (lambda: codec.read_request(data, CONTEXT), lambda: codec.peek(data, CONTEXT, frozenset())):
        with pytest.raises(InvalidParams):
            look()


@pytest.mark.parametrize("name", ["model", "max_tokens", "thread", "tool_choice", "thinking", "no messages"])
def test_peeking_refuses_the_same(name: str) -> None:
    fields, param = WRONG[name]
    data = json.dumps({"model": "m", "messages": HI, **fields}).encode()
    with pytest.raises(InvalidParams) as caught:
        codec.peek(data, CONTEXT, frozenset())
    assert caught.value.param == param


def test_keys_of_gateways_are_taken_out_and_unknown_ones_kept() -> None:
    request = read(provider={"only": ["x"]}, usage={"include": True}, models=["a"], inference_geo="us")
    assert request.extras == {"inference_geo": msgspec.Raw(b'"us"')}


def test_peeking_sees_what_the_caller_asks_of_the_gateway() -> None:
    fields = {"usage": {"include": False}, "provider": {"require_parameters": True}, "stream": True}
    facts = codec.peek(json.dumps({"model": "m", "messages": HI, **fields}).encode(), CONTEXT, frozenset()).facts
    assert (facts.include_cost, facts.require_parameters, facts.stream) == (False, True, True)


def test_pictures_do_not_count_as_text() -> None:
    facts = codec.peek(body("requests", "image_base64.json"), CONTEXT, frozenset()).facts
    assert facts.prompt_bytes < 260
    assert facts.modalities == {"text", "image"}


def test_the_name_of_a_result_is_that_of_its_call() -> None:
    result = golden("parallel_tool_results").turns[2].parts[1]
    assert isinstance(result, ToolResult)
    assert (result.call_id, result.name) == ("toolu_02", "get_time")


def test_arguments_stay_as_the_caller_wrote_them() -> None:
    block = b'{"type":"tool_use","id":"t","name":"f","input":{ "a" : 1.0 }}'
    data = b'{"model":"m","messages":[{"role":"assistant","content":[%b]}]}' % block
    assert codec.read_request(data, CONTEXT).turns[0].parts == (ToolCall("t", "f", '{ "a" : 1.0 }'),)


def test_an_image_is_a_view_on_the_body() -> None:
    part = golden("image_base64").turns[0].parts[0]
    assert isinstance(part, Media)
    assert isinstance(part.data, memoryview)
    assert (part.mime, bytes(part.data[:6])) == ("image/png", b"iVBORw")


def test_the_callers_own_findings_reach_every_vendor_as_text() -> None:
    part = golden("search_results").turns[0].parts[0]
    assert isinstance(part, Media)
    assert part.text == "The default timeout is 30 seconds."
    sent = settle(golden("search_results"), Target(protocol=RESPONSES, upstream_model="u", quirks=QUIRKS[RESPONSES]))
    assert "30 seconds" in str(sent.request.turns[0].parts[0])


def test_the_billing_line_of_claude_code_goes_to_anthropic_alone() -> None:
    request = golden("claude_code")
    assert isinstance(request.turns[0].parts[0], Opaque)
    sent = settle(request, Target(protocol=RESPONSES, upstream_model="u", quirks=QUIRKS[RESPONSES]))
    assert [type(part) for part in sent.request.turns[0].parts] == [Text]


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, Reasoning(enabled=True, budget_tokens=2000)),
        ({"thinking": {"type": "adaptive"}}, Reasoning(enabled=True)),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, Reasoning(enabled=True, shown=False)),
        ({"thinking": {"type": "disabled"}}, Reasoning(enabled=False)),
        ({"output_config": {"effort": "max"}}, Reasoning(effort="max")),
        ({"thinking": {"type": "between_tools"}}, Reasoning(enabled=True)),
        ({}, None),
    ],
)
def test_how_hard_to_think(fields: dict[str, Any], reasoning: Reasoning | None) -> None:
    assert read(**fields).reasoning == reasoning


def test_a_word_for_thinking_that_is_not_known_goes_on() -> None:
    assert read(thinking={"type": "between_tools"}).extras["thinking"] == msgspec.Raw(b'{"type": "between_tools"}')


@pytest.mark.parametrize(
    ("wire", "choice", "parallel"),
    [
        ({"type": "auto"}, ToolChoice(), None),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice("required"), False),
        ({"type": "tool", "name": "f", "disable_parallel_tool_use": False}, ToolChoice("required", ("f",)), True),
        ({"type": "none"}, ToolChoice("none"), None),
    ],
)
def test_which_tool(wire: dict[str, Any], choice: ToolChoice, parallel: bool | None) -> None:
    request = read(tool_choice=wire, tools=[{"name": "f", "input_schema": {"type": "object"}}])
    assert (request.tool_choice, request.parallel_tool_calls) == (choice, parallel)


def test_vendors_tools_are_told_apart() -> None:
    assert [(tool.name, tool.kind) for tool in golden("vendor_tools").tools] == [
        ("code_execution_20250825", "hosted"),
        ("bash_20250124", "typed"),
        ("text_editor_20250728", "typed"),
        ("web_fetch_20250910", "hosted"),
    ]


def assistant(*blocks: dict[str, Any], states: dict[str, bytes] | None = None) -> tuple[Any, ...]:
    data = json.dumps({"model": "m", "messages": [{"role": "assistant", "content": blocks}]}).encode()
    return codec.read_request(data, msgspec.structs.replace(CONTEXT, states=states or {})).turns[0].parts


FOREIGN = Carry("openai.responses", msgspec.Raw(b'{"encrypted_content":"gAAA"}'))


def test_a_signature_of_anthropic_stays_and_one_of_ours_is_opened() -> None:
    own = assistant({"type": "thinking", "thinking": "a", "signature": "EqoB"})
    assert own == (Thinking("a", False, Carry(NAME, msgspec.Raw(b'{"signature":"EqoB"}'))),)
    sealed = seal(Kept(carry=FOREIGN), SECRET)
    assert assistant({"type": "thinking", "thinking": "a", "signature": sealed}) == (Thinking("a", False, FOREIGN),)
    assert assistant({"type": "redacted_thinking", "data": sealed}) == (Thinking("", True, FOREIGN),)


def test_a_slot_of_ours_that_was_changed_is_no_signature_for_anybody() -> None:
    sealed = seal(Kept(carry=FOREIGN), b"another account")
    assert assistant({"type": "thinking", "thinking": "a", "signature": sealed}) == (Thinking("a"),)
    assert assistant({"type": "redacted_thinking", "data": sealed}) == ()


def test_the_id_of_a_call_brings_back_what_was_hidden() -> None:
    states: dict[str, bytes] = {}
    hidden = Thinking("secret", False, FOREIGN)
    call_id = store(Kept(before=(hidden,), carry=FOREIGN, id="call_9"), SECRET, states.__setitem__)
    call = {"type": "tool_use", "id": call_id, "name": "f", "input": {}}
    assert assistant(call, states=states) == (hidden, ToolCall("call_9", "f", "{}", carry=FOREIGN))
    assert assistant(call) == (ToolCall(call_id, "f", "{}"),)


def test_the_result_of_such_a_call_has_the_providers_id() -> None:
    states: dict[str, bytes] = {}
    call_id = store(Kept(id="call_9"), SECRET, states.__setitem__)
    content = [{"type": "tool_result", "tool_use_id": call_id, "content": "x"}]
    data = json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()
    found = codec.read_request(data, msgspec.structs.replace(CONTEXT, states=states)).turns[0].parts
    assert found == (ToolResult("call_9", "", (Text("x"),)),)


def searched(found: list[dict[str, Any]], call_id: str = "ws_1", states: dict[str, bytes] | None = None) -> Any:
    return assistant({"type": "web_search_tool_result", "tool_use_id": call_id, "content": found}, states=states)[0]


def test_a_search_of_another_vendor_comes_back_as_that_vendors() -> None:
    found = {"type": "web_search_result", "url": "https://example.com", "title": "T"}
    sealed = seal(Kept(carry=FOREIGN), SECRET)
    assert searched([found | {"encrypted_content": sealed}, found | {"encrypted_content": ""}]).carry == FOREIGN
    assert searched([found | {"encrypted_content": ""}]).carry is None
    assert searched([found | {"encrypted_content": "EqgfCio"}]).carry.origin == NAME
    states: dict[str, bytes] = {}
    call_id = store(Kept(id="ws_9"), SECRET, states.__setitem__)
    assert (searched([], call_id, states).call_id, searched([], call_id, states).carry) == ("ws_9", None)


def test_a_citation_of_another_vendor_comes_back_without_a_claim_to_be_anthropics() -> None:
    cited = {"type": "web_search_result_location", "url": "https://example.com", "title": "T", "cited_text": "q"}
    blocks = [
        {"type": "text", "text": "x", "citations": [cited | {"encrypted_index": index}]} for index in ("", "Eo8B")
    ]
    first, second = (part.citations[0] for part in assistant(*blocks))
    assert (first.url, first.carry) == ("https://example.com", None)
    assert second.carry.origin == NAME


def test_the_mark_for_the_cache_of_a_block_that_is_not_known_can_be_taken_off() -> None:
    part = assistant({"type": "container_upload", "file_id": "f", "cache_control": {"type": "ephemeral"}})[0]
    assert part.cache == CacheMark(300)
    assert b"cache_control" not in bytes(part.carry.data)

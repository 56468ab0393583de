"""A request is read and written again without loss, beside what is declared; what cannot be read is named."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trunkline.errors import InvalidParams
from trunkline.ir.parts import Carry, Media, Text, Thinking, ToolCall, ToolResult, Turn
from trunkline.ir.request import Reasoning, Request, Tool, ToolChoice
from trunkline.protocols.carry import Kept, seal
from trunkline.protocols.codec import CHAT, GEMINI, MESSAGES, QUIRKS, RESPONSES, RequestContext, Target
from trunkline.protocols.facts import facts_of
from trunkline.protocols.openai_responses import codec
from trunkline.protocols.settle import settle

SIGNATURE = Carry(MESSAGES, msgspec.Raw(b'{"signature":"EqoB"}'))
VOCABULARY = frozenset({
    "temperature", "top_p", "max_completion_tokens", "tools", "tool_choice", "parallel_tool_calls", "reasoning_effort", "response_format", "verbosity",
    "logprobs", "top_logprobs", "service_tier", "prompt_cache_key", "prompt_cache_retention", "web_search_options", "truncation",
})  # fmt: skip


def written(request: Request, wire: Any, **fields: Any) -> dict[str, Any]:
    return json.loads(codec.write_request(request, msgspec.structs.replace(wire.target, **fields)).body)


def chat(*turns: Turn, **fields: Any) -> Request:
    return Request(origin=CHAT, model="m", turns=turns or (Turn("user", (Text("Hi"),)),), **fields)


def sealed(kept: Kept) -> str:
    return seal(kept, b"secret")


def test_a_request_is_written_as_it_was_read(request_file: Path, wire: Any, comparable: Any) -> None:
    body = request_file.read_bytes()
    again = codec.write_request(wire.request(body), wire.target)
    assert comparable.request(json.loads(again.body)) == comparable.request(json.loads(body))
    assert again.losses == ()


def test_what_is_written_reads_as_the_same_request(request_file: Path, wire: Any) -> None:
    request = wire.request(request_file.read_bytes())
    again = wire.request(codec.write_request(request, wire.target).body)
    assert msgspec.structs.replace(again, model=request.model, stream=request.stream, reasoning=None) == (
        msgspec.structs.replace(request, reasoning=None)
    )


def test_peek_sees_what_the_canonical_request_says(request_file: Path, wire: Any) -> None:
    body = request_file.read_bytes()
    facts = codec.peek(body, wire.asking, VOCABULARY).facts
    expected = facts_of(wire.request(body), VOCABULARY)
    assert facts.prompt_bytes >= expected.prompt_bytes
    same = {"prompt_bytes": 0, "parameters": tuple(sorted(facts.parameters))}
    assert msgspec.structs.replace(facts, **same) == msgspec.structs.replace(
        expected, prompt_bytes=0, parameters=tuple(sorted(expected.parameters))
    )


def test_the_model_its_store_and_the_stream_are_the_gateways_matter(wire: Any) -> None:
    body = {"model": "openai/o4-mini", "input": "x", "store": True, "stream": False, "provider": {"order": ["azure"]}}
    assert written(wire.request(body), wire, stream=True) == {
        "model": "up",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}],
        "store": False,
        "stream": True,
    }


def test_an_assistants_items_are_one_turn(wire: Any) -> None:
    request = wire.request((wire.golden / "requests" / "reasoning_back.json").read_bytes())
    assert [turn.role for turn in request.turns] == ["user", "assistant", "user"]
    assert [type(part) for part in request.turns[1].parts] == [Thinking, Text, Thinking, ToolCall]
    assert request.turns[1].parts[0].text == "**One**\n\n**Two**"


def test_a_result_knows_the_name_of_its_tool(wire: Any) -> None:
    request = wire.request((wire.golden / "requests" / "tool_round.json").read_bytes())
    assert request.turns[2].parts == (ToolResult("call_1", "get_weather", (Text("14 degrees"),)),)


def test_tools_of_a_namespace_and_of_the_input_are_tools(wire: Any) -> None:
    request = wire.request((wire.golden / "requests" / "codex_lite.json").read_bytes())
    assert [(tool.namespace, tool.name, tool.kind) for tool in request.tools] == [
        ("shell", "exec", "custom"),
        ("shell", "poll", "function"),
    ]


def test_an_image_is_a_view_on_the_body(wire: Any) -> None:
    body = json.dumps(
        {
            "model": "m",
            "input": [
                {
                    "role": "user",
                    "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{'A' * 5000}"}],
                }
            ],
        }
    ).encode()
    media = wire.request(body).turns[0].parts[0]
    assert (type(media), media.mime, type(media.data), len(media.data)) == (Media, "image/png", memoryview, 5000)
    assert codec.write_request(wire.request(body), wire.target).body.count(b"A" * 5000) == 1


# Slots


def test_sealed_reasoning_comes_back_with_its_signature(wire: Any) -> None:
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Hm"}],
        "encrypted_content": sealed(Kept(carry=SIGNATURE)),
    }
    call = {"type": "function_call", "call_id": "toolu_1", "name": "f", "arguments": "{}"}
    request = wire.request({"model": "m", "input": [{"role": "user", "content": "x"}, item, call]})
    assert request.turns[1].parts == (Thinking("Hm", carry=SIGNATURE), ToolCall("toolu_1", "f", "{}"))


def test_a_state_that_was_announced_goes_onto_the_next_part_alone(wire: Any) -> None:
    thought = Carry(GEMINI, msgspec.Raw(b'{"thoughtSignature":"g"}'))
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "encrypted_content": sealed(Kept(carry=thought, place="next")),
    }
    calls = [
        {"type": "function_call", "id": f"fc_{n}", "call_id": f"c{n}", "name": "f", "arguments": "{}"} for n in (1, 2)
    ]
    parts = wire.request({"model": "m", "input": [{"role": "user", "content": "x"}, item, *calls]}).turns[1].parts
    assert parts[0] == ToolCall("c1", "f", "{}", carry=thought)
    assert parts[1].carry.origin == RESPONSES


def test_hidden_reasoning_comes_back_whole(wire: Any) -> None:
    hidden = Thinking("", redacted=True, carry=Carry(MESSAGES, msgspec.Raw(b'{"data":"x"}')))
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "encrypted_content": sealed(Kept(before=(hidden,), place="next")),
    }
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
    assert wire.request({"model": "m", "input": [item, said]}).turns[0].parts == (hidden, Text("Hi"))


def test_a_state_of_another_account_is_left_out(wire: Any) -> None:
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "encrypted_content": seal(Kept(carry=SIGNATURE), b"other"),
    }
    assert wire.request({"model": "m", "input": [item, {"role": "user", "content": "x"}]}).turns[0].parts == (
        Thinking(""),
    )


def test_reasoning_that_nobody_can_verify_is_only_text(wire: Any) -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]}
    request = wire.request({"model": "m", "input": [item, {"role": "user", "content": "x"}]})
    assert request.turns[0].parts == (Thinking("Hm"),)
    assert [loss.field for loss in codec.write_request(request, wire.target).losses] == ["others_thinking"]


# From other protocols


def test_the_first_system_prompt_is_instructions_and_its_blocks_are_joined(wire: Any) -> None:
    body = written(
        chat(Turn("system", (Text("A"), Text("B"))), Turn("developer", (Text("C"),)), Turn("user", (Text("Hi"),))), wire
    )
    assert body["instructions"] == "A\n\nB"
    assert [item["role"] for item in body["input"]] == ["developer", "user"]


def test_functions_of_others_are_not_made_strict(wire: Any) -> None:
    assert written(chat(tools=(Tool(name="f"),)), wire)["tools"][0]["strict"] is False


def test_reasoning_is_asked_for_with_its_encrypted_content(wire: Any) -> None:
    body = written(chat(reasoning=Reasoning(effort="high", shown=True)), wire)
    assert (body["reasoning"], body["include"]) == (
        {"effort": "high", "summary": "auto"},
        ["reasoning.encrypted_content"],
    )


def test_a_limit_below_the_protocols_least_is_raised_with_notice(wire: Any) -> None:
    sent = codec.write_request(chat(max_output_tokens=5), wire.target)
    assert json.loads(sent.body)["max_output_tokens"] == 16
    assert [loss.action for loss in sent.losses] == ["emulated"]


def test_stop_words_are_watched_for_here(wire: Any) -> None:
    sent = codec.write_request(chat(stop=("END",)), wire.target)
    assert sent.stop_here == ("END",)
    assert b"END" not in sent.body


def test_results_and_other_parts_of_a_turn_keep_their_order(wire: Any) -> None:
    turn = Turn(
        "user", (Text("a"), ToolResult("c1", parts=(Text("r"),)), Media(kind="image", url="https://acme.example/i"))
    )
    items = written(chat(Turn("assistant", (ToolCall("c1", "f", "{}"),)), turn), wire)["input"]
    assert [item["type"] for item in items] == ["function_call", "message", "function_call_output", "message"]


def test_a_forced_tool_is_named_by_its_kind(wire: Any) -> None:
    tools = (Tool(name="f"), Tool(name="g"))
    assert written(chat(tools=tools, tool_choice=ToolChoice("required", ("g",))), wire)["tool_choice"] == {
        "type": "function",
        "name": "g",
    }
    assert written(chat(tools=tools, tool_choice=ToolChoice("auto", ("g",))), wire)["tool_choice"]["mode"] == "auto"


def test_an_image_of_the_model_is_sent_as_the_users_with_notice(wire: Any) -> None:
    turn = Turn("assistant", (Media(kind="image", mime="image/png", data=b"AA"),))
    sent = codec.write_request(chat(turn, Turn("user", (Text("x"),))), wire.target)
    assert [loss.field for loss in sent.losses] == ["image"]


# What is wrong

WRONG = [
    (b"[]", None),
    (b'{"input":"x"}', "model"),
    (b'{"model":"m"}', "input"),
    (b'{"model":"m","input":3}', "input"),
    (b'{"model":"m","input":[3]}', "input"),
    (b'{"model":"m","input":"x","temperature":"hot"}', "temperature"),
    (b'{"model":"m","input":"x","max_output_tokens":1.5}', "max_output_tokens"),
    (b'{"model":"m","input":"x","stream":"yes"}', "stream"),
    (b'{"model":"m","input":"x","instructions":3}', "instructions"),
    (b'{"model":"m","input":"x","include":"all"}', "include"),
    (b'{"model":"m","input":"x","metadata":{"a":1}}', "metadata"),
    (b'{"model":"m","input":"x","reasoning":"high"}', "reasoning"),
    (b'{"model":"m","input":"x","text":{"format":"json"}}', "text"),
    (b'{"model":"m","input":"x","tools":{}}', "tools"),
    (b'{"model":"m","input":"x","tools":[{"type":"function"}]}', "tools[0].name"),
    (b'{"model":"m","input":"x","tools":[{"type":"function","name":"f","parameters":"{}"}]}', "tools[0].parameters"),
    (
        b'{"model":"m","input":"x","tools":[{"type":"web_search","filters":{"allowed_domains":"a"}}]}',
        "tools[0].filters.allowed_domains",
    ),
    (b'{"model":"m","input":"x","tool_choice":"maybe"}', "tool_choice"),
    (b'{"model":"m","input":"x","tool_choice":[1]}', "tool_choice"),
    (b'{"model":"m","input":[{"role":"pirate","content":"x"}]}', "input[0].role"),
    (b'{"model":"m","input":[{"role":"user","content":7}]}', "input[0].content"),
    (b'{"model":"m","input":[{"role":"user","content":[{"type":"input_text"}]}]}', "input[0].content[0].text"),
    (b'{"model":"m","input":[{"role":"user","content":[{"type":"input_image"}]}]}', "input[0].content[0].image_url"),
    (b'{"model":"m","input":[{"role":"user","content":[{"type":"input_file"}]}]}', "input[0].content[0].file_data"),
    (
        b'{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_data":1}]}]}',
        "input[0].content[0].file_data",
    ),
    (
        b'{"model":"m","input":[{"role":"user","content":[{"type":"input_audio"}]}]}',
        "input[0].content[0].input_audio.data",
    ),
    (b'{"model":"m","input":[{"type":"function_call","call_id":"c","arguments":"{}"}]}', "input[0].name"),
    (b'{"model":"m","input":[{"type":"function_call","call_id":"c","name":"f","arguments":{}}]}', "input[0].arguments"),
    (b'{"model":"m","input":[{"type":"function_call_output","output":"x"}]}', "input[0].call_id"),
    (b'{"model":"m","input":[{"type":"function_call_output","call_id":"c","output":5}]}', "input[0].output"),
    (b'{"model":"m","input":[{"type":"reasoning","summary":"x"}]}', "input[0].summary"),
    (b'{"model":"m","input":[{"type":"item_reference","id":"msg_1"}]}', "input[0].id"),
    (b'{"model":"m","input":"x","previous_response_id":"resp_1"}', "previous_response_id"),
]


@pytest.mark.parametrize(("body", "param"), WRONG, ids=[param or "body" for _, param in WRONG])
def test_what_cannot_be_read_is_named_with_its_mend(body: bytes, param: str | None, wire: Any) -> None:
    with pytest.raises(InvalidParams) as caught:
        wire.request(body)
    assert caught.value.param == param
    assert caught.value.message.endswith((".", "them."))


def test_what_only_openai_keeps_is_refused_toward_others(wire: Any) -> None:
    request = wire.request({"model": "m", "input": "x", "background": True})
    with pytest.raises(InvalidParams) as caught:
        settle(request, Target(protocol=CHAT, upstream_model="u", quirks=QUIRKS[CHAT]))
    assert caught.value.param == "background"


# Stored conversations


def test_the_stored_conversation_goes_first(wire: Any) -> None:
    previous = b'[{"type":"message","role":"user","content":[{"type":"input_text","text":"One"}]},{"type":"message","role":"assistant","id":"msg_1",'
    previous += b'"status":"completed","content":[{"type":"output_text","text":"Two","annotations":[]}]}]'
    context = RequestContext(request_id="req_2", secret=b"secret", previous=previous)
    request = codec.read_request(b'{"model":"m","input":"Three","previous_response_id":"resp_1"}', context)
    assert [part.text for turn in request.turns for part in turn.parts] == ["One", "Two", "Three"]
    assert request.extras == {}


def test_an_item_that_is_only_named_is_found(wire: Any) -> None:
    item = b'{"type":"message","role":"assistant","id":"msg_1","content":[{"type":"output_text","text":"Two"}]}'
    context = RequestContext(request_id="req_2", secret=b"secret", states={"msg_1": item})
    body = b'{"model":"m","input":[{"role":"user","content":"One"},{"type":"item_reference","id":"msg_1"},{"role":"user","content":"3"}]}'
    assert [turn.parts[0].text for turn in codec.read_request(body, context).turns] == ["One", "Two", "3"]

"""Requests of other protocols' callers, as Anthropic wants them."""

import base64
import json
from typing import Any

import msgspec
import pytest

from tests.protocols.anthropic_messages.golden import TARGET
from trunkline.errors import InvalidParams
from trunkline.ir.parts import CacheMark, Carry, Media, Part, Text, Thinking, ToolCall, ToolResult, Turn
from trunkline.ir.request import Format, Reasoning, Request, Tool, ToolChoice, WebSearch
from trunkline.protocols.anthropic_messages import NAME, codec
from trunkline.protocols.codec import CHAT, QUIRKS, RESPONSES, Target, UpstreamBody

HI = Turn("user", (Text("Hi"),))


def target(**quirks: Any) -> Target:
    return Target(
        protocol=NAME,
        upstream_model="claude",
        max_output_tokens=8000,
        quirks=msgspec.structs.replace(QUIRKS[NAME], **quirks),
    )


def write(*turns: Turn, to: Target | None = None, origin: str = CHAT, **fields: Any) -> UpstreamBody:
    return codec.write_request(Request(origin=origin, model="m", turns=turns or (HI,), **fields), to or target())


def written(*turns: Turn, to: Target | None = None, origin: str = CHAT, **fields: Any) -> Any:
    return json.loads(write(*turns, to=to, origin=origin, **fields).body)


def lost(*turns: Turn, to: Target | None = None, **fields: Any) -> list[tuple[str, str]]:
    return [(loss.field, loss.action) for loss in write(*turns, to=to, **fields).losses]


def blocks(*parts: Part) -> Any:
    content = written(Turn("user", parts))["messages"][0]["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def test_the_limit_is_the_offers_where_the_caller_says_none() -> None:
    assert written()["max_tokens"] == 8000
    assert written(max_output_tokens=5)["max_tokens"] == 5


def test_system_prompts_go_into_their_slot_and_turns_of_a_role_are_one() -> None:
    found = written(
        Turn("system", (Text("A"),)), Turn("developer", (Text("B"),)), HI, HI, Turn("assistant", (Text("Yes"),)), HI
    )
    assert [block["text"] for block in found["system"]] == ["A", "B"]
    assert [message["role"] for message in found["messages"]] == ["user", "assistant", "user"]


def test_results_stand_before_all_else() -> None:
    call = Turn("assistant", (ToolCall("call.1", "f", '{"a":1}'), ToolCall("c2", "f", "oops")))
    results = Turn("user", (Text("look"), ToolResult("call.1", "f", (Text("one"),)), ToolResult("c2", "f")))
    found = written(HI, call, results)["messages"]
    assert [block["type"] for block in found[2]["content"]] == ["tool_result", "tool_result", "text"]
    assert found[1]["content"][0]["id"] == found[2]["content"][0]["tool_use_id"] != "call.1"
    assert found[1]["content"][1]["input"] == {"arguments": "oops"}


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF", "image/webp"),
    ],
)
def test_an_image_without_a_type_is_recognised(head: bytes, mime: str) -> None:
    data = base64.b64encode(head + b"0" * 8)
    assert blocks(Media(kind="image", data=data))[0]["source"]["media_type"] == mime
    assert blocks(Media(kind="image", mime="image/jpg", data=data))[0]["source"]["media_type"] == "image/jpeg"


def test_a_large_image_is_put_in_whole() -> None:
    data = base64.b64encode(bytes(9000))
    assert blocks(Media(kind="image", mime="image/png", data=memoryview(data)))[0]["source"]["data"] == data.decode()


def test_a_text_file_goes_as_text_and_what_is_neither_text_nor_pdf_is_refused() -> None:
    csv = Media(kind="file", mime="text/csv", data=base64.b64encode("a,ü".encode()), name="t.csv")
    assert blocks(csv)[0] == {
        "type": "document",
        "title": "t.csv",
        "source": {"type": "text", "media_type": "text/plain", "data": "a,ü"},
    }
    with pytest.raises(InvalidParams, match="PDF and text"):
        blocks(Media(kind="file", mime="application/zip", data=b"UEsDBA=="))


def test_a_pdf_without_a_type_is_recognised() -> None:
    assert blocks(Media(kind="file", data=b"JVBERi0xLjQK"))[0]["source"]["media_type"] == "application/pdf"


def test_texts_of_blanks_are_left_out_and_a_prefill_has_none_at_its_end() -> None:
    found = written(Turn("user", (Text(" "), Text("Hi"))), Turn("assistant", (Text("The answer: "),)))
    assert found["messages"] == [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "The answer:"}]


def test_an_effort_is_adaptive_thinking_that_is_shown() -> None:
    found = written(reasoning=Reasoning(effort="low"))
    assert found["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert found["output_config"] == {"effort": "low"}
    assert written(reasoning=Reasoning(effort="low", shown=False))["thinking"]["display"] == "omitted"


def test_an_effort_is_a_budget_where_the_model_takes_one() -> None:
    found = written(reasoning=Reasoning(effort="medium"), to=target(reasoning="budget"))
    assert found["thinking"] == {"type": "enabled", "budget_tokens": 4000}
    assert "output_config" not in found


def test_no_thinking_is_said_where_it_can_be() -> None:
    assert written(reasoning=Reasoning(enabled=False))["thinking"] == {"type": "disabled"}
    assert "thinking" not in written()


def test_a_budget_gives_way_in_a_tools_loop_whose_thinking_is_gone() -> None:
    """Anthropic would refuse the request; with the thinking there it does not."""
    to = target(reasoning="budget")
    call, result = ToolCall("c", "f", "{}"), Turn("user", (ToolResult("c", "f", (Text("x"),)),))
    asked = {"reasoning": Reasoning(effort="low"), "tools": (Tool(name="f"),)}
    assert written(HI, Turn("assistant", (call,)), result, to=to, **asked)["thinking"] == {"type": "disabled"}
    assert ("reasoning_effort", "dropped") in lost(HI, Turn("assistant", (call,)), result, to=to, **asked)
    thinking = Thinking("hm", False, Carry(NAME, msgspec.Raw(b'{"signature":"EqoB"}')))
    found = written(HI, Turn("assistant", (thinking, call)), result, to=to, **asked)
    assert found["thinking"]["type"] == "enabled"
    assert found["messages"][1]["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "EqoB"}


def test_reasoning_as_text_goes_to_vendors_who_want_it() -> None:
    found = written(HI, Turn("assistant", (Thinking("hm"), Text("Yes"))), HI, to=target(thinking_back="text"))
    assert found["messages"][1]["content"][0] == {"type": "thinking", "thinking": "hm", "signature": ""}


@pytest.mark.parametrize(
    ("choice", "parallel", "wire"),
    [
        (ToolChoice(), None, {"type": "auto"}),
        (ToolChoice("required"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("required", ("f",)), None, {"type": "tool", "name": "f"}),
        (ToolChoice("none"), True, {"type": "none"}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
def test_which_tool(choice: ToolChoice | None, parallel: bool | None, wire: Any) -> None:
    found = written(tools=(Tool(name="f"),), tool_choice=choice, parallel_tool_calls=parallel)
    assert found["tool_choice"] == wire


def test_a_schema_says_that_it_is_an_object() -> None:
    found = written(tools=(Tool(name="f", parameters=msgspec.Raw(b"{}")),))
    assert found["tools"] == [{"name": "f", "input_schema": {"type": "object"}}]


def test_a_format_is_closed_and_without_bounds() -> None:
    schema = {
        "type": "object",
        "properties": {
            "minimum": {"type": "integer", "minimum": 1},
            "list": {"type": "array", "minItems": 3, "items": {"type": "object", "properties": {}}},
        },
    }
    asked = Format(kind="json_schema", schema=msgspec.Raw(json.dumps(schema).encode()))
    assert written(format=asked)["output_config"]["format"]["schema"] == {
        "type": "object",
        "properties": {
            "minimum": {"type": "integer"},
            "list": {"type": "array", "items": {"type": "object", "properties": {}, "additionalProperties": False}},
        },
        "additionalProperties": False,
    }
    assert ("schema", "emulated") in lost(format=asked)
    strict = Tool(name="f", strict=True, parameters=msgspec.Raw(json.dumps(schema).encode()))
    assert written(tools=(strict,))["tools"][0]["input_schema"]["additionalProperties"] is False


def test_a_schema_in_anthropics_own_words_stays_as_it_is() -> None:
    schema = msgspec.Raw(b'{"type": "object", "minProperties": 1}')
    request = Request(origin=NAME, model="m", turns=(HI,), format=Format(kind="json_schema", schema=schema))
    assert bytes(schema) in codec.write_request(request, TARGET).body


def test_of_temperature_and_nucleus_one_goes_on() -> None:
    found = written(temperature=0.5, top_p=0.9)
    assert (found["temperature"], "top_p" in found) == (0.5, False)
    assert lost(temperature=0.5, top_p=0.9) == [("top_p", "dropped")]
    assert lost(temperature=0.5, top_p=1.0) == []
    assert written(top_p=0.9)["top_p"] == 0.9


def test_web_search_in_the_words_that_every_offer_knows() -> None:
    search = WebSearch(context_size="low", allowed_domains=("example.com",), location=msgspec.Raw(b'{"city":"Ulm"}'))
    assert written(web_search=search, origin=RESPONSES)["tools"] == [
        {
            "type": "web_search_20250305",
            "name": "web_search",
            "allowed_domains": ["example.com"],
            "user_location": {"type": "approximate", "city": "Ulm"},
        }
    ]


def test_users_tiers_marks_and_stop_words() -> None:
    found = written(user="u1", service_tier="flex", cache=CacheMark(3600), stop=("END", " "))
    assert found["metadata"] == {"user_id": "u1"}
    assert found["service_tier"] == "standard_only"
    assert found["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert found["stop_sequences"] == ["END"]
    assert write(stop=("END", " ")).stop_here == (" ",)
    assert written(safety_identifier="s", service_tier="priority")["service_tier"] == "auto"


def test_a_stream_is_asked_for_where_the_target_says_so() -> None:
    assert written(to=msgspec.structs.replace(target(), stream=True))["stream"] is True
    assert "stream" not in written(stream=True)


def test_counting_sends_the_prompt_alone() -> None:
    request = Request(
        origin=CHAT, model="m", turns=(HI,), temperature=0.5, stop=("x",), user="u", tools=(Tool(name="f"),)
    )
    found = json.loads(codec.write_count_request(request, target()).body)
    assert sorted(found) == ["messages", "model", "tools"]
    assert codec.read_count(codec.write_count(14)) == 14

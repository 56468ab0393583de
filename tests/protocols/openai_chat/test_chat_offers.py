"""What an offer of Chat is told of a request of any protocol, each vendor in its own words."""

import json
from typing import Any

import msgspec
import pytest

from tests.protocols.openai_chat.chat_golden import CONTEXT, answer_context, asked, read_stream, target
from trunkline.errors import InvalidParams, Overloaded
from trunkline.ir.events import Delta, Finish, PartEnd, PartStart, UsageSeen
from trunkline.ir.parts import Carry, Media, Text, Thinking, ToolCall, ToolResult, Turn
from trunkline.ir.request import Reasoning, Request, Tool
from trunkline.ir.response import FinishReason
from trunkline.protocols.codec import GEMINI, MESSAGES, RESPONSES, Codec, Target
from trunkline.protocols.facts import facts_of
from trunkline.protocols.openai_chat import codec
from trunkline.protocols.openai_chat.stream import StreamObserver

HI = Turn("user", (Text("Hi"),))


def body(request: Request, on: Target) -> dict[str, Any]:
    return json.loads(codec.write_request(request, on).body)  # type: ignore[no-any-return]


def messages(*turns: Turn, origin: str = MESSAGES, on: Target | None = None) -> Any:
    return body(asked(origin=origin, turns=turns), on or target())["messages"]


def test_the_module_is_a_codec() -> None:
    found: Codec = codec
    assert found.NAME == "openai.chat"


@pytest.mark.parametrize(
    ("asked_for", "quirks", "said"),
    [
        (Reasoning(effort="high"), {}, {"reasoning_effort": "high"}),
        (Reasoning(effort="max"), {}, {"reasoning_effort": "xhigh"}),
        (Reasoning(enabled=False), {}, {"reasoning_effort": "none"}),
        (Reasoning(enabled=True), {}, {}),
        (Reasoning(effort="high"), {"reasoning_word": "thinking", "efforts": ("low", "high", "max")}, {"reasoning_effort": "high"}),
        (Reasoning(enabled=False), {"reasoning_word": "thinking"}, {"thinking": {"type": "disabled"}}),
        (Reasoning(effort="high"), {"reasoning_word": "thinking", "reasoning": "toggle"}, {"thinking": {"type": "enabled"}}),
        (Reasoning(budget_tokens=2048), {"reasoning_word": "thinking", "reasoning": "budget"}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        (Reasoning(budget_tokens=2048), {"reasoning_word": "enable_thinking", "reasoning": "budget"}, {"enable_thinking": True, "thinking_budget": 2048}),
        (Reasoning(enabled=False), {"reasoning_word": "enable_thinking", "reasoning": "budget"}, {"enable_thinking": False}),
        (Reasoning(effort="low", shown=False), {"reasoning_word": "reasoning"}, {"reasoning": {"effort": "low", "exclude": True}}),
        (Reasoning(budget_tokens=99_999), {"reasoning_word": "reasoning", "reasoning": "budget"}, {"reasoning": {"max_tokens": 16_383}}),
        (Reasoning(enabled=False), {"reasoning_word": "reasoning"}, {"reasoning": {"enabled": False}}),
        (Reasoning(effort="high"), {"reasoning": "none"}, {}),
    ],
)  # fmt: skip
def test_reasoning_is_asked_for_in_the_words_of_the_offer(asked_for: Reasoning, quirks: Any, said: Any) -> None:
    found = body(asked(reasoning=asked_for), target(**quirks))
    words = ("reasoning_effort", "thinking", "enable_thinking", "thinking_budget", "reasoning")
    assert {name: found[name] for name in words if name in found} == said


@pytest.mark.parametrize(
    ("wire", "found"),
    [
        ({"reasoning_effort": "low"}, Reasoning(effort="low")),
        ({"reasoning_effort": "none"}, Reasoning(enabled=False)),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, Reasoning(effort="low", summary="auto")),
        ({"reasoning": {"max_tokens": 9, "exclude": True}}, Reasoning(budget_tokens=9, shown=False)),
        ({"reasoning": {"enabled": True}}, Reasoning(enabled=True)),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, Reasoning(enabled=True, budget_tokens=9)),
        ({"thinking": {"type": "disabled"}}, Reasoning(enabled=False)),
        ({"enable_thinking": True, "thinking_budget": 9}, Reasoning(enabled=True, budget_tokens=9)),
        ({"reasoning": {}}, None),
    ],
)
def test_every_vendor_s_word_for_reasoning_is_understood(wire: Any, found: Any) -> None:
    sent = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **wire}
    assert codec.read_request(json.dumps(sent).encode(), CONTEXT).reasoning == found


def test_a_limit_has_the_word_of_the_offer() -> None:
    assert body(asked(max_output_tokens=9), target(limit_word="max_tokens"))["max_tokens"] == 9


def test_streams_are_asked_for_with_usage_unless_the_offer_refuses_it() -> None:
    assert body(asked(), target(stream=True))["stream_options"] == {"include_usage": True}
    found = body(asked(), target(stream=True, refused=frozenset({"include_usage"})))
    assert (found["stream"], "stream_options" in found) == (True, False)
    assert "stream" not in body(asked(stream=True), target())


def test_texts_are_one_string_for_those_who_take_no_lists() -> None:
    turns = (
        Turn("system", (Text("One."), Text("Two."))),
        Turn("user", (Text("A"), Text("B"))),
        Turn("assistant", (Text("C"), Text("D"))),
    )
    found = messages(*turns, on=target(content_parts=False))
    assert [message["content"] for message in found] == ["One.\n\nTwo.", "A\n\nB", "CD"]
    assert isinstance(messages(*turns)[0]["content"], list)


def test_results_of_one_turn_come_first_and_one_by_one() -> None:
    calls = Turn("assistant", (ToolCall("a", "f", "{}"), ToolCall("b", "g", "{}")))
    results = Turn(
        "user", (Text("Look:"), ToolResult("a", "f", (Text("1"),)), ToolResult("b", "g", (Text("bad"),), is_error=True))
    )
    found = messages(HI, calls, results)
    assert [message["role"] for message in found] == ["user", "assistant", "tool", "tool", "user"]
    assert [message["content"] for message in found[2:]] == ["1", "Error: bad", "Look:"]


def test_images_of_results_stand_behind_them() -> None:
    result = ToolResult("a", "f", (Text("see"), Media(kind="image", mime="image/png", data=b"iVBO")))
    found = messages(HI, Turn("assistant", (ToolCall("a", "f", "{}"),)), Turn("user", (result,)))
    assert found[2] == {"role": "tool", "tool_call_id": "a", "content": "see"}
    assert found[3]["content"][1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}


def test_reasoning_of_the_vendor_itself_goes_back_in_its_own_words() -> None:
    details = Carry(
        "openai.chat/openrouter", msgspec.Raw(b'{"reasoning_details":[{"type":"reasoning.encrypted","data":"x"}]}')
    )
    turn = Turn("assistant", (Thinking("Hm", carry=details), Text("Yes")))
    found = messages(
        HI, turn, origin=RESPONSES, on=target(dialect="openrouter", thinking_back="own", thinking_word="reasoning")
    )
    assert found[1] == {
        "role": "assistant", "content": "Yes", "reasoning": "Hm", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}],
    }  # fmt: skip
    other = messages(HI, turn, origin=RESPONSES, on=target(dialect="deepseek", thinking_back="own"))
    assert other[1] == {"role": "assistant", "content": "Yes"}


def test_reasoning_goes_back_as_text_where_the_offer_wants_it() -> None:
    """https://api-docs.deepseek.com/guides/thinking_mode: without it a turn with tool calls is refused."""
    turn = Turn("assistant", (Thinking("Hm"), ToolCall("a", "f", "{}")))
    assert messages(HI, turn)[1]["reasoning_content"] == "Hm"


def test_a_grammar_of_responses_is_one_of_chat() -> None:
    carry = Carry(RESPONSES, msgspec.Raw(b'{"format":{"type":"grammar","syntax":"lark","definition":"start: x"}}'))
    found = body(asked(origin=RESPONSES, tools=(Tool(name="p", kind="custom", carry=carry),)), target())
    assert found["tools"][0]["custom"]["format"] == {
        "type": "grammar",
        "grammar": {"syntax": "lark", "definition": "start: x"},
    }


def test_large_media_are_put_in_at_the_end_and_are_whole() -> None:
    data = b"QUJD" * 5000
    found = messages(Turn("user", (Media(kind="image", mime="image/webp", data=memoryview(data)), Text("?"))))
    assert found[0]["content"][0]["image_url"]["url"] == "data:image/webp;base64," + data.decode()


@pytest.mark.parametrize(
    "part", [Media(kind="file", url="https://a.example/a.pdf"), Media(kind="audio", url="https://a.example/a.wav")]
)
def test_media_by_url_are_refused_where_chat_takes_content_alone(part: Media) -> None:
    with pytest.raises(InvalidParams, match="base64"):
        messages(Turn("user", (part,)), origin=GEMINI)


def test_vendors_tools_id_s_and_names_keep_their_alphabet() -> None:
    found = messages(
        HI,
        Turn("assistant", (ToolCall("toolu_long_id", "f", "{}"),)),
        Turn("user", (ToolResult("toolu_long_id"),)),
        on=target(tool_id="nine"),
    )
    assert found[1]["tool_calls"][0]["id"] == found[2]["tool_call_id"]
    assert len(found[2]["tool_call_id"]) == 9


def test_routing_learns_the_same_from_a_peek_and_from_the_whole() -> None:
    sent = {
        "model": "m", "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 9, "temperature": 0.5, "stop": ["x"], "top_k": 3, "min_p": 0.1,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]}],
        "tools": [{"type": "function", "function": {"name": "f"}}], "response_format": {"type": "json_object"}, "reasoning_effort": "low",
        "prompt_cache_key": "k",
    }  # fmt: skip
    words = frozenset(
        {
            "temperature",
            "stop",
            "top_k",
            "min_p",
            "tools",
            "response_format",
            "reasoning_effort",
            "max_completion_tokens",
        }
    )
    peeked = codec.peek(json.dumps(sent).encode(), CONTEXT, words)
    whole = facts_of(codec.read_request(json.dumps(sent).encode(), CONTEXT), words)
    for name in ("protocol", "model", "stream", "max_output_tokens", "modalities", "stop", "wants_usage", "session_id"):
        assert getattr(peeked.facts, name) == getattr(whole, name)
    assert set(peeked.facts.parameters) == set(whole.parameters)
    assert set(peeked.facts.needs) == set(whole.needs)


def test_an_error_ends_a_stream_in_chat_s_own_form() -> None:
    writer = codec.stream_writer(answer_context())
    event = writer.fail(Overloaded("All are busy."))
    assert json.loads(event.removeprefix(b"data: "))["error"]["type"] == "overloaded"
    assert b"[DONE]" not in event


def test_a_sign_of_life_is_seen_by_no_reader() -> None:
    assert read_stream([codec.keepalive(answer_context())]) == []
    observer = StreamObserver()
    observer.see(codec.keepalive(answer_context()), 0.0)
    assert not observer.malformed


def test_calls_that_run_beside_each_other_overlap_and_those_in_turn_do_not() -> None:
    """Blocks and items of other protocols overlap only where the provider itself interleaves."""
    begin = b'{"choices":[{"delta":{"tool_calls":[{"index":%d,"id":"%b","function":{"name":"f","arguments":"%b"}}]}}]}'
    stream = [
        b"data: %b\n\n" % (begin % (0, b"a", b"{}")),
        b"data: %b\n\n" % (begin % (1, b"b", b"{")),
        b"data: %b\n\n" % (begin % (2, b"c", b"{}")),
    ]
    kinds = [(type(event), event.index) for event in read_stream(stream) if isinstance(event, PartStart | PartEnd)]
    assert kinds == [(PartStart, 0), (PartEnd, 0), (PartStart, 1), (PartStart, 2)]


def test_each_delta_is_on_the_wire_when_it_came() -> None:
    writer = codec.stream_writer(answer_context())
    writer.feed(PartStart(0, ToolCall("a", "f")))
    assert b'"arguments":"{\\"ci"' in writer.feed(Delta(0, '{"ci'))
    writer.feed(PartStart(1, Text("")))
    assert b'"content":"Hi"' in writer.feed(Delta(1, "Hi"))


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", FinishReason.END),
        ("model_length", FinishReason.LENGTH),
        ("sensitive", FinishReason.CONTENT_FILTER),
        ("insufficient_system_resource", FinishReason.OTHER),
    ],
)
def test_vendors_words_for_the_end_are_understood(word: str, reason: FinishReason) -> None:
    [event] = [
        one
        for one in read_stream(
            [b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"%b"}]}\n\n' % word.encode()]
        )
        if isinstance(one, Finish)
    ]
    assert (event.reason, event.native) == (reason, word)


def test_the_last_usage_of_a_stream_counts_and_its_tier_goes_with_it() -> None:
    first = b'{"service_tier":"flex","choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":1}}'
    stream = b'data: %b\n\ndata: {"choices":[],"usage":{"prompt_tokens":2}}\n\n' % first
    seen = [event for event in read_stream([stream]) if isinstance(event, UsageSeen)]
    assert [(one.usage.input_tokens, one.service_tier) for one in seen] == [(1, "flex"), (2, "flex")]

"""What the dialects of Chat mean: each vendor's answers, whole and in streams, in canonical form."""

import json
from typing import Any

import msgspec
import pytest

from tests.protocols.openai_chat.chat_golden import (
    CONTEXT,
    NO_BILL,
    Kept,
    answer_context,
    asked,
    fixtures,
    read_stream,
    streams,
    target,
)
from trunkline.ir.events import Start
from trunkline.ir.fold import fold
from trunkline.ir.parts import Carry, Citation, Media, Part, Text, Thinking, ToolCall, ToolResult, Turn
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.codec import RESPONSES
from trunkline.protocols.openai_chat import codec

ANSWERS, REQUESTS, STREAMS = fixtures("answers"), fixtures("requests"), streams()
THOUGHT = "They ask for Rome."
WEATHER, TIME = '{"city":"Rome"}', '{"zone":"CET"}'
DETAIL = {"type": "reasoning.text", "text": THOUGHT, "signature": "EqoB", "format": "anthropic-claude-v1", "index": 0}


def streamed(name: str, dialect: str = "") -> Response:
    return fold(read_stream([STREAMS[name]], target(dialect=dialect)))


def parts(name: str) -> tuple[Part, ...]:
    return streamed(name).candidates[0].parts


def whole(name: str) -> Response:
    return codec.read_response(json.dumps(ANSWERS[name]["wire"]).encode(), target())


def turns(name: str) -> tuple[Turn, ...]:
    return codec.read_request(json.dumps(REQUESTS[name]["wire"]).encode(), CONTEXT).turns


def data(carry: Carry | None) -> Any:
    assert carry is not None
    return msgspec.json.decode(carry.data)


def test_a_plain_stream_is_text_with_its_usage() -> None:
    found = streamed("text")
    assert (found.id, found.model, found.created_s, found.service_tier) == ("chatcmpl-1", "m", 1_700_000_000, "default")
    assert found.candidates == (Candidate((Text("Hello! 👋"),), FinishReason.END, "stop"),)
    assert found.usage == Usage(input_tokens=5, cache_read_tokens=4, output_tokens=7, reasoning_tokens=5)


def test_azure_s_first_event_without_choices_is_no_start() -> None:
    starts = [event for event in read_stream([STREAMS["azure_filter_results"]]) if isinstance(event, Start)]
    assert starts == [Start("chatcmpl-1", "m", 1_700_000_000)]


@pytest.mark.parametrize("name", ["deepseek_reasoning", "groq_reasoning"])
def test_reasoning_under_either_word_is_thinking(name: str) -> None:
    assert parts(name) == whole(name).candidates[0].parts == (Thinking(THOUGHT), Text("21 C"))


def test_thinking_between_texts_keeps_its_place() -> None:
    assert parts("interleaved_thinking") == (Thinking("First."), Text("One."), Thinking("Second."), Text("Two."))


def test_pieces_of_details_are_put_together_and_are_no_second_text() -> None:
    thinking, text = parts("openrouter_details")
    assert isinstance(thinking, Thinking)
    assert (thinking.text, thinking.redacted, text) == (THOUGHT, False, Text("21 C"))
    assert data(thinking.carry) == {"reasoning_details": [DETAIL]}


def test_details_alone_are_the_text_of_the_thinking() -> None:
    piece = b'data: {"choices":[{"delta":{"reasoning_details":[{"type":"reasoning.summary","summary":"%b","index":0}]}}]}\n\n'
    end = b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n'
    [thinking, _] = fold(read_stream([piece % b"One ", piece % b"two.", end])).candidates[0].parts
    assert isinstance(thinking, Thinking)
    assert thinking.text == "One two."
    assert data(thinking.carry)["reasoning_details"][0]["summary"] == "One two."


def test_details_that_repeat_what_was_shown_show_nothing() -> None:
    shown = b'data: {"choices":[{"delta":{"reasoning":"Hm"}}]}\n\n'
    again = b'data: {"choices":[{"delta":{"reasoning_details":[{"type":"reasoning.text","text":"Hm","signature":"E"}]}}]}\n\n'
    [thinking] = fold(read_stream([shown, again, b"data: [DONE]\n\n"])).candidates[0].parts
    assert isinstance(thinking, Thinking)
    assert thinking.text == "Hm"
    assert data(thinking.carry)["reasoning_details"][0]["signature"] == "E"


def test_encrypted_details_are_hidden_thinking_before_the_text() -> None:
    thinking, text = parts("openrouter_encrypted")
    assert isinstance(thinking, Thinking)
    assert (thinking.redacted, thinking.text, text) == (True, "", Text("21 C"))
    assert data(thinking.carry)["reasoning_details"][0]["data"] == "gAAA"


def test_details_that_come_with_a_call_stay_before_it() -> None:
    thinking, call = parts("openrouter_call_details")
    assert isinstance(call, ToolCall)
    kinds = [detail["type"] for detail in data(thinking.carry)["reasoning_details"]]  # type: ignore[union-attr]
    assert kinds == ["reasoning.text", "reasoning.encrypted"]


def test_a_carry_names_the_dialect_that_can_read_it() -> None:
    [thinking, _] = streamed("openrouter_details", "openrouter").candidates[0].parts
    assert thinking.carry is not None  # type: ignore[union-attr]
    assert thinking.carry.origin == "openai.chat/openrouter"  # type: ignore[union-attr]


def test_mistral_s_chunks_are_thinking_and_text() -> None:
    for found in (parts("mistral_thinking"), whole("mistral_thinking").candidates[0].parts):
        thinking, text = found
        assert isinstance(thinking, Thinking)
        assert (thinking.text, text, data(thinking.carry)) == (THOUGHT, Text("21 C"), {"type": "thinking"})


def test_google_s_signature_is_the_carry_of_its_call() -> None:
    [call] = parts("gemini_signature")
    assert isinstance(call, ToolCall)
    assert data(call.carry) == {"extra_content": {"google": {"thought_signature": "CiQB"}}}


@pytest.mark.parametrize("name", ["tool_calls", "tool_calls_interleaved"])
def test_calls_have_their_own_arguments_however_they_interleave(name: str) -> None:
    assert parts(name) == (ToolCall("call_abc", "get_weather", WEATHER), ToolCall("call_def", "get_time", TIME))


@pytest.mark.parametrize("name", ["same_index_for_all_calls", "calls_without_index"])
def test_calls_that_are_numbered_badly_stay_apart(name: str) -> None:
    assert parts(name) == (ToolCall("a", "get_weather", "{}"), ToolCall("b", "get_time", "{}"))
    assert streamed(name).candidates[0].finish is FinishReason.TOOL_CALLS


def test_a_second_call_in_the_same_place_gets_its_own_pieces() -> None:
    def piece(**call: Any) -> bytes:
        return b"data: %b\n\n" % json.dumps({"choices": [{"delta": {"tool_calls": [{"index": 0, **call}]}}]}).encode()

    stream = [
        piece(id="a", function={"name": "f", "arguments": "{}"}),
        piece(id="b", function={"name": "g", "arguments": '{"x"'}),
        piece(function={"arguments": ":1}"}),
    ]
    assert fold(read_stream(stream)).candidates[0].parts == (ToolCall("a", "f", "{}"), ToolCall("b", "g", '{"x":1}'))


def test_custom_calls_are_free_text() -> None:
    assert parts("custom_call") == (ToolCall("call_c", "code", "print(1)", "custom"),)


def test_a_call_without_an_id_gets_one_of_ours() -> None:
    assert parts("legacy_function_call") == (ToolCall("call_req_1_0", "get_weather", WEATHER),)


def test_a_named_tool_ends_with_stop_and_means_its_call() -> None:
    [candidate] = whole("named_tool_ends_with_stop").candidates
    assert (candidate.finish, candidate.native_finish) == (FinishReason.TOOL_CALLS, "stop")


def test_refusals_end_as_such() -> None:
    assert streamed("refusal").candidates[0].finish is FinishReason.REFUSAL


def test_a_stop_word_that_is_told_is_kept() -> None:
    [candidate] = whole("stop_word_told").candidates
    assert (candidate.finish, candidate.stop_sequence) == (FinishReason.STOP_SEQUENCE, "###")


def test_sources_beside_the_text_are_its_citations() -> None:
    cited = Text("Sunny.", (Citation(url="https://example.com/a", title="A"),))
    assert parts("perplexity_citations") == whole("perplexity_citations").candidates[0].parts == (cited,)


def test_sound_comes_whole_with_its_transcript() -> None:
    [sound] = parts("audio")
    assert isinstance(sound, Media)
    assert (sound.kind, sound.data) == ("audio", b"UklGRgAA")
    assert data(sound.carry) == {"id": "audio_abc", "transcript": "Hello", "expires_at": 1700003600}


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("groq_reasoning", Usage(input_tokens=5, cache_read_tokens=4, output_tokens=7, reasoning_tokens=5)),
        ("moonshot_usage", Usage(input_tokens=5, cache_read_tokens=4, output_tokens=3)),
        ("usage_in_every_chunk", Usage(input_tokens=5, cache_read_tokens=4, output_tokens=7, reasoning_tokens=5)),
    ],
)
def test_usage_is_found_where_the_vendor_puts_it(name: str, usage: Usage) -> None:
    assert streamed(name).usage == usage


def test_reasoning_outside_the_completion_is_counted_once() -> None:
    assert whole("xai_usage").usage == Usage(input_tokens=8, cache_read_tokens=2, output_tokens=4, reasoning_tokens=6)


def test_caches_are_told_apart_by_their_time_to_live() -> None:
    usage = Usage(input_tokens=1, cache_write_tokens=2, cache_write_5m_tokens=3, cache_write_1h_tokens=4)
    written = json.loads(codec.write_usage(usage))
    assert written["prompt_tokens"] == 10
    assert written["prompt_tokens_details"]["cache_write_tokens"] == 9
    assert codec.read_usage(codec.write_usage(usage)) == usage


def test_openrouter_s_caches_and_searches_are_read() -> None:
    raw = b'{"prompt_tokens":10,"prompt_tokens_details":{"cache_write_tokens":4},"server_tool_use":{"web_search_requests":2}}'
    assert codec.read_usage(raw) == Usage(input_tokens=6, cache_write_tokens=4, web_searches=2)


def test_a_result_is_a_turn_of_the_user_and_knows_the_name_of_its_tool() -> None:
    result = ToolResult("call_abc", "get_weather", (Text("21 C"),))
    assert turns("tool_round")[2] == Turn("user", (result,))
    assert turns("legacy_functions")[2] == Turn("user", (ToolResult("call_0", "get_weather", (Text("21 C"),)),))


def test_only_the_call_behind_hidden_state_has_an_id_of_ours() -> None:
    signed = Thinking("Hm", carry=Carry(RESPONSES, msgspec.Raw(b'{"encrypted_content":"gAAA"}')))
    response = Response(candidates=(Candidate((signed, ToolCall("a", "f", "{}"), ToolCall("b", "g", "{}"))),))
    store = Kept()
    answer = json.loads(codec.write_response(response, answer_context(asked(), store), NO_BILL))
    first, second = (call["id"] for call in answer["choices"][0]["message"]["tool_calls"])
    assert ([first], second) == (list(store), "b")


def test_log_probabilities_are_asked_for_where_only_their_number_was_said() -> None:
    written = json.loads(codec.write_request(asked(origin=RESPONSES, top_logprobs=3), target()).body)
    assert (written["logprobs"], written["top_logprobs"]) == (True, 3)

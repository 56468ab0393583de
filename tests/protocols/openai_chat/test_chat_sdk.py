"""The types of OpenAI's own SDK take what callers of Chat get, and its accumulator makes of a stream what the whole answer says."""

import json
from typing import Any

import msgspec
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

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
    written,
)
from trunkline.ir.events import Event
from trunkline.ir.fold import fold, unfold
from trunkline.ir.parts import Carry, Citation, Logprob, Media, Refusal, Text, Thinking, ToolCall
from trunkline.ir.request import Reasoning
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.codec import Bill
from trunkline.protocols.openai_chat import codec
from trunkline.protocols.sse import data_of, events

ANSWERS, STREAMS = fixtures("answers"), streams()
# The SDK has no custom calls in streams (openai 3.54, `ChoiceDeltaToolCall.type`).
WHOLE = sorted(set(STREAMS) - {"error_in_the_middle", "error_at_once", "vllm_error", "cut_off", "custom_call"})
SIGNED = Carry("anthropic.messages", msgspec.Raw(b'{"signature":"EqoB"}'))
BILL = Bill(b"0.000125", b'{"upstream":0.000125}')
RICH = Response(
    id="x",
    model="m",
    candidates=(
        Candidate(
            (
                Thinking("One.", carry=SIGNED),
                Thinking("Two."),
                Text("Rome ", (Citation(url="https://a.example", title="A", quote="q"),), (Logprob("Rome ", -0.5, (1,)),)),
                Text("is sunny.", (Citation(url="https://b.example", start=0, end=2), Citation(title="Doc", quote="w"))),
                Refusal("No."),
                Media(kind="image", mime="image/png", data=b"iVBO"),
                Media(kind="image", url="https://example.com/a.png"),
                ToolCall("toolu_1", "weather", '{"city":"Rome"}', carry=SIGNED),
                ToolCall("toolu_2", "now"),
            ),
            FinishReason.TOOL_CALLS,
        ),
        Candidate((Text("Other"),), FinishReason.REFUSAL),
    ),
    usage=Usage(input_tokens=5, cache_write_5m_tokens=3, cache_write_1h_tokens=2, output_tokens=7, web_searches=1),
    service_tier="standard",
)  # fmt: skip


def chunks(stream: bytes) -> list[dict[str, Any]]:
    found = [data_of(one) for one in events(stream)]
    assert found[-1] == b"[DONE]"
    return [json.loads(data) for data in found[:-1] if data is not None]


def accumulated(stream: bytes) -> ChatCompletion:
    state: Any = ChatCompletionStreamState()
    for chunk in chunks(stream):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return state.current_completion_snapshot  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ANSWERS)
def test_whole_answers_are_valid(name: str) -> None:
    response = codec.read_response(json.dumps(ANSWERS[name]["wire"]).encode(), target())
    ChatCompletion.model_validate_json(codec.write_response(response, answer_context(), BILL))


@pytest.mark.parametrize("name", WHOLE)
def test_the_accumulator_of_a_stream_has_the_whole_answer(name: str) -> None:
    found = read_stream([STREAMS[name]])
    same_message(fold(found), found)


def test_an_answer_with_everything_in_it_is_the_same_in_a_stream() -> None:
    same_message(RICH, list(unfold(RICH)))
    ChatCompletion.model_validate_json(codec.write_response(RICH, answer_context(), BILL))


def same_message(response: Response, found: list[Event]) -> None:
    answer = ChatCompletion.model_validate_json(codec.write_response(response, answer_context(), NO_BILL))
    grown = accumulated(written(found))
    assert len(grown.choices) == len(answer.choices)
    for one, other in zip(grown.choices, answer.choices, strict=True):
        assert one.finish_reason == other.finish_reason
        left, right = one.message.model_dump(), other.message.model_dump()
        for name in ("content", "refusal"):
            assert (left.get(name) or "") == (right.get(name) or "")
        for name in ("reasoning", "reasoning_content", "images"):
            assert without_index(left.get(name)) == without_index(right.get(name))
        assert calls(left) == calls(right)
        assert sources(left) == sources(right)
    if response.usage is not None:
        assert grown.usage == answer.usage


def without_index(value: Any) -> Any:
    return [{key: one[key] for key in one if key != "index"} for one in value] if isinstance(value, list) else value


def calls(message: dict[str, Any]) -> list[Any]:
    found = message.get("tool_calls") or ()
    return [(call["id"], call["type"], call["function"]["name"], call["function"]["arguments"]) for call in found]


def sources(message: dict[str, Any]) -> list[Any]:
    return [one["url_citation"] for one in message.get("annotations") or ()]


def test_cost_and_caches_stand_in_the_usage_of_both() -> None:
    answer = json.loads(codec.write_response(RICH, answer_context(), BILL))
    last = chunks(written(list(unfold(RICH)), None, BILL))[-1]
    assert (last["choices"], last["usage"]) == ([], answer["usage"])
    assert answer["usage"]["cost"] == 0.000125
    assert answer["usage"]["prompt_tokens_details"]["cache_write_5m_tokens"] == 3
    assert answer["service_tier"] == "default"


def test_usage_goes_only_to_who_asked_for_it() -> None:
    stream = written(list(unfold(RICH)), answer_context(asked(include_usage=False)))
    assert [chunk for chunk in chunks(stream) if "usage" in chunk] == []


def test_functions_of_old_are_called_in_their_own_form() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "functions": [{"name": "weather"}]}
    request = codec.read_request(json.dumps(body).encode(), CONTEXT)
    response = Response(
        model="m", candidates=(Candidate((ToolCall("toolu_1", "weather", "{}"),), FinishReason.TOOL_CALLS),)
    )
    answer = ChatCompletion.model_validate_json(codec.write_response(response, answer_context(request), NO_BILL))
    grown = accumulated(written(list(unfold(response)), answer_context(request)))
    for found in (answer.choices[0], grown.choices[0]):
        assert found.finish_reason == "function_call"
        assert found.message.function_call is not None
        assert (found.message.function_call.name, found.message.function_call.arguments) == ("weather", "{}")
        assert not found.message.tool_calls


def test_hidden_reasoning_gives_no_text() -> None:
    context = answer_context(asked(reasoning=Reasoning(shown=False)), Kept())
    grown = accumulated(written(list(unfold(RICH)), context))
    assert "reasoning" not in grown.choices[0].message.model_dump()

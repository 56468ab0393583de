"""State of other vendors comes back through a client of Chat: from details if it keeps them, else from the ids of its tool calls."""

import json
from typing import Any

import msgspec
import pytest

from tests.protocols.openai_chat.chat_golden import CONTEXT, NO_BILL, SECRET, Kept, answer_context, asked, written
from trunkline.ir.fold import unfold
from trunkline.ir.parts import Carry, Citation, Opaque, Part, Text, Thinking, ToolCall, ToolResult
from trunkline.ir.request import Reasoning
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.protocols.carry import stored_ids
from trunkline.protocols.codec import GEMINI, MESSAGES, RESPONSES, RequestContext
from trunkline.protocols.openai_chat import codec
from trunkline.protocols.sse import data_of, events

SIGNATURE = Carry(MESSAGES, msgspec.Raw(b'{"signature":"EqoB"}'))
THOUGHT = Carry(GEMINI, msgspec.Raw(b'{"thoughtSignature":"CiQB"}'))
THINKING = Thinking("They ask for Rome.", carry=SIGNATURE)
CALL = ToolCall("toolu_1", "weather", '{"city":"Rome"}')
OTHER = ToolCall("toolu_2", "time", "{}")


def answer(*parts: Part) -> Response:
    return Response(id="x", model="m", candidates=(Candidate(parts, FinishReason.TOOL_CALLS),))


def whole(response: Response, store: Kept, **fields: Any) -> dict[str, Any]:
    body = codec.write_response(response, answer_context(asked(**fields), store), NO_BILL)
    return json.loads(body)["choices"][0]["message"]


def streamed(response: Response, store: Kept, **fields: Any) -> dict[str, Any]:
    """The message as a client puts it together by the indexes of lists."""
    message: dict[str, Any] = {}
    found = list(unfold(response))
    for one in events(written(found, answer_context(asked(**fields), store))):
        data = data_of(one)
        if data is not None and data != b"[DONE]":
            for choice in json.loads(data)["choices"]:
                add(message, choice["delta"])
    return message


def add(whole: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if isinstance(value, list):
            entries = whole.setdefault(name, [])
            for entry in value:
                if entry["index"] == len(entries):
                    entries.append({})
                add(entries[entry["index"]], entry)
        elif isinstance(value, dict):
            add(whole.setdefault(name, {}), value)
        elif isinstance(value, str) and name not in ("id", "type", "role"):
            whole[name] = whole.get(name, "") + value
        else:
            whole[name] = value


def returned(message: dict[str, Any], store: Kept, *, keep: set[str]) -> list[Part]:
    """The parts of the turn that the next request brings, if the client keeps these keys of the message."""
    kept = {name: value for name, value in message.items() if name in keep | {"role", "content", "tool_calls"}}
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "21 C"} for call in message.get("tool_calls", ())
    ]
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}, kept, *results]}).encode()
    states = {name: store[name] for name in stored_ids(body) if name in store}
    request = codec.read_request(body, RequestContext(request_id="req_2", secret=SECRET, states=states))
    answers = [part for turn in request.turns[2:] for part in turn.parts]
    calls = [part for part in request.turns[1].parts if isinstance(part, ToolCall) and part.kind != "server"]
    assert [part.call_id for part in answers if isinstance(part, ToolResult)] == [call.id for call in calls]
    return list(request.turns[1].parts)


@pytest.mark.parametrize("told", [whole, streamed])
def test_thinking_stands_before_its_call_again_where_the_client_keeps_calls_alone(told: Any) -> None:
    store = Kept()
    message = told(answer(THINKING, CALL, OTHER), store)
    assert returned(message, store, keep=set()) == [THINKING, CALL, OTHER]


@pytest.mark.parametrize("told", [whole, streamed])
@pytest.mark.parametrize("keep", [set(), {"reasoning_content"}])
def test_thinking_stands_before_the_text_again_whatever_the_client_keeps(told: Any, keep: set[str]) -> None:
    store, look = Kept(), Text("Let me look.")
    again = Thinking("And the time.", carry=SIGNATURE)
    message = told(answer(THINKING, look, CALL, again, OTHER), store)
    assert returned(message, store, keep=keep)[-5:] == [THINKING, look, CALL, again, OTHER]


@pytest.mark.parametrize("told", [whole, streamed])
def test_thinking_comes_back_once_where_the_client_keeps_everything(told: Any) -> None:
    store = Kept()
    message = told(answer(THINKING, Text("Let me look."), CALL), store)
    kept = {"reasoning_details", "reasoning", "reasoning_content"}
    assert returned(message, store, keep=kept) == [THINKING, Text("Let me look."), CALL]


@pytest.mark.parametrize("told", [whole, streamed])
def test_details_alone_bring_it_back_where_the_store_has_lost_it(told: Any) -> None:
    store = Kept()
    message = told(answer(THINKING, Text("21 C")), store)
    assert store == {}
    assert returned(message, store, keep={"reasoning_details"}) == [THINKING, Text("21 C")]


@pytest.mark.parametrize("told", [whole, streamed])
@pytest.mark.parametrize("keep", [set(), {"reasoning_details"}])
def test_a_signature_on_a_call_comes_back_to_it(told: Any, keep: set[str]) -> None:
    store = Kept()
    call = ToolCall("call_1", "weather", "{}", carry=THOUGHT)
    message = told(answer(call, OTHER), store)
    assert returned(message, store, keep=keep) == [call, OTHER]


@pytest.mark.parametrize("told", [whole, streamed])
def test_a_signature_on_a_call_survives_in_details_without_the_store(told: Any) -> None:
    message = told(answer(ToolCall("call_1", "weather", "{}", carry=THOUGHT)), Kept())
    [call] = returned(message, Kept(), keep={"reasoning_details"})
    assert isinstance(call, ToolCall)
    assert call.carry == THOUGHT


@pytest.mark.parametrize("told", [whole, streamed])
@pytest.mark.parametrize("text", ["21 C", ""])
def test_a_signature_on_a_text_comes_back_to_it_even_if_it_is_empty(told: Any, text: str) -> None:
    store, part = Kept(), Text(text, carry=THOUGHT)
    message = told(answer(part), store)
    assert returned(message, store, keep={"reasoning_details"}) == [part]


@pytest.mark.parametrize("told", [whole, streamed])
def test_what_is_hidden_is_not_shown_and_comes_back(told: Any) -> None:
    store = Kept()
    redacted = Thinking(redacted=True, carry=Carry(MESSAGES, msgspec.Raw(b'{"data":"xyz"}')))
    search = Opaque("web_search_tool_result", Carry(MESSAGES, msgspec.Raw(b'{"type":"web_search_tool_result"}')))
    message = told(answer(redacted, search, CALL), store)
    assert "reasoning" not in message
    assert returned(message, store, keep=set()) == [redacted, search, CALL]
    assert returned(message, store, keep={"reasoning_details"}) == [redacted, search, CALL]


@pytest.mark.parametrize("told", [whole, streamed])
def test_reasoning_that_the_caller_wants_excluded_is_not_written_but_its_state_is(told: Any) -> None:
    store = Kept()
    message = told(answer(THINKING, Text("21 C")), store, reasoning=Reasoning(shown=False))
    assert "reasoning" not in message
    assert "reasoning_content" not in message
    assert returned(message, store, keep={"reasoning_details"}) == [THINKING, Text("21 C")]


def test_details_that_were_changed_or_are_anothers_are_left_out() -> None:
    message = whole(answer(THINKING, Text("21 C")), Kept())
    message["reasoning_details"][0]["data"] = message["reasoning_details"][0]["data"][:-8] + "AAAAAAAA"
    assert returned(message, Kept(), keep={"reasoning_details"}) == [Text("21 C")]


def test_ids_of_calls_without_state_stay_as_they_are() -> None:
    store = Kept()
    message = whole(answer(CALL), store)
    assert (message["tool_calls"][0]["id"], store) == ("toolu_1", {})


def test_a_custom_call_has_its_state_behind_its_id() -> None:
    store, call = Kept(), ToolCall("ctc_1", "code", "print(1)", kind="custom")
    assert returned(streamed(answer(THINKING, call), store), store, keep=set()) == [THINKING, call]


def test_mistral_s_reasoning_comes_back_as_its_chunk() -> None:
    chunk = Carry("openai.chat/mistral", msgspec.Raw(b'{"type":"thinking"}'))
    thinking = Thinking("They ask for Rome.", carry=chunk)
    message = whole(answer(thinking, Text("21 C")), Kept())
    assert message["reasoning"] == "They ask for Rome."
    assert returned(message, Kept(), keep={"reasoning_details"}) == [thinking, Text("21 C")]


def test_a_context_without_states_reads_a_lost_id_as_any_other() -> None:
    call = {"id": "tl1s" + "a" * 24, "type": "function", "function": {"name": "f"}}
    body = {"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}
    request = codec.read_request(json.dumps(body).encode(), CONTEXT)
    assert request.turns[0].parts == (ToolCall("tl1s" + "a" * 24, "f"),)


@pytest.mark.parametrize("told", [whole, streamed])
@pytest.mark.parametrize("keep", [{"content", "reasoning_details"}, {"content", "tool_calls"}])
def test_what_a_provider_searched_comes_back_with_what_it_found(told: Any, keep: set[str]) -> None:
    state = Carry(MESSAGES, msgspec.Raw(b'{"content":[{"encrypted_content":"Eq"}]}'))
    search = ToolCall("srvtoolu_1", "web_search", '{"query":"Rome"}', "server", carry=state)
    found = ToolResult(
        "srvtoolu_1", "web_search", kind="server", sources=(Citation(url="https://acme.example"),), carry=state
    )
    store = Kept()
    message = told(answer(search, found, Text("It rains."), CALL), store)
    parts = returned(message, store, keep=keep)
    assert parts[:3] == [search, found, Text("It rains.")]


@pytest.mark.parametrize("told", [whole, streamed])
def test_a_search_that_nobody_wants_back_leaves_nothing(told: Any) -> None:
    search = ToolCall("ws_1", "web_search", "{}", "server", carry=Carry(RESPONSES, msgspec.Raw(b"{}")))
    assert "reasoning_details" not in told(answer(search, Text("It rains.")), Kept())

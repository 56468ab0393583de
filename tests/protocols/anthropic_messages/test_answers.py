"""Answers, streams, usage and errors: what clients of Messages see, and what is made of what providers say."""

import json
from typing import Any

import msgspec
import pytest

from tests.protocols.anthropic_messages.golden import SECRET, TARGET, answering, asking, body, read_stream
from trunkline.errors import AccessDenied, InsufficientCredit, InvalidParams, Overloaded, RateLimited, RequestError
from trunkline.ir.events import Cited, Delta, Event, Failed, Finish, PartEnd, PartStart, Start, UsageSeen
from trunkline.ir.fold import fold
from trunkline.ir.parts import Carry, Citation, Media, Refusal, Text, Thinking, ToolCall, ToolResult
from trunkline.ir.request import Reasoning
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.anthropic_messages import codec
from trunkline.protocols.carry import Kept, unseal
from trunkline.protocols.codec import Bill
from trunkline.protocols.rawjson import UNREADABLE

GEMINI = Carry("gemini", msgspec.Raw(b'{"thoughtSignature":"abc"}'))
BILL = Bill(b"0.0012", b'{"prompt":0.001}')


def written(*parts: Any, finish: FinishReason | None = FinishReason.END, **fields: Any) -> Any:
    return json.loads(
        codec.write_response(Response(candidates=(Candidate(parts, finish),), **fields), answering(), BILL)
    )


def streamed(*events: Event, reasoning: Reasoning | None = None) -> list[Any]:
    writer = codec.stream_writer(answering(asking(reasoning or Reasoning(enabled=True))))
    data = b"".join(map(writer.feed, events)) + writer.end(BILL)
    return events_of(data)


def events_of(data: bytes) -> list[Any]:
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        name, text = block.split("\n")
        found.append(json.loads(text.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def test_an_answer_has_our_id_the_callers_model_and_the_cost() -> None:
    found = written(Text("Hi"), id="resp_1", model="gpt", usage=Usage(input_tokens=5, output_tokens=3))
    assert (found["id"], found["model"], found["stop_reason"]) == ("msg_1", "claude-sonnet-4-5", "end_turn")
    assert (found["usage"]["cost"], found["usage"]["cost_details"]) == (0.0012, {"prompt": 0.001})


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        (FinishReason.END, "end_turn"),
        (FinishReason.TOOL_CALLS, "tool_use"),
        (FinishReason.LENGTH, "max_tokens"),
        (FinishReason.STOP_SEQUENCE, "stop_sequence"),
        (FinishReason.CONTENT_FILTER, "refusal"),
        (FinishReason.REFUSAL, "refusal"),
        (FinishReason.PAUSED, "pause_turn"),
        (FinishReason.CONTEXT_FULL, "model_context_window_exceeded"),
        (FinishReason.BROKEN_TOOL_CALL, "end_turn"),
        (FinishReason.OTHER, "end_turn"),
        (None, None),
    ],
)
def test_why_it_ended(finish: FinishReason | None, word: str | None) -> None:
    assert written(Text("x"), finish=finish)["stop_reason"] == word


def test_a_refusal_is_text_and_says_so() -> None:
    found = written(Refusal("No."))
    assert (found["content"], found["stop_reason"]) == ([{"type": "text", "text": "No."}], "refusal")
    events = streamed(Start(), PartStart(0, Refusal("")), Delta(0, "No."), PartEnd(0), Finish(FinishReason.END))
    assert events[-2]["delta"]["stop_reason"] == "refusal"


def test_citations_and_searches_of_another_vendor_have_their_places() -> None:
    cited = Text("So.", (Citation(url="https://example.com", title="T", quote="q"),))
    call = ToolCall("ws_1", "web_search", '{"query":"x"}', "server")
    result = ToolResult("ws_1", "web_search", sources=(Citation(url="https://example.com", title="T"),), kind="server")
    found = written(call, result, cited)["content"]
    assert found[0]["id"].startswith("tl1s")  # so that it is never taken for one of Anthropic's own
    assert [block["type"] for block in found] == ["server_tool_use", "web_search_tool_result", "text"]
    assert found[1]["content"][0]["url"] == found[2]["citations"][0]["url"] == "https://example.com"


def test_a_picture_is_a_block_with_its_data() -> None:
    found = written(Media(kind="image", mime="image/png", data=b"iVBORw=="))["content"]
    assert found == [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}}]


def test_the_events_of_a_stream_stand_in_the_order_that_sdks_go_by() -> None:
    events = streamed(
        Start("x", "m"),
        PartStart(0, Thinking()),
        Delta(0, "hm"),
        PartEnd(0, GEMINI),
        PartStart(1, Text("")),
        Delta(1, "Hi"),
        Cited(1, Citation(url="https://example.com")),
        PartEnd(1),
        PartStart(2, ToolCall("c", "f")),
        Delta(2, "{}"),
        PartEnd(2),
        UsageSeen(Usage(input_tokens=5, output_tokens=3), msgspec.Raw(b"{}")),
        Finish(FinishReason.TOOL_CALLS),
    )
    kinds = [(event["type"], event.get("index"), event.get("delta", {}).get("type")) for event in events]
    assert kinds == [
        ("message_start", None, None),
        ("content_block_start", 0, None),
        ("content_block_delta", 0, "thinking_delta"),
        ("content_block_delta", 0, "signature_delta"),
        ("content_block_stop", 0, None),
        ("content_block_start", 1, None),
        ("content_block_delta", 1, "text_delta"),
        ("content_block_delta", 1, "citations_delta"),
        ("content_block_stop", 1, None),
        ("content_block_start", 2, None),
        ("content_block_delta", 2, "input_json_delta"),
        ("content_block_stop", 2, None),
        ("message_delta", None, None),
        ("message_stop", None, None),
    ]
    assert (events[-2]["usage"]["input_tokens"], events[-2]["usage"]["cost"]) == (5, 0.0012)


def test_interleaved_calls_go_out_at_once_each_under_its_index() -> None:
    writer = codec.stream_writer(answering())
    for event in (Start(), PartStart(0, ToolCall("a", "f")), PartStart(1, ToolCall("b", "g"))):
        writer.feed(event)
    pieces = [events_of(writer.feed(Delta(at, piece)))[0] for at, piece in [(0, '{"a"'), (1, "{}"), (0, ":1}")]]
    assert [(piece["index"], piece["delta"]["partial_json"]) for piece in pieces] == [
        (0, '{"a"'),
        (1, "{}"),
        (0, ":1}"),
    ]


def test_thinking_that_was_not_asked_for_is_not_seen() -> None:
    writer = codec.stream_writer(answering(asking(None)))
    events = (
        Start(),
        PartStart(0, Thinking()),
        Delta(0, "hm"),
        PartEnd(0, GEMINI),
        PartStart(1, Text("")),
        Delta(1, "Hi"),
    )
    found = events_of(b"".join(map(writer.feed, events)))
    assert [event["type"] for event in found] == ["message_start", "content_block_start", "content_block_delta"]
    assert found[1]["index"] == 0


def test_state_of_redacted_thinking_may_come_with_its_end() -> None:
    events = streamed(Start(), PartStart(0, Thinking(redacted=True)), PartEnd(0, GEMINI))
    sealed = events[1]["content_block"]["data"]
    assert unseal(sealed, SECRET) == Kept(carry=GEMINI)


def test_blocks_that_are_still_open_are_closed_before_the_end() -> None:
    events = streamed(Start(), PartStart(0, Text("")), Delta(0, "Hi"), Finish(FinishReason.END))
    assert [event["type"] for event in events[-3:]] == ["content_block_stop", "message_delta", "message_stop"]
    seen = read_stream([body("streams", "no_block_start.sse")])
    assert [type(event) for event in seen if not isinstance(event, UsageSeen)][-2:] == [PartEnd, Finish]


def test_of_several_answers_the_first_is_shown() -> None:
    events = streamed(
        Start(), PartStart(0, Text(""), 1), Delta(0, "other"), PartEnd(0), Finish(FinishReason.LENGTH, choice=1)
    )
    assert [event["type"] for event in events] == ["message_start", "message_delta", "message_stop"]
    assert events[1]["delta"]["stop_reason"] is None


def test_what_is_hidden_goes_with_one_call_alone() -> None:
    states: dict[str, bytes] = {}
    parts = (Thinking("hm"), ToolCall("call_1", "f", "{}"), ToolCall("call_2", "f", "{}"))
    context = answering(asking(None), states.__setitem__)
    found = json.loads(codec.write_response(Response(candidates=(Candidate(parts),)), context, BILL))["content"]
    assert list(states) == [found[0]["id"]]
    assert found[1]["id"] == "call_2"


def test_a_stream_without_usage_or_parts_is_a_whole_message() -> None:
    assert [event["type"] for event in streamed(Start())] == ["message_start", "message_delta", "message_stop"]


def test_line_ends_in_a_providers_json_do_not_break_an_event() -> None:
    response = codec.read_response(body("answers", "web_search.json"), TARGET)
    writer = codec.stream_writer(answering())
    for index, part in enumerate(response.candidates[0].parts):
        events_of(writer.feed(PartStart(index, part)) + writer.feed(PartEnd(index)))


def test_an_error_ends_a_stream_and_nothing_follows() -> None:
    writer = codec.stream_writer(answering())
    writer.feed(Start())
    found = events_of(writer.fail(Overloaded("busy")))
    assert [(event["type"], event["error"]["type"]) for event in found] == [("error", "overloaded_error")]


def test_pings_keep_a_stream_open() -> None:
    assert codec.keepalive(answering()) == b'event: ping\ndata: {"type":"ping"}\n\n'
    assert read_stream([codec.keepalive(answering())]) == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidParams("x", param="messages.0"), "invalid_request_error"),
        (InsufficientCredit("x"), "billing_error"),
        (AccessDenied("x"), "permission_error"),
        (RateLimited("x"), "rate_limit_error"),
        (Overloaded("x"), "overloaded_error"),
    ],
)
def test_errors_have_anthropics_words(error: RequestError, kind: str) -> None:
    found = json.loads(codec.error_body(error, "req_1"))
    assert (found["type"], found["request_id"], found["error"]["type"]) == ("error", "req_1", kind)
    assert (found["error"]["code"], found["error"]["message"]) == (str(error.status), "x")


def test_a_refused_thread_says_so_in_the_way_that_sdks_understand() -> None:
    details = json.loads(codec.error_body(InvalidParams("x", param="thread"), "req_1"))["error"]["details"]
    assert details == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


@pytest.mark.parametrize("data", [b"", b"<html>busy</html>", b"[]", b"5", b"\xff", b'{"error":5}'])
def test_what_is_no_error_of_anybodys_has_no_words(data: bytes) -> None:
    assert codec.read_fault(data).message == ""


def test_an_error_in_a_stream_has_the_status_it_would_have_had() -> None:
    assert [
        (event.status, event.fault.message)
        for event in read_stream([body("streams", "error_first.sse")])
        if isinstance(event, Failed)
    ] == [(429, "Slow down.")]


def test_an_error_with_status_200_is_a_fault() -> None:
    response = codec.read_response(body("errors", "529_overloaded.json"), TARGET)
    assert response.fault is not None
    assert response.fault.type == "overloaded_error"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"content":5}', b'{"content":[{}]}', b'{"content":[{"type":"text"}]}']
)
def test_what_is_no_answer_is_told_apart(data: bytes) -> None:
    with pytest.raises(UNREADABLE):
        codec.read_response(data, TARGET)


@pytest.mark.parametrize(
    "data",
    [
        b"data: {\n\n",
        b"data: []\n\n",
        b'data: {"index":0}\n\n',
        b'data: {"type":"content_block_start","index":0}\n\n',
        b'data: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{"}}\n\n',
    ],
)
def test_what_is_no_event_is_told_apart(data: bytes) -> None:
    with pytest.raises(UNREADABLE):
        codec.stream_reader(TARGET).feed(data)


def test_counts_that_make_no_sense_do_not_spoil_an_answer() -> None:
    data = {"type": "message", "content": [], "stop_reason": "end_turn", "usage": {"input_tokens": "many"}}
    response = codec.read_response(json.dumps(data).encode(), TARGET)
    assert (response.usage, response.candidates[0].finish) == (None, FinishReason.END)
    event = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": -1}}
    assert read_stream([f"data: {json.dumps(event)}\n\n".encode()]) == [Finish(FinishReason.END, "end_turn")]


def test_the_wires_own_end_is_seen() -> None:
    reader = codec.stream_reader(TARGET)
    assert not reader.done
    reader.feed(b'data: {"type":"message_stop"}\n\n')
    assert reader.done


def test_what_vendors_of_compatible_services_leave_out_is_made_up_for() -> None:
    whole = fold(read_stream([body("streams", "whole_input_at_the_start.sse")])).candidates[0]
    assert whole.parts == (ToolCall("toolu_a", "f", '{"x": 1}'),)
    for name in ("no_block_start", "no_message_delta"):
        found = fold(read_stream([body("streams", f"{name}.sse")])).candidates[0]
        assert (found.parts, found.finish) == ((Text("Hi"),), FinishReason.END)


def test_usage_of_a_stream_is_put_together_of_its_pieces() -> None:
    found = fold(read_stream([body("streams", "input_tokens_at_the_end.sse")])).usage
    assert found == Usage(input_tokens=25, cache_read_tokens=7, output_tokens=15)
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 25, "output_tokens": 1}}}
    delta = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"input_tokens": 0, "output_tokens": 9},
    }
    data = b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in (start, delta))
    assert fold(read_stream([data])).usage == Usage(input_tokens=25, output_tokens=9)


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        # Input leaves out what was cached; what was written is split by how long it lives.
        (
            {
                "input_tokens": 50,
                "cache_read_input_tokens": 1000,
                "cache_creation_input_tokens": 556,
                "cache_creation": {"ephemeral_5m_input_tokens": 456, "ephemeral_1h_input_tokens": 100},
                "output_tokens": 5,
            },
            Usage(50, 1000, 0, 456, 100, output_tokens=5),
        ),
        ({"input_tokens": 1, "cache_creation_input_tokens": 7, "output_tokens": 2}, Usage(1, 0, 7, output_tokens=2)),
        # Output includes thinking.
        (
            {"input_tokens": 1, "output_tokens": 100, "output_tokens_details": {"thinking_tokens": 80}},
            Usage(1, output_tokens=20, reasoning_tokens=80),
        ),
        ({"output_tokens": 3, "server_tool_use": {"web_search_requests": 2}}, Usage(output_tokens=3, web_searches=2)),
        ({"input_tokens": None, "output_tokens": None, "server_tool_use": None, "cache_creation": None}, Usage()),
    ],
)
def test_usage_is_in_buckets_that_do_not_overlap(raw: Any, usage: Usage) -> None:
    assert codec.read_usage(json.dumps(raw).encode()) == usage
    assert codec.read_usage(codec.write_usage(usage)) == usage


def test_sound_and_pictures_count_and_a_guess_says_so() -> None:
    found = json.loads(
        codec.write_usage(Usage(1, input_audio_tokens=2, input_image_tokens=3, output_audio_tokens=4, estimated=True))
    )
    assert (found["input_tokens"], found["output_tokens"], found["estimated"]) == (6, 4, True)


@pytest.mark.parametrize("raw", [b"[]", b"5", b'{"input_tokens":-1}', b'{"input_tokens":"x"}'])
def test_usage_that_makes_no_sense_is_told_apart(raw: bytes) -> None:
    with pytest.raises(UNREADABLE):
        codec.read_usage(raw)

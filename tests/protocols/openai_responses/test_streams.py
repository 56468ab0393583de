"""A stream says the same however it is cut, folds to its own last event, and is written in the order that SDKs' accumulators need."""

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openai import omit
from openai._models import construct_type_unchecked
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response as SdkResponse
from openai.types.responses import ResponseStreamEvent

from trunkline.errors import Overloaded, RateLimited
from trunkline.ir.events import Cited, Delta, Failed, Finish, PartEnd, PartStart, Start, UsageSeen
from trunkline.ir.fold import fold, unfold
from trunkline.ir.parts import Carry, Citation, Logprob, Text, Thinking, ToolCall
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.codec import GEMINI, MESSAGES, Bill
from trunkline.protocols.openai_responses import codec
from trunkline.protocols.rawjson import UNREADABLE

FREE = Bill()
EVENTS = {kind.model_fields["type"].annotation.__args__[0]: kind for kind in ResponseStreamEvent.__origin__.__args__}
"""The official SDK's type of each event."""


def written(events: list[Any], wire: Any, **fields: Any) -> bytes:
    writer = codec.stream_writer(wire.answering(**fields))
    return b"".join([*map(writer.feed, events), writer.end(FREE)])


def last_response(stream: bytes, wire: Any) -> Any:
    return next((told["response"] for told in reversed(wire.told(stream)) if "response" in told), None)


def accumulated(stream: bytes, wire: Any) -> Any:
    """What the official SDK makes of a stream: it raises where an index, an id or the order is wrong."""
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    for told in wire.told(stream):
        state.handle_event(construct_type_unchecked(type_=ResponseStreamEvent, value=told))
    return state._completed_response


def test_a_stream_says_the_same_however_it_is_cut(stream_file: Path, wire: Any) -> None:
    stream = stream_file.read_bytes()
    whole = wire.events(stream)
    assert wire.events(stream, list(range(1, len(stream)))) == whole
    for seed in range(5):
        cuts = sorted(random.Random(seed).sample(range(1, len(stream)), 9))
        assert wire.events(stream, cuts) == whole


def test_a_stream_folds_to_its_last_event(stream_file: Path, wire: Any) -> None:
    stream = stream_file.read_bytes()
    folded, last = fold(wire.events(stream)), last_response(stream, wire)
    if last is None or last["status"] in ("in_progress", "failed"):
        assert folded.fault is not None or folded.candidates[0].finish is None
        return
    assert folded == codec.read_response(json.dumps(last, ensure_ascii=False).encode(), wire.target) or same(
        folded, last, wire
    )


def same(folded: Response, last: Any, wire: Any) -> bool:
    """The raw usage is the same JSON in other bytes."""
    whole = codec.read_response(json.dumps(last, ensure_ascii=False, separators=(",", ":")).encode(), wire.target)
    assert folded == whole
    return True


def test_a_stream_that_is_written_again_folds_to_the_same(stream_file: Path, wire: Any) -> None:
    events = wire.events(stream_file.read_bytes())
    told = [event for event in events if not isinstance(event, Failed)]
    again = fold(wire.events(written(told, wire)))
    before = fold(told)
    assert shown(again) == shown(before)
    assert again.usage == before.usage


def shown(response: Response) -> list[Any]:
    """Parts and reasons. A carry has our ids, and an answer that was cut is told as incomplete."""
    return [
        (
            type(part),
            getattr(part, "text", ""),
            getattr(part, "arguments", ""),
            getattr(part, "name", ""),
            len(getattr(part, "citations", ())),
        )
        for candidate in response.candidates
        for part in candidate.parts
    ]


def test_a_body_is_what_its_stream_ends_with(stream_file: Path, wire: Any) -> None:
    events = [event for event in wire.events(stream_file.read_bytes()) if not isinstance(event, Failed)]
    context = wire.answering()
    body = json.loads(codec.write_response(fold(events), context, FREE))
    last = last_response(written(events, wire), wire)
    assert [item["type"] for item in body["output"]] == [item["type"] for item in last["output"]]
    if (
        not any(isinstance(event, PartEnd) and event.carry for event in events)
        and "interleaved" not in stream_file.stem
    ):
        assert body == last


def test_the_official_sdk_takes_every_stream(stream_file: Path, wire: Any) -> None:
    events = [event for event in wire.events(stream_file.read_bytes()) if not isinstance(event, Failed)]
    stream = written(events, wire)
    for told in wire.told(stream):
        EVENTS[told["type"]].model_validate(told)
    finish = next((event for event in events if isinstance(event, Finish)), None)
    response = accumulated(stream, wire)
    if finish is not None and finish.reason not in (FinishReason.LENGTH, FinishReason.CONTENT_FILTER):
        assert response.output_text == "".join(event.text for event in said(events))
        SdkResponse.model_validate(last_response(stream, wire))


def said(events: list[Any]) -> list[Delta]:
    texts = {event.index for event in events if isinstance(event, PartStart) and isinstance(event.part, Text)}
    return [event for event in events if isinstance(event, Delta) and event.index in texts]


def test_events_are_numbered_and_named_by_their_type(stream_file: Path, wire: Any) -> None:
    events = [event for event in wire.events(stream_file.read_bytes()) if not isinstance(event, Failed)]
    stream = written(events, wire)
    told = wire.told(stream)
    assert [one["sequence_number"] for one in told] == list(range(len(told)))
    names = [line.removeprefix(b"event: ").decode() for line in stream.split(b"\n") if line.startswith(b"event: ")]
    assert names == [one["type"] for one in told]
    assert names[:2] == ["response.created", "response.in_progress"]


def test_done_items_are_whole_and_stand_again_in_the_last_event(stream_file: Path, wire: Any) -> None:
    stream = written([event for event in wire.events(stream_file.read_bytes()) if not isinstance(event, Failed)], wire)
    told = wire.told(stream)
    done = {one["output_index"]: one["item"] for one in told if one["type"] == "response.output_item.done"}
    added = [one["output_index"] for one in told if one["type"] == "response.output_item.added"]
    assert sorted(added) == sorted(done) == list(range(len(done)))
    assert [done[at] for at in range(len(done))] == told[-1]["response"]["output"]


# In order, one by one

CALL = ToolCall("c1", "f")
TOLD = [
    Start("up", "m", 1), PartStart(0, Thinking()), Delta(0, "H"), Delta(0, "m"), PartEnd(0), PartStart(1, Text("")), Delta(1, "Hi"), PartEnd(1),
    PartStart(2, CALL), Delta(2, '{"a":'), Delta(2, "1}"), PartEnd(2), UsageSeen(Usage(input_tokens=1), msgspec.Raw(b"{}"), "flex"),
    Finish(FinishReason.TOOL_CALLS),
]  # fmt: skip


def test_events_come_in_the_order_of_the_reference(wire: Any) -> None:
    kinds = [told["type"].removeprefix("response.") for told in wire.told(written(TOLD, wire))]
    assert kinds == [
        "created", "in_progress",
        "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta", "reasoning_summary_text.delta",
        "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip


def test_each_delta_is_on_the_wire_at_once(wire: Any) -> None:
    writer = codec.stream_writer(wire.answering())
    for event in TOLD:
        told = wire.told(writer.feed(event))
        if isinstance(event, Delta):
            assert told[-1]["delta"] == event.text


def test_parts_that_overlap_keep_their_indexes(wire: Any) -> None:
    events = [
        PartStart(0, Text("")), Delta(0, "a"), PartStart(1, CALL), PartStart(2, ToolCall("c2", "g")), Delta(1, "{"), Delta(2, "["), Delta(0, "b"),
        Delta(1, "}"), PartEnd(0), PartEnd(2), PartEnd(1), Finish(FinishReason.TOOL_CALLS),
    ]  # fmt: skip
    response = accumulated(written(events, wire), wire)
    assert [item.type for item in response.output] == ["message", "function_call", "function_call"]
    assert (response.output_text, response.output[1].arguments, response.output[2].arguments) == ("ab", "{}", "[")


def test_texts_next_to_each_other_are_one_message(wire: Any) -> None:
    events = [
        PartStart(0, Text("")),
        Delta(0, "a"),
        PartEnd(0),
        PartStart(1, Text("")),
        Delta(1, "b"),
        PartEnd(1),
        Finish(FinishReason.END),
    ]
    (item,) = last_response(written(events, wire), wire)["output"]
    assert [content["text"] for content in item["content"]] == ["a", "b"]


def test_a_signature_that_comes_last_is_in_the_item(wire: Any) -> None:
    carry = Carry(MESSAGES, msgspec.Raw(b'{"signature":"EqoB"}'))
    events = [
        PartStart(0, Thinking()),
        Delta(0, "Hm"),
        PartEnd(0, carry),
        PartStart(1, CALL),
        Delta(1, "{}"),
        PartEnd(1),
        Finish(FinishReason.TOOL_CALLS),
    ]
    items = last_response(written(events, wire), wire)["output"]
    body = {"model": "m", "input": [{"role": "user", "content": "x"}, *items]}
    assert wire.request(body).turns[1].parts[0] == Thinking("Hm", carry=carry)


def test_a_signature_at_the_end_of_a_text_follows_it(wire: Any) -> None:
    carry = Carry(GEMINI, msgspec.Raw(b'{"thoughtSignature":"g"}'))
    events = [PartStart(0, Text("")), Delta(0, "Hi"), PartEnd(0, carry), Finish(FinishReason.END)]
    items = last_response(written(events, wire), wire)["output"]
    parts = wire.request({"model": "m", "input": items}).turns[0].parts
    assert (parts[0].text, parts[1]) == ("Hi", Thinking("", carry=carry))


def test_custom_tools_have_words_of_their_own(wire: Any) -> None:
    events = [
        PartStart(0, ToolCall("c1", "patch", kind="custom", namespace="fs")),
        Delta(0, "*"),
        PartEnd(0),
        Finish(FinishReason.TOOL_CALLS),
    ]
    told = wire.told(written(events, wire))
    assert [one["type"] for one in told[3:5]] == [
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
    ]
    assert (told[5]["item"]["input"], told[5]["item"]["namespace"]) == ("*", "fs")


def test_a_call_without_arguments_has_an_empty_object(wire: Any) -> None:
    told = wire.told(written([PartStart(0, CALL), PartEnd(0), Finish(FinishReason.TOOL_CALLS)], wire))
    assert [one.get("delta") or one.get("arguments") for one in told[3:5]] == ["{}", "{}"]
    assert told[-1]["response"]["output"][0]["arguments"] == "{}"


def test_log_probabilities_and_citations_are_in_deltas_and_items(wire: Any) -> None:
    events = [
        PartStart(0, Text("")), Delta(0, "Hi", (Logprob("Hi", -0.1),)), Cited(0, Citation(url="https://acme.example", title="Acme", start=0, end=2)),
        PartEnd(0), Finish(FinishReason.END),
    ]  # fmt: skip
    again = fold(wire.events(written(events, wire))).candidates[0].parts[0]
    assert (again.logprobs[0].logprob, again.citations[0].title) == (-0.1, "Acme")


def test_the_cost_stands_in_the_last_event(wire: Any) -> None:
    writer = codec.stream_writer(wire.answering())
    stream = b"".join([*map(writer.feed, TOLD), writer.end(Bill(b"0.5"))])
    last = last_response(stream, wire)
    assert (last["usage"]["cost"], last["service_tier"]) == (0.5, "flex")
    assert json.loads(writer.body) == last


# Ends that are none


def test_an_error_in_the_middle_is_a_failed_response(wire: Any) -> None:
    writer = codec.stream_writer(wire.answering())
    stream = b"".join(map(writer.feed, TOLD[:7])) + writer.fail(RateLimited("Slow down."))
    told = wire.told(stream)
    assert (told[-1]["type"], told[-1]["sequence_number"]) == ("response.failed", len(told) - 1)
    assert told[-1]["response"]["error"]["code"] == "rate_limit_exceeded"
    assert told[-1]["response"]["error"]["message"] == "Slow down."
    assert [item["type"] for item in told[-1]["response"]["output"]] == ["reasoning"]


def test_an_error_before_the_beginning_has_one(wire: Any) -> None:
    told = wire.told(codec.stream_writer(wire.answering()).fail(Overloaded("Busy.")))
    assert [one["type"] for one in told] == ["response.created", "response.in_progress", "response.failed"]


def test_an_error_that_is_written_is_read(wire: Any) -> None:
    events = wire.events(codec.stream_writer(wire.answering()).fail(RateLimited("Slow down.")))
    assert isinstance(events[-1], Failed)
    assert (events[-1].status, events[-1].fault.message) == (429, "Slow down.")


def test_errors_of_providers_end_the_stream(wire: Any) -> None:
    for name, status in (("error_event", 500), ("failed", 429), ("chat_shaped_error", 503)):
        failed = wire.events((wire.golden / "streams" / f"{name}.sse").read_bytes())[-1]
        assert isinstance(failed, Failed)
        assert failed.status == status
        assert failed.fault.message


def test_a_stream_that_was_cut_has_no_finish(wire: Any) -> None:
    events = wire.events((wire.golden / "streams" / "cut_off.sse").read_bytes())
    assert not any(isinstance(event, Finish) for event in events)


def test_the_reader_knows_the_protocols_own_end(wire: Any) -> None:
    reader = codec.stream_reader(wire.target)
    reader.feed(b'event: response.created\ndata: {"type":"response.created","response":{"id":"r"}}\n\n')
    assert not reader.done
    reader.feed(
        b'event: response.completed\ndata: {"type":"response.completed","response":{"id":"r","status":"completed","output":[]}}\n\n'
    )
    assert reader.done


def test_arguments_without_deltas_do_not_wait_for_the_end(wire: Any) -> None:
    stream = (wire.golden / "streams" / "without_item_done.sse").read_bytes()
    before, _, _ = stream.partition(b"event: response.completed")
    assert [event.text for event in wire.events(before) if isinstance(event, Delta)][-1] == '{"city":"Paris"}'


@pytest.mark.parametrize(
    "event",
    [
        b"data: nonsense\n\n",
        b"data: [1]\n\n",
        b'data: {"delta":"x"}\n\n',
        b'data: {"type":"response.created","response":3}\n\n',
        b"data: \xff\n\n",
    ],
)
def test_what_is_no_event_is_marked(event: bytes, wire: Any) -> None:
    with pytest.raises(UNREADABLE):
        codec.stream_reader(wire.target).feed(event)


def test_keepalives_of_ours_are_skipped_by_readers(wire: Any) -> None:
    assert wire.events(codec.keepalive(wire.answering())) == []


def test_an_answer_becomes_a_stream_for_a_provider_that_has_none(wire: Any) -> None:
    response = Response(
        candidates=(Candidate((Text("Hi"), ToolCall("c1", "f", "{}")), FinishReason.TOOL_CALLS, "completed"),),
        usage=Usage(output_tokens=2),
    )
    again = fold(wire.events(written(list(unfold(response)), wire)))
    assert (again.candidates, again.usage) == (response.candidates, response.usage)


@pytest.mark.parametrize("kind", ["failed", "incomplete"])
def test_what_a_failed_answer_used_is_told_before_its_fault(kind: str, wire: Any) -> None:
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    error = {"code": "server_error", "message": "Sorry"}
    response = {"id": "r", "status": kind, "output": [], "error": error, "usage": usage}
    told = json.dumps({"type": f"response.{kind}", "response": response}).encode()
    start, seen, failed = wire.events(b"event: response.%b\ndata: %b\n\n" % (kind.encode(), told))
    assert isinstance(start, Start)
    assert isinstance(seen, UsageSeen)
    assert isinstance(failed, Failed)
    assert (seen.usage, json.loads(bytes(seen.raw))) == (Usage(input_tokens=7, output_tokens=3), usage)

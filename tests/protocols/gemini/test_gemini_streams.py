"""Streams, read and written."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trunkline.errors import Overloaded
from trunkline.ir.events import Delta, Event, Failed, Finish, PartEnd, PartStart, Start, UsageSeen
from trunkline.ir.fold import fold
from trunkline.ir.parts import Text, Thinking, ToolCall
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.codec import AnswerContext, Bill, Target
from trunkline.protocols.gemini import codec
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.protocols.sse import Framer, events

NO_BILL = Bill()


def read(chunks: Iterator[bytes], target: Target) -> list[Event]:
    framer, reader, found = Framer(), codec.stream_reader(target), []
    for chunk in chunks:
        for event in events(framer.feed(chunk)):
            found += reader.feed(event)
    return found + reader.end()


def cut(body: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    at = 0
    for size in sizes:
        if at >= len(body):
            return
        yield body[at : at + size]
        at += size


def ones() -> Iterator[int]:
    while True:
        yield 1


def at_random(seed: int) -> Iterator[int]:
    chance = random.Random(seed)
    while True:
        yield chance.randint(1, 90)


def written(found: list[Event], context: AnswerContext) -> list[bytes]:
    writer = codec.stream_writer(context)
    pieces = [writer.feed(event) for event in found if not isinstance(event, Failed)]
    return [piece for piece in pieces if piece] + [writer.end(NO_BILL)]


def bare(answer: Response) -> Response:
    """Without what a stream has no place for, or counts anew."""
    return msgspec.structs.replace(answer, carry=None, raw_usage=msgspec.Raw(b"null"))


def late(answer: Response) -> Response:
    """With signatures at the end of texts on an empty part of their own, where a stream can only write them."""

    def split(part: Any) -> tuple[Any, ...]:
        if not isinstance(part, Text | Thinking) or part.carry is None or not part.text:
            return (part,)
        return msgspec.structs.replace(part, carry=None), type(part)("", carry=part.carry)

    candidates = tuple(
        msgspec.structs.replace(candidate, parts=tuple(piece for part in candidate.parts for piece in split(part)))
        for candidate in answer.candidates
    )
    return msgspec.structs.replace(answer, candidates=candidates)


def test_a_stream_reads_the_same_however_it_is_cut(stream_file: Path, offer: Callable[..., Target]) -> None:
    body = stream_file.read_bytes()
    whole = read(iter([body]), offer())
    assert read(cut(body, ones()), offer()) == whole
    for seed in range(3):
        assert read(cut(body, at_random(seed)), offer()) == whole


def test_a_stream_amounts_to_the_answer(stream_file: Path, offer: Callable[..., Target]) -> None:
    answer_file = stream_file.parents[1] / "answers" / f"{stream_file.stem}.json"
    if answer_file.exists():
        streamed = fold(read(iter([stream_file.read_bytes()]), offer()))
        assert bare(streamed) == bare(codec.read_response(answer_file.read_bytes(), offer()))


def test_a_stream_that_is_written_amounts_to_the_same_answer(
    stream_file: Path, offer: Callable[..., Target], answering: Callable[..., AnswerContext]
) -> None:
    found = read(iter([stream_file.read_bytes()]), offer())
    again = read(iter(written(found, answering())), offer())
    # Google's count of searches is in metadata that are not written again, and why a stream failed is told by `fail`.
    expected = msgspec.structs.replace(bare(fold(found)), fault=None)
    expected, again_read = late(expected), late(bare(fold(again)))
    if expected.usage is not None:
        expected = msgspec.structs.replace(expected, usage=msgspec.structs.replace(expected.usage, web_searches=0))
    assert again_read == expected


def test_events_come_in_the_order_of_the_contract(stream_file: Path, offer: Callable[..., Target]) -> None:
    started: list[int] = []
    ended: list[int] = []
    finished: list[int] = []
    for event in read(iter([stream_file.read_bytes()]), offer()):
        if isinstance(event, PartStart):
            assert event.choice not in finished
            started.append(event.index)
        elif isinstance(event, PartEnd):
            ended.append(event.index)
        elif isinstance(event, Delta):
            assert event.index in started
            assert event.index not in ended
        elif isinstance(event, Finish):
            finished.append(event.choice)
    assert started == sorted(set(started))
    failed = stream_file.stem == "error_inside"
    assert sorted(ended) == ([] if failed else started)


def data(piece: bytes) -> Any:
    assert piece.startswith(b"data: {")
    assert piece.endswith(b"}\n\n")
    assert piece.count(b"\n") == 2
    return json.loads(piece[6:])


def parts(piece: bytes) -> Any:
    return data(piece)["candidates"][0]["content"]["parts"]


def test_each_delta_is_on_the_wire_at_once(answering: Callable[..., AnswerContext]) -> None:
    writer = codec.stream_writer(answering())
    assert writer.feed(Start("x", "their-model", 5)) == b""
    writer.feed(PartStart(0, Thinking()))
    assert parts(writer.feed(Delta(0, "hm"))) == [{"text": "hm", "thought": True}]
    writer.feed(PartEnd(0))
    writer.feed(PartStart(1, Text("")))
    first = writer.feed(Delta(1, "Hi \u2028\n"))
    assert data(first) == {
        "candidates": [{"content": {"parts": [{"text": "Hi \u2028\n"}], "role": "model"}, "index": 0}],
        "modelVersion": "gemini-3-flash",
        "responseId": "r1",
    }


def test_thoughts_that_were_not_asked_for_are_not_written(answering: Callable[..., AnswerContext]) -> None:
    writer = codec.stream_writer(answering(None))
    assert b"".join(map(writer.feed, (PartStart(0, Thinking()), Delta(0, "hm"), PartEnd(0)))) == b""


def test_calls_whose_pieces_interleave_come_whole(answering: Callable[..., AnswerContext]) -> None:
    writer = codec.stream_writer(answering())
    for event in (PartStart(0, ToolCall("a", "f")), PartStart(1, ToolCall("b", "g"))):
        assert writer.feed(event) == b""
    for event in (Delta(0, '{"x"'), Delta(1, "{}"), Delta(0, ":1}")):
        assert writer.feed(event) == b""
    assert parts(writer.feed(PartEnd(1))) == [{"functionCall": {"id": "b", "name": "g", "args": {}}}]
    assert parts(writer.feed(PartEnd(0))) == [{"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}}]


def test_arguments_on_several_lines_are_one_event(answering: Callable[..., AnswerContext]) -> None:
    writer = codec.stream_writer(answering())
    for event in (PartStart(0, ToolCall("a", "f")), Delta(0, '{\r\n "x": "a\\nb"\n}')):
        writer.feed(event)
    assert parts(writer.feed(PartEnd(0))) == [{"functionCall": {"id": "a", "name": "f", "args": {"x": "a\nb"}}}]


def end_of_one(context: AnswerContext, bill: Bill) -> Any:
    writer = codec.stream_writer(context)
    for event in (PartStart(0, Text("")), Delta(0, "a"), PartEnd(0), Finish(FinishReason.LENGTH, "length")):
        writer.feed(event)
    writer.feed(UsageSeen(Usage(input_tokens=3, output_tokens=2, reasoning_tokens=5), msgspec.Raw(b"{}")))
    return writer.end(bill)


def test_the_last_event_has_reason_usage_and_cost(answering: Callable[..., AnswerContext]) -> None:
    assert data(end_of_one(answering(), Bill(b"0.5", b"{}"))) == {
        "candidates": [
            {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}
        ],
        "usageMetadata": {
            "promptTokenCount": 3,
            "candidatesTokenCount": 2,
            "totalTokenCount": 10,
            "thoughtsTokenCount": 5,
            "cost": 0.5,
            "costDetails": {},
        },
        "modelVersion": "gemini-3-flash",
        "responseId": "r1",
    }


def test_without_sse_a_stream_is_one_json_array(
    stream_file: Path, offer: Callable[..., Target], answering: Callable[..., AnswerContext]
) -> None:
    found = read(iter([stream_file.read_bytes()]), offer())
    keepalive = codec.keepalive(answering(array=True))
    body = b"".join(keepalive + piece for piece in written(found, answering(array=True)))
    plain = [json.loads(piece[6:]) for piece in written(found, answering())]
    assert json.loads(body) == plain


def test_an_error_ends_the_stream_in_its_own_event(answering: Callable[..., AnswerContext]) -> None:
    writer = codec.stream_writer(answering())
    writer.feed(PartStart(0, Text("")))
    writer.feed(Delta(0, "a"))
    error = data(writer.fail(Overloaded("busy", retry_after_s=3)))["error"]
    assert (error["code"], error["status"], error["message"]) == (503, "UNAVAILABLE", "busy")


def test_an_error_closes_the_array_begun_or_not(answering: Callable[..., AnswerContext]) -> None:
    assert json.loads(codec.stream_writer(answering(array=True)).fail(Overloaded("busy")))[0]["error"]["code"] == 503
    writer = codec.stream_writer(answering(array=True))
    begun = writer.feed(PartStart(0, Text("a")))
    assert json.loads(begun + writer.fail(Overloaded("busy")))[1]["error"]["code"] == 503


def test_an_upstream_error_inside_ends_the_reading(offer: Callable[..., Target]) -> None:
    reader = codec.stream_reader(offer())
    failed = reader.feed(b'data: {"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}\n\n')
    assert isinstance(failed[0], Failed)
    assert (failed[0].status, failed[0].fault.message) == (429, "slow down")
    assert reader.done
    assert reader.end() == []


def test_a_cut_stream_has_no_finish_but_its_usage(offer: Callable[..., Target]) -> None:
    found = read(
        iter(
            [b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":2}}\n\n']
        ),
        offer(),
    )
    assert not any(isinstance(event, Finish) for event in found)
    assert fold(found).usage == Usage(input_tokens=2)
    assert fold(found).candidates == (Candidate((Text("a"),)),)


def test_a_blocked_prompt_is_written_as_one(answering: Callable[..., AnswerContext]) -> None:
    writer = codec.stream_writer(answering())
    writer.feed(Finish(FinishReason.CONTENT_FILTER, "promptFeedback.SAFETY"))
    assert data(writer.end(NO_BILL))["promptFeedback"] == {"blockReason": "SAFETY"}


@pytest.mark.parametrize("silent", [b": comment\n\n", b"\r\n\r\n", b"data: \n\n"])
def test_what_keeps_a_stream_open_is_no_event(silent: bytes, offer: Callable[..., Target]) -> None:
    assert codec.stream_reader(offer()).feed(silent) == []


@pytest.mark.parametrize(
    "broken", [b"data: {\n\n", b"data: [1]\n\n", b"data: \xff\n\n", b'data: {"candidates":[5]}\n\n']
)
def test_what_is_no_event_of_the_protocol_is_told(broken: bytes, offer: Callable[..., Target]) -> None:
    with pytest.raises(UNREADABLE):
        codec.stream_reader(offer()).feed(broken)

"""What Converse answers: whole and in frames the same, as botocore reads it, however the bytes are cut."""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.protocols.test_matrix import GOLDEN
from trunkline.ir.events import Delta, Event, Failed, Finish, PartStart, UsageSeen
from trunkline.ir.fold import fold
from trunkline.ir.parts import Citation, Media, Opaque, Text, Thinking, ToolCall
from trunkline.ir.response import FinishReason, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.bedrock_converse.codec import read_fault, read_response, read_usage, stream_reader
from trunkline.protocols.codec import CONVERSE, Target
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.protocols.sse import Framer, data_of, events
from trunkline.providers.eventstream import BedrockEvents

FOLDER = GOLDEN / "bedrock_converse"
VECTORS = json.loads((Path(__file__).parent / "converse.json").read_text())
ANSWERS = {path.stem: path.read_bytes() for path in sorted((FOLDER / "answers").iterdir())}
STREAMS = {path.stem: path.read_bytes() for path in sorted((FOLDER / "streams").iterdir())}
TARGET = Target(protocol=CONVERSE, upstream_model="m", dialect="bedrock")


def answer(name: str) -> Response:
    return read_response(ANSWERS[name], TARGET)


def pieces_of(data: bytes) -> list[list[bytes]]:
    rng = random.Random(5)
    places = [0, *sorted(rng.sample(range(len(data)), min(12, len(data) - 1))), len(data)]
    single = [data[at : at + 1] for at in range(len(data))]
    return [[data], single, [data[a:b] for a, b in itertools.pairwise(places)]]


def read(pieces: list[bytes]) -> list[Event]:
    reader, framer = stream_reader(TARGET), Framer()
    found = [
        event
        for piece in pieces
        if (block := framer.feed(piece))
        for one in events(block)
        for event in reader.feed(one)
    ]
    return [*found, *reader.end()]


def comparable(response: Response) -> Any:
    """Raw counts are told apart only by blanks."""
    return json.loads(msgspec.json.encode(msgspec.structs.replace(response, raw_usage=msgspec.Raw(b"null"))))


@pytest.mark.parametrize("name", list(ANSWERS))
def test_botocore_reads_of_an_answer_what_stands_there(name: str) -> None:
    """The fixtures are of Amazon's shape: nothing in them is unknown to it, but for what it has no model of."""
    told = json.loads(ANSWERS[name])
    assert VECTORS["answers"][name] == told


@pytest.mark.parametrize("name", list(STREAMS))
def test_frames_become_the_events_that_botocore_reads(name: str) -> None:
    frames = bytes.fromhex(VECTORS["streams"][name]["frames"])
    for pieces in pieces_of(frames):
        made = BedrockEvents()
        sse = b"".join(map(made.feed, pieces))
        assert not made.cut
        assert [shown(json.loads(data_of(one) or b"")) for one in events(sse)] == [
            without_filling(event) for event in VECTORS["streams"][name]["events"]
        ]
        assert read([sse]) == read([STREAMS[name]])


def shown(told: dict[str, Any]) -> dict[str, Any]:
    if "exception" in told:
        return {"exception": told["exception"], "message": told["error"]["message"]}
    return without_filling(told)


def without_filling(told: dict[str, Any]) -> dict[str, Any]:
    """`p` is there for its length alone."""
    return {
        name: {key: one for key, one in value.items() if key != "p"} if isinstance(value, dict) else value
        for name, value in told.items()
    }


@pytest.mark.parametrize("name", list(STREAMS))
def test_a_stream_is_the_same_however_it_is_cut(name: str) -> None:
    whole, single, random_ones = (read(pieces) for pieces in pieces_of(STREAMS[name]))
    assert whole == single == random_ones


@pytest.mark.parametrize("name", sorted(set(STREAMS) & set(ANSWERS) - {"server_tool", "guardrail_intervened"}))
def test_a_stream_put_together_is_the_answer(name: str) -> None:
    folded = fold(read([STREAMS[name]]))
    assert comparable(folded) == comparable(answer(name))


def test_text_calls_and_reasoning_become_parts() -> None:
    (candidate,) = answer("reasoning_then_tool_use").candidates
    thinking, call = candidate.parts
    assert isinstance(thinking, Thinking)
    assert thinking.carry is not None
    assert (thinking.text, thinking.carry.origin, bytes(thinking.carry.data)) == (
        "I need the song.",
        "bedrock.converse/bedrock",
        b'{"signature":"c2lnbmF0dXJl"}',
    )
    assert call == ToolCall("tooluse_kZJMlvQmRJ6eAyJE5GIl7A", "top_song", '{"sign": "WZPZ"}')
    assert candidate.finish is FinishReason.TOOL_CALLS


@pytest.mark.parametrize(
    ("name", "finish"),
    [
        ("text", FinishReason.END),
        ("max_tokens", FinishReason.LENGTH),
        ("stop_sequence", FinishReason.STOP_SEQUENCE),
        ("guardrail_intervened", FinishReason.CONTENT_FILTER),
        ("content_filtered", FinishReason.CONTENT_FILTER),
        ("context_full", FinishReason.CONTEXT_FULL),
        ("malformed_tool_use", FinishReason.BROKEN_TOOL_CALL),
        ("malformed_output", FinishReason.OTHER),
        ("tool_use_that_says_it_is_done", FinishReason.TOOL_CALLS),
    ],
)
def test_why_it_ended(name: str, finish: FinishReason) -> None:
    assert answer(name).candidates[0].finish is finish


def test_which_stop_word_was_hit_is_known_where_the_model_tells_it() -> None:
    assert answer("stop_sequence").candidates[0].stop_sequence == "three"
    assert answer("stop_sequence_unnamed").candidates[0].stop_sequence is None
    (finish,) = [event for event in read([STREAMS["stop_sequence"]]) if isinstance(event, Finish)]
    assert finish.stop_sequence == "three"


def test_usage_is_in_buckets_that_do_not_overlap() -> None:
    assert answer("cache_read_and_written").usage == Usage(
        input_tokens=4, cache_read_tokens=4000, cache_write_5m_tokens=1000, cache_write_1h_tokens=20, output_tokens=12
    )
    assert answer("cache_written_of_unknown_life").usage == Usage(
        input_tokens=4, cache_write_tokens=1020, output_tokens=12
    )
    with pytest.raises(UNREADABLE):
        read_usage(b'{"inputTokens":-1}')


def test_counts_that_make_no_sense_are_not_worth_an_answer() -> None:
    broken = ANSWERS["text"].replace(b'"inputTokens": 30', b'"inputTokens": "many"')
    assert read_response(broken, TARGET).usage is None
    assert not [
        event
        for event in read([STREAMS["text"].replace(b'"inputTokens": 30', b'"inputTokens": -3')])
        if isinstance(event, UsageSeen)
    ]


def test_the_tier_that_served_is_told() -> None:
    assert answer("service_tier").service_tier == "flex"
    assert [event.service_tier for event in read([STREAMS["service_tier"]]) if isinstance(event, UsageSeen)] == ["flex"]


def test_citations_belong_to_their_text() -> None:
    (text,) = answer("citations").candidates[0].parts
    assert text == Text("Sales rose.", (Citation(url="report.pdf", title="Report", quote="Sales rose by 3 %."),))
    (web,) = answer("web_citation").candidates[0].parts
    assert isinstance(web, Text)
    assert web.citations[0].url == "https://weather.example/bath"


def test_images_and_what_is_not_known_are_kept() -> None:
    image, _ = answer("image").candidates[0].parts
    assert isinstance(image, Media)
    assert (image.mime, bytes(image.data or b"")) == ("image/png", b"iVBORw0KGgo=")
    use, result, _ = answer("server_tool").candidates[0].parts
    assert isinstance(use, Opaque)
    assert isinstance(result, Opaque)
    assert (use.kind, result.kind) == ("toolUse", "toolResult")


def test_arguments_are_passed_on_as_they_come() -> None:
    found = read([STREAMS["two_tool_uses"]])
    assert [event.text for event in found if isinstance(event, Delta)] == [
        '{"sign": "WZPZ"}',
        '{"sign": "KEXP",',
        ' "n": [1, 2.5, null]}',
    ]
    assert [event.index for event in found if isinstance(event, PartStart)] == [0, 1]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    assert [event.text for event in read([STREAMS["tool_use_without_input"]]) if isinstance(event, Delta)] == ["{}"]


def test_redacted_reasoning_in_pieces_is_one() -> None:
    piece = '{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"reasoningContent":{"redactedContent":"%s"}}}}'
    stop = b'data: {"contentBlockStop":{"contentBlockIndex":0}}\n\n'
    sse = b"".join(b"data: %b\n\n" % (piece % one).encode() for one in ("YQ==", "Yg==")) + stop
    started = read([sse])[0]
    assert isinstance(started, PartStart)
    assert isinstance(started.part, Thinking)
    assert started.part.carry is not None
    assert bytes(started.part.carry.data) == b'{"redactedContent":"YWI="}'


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("throttled_at_once", 429, "Too many requests"),
        ("broken_in_the_middle", 424, "unexpected error"),
        ("unavailable", 503, "unable to process"),
    ],
)
def test_an_exception_in_the_stream_is_a_failure_with_its_status(name: str, status: int, words: str) -> None:
    last = read([STREAMS[name]])[-1]
    assert isinstance(last, Failed)
    assert (last.status, words in last.fault.message) == (status, True)


def test_a_stream_that_was_cut_has_no_finish() -> None:
    assert not [event for event in read([STREAMS["cut"]]) if isinstance(event, Finish)]
    reader = stream_reader(TARGET)
    for one in events(STREAMS["text"]):
        reader.feed(one)
    assert reader.done


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"output":{}}', b'{"output":{"message":{"content":[{"text":5}]}}}']
)
def test_what_is_no_answer_cannot_be_read(body: bytes) -> None:
    with pytest.raises(UNREADABLE):
        read_response(body, TARGET)


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"contentBlockDelta":5}'])
def test_what_is_no_event_cannot_be_read(body: bytes) -> None:
    with pytest.raises(UNREADABLE):
        stream_reader(TARGET).feed(b"data: %b\n\n" % body)


@pytest.mark.parametrize("path", sorted((FOLDER / "errors").iterdir()), ids=lambda path: path.stem)
def test_an_error_has_the_providers_words(path: Path) -> None:
    fault = read_fault(path.read_bytes())
    told = json.loads(path.read_text())
    assert fault.message == (told.get("message") or told.get("Message") or "")
    assert fault.type == ("UnrecognizedClientException" if path.stem == "typed" else "")


def test_a_page_of_a_proxy_is_no_words() -> None:
    assert read_fault(b"<html>").message == ""

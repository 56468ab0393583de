"""Whole answers, read and written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trunkline.ir.parts import Carry, Citation, Refusal, Text, Thinking, ToolCall, ToolResult
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.codec import AnswerContext, Bill, Target
from trunkline.protocols.gemini import codec
from trunkline.protocols.rawjson import UNREADABLE

NO_BILL = Bill()


def test_an_answer_is_the_same_after_reading_and_writing(
    answer_file: Path,
    expected: Callable[[Path], Any],
    offer: Callable[..., Target],
    answering: Callable[..., AnswerContext],
) -> None:
    answer = codec.read_response(answer_file.read_bytes(), offer())
    assert json.loads(codec.write_response(answer, answering(), NO_BILL)) == expected(answer_file)


def read(offer: Target, **candidate: Any) -> Response:
    return codec.read_response(json.dumps({"candidates": [candidate]}).encode(), offer)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", FinishReason.END),
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("RECITATION", FinishReason.CONTENT_FILTER),
        ("PROHIBITED_CONTENT", FinishReason.CONTENT_FILTER),
        ("MALFORMED_FUNCTION_CALL", FinishReason.BROKEN_TOOL_CALL),
        ("OTHER", FinishReason.OTHER),
        ("A_WORD_OF_TOMORROW", FinishReason.OTHER),
    ],
)
def test_every_word_for_the_end_has_a_reason(word: str, reason: FinishReason, offer: Callable[..., Target]) -> None:
    candidate = read(offer(), finishReason=word).candidates[0]
    assert (candidate.finish, candidate.native_finish) == (reason, word)


def test_an_answer_that_calls_waits_for_tools(offer: Callable[..., Target]) -> None:
    call = {"functionCall": {"name": "f"}}
    candidate = read(offer(), finishReason="STOP", content={"parts": [call, call]}).candidates[0]
    assert candidate.finish is FinishReason.TOOL_CALLS
    assert candidate.parts == (ToolCall("call_1_1", "f", "{}"), ToolCall("call_1_2", "f", "{}"))


def test_signatures_are_carried_with_the_offers_dialect(offer: Callable[..., Target]) -> None:
    target = msgspec.structs.replace(offer(), dialect="vertex")
    part = read(target, content={"parts": [{"text": "a", "thoughtSignature": "cw=="}]}).candidates[0].parts[0]
    assert part == Text("a", carry=Carry("gemini/vertex", msgspec.Raw(b'{"thoughtSignature":"cw=="}')))


def test_bytes_of_a_citation_become_characters_and_bytes_again(
    offer: Callable[..., Target], answering: Callable[..., AnswerContext]
) -> None:
    cited = Citation(url="https://acme.example/", title="A", quote="Zürich.", start=2, end=9)
    answer = Response(candidates=(Candidate((Text("é Zürich.", (cited,)),), FinishReason.END),))
    written = json.loads(codec.write_response(answer, answering(), NO_BILL))
    support = written["candidates"][0]["groundingMetadata"]["groundingSupports"][0]
    assert support["segment"] == {"startIndex": 3, "endIndex": 11, "text": "Zürich."}
    again = codec.read_response(json.dumps(written).encode(), offer())
    assert again.candidates[0].parts[0] == Text("é Zürich.", (cited,))


def test_searches_of_other_vendors_show_as_sources_and_never_as_calls(answering: Callable[..., AnswerContext]) -> None:
    found = Citation(url="https://acme.example/", title="A")
    parts = (
        ToolCall("s1", "web_search", "{}", kind="server"),
        ToolResult("s1", "web_search", sources=(found,), kind="server"),
        Text("b"),
    )
    answer = Response(candidates=(Candidate(parts, FinishReason.END),))
    candidate = json.loads(codec.write_response(answer, answering(), NO_BILL))["candidates"][0]
    assert candidate["content"]["parts"] == [{"text": "b"}]
    assert candidate["groundingMetadata"] == {
        "groundingChunks": [{"web": {"uri": "https://acme.example/", "title": "A"}}]
    }


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (FinishReason.TOOL_CALLS, "STOP"),
        (FinishReason.STOP_SEQUENCE, "STOP"),
        (FinishReason.CONTEXT_FULL, "MAX_TOKENS"),
        (FinishReason.REFUSAL, "SAFETY"),
        (FinishReason.PAUSED, "OTHER"),
    ],
)
def test_reasons_of_other_vendors_have_words_of_googles(
    reason: FinishReason, word: str, answering: Callable[..., AnswerContext]
) -> None:
    answer = Response(candidates=(Candidate((Refusal("No."),), reason, "their_word"),))
    candidate = json.loads(codec.write_response(answer, answering(), NO_BILL))["candidates"][0]
    assert (candidate["finishReason"], candidate["content"]["parts"]) == (word, [{"text": "No."}])


def test_thoughts_are_shown_to_whoever_asked(answering: Callable[..., AnswerContext]) -> None:
    answer = Response(candidates=(Candidate((Thinking("hm"), Text("a")), FinishReason.END),))

    def parts(shown: bool | None) -> Any:
        return json.loads(codec.write_response(answer, answering(shown), NO_BILL))["candidates"][0]["content"]["parts"]

    assert parts(True) == [{"text": "hm", "thought": True}, {"text": "a"}]
    assert parts(None) == parts(False) == [{"text": "a"}]


def test_the_cost_stands_in_the_usage(answering: Callable[..., AnswerContext]) -> None:
    answer = Response(candidates=(Candidate((Text("a"),), FinishReason.END),), usage=Usage(input_tokens=3))
    written = json.loads(codec.write_response(answer, answering(), Bill(b"0.25", b'{"prompt":0.25}')))
    assert written["usageMetadata"]["cost"] == 0.25
    assert written["usageMetadata"]["costDetails"] == {"prompt": 0.25}
    assert (written["modelVersion"], written["responseId"]) == ("gemini-3-flash", "r1")


def test_arguments_that_are_no_object_still_make_a_call(answering: Callable[..., AnswerContext]) -> None:
    answer = Response(candidates=(Candidate((ToolCall("c", "f", '{"a":'),), FinishReason.TOOL_CALLS),))
    part = json.loads(codec.write_response(answer, answering(), NO_BILL))["candidates"][0]["content"]["parts"][0]
    assert part["functionCall"] == {"id": "c", "name": "f", "args": {"arguments": '{"a":'}}


def test_free_text_of_a_custom_tool_is_one_argument(answering: Callable[..., AnswerContext]) -> None:
    answer = Response(
        candidates=(Candidate((ToolCall("c", "f", "print(1)", kind="custom"),), FinishReason.TOOL_CALLS),)
    )
    part = json.loads(codec.write_response(answer, answering(), NO_BILL))["candidates"][0]["content"]["parts"][0]
    assert part["functionCall"]["args"] == {"input": "print(1)"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"candidates":5}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":5}]}}]}',
        b'{"candidates":[],"usageMetadata":{"promptTokenCount":-1}}',
        b'{"candidates":[{"content":{"parts":[{"text":"\xff"}]}}]}',
    ],
)
def test_what_is_no_answer_is_not_read(body: bytes, offer: Callable[..., Target]) -> None:
    with pytest.raises(UNREADABLE):
        codec.read_response(body, offer())


def test_an_error_with_status_200_is_told(offer: Callable[..., Target]) -> None:
    answer = codec.read_response(b'{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}', offer())
    assert answer.fault is not None
    assert (answer.fault.message, answer.fault.type) == ("busy", "UNAVAILABLE")

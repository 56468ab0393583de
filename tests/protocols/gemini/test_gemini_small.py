"""Usage, errors, countTokens and the list of models."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import (
    AccessDenied,
    InsufficientCredit,
    InvalidModel,
    InvalidParams,
    Overloaded,
    RateLimited,
    RequestError,
)
from trunkline.ir.usage import Usage
from trunkline.protocols.codec import AnswerContext, RequestContext, Target
from trunkline.protocols.gemini import codec, count
from trunkline.protocols.gemini.usage import tier_of
from trunkline.protocols.rawjson import UNREADABLE


def usage(**counts: Any) -> Usage:
    return codec.read_usage(json.dumps(counts).encode())


def test_cached_tokens_are_part_of_the_prompt_and_thoughts_beside_the_candidates() -> None:
    found = usage(
        promptTokenCount=1000,
        cachedContentTokenCount=900,
        candidatesTokenCount=5,
        thoughtsTokenCount=70,
        totalTokenCount=1075,
    )
    assert found == Usage(input_tokens=100, cache_read_tokens=900, output_tokens=5, reasoning_tokens=70)
    assert (found.total_input_tokens, found.total_output_tokens) == (1000, 75)


def test_what_tools_brought_in_is_input_beside_the_prompt() -> None:
    found = usage(promptTokenCount=10, toolUsePromptTokenCount=90, candidatesTokenCount=1, totalTokenCount=101)
    assert found == Usage(input_tokens=100, output_tokens=1)


def test_thoughts_within_the_candidates_are_told_by_the_total() -> None:
    found = usage(promptTokenCount=10, candidatesTokenCount=80, thoughtsTokenCount=70, totalTokenCount=90)
    assert found == Usage(input_tokens=10, output_tokens=10, reasoning_tokens=70)


def test_sound_and_pictures_have_buckets_of_their_own_without_what_was_cached() -> None:
    modality = lambda kind, n: {"modality": kind, "tokenCount": n}  # noqa: E731
    found = usage(
        promptTokenCount=500,
        cachedContentTokenCount=150,
        promptTokensDetails=[modality("TEXT", 100), modality("AUDIO", 300), modality("IMAGE", 100)],
        cacheTokensDetails=[modality("AUDIO", 100), modality("TEXT", 50)],
        candidatesTokenCount=1300,
        candidatesTokensDetails=[modality("IMAGE", 1290)],
    )
    assert found == Usage(
        input_tokens=50,
        cache_read_tokens=150,
        input_audio_tokens=200,
        input_image_tokens=100,
        output_tokens=10,
        output_image_tokens=1290,
    )


def test_numbers_may_be_text_null_or_missing() -> None:
    assert usage(promptTokenCount="7", candidatesTokenCount=None) == Usage(input_tokens=7)
    with pytest.raises(UNREADABLE):
        usage(promptTokenCount=[])


def test_the_traffic_type_is_the_tier() -> None:
    assert tier_of(b'{"trafficType":"ON_DEMAND_PRIORITY"}') == "priority"
    assert tier_of(b'{"trafficType":"PROVISIONED_THROUGHPUT"}') == tier_of(b"{}") == ""


counts = st.integers(0, 10**6)


@given(st.builds(Usage, input_tokens=counts, cache_read_tokens=counts, input_audio_tokens=counts, input_image_tokens=counts,
                 output_tokens=counts, reasoning_tokens=counts, output_audio_tokens=counts, output_image_tokens=counts,
                 cache_write_5m_tokens=counts, web_searches=counts))  # fmt: skip
def test_usage_reads_as_it_was_written_but_for_cache_writes_and_searches(made: Usage) -> None:
    expected = msgspec.structs.replace(
        made, input_tokens=made.input_tokens + made.cache_write_5m_tokens, cache_write_5m_tokens=0, web_searches=0
    )
    assert codec.read_usage(codec.write_usage(made)) == expected


def test_googles_words_are_read_from_its_errors(error_file: Path) -> None:
    fault = msgspec.structs.replace(codec.read_fault(error_file.read_bytes()), retry_after_s=None)
    assert msgspec.to_builtins(fault) == {"retry_after_s": None} | json.loads(
        error_file.with_suffix(".expected.json").read_text()
    )


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        ("27s", 27.0),
        ("0.5s", 0.5),
        ("3.123456789s", 3.123456789),
        ("soon", None),
        ("-1s", None),
        (27, None),
        (None, None),
    ],
)
def test_when_to_come_again_is_read_from_googles_details(delay: Any, seconds: float | None) -> None:
    detail = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "x", "reason": "R"}, detail]}
    assert codec.read_fault(json.dumps({"error": error}).encode()).retry_after_s == seconds


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"5", b"{}", b'{"error":null}'])
def test_what_has_no_words_is_an_empty_fault(body: bytes) -> None:
    assert codec.read_fault(body).message == ""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidParams("x"), "INVALID_ARGUMENT"),
        (AccessDenied("x"), "PERMISSION_DENIED"),
        (InsufficientCredit("x"), "FAILED_PRECONDITION"),
        (InvalidModel("x"), "NOT_FOUND"),
        (RateLimited("x"), "RESOURCE_EXHAUSTED"),
        (Overloaded("x"), "UNAVAILABLE"),
    ],
)
def test_our_errors_have_googles_shape(error: RequestError, status: str) -> None:
    found = json.loads(codec.error_body(error, "req_1"))["error"]
    assert (found["code"], found["status"], found["message"]) == (error.status, status, "x")
    assert (found["type"], found["request_id"]) == (error.type, "req_1")


def test_details_name_the_field_and_when_to_come_back() -> None:
    error = RateLimited("slow down", param="contents", retry_after_s=2.5)
    details = json.loads(codec.error_body(error, "req_1"))["error"]["details"]
    assert details[1]["fieldViolations"] == [{"field": "contents", "description": "slow down"}]
    assert details[2] == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2.5s"}
    assert codec.read_fault(codec.error_body(error, "req_1")).param == "contents"


def test_a_stream_is_kept_open_by_empty_lines(answering: Callable[..., AnswerContext]) -> None:
    assert codec.keepalive(answering()) == b"\r\n\r\n"


PLAIN = {"contents": [{"role": "user", "parts": [{"text": "a"}]}]}


@pytest.mark.parametrize(
    "body",
    [
        {**PLAIN, "systemInstruction": {"parts": [{"text": "s"}]}},
        {"generateContentRequest": {"model": "models/x", **PLAIN, "system_instruction": {"parts": [{"text": "s"}]}}},
        {"generate_content_request": {**PLAIN, "systemInstruction": {"parts": [{"text": "s"}]}}},
    ],
)
def test_tokens_are_counted_of_contents_or_of_a_whole_request(
    body: Any, asked: RequestContext, offer: Callable[..., Target]
) -> None:
    request = count.read_count_request(json.dumps(body).encode(), asked)
    inner = {**PLAIN, "systemInstruction": {"parts": [{"text": "s"}]}}
    studio = json.loads(count.write_count_request(request, offer()).body)
    assert studio == {"generateContentRequest": {"model": "models/gemini-3-flash", **inner}}
    vertex = msgspec.structs.replace(offer(), dialect="vertex")
    assert json.loads(count.write_count_request(request, vertex).body) == inner


def test_a_count_is_read_and_written() -> None:
    assert count.read_count(b'{"totalTokens":31,"promptTokensDetails":[]}') == 31
    assert json.loads(count.write_count(31)) == {"totalTokens": 31}
    with pytest.raises(UNREADABLE):
        count.read_count(b'{"totalTokens":"many"}')


def test_models_are_listed_in_both_ways_of_google() -> None:
    card = count.ModelCard(name="acme/m", display_name="M", context_tokens=100, max_output_tokens=10, reasoning=True)
    assert json.loads(count.model_list([card])) == {
        "models": [
            {
                "name": "models/acme/m",
                "version": "1",
                "displayName": "M",
                "inputTokenLimit": 100,
                "outputTokenLimit": 10,
                "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
                "thinking": True,
            }
        ]
    }
    assert (
        json.loads(count.model_list([card], publisher_path=True))["publisherModels"][0]["name"]
        == "publishers/acme/models/m"
    )

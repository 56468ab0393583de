"""Usage in disjoint buckets: no token is in two of them, and none is lost."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.ir.usage import Usage
from trunkline.protocols.openai_chat.usage import read_usage, with_cost, write_usage

COUNT = st.integers(min_value=0, max_value=10**6)


def told(**fields: object) -> Usage:
    return read_usage(json.dumps(fields).encode())


def test_cached_input_and_reasoning_are_taken_out_of_their_totals() -> None:
    usage = told(
        prompt_tokens=100,
        completion_tokens=50,
        total_tokens=150,
        prompt_tokens_details={"cached_tokens": 30, "audio_tokens": 5},
        completion_tokens_details={"reasoning_tokens": 40, "audio_tokens": 2},
    )
    assert usage == Usage(
        input_tokens=65,
        cache_read_tokens=30,
        input_audio_tokens=5,
        output_tokens=8,
        reasoning_tokens=40,
        output_audio_tokens=2,
    )
    assert (usage.total_input_tokens, usage.total_output_tokens) == (100, 50)


def test_reasoning_outside_the_completion_is_told_by_the_total() -> None:
    usage = told(
        prompt_tokens=10, completion_tokens=5, total_tokens=35, completion_tokens_details={"reasoning_tokens": 20}
    )
    assert (usage.output_tokens, usage.reasoning_tokens) == (5, 20)


@pytest.mark.parametrize(
    "fields", [{"prompt_cache_hit_tokens": 30}, {"cached_tokens": 30}, {"prompt_tokens_details": {"cached_tokens": 30}}]
)
def test_every_vendors_name_for_cached_tokens(fields: dict[str, object]) -> None:
    usage = told(prompt_tokens=100, completion_tokens=1, **fields)
    assert (usage.input_tokens, usage.cache_read_tokens) == (70, 30)


def test_nulls_and_absent_counts_are_zero() -> None:
    assert told(
        prompt_tokens=None,
        completion_tokens=3,
        prompt_tokens_details=None,
        completion_tokens_details={"reasoning_tokens": None},
    ) == Usage(output_tokens=3)


@given(COUNT, COUNT, COUNT, COUNT)
def test_what_is_written_is_read_back(fresh: int, cached: int, visible: int, reasoning: int) -> None:
    usage = Usage(input_tokens=fresh, cache_read_tokens=cached, output_tokens=visible, reasoning_tokens=reasoning)
    assert read_usage(write_usage(usage)) == usage


def test_cost_is_put_beside_what_the_provider_said_and_changes_nothing_else() -> None:
    raw = b'{"prompt_tokens": 1,"x":{"y" : 1.50}}'
    assert (
        with_cost(raw, b"0.1", b'{"prompt":0.1}')
        == b'{"prompt_tokens":1,"x":{"y" : 1.50},"cost":0.1,"cost_details":{"prompt":0.1}}'
    )


@pytest.mark.parametrize("fields", [{"prompt_tokens": -1}, {"prompt_tokens_details": {"cached_tokens": -5}}])
def test_a_negative_count_is_no_usage(fields: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        told(**fields)


def test_an_estimate_says_so() -> None:
    assert json.loads(write_usage(Usage(output_tokens=3, estimated=True)))["estimated"] is True
    assert "estimated" not in json.loads(write_usage(Usage(output_tokens=3)))

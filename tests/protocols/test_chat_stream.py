"""What is seen of a stream as it passes, and the one event that is edited."""

import json
from typing import Any

import pytest

from trunkline.protocols.openai_chat.answer import put_cost as put_cost_into_answer
from trunkline.protocols.openai_chat.answer import read
from trunkline.protocols.openai_chat.stream import Envelope, StreamObserver, has_usage, is_plain, put_cost
from trunkline.protocols.sse import data_of, event


def chunk(**fields: Any) -> bytes:
    return event(json.dumps({"id": "chatcmpl-1", "choices": [], **fields}).encode())


def delta(finish: str | None = None, **fields: Any) -> bytes:
    return chunk(choices=[{"index": 0, "delta": fields, "finish_reason": finish}])


def seen(*events: bytes) -> StreamObserver:
    observer = StreamObserver()
    for at, one in enumerate(events):
        observer.see(one, float(at))
    return observer


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "a"},
        {"reasoning_content": "a"},
        {"reasoning": "a"},
        {"refusal": "no"},
        {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]},
        {"content": [{"type": "text", "text": "a"}]},
        {"audio": {"data": "AA=="}},
    ],
)
def test_text_reasoning_refusals_calls_and_sound_are_useful(fields: dict[str, Any]) -> None:
    assert seen(delta(role="assistant", content="")).useful is False
    assert seen(delta(**fields)).useful is True


def test_a_finish_alone_is_useful_an_opening_or_a_filter_result_is_not() -> None:
    assert seen(delta(finish="stop")).useful
    assert not seen(chunk(prompt_filter_results=[{}]), delta(role="assistant"), b": ping\n\n").useful


def test_times_are_those_of_the_first_and_the_last_delta() -> None:
    observer = seen(delta(role="assistant"), delta(content="a"), delta(content="b"), delta(finish="stop"))
    assert (observer.first_at, observer.last_at) == (1.0, 2.0)


def test_of_several_usages_the_last_counts() -> None:
    observer = seen(chunk(usage={"prompt_tokens": 1}), chunk(usage=None), chunk(usage={"prompt_tokens": 2}))
    assert json.loads(observer.usage or b"") == {"prompt_tokens": 2}
    assert observer.is_usage_only


@pytest.mark.parametrize("usage", [{}, [], 5, "much", True])
def test_what_is_no_usage_counts_as_none(usage: object) -> None:
    assert seen(chunk(usage=usage)).usage is None


def test_usage_beside_choices_is_not_usage_only() -> None:
    assert not seen(chunk(choices=[{"delta": {"content": "a"}}], usage={"prompt_tokens": 1})).is_usage_only


def test_what_is_no_chunk_is_marked_and_never_raised() -> None:
    observer = seen(b"data: {broken\n\n", b"data: 5\n\n", delta(content="a"))
    assert observer.malformed
    assert observer.useful


def test_an_error_inside_is_kept_in_its_own_words() -> None:
    assert json.loads(seen(chunk(error={"message": "overloaded"})).error or b"") == {"message": "overloaded"}


def test_the_end_is_seen() -> None:
    assert seen(b"data: [DONE]\n\n").done


@pytest.mark.parametrize(
    ("block", "has"),
    [
        (b'data: {"usage":{"prompt_tokens":1}}\n\n', True),
        (b'data: {"usage" : {"prompt_tokens":1}}\n\n', True),
        (b'data: {"usage":null}\n\n', False),
        (b'data: {"choices":[{"delta":{"content":"\\"usage\\":{"}}]}\n\n', False),
    ],
)
def test_usage_is_told_from_a_text_about_it(block: bytes, has: bool) -> None:
    assert has_usage(block) is has


def test_cost_goes_into_the_usage_of_an_event_and_nothing_else_changes() -> None:
    one = event(b'{"id":"x", "choices":[],"usage":{"prompt_tokens":1},"odd":1.0}')
    out = put_cost(one, b'{"prompt_tokens":1}', b"0.5", b"{}")
    assert (
        data_of(out) == b'{"id":"x", "choices":[],"usage":{"prompt_tokens":1,"cost":0.5,"cost_details":{}},"odd":1.0}'
    )


@pytest.mark.parametrize(
    "data",
    [
        b'{"usage":{"prompt_tokens":1,"cost":9,"cost_details":{"x":1}}}',
        b'{"x_groq":{"usage":{"prompt_tokens":1}},"usage":{"prompt_tokens":1}}',
    ],
)
def test_a_usage_that_has_a_cost_or_stands_twice_gets_ours_all_the_same(data: bytes) -> None:
    observer = seen(event(data))
    out = json.loads(data_of(put_cost(event(data), observer.usage or b"", b"0.5", b"{}")) or b"")
    assert (out["usage"]["cost"], out["usage"]["cost_details"]) == (0.5, {})
    assert out.get("x_groq") == json.loads(data).get("x_groq")


def test_an_event_of_several_data_lines_gets_its_cost_too() -> None:
    one = b'data: {"usage":{"prompt_tokens":\ndata: 1}}\n\n'
    out = put_cost(one, seen(one).usage or b"", b"0.5", b"{}")
    assert json.loads(data_of(out) or b"")["usage"] == {"prompt_tokens": 1, "cost": 0.5, "cost_details": {}}


def test_a_whole_answer_is_read_for_the_record() -> None:
    message = {"content": "four", "reasoning_content": "hm", "tool_calls": [{"function": {"arguments": "{}"}}]}
    body = json.dumps(
        {
            "id": "c",
            "choices": [{"message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1},
            "service_tier": "flex",
        }
    )
    answer = read(body.encode())
    assert (answer.answer_id, answer.finish_reason, answer.characters, answer.service_tier) == ("c", "stop", 8, "flex")
    assert json.loads(answer.usage or b"") == {"prompt_tokens": 1}


def test_cost_goes_into_the_usage_of_an_answer_that_has_none_too() -> None:
    out = put_cost_into_answer(b'{"id":"c","usage":null}', b'{"prompt_tokens":4}', b"0.25", b'{"prompt":0.25}')
    assert json.loads(out)["usage"] == {"prompt_tokens": 4, "cost": 0.25, "cost_details": {"prompt": 0.25}}


@pytest.mark.parametrize(
    ("block", "plain"),
    [
        (delta(content="a [DONE"), True),
        (delta(content='"usage": {"error": "x"}'), True),
        (chunk(choices=[{"delta": {"content": "a"}, "finish_reason": None}], usage=None, error=None), True),
        (b": comment\n\n", True),
        (delta(finish="stop"), False),
        (delta(content="a") + b"data: [DONE]\n\n", False),
        (chunk(usage={"prompt_tokens": 1}), False),
        (chunk(error={"message": "x"}), False),
        (chunk(error="x"), False),
        (b'data: {"choices":[{"finish_reason" :\t"stop"}]}\n\n', False),
    ],
)
def test_plain_events_are_told_from_those_that_say_more(block: bytes, plain: bool) -> None:
    assert is_plain(block) is plain


def test_events_that_are_passed_by_count_in_estimates_about_as_if_they_were_read() -> None:
    texts = ["one", " and", " two", " and much more of this", " end"]
    read = seen(*(delta(content=text) for text in texts))
    passed = seen(delta(content=texts[0]))
    passed.pass_by(delta(content=texts[1]), 5.0)
    passed.pass_by(delta(content=texts[2]) + delta(content=texts[3]), 6.0)
    passed.pass_by(b": still there\n\n", 9.0)
    passed.pass_by(delta(content=texts[4]), 7.0)
    assert passed.characters == read.characters
    assert (passed.first_at, passed.last_at) == (0.0, 7.0)


def said(text: str, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text, **more.pop("delta", {})}}
    return event(json.dumps({"id": "c", "choices": [choice], **more}, separators=(",", ":")).encode())


def learned(*blocks: bytes) -> Envelope:
    envelope = Envelope()
    for block in blocks:
        envelope.learn(block)
    return envelope


def text_bytes(envelope: Envelope, block: bytes) -> int:
    return envelope.text_bytes(block, 0, len(block))


def in_chunk(envelope: Envelope, block: bytes, end: bytes = b"\r\n") -> int:
    return envelope.text_bytes_in_chunk(b"%x\r\n" % len(block) + block + end, len(b"%x\r\n" % len(block)), len(block))


def test_events_like_one_before_say_their_text_one_or_several_at_a_time() -> None:
    envelope = learned(said("one"))
    assert text_bytes(envelope, said(" two")) == in_chunk(envelope, said(" two")) == 4
    assert text_bytes(envelope, said(" two") + said("") + said("!")) == 5


def test_the_last_of_several_events_that_came_together_is_a_pattern_too() -> None:
    assert in_chunk(learned(said("one", odd=1) + said(" two")), said(" three")) == 6


@pytest.mark.parametrize(
    "block",
    [
        said("x", usage={}),
        said('x"'),
        said("x\\"),
        said("x")[:-1],
        said("x") + b": so\n\n",
        b"\n" + said("x"),
        said("x", delta={"refusal": "no"}),
    ],
)
def test_what_is_not_like_an_event_before_is_told(block: bytes) -> None:
    envelope = learned(said("one"))
    assert text_bytes(envelope, block) == in_chunk(envelope, block) == -1


def test_padding_is_passed_over_and_nothing_else_at_its_place() -> None:
    envelope = learned(said("one", obfuscation="abc"))
    two, three = said("two", obfuscation="xyzxyz"), said("three", obfuscation="a")
    assert text_bytes(envelope, two + three) == 8
    assert in_chunk(envelope, two) == 3
    assert text_bytes(envelope, two[:-3] + b',"usage":{}}\n\n') == -1
    assert in_chunk(envelope, two[:-3] + b',"usage":{}}\n\n') == -1


def test_what_does_not_end_as_a_chunk_does_is_in_none() -> None:
    assert in_chunk(learned(said("one")), said(" two"), b"\n\n") == -1
    assert in_chunk(learned(said("one", obfuscation="abc")), said("two", obfuscation="xyz"), b"\n\n") == -1


def test_pieces_of_a_tool_call_are_no_pattern() -> None:
    call = {"tool_calls": [{"index": 0, "function": {"arguments": "1"}}]}
    assert text_bytes(learned(said("", delta=call)), said("", delta=call)) == -1
    assert text_bytes(learned(said("", delta={"tool_calls": None})), said("x", delta={"tool_calls": None})) == 1

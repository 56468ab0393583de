"""Stop sequences that a provider does not take: the answer ends before them, streamed or not, however the text is cut."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.protocols.openai_chat.stop import StopStream, cut_answer
from trunkline.protocols.sse import data_of, event


def chunk(text: str | None = None, finish: str | None = None, index: int = 0, **delta: Any) -> bytes:
    content = {} if text is None else {"content": text}
    return event(
        json.dumps(
            {"id": "c", "choices": [{"index": index, "delta": {**content, **delta}, "finish_reason": finish}]}
        ).encode()
    )


def fed(stops: tuple[str, ...], pieces: list[bytes]) -> tuple[str, list[str]]:
    """The text and the finish reasons that a caller sees."""
    stream = StopStream(stops)
    text, ends = "", []
    for one in b"".join(stream.feed(piece) for piece in pieces).split(b"\n\n"):
        data = data_of(one + b"\n\n")
        if not data or data == b"[DONE]":
            continue
        for choice in json.loads(data)["choices"]:
            text += choice["delta"].get("content") or ""
            ends += [choice["finish_reason"]] if choice["finish_reason"] else []
    return text, ends


@given(
    st.text("abX", max_size=30),
    st.lists(st.integers(1, 4), max_size=30),
    st.sampled_from([("X",), ("ab",), ("aab", "bX"), ("abab",)]),
)
def test_any_cutting_of_the_stream_gives_the_text_before_the_first_stop_word(
    text: str, cuts: list[int], stops: tuple[str, ...]
) -> None:
    pieces, rest = [], text
    for cut in cuts:
        pieces, rest = [*pieces, rest[:cut]], rest[cut:]
    pieces = [
        chunk("", role="assistant"),
        *(chunk(piece) for piece in [*pieces, rest]),
        chunk(finish="length"),
        b"data: [DONE]\n\n",
    ]
    positions = [text.find(stop) for stop in stops if stop in text]
    seen, ends = fed(stops, pieces)
    assert seen == (text[: min(positions)] if positions else text)
    assert ends == (["stop"] if positions else ["length"])


def test_the_whole_answer_is_cut_at_the_earliest_stop_word() -> None:
    body = json.dumps(
        {
            "choices": [{"message": {"content": "one two three"}, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 1},
        }
    )
    out = json.loads(cut_answer(body.encode(), ("three", " two")))
    assert out["choices"][0] == {"message": {"content": "one"}, "finish_reason": "stop"}
    assert out["usage"] == {"prompt_tokens": 1}


def test_an_answer_without_a_stop_word_keeps_its_bytes() -> None:
    body = b'{"choices" : [{"message":{"content":"one"},"finish_reason":"stop"}]}'
    assert cut_answer(body, ("two",)) == body


def test_choices_are_cut_each_for_itself() -> None:
    stream = StopStream(("X",))
    first = json.loads(data_of(stream.feed(chunk("aXb", index=0))) or b"")
    assert first["choices"][0]["delta"]["content"] == "a"
    assert stream.feed(chunk("c", index=0)) == b""
    other = json.loads(data_of(stream.feed(chunk("c", index=1))) or b"")
    assert other["choices"][0]["delta"]["content"] == "c"


@pytest.mark.parametrize(
    "one",
    [b"data: [DONE]\n\n", b": comment\n\n", event(b'{"choices":[],"usage":{"prompt_tokens":1}}'), event(b"not json")],
)
def test_events_without_text_pass_as_they_are(one: bytes) -> None:
    assert StopStream(("X",)).feed(one) == one


def test_tool_calls_pass_behind_held_text() -> None:
    stream = StopStream(("abc",))
    assert stream.feed(chunk("ab")) == b""
    out = json.loads(data_of(stream.feed(chunk(tool_calls=[{"index": 0, "function": {"arguments": "{"}}]))) or b"")
    assert out["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] == "{"

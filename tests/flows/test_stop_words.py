"""`stop` where the provider takes none: never sent, enforced on the answer, whole and streamed."""

import json

import pytest

from tests.fakes.upstream import DONE, chunk, completion, says, stream_of, streams, usage_chunk


def deltas(*texts: str, finish: str = "length") -> bytes:
    return b"".join(chunk({"content": text}) for text in texts) + chunk({}, finish=finish) + usage_chunk() + DONE


@pytest.fixture
def model(model_of):
    return model_of("choosy")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_stop_is_never_sent_and_stands_in_the_record(model, stream) -> None:
    model.plays(says("hello"))
    answer = model.ask(stop="END", stream=stream)
    assert "stop" not in model.calls[0].json
    assert answer.headers["x-trunkline-dropped"] is None
    (loss,) = model.gateway.record(answer.id).losses
    assert (loss.field, loss.action) == ("stop", "emulated")


@pytest.mark.parametrize(
    ("stop", "text", "shown"),
    [
        ("END", "one END two", "one "),
        (["zwei", "END"], "eins END zwei", "eins "),
        ("END", "nothing here", "nothing here"),
        ("END", "END", ""),
        ("é\n", "caf\u00e9\nbar", "caf"),
    ],
)
def test_a_whole_answer_is_cut_before_the_first_stop_word(model, stop, text, shown) -> None:
    model.plays(says(text, finish="length"))
    answer = model.ask(stop=stop)
    assert answer.text == shown
    assert answer.json["choices"][0]["finish_reason"] == ("length" if shown == text else "stop")
    assert answer.json["usage"]["cost"] == 0.000033


SPLITS = [
    ("one END two",),
    ("one E", "ND two"),
    ("one ", "E", "N", "D", " two"),
    ("one EN", "D"),
    ("one ", "END", "END", " more"),
]


@pytest.mark.parametrize("texts", SPLITS, ids="|".join)
def test_a_stream_is_cut_before_a_stop_word_however_it_is_split(model, texts) -> None:
    model.plays(streams(deltas(*texts)))
    answer = model.stream(stop="END")
    assert answer.streamed_text == "one "
    finishes = [event["choices"][0].get("finish_reason") for event in answer.events[:-1] if event["choices"]]
    assert finishes[-1] == "stop"
    assert finishes.count("stop") == 1
    assert answer.events[-1] == "[DONE]"


def test_what_only_began_like_a_stop_word_comes_out_in_the_end(model) -> None:
    model.plays(streams(deltas("one E", "N", "ough E")))
    answer = model.stream(stop="END")
    assert answer.streamed_text == "one ENough E"
    assert [event for event in answer.events[:-1] if event["choices"]][-1]["choices"][0]["finish_reason"] == "length"


def test_usage_after_a_cut_stream_still_comes_to_a_client_that_asked(model) -> None:
    model.plays(streams(deltas("one END two")))
    answer = model.stream(stop="END", stream_options={"include_usage": True})
    assert answer.events[-2]["usage"]["cost"] == 0.000033
    assert model.gateway.record(answer.id).usage.output_tokens == 5


def test_each_choice_is_cut_by_itself(model) -> None:
    def of(index: int, text: str, finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
        return b"data: " + json.dumps({"id": "x", "choices": [choice]}).encode() + b"\n\n"

    body = of(0, "a E") + of(1, "b E") + of(0, "ND") + of(1, "lse") + of(0, "x", "stop") + of(1, "", "stop") + DONE
    model.plays(streams(body))
    answer = model.stream(stop="END", n=2)
    texts = {0: "", 1: ""}
    for event in answer.events[:-1]:
        for choice in event["choices"]:
            texts[choice["index"]] += choice["delta"].get("content") or ""
    assert texts == {0: "a ", 1: "b Else"}


def test_tool_calls_pass_a_stop_word_by(model) -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":"END"}'}}
    body = chunk({"tool_calls": [call]}) + chunk({}, finish="tool_calls") + DONE
    model.plays(streams(body))
    answer = model.stream(stop="END")
    assert answer.events[0]["choices"][0]["delta"]["tool_calls"] == [call]
    assert answer.events[1]["choices"][0]["finish_reason"] == "tool_calls"


def test_stop_goes_to_a_provider_that_takes_it(model_of) -> None:
    plain = model_of("plain")
    plain.plays(lambda call: call.answer(200, completion()))
    plain.ask(stop=["a", "b"])
    assert plain.calls[0].json["stop"] == ["a", "b"]


def test_an_empty_list_of_stop_words_changes_nothing(model) -> None:
    model.plays(streams(stream_of("one END two")))
    assert model.stream(stop=[]).streamed_text == "one END two"

"""An answer ends before the first stop word, cut as it may come, and shows nothing of it."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline.ir.events import Delta, Finish, PartEnd, PartStart, UsageSeen
from trunkline.ir.fold import fold
from trunkline.ir.parts import Text, Thinking, ToolCall
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.stopping import StopAt, cut

STOPS = ("END", "###", "\n\n")


def through(events: list, stops: tuple[str, ...] = STOPS) -> list:
    stop = StopAt(stops)
    return [seen for event in events for seen in stop.feed(event)]


def streamed(pieces: list[str]) -> list:
    deltas = [Delta(0, piece) for piece in pieces if piece]
    return [PartStart(0, Text("")), *deltas, PartEnd(0), Finish(FinishReason.END, "stop")]


@given(st.lists(st.text("END#\nx", max_size=4)))
def test_a_stream_ends_where_the_whole_answer_does(pieces: list[str]) -> None:
    text = "".join(pieces)
    whole = Response(candidates=(Candidate((Text(text),), FinishReason.END, "stop"),))
    expected = cut(whole, STOPS).candidates[0]
    found = fold(through(streamed(pieces))).candidates[0]
    assert "".join(part.text for part in found.parts) == "".join(part.text for part in expected.parts)
    assert (found.finish, found.stop_sequence) == (expected.finish, expected.stop_sequence)


def test_text_goes_out_at_once_but_for_what_may_be_a_stop_word() -> None:
    stop = StopAt(STOPS)
    stop.feed(PartStart(0, Text("")))
    assert stop.feed(Delta(0, "one E")) == [Delta(0, "one ")]
    assert stop.feed(Delta(0, "N")) == []
    assert stop.feed(Delta(0, "O")) == [Delta(0, "ENO")]


def test_nothing_comes_after_a_stop_word_but_usage() -> None:
    usage = UsageSeen(Usage(output_tokens=3), b"{}")
    events = [
        PartStart(0, Text("")), PartStart(1, ToolCall("a", "f")), Delta(0, "a###b"), Delta(1, "{}"), PartEnd(0), PartEnd(1),
        PartStart(2, Text("")), Delta(2, "more"), PartEnd(2), Finish(FinishReason.END), usage,
    ]  # fmt: skip
    assert through(events) == [
        *events[:2], Delta(0, "a"), PartEnd(0), PartEnd(1), Finish(FinishReason.STOP_SEQUENCE, "", "###"), usage,
    ]  # fmt: skip


def test_reasoning_and_arguments_are_not_searched() -> None:
    events = [
        PartStart(0, Thinking()),
        Delta(0, "END"),
        PartEnd(0),
        PartStart(1, ToolCall("a", "f")),
        Delta(1, '"END"'),
        PartEnd(1),
    ]
    assert through(events) == events


def test_a_provider_can_be_left_when_all_candidates_have_stopped() -> None:
    stop = StopAt(STOPS)
    for event in (PartStart(0, Text(""), 0), PartStart(1, Text(""), 1), Delta(0, "END")):
        stop.feed(event)
    assert not stop.stopped
    stop.feed(Delta(1, "###"))
    assert stop.stopped

"""An answer and its stream are the same thing: `fold` makes one of the other, `unfold` the other of the one."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.ir.events import Cited, Delta, Failed, Finish, PartEnd, PartStart, Start, UsageSeen
from trunkline.ir.fault import Fault
from trunkline.ir.fold import Fold, fold, unfold
from trunkline.ir.parts import Carry, Citation, Logprob, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.ir.usage import Usage

SIGNATURE = Carry("anthropic.messages", msgspec.Raw(b'{"signature":"EqoB"}'))
ITEM = Carry("openai.responses", msgspec.Raw(b'{"id":"msg_1"}'))


def parts_of(*events) -> tuple:
    return fold([Start("a", "m", 1), *events]).candidates[0].parts


def test_pieces_of_text_become_one_text() -> None:
    assert parts_of(PartStart(0, Text("")), Delta(0, "Hel"), Delta(0, "lo"), PartEnd(0)) == (Text("Hello"),)


def test_tool_calls_whose_arguments_interleave_stay_apart() -> None:
    found = parts_of(
        PartStart(0, ToolCall("call_a", "weather")),
        Delta(0, '{"city":'),
        PartStart(1, ToolCall("call_b", "time")),
        Delta(1, '{"zone":'),
        Delta(0, '"Rome"}'),
        Delta(1, '"CET"}'),
        PartEnd(1),
        PartEnd(0),
    )
    assert found == (ToolCall("call_a", "weather", '{"city":"Rome"}'), ToolCall("call_b", "time", '{"zone":"CET"}'))


def test_a_signature_that_comes_last_belongs_to_its_thinking() -> None:
    found = parts_of(PartStart(0, Thinking()), Delta(0, "Rome is "), Delta(0, "in Italy."), PartEnd(0, SIGNATURE))
    assert found == (Thinking("Rome is in Italy.", carry=SIGNATURE),)


def test_a_carry_that_is_known_at_the_beginning_stays() -> None:
    assert parts_of(PartStart(0, Text("", carry=ITEM)), Delta(0, "x"), PartEnd(0)) == (Text("x", carry=ITEM),)


def test_citations_and_log_probabilities_gather_on_their_text() -> None:
    first, second = Citation(url="https://a.example"), Citation(url="https://b.example", quote="b")
    found = parts_of(
        PartStart(0, Text("")),
        Delta(0, "a", (Logprob("a", -0.5),)),
        Cited(0, first),
        Delta(0, "b", (Logprob("b", -1.5),)),
        Cited(0, second),
        PartEnd(0),
    )
    assert found == (Text("ab", (first, second), (Logprob("a", -0.5), Logprob("b", -1.5))),)


def test_a_later_usage_replaces_an_earlier_one() -> None:
    early = UsageSeen(Usage(input_tokens=9), msgspec.Raw(b'{"input":9}'))
    late = UsageSeen(Usage(input_tokens=9, output_tokens=4), msgspec.Raw(b'{"input":9,"output":4}'), "priority")
    answer = fold([early, late])
    assert (answer.usage, answer.raw_usage, answer.service_tier) == (late.usage, late.raw, "priority")


def test_candidates_keep_their_parts_and_ends_to_themselves() -> None:
    answer = fold(
        [
            PartStart(0, Text(""), 0),
            PartStart(1, Text(""), 1),
            Delta(1, "two"),
            Delta(0, "one"),
            PartEnd(0),
            Finish(FinishReason.LENGTH, "length", None, 0),
            PartEnd(1),
            Finish(FinishReason.STOP_SEQUENCE, "stop_sequence", "###", 1),
        ]
    )
    assert answer.candidates == (
        Candidate((Text("one"),), FinishReason.LENGTH, "length"),
        Candidate((Text("two"),), FinishReason.STOP_SEQUENCE, "stop_sequence", "###"),
    )


def test_an_answer_that_was_cut_has_no_reason_to_finish() -> None:
    folded = Fold()
    for event in (Start("a"), PartStart(0, Text("")), Delta(0, "Hel"), Failed(Fault("overloaded"), 529)):
        folded.see(event)
    assert folded.response().candidates == (Candidate((Text("Hel"),)),)
    assert folded.fault == Failed(Fault("overloaded"), 529)


def test_a_part_can_be_had_while_it_grows() -> None:
    folded = Fold()
    folded.see(PartStart(3, ToolCall("c", "f")))
    folded.see(Delta(3, '{"a"'))
    assert folded.part(3) == ToolCall("c", "f", '{"a"')


def test_a_part_that_never_began_is_no_part() -> None:
    with pytest.raises(KeyError):
        Fold().part(0)


carries = st.sampled_from([None, SIGNATURE, ITEM])
logprobs = st.lists(st.builds(Logprob, st.text(max_size=3), st.floats(-9, 0)), max_size=2).map(tuple)
citations = st.lists(st.builds(Citation, url=st.text(max_size=5), start=st.none() | st.integers(0, 9)), max_size=2)
answers = st.builds(
    Response,
    id=st.text(max_size=5),
    model=st.text(max_size=5),
    created_s=st.integers(0, 9),
    candidates=st.lists(
        st.builds(
            Candidate,
            st.lists(
                st.one_of(
                    st.builds(Text, st.text(), citations.map(tuple), logprobs, carries),
                    st.builds(Thinking, st.text(), st.booleans(), carries),
                    st.builds(ToolCall, st.text(), st.text(), st.text(), carry=carries),
                    st.builds(ToolResult, st.text(), kind=st.just("server"), sources=citations.map(tuple)),
                    st.builds(Refusal, st.text(), logprobs),
                    st.builds(Media, kind=st.just("image"), data=st.just(b"iVBO")),
                    st.builds(Opaque, st.text(), st.just(ITEM)),
                ),
                max_size=4,
            ).map(tuple),
            st.sampled_from(FinishReason),
            st.text(max_size=5),
            st.none() | st.text(max_size=3),
        ),
        max_size=2,
    ).map(tuple),
    usage=st.just(Usage(input_tokens=3)),
    raw_usage=st.just(msgspec.Raw(b'{"prompt_tokens":3}')),
    service_tier=st.sampled_from(["", "flex"]),
)


@given(answers)
def test_folding_what_was_unfolded_gives_the_same_answer(answer: Response) -> None:
    assert fold(unfold(answer)) == answer


@given(answers)
def test_an_unfolded_answer_keeps_the_order_of_a_stream(answer: Response) -> None:
    events = list(unfold(answer))
    starts = [event.index for event in events if isinstance(event, PartStart)]
    assert isinstance(events[0], Start)
    assert starts == list(range(len(starts)))
    assert [event.index for event in events if isinstance(event, PartEnd)] == starts
    assert all(event.text or event.logprobs for event in events if isinstance(event, Delta))

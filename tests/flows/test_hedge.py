"""A second offer is asked when the first is silent for too long: whoever says something first answers, and both are paid for."""

import json
import re

import pytest

from tests.fakes.chaos import ANSWER_PICO_USD, told
from tests.fakes.four import KINDS
from tests.fakes.gateway import Answer, eventually
from tests.fakes.upstream import Call, Script, thinks
from tests.fakes.wires import TEXT_AT, WIRES, named, refuses, speaks, streams

ALL_KINDS = pytest.mark.parametrize("kind", list(KINDS))
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
SOON = {"hedge": {"after_ms": 30}}
LATE = {"hedge": {"after_ms": 60_000}}


def later(kind: str, text: str) -> Script:
    """An answer, once the test lets it."""

    def script(call: Call) -> None:
        call.pause()
        speaks(kind, text)(call)

    return script


def sides(model, answer) -> list[tuple[str, str, str, str]]:
    return [
        (one.provider.partition("-")[0], one.kind, one.outcome, one.after_leaving)
        for one in model.record(answer).attempts
    ]


@ALL_KINDS
@STREAMED
def test_the_second_answers_where_the_first_is_silent_and_the_first_is_left(chaos, kind, stream) -> None:
    model = chaos.model("abortable", kind)
    model.plays(Call.stall, second=speaks(kind, "from the second"))
    answer = model.ask(stream=stream, provider=SOON)
    assert model.text(answer, stream=stream) == "from the second"
    assert model.call_at(0).left.wait(10)
    record = model.record(answer)
    assert sides(model, answer) == [("first", "plain", "lost", "cancelled"), ("second", "hedge", "ok", "")]
    assert (record.outcome, record.provider, record.cost_pico_usd) == ("ok", f"second-{kind}", ANSWER_PICO_USD)
    assert answer.headers["x-trunkline-provider"] == f"second-{kind}"


@ALL_KINDS
@STREAMED
def test_a_first_that_is_read_on_for_its_usage_is_paid_for_too(chaos, kind, stream) -> None:
    model = chaos.model("plain", kind)
    model.plays(later(kind, "from the first"), second=speaks(kind, "from the second"))
    answer = model.ask(stream=stream, provider=SOON)
    assert model.text(answer, stream=stream) == "from the second"
    assert not model.gateway._rows("id", answer.id)
    model.call_at(0).go_on()
    record = model.record(answer)
    assert sides(model, answer) == [("first", "plain", "lost", "drained"), ("second", "hedge", "ok", "")]
    assert [one.cost.total_pico_usd for one in record.attempts] == [ANSWER_PICO_USD, ANSWER_PICO_USD]
    assert record.cost_pico_usd == 2 * ANSWER_PICO_USD
    assert record.usage.total_output_tokens == 5
    # The answer had ended before the other was read to its end; a millisecond for what the gateway does in between.
    assert record.ended_ms < record.attempts[0].ended_ms + 1


def test_a_winner_that_is_cut_ends_as_its_own_stream_whatever_came_of_the_other(chaos) -> None:
    model = chaos.model("plain", "responses")
    # It begins, breaks, and is left by the gateway, which has read it all then.
    begun = named("response.output_text.delta", delta="from the first", sequence_number=50, **TEXT_AT)
    broken = streams("responses", Call.pause, begun, thinks(0.05), WIRES["responses"].error("down"), Call.stall)
    model.plays(broken, second=streams("responses", "half an ", Call.pause))
    with model.open(provider=SOON) as stream:
        said = b""
        while b"half an " not in said:
            said = stream.event()
        before = json.loads(said.partition(b"data: ")[2])["sequence_number"]
        model.call_at(0).go_on()
        assert model.call_at(0).left.wait(10)
        model.call_at(1).go_on()
        answer = stream.answer()
    numbers = [event["sequence_number"] for event in answer.events if isinstance(event, dict)]
    assert numbers[0] == before + 1
    record = model.record(stream)
    assert told(record.attempts) == [("first", "in_stream_error", "other_runs"), ("second", "truncated", "give_up")]
    assert record.outcome == "cut"


@STREAMED
def test_an_answer_that_will_be_asked_for_again_does_not_wait_for_who_lost_either(chaos, stream) -> None:
    model = chaos.model("plain")
    headers = {"idempotency-key": model.slug}
    model.plays(later("chat", "from the first"), second=speaks("chat", "from the second"))
    answer = model.ask(stream=stream, headers=headers, provider=SOON)
    again = model.ask(stream=stream, headers=headers, provider=SOON)
    assert (again.body, again.headers["x-trunkline-original-request-id"]) == (answer.body, answer.id)
    assert not model.gateway._rows("id", answer.id)
    model.call_at(0).go_on()
    model.record(answer)
    assert sides(model, answer) == [("first", "plain", "lost", "drained"), ("second", "hedge", "ok", "")]


def test_a_caller_whose_answer_broke_is_told_so_while_who_lost_is_still_read(chaos) -> None:
    model = chaos.model("plain")
    model.plays(later("chat", "from the first"), second=streams("chat", "half an ", Call.close))
    answer = model.ask(stream=True, provider=SOON)
    assert "truncated" in answer.events[-1]["error"]["message"]
    assert not model.gateway._rows("id", answer.id)
    model.call_at(0).go_on()
    record = model.record(answer)
    assert told(record.attempts) == [("first", "lost", ""), ("second", "truncated", "give_up")]
    assert (record.outcome, record.provider) == ("cut", "second-chat")
    assert record.ended_ms < record.attempts[0].ended_ms


@ALL_KINDS
@STREAMED
def test_the_first_answers_where_it_speaks_before_the_second(chaos, kind, stream) -> None:
    model = chaos.model("abortable", kind)
    model.plays(later(kind, "from the first"), second=Call.stall)

    def let_the_first_go(call: Call) -> None:
        model.call_at(0).go_on()
        call.stall()

    model.plays(later(kind, "from the first"), second=let_the_first_go)
    answer = model.ask(stream=stream, provider=SOON)
    assert model.text(answer, stream=stream) == "from the first"
    assert sides(model, answer) == [("second", "hedge", "lost", "cancelled"), ("first", "plain", "ok", "")]
    assert model.record(answer).provider == f"first-{kind}"


@STREAMED
def test_nobody_else_is_asked_where_the_first_speaks_in_time(chaos, stream) -> None:
    model = chaos.model()
    model.plays(speaks("chat", "from the first"), second=speaks("chat", "never asked"))
    answer = model.ask(stream=stream, provider=LATE)
    assert model.text(answer, stream=stream) == "from the first"
    assert sides(model, answer) == [("first", "plain", "ok", "")]


def test_a_first_that_has_begun_is_never_overtaken(chaos) -> None:
    model = chaos.model()
    model.plays(
        streams("chat", "well", Call.pause, WIRES["chat"].closing("well")), second=speaks("chat", "never asked")
    )
    with model.open(provider={"hedge": {"after_ms": 200}}) as stream:
        while b"well" not in stream.event():
            pass
        assert not model.call().left.wait(0.4)
        model.call().go_on()
        stream.answer()
    assert sides(model, stream) == [("first", "plain", "ok", "")]


@STREAMED
def test_a_first_that_fails_lets_the_second_go_on_alone(chaos, stream) -> None:
    model = chaos.model()

    def fail(call: Call) -> None:
        call.pause()
        refuses("chat", 500, headers={"connection": "close"})(call)
        # Until the gateway has read it.
        call.stall()

    model.plays(fail, second=later("chat", "from the second"))
    with model.gateway.begun(model.slug, stream=stream, provider=SOON) as connection:
        model.call_at(1)
        model.call_at(0).go_on()
        assert model.call_at(0).left.wait(10)
        model.call_at(1).go_on()
        response = connection.getresponse()
        answer = Answer(response, response.read())
    assert model.text(answer, stream=stream) == "from the second"
    assert told(model.record(answer).attempts) == [("first", "status", "other_runs"), ("second", "ok", "")]


@STREAMED
def test_where_both_fail_the_caller_is_told(chaos, stream) -> None:
    model = chaos.model()

    def let_the_first_fail(call: Call) -> None:
        model.call_at(0).go_on()
        refuses("chat", 503)(call)

    def fail_later(call: Call) -> None:
        call.pause()
        refuses("chat", 500)(call)

    model.plays(fail_later, second=let_the_first_fail)
    answer = model.ask(stream=stream, provider=SOON)
    assert answer.status == 502
    record = model.record(answer)
    assert sorted(one.outcome for one in record.attempts) == ["status", "status"]
    assert {one.decision for one in record.attempts} == {"give_up"}
    assert (record.outcome, record.cost_pico_usd) == ("error", 0)


def test_a_caller_that_leaves_leaves_both(chaos, session_id) -> None:
    model = chaos.model("abortable")
    model.plays(Call.stall, second=Call.stall)
    with model.gateway.begun(model.slug, headers={"x-session-id": session_id}, provider=SOON):
        model.call_at(1)
    assert model.call_at(0).left.wait(10)
    assert model.call_at(1).left.wait(10)
    (record,) = model.gateway.records(session_id)
    assert (record.outcome, record.status) == ("client_left", 499)
    assert [(one.outcome, one.after_leaving) for one in record.attempts] == [("client_left", "cancelled")] * 2


def test_without_figures_of_its_own_an_offer_is_not_hedged_by_them(chaos) -> None:
    model = chaos.model()
    model.plays(speaks("chat", "from the first"), second=speaks("chat", "never asked"))
    answer = model.ask(provider={"hedge": True})
    assert sides(model, answer) == [("first", "plain", "ok", "")]


def test_by_its_own_figures_an_offer_is_hedged_after_what_is_slow_for_it(chaos) -> None:
    model = chaos.model("abortable")
    wish = {"order": list(model.providers), "hedge": True}
    model.plays(*[speaks("chat", "from the first")] * 10, Call.stall, second=speaks("chat", "from the second"))
    for _ in range(10):
        model.ask(stream=True, provider=wish)
    answer = model.ask(stream=True, provider=wish)
    assert model.text(answer, stream=True) == "from the second"
    assert sides(model, answer) == [("first", "plain", "lost", "cancelled"), ("second", "hedge", "ok", "")]


def test_a_first_that_lost_is_known_to_be_at_least_as_slow_as_it_was_silent(chaos) -> None:
    model = chaos.model("abortable")
    model.plays(Call.stall, second=speaks("chat", "from the second"))
    model.record(model.ask(stream=True, provider=SOON))
    plan = {one.offer: one.reason for one in model.record(model.ask(stream=True)).plan}
    found = re.search(r"first-token latency (\d+) ms", plan[f"{model.slug}:first-chat"])
    assert found is not None, plan
    assert int(found[1]) >= 30


def test_a_whole_answer_is_not_hedged_by_figures_of_first_tokens(chaos) -> None:
    model = chaos.model()
    wish = {"order": list(model.providers), "hedge": True}
    model.plays(speaks("chat", "from the first"), later("chat", "from the first"), second=speaks("chat", "never asked"))
    model.ask(stream=True, provider=wish)
    with model.gateway.begun(model.slug, provider=wish) as connection:
        assert not model.call(1).left.wait(0.1)
        model.call(1).go_on()
        response = connection.getresponse()
        answer = Answer(response, response.read())
    assert sides(model, answer) == [("first", "plain", "ok", "")]


def test_nothing_is_left_over_of_races(chaos) -> None:
    assert eventually(lambda: chaos.gateway.readyz["requests"]["open"] == 0, "the end of all requests")

"""While a provider thinks, a stream says that it is alive; whatever happens behind that still happens."""

from tests.fakes.upstream import DONE, Call, chunk, fails, says, streams

COMMENT = b": TRUNKLINE PROCESSING\n\n"


def test_comments_come_while_a_provider_thinks(brisk_model) -> None:
    brisk_model.plays(streams(Call.pause, chunk({"content": "hello"}), chunk({}, finish="stop"), DONE))
    with brisk_model.open() as begun:
        assert begun.status == 200
        assert [begun.event() for _ in range(3)] == [COMMENT] * 3
        brisk_model.upstream.call(brisk_model.name).go_on()
        answer = begun.answer()
    assert answer.streamed_text == "hello"
    assert answer.events[-1] == "[DONE]"
    assert brisk_model.gateway.record(begun.id).outcome == "ok"


def test_comments_come_while_a_stream_is_silent(brisk_model) -> None:
    steps = (chunk({"content": "hel"}), Call.pause, chunk({"content": "lo"}), chunk({}, finish="stop"), DONE)
    brisk_model.plays(streams(*steps))
    with brisk_model.open() as begun:
        while b"hel" not in begun.event():
            pass
        assert begun.event() == COMMENT
        brisk_model.upstream.call(brisk_model.name).go_on()
        assert begun.answer().streamed_text == "lo"


def test_the_next_offer_answers_behind_a_comment(brisk_model) -> None:
    brisk_model.plays(lambda call: [call.pause(), call.reset()], second=says("from the second"))
    with brisk_model.open() as begun:
        assert begun.event() == COMMENT
        brisk_model.upstream.call(brisk_model.name).go_on()
        assert begun.answer().streamed_text == "from the second"
    record = brisk_model.gateway.record(begun.id)
    assert [attempt.outcome for attempt in record.attempts] == ["reset", "ok"]


def test_an_error_behind_a_comment_comes_as_an_event_and_ends_the_stream(brisk_model) -> None:
    brisk_model.plays(lambda call: [call.pause(), fails(400, "prompt is too long")(call)])
    with brisk_model.open() as begun:
        assert begun.event() == COMMENT
        brisk_model.upstream.call(brisk_model.name).go_on()
        answer = begun.answer()
    (event,) = answer.events
    assert (event["error"]["code"], event["error"]["message"]) == ("400", "prompt is too long")
    assert event["error"]["request_id"] == begun.id
    record = brisk_model.gateway.record(begun.id)
    assert (record.outcome, record.status, record.error_type) == ("error", 400, "invalid_params")


def test_a_whole_answer_waits_without_a_word(brisk_model) -> None:
    brisk_model.plays(lambda call: [call.left.wait(0.2), says("hello")(call)])
    answer = brisk_model.ask()
    assert answer.text == "hello"


def test_an_error_of_the_request_itself_is_never_behind_a_comment(brisk_model) -> None:
    assert brisk_model.stream(max_tokens=0).status == 400

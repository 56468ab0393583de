"""A provider fails before anything useful came: the next one answers, and the client sees nothing of it."""

import json

import pytest

from tests.fakes.upstream import DONE, Call, Script, chunk, completion, fails, says, streams, thinks, usage_chunk

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def told(answer) -> str:
    return answer.streamed_text if answer.headers["content-type"].startswith("text/event-stream") else answer.text


def cut_after_head(call) -> None:
    call.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 500\r\n\r\n")
    call.close()


def half_a_body(call) -> None:
    call.send(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"choices":[{"mess')
    call.close()


@STREAMED
@pytest.mark.parametrize(
    ("slug", "cause"), [("refused", "connect"), ("deaf", "timeout_connect"), ("untrusted", "tls")], ids=str
)
def test_the_next_offer_answers_where_there_is_no_connection(gateway, upstream, slug, cause, stream) -> None:
    upstream.plays("second", f"acme--{slug}", says("from the second"))
    answer = gateway.chat(f"acme/{slug}", stream=stream)
    assert told(answer) == "from the second"
    record = gateway.record(answer.id)
    attempts = {attempt.provider: attempt.outcome for attempt in record.attempts}
    assert attempts["second"] == "ok"
    assert attempts.get(slug, cause) == cause
    assert record.provider == "second"


@pytest.mark.parametrize(("slug", "status"), [("refused", 502), ("deaf", 504), ("untrusted", 502)])
def test_without_a_next_offer_the_failed_connection_is_told(gateway, slug, status) -> None:
    answer = gateway.chat(f"acme/{slug}:{slug}")
    assert answer.status == status
    # Nothing else was tried, so a client's own tries do not multiply with ours.
    assert "x-should-retry" not in answer.headers


@STREAMED
@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 520, 524, 529])
def test_the_next_offer_answers_where_a_provider_is_in_trouble(model, status, stream) -> None:
    model.plays(fails(status, "in trouble"), second=says("from the second"))
    answer = model.ask(stream=stream)
    assert (answer.status, told(answer)) == (200, "from the second")
    assert answer.headers["x-trunkline-provider"] == "second"
    first, second = model.gateway.record(answer.id).attempts
    assert (first.outcome, first.status, first.message) == ("status", status, "in trouble")
    assert (second.outcome, second.status) == ("ok", 200)


BROKEN_WHOLE: dict[str, tuple[Script, str]] = {
    "reset before the head": (lambda call: call.reset(), "reset"),
    "closed before the head": (lambda call: call.close(), "reset"),
    "closed after the head": (cut_after_head, "truncated"),
    "closed in the body": (half_a_body, "truncated"),
    "malformed JSON": (lambda call: call.answer(200, b'{"choices": [{"message": {"con'), "malformed"),
    "a page of HTML": (
        lambda call: call.answer(200, b"<html>Sign in</html>", {"content-type": "text/html"}),
        "malformed",
    ),
    "not UTF-8": (lambda call: call.answer(200, completion("caf~").replace(b"~", b"\xe9")), "malformed"),
    "nested without end": (lambda call: call.answer(200, b'{"choices":' + b"[" * 100_000), "malformed"),
    "no body": (lambda call: call.answer(200, b""), "malformed"),
    "no choices": (lambda call: call.answer(200, b'{"id":"x","choices":[]}'), "empty"),
    "an error with status 200": (
        lambda call: call.answer(200, b'{"error":{"message":"overloaded","code":503}}'),
        "in_stream_error",
    ),
    "no HTTP": (lambda call: [call.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), call.close()], "malformed"),
}


@pytest.mark.parametrize("broken", BROKEN_WHOLE)
def test_the_next_offer_answers_where_a_whole_answer_is_broken(model, broken) -> None:
    script, cause = BROKEN_WHOLE[broken]
    model.plays(script, second=says("from the second"))
    answer = model.ask()
    assert (answer.status, answer.text) == (200, "from the second")
    first, second = model.gateway.record(answer.id).attempts
    assert (first.outcome, second.outcome) == (cause, "ok")


ROLE = chunk({"role": "assistant", "content": ""})
BROKEN_STREAM: dict[str, tuple[Script, str]] = {
    "reset before the head": (lambda call: call.reset(), "reset"),
    "closed after the head": (cut_after_head, "truncated"),
    "closed after the role": (streams(ROLE), "empty"),
    "reset after the role": (streams(ROLE, lambda call: call.reset()), "truncated"),
    "nothing but [DONE]": (streams(DONE), "empty"),
    "nothing but usage": (streams(ROLE, usage_chunk(), DONE), "empty"),
    "nothing but comments": (streams(b": thinking\n\n", b": thinking\n\n"), "empty"),
    "malformed events": (streams(b'data: {"choices": [{"del\n\n', DONE), "malformed"),
    "an error before the answer": (
        streams(ROLE, b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'),
        "in_stream_error",
    ),
    "an error as JSON": (lambda call: call.answer(200, b'{"error":{"message":"overloaded"}}'), "in_stream_error"),
    "a page of HTML": (
        lambda call: call.answer(200, b"<html>Sign in</html>", {"content-type": "text/html"}),
        "malformed",
    ),
    "no content type": (lambda call: [call.send(b"HTTP/1.1 200 OK\r\n\r\nhello"), call.close()], "malformed"),
}


@pytest.mark.parametrize("broken", BROKEN_STREAM)
def test_the_next_offer_answers_where_a_stream_breaks_before_its_first_useful_event(model, broken) -> None:
    script, cause = BROKEN_STREAM[broken]
    model.plays(script, second=says("from the second"))
    answer = model.stream()
    assert (answer.status, answer.streamed_text) == (200, "from the second")
    assert answer.events[-1] == "[DONE]"
    first, second = model.gateway.record(answer.id).attempts
    assert (first.outcome, second.outcome) == (cause, "ok")


def test_a_provider_that_never_ends_its_event_is_left_before_it_fills_the_memory(model_of) -> None:
    model = model_of("abortable")
    endless = streams(b"data: ", lambda call: [call.send(b"x" * 1_000_000) for _ in range(200)])
    model.plays(endless, second=says("from the second"))
    answer = model.stream()
    assert answer.streamed_text == "from the second"
    assert model.calls[0].sent_bytes < 90_000_000
    assert model.gateway.record(answer.id).attempts[0].message == "an event has no end"


SILENT: dict[str, Script] = {
    "without a head": lambda call: call.stall(),
    "after the head": streams(lambda call: call.stall()),
    "after the role": streams(ROLE, lambda call: call.stall()),
}


@pytest.mark.parametrize("silence", SILENT)
def test_the_next_offer_answers_where_the_first_event_takes_too_long(model_of, silence) -> None:
    model = model_of("hasty")
    model.plays(SILENT[silence], second=says("from the second"))
    answer = model.stream()
    assert answer.streamed_text == "from the second"
    assert model.call_left()
    assert model.gateway.record(answer.id).attempts[0].outcome == "timeout_first_event"


def test_a_provider_that_only_sends_comments_is_left_in_time(model_of) -> None:
    def trickle(call) -> None:
        while not call.left.wait(0.05):
            call.send(b": thinking\n\n")

    model = model_of("hasty")
    model.plays(streams(trickle), second=says("from the second"))
    answer = model.stream()
    assert answer.streamed_text == "from the second"
    assert model.gateway.record(answer.id).attempts[0].outcome == "timeout_first_event"


def test_the_next_offer_answers_where_a_whole_answer_takes_too_long(model_of) -> None:
    model = model_of("brief")
    model.plays(lambda call: call.stall(), second=says("from the second"))
    answer = model.ask()
    assert answer.text == "from the second"
    assert model.gateway.record(answer.id).attempts[0].outcome.startswith("timeout")


# --- all fail


@STREAMED
def test_where_all_are_broken_the_client_gets_502_and_is_told_not_to_retry(model, stream) -> None:
    model.plays(fails(500, "secret words of the provider"), second=lambda call: call.reset())
    answer = model.ask(stream=stream)
    assert (answer.status, answer.error["type"], answer.error["code"]) == (502, "no_provider_available", "502")
    assert answer.headers["x-should-retry"] == "false"
    assert "first answered with status 500" in answer.error["message"]
    assert "secret words" not in answer.error["message"]
    assert answer.error["request_id"] == answer.id
    record = model.gateway.record(answer.id)
    assert (record.outcome, record.status, record.error_type) == ("error", 502, "no_provider_available")
    assert [attempt.outcome for attempt in record.attempts] == ["status", "reset"]


@STREAMED
def test_where_none_answers_in_time_the_client_gets_504(model_of, stream) -> None:
    model = model_of("hasty" if stream else "brief")
    model.plays(lambda call: call.stall(), second=lambda call: call.stall())
    answer = model.ask(stream=stream)
    assert (answer.status, answer.error["type"]) == (504, "provider_timeout")
    assert answer.headers["x-should-retry"] == "false"


def test_where_all_are_at_their_limit_the_client_gets_429_with_the_shortest_wait(model) -> None:
    limited = fails(429, "slow down", headers={"retry-after": "7"})
    model.plays(limited, second=fails(429, "slow down", headers={"retry-after": "3"}))
    answer = model.ask()
    assert (answer.status, answer.error["type"]) == (429, "rate_limit")
    assert answer.headers["retry-after"] == "3"
    assert "x-should-retry" not in answer.headers


# --- after the commit


AFTER: dict[str, tuple[tuple, str]] = {
    "closed": ((), "truncated"),
    "reset": ((lambda call: call.reset(),), "truncated"),
    "an error event": ((b'data: {"error":{"message":"the model fell over"}}\n\n',), "in_stream_error"),
    "an error event and [DONE]": ((b'data: {"error":{"message":"the model fell over"}}\n\n', DONE), "in_stream_error"),
    "half an event": ((b'data: {"choices": [{"de',), "truncated"),
}


@pytest.mark.parametrize("end", AFTER)
def test_a_stream_that_breaks_after_its_beginning_ends_in_an_error_event_and_no_done(model, end) -> None:
    steps, cause = AFTER[end]
    model.plays(streams(ROLE, chunk({"content": "half an"}), Call.pause, *steps), second=says("never asked"))
    with model.open() as begun:
        begun.event()
        begun.event()
        model.upstream.call(model.name).go_on()
        answer = begun.answer()
    assert (answer.status, answer.broken) == (200, False)
    error = answer.events[-1]["error"]
    assert (error["code"], error["type"]) == ("502", "no_provider_available")
    assert error["request_id"] == answer.id
    assert "[DONE]" not in answer.events
    assert [event for event in answer.events if "error" in event] == [answer.events[-1]]
    assert model.asked == ["first"]
    record = model.gateway.record(answer.id)
    assert (record.outcome, record.attempts[0].outcome) == ("cut", cause)


def test_a_stream_that_stalls_after_its_beginning_ends_in_an_error_event(model_of) -> None:
    model = model_of("patient")
    model.plays(streams(ROLE, chunk({"content": "half an"}), lambda call: call.stall()), second=says("never asked"))
    answer = model.stream()
    assert answer.streamed_text == "half an"
    assert "timeout_idle" in answer.events[-1]["error"]["message"]
    assert model.call_left()
    record = model.gateway.record(answer.id)
    assert (record.outcome, record.attempts[0].outcome) == ("cut", "timeout_idle")


def test_a_provider_may_think_longer_before_its_answer_than_within_it(model_of) -> None:
    model = model_of("patient")
    model.plays(streams(thinks(0.5), ROLE, thinks(0.5), chunk({"content": "hello"}), chunk({}, finish="stop")))
    answer = model.stream()
    assert answer.streamed_text == "hello"
    assert model.asked == ["first"]


def test_a_stream_whose_last_event_is_malformed_is_passed_on_as_it_came(model) -> None:
    odd = b"data: {not json\n\n"
    model.plays(streams(ROLE, chunk({"content": "hello"}), odd, chunk({}, finish="stop"), DONE))
    answer = model.stream()
    assert odd in answer.body
    assert answer.body.endswith(DONE)


def test_a_stream_without_done_is_whole_where_it_has_said_its_end(model) -> None:
    model.plays(streams(ROLE, chunk({"content": "hello"}), chunk({}, finish="stop")))
    answer = model.stream()
    assert answer.streamed_text == "hello"
    assert model.gateway.record(answer.id).outcome == "ok"


def test_what_comes_in_one_piece_with_an_error_still_goes_to_the_next_offer(model) -> None:
    error = b'data: {"error":{"message":"the model fell over"}}\n\n'
    model.plays(streams(ROLE + chunk({"content": "half an"}) + error), second=says("from the second"))
    assert model.stream().streamed_text == "from the second"


def test_a_usage_of_an_odd_shape_spoils_no_answer(model) -> None:
    for usage in ([], 5, {}, {"prompt_tokens": -1}, {"prompt_tokens": "many"}):
        choices = [{"message": {"content": "fine"}, "finish_reason": "stop"}]
        model.plays(lambda call, told={"choices": choices, "usage": usage}: call.answer(200, json.dumps(told).encode()))
        answer = model.ask()
        assert answer.text == "fine"
        assert model.gateway.record(answer.id).usage.estimated


@pytest.mark.parametrize("wait", ["\xb2", "9" * 400, "Wed, 21 Oct 99999 07:28:00 GMT", "-5", "soon"])
def test_a_strange_retry_after_is_no_wish_at_all(model, wait) -> None:
    model.plays(fails(429, headers={"Retry-After": wait}), second=says("from the second"))
    assert model.ask().text == "from the second"


def test_a_stream_that_opens_without_end_is_left_for_the_next_offer(model) -> None:
    def babble(call) -> None:
        while not call.left.is_set():
            call.send(b"data: " + b'{"choices":[]}' + b" " * 60_000 + b"\n\n")

    model.plays(streams(babble), second=says("from the second"))
    answer = model.stream()
    assert answer.streamed_text == "from the second"
    assert model.gateway.record(answer.id).attempts[0].outcome == "malformed"


def test_what_goes_wrong_after_the_end_of_an_answer_is_no_error(model) -> None:
    def all_but_the_last_chunk(call) -> None:
        call.send(b'data: {"choices":[{"delta":{"content":"all"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
        call.reset()

    model.plays(streams(all_but_the_last_chunk))
    answer = model.stream()
    assert answer.events[-1] == "[DONE]"
    assert model.gateway.record(answer.id).outcome == "ok"


def test_words_about_the_operators_account_do_not_reach_the_caller_inside_a_stream_either(model) -> None:
    words = "Incorrect API key provided: sk-proj-abcdefgh12 of org-ACME12345"

    def refuse_late(call) -> None:
        call.send(b'data: {"choices":[{"delta":{"content":"well"}}]}\n\n')
        call.send(b'data: {"error":{"code":"401","message":"' + words.encode() + b'"}}\n\n')

    model.plays(streams(refuse_late))
    answer = model.stream()
    record = model.gateway.record(answer.id)
    for text in (answer.body.decode(), record.error_message, record.attempts[0].message):
        assert "abcdefgh12" not in text
        assert "ACME12345" not in text


def test_a_caller_who_asked_for_usage_gets_an_estimate_where_the_provider_sends_none(model) -> None:
    model.plays(
        streams(
            lambda call: call.send(
                b'data: {"id":"c","choices":[{"delta":{"content":"hello"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
            )
        )
    )
    answer = model.stream(stream_options={"include_usage": True})
    usage = answer.events[-2]["usage"]
    assert answer.events[-1] == "[DONE]"
    assert usage["estimated"] is True
    assert usage["cost"] > 0

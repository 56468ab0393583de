"""A provider refuses: the client's own fault goes back to it, the operator's goes to the next offer and into the log."""

import json
import re

import pytest

from tests.fakes.gateway import OPERATOR_KEY
from tests.fakes.upstream import Call, chunk, fails, says, streams

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@STREAMED
@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_params"), (413, "invalid_params"), (422, "provider_unprocessable_entity_error")],
)
def test_a_fault_of_the_client_goes_back_in_the_providers_own_words(model, status, kind, stream) -> None:
    words = "prompt is too long: 250001 tokens > 200000 maximum"
    model.plays(fails(status, words, param="messages"), second=says("never asked"))
    answer = model.ask(stream=stream)
    assert (answer.status, answer.error["code"], answer.error["type"]) == (status, str(status), kind)
    assert (answer.error["message"], answer.error["param"]) == (words, "messages")
    assert model.asked == ["first"]
    record = model.gateway.record(answer.id)
    assert (record.outcome, record.status, record.error_message) == ("error", status, words)


SAFETY = {
    "OpenRouter's moderation": (403, {"message": "Your chosen model requires moderation and your input was flagged"}),
    "Azure's filter": (400, {"message": "The response was filtered", "code": "content_filter"}),
    "OpenAI's policy": (400, {"message": "Rejected", "code": "content_policy_violation"}),
}


@STREAMED
@pytest.mark.parametrize("vendor", SAFETY)
def test_a_refused_prompt_goes_back_to_the_client(model, vendor, stream) -> None:
    status, error = SAFETY[vendor]
    model.plays(fails(status, **error), second=says("never asked"))
    answer = model.ask(stream=stream)
    assert (answer.status, answer.error["message"]) == (status, error["message"])
    assert model.asked == ["first"]


OPERATORS = {
    "wrong key": (401, {"message": f"Incorrect API key provided: {OPERATOR_KEY}.", "code": "invalid_api_key"}),
    "Google's wrong key": (400, {"message": "API key not valid. Please pass a valid API key.", "code": 400}),
    "no access": (403, {"message": "Country, region, or territory not supported"}),
    "no credit": (402, {"message": "Insufficient Balance"}),
    "quota used up": (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}),
    "Anthropic's credit": (400, {"message": "Your credit balance is too low to access the API"}),
    "unknown model": (404, {"message": "The model `x` does not exist", "code": "model_not_found"}),
    "a model that Bedrock does not give": (400, {"message": "The provided model identifier is invalid."}),
    "a model that Bedrock gives in profiles only": (
        400,
        {"message": "Invocation of model ID x with on-demand throughput isn't supported."},
    ),
    "unknown deployment": (404, {"message": "The API deployment for this resource does not exist."}),
}


@STREAMED
@pytest.mark.parametrize("fault", OPERATORS)
def test_a_fault_of_the_operator_goes_to_the_next_offer_and_into_the_log(model, fault, stream) -> None:
    status, error = OPERATORS[fault]
    model.plays(fails(status, **error), second=says("from the second"))
    answer = model.ask(stream=stream)
    assert answer.status == 200
    assert model.asked == ["first", "second"]
    line = model.gateway.logged(f"{model.slug}:first")
    assert "refuses this gateway's account" in line
    assert f'"status": {status}' in line
    assert error["message"][:20] in model.gateway.record(answer.id).attempts[0].message


def test_an_offer_that_refuses_the_operators_account_waits_behind_the_others(model) -> None:
    model.plays(fails(401, "wrong key"), second=says("from the second"))
    model.ask()
    assert model.ask().text == "from the second"
    assert model.asked == ["first", "second", "second"]
    (endpoint, _) = model.gateway.get(f"/api/v1/models/{model.slug}/endpoints").json["data"]["endpoints"]
    assert endpoint["figures"]["uptime_percent"] is None


def test_an_empty_404_goes_to_the_next_offer(model) -> None:
    model.plays(lambda call: call.answer(404, b""), second=says("from the second"))
    assert model.ask().text == "from the second"


def test_a_redirect_is_not_followed_and_is_the_operators_fault(model) -> None:
    elsewhere = {"location": "http://127.0.0.1:9/v1/chat/completions"}
    model.plays(lambda call: call.answer(307, b"", elsewhere), second=says("from the second"))
    assert model.ask().text == "from the second"


@STREAMED
@pytest.mark.parametrize("fault", ["wrong key", "no credit", "unknown model"])
def test_where_all_faults_are_the_operators_the_client_learns_nothing_of_them(model, fault, stream) -> None:
    status, error = OPERATORS[fault]
    model.plays(fails(status, **error), second=fails(status, **error))
    answer = model.ask(stream=stream)
    assert (answer.status, answer.error["type"]) == (502, "no_provider_available")
    assert "its operator can see why" in answer.error["message"]
    assert error["message"] not in answer.error["message"]
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    "words", [f"Incorrect API key provided: {OPERATOR_KEY}.", "Incorrect API key: sk-oper****cdef."]
)
def test_no_key_is_written_down_even_where_a_provider_repeats_it(model, words) -> None:
    model.plays(fails(401, words), second=fails(401, words))
    answer = model.ask()
    assert model.gateway.logged(f"{model.slug}:first")
    assert OPERATOR_KEY not in model.gateway.log
    assert "sk-oper" not in model.gateway.log
    assert "sk-oper" not in str(model.gateway.record(answer.id))
    assert "sk-oper" not in answer.body.decode()


def test_no_key_reaches_the_client_in_a_fault_of_its_own(model) -> None:
    model.plays(fails(400, f"bad request for key {OPERATOR_KEY}"))
    answer = model.ask()
    assert (answer.status, OPERATOR_KEY in answer.body.decode()) == (400, False)
    assert OPERATOR_KEY not in str(model.gateway.record(answer.id))


def test_no_key_reaches_the_client_in_an_error_inside_a_stream(model) -> None:
    error = b'data: {"error":{"message":"bad request for key %b"}}\n\n' % OPERATOR_KEY.encode()
    model.plays(streams(chunk({"content": "half an"}), Call.pause, error))
    with model.open() as begun:
        begun.event()
        model.upstream.call(model.name).go_on()
        answer = begun.answer()
    assert "bad request" in answer.body.decode()
    assert OPERATOR_KEY not in answer.body.decode()
    assert OPERATOR_KEY not in str(model.gateway.record(answer.id))


INSIDE = {
    "a number": ({"message": "prompt is too long", "code": 400}, 400, "invalid_params"),
    "a word": ({"message": "prompt is too long", "type": "invalid_request_error"}, 400, "invalid_params"),
    "safety": ({"message": "flagged by moderation", "code": "403"}, 403, "safety_check_failed"),
}


@pytest.mark.parametrize("error", INSIDE)
@STREAMED
def test_a_fault_of_the_client_inside_an_answer_goes_back_as_the_status_it_means(model, error, stream) -> None:
    fields, status, kind = INSIDE[error]
    body = json.dumps({"error": fields}).encode()
    if stream:
        model.plays(streams(b"data: " + body + b"\n\n"), second=says("never asked"))
    else:
        model.plays(lambda call: call.answer(200, body), second=says("never asked"))
    answer = model.ask(stream=stream)
    assert (answer.status, answer.error["type"], answer.error["message"]) == (status, kind, fields["message"])
    assert model.asked == ["first"]


@STREAMED
def test_a_limit_told_inside_an_answer_is_a_limit(model, stream) -> None:
    body = b'{"error":{"message":"slow down","code":429}}'
    script = streams(b"data: " + body + b"\n\n") if stream else lambda call: call.answer(200, body)
    model.plays(script, second=script)
    answer = model.ask(stream=stream)
    assert (answer.status, answer.error["type"]) == (429, "rate_limit")


# --- resting


@pytest.mark.parametrize("status", [429, 503])
def test_an_offer_that_asked_to_be_left_alone_is_skipped(model, status) -> None:
    model.plays(fails(status, "later", headers={"retry-after": "60"}), second=says("from the second"))
    assert model.ask().text == "from the second"
    second = model.ask()
    assert second.text == "from the second"
    assert model.asked == ["first", "second", "second"]
    plan = {candidate.offer: candidate for candidate in model.gateway.record(second.id).plan}
    assert plan[f"{model.slug}:first"].rank is None
    assert re.fullmatch(rf"asked to be left alone for \d+ s \(status {status}\)", plan[f"{model.slug}:first"].reason)


@STREAMED
def test_while_all_offers_rest_the_client_gets_429_at_once_and_no_provider_is_called(model, stream) -> None:
    later = fails(429, "later", headers={"retry-after": "60"})
    model.plays(later, second=fails(429, "later", headers={"retry-after-ms": "45000"}))
    model.ask()
    answer = model.ask(stream=stream)
    assert (answer.status, answer.error["type"]) == (429, "rate_limit")
    assert 30 < int(answer.headers["retry-after"]) <= 45
    assert model.asked == ["first", "second"]
    record = model.gateway.record(answer.id)
    assert (record.status, record.attempts) == (429, ())


def test_a_retry_after_as_a_date_is_understood(model) -> None:
    model.plays(fails(503, "later", headers={"retry-after": "Fri, 31 Dec 2100 23:59:59 GMT"}))
    model.upstream.plays("second", model.name, says("from the second"))
    model.ask()
    model.ask()
    assert model.asked == ["first", "second", "second"]


def test_a_429_without_retry_after_does_not_make_an_offer_rest(model) -> None:
    model.plays(fails(429, "later"), says("from the first"), second=says("from the second"))
    assert model.ask().text == "from the second"
    assert model.gateway.chat(f"{model.slug}:first").text == "from the first"

"""Which offer a request goes to, in which order, and why not to the others: told to the client and kept in the record."""

import json

import pytest

from tests.fakes.upstream import fails, says, stream_of, streams

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}


def plan_of(model, answer) -> dict[str, tuple[int | None, str]]:
    return {one.offer.rpartition(":")[2]: (one.rank, one.reason) for one in model.gateway.record(answer.id).plan}


# --- order


def test_the_plan_tells_of_each_offer_what_is_known_of_it(model) -> None:
    model.plays(says("first"), second=says("second"))
    assert model.stream().streamed_text == "first"
    plan = plan_of(model, model.stream())
    assert plan["first"][0] == 1
    assert "first-token latency" in plan["first"][1]
    assert " ms" in plan["first"][1]
    assert plan["second"][0] == 2
    assert "first-token latency not measured yet" in plan["second"][1]


def test_of_measured_offers_the_one_with_the_lower_latency_comes_first(model) -> None:
    def slowly(call) -> None:
        call.pause()
        streams(stream_of("slow"))(call)

    model.plays(slowly, says("slow"), second=says("quick"))
    with model.gateway.begun(model.slug, stream=True) as waiting:
        call = model.upstream.call(model.name)
        # While the first offer lets its caller wait, another one is served, whatever that takes.
        assert model.gateway.stream(f"{model.slug}:second").streamed_text == "quick"
        call.go_on()
        assert b"slow" in waiting.getresponse().read()
    answer = model.stream()
    assert answer.streamed_text == "quick"
    assert [rank for rank, _ in plan_of(model, answer).values()] == [1, 2]
    assert list(plan_of(model, answer)) == ["second", "first"]


def test_an_unmeasured_offer_that_failed_lately_waits_behind_the_others(model) -> None:
    model.plays(fails(500), second=says("second"))
    model.ask()
    answer = model.ask()
    assert model.asked == ["first", "second", "second"]
    rank, reason = plan_of(model, answer)["first"]
    assert rank == 2
    assert "first-token latency not measured yet" in reason
    assert "failed" in reason


def test_a_provider_behind_the_name_pins_it(model) -> None:
    model.plays(says("first"), second=says("second"))
    assert model.gateway.chat(f"{model.slug}:second").text == "second"
    assert model.asked == ["second"]


def test_a_pinned_provider_that_fails_is_not_replaced(model) -> None:
    model.plays(says("first"), second=fails(500))
    answer = model.gateway.chat(f"{model.slug}:second")
    assert answer.status == 502
    assert model.asked == ["second"]


# --- parameters


def test_a_parameter_that_no_offer_supports_is_left_out_with_notice(model_of) -> None:
    model = model_of("choosy")
    model.plays(says("hello"))
    answer = model.ask(temperature=0.5, top_k=3, max_completion_tokens=20)
    assert answer.status == 200
    assert answer.headers["x-trunkline-dropped"] == "temperature, top_k"
    sent = model.calls[0].json
    assert {"temperature", "top_k"} & sent.keys() == set()
    assert sent["max_completion_tokens"] == 20
    losses = {loss.field: loss.action for loss in model.gateway.record(answer.id).losses}
    assert losses == {"temperature": "dropped", "top_k": "dropped"}


def test_a_stream_tells_what_was_left_out_too(model_of) -> None:
    model = model_of("choosy")
    model.plays(says("hello"))
    assert model.stream(temperature=0.5).headers["x-trunkline-dropped"] == "temperature"


def test_a_parameter_that_must_be_supported_is_refused_by_name(model_of) -> None:
    model = model_of("choosy")
    answer = model.ask(temperature=0.5, provider={"require_parameters": True})
    assert (answer.status, answer.error["type"], answer.error["param"]) == (404, "model_not_supported", "temperature")
    assert "temperature" in answer.error["message"]
    assert model.calls == []


def test_an_operator_can_have_such_parameters_refused_and_a_client_have_them_dropped(brisk_choosy) -> None:
    brisk_choosy.plays(says("hello"))
    assert brisk_choosy.ask(temperature=0.5).error["param"] == "temperature"
    answer = brisk_choosy.ask(temperature=0.5, provider={"require_parameters": False})
    assert answer.headers["x-trunkline-dropped"] == "temperature"


def test_a_parameter_with_null_counts_as_not_given(model_of) -> None:
    model = model_of("choosy")
    model.plays(says("hello"))
    answer = model.ask(temperature=None, provider={"require_parameters": True})
    assert (answer.status, answer.headers["x-trunkline-dropped"]) == (200, None)


def test_an_offer_that_does_not_support_a_parameter_gives_way_to_one_that_does(gateway, upstream) -> None:
    upstream.plays("first", "acme--unequal", says("first"))
    upstream.plays("second", "acme--unequal", says("second"))
    answer = gateway.chat("acme/unequal", temperature=0.5)
    assert answer.text == "second"
    assert answer.headers["x-trunkline-dropped"] is None
    (excluded,) = [one for one in gateway.record(answer.id).plan if one.rank is None]
    assert (excluded.offer, excluded.reason) == ("acme/unequal:first", "does not support: temperature")
    assert upstream.calls("acme--unequal")[-1].json["temperature"] == 0.5


def test_a_name_outside_the_vocabulary_is_forwarded_to_an_offer_with_a_list(model_of) -> None:
    model = model_of("choosy")
    model.plays(says("hello"))
    model.ask(vendor_extra={"b": 1, "a": [2]})
    assert b'"vendor_extra":{"b": 1, "a": [2]}' in model.calls[0].body


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_output_limit_is_left_out_by_either_name(gateway, upstream, name) -> None:
    upstream.plays("first", "acme--toolless", says("hello"))
    answer = gateway.chat("acme/toolless", **{name: 5})
    assert answer.headers["x-trunkline-dropped"] == "max_completion_tokens"
    assert upstream.calls("acme--toolless")[-1].json.keys() == {"model", "messages"}


def test_tools_are_never_dropped(gateway) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    answer = gateway.chat("acme/toolless", tools=[tool])
    assert (answer.status, answer.error["param"]) == (404, "tools")
    assert "does not support `tools`" in answer.error["message"]


# --- what a model cannot do


def test_an_image_for_a_model_that_sees_none_is_refused_with_the_reason(model) -> None:
    answer = model.ask(messages=[{"role": "user", "content": [{"type": "text", "text": "what is it?"}, IMAGE]}])
    assert (answer.status, answer.error["type"]) == (404, "model_not_supported")
    assert "takes no image input" in answer.error["message"]
    assert model.calls == []


def test_a_text_that_speaks_of_image_url_is_no_image(model) -> None:
    model.plays(says("hello"))
    assert model.ask('what does {"type":"image_url"} mean?').status == 200
    assert model.ask(messages=[{"role": "user", "content": [{"type": "text", "text": "image_url?"}]}]).status == 200


def test_reasoning_of_a_model_that_does_not_reason_is_refused_with_the_reason(model) -> None:
    answer = model.ask(reasoning_effort="high")
    assert (answer.status, answer.error["param"]) == (404, "reasoning_effort")
    assert "does not reason" in answer.error["message"]


def test_more_output_than_an_offer_gives_is_refused_with_the_limit(model_of) -> None:
    answer = model_of("small").ask(max_tokens=51)
    assert (answer.status, answer.error["type"]) == (400, "invalid_params")
    assert "at most 50 output tokens, 51 were asked for" in answer.error["message"]


def test_a_prompt_beyond_the_context_is_refused_with_the_sizes(model_of) -> None:
    answer = model_of("small").ask("x" * 2000)
    assert answer.status == 413
    assert "prompt is too long: 125 tokens > 100 maximum" in answer.error["message"]


def test_a_prompt_in_escaped_letters_is_not_counted_by_their_escapes(model_of) -> None:
    model = model_of("small")
    model.plays(says("da"))
    assert "\\u" in json.dumps("\u0436")
    assert model.ask("\u0436" * 400).status == 200


def test_the_payload_of_an_image_does_not_count_as_prompt(model_of) -> None:
    model = model_of("seeing")
    model.plays(says("a cat"))
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 2_000_000}}
    assert model.ask(messages=[{"role": "user", "content": [image]}]).text == "a cat"


def test_an_offer_that_was_shut_down_is_out_of_the_plan(gateway, upstream) -> None:
    upstream.plays("second", "acme--leaving", says("still here"))
    answer = gateway.chat("acme/leaving")
    assert answer.text == "still here"
    (gone,) = [one for one in gateway.record(answer.id).plan if one.rank is None]
    assert (gone.offer, gone.reason) == ("acme/leaving:first", "shut down on 2020-01-01")


def test_a_model_of_which_every_offer_was_shut_down_says_so(gateway) -> None:
    answer = gateway.chat("acme/leaving:first")
    assert (answer.status, answer.error["type"]) == (404, "model_not_supported")
    assert "shut down on 2020-01-01" in answer.error["message"]


# --- names


def test_an_unknown_model_is_answered_with_near_names(gateway) -> None:
    answer = gateway.chat("openai/o4-mni")
    assert (answer.status, answer.error["type"], answer.error["param"]) == (404, "invalid_model", "model")
    assert "openai/o4-mini" in answer.error["message"]


def test_a_provider_that_does_not_serve_the_model_is_answered_with_those_that_do(model) -> None:
    answer = model.gateway.chat(f"{model.slug}:nobody")
    assert answer.status == 404
    assert f"{model.slug}:first" in answer.error["message"]


def test_a_model_without_a_key_is_answered_with_the_variable_and_a_model_that_can_be_called(gateway) -> None:
    answer = gateway.chat("acme/keyless")
    assert (answer.status, answer.error["type"]) == (404, "model_not_supported")
    assert "KEYLESS_API_KEY" in answer.error["message"]
    named = answer.error["message"].rpartition("can be called now is `")[2].partition("`")[0]
    assert named in {card["id"] for card in gateway.get("/api/v1/models").json["data"]}


def test_an_alias_is_a_name_too(gateway, simulated) -> None:
    assert gateway.chat("o4-mini", "<<say hello>>").text.endswith("hello")


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        (b"{", None, "not valid JSON"),
        (b"[]", None, "must be a JSON object"),
        (b'{"messages":[{"role":"user","content":"hi"}]}', "model", "`model` is missing"),
        (b'{"model":"acme/plain-0"}', "messages", "at least one message"),
        (b'{"model":"acme/plain-0","messages":[ ]}', "messages", "at least one message"),
        (b'{"model":"acme/plain-0","messages":[{}],"stream":"yes"}', "stream", "`stream` is not right"),
        (b'{"model":7,"messages":[{}]}', "model", "`model` is not right"),
        (b'{"model":"acme/plain-0","messages":[{}],"max_tokens":0}', "max_tokens", "at least 1"),
        (b'{"model":"acme/plain-0","messages":[{"content":"hi"]}', None, "not valid JSON"),
        (b'{"model":"acme/\xffplain","messages":[{}]}', None, "not valid JSON"),
        (b'{"model":"acme/plain-0","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None, "not valid JSON"),
        (b'{"model":"acme/plain-0","messages":[{"content":"\xff image_url"}]}', "messages", "`messages` is not right"),
        (b'{"model":"acme/plain-0","messages":[{}],"session_id":"a\xffbc"}', "session_id", "`session_id` is not right"),
        (b"", None, "not valid JSON"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_by_field(gateway, body, param, words) -> None:
    answer = gateway.request("POST", "/api/v1/chat/completions", body)
    assert (answer.status, answer.error["type"], answer.error["param"]) == (400, "invalid_params", param)
    assert words in answer.error["message"]
    record = gateway.record(answer.id)
    assert (record.outcome, record.status, record.attempts) == ("error", 400, ())

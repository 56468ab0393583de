"""Every client protocol over Bedrock's Converse, which no client speaks: whole and in AWS's frames."""

import pytest

from tests.fakes.four import BEDROCK_MODELS, CONVERSE
from tests.fakes.talking import CHAT, GEMINI, MESSAGES, PROTOCOLS, RESPONSES, USERS, WITH_TOOL, Talk, tokens
from tests.flows.test_translation import FINISHES, FORCED, LIMITS, PAIR, PIXEL, STOPS, image_result

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
CLIENTS = pytest.mark.parametrize("client", PROTOCOLS)
MAKERS = pytest.mark.parametrize("maker", list(BEDROCK_MODELS))


def sent(simulated):
    return simulated.log("sim-bedrock")[-1]


@CLIENTS
@MAKERS
@STREAMED
def test_text_reasoning_usage_and_cost(four, simulated, client, maker, stream) -> None:
    talk = Talk(four, client, f"acme/bedrock-{maker}", stream=stream).agent
    said = talk.say("<<think deep thoughts>><<say Grüße 🌍>><<usage 2000 500 1200 100>>")
    assert (said.text, said.reasoning, said.calls) == ("[simulated] Grüße 🌍", "deep thoughts", [])
    assert tokens(client, said.usage) == (2000, 1200, 500)
    record = four.record(said.answer.id)
    assert said.usage["cost"] == pytest.approx((800 * 1.1 + 1200 * 0.275 + 500 * 4.4) / 1e6)
    assert record.cost_pico_usd == round(said.usage["cost"] * 1e12)
    assert (record.protocol, record.attempts[0].protocol) == (client, CONVERSE)
    assert (record.outcome, record.streamed, record.first_token_ms is not None) == ("ok", stream, stream)


@CLIENTS
@MAKERS
@STREAMED
def test_two_parallel_calls_in_two_rounds_with_the_reasoning_before_them(
    four, simulated, client, maker, stream
) -> None:
    talk = Talk(four, client, f"acme/bedrock-{maker}", stream=stream).agent
    first = talk.say(f"<<think deep thoughts>>{PAIR}<<say both are done>>")
    assert [(call.name, call.arguments["city"]) for call in first.calls] == [
        ("weather", "Bath"),
        ("weather", "São Paulo 🌧"),
    ]
    assert first.finish == FINISHES[client][1]
    assert talk.results(first, "rain").text == "[simulated] both are done"
    assert sent(simulated)["text"].count("rain in ") == 2
    if maker == "claude":
        # The simulated Claude has checked the signature.
        assert "deep thoughts" in sent(simulated)["text"]


@CLIENTS
@STREAMED
def test_the_finish_is_told_in_the_clients_words(four, simulated, client, stream) -> None:
    stop, _, length = FINISHES[client]
    assert Talk(four, client, "acme/bedrock-nova", stream=stream).say("<<say hi>>").finish == stop
    assert (
        Talk(four, client, "acme/bedrock-nova", stream=stream).say("<<tokens 900>>", **LIMITS[client]).finish == length
    )


@pytest.mark.parametrize("client", list(STOPS))
@STREAMED
def test_a_stop_word_ends_the_answer_and_is_named_where_the_model_names_it(four, simulated, client, stream) -> None:
    said = Talk(four, client, "acme/bedrock-claude", stream=stream).say("<<say one two three four>>", **STOPS[client])
    assert said.text == "[simulated] one two "
    if client == MESSAGES:
        assert (said.finish, '"stop_sequence":"three"' in said.answer.body.decode()) == ("stop_sequence", True)


@CLIENTS
@STREAMED
def test_an_error_of_bedrock_is_told_in_the_clients_shape(four, simulated, client, stream) -> None:
    talk = Talk(four, client, "acme/bedrock-failing", stream=stream)
    talk.history = USERS[client]("<<fail 400 9>>")
    answer = talk.send()
    assert (answer.status, "Simulated: the request is not valid." in answer.body.decode()) == (400, True)


@CLIENTS
def test_a_stream_that_breaks_in_its_middle_ends_with_an_error(four, simulated, client) -> None:
    talk = Talk(four, client, "acme/bedrock-failing", stream=True)
    talk.history = USERS[client]("<<say one two three>><<slow 40>><<errmid 2>>")
    answer = talk.send()
    assert "unexpected error" in answer.body.decode()
    (attempt,) = four.record(answer.id).attempts
    assert (attempt.outcome, four.record(answer.id).outcome) != ("ok", "ok")


@pytest.mark.parametrize("client", [RESPONSES, MESSAGES, GEMINI])
def test_an_image_in_a_tools_result_reaches_the_model(four, simulated, client) -> None:
    talk = Talk(four, client, "acme/bedrock-nova").agent
    (call,) = talk.say('<<call weather {"city": "Bath"}>><<say done>>').calls
    talk.history += image_result(client, call)
    talk.ask()
    assert PIXEL in sent(simulated)["text"]


@CLIENTS
@MAKERS
def test_a_demanded_call_is_made(four, simulated, client, maker) -> None:
    said = Talk(four, client, f"acme/bedrock-{maker}").say("hi", **WITH_TOOL[client], **FORCED[client])
    assert [call.name for call in said.calls] == ["weather"]


def test_what_converse_has_no_place_for_is_told(four, simulated) -> None:
    said = Talk(four, CHAT, "acme/bedrock-nova").say("<<say hi>>", seed=7, frequency_penalty=0.5)
    assert said.text == "[simulated] hi"
    assert {"seed", "frequency_penalty"} <= {loss.field for loss in four.record(said.answer.id).losses}


def test_the_model_is_in_the_path_and_the_key_in_the_header(four, simulated) -> None:
    Talk(four, CHAT, "acme/bedrock-claude", stream=True).say("<<say hi>>")
    entry = sent(simulated)
    assert entry["path"].endswith("/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse-stream")
    assert '"model"' not in entry["text"]

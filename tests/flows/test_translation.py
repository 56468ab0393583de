"""Every client protocol over every provider protocol: the same answer, the same bill, one record, and each delta at once."""

from typing import Any

import pytest

from tests.fakes.four import KINDS
from tests.fakes.talking import (
    CHAT,
    GEMINI,
    MESSAGES,
    PROTOCOLS,
    RESPONSES,
    USERS,
    WITH_TOOL,
    Called,
    Talk,
    tokens,
    understood,
)

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
CLIENTS = pytest.mark.parametrize("client", PROTOCOLS)
PROVIDERS = pytest.mark.parametrize("kind", list(KINDS))
PAIR = '<<calls [{"name": "weather", "args": {"city": "Bath"}}, {"name": "weather", "args": {"city": "São Paulo 🌧"}}]>>'


@CLIENTS
@PROVIDERS
@STREAMED
def test_text_reasoning_usage_and_cost(four, simulated, client, kind, stream) -> None:
    talk = Talk(four, client, f"acme/over-{kind}", stream=stream).agent
    said = talk.say("<<think deep thoughts>><<say Grüße 🌍>><<usage 2000 500 1200 100>>")
    # `reasoning_effort` does not ask to see it, and an organisation that is not verified would be refused a summary.
    reasoning = "" if (client, kind) == (CHAT, "responses") else "deep thoughts"
    assert (said.text, said.reasoning, said.calls) == ("[simulated] Grüße 🌍", reasoning, [])
    # Claude counts the prompt without what was read from its cache, the others with it.
    assert tokens(client, said.usage) == (2000, 1200, 500)
    record = four.record(said.answer.id)
    assert (record.usage.total_input_tokens, record.usage.total_output_tokens) == (2000, 500)
    told = said.usage["cost"]
    assert told == pytest.approx((800 * 1.1 + 1200 * 0.275 + 500 * 4.4) / 1e6)
    assert record.cost_pico_usd == round(told * 1e12)
    if not stream:
        assert float(said.answer.headers["x-trunkline-cost"]) == told


@CLIENTS
@PROVIDERS
@STREAMED
def test_two_parallel_calls_in_two_rounds(four, simulated, client, kind, stream) -> None:
    talk = Talk(four, client, f"acme/over-{kind}", stream=stream).agent
    first = talk.say(f"{PAIR}<<say both are done>>")
    assert [(call.name, call.arguments["city"]) for call in first.calls] == [
        ("weather", "Bath"),
        ("weather", "São Paulo 🌧"),
    ]
    second = talk.results(first, "rain")
    assert second.text == "[simulated] both are done"
    assert simulated.log(f"sim-{kind}")[-1]["text"].count("rain in ") == 2


@CLIENTS
@PROVIDERS
@STREAMED
def test_one_record_says_which_protocols_were_spoken(four, simulated, client, kind, stream) -> None:
    said = Talk(four, client, f"acme/over-{kind}", stream=stream).say("<<say hi>>")
    record = four.record(said.answer.id)
    (attempt,) = record.attempts
    assert (record.protocol, attempt.protocol) == (client, KINDS[kind])
    assert (record.outcome, record.finish_reason, record.streamed, attempt.outcome) == ("ok", "stop", stream, "ok")
    assert (record.first_token_ms is not None, record.provider) == (stream, f"sim-{kind}")


FINISHES = {
    "openai.chat": ("stop", "tool_calls", "length"),
    "openai.responses": ("completed", "completed", "incomplete"),
    "anthropic.messages": ("end_turn", "tool_use", "max_tokens"),
    "gemini": ("STOP", "STOP", "MAX_TOKENS"),
}
LIMITS = {
    "openai.chat": {"max_completion_tokens": 300},
    "openai.responses": {"max_output_tokens": 300},
    "anthropic.messages": {"max_tokens": 300},
    "gemini": {"generationConfig": {"maxOutputTokens": 300}},
}


@CLIENTS
@PROVIDERS
@STREAMED
def test_the_finish_is_told_in_the_clients_words(four, simulated, client, kind, stream) -> None:
    stop, called, length = FINISHES[client]
    assert Talk(four, client, f"acme/over-{kind}", stream=stream).say("<<say hi>>").finish == stop
    assert Talk(four, client, f"acme/over-{kind}", stream=stream).agent.say(PAIR).finish == called
    assert (
        Talk(four, client, f"acme/over-{kind}", stream=stream).say("<<tokens 900>>", **LIMITS[client]).finish == length
    )


STOPS = {
    "openai.chat": {"stop": ["three"]},
    "anthropic.messages": {"stop_sequences": ["three"]},
    "gemini": {"generationConfig": {"stopSequences": ["three"]}},
}


@pytest.mark.parametrize(
    ("client", "kind"),
    [(client, kind) for client in STOPS for kind in KINDS if (client, kind) != ("openai.chat", "chat")],
)
@STREAMED
def test_a_stop_word_ends_the_answer_whether_the_provider_knows_it_or_not(
    four, simulated, client, kind, stream
) -> None:
    talk = Talk(four, client, f"acme/over-{kind}", stream=stream)
    said = talk.say("<<say one two three four>>", **STOPS[client])
    assert said.text == "[simulated] one two "
    # Gemini does not say which word it was that ended its answer, nor that one did.
    known = "end_turn" if kind == "gemini" else "stop_sequence"
    assert said.finish == {"openai.chat": "stop", "anthropic.messages": known, "gemini": "STOP"}[client]
    if known == "stop_sequence" and client == "anthropic.messages":
        assert '"stop_sequence":"three"' in said.answer.body.decode()


@STREAMED
@pytest.mark.parametrize(
    ("client", "kind", "fields", "lost"),
    [
        ("anthropic.messages", "responses", {"top_k": 5}, "top_k"),
        ("anthropic.messages", "chat", {"top_k": 5}, "top_k"),
        ("openai.chat", "messages", {"seed": 7}, "seed"),
        ("openai.chat", "messages", {"frequency_penalty": 0.5}, "frequency_penalty"),
        ("gemini", "responses", {"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]}, "safetySettings"),
        ("openai.responses", "gemini", {"truncation": "auto"}, "truncation"),
    ],
)  # fmt: skip
def test_what_has_no_place_is_told_in_a_header_and_in_the_record(
    four, simulated, client, kind, fields, lost, stream
) -> None:
    said = Talk(four, client, f"acme/over-{kind}", stream=stream).say("<<say hi>>", **fields)
    assert said.text == "[simulated] hi"
    assert f"{lost} dropped" in said.answer.headers["x-trunkline-losses"]
    assert lost in said.answer.headers["x-trunkline-dropped"]
    assert lost in [loss.field for loss in four.record(said.answer.id).losses]


@CLIENTS
@PROVIDERS
@STREAMED
def test_a_refusal_is_told_as_one(four, simulated, client, kind, stream) -> None:
    said = Talk(four, client, f"acme/over-{kind}", stream=stream).say("<<refuse I will not>>")
    refused = {
        "openai.chat": ("stop", "content_filter"),
        "openai.responses": ("completed", "incomplete"),
        "anthropic.messages": ("refusal",),
        "gemini": ("SAFETY", "PROHIBITED_CONTENT", "STOP"),
    }
    assert said.finish in refused[client]


@CLIENTS
@pytest.mark.parametrize(
    ("kind", "stream"),
    [(kind, stream) for kind in KINDS for stream in (False, True) if (kind, stream) != ("messages", True)],
)
def test_without_usage_from_the_provider_the_bill_is_an_estimate(four, simulated, client, kind, stream) -> None:
    """A stream of Messages always has a usage, so it is not among these."""
    talk = Talk(four, client, f"acme/over-{kind}", stream=stream)
    talk.history = USERS[client]("<<say hi>><<nousage>>")
    answer = talk.send()
    record = four.record(answer.id)
    assert record.usage.estimated
    assert record.cost_pico_usd > 0
    if not stream:
        assert float(answer.headers["x-trunkline-cost"]) == pytest.approx(record.cost_pico_usd / 1e12)
    if KINDS[kind] != client or client == CHAT:
        usage = understood(client, answer, stream=stream).usage
        assert usage["cost"] == pytest.approx(record.cost_pico_usd / 1e12)


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def image_result(client: str, call: Called) -> list[Any]:
    """A tool's result of a text and an image."""
    if client == MESSAGES:
        source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
        blocks = [{"type": "text", "text": "see"}, {"type": "image", "source": source}]
        return [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": blocks}]}]
    if client == RESPONSES:
        image = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}
        output = [{"type": "input_text", "text": "see"}, image]
        return [{"type": "function_call_output", "call_id": call.id, "output": output}]
    blob = {"inlineData": {"mimeType": "image/png", "data": PIXEL}}
    response = {"id": call.id, "name": call.name, "response": {"output": "see"}, "parts": [blob]}
    return [{"role": "user", "parts": [{"functionResponse": response}]}]


@pytest.mark.parametrize("client", [RESPONSES, MESSAGES, GEMINI])
@PROVIDERS
def test_an_image_in_a_tools_result_reaches_the_provider(four, simulated, client, kind) -> None:
    talk = Talk(four, client, f"acme/over-{kind}").agent
    (call,) = talk.say('<<call weather {"city": "Bath"}>><<say done>>').calls
    talk.history += image_result(client, call)
    talk.ask()
    assert PIXEL in simulated.log(f"sim-{kind}")[-1]["text"]


FORCED = {
    CHAT: {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
    RESPONSES: {"tool_choice": {"type": "function", "name": "weather"}},
    MESSAGES: {"tool_choice": {"type": "tool", "name": "weather"}},
    GEMINI: {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}}},
}


@CLIENTS
@PROVIDERS
def test_a_demanded_call_is_made(four, simulated, client, kind) -> None:
    said = Talk(four, client, f"acme/over-{kind}").say("hi", **WITH_TOOL[client], **FORCED[client])
    assert [call.name for call in said.calls] == ["weather"]

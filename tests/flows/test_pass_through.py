"""Same protocol on both sides: the bytes pass, but for the few that are the gateway's to change."""

import itertools
import json

import pytest

from tests.fakes.gateway import MASTER_KEY, OPERATOR_KEY
from tests.fakes.upstream import DONE, STREAM_HEAD, USAGE, chunk, completion, says, stream_of, streams, usage_chunk

PLAIN = {"usage": {"include": False}}


# --- the request


def test_the_provider_sees_every_unknown_field_byte_for_byte(model) -> None:
    odd = b'{ "b" :1.50e+3,"a":[ "\\u00e9\\ud83d\\ude00", null,\t{"z":-0.0} ] , "b":2}'
    messages = b'[ {"role":"user","content":"hi", "name" : "alice", "vendor": {"x":1, "x":1.0}} ]'
    body = b'{"zeta": %b,\n "model": "%b", "messages":%b, "temperature":0.70, "nothing":null}' % (
        odd,
        model.slug.encode(),
        messages,
    )
    model.plays(says())
    assert model.gateway.request("POST", "/api/v1/chat/completions", body).status == 200
    sent = model.calls[0].body
    assert b'"zeta":' + odd in sent
    assert b'"messages":' + messages in sent
    assert b'"temperature":0.70' in sent
    assert b'"nothing":null' in sent
    assert list(model.calls[0].json) == ["zeta", "model", "messages", "temperature", "nothing"]
    assert model.calls[0].json["model"] == model.name


def test_the_provider_never_sees_what_is_meant_for_gateways(model) -> None:
    model.plays(says())
    ours = {
        "provider": {"routing": {"type": "priority", "providers": ["first"]}, "fallback": "true"},
        "models": [],
        "model_routing_config": {"preference": "price"},
        "usage": {"include": True},
        "transforms": [],
        "route": "fallback",
        "plugins": [],
    }
    assert model.ask(**ours).status == 200
    assert model.calls[0].json.keys() == {"model", "messages"}


@pytest.mark.parametrize("given", [{}, {"stream_options": None}, {"stream_options": {"include_usage": False}}])
def test_usage_is_asked_for_in_every_stream(model, given) -> None:
    model.plays(says())
    model.stream(**given)
    assert model.calls[0].json["stream_options"] == {"include_usage": True}


def test_other_stream_options_are_kept_as_they_are(model) -> None:
    model.plays(says())
    model.stream(stream_options={"vendor": [1, 2], "include_usage": False})
    assert b'"stream_options":{"vendor":[1, 2],"include_usage":true}' in model.calls[0].body


def test_nothing_is_added_to_a_request_that_is_not_streamed(model) -> None:
    model.plays(says())
    model.ask(stream=False)
    assert model.calls[0].json.keys() == {"model", "messages", "stream"}


HISTORY = [
    {"role": "system", "content": [{"type": "text", "text": "be brief"}]},
    {"role": "user", "content": "what is the weather?"},
    {
        "role": "assistant",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c1", "name": "f", "content": [{"type": "text", "text": "rain"}]},
    {"role": "assistant", "content": None, "refusal": None, "provider_specific_fields": {"a": 1}},
]


def test_histories_as_clients_keep_them_pass_as_they_are(model) -> None:
    model.plays(says())
    assert model.ask(messages=HISTORY).status == 200
    assert model.calls[0].json["messages"] == HISTORY


def test_the_clients_headers_stay_here_and_the_operators_go(model) -> None:
    model.plays(says())
    private = {
        "cookie": "session=1",
        "x-api-key": "sk-client",
        "x-goog-api-key": "sk-client",
        "openai-organization": "org-client",
        "x-stainless-lang": "python",
        "user-agent": "client/1",
        "accept-encoding": "br, zstd",
        "x-forwarded-for": "192.0.2.1",
        "http-referer": "https://app.example.com",
    }
    model.ask(headers=private)
    sent = dict(model.calls[0].headers)
    assert sent.keys() == {"host", "accept-encoding", "content-type", "authorization", "content-length"}
    assert sent["authorization"] == f"Bearer {OPERATOR_KEY}"
    assert sent["accept-encoding"] == "identity"
    assert MASTER_KEY not in model.calls[0].head.decode()


# --- the answer


ODD_ANSWER = (
    b'\n {"id" : "chatcmpl-7","vendor":{"b":1.50,"a":[ ]},\r\n"choices":[ {"message":{"content":"h\\u00e9","x":null},'
    b'"finish_reason":"stop","index":0} ],\t"usage":{"total_tokens":15,"prompt_tokens":10,"completion_tokens":5}} \n'
)


def test_a_whole_answer_is_untouched_where_no_cost_is_asked_for(model) -> None:
    model.plays(lambda call: call.answer(200, ODD_ANSWER))
    answer = model.ask(**PLAIN)
    assert answer.body == ODD_ANSWER
    assert answer.headers["x-trunkline-cost"] == "0.000033"


def test_of_a_whole_answer_only_usage_grows(model) -> None:
    model.plays(lambda call: call.answer(200, ODD_ANSWER))
    body = model.ask().body
    assert b'"vendor":{"b":1.50,"a":[ ]}' in body
    assert b'"choices":[ {"message":{"content":"h\\u00e9","x":null},"finish_reason":"stop","index":0} ]' in body
    usage = json.loads(body)["usage"]
    assert usage.pop("cost") == 0.000033
    assert usage.pop("cost_details") == {"prompt": 0.000011, "completion": 0.000022}
    assert usage == {"total_tokens": 15, "prompt_tokens": 10, "completion_tokens": 5}


def odd_stream(line_end: bytes) -> bytes:
    """A stream with everything that the format allows, and that a client that asked for usage gets whole."""
    lines = [
        b": a comment of the provider",
        b"",
        b"event: vendor.ping",
        b"id: 7",
        b"retry: 1000",
        b'data: {"vendor": [1,  2]}',
        b"",
        b'data:{"id":"chatcmpl-7","choices":[{"index":0,"delta":{"content":"h\xc3\xa9\xe2\x80\xa8llo"} , "x":1.0}]}',
        b"",
        b'data: {"id":"chatcmpl-7",',
        b'data:  "choices":[{"index":0,"delta":{"content":" there"}}]}',
        b"",
        b"data: not json at all",
        b"",
        b'data: {"id":"chatcmpl-7","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}',
        b"",
        b'data: {"choices":[],"usage":{"total_tokens":15, "prompt_tokens":10,"completion_tokens":5,"x":{}}}',
        b"",
        b"data: [DONE]",
        b"",
        b"",
    ]
    return line_end.join(lines)


LINE_ENDS = pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
ASKED = {"stream_options": {"include_usage": True}}


@LINE_ENDS
def test_a_stream_is_untouched_where_no_cost_is_asked_for(model, line_end) -> None:
    model.plays(streams(odd_stream(line_end)))
    answer = model.stream(**ASKED, **PLAIN)
    assert answer.body == odd_stream(line_end)
    record = model.gateway.record(answer.id)
    assert (record.outcome, record.usage.input_tokens, record.usage.output_tokens) == ("ok", 10, 5)


@LINE_ENDS
def test_a_stream_in_two_pieces_is_the_same_wherever_it_is_cut(model, line_end) -> None:
    whole = odd_stream(line_end)
    cuts = itertools.count(1)

    def in_two(call) -> None:
        at = next(cuts)
        length = f"content-length: {len(whole)}".encode()
        call.send(STREAM_HEAD.replace(b"connection: close", length) + whole[:at])
        call.send(whole[at:])

    model.plays(in_two)
    for cut in range(1, len(whole), 3):
        answer = model.stream(**ASKED, **PLAIN)
        assert answer.body == whole, f"cut at {cut}"


ODD_EVENTS = {
    "not UTF-8": b'data: {"choices":[{"index":0,"delta":{"content":"caf\xe9"}}]}\n\n',
    "content of a new kind": b'data: {"choices":[{"index":0,"delta":{"content":{"parts":["hello"]}}}]}\n\n',
    "arguments as an object": b'data: {"choices":[{"delta":{"tool_calls":[{"function":{"arguments":{}}}]}}]}\n\n',
    "deeply nested": b'data: {"choices":[],"vendor":' + b"[" * 50_000 + b"]" * 50_000 + b"}\n\n",
}


@pytest.mark.parametrize("odd", ODD_EVENTS)
def test_an_event_that_only_the_client_understands_is_passed_on(model, odd) -> None:
    whole = ODD_EVENTS[odd] + chunk({"content": "hello"}) + chunk({}, finish="stop") + DONE
    model.plays(streams(whole))
    assert model.stream().body == whole


@pytest.mark.parametrize("piece", [1, 2, 7])
def test_a_stream_in_small_pieces_is_the_same(model, piece) -> None:
    whole = odd_stream(b"\r\n")

    def trickle(call) -> None:
        call.send(STREAM_HEAD)
        for at in range(0, len(whole), piece):
            call.send(whole[at : at + piece])
        call.close()

    model.plays(trickle)
    assert model.stream(**ASKED, **PLAIN).body == whole


def test_usage_that_only_the_gateway_asked_for_is_taken_out_again(model) -> None:
    begin = chunk({"content": "hello"}) + chunk({}, finish="stop")
    model.plays(streams(begin + usage_chunk() + DONE))
    answer = model.stream()
    assert answer.body == begin + DONE
    assert model.gateway.record(answer.id).cost_pico_usd == 33_000_000


def test_usage_in_an_event_with_choices_is_not_taken_out(model) -> None:
    model.plays(streams(chunk({"content": "hello"}) + chunk({}, finish="stop", usage=USAGE) + DONE))
    answer = model.stream()
    assert answer.events[-2]["choices"][0]["finish_reason"] == "stop"
    assert answer.events[-2]["usage"]["cost"] == 0.000033


@pytest.mark.parametrize("asked", [ASKED, {"usage": {"include": True}}], ids=["stream_options", "usage.include"])
def test_cost_is_added_to_the_one_usage_event_of_a_client_that_asked(model, asked) -> None:
    begin = chunk({"content": "hello"}, usage=None) + chunk({}, finish="stop", usage=None)
    model.plays(streams(begin + usage_chunk() + DONE))
    answer = model.stream(**asked)
    assert answer.body.startswith(begin)
    assert answer.body.endswith(DONE)
    (priced,) = [event["usage"] for event in answer.events[:-1] if event.get("usage")]
    assert priced == USAGE | {"cost": 0.000033, "cost_details": {"prompt": 0.000011, "completion": 0.000022}}


def test_of_several_usage_events_the_last_one_counts(model) -> None:
    early = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
    begin = chunk({"content": "hello"}, usage=early) + chunk({}, finish="stop", usage=USAGE)
    model.plays(streams(begin + DONE))
    assert model.gateway.record(model.stream().id).usage.output_tokens == 5


def test_a_text_that_looks_like_usage_is_passed_as_it_is(model) -> None:
    tricky = chunk({"content": '"usage": {"x": 1}, "error": {"y": 2}, data: [DONE]'})
    model.plays(streams(chunk({"content": "so: "}) + tricky + chunk({}, finish="stop") + DONE))
    answer = model.stream()
    assert tricky in answer.body
    assert model.gateway.record(answer.id).outcome == "ok"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_of_the_providers_headers_only_harmless_ones_pass(model, stream) -> None:
    told = {
        "set-cookie": "a=b",
        "openai-organization": "org-operator",
        "openai-project": "proj-operator",
        "x-ratelimit-remaining-requests": "9",
        "x-request-id": "req_of_the_provider",
        "cf-ray": "1",
        "server": "provider",
        "openai-processing-ms": "12",
        "openai-version": "2020-10-01",
        "access-control-allow-origin": "*",
    }
    body = stream_of() if stream else completion()
    kind = "text/event-stream" if stream else "application/json"
    model.plays(lambda call: call.answer(200, body, told | {"content-type": kind}))
    answer = model.ask(stream=stream)
    gone = {"set-cookie", "openai-organization", "openai-project", "cf-ray", "server", "access-control-allow-origin"}
    assert not gone & {name.lower() for name in answer.headers}
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]
    assert answer.headers["openai-processing-ms"] == "12"
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-request-id"] != "req_of_the_provider"
    assert answer.headers["request-id"] == answer.headers["x-zenmux-requestid"] == answer.id
    assert model.gateway.record(answer.id).attempts[0].upstream_request_id == "req_of_the_provider"


def test_a_stream_says_what_it_is_and_that_it_is_not_to_be_buffered(model) -> None:
    model.plays(says())
    headers = model.stream().headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache", "no")
    assert headers["content-encoding"] is None


def test_events_go_out_as_they_come(model) -> None:
    parts = [chunk({"content": word}) for word in ("one", "two", "three")]
    steps = [step for part in parts for step in (part, lambda call: call.pause())]
    model.plays(streams(*steps, chunk({}, finish="stop"), DONE))
    with model.open() as begun:
        call = model.upstream.call(model.name)
        for part in parts:
            assert begun.event() == part
            call.go_on()
        assert begun.answer().body.endswith(DONE)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_operator_can_have_answers_untouched_and_a_client_ask_for_its_cost(brisk_model, stream) -> None:
    body = odd_stream(b"\n") if stream else ODD_ANSWER
    kind = "text/event-stream" if stream else "application/json"
    brisk_model.plays(lambda call: call.answer(200, body, {"content-type": kind}))
    asked = ASKED if stream else {}
    assert brisk_model.ask(stream=stream, **asked).body == body
    assert b'"cost":0.000033' in brisk_model.ask(stream=stream, usage={"include": True}).body

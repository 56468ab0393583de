"""Exactly one record for each request, whatever became of it, with every attempt, token and pico-dollar."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fakes.gateway import CHAT, MASTER_KEY, eventually
from tests.fakes.upstream import Call, chunk, completion, fails, says, streams, thinks, usage_chunk
from trunkline.ir.usage import Usage

FULL_USAGE = {
    "prompt_tokens": 1_000,
    "completion_tokens": 500,
    "total_tokens": 1_500,
    "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 300, "audio_tokens": 0},
}
# 600 x 1.10 + 400 x 0.275 + 500 x 4.40 USD per million tokens (reasoning is billed as completion), in 1e-12 USD.
FULL_COST_PICO_USD = 600 * 1_100_000 + 400 * 275_000 + 500 * 4_400_000


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_tokens_are_in_disjoint_buckets_and_their_cost_is_exact(model, session_id, stream) -> None:
    model.plays(says("hello", usage=FULL_USAGE, answer_id=f"chatcmpl-{session_id}"))
    asked = {"stream_options": {"include_usage": True}} if stream else {}
    answer = model.ask(stream=stream, headers={"x-session-id": session_id}, **asked)
    (record,) = model.gateway.records(session_id)
    assert record.usage == Usage(input_tokens=600, cache_read_tokens=400, output_tokens=200, reasoning_tokens=300)
    assert record.cost_pico_usd == FULL_COST_PICO_USD == 2_970_000_000
    assert {line.item: (line.quantity, line.amount_pico_usd) for line in record.cost.lines} == {
        "prompt": (600, 660_000_000),
        "input_cache_read": (400, 110_000_000),
        "completion": (500, 2_200_000_000),
    }
    assert json.loads(bytes(record.attempts[0].raw_usage)) == FULL_USAGE
    usage = [event for event in answer.events if "usage" in event][-1]["usage"] if stream else answer.json["usage"]
    assert usage["cost"] == 0.00297
    assert usage["cost_details"] == {"prompt": 0.00066, "input_cache_read": 0.00011, "completion": 0.0022}
    assert answer.headers["x-trunkline-cost"] == (None if stream else "0.00297")


def test_a_record_tells_who_asked_what_and_how_it_went(model, session_id) -> None:
    model.plays(fails(500, "down"), second=says("hello", answer_id="chatcmpl-told"))
    headers = {
        "x-session-id": session_id,
        "http-referer": "https://acme.example.com",
        "x-title": "Acme Chat",
        "user-agent": "acme/1.0",
    }
    answer = model.stream("good morning", headers=headers)
    (record,) = model.gateway.records(session_id)
    assert (record.id, record.outcome, record.status, record.streamed) == (answer.id, "ok", 200, True)
    assert (record.protocol, record.model, record.asked_model) == ("openai.chat", model.slug, model.slug)
    assert (record.provider, record.offer, record.answer_id) == ("second", f"{model.slug}:second", "chatcmpl-told")
    assert (record.app_url, record.app_title) == ("https://acme.example.com", "Acme Chat")
    assert (record.user_agent, record.key_id, record.finish_reason) == ("acme/1.0", "master", "stop")
    assert record.request_bytes > len("good morning")
    assert record.answer_bytes == len(answer.body)
    assert [candidate.rank for candidate in record.plan] == [1, 2]
    assert all(candidate.reason for candidate in record.plan)
    first, second = record.attempts
    assert (first.provider, first.outcome, first.status, first.message) == ("first", "status", 500, "down")
    assert (second.provider, second.outcome, second.upstream_model) == ("second", "ok", model.name)
    assert record.received_ms <= first.started_ms <= first.ended_ms <= second.started_ms <= second.ended_ms
    assert second.ended_ms <= record.ended_ms
    assert 0 <= second.first_token_ms <= second.last_token_ms
    assert record.first_token_ms >= second.first_token_ms
    assert record.price_version


def test_an_alias_and_a_pin_are_kept_beside_the_models_slug(gateway, simulated, session_id) -> None:
    gateway.chat("o4-mini:azure", headers={"x-session-id": session_id})
    (record,) = gateway.records(session_id)
    assert (record.asked_model, record.model, record.provider) == ("o4-mini:azure", "openai/o4-mini", "azure")
    assert record.simulated


ENDS = {
    "ok": ({}, says(), ("ok", 200, "")),
    "refused by the provider": ({}, fails(400, "no"), ("error", 400, "invalid_params")),
    "all failed": ({}, fails(500), ("error", 502, "no_provider_available")),
    "all at their limit": ({}, fails(429), ("error", 429, "rate_limit")),
    "cut": ({"stream": True}, streams(chunk({"content": "half"})), ("cut", 200, "no_provider_available")),
    "bad field": ({"max_tokens": -1}, says(), ("error", 400, "invalid_params")),
    "cannot reason": ({"reasoning_effort": "low"}, says(), ("error", 404, "model_not_supported")),
}


@pytest.mark.parametrize("end", ENDS)
def test_each_request_leaves_one_record(model, session_id, end) -> None:
    fields, script, told = ENDS[end]
    model.plays(script, second=script)
    answer = model.ask(headers={"x-session-id": session_id}, **fields)
    (record,) = model.gateway.records(session_id)
    assert (record.outcome, record.status, record.error_type) == told
    assert record.id == answer.id
    assert record.streamed == fields.get("stream", False)


def test_a_timeout_leaves_one_record(model_of, session_id) -> None:
    model = model_of("hasty")
    model.plays(Call.stall, second=Call.stall)
    model.stream(headers={"x-session-id": session_id})
    (record,) = model.gateway.records(session_id)
    assert (record.outcome, record.status, record.error_type) == ("error", 504, "provider_timeout")
    assert len(record.attempts) == 2


def test_an_unknown_model_leaves_one_record_with_the_name_asked_for(gateway, session_id) -> None:
    gateway.chat("acme/nothing", headers={"x-session-id": session_id})
    (record,) = gateway.records(session_id)
    assert (record.outcome, record.status, record.asked_model) == ("error", 404, "acme/nothing")


def test_bad_json_leaves_one_record(gateway, session_id) -> None:
    gateway.request("POST", CHAT, b"{", {"x-session-id": session_id})
    (record,) = gateway.records(session_id)
    assert (record.outcome, record.status, record.request_bytes) == ("error", 400, 1)


def test_a_body_that_is_too_large_leaves_one_record(brisk_gateway, session_id) -> None:
    brisk_gateway.request("POST", CHAT, b"x" * 100_001, {"x-session-id": session_id})
    (record,) = brisk_gateway.records(session_id)
    assert (record.outcome, record.status, record.error_type) == ("error", 413, "invalid_params")


def test_a_client_that_leaves_while_it_sends_leaves_one_record(gateway, session_id) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        head = (
            f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {MASTER_KEY}\r\nx-session-id: {session_id}\r\n"
        )
        client.sendall(f'{head}content-length: 1000\r\n\r\n{{"model"'.encode())
    (record,) = gateway.records(session_id)
    assert (record.outcome, record.status, record.attempts) == ("client_left", 499, ())


def test_refused_credentials_leave_no_record_but_are_counted(gateway, session_id) -> None:
    before = gateway.readyz["requests"]["refused_credentials"]
    for key in ("sk-tl-wrong", ""):
        answer = gateway.request("POST", CHAT, {"model": "m"}, {"x-session-id": session_id}, key=key)
        assert (answer.status, answer.error["type"]) == (403, "access_denied")
    assert gateway.readyz["requests"]["refused_credentials"] == before + 2
    # Another request of the same session shows that these two would be there by now.
    gateway.chat("acme/nothing", headers={"x-session-id": session_id})
    assert len(gateway.records(session_id)) == 1


def test_many_requests_at_once_leave_one_record_each(model, session_id) -> None:
    model.plays(says("first"), fails(500), says("first"), second=says("second"))

    def ask(number: int) -> str:
        return model.ask(headers={"x-session-id": session_id}, stream=bool(number % 2)).id

    with ThreadPoolExecutor(20) as pool:
        ids = list(pool.map(ask, range(200)))
    records = eventually(
        lambda: found if len(found := model.gateway.records(session_id)) >= 200 else None, "200 records"
    )
    assert sorted(record.id for record in records) == sorted(ids)
    assert {record.outcome for record in records} == {"ok"}
    assert all(record.cost_pico_usd == 33_000_000 for record in records)
    assert sum(len(record.attempts) for record in records) == len(model.calls)


# --- usage that the provider does not tell


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_usage_that_is_missing_is_estimated_and_flagged(model, stream) -> None:
    model.plays(says("x" * 400, usage=None))
    record = model.gateway.record(model.ask("y" * 100, stream=stream).id)
    assert record.usage.estimated
    assert record.usage.output_tokens == 100
    assert 25 <= record.usage.input_tokens <= 50
    assert record.cost.estimated
    assert record.cost_pico_usd == record.usage.input_tokens * 1_100_000 + 100 * 4_400_000


def test_an_estimate_is_shown_to_the_client_of_a_whole_answer(model) -> None:
    model.plays(says("x" * 400, usage=None))
    answer = model.ask()
    assert answer.json["usage"]["completion_tokens"] == 100
    assert answer.json["usage"]["cost"] > 0


def test_usage_that_cannot_be_read_is_noted_and_harms_nothing(model) -> None:
    model.plays(says("hello", usage={"prompt_tokens": "many"}))
    answer = model.ask()
    assert answer.status == 200
    record = model.gateway.record(answer.id)
    assert record.usage.estimated
    assert "usage could not be read" in record.notes[0]


def test_what_a_cut_stream_gave_is_estimated_and_billed(model) -> None:
    model.plays(streams(chunk({"content": "x" * 400})))
    record = model.gateway.record(model.stream().id)
    assert (record.outcome, record.usage.output_tokens, record.usage.estimated) == ("cut", 100, True)
    assert record.cost_pico_usd > 0


def test_what_has_no_price_is_shown_as_unpriced_and_never_as_zero(gateway, upstream) -> None:
    upstream.plays("first", "acme--unpriced", says("hello"))
    answer = gateway.chat("acme/unpriced")
    assert answer.json["usage"]["cost"] is None
    assert answer.json["usage"]["cost_details"] == {"prompt": None, "completion": None}
    assert answer.headers["x-trunkline-cost"] is None
    record = gateway.record(answer.id)
    assert (record.cost.unpriced, record.cost_pico_usd) == (("prompt", "completion"), 0)


def test_what_is_free_costs_zero(gateway, upstream) -> None:
    upstream.plays("first", "acme--free", says("hello"))
    answer = gateway.chat("acme/free")
    assert (answer.json["usage"]["cost"], answer.headers["x-trunkline-cost"]) == (0, "0")


# --- clients that leave


def test_where_leaving_stops_the_meter_the_provider_is_left_at_once(model_of, session_id) -> None:
    model = model_of("abortable")
    model.plays(streams(chunk({"content": "x" * 40}), Call.stall))
    begun = model.open(headers={"x-session-id": session_id})
    begun.event()
    begun.leave()
    assert model.call_left()
    (record,) = model.gateway.records(session_id)
    assert (record.outcome, record.status) == ("client_left", 499)
    assert (record.attempts[0].outcome, record.usage.output_tokens, record.usage.estimated) == ("client_left", 10, True)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_client_that_leaves_before_the_answer_leaves_a_record(model_of, session_id, stream) -> None:
    model = model_of("abortable")
    model.plays(Call.stall, second=says("never asked"))
    with model.gateway.begun(model.slug, headers={"x-session-id": session_id}, stream=stream):
        model.upstream.call(model.name)
    assert model.call_left()
    (record,) = model.gateway.records(session_id)
    assert (record.outcome, record.status, record.cost_pico_usd) == ("client_left", 499, 0)
    assert [attempt.outcome for attempt in record.attempts] == ["client_left"]
    assert model.asked == ["first"]


def test_where_the_meter_runs_on_the_answer_is_read_to_its_usage(model, session_id) -> None:
    end = chunk({}, finish="stop") + usage_chunk()
    model.plays(streams(thinks(0.1), chunk({"content": "hello"}), Call.pause, end))
    begun = model.open(headers={"x-session-id": session_id})
    begun.event()
    begun.leave()
    call = model.upstream.call(model.name)
    assert not model.gateway._rows("session_id", session_id)
    call.go_on()
    (record,) = model.gateway.records(session_id)
    assert (record.outcome, record.usage.output_tokens, record.usage.estimated) == ("client_left", 5, False)
    assert record.cost_pico_usd == 33_000_000


def test_a_whole_answer_that_nobody_waits_for_is_read_to_its_usage(model, session_id) -> None:
    model.plays(lambda call: [call.pause(), call.answer(200, completion())])
    with model.gateway.begun(model.slug, headers={"x-session-id": session_id}):
        call = model.upstream.call(model.name)
    call.go_on()
    (record,) = model.gateway.records(session_id)
    assert record.cost_pico_usd == 33_000_000


def test_reading_on_for_a_client_that_left_has_an_end(brisk_model, session_id) -> None:
    brisk_model.plays(streams(chunk({"content": "x" * 40}), Call.stall))
    begun = brisk_model.open(headers={"x-session-id": session_id})
    begun.event()
    begun.leave()
    assert brisk_model.call_left()
    (record,) = brisk_model.gateway.records(session_id)
    assert (record.outcome, record.usage.estimated) == ("client_left", True)


def test_a_client_that_left_says_nothing_of_the_offers_health(model_of) -> None:
    model = model_of("abortable")
    model.plays(Call.stall, says("hello"))
    with model.gateway.begun(model.slug, stream=True):
        model.upstream.call(model.name)
    assert model.call_left()
    endpoint = eventually(
        lambda: next((one for one in endpoints(model) if one["figures"]["attempts"] == 1), None), "the attempt's figure"
    )
    assert endpoint["figures"]["uptime_percent"] is None


def endpoints(model) -> list:
    return model.gateway.get(f"/api/v1/models/{model.slug}/endpoints").json["data"]["endpoints"]


# --- generation


@pytest.mark.parametrize("path", ["/api/v1/generation", "/api/v1/management/generation"])
def test_a_generation_is_there_right_after_the_answer_by_either_id(model, session_id, path) -> None:
    model.plays(says("hello", usage=FULL_USAGE, answer_id=f"chatcmpl-{session_id}"))
    answer = model.ask()
    for id_ in (answer.id, f"chatcmpl-{session_id}"):
        told = model.gateway.get(f"{path}?id={id_}").json
        assert told["model"] == model.slug
        assert told["usage"] == told["ratingResponses"]["billAmount"] == 0.00297
        assert told["nativeTokens"]["prompt_tokens"] == 1_000
        assert told["nativeTokens"]["completion_tokens_details"]["reasoning_tokens"] == 300
        assert (told["streamed"], told["finishReason"], told["finalRetry"]) == (False, "stop", False)
        assert told["trunkline"]["requestId"] == answer.id


def test_a_generation_counts_its_retries(model) -> None:
    model.plays(fails(500), second=says())
    told = model.gateway.get(f"/api/v1/generation?id={model.stream().id}").json
    assert (told["requestRetryTimes"], told["finalRetry"], told["streamed"]) == (1, True, True)


def test_an_unknown_generation_is_404(gateway) -> None:
    answer = gateway.get("/api/v1/generation?id=req_nothing")
    assert (answer.status, answer.error["type"]) == (404, "not_found")


def test_a_generation_needs_a_key(gateway) -> None:
    assert gateway.get("/api/v1/generation?id=req_nothing", key="").status == 403

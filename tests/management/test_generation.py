"""`GET /api/v1/management/generation`: ZenMux's object, exact money, who may read, and the wait for the batch."""

import threading

import pytest

from trunkline.api.management.generation import Generation
from trunkline.ir.usage import Usage
from trunkline.pricing.types import Cost, CostLine
from trunkline.records.types import Attempt, Candidate, Record

PATHS = ("/api/v1/management/generation", "/api/v1/generation")
COST = Cost(
    lines=(
        CostLine("prompt", 32, "perMTokens", "1.10", 35_200_000),
        CostLine("completion", 128, "perMTokens", "4.40", 563_200_000),
    ),
    total_pico_usd=598_400_000,
)


def record(id_: str, **fields) -> Record:
    attempts = (
        Attempt("azure", "openai/o4-mini:azure", "o4-mini", 1.0, 2.0, outcome="status", status=503),
        Attempt("openai", "openai/o4-mini:openai", "o4-mini", 2.0, 3.0, cost=COST),
    )
    known = {
        "received_ms": 1_790_000_000_000.0,
        "ended_ms": 1_790_000_003_700.0,
        "outcome": "ok",
        "status": 200,
        "protocol": "openai.chat",
        "model": "openai/o4-mini",
        "answer_id": f"chatcmpl-{id_}",
        "streamed": True,
        "key_id": "key_a",
        "first_token_ms": 500.0,
        "finish_reason": "stop",
        "usage": Usage(input_tokens=22, cache_read_tokens=10, output_tokens=100, reasoning_tokens=28),
        "cost_pico_usd": 598_400_000,
        "cost": COST,
        "price_version": "abc123",
        "attempts": attempts,
        "plan": (Candidate("openai/o4-mini:azure", 0, "unmeasured"), Candidate("openai/o4-mini:openai", 1)),
    }
    return Record(id=id_, **{**known, **fields})


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("asked", ["req_whole", "chatcmpl-req_whole"])
def test_it_is_zenmuxs_object_by_either_id(console, client, path, asked):
    console.keep(record("req_whole"))
    answer = client.get(path, params={"id": asked})
    assert answer.status_code == 200
    body = answer.json()
    more = body.pop("trunkline")
    assert body == {
        "api": "chat.completions",
        "generationId": asked,
        "model": "openai/o4-mini",
        "createAt": "2026-09-21T14:13:20.000Z",
        "generationTime": 3200,
        "latency": 500,
        "nativeTokens": {
            "completion_tokens": 128,
            "prompt_tokens": 32,
            "total_tokens": 160,
            "completion_tokens_details": {"reasoning_tokens": 28, "audio_tokens": 0, "image_tokens": 0},
            "prompt_tokens_details": {
                "cached_tokens": 10,
                "cache_creation_tokens": 0,
                "audio_tokens": 0,
                "image_tokens": 0,
            },
        },
        "streamed": True,
        "finishReason": "stop",
        "usage": 0.0005984,
        "ratingResponses": {
            "billAmount": 0.0005984,
            "discountAmount": 0,
            "originAmount": 0.0005984,
            "priceVersion": "abc123",
            "ratingDetails": [
                {
                    "billAmount": 0.0000352,
                    "discountAmount": 0,
                    "feeItemCode": "prompt",
                    "originAmount": 0.0000352,
                    "rate": 0.0000011,
                },
                {
                    "billAmount": 0.0005632,
                    "discountAmount": 0,
                    "feeItemCode": "completion",
                    "originAmount": 0.0005632,
                    "rate": 0.0000044,
                },
            ],
        },
        "requestRetryTimes": 1,
        "finalRetry": True,
    }
    assert (more["requestId"], more["outcome"]) == ("req_whole", "ok")
    assert more["attempts"][0]["status"] == 503
    assert more["plan"][0] == {"offer": "openai/o4-mini:azure", "rank": 0, "reason": "unmeasured"}


def test_the_answer_is_what_the_description_says(console, client):
    console.keep(record("req_described"))
    body = client.get(PATHS[0], params={"id": "req_described"}).json()
    assert Generation.model_validate(body).model_dump(by_alias=True) == body


def test_every_attempt_is_on_the_bill(console, client):
    twice = tuple(Attempt("openai", "o", "m", 1.0, 2.0, cost=COST) for _ in range(2))
    console.keep(record("req_twice", attempts=twice, cost_pico_usd=2 * COST.total_pico_usd))
    rating = client.get(PATHS[0], params={"id": "req_twice"}).json()["ratingResponses"]
    assert sum(line["billAmount"] for line in rating["ratingDetails"]) == pytest.approx(rating["billAmount"], abs=1e-15)
    assert rating["billAmount"] == 0.0011968


def test_an_answer_that_was_not_streamed_has_its_whole_time_as_both(console, client):
    console.keep(record("req_plain", streamed=False, first_token_ms=None))
    body = client.get(PATHS[0], params={"id": "req_plain"}).json()
    assert (body["latency"], body["generationTime"]) == (3700, 3700)


def test_a_record_that_is_stored_a_moment_later_is_waited_for(console, client):
    later = threading.Timer(0.05, console.keep, [record("req_late")])
    later.start()
    answer = client.get(PATHS[0], params={"id": "req_late"})
    later.join()
    assert answer.status_code == 200


def test_an_unknown_id_is_a_clear_404(client):
    answer = client.get(PATHS[0], params={"id": "req_none"})
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert (error["code"], error["type"], error["param"]) == ("404", "not_found", "id")
    assert "there is no generation req_none" in error["message"]


def test_a_missing_id_is_a_400_that_names_it(client):
    answer = client.get(PATHS[0])
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "id"


def test_a_key_reads_its_own_generations_only(console, client):
    made = client.post("/api/v1/management/keys", json={"name": "app"}).json()
    console.keep(record("req_mine", key_id=made["id"]), record("req_theirs", key_id="key_other"))
    with console.client(made["secret"]) as own:
        assert own.get(PATHS[0], params={"id": "req_mine"}).status_code == 200
        assert own.get(PATHS[0], params={"id": "req_theirs"}).status_code == 404

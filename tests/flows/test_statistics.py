"""What a gateway has just answered is in its figures, by every way that leads to them."""

import json
from typing import Any

import pytest

from tests.fakes.gateway import GatewayProcess, eventually
from tests.fakes.upstream import fails, says


def shown(gateway: GatewayProcess, path: str) -> Any:
    answer = gateway.get(path)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)["data"]


def test_an_answer_is_in_the_statistics_within_seconds(model, session_id) -> None:
    model.plays(fails(500, "down"), second=says("hello"))
    model.stream("good morning", headers={"x-session-id": session_id})
    path = f"/api/v1/management/statistics/offers?model={model.slug}"
    offers = eventually(
        lambda: found if len(found := shown(model.gateway, path)["offers"]) == 2 else None, "the figures of both offers"
    )
    first, second = sorted(offers, key=lambda card: card["uptime_percent"])
    assert (first["provider"], first["uptime_percent"], first["errors"]) == ("first", 0.0, {"status 500": 1})
    assert (second["provider"], second["uptime_percent"], second["attempts"]) == ("second", 100.0, 1)
    assert second["first_token_latency_ms"]["samples"] == 1


def test_the_endpoints_of_a_model_show_its_last_day(model) -> None:
    model.plays(says("hello"))
    model.stream("good morning")

    def day() -> Any:
        cards = shown(model.gateway, f"/api/v1/models/{model.slug}/endpoints")["endpoints"]
        return next((card["figures"]["last_24_hours"] for card in cards if card["figures"]["last_24_hours"]), None)

    live = eventually(day, "the last day")
    assert (live["attempts"], live["uptime_percent"], len(live["uptime_by_hour"])) == (1, 100.0, 1)


@pytest.mark.parametrize("metric", ["tokens", "cost"])
def test_the_leaderboard_counts_today(model, session_id, metric) -> None:
    # So many that it stands among the first, whatever else was asked of this gateway today.
    many = {"prompt_tokens": 6_000_000, "completion_tokens": 3_000_000, "total_tokens": 9_000_000}
    model.plays(says("hello", usage=many))
    model.ask("good morning", headers={"x-session-id": session_id})
    (record,) = model.gateway.records(session_id)
    path = f"/api/v1/management/statistics/timeseries?metric={metric}&bucket_width=1d&limit=50"

    def value() -> Any:
        models = shown(model.gateway, path)["series"][-1]["models"]
        return next((one["value"] for one in models if one["model"] == model.slug), None)

    expected = 9_000_000 if metric == "tokens" else record.cost_pico_usd / 10**12
    assert eventually(value, "the model in today's bucket") == expected

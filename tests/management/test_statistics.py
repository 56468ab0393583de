"""ZenMux's statistics over the console's real socket: shapes as its pages show them, values as the records have them."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import msgspec
import pytest

from tests.fakes.console import RunningConsole
from tests.fakes.records import a_record
from trunkline.ir.usage import Usage
from trunkline.pricing.types import Cost
from trunkline.records.types import Attempt, Record

PATH = "/api/v1/management/statistics"
DAY_MS = 86_400_000
NOW_MS = time.time() * 1000
TODAY = datetime.fromtimestamp(NOW_MS / 1000, UTC).date()


def day(back: int) -> str:
    return (TODAY - timedelta(days=back)).isoformat()


def record(number: int, offer: str, back: int, tokens: int, **changes: Any) -> Record:
    """An answer, in the first second of a day so many days ago: of `tokens` in, half as many out, for a millionth of a dollar each."""
    model, _, provider = offer.rpartition(":")
    ended_ms = datetime.fromisoformat(day(back)).replace(tzinfo=UTC).timestamp() * 1000 + 500
    usage = Usage(input_tokens=tokens // 2, cache_read_tokens=tokens - tokens // 2, output_tokens=tokens // 2)
    attempt = Attempt(
        provider, offer, "m", ended_ms - 400, ended_ms, status=200, usage=usage, cost=Cost(total_pico_usd=tokens * 10**6),
        first_token_ms=changes.pop("first_token_ms", 200.0), last_token_ms=1200.0,
    )  # fmt: skip
    made = msgspec.structs.replace(
        a_record(number), received_ms=ended_ms - 500, ended_ms=ended_ms, model=model, offer=offer, provider=provider,
        attempts=(attempt,), cost_pico_usd=tokens * 10**6,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


RECORDS = [
    record(1, "acme/alpha:acme", 0, 100),
    record(2, "acme/alpha:openai", 0, 40, first_token_ms=100.0),
    record(3, "acme/alpha:acme", 1, 60),
    record(4, "other/beta:openai", 1, 1000, protocol="anthropic.messages"),
    record(5, "other/beta-free:openai", 1, 10),
    record(6, "acme/alpha:acme", 40, 500),
]


@pytest.fixture(scope="module")
def client(console: RunningConsole) -> Iterator[httpx2.Client]:
    console.keep(*RECORDS)
    with console.client() as made:
        yield made


def data(client: httpx2.Client, path: str, **params: Any) -> Any:
    answer = client.get(f"{PATH}/{path}", params=params)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["success"] is True
    return body["data"]


def test_tokens_by_model_and_day_today_among_them(client: httpx2.Client) -> None:
    found = data(client, "timeseries", metric="tokens", bucket_width="1d")
    assert (found["total_buckets"], found["starting_at"], found["ending_at"]) == (28, day(27), day(0))
    assert found["series"][-1] == {
        "period": day(0).replace("-", ""),
        "date": day(0),
        "models": [{"model": "acme/alpha", "label": "Alpha", "value": 210}],
    }
    assert [one["model"] for one in found["series"][-2]["models"]] == ["other/beta", "acme/alpha", "other/beta-free"]
    assert found["series"][0]["models"] == []


def test_cost_is_usd_and_the_rest_are_the_others(client: httpx2.Client) -> None:
    found = data(client, "timeseries", metric="cost", bucket_width="1d", starting_at=day(1), ending_at=day(1), limit=1)
    assert found["series"][0]["models"] == [
        {"model": "other/beta", "label": "other/beta", "value": 0.001},
        {"model": "__others__", "label": "Others", "value": pytest.approx(0.00007)},
    ]


def test_weeks_are_whole(client: httpx2.Client) -> None:
    found = data(client, "timeseries", metric="tokens", bucket_width="1w")
    monday = TODAY - timedelta(days=TODAY.weekday())
    assert (found["ending_at"], found["total_buckets"]) == (monday.isoformat(), 28)
    total = sum(model["value"] for bucket in found["series"] for model in bucket["models"])
    assert total == sum(one.usage_total for one in map(_Total, RECORDS))


class _Total:
    def __init__(self, one: Record) -> None:
        usage = one.attempts[0].usage
        self.usage_total = usage.total_input_tokens + usage.total_output_tokens


@pytest.mark.parametrize("path", ["market_share", "market-share"])
def test_shares_are_of_the_authors_of_models(client: httpx2.Client, path: str) -> None:
    found = data(client, path, metric="tokens", bucket_width="1d", starting_at=day(1))
    assert found["series"][0]["authors"] == [
        {"author": "other", "label": "other", "value": 1515},
        {"author": "acme", "label": "Acme & Sons", "value": 90},
    ]


def test_the_leaderboard_is_of_all_time_without_a_start(client: httpx2.Client) -> None:
    found = data(client, "leaderboard", metric="tokens", limit=1)
    assert (found["starting_at"], found["ending_at"]) == (day(40), day(0))
    assert found["entries"] == [
        {
            "rank": 1,
            "model": "other/beta",
            "label": "other/beta",
            "author": "other",
            "author_label": "other",
            "value": 1500,
        },
        {"rank": 2, "model": "__others__", "label": "Others", "author": "", "author_label": "", "value": 1065},
    ]


def test_the_use_of_one_model_by_day_counts_its_free_variant_too(client: httpx2.Client) -> None:
    found = data(client, "model_usage", model="other/beta", metric="tokens", starting_at=day(2), ending_at=day(0))
    assert (found["value"], found["series"]) == (1515, [{"date": day(1), "value": 1515}])
    spent = data(client, "model_usage", model="acme/alpha", metric="cost", starting_at=day(1), ending_at=day(0))
    assert (spent["label"], spent["value"]) == ("Alpha", 0.0002)
    assert [one["value"] for one in spent["series"]] == [0.00006, 0.00014]
    nothing = data(client, "model-usage", model="no/such", metric="tokens", starting_at=day(0), ending_at=day(0))
    assert (nothing["label"], nothing["value"], nothing["series"]) == ("no/such", 0, [])


def test_the_fastest_first_token_with_its_providers(client: httpx2.Client) -> None:
    found = data(client, "performance", metric="ttft", starting_at=day(1), ending_at=day(0))
    first = found["entries"][0]
    assert (first["rank"], first["model"], first["icon_url"]) == (1, "acme/alpha", "")
    assert [one["provider"] for one in first["providers"]] == ["openai", "acme"]
    assert first["providers"][0]["value"] == pytest.approx(100, rel=0.025)
    assert first["providers"][0]["value_label"].endswith("ms")


def test_the_highest_throughput_is_first(client: httpx2.Client) -> None:
    found = data(client, "performance", metric="throughput", starting_at=day(1), ending_at=day(0))
    values = [one["providers"][0]["value"] for one in found["entries"]]
    assert values == sorted(values, reverse=True)
    assert found["entries"][0]["model"] == "other/beta"


def test_cache_hits_by_provider_and_protocol(client: httpx2.Client) -> None:
    found = data(client, "performance", metric="cache_hit", starting_at=day(1), ending_at=day(0))
    beta = next(one for one in found["entries"] if one["model"] == "other/beta")
    shown = {"api": "anthropic", "value": 0.5, "value_label": "50.00%"}
    assert beta["top_provider"] == {"provider_label": "OpenAI", **shown}
    [card] = beta["providers"].values()
    assert card["apis"] == [shown | {"cache_tokens": 500, "prompt_tokens": 1000}]


def test_the_trend_of_a_week_compares_it_with_as_much_of_the_one_before(client: httpx2.Client) -> None:
    found = data(client, "trending", metric="tokens", bucket_width="1w")
    alpha = next(one for one in found["entries"] if one["model"] == "acme/alpha")
    assert (found["ending_at"], alpha["value"], alpha["total_value"]) == (day(0), 300, 300)
    assert len(alpha["data_points"]) == 14
    assert alpha["data_points"][-1] == {"period": day(0).replace("-", ""), "value": 210}
    assert alpha["growth_label"].startswith("+")


def test_the_trend_of_today_compares_it_with_as_much_of_yesterday(client: httpx2.Client) -> None:
    found = data(client, "trending", metric="tokens", bucket_width="1d")
    [alpha] = found["entries"]
    assert (alpha["model"], alpha["value"], len(alpha["data_points"])) == ("acme/alpha", 210, 7)
    assert alpha["previous_value"] <= 90


def test_offers_in_any_range_with_buckets(client: httpx2.Client) -> None:
    found = data(client, "offers", model="acme/alpha", starting_at=f"{day(1)}T00:00:00Z", bucket_width="1h")
    card = next(one for one in found["offers"] if one["provider"] == "acme")
    assert (card["attempts"], card["uptime_percent"], card["first_token_latency_ms"]["max"]) == (2, 100.0, 200.0)
    assert [(one["start"], one["attempts"]) for one in card["series"]] == [
        (f"{day(1)}T00:00:00Z", 1),
        (f"{day(0)}T00:00:00Z", 1),
    ]


@pytest.mark.parametrize(
    ("path", "params", "named"),
    [
        ("timeseries", {"bucket_width": "1d"}, "metric"),
        ("timeseries", {"metric": "requests", "bucket_width": "1d"}, "metric"),
        ("timeseries", {"metric": "tokens", "bucket_width": "1m"}, "bucket_width"),
        ("timeseries", {"metric": "tokens", "bucket_width": "1d", "limit": 51}, "limit"),
        ("timeseries", {"metric": "tokens", "bucket_width": "1d", "starting_at": day(60)}, "starting_at"),
        ("market_share", {"metric": "tokens", "bucket_width": "1d", "ending_at": "soon"}, "ending_at"),
        ("model_usage", {"metric": "tokens", "model": "a/b", "ending_at": day(0)}, "starting_at"),
        (
            "model_usage",
            {"metric": "tokens", "model": "a/b", "starting_at": day(30), "ending_at": day(0)},
            "starting_at",
        ),
        ("performance", {"metric": "ttft", "starting_at": day(0), "ending_at": day(1)}, "starting_at"),
        ("performance", {"metric": "ttft", "starting_at": day(0), "ending_at": day(-1)}, "ending_at"),
        ("trending", {"metric": "cost", "bucket_width": "1d", "ending_at": day(-1)}, "ending_at"),
        ("offers", {"model": "no/such"}, "model"),
        ("offers", {"starting_at": day(200), "bucket_width": "1m"}, "bucket_width"),
    ],
)
def test_wrong_parameters_are_400_by_their_name(client: httpx2.Client, path: str, params: Any, named: str) -> None:
    answer = client.get(f"{PATH}/{path}", params=params)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, named)


@pytest.mark.parametrize(
    "path", ["timeseries", "leaderboard", "market_share", "model_usage", "performance", "trending", "offers"]
)
def test_only_the_master_key_may_ask(console: RunningConsole, path: str) -> None:
    with console.client("sk-no-such-key") as stranger:
        assert stranger.get(f"{PATH}/{path}").status_code == 403


def test_the_description_of_the_api_names_them(client: httpx2.Client) -> None:
    paths = json.dumps(client.get("/api/v1/management/openapi.json").json()["paths"])
    assert f"{PATH}/market_share" in paths
    assert f"{PATH}/market-share" not in paths

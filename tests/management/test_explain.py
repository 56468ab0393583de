"""`POST /api/v1/management/route/explain` and `trunkline explain`: the plan of any request, its price, and nobody is called."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gateway import (
    PRICE,
    Answer,
    GatewayProcess,
    base_toml,
    model_toml,
    offer_toml,
    provider_toml,
    start_gateway,
)
from tests.fakes.talking import CHAT, GEMINI, MESSAGES, PROTOCOLS, RESPONSES, USERS, request
from tests.fakes.upstream import Upstream, says, upstream

__all__ = ["upstream"]

PATH = "/api/v1/management/route/explain"
CHEAP = PRICE.replace("1.10", "0.55").replace("4.40", "2.20")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("explained")
    providers = [provider_toml(slug, upstream.url(slug)) for slug in ("first", "second", "small")]
    models = [
        model_toml("acme/alpha", ("first",)),
        offer_toml("acme/alpha", "second").replace(PRICE, CHEAP),
        offer_toml("acme/alpha", "small", "context_tokens = 10"),
        model_toml("acme/unpriced", ("first",)).replace(PRICE, "[]"),
    ]
    made = start_gateway(folder, "\n".join([base_toml(folder), *providers, *models]))
    yield made
    assert made.stop() == 0, made.log


def explains(gateway: GatewayProcess, body: Any, **more: Any) -> Answer:
    return gateway.request("POST", PATH, body, **more)


def data(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    assert answer.json["success"] is True
    return answer.json["data"]


def chat(text: str = "hi", **fields: Any) -> dict[str, Any]:
    return {"model": "acme/alpha", "messages": USERS[CHAT](text)} | fields


def test_a_plain_chat_request_is_explained_and_nobody_is_called(gateway, upstream) -> None:
    told = data(explains(gateway, chat("x" * 400, max_tokens=100)))
    assert (told["model"], told["protocol"], told["error"]) == ("acme/alpha", CHAT, None)
    ranked = [one["offer"] for one in told["candidates"] if "rank" in one]
    assert told["chain"] == ranked
    assert sorted(ranked) == ["acme/alpha:first", "acme/alpha:second"]
    assert all(one["reason"] for one in told["candidates"])
    assert not upstream.calls("acme--alpha")


def test_who_cannot_take_it_stands_at_the_end_with_the_reason(gateway) -> None:
    last = data(explains(gateway, chat("x" * 400)))["candidates"][-1]
    assert (last["offer"], "rank" in last) == ("acme/alpha:small", False)
    assert "too long" in last["reason"]


def test_every_offer_has_its_price_for_this_very_request(gateway) -> None:
    told = data(explains(gateway, chat("x" * 400, max_tokens=100)))
    rows = {one["provider"]: one for one in told["candidates"] if one.get("rank")}
    tokens = rows["first"]["input_tokens"]
    assert 50 <= tokens <= 400
    assert rows["first"]["output_tokens"] == 100
    assert float(rows["first"]["estimated_usd"]) == pytest.approx((tokens * 1.1 + 100 * 4.4) / 1e6)
    assert float(rows["second"]["estimated_usd"]) == pytest.approx((tokens * 0.55 + 100 * 2.2) / 1e6)


def test_a_price_that_nobody_knows_is_not_zero(gateway) -> None:
    (one,) = data(explains(gateway, chat() | {"model": "acme/unpriced"}))["candidates"]
    assert one.get("estimated_usd") is None
    assert one["unpriced"]


@pytest.mark.parametrize("client", PROTOCOLS)
def test_a_request_of_any_protocol_is_explained(gateway, client) -> None:
    _, body = request(client, "acme/alpha", USERS[client]("hi"))
    wrapped = {"protocol": client, "body": body} | ({"path_model": "acme/alpha"} if client == GEMINI else {})
    told = data(explains(gateway, wrapped))
    assert (told["protocol"], told["model"]) == (client, "acme/alpha")
    assert {one["native"] for one in told["candidates"] if one.get("rank")} == {client == CHAT}


def test_every_offer_has_the_share_of_such_requests_that_go_to_it_first(gateway) -> None:
    rows = [one for one in data(explains(gateway, chat()))["candidates"] if one.get("rank")]
    assert sum(one["share"] for one in rows) == pytest.approx(1, abs=0.001)


def test_wishes_are_told_as_they_were_understood(gateway) -> None:
    wish = {"order": ["Second"], "hedge": {"after_ms": 300}}
    told = data(explains(gateway, chat(provider=wish)))
    assert told["chain"][0] == "acme/alpha:second"
    assert told["wish"]["order"] == ["second"]
    assert told["hedge"] == {"after_ms": 300}


def test_the_automatic_model_says_what_it_chose_and_why(gateway) -> None:
    told = data(explains(gateway, chat() | {"model": "trunkline/auto"}))
    assert told["auto"]["model"] == told["model"] == told["models"][0]
    assert told["auto"]["reason"]


def test_a_request_that_no_offer_can_take_says_why_of_each(gateway) -> None:
    told = data(explains(gateway, chat("hi", max_tokens=10, tools=[]) | {"model": "acme/alpha:small"} | _long()))
    assert told["error"]["status"] == 413
    assert [one["offer"] for one in told["candidates"]] == ["acme/alpha:small"]
    assert told["chain"] == []


def _long() -> dict[str, Any]:
    return {"messages": USERS[CHAT]("x" * 4_000)}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"no json", 400, "no JSON"),
        ({"protocol": "smtp", "body": {}}, 400, "openai.chat"),
        ({"protocol": GEMINI, "body": {"contents": []}}, 400, "path_model"),
        ({"protocol": MESSAGES, "body": []}, 400, ""),
        (
            {"protocol": RESPONSES, "body": {"model": "acme/alpha", "input": "hi", "background": True}},
            400,
            "background",
        ),
        (chat() | {"model": "acme/alfa"}, 404, "acme/alpha"),
    ],
    ids=["garbage", "protocol", "gemini without a model", "a list", "background", "unknown model"],
)
def test_what_cannot_be_read_is_refused_as_its_request_would_be(gateway, body, status, words) -> None:
    refused = explains(gateway, body)
    assert refused.status == status
    assert words in refused.error["message"]


def test_only_the_master_key_may_ask(gateway) -> None:
    made = json.loads(gateway.trunkline("keys", "create", "--name", "other", "--json").stdout)
    assert explains(gateway, chat(), key=made["secret"]).status == 403
    assert explains(gateway, chat(), key="").status == 403


def test_explaining_leaves_no_record(gateway) -> None:
    answer = explains(gateway, chat())
    later = gateway.chat("acme/unheard-of")
    assert gateway.record(later.id)
    assert not gateway._rows("id", answer.id)


def test_the_command_line_shows_it_as_a_table(gateway, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(chat("x" * 400)))
    address = f"http://127.0.0.1:{gateway.port}"
    done = gateway.trunkline("explain", str(file), "--url", address, "--config", str(gateway.path))
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("acme/alpha:first", "acme/alpha:second", "acme/alpha:small", "too long"):
        assert word in done.stdout


def test_the_command_line_takes_any_protocol_and_gives_json(gateway, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"contents": USERS[GEMINI]("hi")}))
    address = f"http://127.0.0.1:{gateway.port}"
    options = ["--protocol", GEMINI, "--path-model", "acme/alpha", "--json", "--url", address]
    done = gateway.trunkline("explain", str(file), *options, "--config", str(gateway.path))
    assert json.loads(done.stdout)["protocol"] == GEMINI


def test_the_command_line_tells_a_refusal_in_one_line(gateway, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(chat() | {"model": "acme/alfa"}))
    address = f"http://127.0.0.1:{gateway.port}"
    done = gateway.trunkline("explain", str(file), "--url", address, "--config", str(gateway.path))
    assert done.returncode == 1
    assert "There is no model `acme/alfa`" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_command_line_makes_no_secrets_where_no_gateway_ever_ran(gateway, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(f'[store]\nurl = "sqlite:///{tmp_path}/other.db"\n')
    (tmp_path / "request.json").write_text(json.dumps(chat()))
    done = gateway.trunkline("explain", str(tmp_path / "request.json"), "--config", str(tmp_path / "t.toml"))
    assert done.returncode == 1
    assert "no master key" in done.stderr
    assert not (tmp_path / "other.db.secrets").exists()


def test_where_no_gateway_runs_it_says_what_to_do(gateway, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(chat()))
    done = gateway.trunkline("explain", str(file), "--url", "http://127.0.0.1:9", "--config", str(gateway.path))
    assert done.returncode == 1
    assert "trunkline serve" in done.stderr


def test_figures_of_our_own_traffic_stand_beside_each_offer(gateway, upstream) -> None:
    for slug in ("first", "second"):
        upstream.plays(slug, "acme--alpha", says("hello"))
    assert gateway.stream("acme/alpha").status == 200
    rows = data(explains(gateway, chat()))["candidates"]
    assert any(one.get("uptime") == 1 for one in rows)

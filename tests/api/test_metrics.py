"""Who may see `/metrics`, and what it says of offers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fakes.caller import CallerConnection
from tests.fakes.services import gateway_of
from trunkline.accounts.keys import MASTER_ID, ApiKey
from trunkline.api.metrics import Metrics
from trunkline.errors import AccessDenied
from trunkline.execution.gateway import Clock
from trunkline.routing.health import Sample
from trunkline.settings import load_settings
from trunkline.snapshot import build
from trunkline.telemetry.counters import Counters

CONFIG = """
[embedded]
enabled = false
[providers.first]
base_url = "http://127.0.0.1:9/v1"
api_key = "sk-operator"
[[models]]
slug = "acme/alpha"
[[models.offers]]
provider = "first"
upstream_model = "alpha"
protocols = ["openai.chat"]
"""
STATE = {
    "ready": True,
    "store": {"queued": 3, "written": 5, "failures": 0},
    "upstream": {"open": 2, "idle": 1, "created": 4},
}


def made(tmp_path: Path, text: str = "") -> Metrics:
    path = tmp_path / "trunkline.toml"
    path.write_text(text + CONFIG)
    settings = load_settings(path, {})
    clock = Clock(lambda: 100.0, lambda: 100_000.0, lambda: "2026-01-01", lambda: "req_1")
    return Metrics(gateway_of(build(settings), clock), Counters(), lambda: STATE, settings)


def call(*headers: tuple[bytes, bytes]) -> Any:
    return SimpleNamespace(headers=list(headers), peer="127.0.0.1")


def key(id_: str) -> ApiKey:
    return ApiKey(id=id_, name="", hash="", hint="", created_ms=0)


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("", False),
        ('[server]\nhost = "::1"\n', False),
        ('[server]\nhost = "localhost"\n', False),
        ('[server]\nhost = "0.0.0.0"\n', True),
        ('[server]\nhost = "gateway.example.com"\n', True),
        ('[server]\npublic_url = "https://llm.example.com"\n', True),
        ('[server]\ntrusted_proxies = ["127.0.0.1"]\n', True),
        ('[server]\nhost = "0.0.0.0"\n[metrics]\npublic = true\n', False),
    ],
)
def test_a_key_is_asked_for_unless_the_gateway_is_alone_on_its_machine_or_public(
    tmp_path, text: str, asks: bool
) -> None:
    assert made(tmp_path, text).needs_key(call()) is asks


@pytest.mark.parametrize("name", [b"x-forwarded-for", b"forwarded", b"via", b"x-real-ip"])
def test_a_key_is_asked_for_where_a_proxy_shows(tmp_path, name: bytes) -> None:
    assert made(tmp_path).needs_key(call((name, b"192.0.2.7")))


async def test_only_the_master_key_will_do(tmp_path) -> None:
    metrics, caller = made(tmp_path), CallerConnection()
    reply = caller.reply(caller.call())
    with pytest.raises(AccessDenied, match="master key"):
        metrics.scrape(call(), reply, key("key_1"), 0)
    metrics.scrape(call(), reply, key(MASTER_ID), 0)


async def test_it_says_what_routing_knows_of_an_offer_and_nothing_of_others(tmp_path) -> None:
    metrics, caller = made(tmp_path), CallerConnection()
    metrics._gateway.health.begin("acme/alpha:first", 99.0)
    metrics._gateway.health.observe("acme/alpha:first", Sample(99.0, up=True, first_token_ms=250.0))
    await metrics.scrape(call(), caller.reply(caller.call()), None, 7).run(b"")
    lines = caller.body.decode().splitlines()
    offer = '{gen_ai_provider_name="first",gen_ai_request_model="acme/alpha"}'
    assert f"trunkline_offer_first_token_seconds{offer} 0.25" in lines
    assert f"trunkline_offer_breaker{offer} 0" in lines
    assert "trunkline_credentials_refused_total 7" in lines
    assert "trunkline_records_waiting 3" in lines
    assert len([line for line in lines if line.startswith("trunkline_offer_in_flight")]) == 1

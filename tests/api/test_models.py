"""Which models are listed, and at whose price."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.caller import CallerConnection
from tests.fakes.services import gateway_of
from trunkline.api.live import Hours, LastDay
from trunkline.api.models import ModelList
from trunkline.errors import StoreError
from trunkline.execution.gateway import Clock
from trunkline.ir.usage import Usage
from trunkline.records.figures import OfferFigures
from trunkline.records.types import Attempt
from trunkline.settings import load_settings
from trunkline.snapshot import build

CONFIG = """
[embedded]
enabled = false
[detect]
local_servers = false
[providers.acme]
name = "Acme"
base_url = "http://127.0.0.1:9001"
api_key = "sk-acme"
# openai has no key here.
[[models]]
slug = "acme/alpha"
context_tokens = 1000
[[models.offers]]
provider = "openai"
upstream_model = "alpha"
protocols = ["openai.chat"]
price = [{ item = "prompt", unit = "perMTokens", value = "1" }]
[[models.offers]]
provider = "acme"
upstream_model = "alpha"
protocols = ["openai.chat"]
price = [{ item = "prompt", unit = "perMTokens", value = "2" }]
[[models]]
slug = "acme/beta"
context_tokens = 1000
[[models.offers]]
provider = "openai"
upstream_model = "beta"
protocols = ["openai.chat"]
price = [{ item = "prompt", unit = "perMTokens", value = "3" }]
"""


def made(tmp_path: Path, last_day: LastDay | None = None) -> ModelList:
    path = tmp_path / "trunkline.toml"
    path.write_text(CONFIG)
    clock = Clock(now_s=lambda: 1.0, unix_ms=lambda: 1_000.0, today=lambda: "2026-01-01", new_id=lambda: "req_1")
    gateway = gateway_of(build(load_settings(path, {})), clock)
    return ModelList(gateway, last_day)


@pytest.fixture
def models(tmp_path: Path) -> ModelList:
    return made(tmp_path)


async def asked(models: ModelList, path: str, query: bytes = b"") -> Any:
    caller = CallerConnection()
    call = caller.call(path.encode() + (b"?" + query if query else b""))
    handler = models(call, caller.reply(call))
    if handler is not None:
        await handler.run(b"")
    return json.loads(caller.body)


async def slugs(models: ModelList, query: bytes) -> set[str]:
    return {card["id"] for card in (await asked(models, "/v1/models", query))["data"]}


@pytest.mark.parametrize("path", ["/v1/models/acme/alpha", "/v1/models/acme/alpha/endpoints"])
async def test_a_model_is_priced_as_the_list_prices_it_by_an_offer_that_can_be_called(
    models: ModelList, path: str
) -> None:
    one = await asked(models, path)
    listed = next(card for card in (await asked(models, "/v1/models"))["data"] if card["id"] == "acme/alpha")
    assert one.get("data", one)["pricings"] == listed["pricings"]
    assert listed["pricings"]["prompt"][0]["value"] == 2


async def test_a_model_that_cannot_be_called_is_shown_with_the_price_it_would_have(models: ModelList) -> None:
    assert (await asked(models, "/v1/models/acme/beta"))["pricings"]["prompt"][0]["value"] == 3


@pytest.mark.parametrize("query", [b"all=true", b"small=1&all=true", b"all=false&all=true"])
async def test_all_lists_what_cannot_be_called_too(models: ModelList, query: bytes) -> None:
    assert {"acme/alpha", "acme/beta", "openai/o4-mini"} <= await slugs(models, query)


@pytest.mark.parametrize("query", [b"", b"small=true", b"all=truely", b"call=true", b"all=false", b"q=all%3Dtrue"])
async def test_another_word_is_not_all(models: ModelList, query: bytes) -> None:
    assert await slugs(models, query) == {"acme/alpha"}


def an_hour(*attempts: tuple[str, int, float]) -> OfferFigures:
    figures = OfferFigures()
    for outcome, status, first_ms in attempts:
        used = Usage(input_tokens=20, cache_read_tokens=80, output_tokens=50)
        figures.see(
            Attempt(
                "acme",
                "acme/alpha:acme",
                "alpha",
                0.0,
                outcome=outcome,
                status=status,
                usage=used,
                first_token_ms=first_ms,
            )
        )
    return figures


async def test_endpoints_show_the_last_day_of_each_offer(tmp_path: Path) -> None:
    asked_for: list[Sequence[str]] = []

    async def last_day(offers: Sequence[str]) -> Mapping[str, Hours]:
        asked_for.append(offers)
        first = an_hour(("ok", 200, 100.0), ("reset", 200, 300.0), ("status", 429, 1.0))
        return {"acme/alpha:acme": {7_200: an_hour(("ok", 200, 200.0)), 3_600: first}}

    models = made(tmp_path, last_day)
    for _ in range(2):
        shown = (await asked(models, "/v1/models/acme/alpha/endpoints"))["data"]["endpoints"]
    live = {card["provider_slug"]: card["figures"]["last_24_hours"] for card in shown}
    assert live["openai"] is None
    day = live["acme"]
    assert (day["attempts"], day["uptime_percent"], day["rate_limited_percent"]) == (4, 66.67, 25.0)
    assert day["errors"] == {"reset": 1, "status 429": 1}
    assert (day["cache_hit_percent"], day["tokens"]["output"]) == (80.0, 200)
    latency = day["first_token_latency_ms"]
    assert (latency["min"], latency["avg"], latency["max"], latency["samples"]) == (1.0, 150.25, 300.0, 4)
    assert [(one["hour"], one["uptime_percent"]) for one in day["uptime_by_hour"]] == [
        ("1970-01-01T01:00:00Z", 50.0),
        ("1970-01-01T02:00:00Z", 100.0),
    ]
    assert asked_for == [("acme/alpha:openai", "acme/alpha:acme")], "the second time within seconds it is remembered"


async def test_endpoints_are_shown_while_the_store_cannot_be_read(tmp_path: Path) -> None:
    async def last_day(offers: Sequence[str]) -> Mapping[str, Hours]:
        raise StoreError("locked")

    shown = (await asked(made(tmp_path, last_day), "/v1/models/acme/alpha/endpoints"))["data"]["endpoints"]
    assert [card["figures"]["last_24_hours"] for card in shown] == [None, None]

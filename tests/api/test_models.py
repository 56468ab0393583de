"""Which models are listed, and at whose price."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.caller import CallerConnection
from tests.fakes.services import gateway_of
from trunkline.api.models import ModelList
from trunkline.execution.gateway import Clock
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


@pytest.fixture
def models(tmp_path: Path) -> ModelList:
    path = tmp_path / "trunkline.toml"
    path.write_text(CONFIG)
    clock = Clock(now_s=lambda: 1.0, unix_ms=lambda: 1_000.0, today=lambda: "2026-01-01", new_id=lambda: "req_1")
    gateway = gateway_of(build(load_settings(path, {})), clock)
    return ModelList(gateway)


async def asked(models: ModelList, path: str, query: bytes = b"") -> Any:
    caller = CallerConnection()
    call = caller.call(path.encode() + (b"?" + query if query else b""))
    models(call, caller.reply(call))
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

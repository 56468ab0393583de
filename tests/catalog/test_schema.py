"""What people may write, and how they are told what is wrong with it."""

import datetime
import tomllib
from decimal import Decimal
from typing import Any

import pytest

from trunkline.catalog.load import load
from trunkline.catalog.schema import parse_layer
from trunkline.errors import ConfigError

CONTRACT = """
[providers.acme]
name = "Acme"
base_url = "http://127.0.0.1:9001"
api_key = "env:ACME_KEY"
[[models]]
slug = "acme/alpha"
context_tokens = 200000
max_output_tokens = 100000
input = ["text", "image"]
reasoning = true
[[models.offers]]
provider = "acme"
upstream_model = "alpha-1"
protocols = ["openai.chat"]
price = [ { item = "prompt", unit = "perMTokens", value = "1.10" }, { item = "completion", unit = "perMTokens", value = "4.40" } ]
context_tokens = 100000
max_input_tokens = 90000
max_output_tokens = 50000
supported_parameters = ["tools", "temperature"]
abortable = true
prefill = true
deadlines = { connect_s = 5, first_event_s = 120, idle_s = 60, total_s = 900 }
deprecated_on = "2027-01-01"
shutdown_on = 2027-06-01
"""


def test_the_contract_of_the_documentation_is_taken_as_it_stands() -> None:
    catalog = load([parse_layer(tomllib.loads(CONTRACT), "trunkline.toml")], shipped=False)
    model = catalog.models["acme/alpha"]
    offer = model.offers[0]
    assert (model.name, model.author, model.context_tokens, model.reasoning) == ("alpha", "acme", 200_000, True)
    assert [(line.item, line.value) for line in offer.price] == [
        ("prompt", Decimal("1.10")),
        ("completion", Decimal("4.40")),
    ]
    assert (offer.upstream_model, offer.context_tokens, offer.max_input_tokens) == ("alpha-1", 100_000, 90_000)
    assert (offer.deadlines.connect_s, offer.deprecated_on, offer.shutdown_on) == (5, "2027-01-01", "2027-06-01")
    assert catalog.providers["acme"].base_urls == {"openai.chat": "http://127.0.0.1:9001"}


def faults(raw: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_layer(raw, "acme.toml")
    return str(caught.value)


def model(**fields: Any) -> dict[str, Any]:
    return {"models": [{"slug": "acme/alpha", **fields}]}


def offer(**fields: Any) -> dict[str, Any]:
    return model(offers=[{"provider": "acme", **fields}])


def priced(**fields: Any) -> dict[str, Any]:
    return offer(price=[{"item": "prompt", "unit": "perMTokens", "value": "1", **fields}])


WRONG = [
    ({"provider": {}}, "acme.toml: provider", "did you mean `providers`?"),
    ({"providers": {"acme": {"bas_url": "x"}}}, "providers.acme.bas_url", "did you mean `base_url`?"),
    ({"providers": {"acme": {"base_url": "acme.example"}}}, "providers.acme.base_url", "begins with http:// or https://"),
    ({"providers": {"acme": {"status_url": "javascript:alert(1)"}}}, "providers.acme.status_url", "begins with http:// or https://"),
    ({"providers": {"acme": {"base_urls": {"openai.chatt": "https://a"}}}}, 'providers.acme.base_urls', "'openai.chat'"),
    ({"providers": {"acme": {"auth": "basic"}}}, "providers.acme.auth", '"header:NAME"'),
    ({"providers": {"acme": {"key_env": "sk-live-123"}}}, "providers.acme.key_env", "a key itself belongs in `api_key`"),
    ({"providers": {"acme": {"headers": {"X-A": "a\r\nb"}}}}, "providers.acme.headers", "line ends"),
    ({"providers": {"acme": {"headers": {"X-A": "ключ"}}}}, "providers.acme.headers", "non-ASCII"),
    ({"providers": {"acme": {"headers": {"X A": "a"}}}}, "providers.acme.headers", "'X A' is no header name"),
    ({"providers": {"acme": {"headers": {"": "a"}}}}, "providers.acme.headers", "is no header name"),
    ({"providers": {"acme": {"headers": {"Host": "a"}}}}, "providers.acme.headers", "take it out"),
    ({"providers": {"acme": {"headers": {"Authorization": "a"}}}}, "providers.acme.headers", "put the key into `api_key`"),
    ({"providers": {"acme": {"headers": {"x-api-key": "a"}}}}, "providers.acme.headers", 'auth = "header:x-api-key"'),
    ({"providers": {"acme": {"auth": "header:Host"}}}, "providers.acme.auth", "the gateway writes itself"),
    ({"providers": {"acme": {"data_policy": {"retention": 3}}}}, "providers.acme.data_policy.retention", "`retention_days`"),
    ({"providers": {"acme": {"enabled": "yes"}}}, "providers.acme.enabled", "valid boolean"),
    ({"providers": {"Acme Inc": {}}}, "providers", "small letters"),
    ({"models": [{}]}, "models[0].slug", "is missing: add it"),
    ({"models": [{"slug": "alpha"}]}, 'models["alpha"].slug', '"author/model"'),
    ({"models": [{"slug": "api/alpha"}]}, 'models["api/alpha"].slug', "path of the gateway itself"),
    ({"models": [{"slug": "v1/alpha"}]}, 'models["v1/alpha"].slug', "take another one"),
    (model(contxt_tokens=1), 'models["acme/alpha"].contxt_tokens', "did you mean `context_tokens`?"),
    (model(context_tokens="200000"), 'models["acme/alpha"].context_tokens', "valid integer"),
    (model(context_tokens=0), 'models["acme/alpha"].context_tokens', "greater than 0"),
    (model(input=["smell"]), 'models["acme/alpha"].input[0]', "'text', 'image'"),
    (model(released_on="May"), 'models["acme/alpha"].released_on', '"2026-04-16"'),
    (offer(protocols=["openai"]), 'offers["acme"].protocols[0]', "'openai.chat'"),
    (offer(protocols=[]), 'offers["acme"].protocols', "at least 1"),
    (offer(supported_parameters=["temperatur"]), 'offers["acme"].supported_parameters', "did you mean 'temperature'?"),
    (offer(deadlines={"first_s": 3}), 'offers["acme"].deadlines.first_s', "did you mean `first_event_s`?"),
    (offer(deadlines={"idle_s": 0}), 'offers["acme"].deadlines.idle_s', "greater than 0"),
    (priced(item="promt"), 'offers["acme"].price[0].item', "did you mean 'prompt'?"),
    (priced(unit="perToken"), 'offers["acme"].price[0].unit', "'perMTokens'"),
    (priced(value="1,10"), 'offers["acme"].price[0].value', "number in quotes"),
    (priced(value="-1"), 'offers["acme"].price[0].value', "zero or more"),
    (priced(value="NaN"), 'offers["acme"].price[0].value', "zero or more"),
    (priced(value=True), 'offers["acme"].price[0].value', "number in quotes"),
    (priced(when={"tokens": 1}), 'offers["acme"].price[0].when.tokens', "unknown key"),
    (priced(when={"utc_from": "25:00"}), 'price[0].when.utc_from', "time of day"),
    (priced(when={"utc_days": "0"}), 'price[0].when.utc_days', "pattern"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "place", "mend"), WRONG, ids=[place for _, place, _ in WRONG])
def test_a_fault_is_told_with_file_key_and_mend(raw: dict[str, Any], place: str, mend: str) -> None:
    message = faults(raw)
    assert message.startswith("acme.toml")
    assert place in message
    assert mend in message


def test_all_faults_are_told_at_once() -> None:
    message = faults({"providers": {"acme": {"naem": "A"}}, "models": [{"slug": "acme/a", "reasoning": 1}]})
    assert "2 faults" in message
    assert "providers.acme.naem" in message
    assert 'models["acme/a"].reasoning' in message


def test_a_secret_is_in_no_error_and_in_no_text_of_the_layer() -> None:
    message = faults({"providers": {"acme": {"api_key": "sk-live-1234567890", "nmae": "x", "api_keys": ["sk-live-2"]}}})
    layer = parse_layer({"providers": {"acme": {"api_key": "sk-live-1234567890"}}}, "acme.toml")
    assert "sk-live" not in message + repr(layer) + str(layer) + layer.model_dump_json()


def test_the_keys_of_a_provider_come_together_as_they_were_written() -> None:
    layer = parse_layer({"providers": {"acme": {"api_key": "env:A", "api_keys": ["file:/b", "c"]}}}, "acme.toml")
    assert [key.get_secret_value() for key in layer.providers["acme"].keys()] == ["env:A", "file:/b", "c"]  # noqa: SIM118


@pytest.mark.parametrize(("written", "exact"), [(1.1, "1.1"), ("1.10", "1.10"), (3, "3"), (0.275, "0.275"), ("0", "0")])
def test_a_price_is_taken_as_it_was_typed(written: object, exact: str) -> None:
    layer = parse_layer(priced(value=written), "acme.toml")
    assert str(layer.models[0].offers[0].price[0].value) == exact


def test_a_toml_date_and_its_text_mean_the_same() -> None:
    written = [
        parse_layer(model(released_on=day), "a").models[0].released_on
        for day in ("2026-04-16", datetime.date(2026, 4, 16))
    ]
    assert written == ["2026-04-16"] * 2


def test_a_header_that_is_refused_is_told_without_its_value() -> None:
    assert "sk-live" not in faults(
        {"providers": {"acme": {"headers": {"Authorization": "Bearer sk-live-1", "a b": "sk-live-2"}}}}
    )


def test_words_of_other_catalogs_for_parameters_are_understood() -> None:
    listed = ["max_tokens", "max_completion_tokens", "stream", "user", "tools"]
    layer = parse_layer(
        {"models": [{"slug": "acme/a", "offers": [{"provider": "acme", "supported_parameters": listed}]}]}, "here"
    )
    assert layer.models[0].offers[0].supported_parameters == ["max_completion_tokens", "tools"]


@pytest.mark.parametrize("way", ["true", '"prefix"', '"partial"', '"continue_final_message"'])
def test_prefill_is_said_in_the_vendors_way(way) -> None:
    raw = tomllib.loads(CONTRACT.replace("prefill = true", f"prefill = {way}"))
    offer = load([parse_layer(raw, "trunkline.toml")], shipped=False).models["acme/alpha"].offers[0]
    assert offer.prefill == tomllib.loads(f"way = {way}")["way"]


def test_a_way_of_prefill_that_nobody_has_is_refused() -> None:
    assert "prefill" in faults(tomllib.loads(CONTRACT.replace("prefill = true", 'prefill = "echo"')))

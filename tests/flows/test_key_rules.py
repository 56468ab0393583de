"""What keys may call, by their rules: enforced in every plan, told with the rule's name, and shown in the list of models."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.gateway import (
    CHAT,
    Answer,
    GatewayProcess,
    base_toml,
    model_toml,
    provider_toml,
    start_gateway,
    upstream_name,
)
from tests.fakes.terms import Made, Terms
from tests.fakes.upstream import Upstream, fails, says
from trunkline.accounts.types import KeyRules
from trunkline.ir.wish import PolicyWish

MODELS = ("acme/one", "acme/two", "other/three")
PRIVATE = "data_policy = { training = false, retention_days = 0 }"


def config(folder: Any, upstream: Upstream) -> str:
    parts = [base_toml(folder, routing='spread = false\nfallback_model = "acme/two"')]
    parts.append(provider_toml("first", upstream.url("first")))
    parts.append(provider_toml("second", upstream.url("second"), more=PRIVATE))
    parts += [model_toml(slug, ("first", "second")) for slug in MODELS]
    return "\n".join(parts)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("rules")
    for slug in MODELS:
        upstream.plays("first", upstream_name(slug), says("from the first"))
        upstream.plays("second", upstream_name(slug), says("from the second"))
    made = start_gateway(folder, config(folder, upstream))
    yield made
    assert made.stop() == 0, made.log


@pytest.fixture(scope="module")
def terms(gateway: GatewayProcess) -> Terms:
    return Terms(gateway)


def ask(gateway: GatewayProcess, made: Made, model: str, **fields: Any) -> Answer:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]} | fields
    return gateway.request("POST", CHAT, body, key=made.secret)


def test_a_key_calls_the_models_that_it_may_and_no_other(gateway, terms) -> None:
    made = terms.key(KeyRules(models=("acme/one", "other/*")))
    assert ask(gateway, made, "acme/one").status == 200
    assert ask(gateway, made, "other/three").status == 200
    answer = ask(gateway, made, "acme/two")
    assert (answer.status, answer.error["type"]) == (403, "access_denied")
    assert "allowed models are acme/one, other/*" in answer.error["message"]
    assert gateway.record(answer.id).attempts == ()


def test_plans_of_keys_with_other_rules_are_not_mixed_up(gateway, terms) -> None:
    first, second, plain = (
        terms.key(KeyRules(providers=("first",))),
        terms.key(KeyRules(providers=("second",))),
        terms.key(),
    )
    for _ in range(3):
        assert ask(gateway, first, "acme/one").text == "from the first"
        assert ask(gateway, second, "acme/one").text == "from the second"
        assert ask(gateway, plain, "acme/one").text == "from the first"


def test_a_provider_that_a_key_may_not_use_is_no_failover(gateway, terms, upstream) -> None:
    upstream.plays("first", upstream_name("acme/one"), fails(503), says("from the first"))
    made = terms.key(KeyRules(models=("acme/one",), providers=("first",)))
    answer = ask(gateway, made, "acme/one")
    assert answer.status == 502
    plan = {one.offer: one.reason for one in gateway.record(answer.id).plan}
    assert plan["acme/one:second"] == "is not one of the providers that this key may use"
    assert "acme/two:first" not in plan


def test_a_model_of_no_permitted_provider_is_denied(gateway, terms) -> None:
    made = terms.key(KeyRules(providers=("nobody",)))
    answer = ask(gateway, made, "acme/one")
    assert (answer.status, answer.error["type"]) == (403, "access_denied")


def test_the_data_policy_of_a_key_holds_whatever_the_request_wishes(gateway, terms) -> None:
    made = terms.key(KeyRules(data_policy=PolicyWish(no_training=True, zero_retention=True)))
    assert ask(gateway, made, "acme/one").text == "from the second"
    assert ask(gateway, made, "acme/one", provider={"only": ["first"]}).status in (403, 404)


def test_a_key_speaks_the_protocols_that_it_may(gateway, terms) -> None:
    made = terms.key(KeyRules(protocols=("anthropic.messages",)))
    answer = ask(gateway, made, "acme/one")
    assert (answer.status, answer.error["type"]) == (403, "access_denied")
    assert "allowed protocols are anthropic.messages" in answer.error["message"]
    assert (gateway.record(answer.id).status, gateway.record(answer.id).key_id) == (403, made.id)
    body = {"model": "acme/one", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
    assert gateway.request("POST", "/v1/messages", body, key=made.secret).status == 200
    assert gateway.request("POST", "/v1/messages/count_tokens", body, key=made.secret).status == 200
    assert gateway.get("/v1/responses/resp_1", key=made.secret).status == 403


def test_counting_obeys_too(gateway, terms) -> None:
    made = terms.key(KeyRules(models=("acme/one",)))
    body = {"model": "acme/two", "messages": [{"role": "user", "content": "hi"}]}
    assert gateway.request("POST", "/v1/messages/count_tokens", body, key=made.secret).status == 403


def test_the_list_of_models_is_of_those_that_the_key_may_call(gateway, terms) -> None:
    made = terms.key(KeyRules(models=("acme/one",)))
    listed = gateway.get("/v1/models", key=made.secret).json["data"]
    assert [one["id"] for one in listed] == ["acme/one"]
    assert len(gateway.get("/v1/models", key=terms.key().secret).json["data"]) >= len(MODELS)


def test_a_management_key_opens_no_models(gateway, terms) -> None:
    made = terms.key(KeyRules(), kind="management")
    answer = ask(gateway, made, "acme/one")
    assert gateway.record(answer.id).key_id == made.id
    assert (answer.status, answer.error["type"]) == (403, "access_denied")

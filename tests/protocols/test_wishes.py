"""What a caller may ask of routing, in the words of ZenMux and of OpenRouter, and that it means the same at every door."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from trunkline.errors import InvalidParams
from trunkline.ir.facts import RequestFacts
from trunkline.ir.wish import NO_WISH, AutoWish, Hedge, PolicyWish, RoutingWish
from trunkline.protocols.anthropic_messages import codec as messages
from trunkline.protocols.codec import RequestContext
from trunkline.protocols.gemini import codec as gemini
from trunkline.protocols.openai_chat import codec as chat
from trunkline.protocols.openai_responses import codec as responses
from trunkline.protocols.wishes import MAX_NAMES, _Provider

DOORS: Mapping[str, ModuleType] = {module.NAME: module for module in (chat, messages, responses, gemini)}
ASKING = RequestContext(request_id="req_1", secret=b"s", path_model="acme/alpha")


@pytest.fixture(params=list(DOORS))
def door(request: pytest.FixtureRequest) -> ModuleType:
    return DOORS[request.param]


def body(door: ModuleType, **more: Any) -> bytes:
    said: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
    if door is responses:
        said = {"input": "hi"}
    if door is gemini:
        said = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    return json.dumps({"model": "acme/alpha", **said, **more}).encode()


def facts(door: ModuleType, **more: Any) -> RequestFacts:
    found: RequestFacts = door.peek(body(door, **more), ASKING, frozenset()).facts
    return found


def wish(door: ModuleType, **more: Any) -> RoutingWish:
    return facts(door, **more).wish


@pytest.mark.parametrize("factor", ["latency", "price", "throughput"])
def test_a_priority_orders_by_its_factor(door: ModuleType, factor: str) -> None:
    asked = {"routing": {"type": "priority", "primary_factor": factor}}
    assert wish(door, provider=asked) == RoutingWish(factor=factor)  # type: ignore[arg-type]
    assert wish(door, provider={"sort": factor}) == wish(door, provider=asked)
    assert wish(door, provider={"sort": {"by": factor, "partition": "model"}}) == wish(door, provider=asked)


def test_an_order_of_providers_is_in_two_places(door: ModuleType) -> None:
    asked = wish(door, provider={"routing": {"type": "order", "providers": ["OpenAI", "azure"]}})
    assert asked == RoutingWish(order=("OpenAI", "azure"))
    assert wish(door, provider={"order": ["OpenAI", "azure"]}) == asked


def test_the_more_precise_word_wins(door: ModuleType) -> None:
    routing = {"type": "order", "providers": ["a"], "primary_factor": "price"}
    asked = wish(door, provider={"routing": routing, "order": ["b"], "sort": "latency"})
    assert (asked.order, asked.factor) == (("a",), "price")


@pytest.mark.parametrize(
    ("provider", "meant"),
    [
        ({"only": ["a", "a", "b"]}, RoutingWish(only=("a", "b"))),
        ({"ignore": ["a"]}, RoutingWish(ignore=("a",))),
        ({"allow_fallbacks": False}, RoutingWish(allow_fallbacks=False)),
        ({"data_policy": {"no_training": True}}, RoutingWish(data_policy=PolicyWish(no_training=True))),
        ({"data_collection": "deny"}, RoutingWish(data_policy=PolicyWish(no_training=True))),
        ({"data_policy": {"zero_retention": True}}, RoutingWish(data_policy=PolicyWish(zero_retention=True))),
        ({"zdr": True}, RoutingWish(data_policy=PolicyWish(zero_retention=True))),
        ({"data_policy": {"region": "EU"}}, RoutingWish(data_policy=PolicyWish(region="EU"))),
        ({"hedge": True}, RoutingWish(hedge=Hedge())),
        ({"hedge": {}}, RoutingWish(hedge=Hedge())),
        ({"hedge": {"after_ms": 250}}, RoutingWish(hedge=Hedge(250))),
        ({"fallback": False}, RoutingWish(default_fallback=False)),
        ({"max_price": {"prompt": 1, "completion": "2.50"}}, RoutingWish(max_price=(("prompt", "1"), ("completion", "2.50")))),
        ({"max_price": {"prompt": 0.1}}, RoutingWish(max_price=(("prompt", "0.1"),))),
    ],
)  # fmt: skip
def test_wishes_about_providers(door: ModuleType, provider: dict[str, Any], meant: RoutingWish) -> None:
    assert wish(door, provider=provider) == meant


def test_models_to_fall_back_to_are_told_with_their_places(door: ModuleType) -> None:
    asked = wish(door, models=["acme/beta", "acme/gamma"], provider={"fallback": ["acme/gamma", "acme/delta"]})
    assert asked.models == ("acme/beta", "acme/gamma", "acme/delta")
    assert asked.places == ("models[0]", "models[1]", "provider.fallback[1]")
    assert wish(door, provider={"fallback": "acme/beta"}).models == ("acme/beta",)


@pytest.mark.parametrize("name", ["openai.chat", "openai.responses"])
def test_the_first_of_models_is_asked_for_where_there_is_no_model(name: str) -> None:
    door = DOORS[name]
    said = json.loads(body(door, models=["acme/beta", "acme/gamma"]))
    del said["model"]
    sent = json.dumps(said).encode()
    found = door.peek(sent, ASKING, frozenset()).facts
    assert (found.model, found.wish.models, found.wish.places) == ("acme/beta", ("acme/gamma",), ("models[1]",))
    assert door.read_request(sent, ASKING).model == "acme/beta"


def test_the_automatic_model_is_told_what_to_choose_from(door: ModuleType) -> None:
    config = {"available_models": ["acme/alpha", "acme/beta"], "preference": "price"}
    assert wish(door, model_routing_config=config).auto == AutoWish(("acme/alpha", "acme/beta"), "price")
    assert wish(door, model_routing_config={}).auto == AutoWish()


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"provider": None, "models": None, "model_routing_config": None},
        {"provider": {"order": None, "sort": None, "max_price": {"prompt": None}, "hedge": False}},
        {"provider": {"allow_fallbacks": True, "data_collection": "allow", "fallback": True, "zdr": False}},
        {"provider": {"quantizations": ["fp8"], "something_new": {"a": 1}}},
        {"usage": {"include": True}},
    ],
)
def test_who_wishes_nothing_gets_the_one_wish_that_is_none(door: ModuleType, more: dict[str, Any]) -> None:
    assert wish(door, **more) is NO_WISH


@pytest.mark.parametrize(
    ("more", "param", "mend"),
    [
        ({"provider": {"routing": {"type": "fastest"}}}, "provider.routing.type", '"priority", "order"'),
        ({"provider": {"routing": {"type": "priority"}}}, "provider.routing.primary_factor", '"latency"'),
        (
            {"provider": {"routing": {"type": "priority", "primary_factor": "speed"}}},
            "provider.routing.primary_factor",
            '"latency", "price", "throughput"',
        ),
        ({"provider": {"routing": {"type": "order"}}}, "provider.routing.providers", "needs `providers`"),
        ({"provider": {"routing": {"type": "order", "providers": "a"}}}, "provider.routing.providers", "array"),
        ({"provider": {"order": ["a", 5]}}, "provider.order[1]", "str"),
        ({"provider": {"only": ["a", ""]}}, "provider.only[1]", "1 to 256 characters"),
        ({"provider": {"ignore": ["a"] * (MAX_NAMES + 1)}}, "provider.ignore", f"at most {MAX_NAMES}"),
        ({"provider": {"sort": "cost"}}, "provider.sort", '"price"'),
        ({"provider": {"sort": {"by": "cost"}}}, "provider.sort.by", '"price"'),
        ({"provider": {"data_collection": "never"}}, "provider.data_collection", '"allow", "deny"'),
        ({"provider": {"data_policy": {"no_training": "yes"}}}, "provider.data_policy.no_training", "bool"),
        ({"provider": {"hedge": {"after_ms": -1}}}, "provider.hedge.after_ms", "milliseconds"),
        ({"provider": {"hedge": 5}}, "provider.hedge", "bool"),
        ({"provider": {"max_price": {"promt": 1}}}, "provider.max_price", '"prompt", "completion"'),
        ({"provider": {"max_price": {"prompt": -1}}}, "provider.max_price.prompt", "USD"),
        ({"provider": {"max_price": {"prompt": "cheap"}}}, "provider.max_price[...]", "decimal"),
        ({"provider": {"fallback": [1]}}, "provider.fallback[0]", "str"),
        ({"provider": {"allow_fallbacks": "no"}}, "provider.allow_fallbacks", "bool"),
        ({"provider": "azure"}, "provider", "object"),
        ({"models": "acme/beta"}, "models", "array"),
        ({"models": ["x" * 257]}, "models[0]", "256"),
        ({"model_routing_config": {"preference": "best"}}, "model_routing_config.preference", '"balanced"'),
        ({"model_routing_config": {"available_models": 5}}, "model_routing_config.available_models", "array"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_field_with_the_mend(
    door: ModuleType, more: dict[str, Any], param: str, mend: str
) -> None:
    with pytest.raises(InvalidParams) as caught:
        facts(door, **more)
    assert caught.value.param == param
    assert param.rpartition(".")[2] in caught.value.message
    assert mend in caught.value.message


def test_none_of_it_goes_on_to_the_provider(door: ModuleType) -> None:
    sent = body(door, provider={"order": ["a"]}, models=["acme/beta"], model_routing_config={"preference": "price"})
    request = door.read_request(sent, ASKING)
    assert not {"provider", "models", "model_routing_config", "modelRoutingConfig"} & set(request.extras)


PAGE = (Path(__file__).parents[2] / "docs" / "routing.md").read_text()


def documented() -> Iterator[tuple[str, str]]:
    """Key and value of each row of the page's table; a row without a key is another value of the key above it."""
    table = PAGE.partition("## `provider`")[2].partition("\n## ")[0]
    key = ""
    for cells in re.findall(r"^\|(.*?)\|(.*?)\|", table, re.MULTILINE)[2:]:
        key = cells[0].strip().strip("`") or key
        for value in re.findall(r"`([^`]+)`", cells[1]):
            yield key, value


@pytest.mark.parametrize(("key", "value"), list(documented()))
def test_every_word_of_the_page_is_understood(door: ModuleType, key: str, value: str) -> None:
    said = json.loads(value)
    if key == "routing" and isinstance(said, str):
        said = {"type": "priority", "primary_factor": said}
    found = facts(door, provider={key: said})
    assert found.wish is not NO_WISH or found.require_parameters is True


def test_the_page_has_a_row_for_every_key() -> None:
    assert {key for key, _ in documented()} == set(_Provider.__struct_fields__)

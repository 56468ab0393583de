"""What callers ask of routing in their requests, through the whole gateway: same words, same outcome, in all four protocols."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fakes.gateway import GatewayProcess, base_toml, start_gateway
from tests.fakes.talking import CHAT, GEMINI, MESSAGES, PROTOCOLS, RESPONSES, USERS, request, understood
from tests.fakes.upstream import Upstream, fails, says
from trunkline.records.types import Record

PROVIDERS = {
    # name: USD per million tokens of prompt and answer, data policy
    "cheap": ("1", "2", "training = true, retention_days = 30"),
    "fair": ("3", "6", 'training = false, retention_days = 0, region = "EU"'),
    "dear": ("5", "10", 'training = false, retention_days = 30, region = "US"'),
}
FAILING = 12
CLIENTS = pytest.mark.parametrize("client", PROTOCOLS)


def provider_toml(slug: str, upstream: Upstream) -> str:
    policy = PROVIDERS[slug][2]
    return f"""[providers.{slug}]
name = "The {slug.title()} One"
aliases = ["{slug}-cloud"]
base_url = "{upstream.url(slug)}"
api_key = "sk-operator"
data_policy = {{ {policy} }}
"""


def model_toml(slug: str, *providers: str, more: str = "") -> str:
    lines = ["[[models]]", f'slug = "{slug}"', "context_tokens = 100_000", "max_output_tokens = 10_000"]
    for one in providers:
        prompt, completion, _ = PROVIDERS[one]
        prices = f'{{ item = "prompt", unit = "perMTokens", value = "{prompt}" }}, '
        prices += f'{{ item = "completion", unit = "perMTokens", value = "{completion}" }}'
        lines += ["[[models.offers]]", f'provider = "{one}"', f'upstream_model = "{slug.partition("/")[2]}"']
        lines += ['protocols = ["openai.chat"]', f"price = [{prices}]", more]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def wishful(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("wishful")
    parts = [base_toml(folder, routing='spread = false\nauto_models = ["wish/alpha", "wish/cheap"]')]
    parts += [provider_toml(slug, upstream) for slug in PROVIDERS]
    parts += [model_toml("wish/alpha", *PROVIDERS), model_toml("wish/beta", "dear"), model_toml("wish/cheap", "cheap")]
    parts += [model_toml("wish/toolless", "dear", more="supported_parameters = []")]
    parts += [model_toml(f"wish/failing-{number}", "cheap", "fair") for number in range(FAILING)]
    made = start_gateway(folder, "\n".join(parts))
    for provider in PROVIDERS:
        for name in ("alpha", "beta", "cheap", "toolless"):
            upstream.plays(provider, name, says(f"{name} at {provider}"))
        for number in range(FAILING):
            upstream.plays(provider, f"failing-{number}", fails(503))
    yield made
    assert made.stop() == 0, made.log


@pytest.fixture(scope="module")
def failing() -> Callable[[], str]:
    """A model that no other test has seen fail."""
    numbers = itertools.count()
    return lambda: f"wish/failing-{next(numbers)}"


class Asking:
    """Asks for a model in one protocol, and tells who answered."""

    def __init__(self, gateway: GatewayProcess, protocol: str) -> None:
        self._gateway = gateway
        self._protocol = protocol
        self.record: Record

    def __call__(self, model: str = "wish/alpha", **fields: Any) -> str:
        path, body = request(self._protocol, model, USERS[self._protocol]("hi"), **fields)
        answer = self._gateway.request("POST", path, body)
        assert answer.status == 200, answer.body
        self.record = self._gateway.record(answer.id)
        return understood(self._protocol, answer, stream=False).text

    def refused(self, model: str = "wish/alpha", **fields: Any) -> tuple[int, str]:
        path, body = request(self._protocol, model, USERS[self._protocol]("hi"), **fields)
        answer = self._gateway.request("POST", path, body)
        return answer.status, answer.error["message"]

    @property
    def reasons(self) -> dict[str, str]:
        return {row.offer: row.reason for row in self.record.plan if row.rank is None}


@pytest.fixture
def ask(wishful: GatewayProcess, client: str) -> Asking:
    return Asking(wishful, client)


@CLIENTS
@pytest.mark.parametrize(
    ("provider", "who"),
    [
        ({"order": ["dear"]}, "dear"),
        ({"order": ["The FAIR one", "dear"]}, "fair"),
        ({"routing": {"type": "order", "providers": ["fair-cloud"]}}, "fair"),
        ({"only": ["dear"]}, "dear"),
        ({"only": ["dear", "fair"], "sort": "price"}, "fair"),
        ({"ignore": ["Cheap"], "sort": "price"}, "fair"),
        ({"sort": "price"}, "cheap"),
        ({"routing": {"type": "priority", "primary_factor": "price"}}, "cheap"),
        ({"data_policy": {"no_training": True}, "sort": "price"}, "fair"),
        ({"data_collection": "deny", "sort": "price"}, "fair"),
        ({"zdr": True}, "fair"),
        ({"data_policy": {"region": "us"}}, "dear"),
        ({"max_price": {"prompt": 1.5}}, "cheap"),
        ({"max_price": {"prompt": "4", "completion": "8"}, "ignore": ["cheap"]}, "fair"),
    ],
)
def test_the_wish_decides_who_answers(ask: Asking, provider: dict[str, Any], who: str) -> None:
    assert ask(provider=provider) == f"alpha at {who}"


@CLIENTS
def test_a_name_may_say_what_its_offers_are_ordered_by_and_who_serves_it(ask: Asking) -> None:
    assert ask("wish/alpha:floor") == "alpha at cheap"
    assert (ask.record.model, ask.record.asked_model) == ("wish/alpha", "wish/alpha:floor")
    assert ask("wish/alpha:nitro", provider={"only": ["dear"]}) == "alpha at dear"
    assert ask("wish/alpha:fair-cloud") == "alpha at fair"
    assert ask("wish/alpha:dear:floor") == "alpha at dear"


@CLIENTS
def test_who_is_left_out_by_a_wish_is_in_the_record_with_the_reason(ask: Asking) -> None:
    ask(provider={"max_price": {"prompt": 4}, "data_policy": {"no_training": True}})
    assert ask.reasons == {
        "wish/alpha:cheap": "trains on prompts",
        "wish/alpha:dear": "takes 5 USD per million tokens for `prompt`, 4 at most is wished",
    }


@CLIENTS
def test_a_wish_that_nobody_meets_is_refused_with_the_reasons(ask: Asking) -> None:
    status, message = ask.refused(provider={"only": ["nobody"]})
    assert status == 404
    assert "dear is not one of `provider.only`" in message
    status, message = ask.refused(provider={"max_price": {"prompt": 0}})
    assert status == 404
    assert "0 at most is wished" in message


@CLIENTS
def test_a_wish_that_cannot_be_meant_is_refused_by_field(ask: Asking) -> None:
    status, message = ask.refused(provider={"routing": {"type": "priority", "primary_factor": "speed"}})
    assert status == 400
    assert "`provider.routing.primary_factor`" in message
    status, message = ask.refused(models=["wish/alpha", "wish/nothing"])
    assert status == 404
    assert "`wish/nothing` (`models[1]`)" in message


@CLIENTS
def test_a_model_that_fails_is_followed_by_those_to_fall_back_to(ask: Asking, failing: Callable[[], str]) -> None:
    model = failing()
    fields: dict[str, Any] = (
        {"models": ["wish/beta"]} if ask._protocol in (CHAT, GEMINI) else {"provider": {"fallback": "wish/beta"}}
    )
    assert ask(model, **fields) == "beta at dear"
    assert [(attempt.offer, attempt.outcome) for attempt in ask.record.attempts] == [
        (f"{model}:cheap", "status"),
        (f"{model}:fair", "status"),
        ("wish/beta:dear", "ok"),
    ]
    assert (ask.record.model, ask.record.asked_model) == ("wish/beta", model)


@CLIENTS
def test_a_model_that_cannot_take_the_request_gives_way_to_the_next(ask: Asking) -> None:
    tool = {"name": "f", "description": "", "parameters": {"type": "object", "properties": {}}}
    tools: dict[str, Any] = {
        CHAT: [{"type": "function", "function": tool}],
        RESPONSES: [{"type": "function", **tool}],
        MESSAGES: [{"name": "f", "input_schema": tool["parameters"]}],
        GEMINI: [{"functionDeclarations": [tool]}],
    }
    assert ask("wish/toolless", tools=tools[ask._protocol], models=["wish/beta"]) == "beta at dear"
    assert ask.reasons == {"wish/toolless:dear": "does not support `tools`"}


@CLIENTS
@pytest.mark.parametrize("name", ["trunkline/auto", "zenmux/auto", "openrouter/auto"])
def test_the_gateway_chooses_the_model_and_says_why(ask: Asking, name: str) -> None:
    config = {"available_models": ["wish/beta", "wish/cheap"], "preference": "performance"}
    assert ask(name, model_routing_config=config) == "beta at dear"
    assert (ask.record.model, ask.record.asked_model) == ("wish/beta", name)
    assert ask.reasons[name].startswith("wish/beta chosen (performance)")
    config["preference"] = "price"
    assert ask(name, model_routing_config=config) == "cheap at cheap"
    assert ask(name) in ("alpha at cheap", "cheap at cheap"), "the operator's models"


@CLIENTS
def test_models_to_choose_from_must_be_there(ask: Asking) -> None:
    status, message = ask.refused("zenmux/auto", model_routing_config={"available_models": ["wish/beta", "wish/bta"]})
    assert status == 404
    assert "`model_routing_config.available_models[1]`" in message
    assert "wish/beta" in message


def test_without_a_model_the_first_of_models_is_asked_for(wishful: GatewayProcess) -> None:
    body = {"models": ["wish/beta", "wish/alpha"], "messages": USERS[CHAT]("hi")}
    answer = wishful.request("POST", "/api/v1/chat/completions", body)
    assert (answer.status, answer.text) == (200, "beta at dear")


def test_no_wish_reaches_a_provider(wishful: GatewayProcess, upstream: Upstream) -> None:
    wishful.chat("wish/alpha", provider={"only": ["dear"]}, models=["wish/beta"], model_routing_config={})
    assert upstream.calls("alpha")[-1].json.keys() == {"model", "messages"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("client", [RESPONSES, MESSAGES, GEMINI])
def test_an_answer_that_is_translated_names_the_model_that_answered(wishful, client, stream) -> None:
    def shown(model: str, **fields: Any) -> str:
        path, body = request(client, model, USERS[client]("hi"), stream=stream, **fields)
        answer = wishful.request("POST", path, body)
        first = answer.events[0] if stream else answer.json
        return {RESPONSES: first.get("response", first), MESSAGES: first.get("message", first), GEMINI: first}[
            client
        ].get("model") or first["modelVersion"]

    assert shown("wish/toolless:floor") == "wish/toolless:floor"
    assert shown("trunkline/auto", model_routing_config={"available_models": ["wish/beta"]}) == "wish/beta"


# --- the operator's own fallback


@pytest.fixture(scope="module")
def backed(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("backed")
    parts = [base_toml(folder, routing='spread = false\nfallback_model = "backed/safe"')]
    parts += [provider_toml("dear", upstream), model_toml("backed/safe", "dear")]
    parts += [model_toml(f"backed/failing-{number}", "dear") for number in range(FAILING)]
    upstream.plays("dear", "safe", says("safe"))
    made = start_gateway(folder, "\n".join(parts))
    yield made
    assert made.stop() == 0, made.log


def test_the_operators_model_answers_where_no_other_is_named(
    backed: GatewayProcess, failing: Callable[[], str]
) -> None:
    answer = backed.chat("backed/failing-0")
    assert answer.text == "safe"
    assert backed.record(answer.id).model == "backed/safe"


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("backed/failing-1", {"provider": {"fallback": False}}),
        ("backed/failing-2", {"provider": {"allow_fallbacks": False}}),
        ("backed/failing-3:dear", {}),
        ("backed/failing-4", {"models": ["backed/failing-5"]}),
    ],
)
def test_it_does_not_for_who_wants_none_pins_a_provider_or_names_others(
    backed: GatewayProcess, name: str, fields: dict[str, Any]
) -> None:
    assert backed.chat(name, **fields).status == 502

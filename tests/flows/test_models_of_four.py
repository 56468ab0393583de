"""How a model may be called in each protocol, how the lists look, and where a key may stand."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.fakes.gateway import MASTER_KEY, Answer, GatewayProcess
from tests.fakes.talking import CHAT, GEMINI, MESSAGES, PROTOCOLS, RESPONSES, USERS, Talk, request

CLIENTS = pytest.mark.parametrize("client", PROTOCOLS)
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@CLIENTS
@STREAMED
@pytest.mark.parametrize(
    "name", ["acme/everywhere", "acme/everywhere:sim-gemini", "claude-acme-9", "gpt-acme", "gemini-acme"]
)
def test_slug_offer_and_alias_are_names_in_every_protocol(four, simulated, client, name, stream) -> None:
    said = Talk(four, client, name, stream=stream).say("<<say hi>>")
    assert said.text == "[simulated] hi"
    record = four.record(said.answer.id)
    assert (record.model, record.asked_model) == ("acme/everywhere", name)


GEMINI_PATHS = {
    "raw slash": "/v1beta/models/acme/everywhere",
    "escaped slash": f"/v1beta/models/{quote('acme/everywhere', safe='')}",
    "v1": "/v1/models/gemini-acme",
    "vertex": "/api/vertex-ai/v1/publishers/acme/models/everywhere",
    "vertex beta": "/api/vertex-ai/v1beta1/publishers/acme/models/everywhere",
    "vertex with a project": "/api/vertex-ai/v1/projects/p/locations/global/publishers/acme/models/everywhere",
    "offer": "/v1beta/models/acme/everywhere:sim-gemini",
    "escaped offer": f"/v1beta/models/{quote('acme/everywhere:sim-gemini', safe='')}",
}


@pytest.mark.parametrize("path", GEMINI_PATHS)
def test_gemini_has_the_model_in_the_path(four, simulated, path) -> None:
    body = {"contents": USERS[GEMINI]("<<say hi>>")}
    answer = four.request("POST", f"{GEMINI_PATHS[path]}:generateContent", body)
    assert answer.json["candidates"][0]["content"]["parts"][-1]["text"] == "[simulated] hi"


PATHS = {
    CHAT: ("/api/v1/chat/completions", "/v1/chat/completions"),
    RESPONSES: ("/api/v1/responses", "/v1/responses"),
    MESSAGES: ("/api/anthropic/v1/messages", "/anthropic/v1/messages", "/v1/messages"),
}


@pytest.mark.parametrize(("client", "path"), [(client, path) for client in PATHS for path in PATHS[client]])
def test_each_protocol_is_at_all_of_its_paths(four, simulated, client, path) -> None:
    _, body = request(client, "gpt-acme", USERS[client]("<<say hi>>"))
    answer = four.request("POST", path, body)
    assert "[simulated] hi" in answer.body.decode()


# --- what does not exist


def message_of(client: str, answer: Answer) -> str:
    told = answer.json
    if client == MESSAGES:
        assert (told["type"], told["error"]["type"]) == ("error", "not_found_error")
    elif client == GEMINI:
        assert (told["error"]["code"], told["error"]["status"]) == (404, "NOT_FOUND")
    else:
        assert (told["error"]["type"], told["error"]["param"]) == ("invalid_model", "model")
    return told["error"]["message"]


@CLIENTS
@STREAMED
def test_an_unknown_name_is_404_with_the_nearest_three(four, client, stream) -> None:
    answer = Talk(four, client, "acme/evrywhere", stream=stream)
    answer.history = USERS[client]("hi")
    told = answer.send()
    assert told.status == 404
    message = message_of(client, told)
    _, _, near = message.partition("Did you mean ")
    assert "acme/everywhere" in near
    assert near.count(",") == 2
    record = four.record(told.id)
    assert (record.outcome, record.status, record.protocol) == ("error", 404, client)


# --- lists


def test_openais_list_is_the_catalog_of_what_can_be_called(four) -> None:
    told = four.get("/v1/models").json
    assert told["object"] == "list"
    assert "acme/everywhere" in {card["id"] for card in told["data"]}
    assert four.get("/api/v1/models").json == told


@pytest.mark.parametrize("path", ["/v1/models", "/anthropic/v1/models", "/api/anthropic/v1/models"])
def test_anthropics_list_is_told_apart_by_its_header_and_path(four, path) -> None:
    headers = {"anthropic-version": "2023-06-01"}
    told = four.get(path, headers=headers).json
    (card,) = [one for one in told["data"] if one["id"] == "acme/everywhere"]
    assert (card["type"], card["max_tokens"], told["has_more"]) == ("model", 32_000, False)
    assert four.get(f"{path}/acme/everywhere", headers=headers).json == card
    assert four.get(f"{path}/claude-acme-9", headers=headers).json["id"] == "acme/everywhere"


@pytest.mark.parametrize("path", ["/v1beta/models", "/api/vertex-ai/v1/models", "/api/vertex-ai/v1beta1/models"])
def test_googles_list_is_at_its_paths(four, path) -> None:
    told = four.get(path).json
    (card,) = [one for one in told["models"] if one["name"] == "models/acme/everywhere"]
    assert (card["inputTokenLimit"], card["outputTokenLimit"]) == (200_000, 32_000)
    assert {"generateContent", "countTokens"} <= set(card["supportedGenerationMethods"])
    assert four.get(f"{path}/acme/everywhere").json == card


@pytest.mark.parametrize(
    ("client", "path", "headers"),
    [
        (CHAT, "/v1/models/acme/evrywhere", {}),
        (MESSAGES, "/v1/models/acme/evrywhere", {"anthropic-version": "2023-06-01"}),
        (GEMINI, "/v1beta/models/acme/evrywhere", {}),
    ],
)
def test_one_that_is_not_in_the_list_is_404_in_the_clients_shape(four, client, path, headers) -> None:
    answer = four.get(path, headers=headers)
    assert answer.status == 404
    assert "acme/everywhere" in message_of(client, answer)


# --- keys

Place = Callable[[str], tuple[str, dict[str, str]]]
PLACES: dict[str, Place] = {
    "authorization": lambda key: ("", {"authorization": f"Bearer {key}"}),
    "x-api-key": lambda key: ("", {"x-api-key": key}),
    "x-goog-api-key": lambda key: ("", {"x-goog-api-key": key}),
    "query": lambda key: (f"key={key}", {}),
}


def sent(gateway: GatewayProcess, client: str, place: str, key: str, *, more: dict[str, Any] | None = None) -> Answer:
    query, headers = PLACES[place](key)
    path, body = request(client, "gpt-acme", USERS[client]("<<say hi>>"))
    return gateway.request("POST", f"{path}?{query}" if query else path, body, headers | (more or {}), key="")


@CLIENTS
@pytest.mark.parametrize("place", PLACES)
def test_a_key_is_taken_in_any_place_and_goes_to_no_provider(four, simulated, client, place) -> None:
    assert sent(four, client, place, MASTER_KEY).status == 200
    (entry,) = simulated.log()
    assert MASTER_KEY not in str(entry)
    assert "key=" not in entry["query"]


@CLIENTS
@pytest.mark.parametrize("place", PLACES)
def test_a_wrong_key_is_refused_in_the_clients_shape(four, client, place) -> None:
    answer = sent(four, client, place, "sk-tl-wrong")
    assert answer.status == 403
    error = answer.json["error"]
    words = {MESSAGES: error.get("type"), GEMINI: error.get("status")}
    expected = {MESSAGES: "permission_error", GEMINI: "PERMISSION_DENIED"}
    assert words.get(client) == expected.get(client)
    assert "sk-tl-wrong" not in answer.body.decode()


def test_a_bearer_token_goes_before_a_leftover_key_of_a_vendor(four, simulated) -> None:
    """Claude Code sends both where ANTHROPIC_API_KEY is set beside ANTHROPIC_AUTH_TOKEN."""
    answer = sent(four, MESSAGES, "authorization", MASTER_KEY, more={"x-api-key": "sk-ant-leftover"})
    assert answer.status == 200


# --- counting

COUNTED = {
    MESSAGES: ("/v1/messages/count_tokens", lambda told: told["input_tokens"]),
    RESPONSES: ("/v1/responses/input_tokens", lambda told: told["input_tokens"]),
}


@pytest.mark.parametrize("kind", ["chat", "responses", "messages", "gemini"])
def test_tokens_are_counted_for_every_kind_of_provider(four, simulated, kind) -> None:
    name = f"acme/over-{kind}"
    for client, (path, count) in COUNTED.items():
        field = "messages" if client == MESSAGES else "input"
        answer = four.request("POST", path, {"model": name, field: USERS[client]("how long is a piece of string")})
        assert answer.status == 200, answer.body
        assert 4 <= count(answer.json) <= 40
    body = {"contents": USERS[GEMINI]("how long is a piece of string")}
    answer = four.request("POST", f"/v1beta/models/{name}:countTokens", body)
    assert 4 <= answer.json["totalTokens"] <= 40

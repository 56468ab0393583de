"""An answer that passes through names the model that was chosen, where its caller did not name that; and stays as it is where it did, or wants no edits."""

import json
import re
from typing import Any

import pytest

from tests.fakes.talking import CHAT, GEMINI, MESSAGES, PROTOCOLS, RESPONSES, USERS, request

CLIENTS = pytest.mark.parametrize("client", PROTOCOLS)
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
OVER = {
    CHAT: "acme/over-chat",
    RESPONSES: "acme/over-responses",
    MESSAGES: "acme/over-messages",
    GEMINI: "acme/over-gemini",
}
NAMES = re.compile(rb'"(?:model|modelVersion)"\s*:\s*"([^"]*)"')


def named(four: Any, client: str, model: str, stream: bool, **fields: Any) -> set[str]:
    """All that an answer says of its model."""
    path, body = request(client, model, USERS[client]("<<say hi>>"), stream=stream, **fields)
    answer = four.request("POST", path, body)
    assert answer.status == 200, answer.body
    if not stream:
        json.loads(answer.body)
    return {name.decode() for name in NAMES.findall(answer.body)}


@CLIENTS
@STREAMED
def test_the_chosen_model_is_named_in_an_answer_that_passes_through(four, simulated, client, stream) -> None:
    config = {"available_models": [OVER[client]]}
    assert named(four, client, "trunkline/auto", stream, model_routing_config=config) == {OVER[client]}


@CLIENTS
@STREAMED
def test_an_answer_to_the_model_that_was_asked_for_keeps_the_providers_name(four, simulated, client, stream) -> None:
    found = named(four, client, OVER[client], stream)
    assert found
    assert OVER[client] not in found


@STREAMED
def test_who_wants_no_cost_gets_the_providers_bytes_and_so_its_name(four, simulated, stream) -> None:
    config = {"available_models": [OVER[CHAT]]}
    found = named(four, CHAT, "trunkline/auto", stream, model_routing_config=config, usage={"include": False})
    assert found == named(four, CHAT, OVER[CHAT], stream)


@STREAMED
def test_the_same_request_again_and_again_is_named_alike(four, simulated, stream) -> None:
    config = {"available_models": [OVER[CHAT]]}
    answers = [named(four, CHAT, "zenmux/auto", stream, model_routing_config=config) for _ in range(4)]
    assert answers == [{OVER[CHAT]}] * 4


@STREAMED
def test_a_fallback_says_that_it_is_one(four, simulated, stream) -> None:
    found = named(
        four,
        CHAT,
        "acme/refused-gemini",
        stream,
        provider={"only": ["refused-gemini", "sim-chat"], "fallback": OVER[CHAT]},
    )
    assert found == {OVER[CHAT]}

"""Which protocol an offer is called in, and what a codec is told of it."""

from typing import Any

import pytest

from trunkline.catalog.load import load
from trunkline.catalog.schema import parse_layer
from trunkline.catalog.types import Model, Offer
from trunkline.providers.accounts import Account, Written, resolve
from trunkline.providers.targets import Edits, edits, protocol_for, target

CATALOG = load()


def reached(offer_id: str, **env: str) -> tuple[Account, Offer, Model]:
    slug, _, name = offer_id.rpartition(":")
    model, provider = CATALOG.models[slug], CATALOG.providers[name]
    account = resolve(provider, Written(keys=("k",)), env, CATALOG.profiles)
    assert isinstance(account, Account)
    return account, next(offer for offer in model.offers if offer.provider == name), model


def chosen(protocols: list[str], urls: list[str], client: str) -> str | None:
    raw: dict[str, Any] = {
        "providers": {"acme": {"base_urls": dict.fromkeys(urls, "https://acme.example"), "auth": "none"}},
        "models": [{"slug": "acme/a", "offers": [{"provider": "acme", "protocols": protocols}]}],
    }
    catalog = load([parse_layer(raw, "f")], shipped=False)
    account = resolve(catalog.providers["acme"], Written(), {})
    assert isinstance(account, Account)
    return protocol_for(account, catalog.models["acme/a"].offers[0], client)


CHAT, RESPONSES, MESSAGES, GEMINI = "openai.chat", "openai.responses", "anthropic.messages", "gemini"
CONVERSE = "bedrock.converse"


@pytest.mark.parametrize(
    ("protocols", "urls", "client", "found"),
    [
        ([CHAT, MESSAGES], [CHAT, MESSAGES], CHAT, CHAT),
        ([CHAT, MESSAGES], [CHAT, MESSAGES], MESSAGES, MESSAGES),
        ([CHAT, MESSAGES], [CHAT, MESSAGES], GEMINI, MESSAGES),
        ([CHAT, RESPONSES], [CHAT, RESPONSES], GEMINI, RESPONSES),
        ([CHAT, GEMINI, RESPONSES], [CHAT, GEMINI, RESPONSES], MESSAGES, GEMINI),
        ([CHAT], [CHAT], MESSAGES, CHAT),
        ([CHAT, MESSAGES], [CHAT], MESSAGES, CHAT),
        ([CONVERSE], [CONVERSE], MESSAGES, CONVERSE),
        ([CONVERSE, CHAT], [CONVERSE, CHAT], GEMINI, CHAT),
    ],
)
def test_the_callers_own_protocol_is_taken_else_the_most_faithful_one(protocols, urls, client, found) -> None:
    assert chosen(protocols, urls, client) == found


def test_without_an_address_for_any_of_its_protocols_an_offer_cannot_be_called() -> None:
    account, offer, _ = reached("openai/gpt-5.5-pro:openai")
    narrowed = Account(account.provider, {CHAT: "https://a.example"}, ("k",), trusted=False)
    assert protocol_for(narrowed, offer, CHAT) is None


def test_a_codec_is_told_of_the_offer_and_of_this_request() -> None:
    account, offer, model = reached("anthropic/claude-sonnet-4.5:anthropic")
    found = target(account, offer, model, MESSAGES, stream=True, request_id="req_1")
    assert (found.protocol, found.upstream_model, found.max_output_tokens) == (MESSAGES, "claude-sonnet-4-5", 64_000)
    assert (found.stream, found.request_id, found.quirks.reasoning) == (True, "req_1", "budget")
    again = target(account, offer, model, MESSAGES, stream=False, request_id="req_2")
    assert (again.stream, again.request_id) == (False, "req_2")
    assert again.quirks is found.quirks


@pytest.mark.parametrize(
    ("offer", "protocol", "dialect"),
    [
        ("anthropic/claude-opus-5.5:anthropic", MESSAGES, ""),
        ("anthropic/claude-opus-5.5:bedrock", MESSAGES, ""),
        ("anthropic/claude-opus-5.5:openrouter", MESSAGES, ""),
        ("deepseek/deepseek-v4-pro:deepseek", MESSAGES, "deepseek"),
        ("deepseek/deepseek-v4-pro:deepseek", CHAT, "deepseek"),
        ("openai/gpt-5.2:openai", RESPONSES, "openai"),
        ("openai/gpt-5.2:azure", RESPONSES, "azure"),
        ("google/gemini-3.8-flash:google", GEMINI, ""),
        ("google/gemini-3.8-flash:vertex", GEMINI, ""),
    ],
)
def test_hidden_state_is_of_the_provider_but_for_claudes_and_geminis(offer, protocol, dialect) -> None:
    where = {"AZURE_OPENAI_ENDPOINT": "https://a.example", "AWS_REGION": "eu-west-1"}
    where |= {"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "global"}
    account, found, model = reached(offer, **where)
    assert target(account, found, model, protocol, stream=False, request_id="").dialect == dialect


def test_renames_and_drops_are_of_chat_alone() -> None:
    account, offer, _ = reached("mistralai/mistral-large-4:mistral")
    found = edits(account, offer, CHAT)
    assert found.rename["seed"] == "random_seed"
    assert "store" in found.drop
    assert not found.ask_usage
    assert edits(account, offer, MESSAGES) == Edits()

"""How one offer differs from the rest of its protocol, put together from profiles, the catalog and the operator's own words."""

import tomllib
from typing import Any, get_args

import pytest

from trunkline.catalog.load import data_dir, load
from trunkline.catalog.quirks_schema import Attribute, QuirksLayer
from trunkline.catalog.schema import parse_layer
from trunkline.catalog.types import Profile
from trunkline.errors import ConfigError
from trunkline.ir.request import Request
from trunkline.protocols.codec import ALL, CONVERSE, QUIRKS, Quirks
from trunkline.providers.quirks import quirks_of

CATALOG = load()
OFFERS = {offer.id: offer for model in CATALOG.models.values() for offer in model.offers}


def shipped(offer_id: str, protocol: str) -> Quirks:
    offer = OFFERS[offer_id]
    return quirks_of(CATALOG.providers[offer.provider], offer, CATALOG.models[offer.model], protocol, CATALOG.profiles)


def written(
    protocol: str, model: dict[str, Any] | None = None, offer: dict[str, Any] | None = None, **provider: Any
) -> Quirks:
    """Of an offer in the operator's own file."""
    one = {"provider": "acme", "protocols": [protocol], **(offer or {})}
    raw = {
        "providers": {"acme": {"base_url": "https://llm.acme.example/v1", **provider}},
        "models": [{"slug": "acme/alpha", "offers": [one], **(model or {})}],
    }
    catalog = load([parse_layer(raw, "trunkline.toml")])
    found = next(known for known in catalog.models.values() if known.author == "acme")
    return quirks_of(catalog.providers["acme"], found.offers[0], found, protocol, catalog.profiles)


def test_what_can_be_written_is_what_the_codecs_know() -> None:
    fields = {field.alias or name: field for name, field in QuirksLayer.model_fields.items()}
    assert set(fields) == set(Quirks.__struct_fields__)
    for name, default in zip(Quirks.__struct_fields__, Quirks.__struct_defaults__, strict=True):
        if name not in ("tool_choice", "media") and not isinstance(default, frozenset):
            assert fields[name].default == (list(default) if isinstance(default, tuple) else default), name


def test_attributes_are_those_of_a_request() -> None:
    assert set(get_args(Attribute)) <= set(Request.__struct_fields__)
    for quirks in QUIRKS.values():
        assert quirks.refused | quirks.refused_while_thinking | quirks.accepted <= set(get_args(Attribute))


@pytest.mark.parametrize("protocol", [*ALL, CONVERSE])
def test_an_offer_of_which_nothing_is_known_is_as_its_protocol(protocol: str) -> None:
    assert written(protocol) == QUIRKS[protocol]


def test_every_shipped_offer_has_quirks_of_the_right_types_in_each_of_its_protocols() -> None:
    for offer in OFFERS.values():
        for protocol in offer.protocols:
            quirks = shipped(offer.id, protocol)
            assert quirks.efforts
            assert isinstance(quirks.efforts, tuple)
            for name in ("refused", "refused_while_thinking", "accepted", "tool_choice", "media"):
                assert isinstance(getattr(quirks, name), frozenset), (offer.id, name)


@pytest.mark.parametrize("provider", ["openai", "azure"])
@pytest.mark.parametrize(
    ("model", "efforts", "can_disable"),
    [
        ("gpt-5-mini", "minimal low medium high", False),
        ("gpt-5.1", "low medium high", True),
        ("gpt-5.2", "low medium high xhigh", True),
        ("gpt-5.4-mini", "low medium high xhigh", True),
        ("gpt-5.6-terra", "low medium high xhigh max", True),
        ("gpt-6-luna", "low medium high xhigh max", True),
        ("gpt-6.1-sol", "low medium high xhigh max", False),
        ("gpt-5.5-pro", "medium high xhigh", False),
        ("gpt-5.3-codex", "low medium high xhigh", True),
    ],
)
def test_each_generation_of_openai_has_its_own_words_for_effort(provider, model, efforts, can_disable) -> None:
    quirks = shipped(f"openai/{model}:{provider}", "openai.responses")
    assert (quirks.reasoning, quirks.efforts) == ("effort", tuple(efforts.split()))
    assert quirks.can_disable_reasoning is can_disable
    assert quirks.refused >= {"temperature", "top_p", "logprobs", "presence_penalty"}


def test_codex_of_azure_has_no_minimal_effort_and_no_verbosity() -> None:
    quirks = shipped("openai/gpt-5-codex:azure", "openai.responses")
    assert quirks.efforts == ("low", "medium", "high")
    assert "verbosity" in quirks.refused
    assert shipped("openai/gpt-5.1-codex-max:azure", "openai.responses").efforts[-1] == "xhigh"


def test_o4_mini_takes_neither_sampling_nor_stop_words() -> None:
    quirks = shipped("openai/o4-mini:azure", "openai.chat")
    assert quirks.refused >= {"temperature", "top_p", "stop", "parallel_tool_calls", "verbosity", "logit_bias"}
    assert "seed" not in quirks.refused
    assert not quirks.custom_tools


def test_a_plain_model_of_openai_samples_and_does_not_reason() -> None:
    quirks = shipped("openai/gpt-4o:openai", "openai.chat")
    assert quirks.reasoning == "none"
    assert not quirks.refused & {"temperature", "top_p", "stop", "logprobs"}


@pytest.mark.parametrize(
    ("model", "reasoning", "efforts", "can_disable", "samples"),
    [
        ("claude-haiku-4.5", "budget", None, True, True),
        ("claude-opus-4.5", "budget", None, True, True),
        ("claude-sonnet-4.5", "budget", None, True, True),
        ("claude-opus-4.6", "effort", "low medium high max", True, True),
        ("claude-opus-4.7", "effort", "low medium high xhigh max", True, False),
        ("claude-sonnet-5", "effort", "low medium high xhigh max", True, False),
        ("claude-opus-5", "effort", "low medium high xhigh max", True, False),
        ("claude-opus-5.5", "effort", "low medium high xhigh max", False, False),
    ],
)
def test_claude_thinks_by_budget_up_to_4_5_and_by_effort_since(model, reasoning, efforts, can_disable, samples) -> None:
    quirks = shipped(f"anthropic/{model}:anthropic", "anthropic.messages")
    assert quirks.reasoning == reasoning
    assert efforts is None or quirks.efforts == tuple(efforts.split())
    assert quirks.can_disable_reasoning is can_disable
    assert ("temperature" not in quirks.refused) is samples


@pytest.mark.parametrize(
    ("name", "reasoning"),
    [
        ("claude-3-5-haiku-20241022", "none"),
        ("claude-3-7-sonnet-20250219", "budget"),
        ("claude-sonnet-4-20250514", "budget"),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", "budget"),
        ("claude-opus-4-8", "effort"),
    ],
)
def test_a_model_is_also_known_by_the_providers_name_of_it(name: str, reasoning: str) -> None:
    quirks = written("anthropic.messages", offer={"upstream_model": name})
    assert quirks.reasoning == reasoning


def test_clouds_fetch_no_urls_for_claude() -> None:
    assert shipped("anthropic/claude-opus-5.5:anthropic", "anthropic.messages").media_urls
    for cloud in ("bedrock", "vertex"):
        assert not shipped(f"anthropic/claude-opus-5.5:{cloud}", "anthropic.messages").media_urls


def test_only_anthropic_itself_takes_a_system_prompt_in_the_middle() -> None:
    assert shipped("anthropic/claude-opus-5.5:anthropic", "anthropic.messages").system_in_middle
    assert not shipped("anthropic/claude-opus-5.5:bedrock", "anthropic.messages").system_in_middle
    assert not shipped("anthropic/claude-opus-4.7:anthropic", "anthropic.messages").system_in_middle


@pytest.mark.parametrize(
    ("offer", "reasoning", "least", "can_disable"),
    [
        ("google/gemini-2.5-pro:google", "budget", 128, False),
        ("google/gemini-2.5-flash:google", "budget", 1, True),
        ("google/gemini-2.5-flash-lite:google", "budget", 512, True),
        ("google/gemini-3.1-pro-preview:google", "effort", 1024, False),
        ("google/gemini-3.8-flash:vertex", "effort", 1024, False),
    ],
)
def test_gemini_thinks_by_budget_in_2_5_and_by_level_since(offer, reasoning, least, can_disable) -> None:
    quirks = shipped(offer, "gemini")
    assert (quirks.reasoning, quirks.min_budget_tokens, quirks.can_disable_reasoning) == (reasoning, least, can_disable)
    assert quirks.media_in_results is (reasoning == "effort")


def test_levels_of_gemini_differ_by_model() -> None:
    assert shipped("google/gemini-3.6-flash:google", "gemini").efforts == ("minimal", "low", "medium", "high")
    assert shipped("google/gemini-3.8-flash:google", "gemini").efforts == ("low", "medium", "high")


def test_deepseek_wants_its_reasoning_back_and_takes_no_schema() -> None:
    quirks = shipped("deepseek/deepseek-v4-pro:deepseek", "openai.chat")
    assert (quirks.thinking_back, quirks.reasoning_word, quirks.schema) == ("text", "thinking", "none")
    assert (quirks.limit_word, quirks.system_role, quirks.efforts) == ("max_tokens", "system", ("high", "max"))


def test_mistral_wants_ids_of_nine_letters_and_no_question_about_usage() -> None:
    quirks = shipped("mistralai/mistral-large-4:mistral", "openai.chat")
    assert (quirks.tool_id, quirks.alternate_roles, quirks.max_temperature) == ("nine", True, 1.5)
    assert quirks.refused >= {"include_usage", "user", "metadata"}
    assert shipped("mistralai/mistral-large-3:mistral", "openai.chat").reasoning == "none"


@pytest.mark.parametrize(
    ("offer", "field", "value"),
    [
        ("moonshotai/kimi-k2.6:moonshot", "reasoning", "toggle"),
        ("moonshotai/kimi-k3:moonshot", "efforts", ("low", "high", "max")),
        ("moonshotai/kimi-k3:moonshot", "tool_choice", frozenset({"none"})),
        ("z-ai/glm-4.7:zai", "reasoning", "toggle"),
        ("z-ai/glm-5.3:zai", "max_stops", 1),
        ("qwen/qwen3.7-max:alibaba", "reasoning_word", "enable_thinking"),
        ("qwen/qwen3.8-max:alibaba", "efforts", ("low", "medium", "xhigh")),
        ("openai/gpt-oss-120b:groq", "thinking_word", "reasoning"),
        ("anthropic/claude-opus-5.5:openrouter", "cache_marks", True),
        ("openai/gpt-5.2:openrouter", "reasoning_word", "reasoning"),
        ("meta-llama/llama-3.3-70b:groq", "reasoning", "none"),
        ("minimax/minimax-m3.1-flash:minimax", "can_disable_reasoning", False),
    ],
)
def test_other_vendors_have_their_ways_in_chat(offer: str, field: str, value: object) -> None:
    assert getattr(shipped(offer, "openai.chat"), field) == value


@pytest.mark.parametrize(
    ("offer", "reasoning", "choices", "marks", "flag"),
    [
        ("amazon/nova-2-lite:bedrock", "effort", {"required", "named"}, True, True),
        ("amazon/nova-micro:bedrock", "none", {"required", "named"}, True, True),
        ("meta-llama/llama-3.3-70b:bedrock", "none", set(), False, False),
        ("mistralai/mistral-large-3:bedrock", "none", {"required"}, False, False),
        ("deepseek/deepseek-r1:bedrock", "none", set(), False, False),
    ],
)  # fmt: skip
def test_models_in_converse_take_what_their_makers_know(offer, reasoning, choices, marks, flag) -> None:
    quirks = shipped(offer, CONVERSE)
    assert (quirks.reasoning, quirks.tool_choice, quirks.cache_marks, quirks.error_flag) == (
        reasoning,
        choices,
        marks,
        flag,
    )
    assert not quirks.tool_marks or not marks
    assert quirks.media_urls is False


def test_grok_refuses_stop_words_in_both_of_its_protocols() -> None:
    for protocol in ("openai.chat", "openai.responses"):
        quirks = shipped("x-ai/grok-4.7:xai", protocol)
        assert quirks.refused >= {"stop", "presence_penalty"}
        assert "temperature" not in quirks.refused


@pytest.mark.parametrize("server", ["ollama", "vllm", "llamacpp", "lmstudio"])
def test_servers_of_open_models_take_the_older_word_for_the_limit(server: str) -> None:
    raw = {
        "providers": {server: {"base_url": "http://127.0.0.1:9001/v1", "auth": "none"}},
        "models": [{"slug": f"{server}/m", "offers": [{"provider": server, "protocols": ["openai.chat"]}]}],
    }
    catalog = load([parse_layer(raw, "f")])
    model = catalog.models[f"{server}/m"]
    quirks = quirks_of(catalog.providers[server], model.offers[0], model, "openai.chat", catalog.profiles)
    assert (quirks.limit_word, quirks.system_role, quirks.custom_tools) == ("max_tokens", "system", False)
    assert quirks.thinking_word == ("reasoning" if server in ("ollama", "vllm") else "reasoning_content")


def test_what_the_catalog_says_of_parameters_and_names_need_not_be_said_again() -> None:
    quirks = written(
        "openai.chat",
        offer={"supported_parameters": ["max_completion_tokens", "temperature", "tools"]},
        rename={"max_completion_tokens": "max_tokens"},
        drop=["metadata"],
        usage_in_stream=False,
    )
    assert quirks.limit_word == "max_tokens"
    assert quirks.refused >= {"top_p", "seed", "stop", "metadata", "include_usage"}
    assert not quirks.refused & {"temperature", "tools", "format", "reasoning", "max_output_tokens"}


def test_words_of_chat_say_nothing_of_messages_and_gemini() -> None:
    for protocol in ("anthropic.messages", "gemini"):
        listed = {"supported_parameters": ["max_completion_tokens"]}
        assert written(protocol, offer=listed, drop=["metadata"]) == QUIRKS[protocol]


def test_an_offers_own_words_win_over_the_providers_and_both_over_profiles() -> None:
    mine = {"openai.chat": {"limit_word": "max_completion_tokens", "efforts": ["low", "high"]}}
    theirs = {"openai.chat": {"limit_word": "max_tokens", "max_stops": 2, "refused": []}}
    quirks = written("openai.chat", offer={"upstream_model": "gpt-6.1-sol", "quirks": mine}, quirks=theirs)
    assert (quirks.limit_word, quirks.efforts, quirks.max_stops) == ("max_completion_tokens", ("low", "high"), 2)
    # What is written takes the place of a profile's set.
    assert quirks.refused == frozenset()
    assert quirks.can_disable_reasoning is False


def test_sets_of_profiles_add_up_and_a_later_profile_wins() -> None:
    profiles = (
        Profile("a", {"refused": ["seed"], "max_stops": 1}),
        Profile("b", {"refused": ["stop"], "max_stops": 2}, protocols=("openai.chat",)),
        Profile("c", {"max_stops": 3}, providers=("other",)),
        Profile("d", {"max_stops": 4}, reasoning=True),
        Profile("e", {"max_stops": 5}, models=("*BETA*",)),
    )
    model = CATALOG.models["openai/gpt-4o"]
    quirks = quirks_of(CATALOG.providers["openrouter"], model.offers[-1], model, "openai.chat", profiles)
    assert (quirks.refused, quirks.max_stops) == (frozenset({"seed", "stop"}), 2)
    assert quirks_of(CATALOG.providers["openrouter"], model.offers[-1], model, "gemini", profiles).max_stops == 1


@pytest.mark.parametrize(
    ("where", "quirks", "key", "mend"),
    [
        ("offer", {"openai.chat": {"efort": ["low"]}}, "quirks.openai.chat.efort", "did you mean `efforts`"),
        (
            "provider",
            {"openai.chat": {"max_stop": 1}},
            "providers.acme.quirks.openai.chat.max_stop",
            "did you mean `max_stops`",
        ),
        ("offer", {"openai.chat": {"schema_words": "none"}}, "schema_words", "did you mean `schema`"),
        ("offer", {"openai.chats": {}}, "quirks.openai.chats", "'openai.chat'"),
        ("offer", {"gemini": {"reasoning": "level"}}, "quirks.gemini.reasoning", "'effort'"),
        ("offer", {"gemini": {"refused": ["heat"]}}, "quirks.gemini.refused[0]", "'temperature'"),
        ("offer", {"gemini": {"efforts": ["loud"]}}, "quirks.gemini.efforts[0]", "'xhigh'"),
    ],
)
def test_a_quirk_that_is_not_known_is_told_with_file_and_key(where, quirks, key, mend) -> None:
    with pytest.raises(ConfigError) as caught:
        written("openai.chat", **({"offer": {"quirks": quirks}} if where == "offer" else {"quirks": quirks}))
    assert str(caught.value).startswith("trunkline.toml: ")
    assert key in str(caught.value)
    assert mend in str(caught.value)


def test_every_profile_matches_something_that_is_named_in_the_catalog_or_by_operators() -> None:
    """A misspelled pattern or provider would never be noticed otherwise."""
    local = {"local", "ollama", "lmstudio", "vllm", "llamacpp", "sglang", "jan", "koboldcpp", "gpt4all", "docker"}
    text = tomllib.loads((data_dir() / "profiles.toml").read_text(encoding="utf-8"))
    names = [profile["name"] for profile in text["profiles"]]
    assert len(names) == len(set(names)) == len(CATALOG.profiles)
    for profile in CATALOG.profiles:
        assert set(profile.providers) <= set(CATALOG.providers) | local, profile.name
        assert profile.providers or profile.models, profile.name

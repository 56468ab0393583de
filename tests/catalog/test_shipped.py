"""The data that comes with this version."""

import datetime
import subprocess
import sys
from decimal import Decimal

import pytest

from trunkline.catalog.load import compile_shipped, data_dir, encode, load
from trunkline.catalog.schema import RESERVED_AUTHORS
from trunkline.catalog.types import PARAMETERS, Offer

CATALOG = load()
OFFERS = [offer for model in CATALOG.models.values() for offer in model.offers]
EVERY_OFFER = pytest.mark.parametrize("offer", OFFERS, ids=[offer.id for offer in OFFERS])


def test_the_compiled_file_is_what_the_toml_files_say() -> None:
    assert (data_dir() / "catalog.json").read_bytes() == encode(compile_shipped())


def test_there_are_at_least_sixty_models_at_twelve_providers() -> None:
    assert len([model for model in CATALOG.models.values() if model.offers]) >= 60
    assert len({offer.provider for offer in OFFERS}) >= 12


def test_every_model_has_an_offer_a_context_and_an_output_limit() -> None:
    for model in CATALOG.models.values():
        assert model.offers, model.slug
        assert model.context_tokens > 0, model.slug
        assert model.max_output_tokens > 0, model.slug
        assert model.author not in RESERVED_AUTHORS


@EVERY_OFFER
def test_every_price_has_a_source_and_the_date_of_its_check(offer: Offer) -> None:
    assert {"prompt", "completion"} <= {line.item for line in offer.price}
    for line in offer.price:
        assert line.source.startswith("http"), line
        assert datetime.date.fromisoformat(line.checked)


@EVERY_OFFER
def test_every_offer_can_be_reached_in_each_of_its_protocols(offer: Offer) -> None:
    provider = CATALOG.providers[offer.provider]
    assert set(offer.protocols) <= set(provider.base_urls)
    assert provider.key_env
    assert set(offer.supported_parameters or ()) <= PARAMETERS
    assert not set(offer.supported_parameters or ()) & set(offer.emulated_parameters)


def test_every_provider_is_reached_over_https_or_through_its_own_endpoint() -> None:
    for provider in CATALOG.providers.values():
        assert all(url.startswith(("https://", "{endpoint}")) for url in provider.base_urls.values()), provider.slug
        assert not provider.local
        assert provider.docs_url


@pytest.mark.parametrize(
    ("alias", "slug"),
    [
        ("o4-mini", "openai/o4-mini"),
        ("o4-mini-2025-04-16", "openai/o4-mini"),
        ("gpt-5.2", "openai/gpt-5.2"),
        ("gpt-5.6-sol", "openai/gpt-5.6-sol"),
        ("claude-sonnet-4-5", "anthropic/claude-sonnet-4.5"),
        ("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4.5"),
        ("claude-opus-5-5", "anthropic/claude-opus-5.5"),
        ("gemini-3.7-flash", "google/gemini-3.8-flash"),
        # Claude Code 2.1, its models by default and those of its menus
        ("claude-haiku-4-5", "anthropic/claude-haiku-4.5"),
        ("claude-haiku-4-5-20251001", "anthropic/claude-haiku-4.5"),
        ("claude-haiku-5-5", "anthropic/claude-haiku-5.5"),
        ("claude-opus-4-5-20251101", "anthropic/claude-opus-4.5"),
        ("claude-opus-4-8", "anthropic/claude-opus-4.8"),
        ("claude-sonnet-4-6", "anthropic/claude-sonnet-4.6"),
        ("claude-sonnet-5-5", "anthropic/claude-sonnet-5.5"),
        # Codex 0.169 and older ones
        ("gpt-6.1-sol", "openai/gpt-6.1-sol"),
        ("gpt-5-codex", "openai/gpt-5-codex"),
        ("gpt-5.1-codex-max", "openai/gpt-5.1-codex-max"),
        ("gpt-5.2-codex", "openai/gpt-5.2-codex"),
        ("gpt-5.3-codex", "openai/gpt-5.3-codex"),
        # Gemini CLI 0.61
        ("gemini-3-pro", "google/gemini-3.1-pro-preview"),
        ("gemini-3-pro-preview", "google/gemini-3.1-pro-preview"),
        ("gemini-3.1-pro-preview-customtools", "google/gemini-3.1-pro-preview-customtools"),
        ("gemini-3-flash", "google/gemini-3-flash-preview"),
        ("gemini-3-flash-preview", "google/gemini-3-flash-preview"),
        ("gemini-3.5-flash", "google/gemini-3.6-flash"),
        ("gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("gemini-2.5-flash-lite", "google/gemini-2.5-flash-lite"),
    ],
)
def test_the_names_that_clients_send_are_known(alias: str, slug: str) -> None:
    assert CATALOG.aliases[alias] == slug


@pytest.mark.parametrize(
    ("provider", "variables"),
    [
        ("openai", ("OPENAI_API_KEY",)),
        ("azure", ("AZURE_OPENAI_API_KEY",)),
        ("anthropic", ("ANTHROPIC_API_KEY",)),
        ("google", ("GEMINI_API_KEY", "GOOGLE_API_KEY")),
        ("bedrock", ("AWS_BEARER_TOKEN_BEDROCK",)),
        ("deepseek", ("DEEPSEEK_API_KEY",)),
        ("mistral", ("MISTRAL_API_KEY",)),
        ("xai", ("XAI_API_KEY",)),
        ("groq", ("GROQ_API_KEY",)),
        ("together", ("TOGETHER_API_KEY",)),
        ("fireworks", ("FIREWORKS_API_KEY",)),
        ("openrouter", ("OPENROUTER_API_KEY",)),
        ("alibaba", ("DASHSCOPE_API_KEY",)),
        ("moonshot", ("MOONSHOT_API_KEY",)),
        ("zai", ("ZAI_API_KEY",)),
    ],
)
def test_keys_are_found_in_the_usual_variables(provider: str, variables: tuple[str, ...]) -> None:
    assert CATALOG.providers[provider].key_env == variables


class TestO4Mini:
    """`openai/o4-mini`, whole, at both of its providers."""

    model = CATALOG.models["openai/o4-mini"]
    openai, azure = model.offers

    def test_what_it_is(self) -> None:
        assert (self.model.name, self.model.context_tokens, self.model.max_output_tokens) == (
            "OpenAI: o4 Mini",
            200_000,
            100_000,
        )
        assert (self.model.input, self.model.output, self.model.reasoning) == (("text", "image"), ("text",), True)
        assert (self.openai.provider, self.azure.provider) == ("openai", "azure")

    @pytest.mark.parametrize(("name", "cache_read"), [("openai", "0.275"), ("azure", "0.28")])
    def test_what_it_costs(self, name: str, cache_read: str) -> None:
        lines = [line for line in getattr(self, name).price if line.when.service_tier is None]
        assert {line.item: line.value for line in lines} == {
            "prompt": Decimal("1.10"),
            "completion": Decimal("4.40"),
            "input_cache_read": Decimal(cache_read),
        }

    @pytest.mark.parametrize("name", ["openai", "azure"])
    def test_what_it_takes(self, name: str) -> None:
        offer = getattr(self, name)
        taken = set(offer.supported_parameters)
        assert taken >= {"max_completion_tokens", "seed", "response_format", "tools", "tool_choice", "reasoning_effort"}
        refused = "temperature top_p frequency_penalty presence_penalty logit_bias logprobs top_logprobs parallel_tool_calls stop"
        assert not taken & set(refused.split())
        assert offer.emulated_parameters == ("stop",)
        assert offer.protocols == ("openai.chat", "openai.responses")

    def test_how_long_it_lives(self) -> None:
        assert (self.openai.deprecated_on, self.openai.shutdown_on) == ("2026-04-22", "2026-10-23")
        assert self.model.replacement in CATALOG.models


def test_reading_the_shipped_catalog_imports_no_checker() -> None:
    code = "import sys, trunkline.catalog.load as load; load.load(); sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@EVERY_OFFER
def test_reasoning_goes_under_the_name_that_the_provider_takes(offer: Offer) -> None:
    """Together (https://docs.together.ai/docs/inference/chat/reasoning) and OpenRouter take `reasoning` itself."""
    rename = CATALOG.providers[offer.provider].rename
    in_chat = "openai.chat" in offer.protocols and offer.provider != "together"
    if in_chat and "reasoning_effort" in (offer.supported_parameters or ()):
        assert rename["reasoning"] == "reasoning_effort"
    if offer.provider in ("together", "openrouter"):
        assert "reasoning" not in rename


def protocols(offer_id: str) -> set[str]:
    return next(set(offer.protocols) for offer in OFFERS if offer.id == offer_id)


@pytest.mark.parametrize(
    ("offer_id", "spoken"),
    [
        ("openai/gpt-5.2:openai", {"openai.chat", "openai.responses"}),
        ("openai/gpt-5.2:azure", {"openai.chat", "openai.responses"}),
        ("anthropic/claude-opus-5.5:anthropic", {"anthropic.messages"}),
        ("anthropic/claude-opus-5.5:bedrock", {"anthropic.messages"}),
        ("anthropic/claude-opus-5.5:vertex", {"anthropic.messages"}),
        ("anthropic/claude-opus-5.5:openrouter", {"openai.chat", "openai.responses", "anthropic.messages"}),
        ("google/gemini-2.5-pro:google", {"openai.chat", "gemini"}),
        ("google/gemini-3.1-pro-preview:vertex", {"openai.chat", "gemini"}),
        ("deepseek/deepseek-v4-pro:deepseek", {"openai.chat", "anthropic.messages"}),
        ("z-ai/glm-5.3:zai", {"openai.chat", "anthropic.messages"}),
        ("moonshotai/kimi-k3:moonshot", {"openai.chat", "openai.responses", "anthropic.messages"}),
        ("qwen/qwen3.8-max:alibaba", {"openai.chat", "openai.responses", "anthropic.messages"}),
        ("minimax/minimax-m3:minimax", {"openai.chat", "openai.responses", "anthropic.messages"}),
    ],
)
def test_an_offer_speaks_all_that_its_provider_does(offer_id: str, spoken: set[str]) -> None:
    assert protocols(offer_id) == spoken


def test_what_openai_has_in_the_responses_api_alone_is_offered_there_alone() -> None:
    """https://developers.openai.com/api/docs/models"""
    alone = [
        offer
        for offer in OFFERS
        if offer.provider in ("openai", "azure") and ("-codex" in offer.model or offer.model.endswith("-pro"))
    ]
    assert {offer.model for offer in alone} >= {
        "openai/gpt-5.3-codex",
        "openai/gpt-5.1-codex-max",
        "openai/gpt-5.5-pro",
    }
    assert {offer.protocols for offer in alone} == {("openai.responses",)}


@pytest.mark.parametrize(
    ("offer_id", "used"),
    [
        # Claude Code: thinking, effort, formats, web search; Gemini CLI: top_k, thinking, search; Codex: search, effort, cache keys.
        (
            "anthropic/claude-opus-5.5:anthropic",
            {"reasoning", "reasoning_effort", "response_format", "web_search_options"},
        ),
        ("anthropic/claude-haiku-4.5:anthropic", {"reasoning", "temperature", "top_k", "tool_choice"}),
        ("google/gemini-2.5-pro:google", {"temperature", "top_p", "top_k", "reasoning", "web_search_options"}),
        ("google/gemini-3.1-pro-preview:vertex", {"top_k", "reasoning", "web_search_options"}),
        ("openai/gpt-6.1-sol:openai", {"reasoning", "web_search_options", "prompt_cache_key", "parallel_tool_calls"}),
        ("openai/gpt-5.1-codex-max:azure", {"reasoning", "web_search_options", "prompt_cache_key"}),
    ],
)
def test_what_programs_say_in_a_protocol_of_their_own_is_supported_there(offer_id: str, used: set[str]) -> None:
    """Else it would be left out on the way, and the bytes could not be passed through."""
    offer = next(offer for offer in OFFERS if offer.id == offer_id)
    assert used <= set(offer.supported_parameters or ())


def test_words_of_chat_that_a_provider_has_in_another_protocol_alone_are_left_out_in_chat() -> None:
    for provider in ("openai", "azure", "google", "vertex", "xai"):
        assert "web_search_options" in CATALOG.providers[provider].drop

"""An answer of Chat Completions as it stands on the wire, whole and in chunks, in the dialects of all its vendors. In: JSON. Out: these structs.

The reference is https://platform.openai.com/docs/api-reference/chat/object and .../chat/streaming; who adds a key is said beside it. Keys that
are not here are left alone.
"""

from typing import Any

import msgspec

NULL = msgspec.Raw(b"null")


class TopLogprob(msgspec.Struct):
    token: str = ""
    logprob: float | None = None
    bytes: list[int] | None = None


class TokenLogprob(msgspec.Struct):
    token: str = ""
    logprob: float | None = None
    bytes: list[int] | None = None
    top_logprobs: list[TopLogprob] | None = None


class Logprobs(msgspec.Struct):
    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None
    """Ollama has the object itself (https://docs.ollama.com/api/chat)."""


class Custom(msgspec.Struct):
    name: str | None = None
    input: str | None = None


class Call(msgspec.Struct):
    index: int | None = None
    """Missing in whole answers, and in Google's streams (https://ai.google.dev/gemini-api/docs/openai)."""
    id: str | None = None
    function: Function | None = None
    custom: Custom | None = None
    extra_content: msgspec.Raw = NULL
    """Google's thought signature (https://ai.google.dev/gemini-api/docs/thought-signatures#openai)."""


class Audio(msgspec.Struct):
    id: str | None = None
    data: str | None = None
    transcript: str | None = None
    expires_at: int | None = None


class ImageUrl(msgspec.Struct):
    url: msgspec.Raw = NULL


class Image(msgspec.Struct):
    """OpenRouter's: https://openrouter.ai/docs/features/multimodal/image-generation"""

    image_url: ImageUrl | None = None


class Message(msgspec.Struct):
    """Of a whole answer, or of a chunk: the same keys with less in them."""

    content: str | list[dict[str, msgspec.Raw]] | None = None
    """Mistral has a list of chunks where there is reasoning (https://docs.mistral.ai/capabilities/reasoning)."""
    reasoning_content: str | None = None
    """DeepSeek, Moonshot, Qwen, xAI (https://api-docs.deepseek.com/guides/thinking_mode)."""
    reasoning: str | None = None
    """OpenRouter, Groq (https://console.groq.com/docs/reasoning)."""
    reasoning_details: list[dict[str, Any]] | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None
    annotations: list[msgspec.Raw] | None = None
    audio: Audio | None = None
    images: list[Image] | None = None


class Choice(msgspec.Struct):
    index: int | None = None
    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    stop_reason: Any = None
    """vLLM: the stop word that was hit, or a token's number (https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html)."""
    matched_stop: Any = None
    """The same of SGLang."""
    usage: msgspec.Raw = NULL
    """Moonshot (https://platform.moonshot.ai/docs/api/chat)."""
    error: msgspec.Raw = NULL
    """OpenRouter (https://openrouter.ai/docs/api-reference/errors)."""


class Groq(msgspec.Struct):
    usage: msgspec.Raw = NULL
    error: str | None = None


class Found(msgspec.Struct):
    url: str | None = None
    title: str | None = None


class Answer(msgspec.Struct):
    """A chunk, or a whole answer."""

    id: str | None = None
    model: str | None = None
    created: float | None = None
    choices: list[Choice] | None = None
    usage: msgspec.Raw = NULL
    service_tier: str | None = None
    error: msgspec.Raw = NULL
    object: str | None = None
    code: Any = None
    """vLLM: of an error, the status it would have had."""
    x_groq: Groq | None = None
    citations: list[Any] | None = None
    """URLs: xAI, Perplexity (https://docs.perplexity.ai/api-reference/chat-completions-post)."""
    search_results: list[Found] | None = None
    """Perplexity."""


decoder = msgspec.json.Decoder(Answer)
KNOWN = frozenset(Answer.__struct_fields__)


def is_null(value: msgspec.Raw) -> bool:
    return len(value) == 4 and value == NULL

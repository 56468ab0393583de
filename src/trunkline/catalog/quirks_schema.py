"""What people may write about quirks, checked. In: a table of a file. Out: a `QuirksLayer`, in which only what was written is set.

The fields are those of `protocols.codec.Quirks`, which the catalog must not import; a test of `providers` holds the two together.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

ProtocolName = Literal["openai.chat", "openai.responses", "anthropic.messages", "gemini", "bedrock.converse"]

Attribute = Literal[
    "cache", "cache_key", "cache_retention", "candidates", "format", "frequency_penalty", "include_usage", "logit_bias", "logprobs", "max_output_tokens",
    "metadata", "modalities", "parallel_tool_calls", "presence_penalty", "reasoning", "safety_identifier", "seed", "service_tier", "stop",
    "temperature", "tool_choice", "top_k", "top_logprobs", "top_p", "user", "verbosity", "web_search",
]  # fmt: skip
"""Attributes of `ir.request.Request` that an offer may refuse, or take though its protocol has none."""
Effort = Literal["minimal", "low", "medium", "high", "xhigh", "max"]


def _sorted(value: object) -> object:
    """Sets are written as lists; sorted, so that equal ones read equally."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return sorted(set(value))
    return value


AttributeSet = Annotated[list[Attribute], BeforeValidator(_sorted)]
ChoiceSet = Annotated[list[Literal["required", "none", "named", "allowed"]], BeforeValidator(_sorted)]
MediaSet = Annotated[list[Literal["image", "file", "audio", "video"]], BeforeValidator(_sorted)]


class QuirksLayer(BaseModel):
    """Each field as in `protocols.codec.Quirks`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, defer_build=True)

    refused: AttributeSet = []
    refused_while_thinking: AttributeSet = []
    accepted: AttributeSet = []
    limit_word: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    limit_required: bool = False
    max_temperature: float = Field(default=2.0, ge=0)
    max_stops: int = Field(default=4, ge=0)
    reasoning: Literal["effort", "budget", "toggle", "none"] = "effort"
    efforts: list[Effort] = Field(default=["minimal", "low", "medium", "high"], min_length=1)
    min_budget_tokens: int = Field(default=1024, ge=0)
    can_disable_reasoning: bool = True
    thinking_back: Literal["own", "text", "never"] = "own"
    thinking_word: Literal["reasoning_content", "reasoning"] = "reasoning_content"
    reasoning_word: Literal["reasoning_effort", "thinking", "enable_thinking", "reasoning", "reasoningConfig"] = (
        "reasoning_effort"
    )
    top_k_word: Literal["top_k", "inferenceConfig.topK"] = "top_k"
    content_parts: bool = True
    system_role: Literal["any", "system", "developer", "user"] = "any"
    system_in_middle: bool = True
    alternate_roles: bool = False
    tool_id: Literal["any", "words", "nine"] = "any"
    schema_words: Literal["full", "subset", "none"] = Field(default="full", alias="schema")
    strict_tools: bool = True
    tool_choice: ChoiceSet = []
    custom_tools: bool = False
    cache_marks: bool = False
    tool_marks: bool = True
    error_flag: bool = True
    media: MediaSet = []
    media_urls: bool = True
    media_in_results: bool = True

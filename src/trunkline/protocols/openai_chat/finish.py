"""Why an answer ended, in Chat's words and in ours. In: `finish_reason`, or a canonical reason. Out: the other."""

from collections.abc import Mapping
from typing import Any

from trunkline.ir.response import FinishReason

# OpenAI's five (https://platform.openai.com/docs/api-reference/chat/object), then Mistral's `model_length` and `error`, Together's `eos`,
# Zhipu's `sensitive` and `network_error` (https://docs.z.ai/api-reference/llm/chat-completion), DeepSeek's
# `insufficient_system_resource` (https://api-docs.deepseek.com/api/create-chat-completion).
_READ: Mapping[str, FinishReason] = {
    "stop": FinishReason.END,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "model_length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "eos": FinishReason.END,
    "end_turn": FinishReason.END,
    "sensitive": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.REFUSAL,
}
WORDS = frozenset({"stop", "length", "tool_calls", "content_filter"})
_WRITTEN: Mapping[FinishReason, str] = {
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.LENGTH: "length",
    FinishReason.CONTEXT_FULL: "length",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.REFUSAL: "content_filter",
}


def reason_of(word: str, stop_word: Any, has_calls: bool, has_refusal: bool) -> tuple[FinishReason, str | None]:
    """The reason, and the stop word that was hit where the vendor tells it.

    A named `tool_choice` ends with `stop` (https://platform.openai.com/docs/guides/function-calling), and so do refusals.
    """
    reason = _READ.get(word, FinishReason.OTHER)
    if reason is not FinishReason.END:
        return reason, None
    if has_calls:
        return FinishReason.TOOL_CALLS, None
    if has_refusal:
        return FinishReason.REFUSAL, None
    if isinstance(stop_word, str) and stop_word:
        return FinishReason.STOP_SEQUENCE, stop_word
    return reason, None


def word_of(reason: FinishReason | None, native: str, legacy: bool) -> str:
    """The word for a caller: the provider's own if it is one of OpenAI's. An answer that was cut is as one that is too long."""
    if legacy and reason is FinishReason.TOOL_CALLS:
        return "function_call"
    if native in WORDS:
        return native
    return "length" if reason is None else _WRITTEN.get(reason, "stop")

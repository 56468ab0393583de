"""The loss table: what becomes of each field and part toward each protocol. In: nothing. Out: `FIELDS` for `settle`, and docs/protocols.md.

One table, so that what is done is what is said. The page is made by `python -m trunkline.protocols.fields > docs/protocols.md`.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from trunkline.protocols.codec import CHAT, CONVERSE, GEMINI, MESSAGES, RESPONSES

Action = Literal["mapped", "emulated", "dropped", "refused"]


class Rule(msgspec.Struct, frozen=True):
    """What is done with a field toward one protocol."""

    action: Action
    says: str
    """Of `mapped` the field's name there; else the reason, and of `refused` the mend."""


class Field(msgspec.Struct, frozen=True):
    """A row. `name` is an attribute of `ir.request.Request`, or a name of the kind of part that is meant."""

    name: str
    meaning: str
    rules: Mapping[str, Rule]


def at(word: str) -> Rule:
    return Rule("mapped", word)


def emulate(how: str) -> Rule:
    return Rule("emulated", how)


def drop(why: str) -> Rule:
    return Rule("dropped", why)


def refuse(why_and_mend: str) -> Rule:
    return Rule("refused", why_and_mend)


def _row(name: str, meaning: str, chat: Rule, responses: Rule, messages: Rule, gemini: Rule, converse: Rule) -> Field:
    return Field(
        name, meaning, {CHAT: chat, RESPONSES: responses, MESSAGES: messages, GEMINI: gemini, CONVERSE: converse}
    )


_NO_WORD = drop("the protocol has no such parameter")
_BY_ITSELF = drop("the provider caches prompts by itself")
_ONE_ANSWER = refuse("the protocol gives one answer; ask for one, several times")
_ONLY_TEXT = refuse("the protocol answers in text alone; choose a model that an offer serves in Chat or Gemini")
_FOREIGN_FILE = refuse("the file is in another vendor's store; send its content as base64, or a URL")
_VENDOR_TOOL = drop("a tool that only its vendor can run")
_VENDOR_SCHEMA = refuse("a tool whose schema only its vendor's models know; define it as a function")
_OTHERS_THINKING = drop("reasoning that the provider could not verify as its own")
_AS_USER = emulate("sent as the user's text, in its place")
_AS_TEXT = emulate("sent as text")
_AS_FUNCTION = emulate("sent as a function with one string argument, `input`")
_ERROR_WORD = emulate("the result's text begins with `Error:`")
_NOT_KNOWN = drop("a part that only its vendor knows")

# The words are those of the vendors' references:
# https://platform.openai.com/docs/api-reference/chat/create, https://platform.openai.com/docs/api-reference/responses/create,
# https://platform.claude.com/docs/en/api/messages, https://ai.google.dev/api/generate-content
REQUEST = (
    _row("model", "the model", at("model"), at("model"), at("model"), at("model"), at("modelId")),
    _row("max_output_tokens", "output limit", at("max_completion_tokens"), at("max_output_tokens"), at("max_tokens"),
         at("generationConfig.maxOutputTokens"), at("inferenceConfig.maxTokens")),
    _row("temperature", "temperature", at("temperature"), at("temperature"), at("temperature"), at("generationConfig.temperature"),
         at("inferenceConfig.temperature")),
    _row("top_p", "nucleus", at("top_p"), at("top_p"), at("top_p"), at("generationConfig.topP"), at("inferenceConfig.topP")),
    _row("top_k", "best k tokens", _NO_WORD, _NO_WORD, at("top_k"), at("generationConfig.topK"), _NO_WORD),
    _row("frequency_penalty", "frequency penalty", at("frequency_penalty"), _NO_WORD, _NO_WORD, at("generationConfig.frequencyPenalty"), _NO_WORD),
    _row("presence_penalty", "presence penalty", at("presence_penalty"), _NO_WORD, _NO_WORD, at("generationConfig.presencePenalty"), _NO_WORD),
    _row("seed", "seed", at("seed"), _NO_WORD, _NO_WORD, at("generationConfig.seed"), _NO_WORD),
    _row("candidates", "several answers", at("n"), _ONE_ANSWER, _ONE_ANSWER, at("generationConfig.candidateCount"), _ONE_ANSWER),
    _row("logit_bias", "bias of tokens", at("logit_bias"), _NO_WORD, _NO_WORD, drop("token numbers of another vocabulary"), _NO_WORD),
    _row("logprobs", "log probabilities", at("logprobs"), at("include"), _NO_WORD, at("generationConfig.responseLogprobs"), _NO_WORD),
    _row("top_logprobs", "how many of them", at("top_logprobs"), at("top_logprobs"), _NO_WORD, at("generationConfig.logprobs"), _NO_WORD),
    _row("stop", "stop words", at("stop"), emulate("the answer is cut at the first of them here"), at("stop_sequences"),
         at("generationConfig.stopSequences"), at("inferenceConfig.stopSequences")),
    _row("tools", "functions", at("tools"), at("tools"), at("tools"), at("tools.functionDeclarations"), at("toolConfig.tools")),
    _row("tool_choice", "which tool", at("tool_choice"), at("tool_choice"), at("tool_choice"), at("toolConfig.functionCallingConfig"),
         at("toolConfig.toolChoice")),
    _row("parallel_tool_calls", "one call at a time, or several", at("parallel_tool_calls"), at("parallel_tool_calls"),
         at("tool_choice.disable_parallel_tool_use"), _NO_WORD, _NO_WORD),
    _row("web_search", "web search", at("web_search_options"), at("tools"), at("tools"), at("tools.googleSearch"), _NO_WORD),
    _row("reasoning", "how hard to think", at("reasoning_effort"), at("reasoning"), at("thinking"), at("generationConfig.thinkingConfig"),
         at("additionalModelRequestFields")),
    _row("format", "answer in JSON", at("response_format"), at("text.format"), at("output_config.format"), at("generationConfig.responseJsonSchema"),
         at("outputConfig.textFormat")),
    _row("verbosity", "how long to write", at("verbosity"), at("text.verbosity"), _NO_WORD, _NO_WORD, _NO_WORD),
    _row("modalities", "kinds of output", at("modalities"), _ONLY_TEXT, _ONLY_TEXT, at("generationConfig.responseModalities"), _ONLY_TEXT),
    _row("cache", "cache marks, on parts, tools and the whole", _BY_ITSELF, _BY_ITSELF, at("cache_control"), _BY_ITSELF, at("cachePoint")),
    _row("cache_key", "cache key", at("prompt_cache_key"), at("prompt_cache_key"), _BY_ITSELF, _BY_ITSELF, _BY_ITSELF),
    _row("cache_retention", "how long to cache", at("prompt_cache_retention"), at("prompt_cache_retention"), _BY_ITSELF, _BY_ITSELF, _BY_ITSELF),
    _row("user", "end user", at("user"), at("user"), at("metadata.user_id"), _NO_WORD, _NO_WORD),
    _row("safety_identifier", "end user, hashed", at("safety_identifier"), at("safety_identifier"), at("metadata.user_id"), _NO_WORD, _NO_WORD),
    _row("metadata", "labels", at("metadata"), at("metadata"), drop("Anthropic takes a user's id alone"), drop("labels are Vertex's alone"),
         at("requestMetadata")),
    _row("service_tier", "service tier", at("service_tier"), at("service_tier"), at("service_tier"), at("serviceTier"), at("serviceTier")),
)  # fmt: skip

PARTS = (
    _row("system", "system prompts at the beginning", at("messages"), at("instructions"), at("system"), at("systemInstruction"), at("system")),
    _row("system_in_middle", "system prompts further on", at("messages"), at("input"), _AS_USER, _AS_USER, _AS_USER),
    _row("name", "name of a participant", at("messages.name"), _NO_WORD, _NO_WORD, _NO_WORD, _NO_WORD),
    _row("text", "text", at("messages.content"), at("input.content"), at("messages.content"), at("contents.parts.text"), at("messages.content.text")),
    _row("citations", "citations in earlier answers", drop("annotations are part of answers alone"), at("input.content.annotations"),
         drop("citations of another vendor cannot be verified"), drop("there is no place for citations in a conversation"),
         drop("citations of another vendor cannot be verified")),
    _row("image", "images", at("messages.content.image_url"), at("input.content.input_image"), at("messages.content.image"),
         at("contents.parts.inlineData"), at("messages.content.image")),
    _row("file", "documents", at("messages.content.file"), at("input.content.input_file"), at("messages.content.document"),
         at("contents.parts.inlineData"), at("messages.content.document")),
    _row("text_file", "documents given as text", _AS_TEXT, _AS_TEXT, at("messages.content.document"), _AS_TEXT, at("messages.content.document")),
    _row("audio", "sound", at("messages.content.input_audio"), refuse("the protocol takes no sound; send a transcript"),
         refuse("the protocol takes no sound; send a transcript"), at("contents.parts.inlineData"),
         refuse("the protocol takes no sound; send a transcript")),
    _row("video", "video", refuse("the protocol takes no video; send single images"), refuse("the protocol takes no video; send single images"),
         refuse("the protocol takes no video; send single images"), at("contents.parts.inlineData"), at("messages.content.video")),
    _row("file_id", "files in a vendor's store", _FOREIGN_FILE, _FOREIGN_FILE, _FOREIGN_FILE, _FOREIGN_FILE, _FOREIGN_FILE),
    _row("thinking", "reasoning of the same vendor", at("messages.reasoning_details"), at("input.encrypted_content"), at("messages.content.thinking"),
         at("contents.parts.thoughtSignature"), at("messages.content.reasoningContent")),
    _row("others_thinking", "reasoning of another vendor", _OTHERS_THINKING, _OTHERS_THINKING, _OTHERS_THINKING, _OTHERS_THINKING, _OTHERS_THINKING),
    _row("tool_call", "tool calls", at("messages.tool_calls"), at("input.function_call"), at("messages.content.tool_use"),
         at("contents.parts.functionCall"), at("messages.content.toolUse")),
    _row("tool_result", "tool results", at("messages.content"), at("input.function_call_output"), at("messages.content.tool_result"),
         at("contents.parts.functionResponse"), at("messages.content.toolResult")),
    _row("media_in_results", "images in tool results", emulate("sent as the user's, behind the results"), at("input.output"),
         at("messages.content.tool_result.content"), at("contents.parts.functionResponse.parts"), at("messages.content.toolResult.content")),
    _row("is_error", "tool results that are errors", _ERROR_WORD, _ERROR_WORD, at("messages.content.tool_result.is_error"),
         at("contents.parts.functionResponse.response.error"), at("messages.content.toolResult.status")),
    _row("refusal", "refusals in earlier answers", at("messages.refusal"), at("input.content.refusal"), _AS_TEXT, _AS_TEXT, _AS_TEXT),
    _row("server_call", "calls that the vendor ran itself", _NOT_KNOWN, _NOT_KNOWN, _NOT_KNOWN, _NOT_KNOWN, _NOT_KNOWN),
    _row("opaque", "parts that only one vendor knows", _NOT_KNOWN, _NOT_KNOWN, _NOT_KNOWN, _NOT_KNOWN, _NOT_KNOWN),
    _row("custom_tools", "tools with free text", at("tools"), at("tools"), _AS_FUNCTION, _AS_FUNCTION, _AS_FUNCTION),
    _row("hosted_tools", "tools that the vendor runs", _VENDOR_TOOL, _VENDOR_TOOL, _VENDOR_TOOL, _VENDOR_TOOL, _VENDOR_TOOL),
    _row("typed_tools", "tools with a vendor's own schema", _VENDOR_SCHEMA, _VENDOR_SCHEMA, _VENDOR_SCHEMA, _VENDOR_SCHEMA, _VENDOR_SCHEMA),
    _row("strict", "strict schemas of tools", at("tools.function.strict"), at("tools.strict"), at("tools.strict"), _NO_WORD,
         at("toolConfig.tools.toolSpec.strict")),
    _row("json_object", "JSON without a schema", at("response_format"), at("text.format"), emulate("asked for by a line in the system prompt"),
         at("generationConfig.responseMimeType"), emulate("asked for by a line in the system prompt")),
)  # fmt: skip

FIELDS: Mapping[str, Field] = {field.name: field for field in (*REQUEST, *PARTS)}

REFUSED_EXTRAS: Mapping[str, Mapping[str, str]] = {
    CHAT: {
        "audio": "no other protocol answers with sound; leave it out, or choose an offer that speaks Chat Completions"
    },
    RESPONSES: {
        "background": "answers are not kept running here; ask without it",
        "conversation": "conversations are OpenAI's; send the items, or `previous_response_id`",
        "prompt": "stored prompts are OpenAI's; send its text as `instructions`",
    },
    MESSAGES: {
        "mcp_servers": "MCP servers are reached by Anthropic alone; give their tools as functions",
        "container": "containers are Anthropic's; choose an offer of Anthropic",
        "thread": "threads are Anthropic's; send the whole conversation",
    },
    GEMINI: {"cachedContent": "cached content is Google's; send the content itself"},
}
"""Fields of one protocol alone without which the answer would be wrong. All others of its kind are dropped with notice."""
REFUSED_TOOLS = frozenset({"file_search", "mcp", "mcp_toolset", "fileSearch", "mcpServers", "retrieval"})
"""Hosted tools that bring the knowledge that is asked for: an answer without them would be made up."""

ANSWERS = (
    ("text, several tool calls, refusals", "delta.content, tool_calls, refusal", "items", "blocks; a refusal is text", "parts; a refusal is text",
     "content blocks; no refusals"),
    ("reasoning", "`reasoning`, `reasoning_content`", "reasoning items", "`thinking`", "`thought` parts, if asked for", "`reasoningContent`"),
    ("state to be returned", "`reasoning_details`, tool-call id", "`encrypted_content`", "`signature`, tool-call id", "`thoughtSignature`",
     "`signature`, `redactedContent`"),
    ("citations", "`annotations`", "`annotations`", "`citations`", "`groundingMetadata`", "`citationsContent`"),
    ("log probabilities", "`logprobs`", "`output_text.logprobs`", "-", "`logprobsResult`", "-"),
    ("done", "`stop`", "`completed`", "`end_turn`", "`STOP`", "`end_turn`"),
    ("waits for tools", "`tool_calls`", "`completed`", "`tool_use`", "`STOP`", "`tool_use`"),
    ("output limit", "`length`", "`incomplete`: `max_output_tokens`", "`max_tokens`", "`MAX_TOKENS`", "`max_tokens`"),
    ("stop word", "`stop`", "`completed`", "`stop_sequence`", "`STOP`", "`stop_sequence`"),
    ("blocked", "`content_filter`", "`incomplete`: `content_filter`", "`refusal`", "`SAFETY`", "`content_filtered`, `guardrail_intervened`"),
    ("refused", "`content_filter`", "`completed`, refusal part", "`refusal`", "`SAFETY`", "`content_filtered`"),
    ("paused", "`stop`", "`incomplete`", "`pause_turn`", "`OTHER`", "-"),
    ("context full", "`length`", "`incomplete`: `max_output_tokens`", "`model_context_window_exceeded`", "`MAX_TOKENS`", "`model_context_window_exceeded`"),
    ("broken tool call", "`stop`", "`incomplete`", "`end_turn`", "`MALFORMED_FUNCTION_CALL`", "`malformed_tool_use`"),
)  # fmt: skip


def rule(name: str, protocol: str) -> Rule:
    """What is done with a field toward a protocol."""
    return FIELDS[name].rules[protocol]


def word(name: str, origin: str) -> str:
    """A field in the words of the protocol that a caller spoke; ours where it has none."""
    known = FIELDS[name].rules[origin]
    return known.says if known.action == "mapped" else name


_HEAD = "| | Chat Completions | Responses | Messages | Gemini | Converse |\n|---|---|---|---|---|---|\n"
_COLUMNS = (CHAT, RESPONSES, MESSAGES, GEMINI, CONVERSE)
_INTRO = """\
# What is carried between the protocols

This page is generated from the code (`python -m trunkline.protocols.fields > docs/protocols.md`). A client speaks one of the first four protocols;
Amazon Bedrock's Converse is spoken to providers alone. Where the offer speaks the client's own, bytes go through as they are and nothing on this
page matters. Otherwise each field has one of four fates:

* **a name**: it is carried, under this name;
* **emulated**: done in another way, which is noted;
* **dropped**: left out, which is noted;
* **refused**: the answer would be wrong without it, so the request ends with status 400, which names the field and what would help.

What is noted stands in the `x-trunkline-losses` header of the answer and in the record of the request. An offer may take less than its protocol
(sampling of reasoning models, kinds of input, reasoning effort): that is left out, or becomes the nearest that it takes, and is noted in the same way.

"""
_REST = """\
A field that is not on this page is known to one protocol only. The same protocol gets it unchanged, toward the others it is dropped, and these are refused:

"""


def page() -> str:
    """docs/protocols.md."""
    refused = "".join(f"* `{name}`: {why}\n" for extras in REFUSED_EXTRAS.values() for name, why in extras.items())
    answers = "".join(f"| {' | '.join(row)} |\n" for row in ANSWERS)
    return (
        f"{_INTRO}## Parameters\n{_HEAD}{_rows(REQUEST)}\n## The conversation, tools and formats\n{_HEAD}{_rows(PARTS)}\n"
        f"## Everything else\n{_REST}{refused}\n## Answers\n{_HEAD}{answers}"
    )


def _rows(fields: tuple[Field, ...]) -> str:
    return "".join(
        f"| {field.meaning} | {' | '.join(_cell(field.rules[name]) for name in _COLUMNS)} |\n" for field in fields
    )


def _cell(rule: Rule) -> str:
    return f"`{rule.says}`" if rule.action == "mapped" else f"**{rule.action}**: {rule.says}"


if __name__ == "__main__":
    print(page(), end="")

"""A canonical request as a Chat Completions body. In: the request and the offer. Out: the bytes for it, losses, stop words that are ours to watch for."""

from operator import attrgetter
from typing import Any

import msgspec

from trunkline.ir.parts import Carry
from trunkline.ir.request import Format, Reasoning, Request, Tool, ToolChoice, WebSearch
from trunkline.protocols.carry import carried
from trunkline.protocols.codec import Target, UpstreamBody
from trunkline.protocols.media import Blobs
from trunkline.protocols.openai_chat import NAME
from trunkline.protocols.openai_chat.parts_out import PartWriter, Wire, merged
from trunkline.protocols.openai_chat.turns_out import write_turn
from trunkline.protocols.settle import settle, those_said
from trunkline.protocols.tools import qualified

_PLAIN = (
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
    ("seed", "seed"),
    ("candidates", "n"),
    ("logit_bias", "logit_bias"),
    ("logprobs", "logprobs"),
    ("top_logprobs", "top_logprobs"),
    ("stop", "stop"),
    ("verbosity", "verbosity"),
    ("modalities", "modalities"),
    ("parallel_tool_calls", "parallel_tool_calls"),
    ("cache_key", "prompt_cache_key"),
    ("cache_retention", "prompt_cache_retention"),
    ("user", "user"),
    ("safety_identifier", "safety_identifier"),
    ("metadata", "metadata"),
    ("service_tier", "service_tier"),
)
"""Attribute of `Request` -> its word here, where the value goes as it is."""
_values = attrgetter(*(attribute for attribute, _ in _PLAIN))
_CUSTOM = "custom"


def write_request(request: Request, target: Target) -> UpstreamBody:
    """Raises `InvalidParams` for what this offer cannot be told."""
    settled = settle(request, target)
    asked, blobs = settled.request, Blobs()
    writer = PartWriter(target, blobs, request.origin)
    body: Wire = {"model": target.upstream_model}
    body["messages"] = [message for turn in asked.turns for message in write_turn(turn, writer)]
    for attribute, name in those_said(_PLAIN, _values(asked)):
        body[name] = getattr(asked, attribute)
    if request.origin != NAME:
        _fit_foreign(body)
    _put_limit(body, asked, target)
    _put_tools(body, asked, target)
    _put_reasoning(body, asked.reasoning, target)
    if asked.format is not None:
        body["response_format"] = _format(asked.format)
    merged(body, {}, asked.cache)
    for name, extra in asked.extras.items():
        body.setdefault(name, extra)
    _put_stream(body, target)
    return UpstreamBody(blobs.fill(msgspec.json.encode(body)), settled.losses, (), settled.stop_here)


def _fit_foreign(body: Wire) -> None:
    """What other protocols may say, and this one not: text as the kind of output of text models, and a number of log probabilities alone."""
    if body.get("modalities") == ("text",):
        del body["modalities"]
    if "top_logprobs" in body:
        body["logprobs"] = True


def _put_limit(body: Wire, asked: Request, target: Target) -> None:
    if asked.max_output_tokens is not None:
        body[target.quirks.limit_word] = asked.max_output_tokens


def _put_stream(body: Wire, target: Target) -> None:
    """Usage is asked for always: what it costs has to be known, whether the caller wants to see it or not."""
    options = body.pop("stream_options", None)
    if not target.stream:
        return
    body["stream"] = True
    if "include_usage" not in target.quirks.refused:
        body["stream_options"] = merged({"include_usage": True}, _object(options))


def _object(value: msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    return {} if value is None else msgspec.json.decode(value, type=dict[str, msgspec.Raw])


def _put_tools(body: Wire, asked: Request, target: Target) -> None:
    if asked.tools:
        body["tools"] = [_tool(tool, target) for tool in asked.tools]
    if asked.tool_choice is not None:
        body["tool_choice"] = _choice(asked.tool_choice, {tool.name: tool.kind for tool in asked.tools})
    if asked.web_search is not None:
        body["web_search_options"] = _web_search(asked.web_search, target)


def _tool(tool: Tool, target: Target) -> Wire:
    own = carried(tool.carry, NAME, target.dialect)
    if tool.kind in ("hosted", "typed"):
        return merged({}, own)
    said: Wire = {"name": qualified(tool.namespace, tool.name)}
    if tool.description:
        said["description"] = tool.description
    if tool.kind == _CUSTOM:
        grammar = None if own else _grammar(tool.carry)
        said |= {"format": grammar} if grammar else {}
        return merged({"type": _CUSTOM, _CUSTOM: said}, own, tool.cache)
    said["parameters"] = tool.parameters
    if tool.strict is not None:
        said["strict"] = tool.strict
    return merged({"type": "function", "function": said}, own, tool.cache)


class _Grammar(msgspec.Struct):
    type: str = ""
    syntax: str = ""
    definition: str = ""


class _Formatted(msgspec.Struct):
    format: _Grammar | None = None


def _grammar(carry: Carry | None) -> Wire | None:
    """The grammar of a custom tool of Responses, which has the same words one level higher.

    https://platform.openai.com/docs/api-reference/chat/create#chat_create-tools
    """
    if carry is None or b'"definition"' not in bytes(carry.data):
        return None
    found = msgspec.json.decode(carry.data, type=_Formatted).format
    if found is None or found.type != "grammar":
        return None
    return {"type": "grammar", "grammar": {"syntax": found.syntax, "definition": found.definition}}


def _choice(choice: ToolChoice, kinds: dict[str, str]) -> Any:
    named = [_named(name, kinds) for name in choice.names]
    if not named:
        return choice.mode
    if choice.mode == "required" and len(named) == 1:
        return named[0]
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": named}}


def _named(name: str, kinds: dict[str, str]) -> Wire:
    kind = _CUSTOM if kinds.get(name) == _CUSTOM else "function"
    return {"type": kind, kind: {"name": name}}


def _web_search(search: WebSearch, target: Target) -> Wire:
    written: Wire = {}
    if search.context_size:
        written["search_context_size"] = search.context_size
    if len(search.location):
        written["user_location"] = {"type": "approximate", "approximate": search.location}
    return merged(written, carried(search.carry, NAME, target.dialect))


def _put_reasoning(body: Wire, asked: Reasoning | None, target: Target) -> None:
    """An effort in OpenAI's word; on, off and a budget in that of the offer (`Quirks.reasoning_word`)."""
    if asked is None:
        return
    word = target.quirks.reasoning_word
    if word == "reasoning":
        _put_some(body, "reasoning", _whole_reasoning(asked))
        return
    if asked.effort and asked.enabled is not False:
        body["reasoning_effort"] = asked.effort
    if asked.enabled is None and asked.budget_tokens is None:
        return
    _SWITCHES[word](body, asked.enabled is not False, asked.budget_tokens)


def _whole_reasoning(asked: Reasoning) -> Wire:
    """https://openrouter.ai/docs/guides/best-practices/reasoning-tokens"""
    said: Wire = {}
    if asked.enabled is not None and not (asked.effort or asked.budget_tokens):
        said["enabled"] = asked.enabled
    if asked.effort:
        said["effort"] = asked.effort
    if asked.budget_tokens is not None:
        said["max_tokens"] = asked.budget_tokens
    if asked.shown is not None:
        said["exclude"] = not asked.shown
    if asked.summary:
        said["summary"] = asked.summary
    return said


def _put_some(body: Wire, name: str, value: Wire) -> None:
    if value:
        body[name] = value


def _switch_effort(body: Wire, on: bool, _budget_tokens: int | None) -> None:
    """OpenAI has a word for off only (https://platform.openai.com/docs/api-reference/chat/create#chat_create-reasoning_effort)."""
    if not on:
        body["reasoning_effort"] = "none"


def _switch_thinking(body: Wire, on: bool, budget_tokens: int | None) -> None:
    """https://api-docs.deepseek.com/guides/thinking_mode, https://docs.z.ai/guides/capabilities/thinking-mode; a budget as Anthropic has it."""
    budget = {"budget_tokens": budget_tokens} if on and budget_tokens else {}
    body["thinking"] = {"type": "enabled" if on else "disabled", **budget}


def _switch_enable(body: Wire, on: bool, budget_tokens: int | None) -> None:
    """https://www.alibabacloud.com/help/en/model-studio/deep-thinking"""
    body["enable_thinking"] = on
    if on and budget_tokens:
        body["thinking_budget"] = budget_tokens


_SWITCHES = {
    "reasoning_effort": _switch_effort,
    "thinking": _switch_thinking,
    "enable_thinking": _switch_enable,
}


def _format(asked: Format) -> Wire:
    if asked.kind == "json_object":
        return {"type": "json_object"}
    schema: Wire = {"name": asked.name, "schema": asked.schema}
    if asked.strict is not None:
        schema["strict"] = asked.strict
    if asked.description:
        schema["description"] = asked.description
    return {"type": "json_schema", "json_schema": schema}

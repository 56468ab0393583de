"""A Chat Completions request in canonical form. In: the caller's bytes. Out: `Request`; `InvalidParams` naming the field that is wrong.

Besides OpenAI's words (https://platform.openai.com/docs/api-reference/chat/create) these are known: `reasoning` of OpenRouter, `thinking` of DeepSeek
(https://api-docs.deepseek.com/guides/thinking_mode), `enable_thinking` of Qwen (https://www.alibabacloud.com/help/en/model-studio/deep-thinking).
"""

from typing import Any

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.request import Format, Reasoning, Request, Tool
from trunkline.protocols.beside import Beside
from trunkline.protocols.codec import RequestContext
from trunkline.protocols.openai_chat import NAME
from trunkline.protocols.openai_chat.looking import FLAG, INTEGER, NUMBER, TEXT, Keys, begins, is_null
from trunkline.protocols.openai_chat.tools_in import is_legacy, read_choice, read_tools, read_web_search
from trunkline.protocols.openai_chat.turns_in import read_turns, require_messages
from trunkline.protocols.rawjson import UNREADABLE, Fields, join, split
from trunkline.protocols.wishes import GATEWAY_KEYS, first_model

_bias = msgspec.json.Decoder(dict[str, float])
_labels = msgspec.json.Decoder(dict[str, str])
_words = msgspec.json.Decoder(list[str])


def read_request(body: bytes, context: RequestContext) -> Request:
    fields = _fields(body) if context.peeked is None else context.peeked.fields
    request = _beside.of(fields)
    value = fields.get("messages")
    messages = require_messages(None if value is None or is_null(value) else value)
    return msgspec.structs.replace(request, turns=read_turns(messages, context))


def _read_beside(fields: Fields) -> Request:
    """All but the messages."""
    keys = Keys(fields)
    model = keys.text("model") or first_model(keys.left)
    if not model:
        mend = "name one, for example `openai/o4-mini`. GET /api/v1/models lists them."
        raise InvalidParams(f"`model` is missing: {mend}", param="model")
    tools = read_tools(keys)
    return Request(
        origin=NAME,
        model=model,
        turns=(),
        tools=tools,
        tool_choice=read_choice(keys),
        parallel_tool_calls=_parallel(keys, tools),
        web_search=read_web_search(keys),
        max_output_tokens=_limit(keys),
        temperature=keys.take("temperature", NUMBER),
        top_p=keys.take("top_p", NUMBER),
        top_k=keys.take("top_k", INTEGER),
        frequency_penalty=keys.take("frequency_penalty", NUMBER),
        presence_penalty=keys.take("presence_penalty", NUMBER),
        seed=keys.take("seed", INTEGER),
        candidates=keys.take("n", INTEGER),
        logit_bias=keys.take("logit_bias", _bias),
        logprobs=keys.take("logprobs", FLAG),
        top_logprobs=keys.take("top_logprobs", INTEGER),
        stop=_stop(keys),
        reasoning=_reasoning(keys),
        format=_format(keys),
        verbosity=keys.text("verbosity"),
        modalities=tuple(word.lower() for word in keys.take("modalities", _words) or ()),
        cache=keys.cache(),
        cache_key=keys.text("prompt_cache_key"),
        cache_retention=keys.text("prompt_cache_retention"),
        user=keys.text("user"),
        safety_identifier=keys.text("safety_identifier"),
        metadata=keys.take("metadata", _labels),
        service_tier=keys.text("service_tier"),
        stream=keys.flag("stream"),
        include_usage=_wants_usage(keys),
        extras=_extras(keys),
    )


_beside = Beside(frozenset({"messages"}), _read_beside)


def _fields(body: bytes) -> Fields:
    try:
        return split(body)
    except msgspec.ValidationError as error:
        raise InvalidParams("The body must be a JSON object.") from error
    except UNREADABLE as error:
        raise InvalidParams(f"The body is not valid JSON: {error}.") from error


def _parallel(keys: Keys, tools: tuple[Tool, ...]) -> bool | None:
    """`functions` are called one at a time: an answer has one place for a call."""
    said = keys.take("parallel_tool_calls", FLAG)
    return False if said is None and is_legacy(tools) else said


def _limit(keys: Keys) -> int | None:
    """Two words for one thing; the newer wins."""
    limits = {name: keys.take(name, INTEGER) for name in ("max_completion_tokens", "max_tokens")}
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            raise keys.wrong(name, "it must be at least 1")
    return limits["max_completion_tokens"] or limits["max_tokens"]


def _stop(keys: Keys) -> tuple[str, ...]:
    value = keys.raw("stop")
    if value is None:
        return ()
    words = [keys.decoded("stop", value, TEXT)] if begins(value) == '"' else keys.decoded("stop", value, _words)
    return tuple(word for word in words if word)


def _reasoning(keys: Keys) -> Reasoning | None:
    effort, said = keys.text("reasoning_effort"), keys.below("reasoning")
    thinking, enabled = keys.below("thinking"), keys.take("enable_thinking", FLAG)
    budget, shown, summary = keys.take("thinking_budget", INTEGER), None, ""
    if said is not None:
        effort = said.text("effort") or effort
        budget = said.take("max_tokens", INTEGER) or budget
        enabled = _first(said.take("enabled", FLAG), enabled)
        excluded, summary = said.take("exclude", FLAG), said.text("summary")
        shown = None if excluded is None else not excluded
    if thinking is not None:
        kind, tokens = thinking.text("type"), thinking.take("budget_tokens", INTEGER)
        enabled, budget = _first(enabled, kind != "disabled"), budget or tokens
    if effort == "none":
        enabled, effort = False, ""
    asked = Reasoning(enabled=enabled, effort=effort, budget_tokens=budget, shown=shown, summary=summary)
    return None if asked == _NOTHING_SAID else asked


_NOTHING_SAID = Reasoning()


def _first(one: bool | None, other: bool | None) -> bool | None:
    return other if one is None else one


def _format(keys: Keys) -> Format | None:
    """https://platform.openai.com/docs/api-reference/chat/create#chat_create-response_format"""
    asked = keys.below("response_format")
    if asked is None:
        return None
    kind = asked.text("type")
    if kind == "json_object":
        return Format(kind="json_object")
    if kind != "json_schema":
        if kind != "text":
            # A vendor's own, e.g. a grammar.
            keys.left["response_format"] = _put_back(kind, asked)
        return None
    inner = asked.below("json_schema")
    schema = inner.raw("schema") if inner is not None else None
    if inner is None or (schema is not None and begins(schema) != "{"):
        raise asked.wrong("json_schema", "it must be an object with a `name` and a `schema`")
    given: dict[str, Any] = {} if schema is None else {"schema": schema}
    return Format(
        kind="json_schema", name=inner.text("name") or "answer", strict=inner.take("strict", FLAG),
        description=inner.text("description"), **given,
    )  # fmt: skip


def _put_back(kind: str, keys: Keys) -> msgspec.Raw:
    return msgspec.Raw(join({"type": msgspec.Raw(msgspec.json.encode(kind)), **keys.left}))


def _wants_usage(keys: Keys) -> bool:
    """`usage.include` is OpenRouter's and ZenMux's word (https://openrouter.ai/docs/use-cases/usage-accounting)."""
    options, usage = keys.below("stream_options"), keys.below("usage")
    asked = options is not None and options.flag("include_usage")
    if options is not None and options.left:
        keys.left["stream_options"] = msgspec.Raw(join(options.left))
    return asked or (usage is not None and usage.flag("include"))


def _extras(keys: Keys) -> dict[str, msgspec.Raw]:
    """What only Chat's vendors know. Words for gateways are ours, and go no further."""
    return {
        name: value
        for name, value in keys.left.items()
        if name not in GATEWAY_KEYS and bytes(memoryview(value)[:5]) != b"null"
    }

"""The facts of a Messages request, for routing and for passing it on as it is. In: the caller's bytes. Out: `Peeked`. Messages are not read."""

import re

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.facts import RequestFacts
from trunkline.protocols.anthropic_messages import NAME
from trunkline.protocols.anthropic_messages.measure import measured, size_of_system
from trunkline.protocols.anthropic_messages.request_in import (
    Choice,
    Thinking,
    fields_of_body,
    refuse_threads,
)
from trunkline.protocols.anthropic_messages.usual_in import size_of, usual_turns
from trunkline.protocols.beside import Beside
from trunkline.protocols.codec import CHAT, Peeked, RequestContext
from trunkline.protocols.fields import REQUEST, word
from trunkline.protocols.rawjson import UNREADABLE, Fields, is_null, join
from trunkline.protocols.wishes import GATEWAY_KEYS, wishes_of

_FAULTY_FIELD = re.compile(r"at `\$\.(\w+)")
_UNCOUNTED = ("model", "cache", "user", "safety_identifier", "metadata")
_WORDS = {field.name: word(field.name, CHAT) for field in REQUEST if field.name not in _UNCOUNTED}
# With what is asked below, all that a request is made of; everything else is `extras`.
_READ_ELSEWHERE = frozenset({"messages", "system", "metadata", "cache_control", "tools"})


class _OutputConfig(msgspec.Struct):
    effort: str | None = None
    format: msgspec.Raw = msgspec.Raw(b"null")


class _Kind(msgspec.Struct):
    type: str | None = None


class _Asked(msgspec.Struct):
    """The small fields that decide something; their types are checked in one go."""

    model: str | None = None
    stream: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    thinking: Thinking | None = None
    tool_choice: Choice | None = None
    output_config: _OutputConfig | None = None
    output_format: _Kind | None = None
    service_tier: str | None = None


_KNOWN = _READ_ELSEWHERE | set(_Asked.__struct_fields__) | set(GATEWAY_KEYS)
_asked_decoder = msgspec.json.Decoder(_Asked)
_tools_decoder = msgspec.json.Decoder(list[_Kind] | None)
_LIST = ord("[")


def peek(body: bytes, context: RequestContext, vocabulary: frozenset[str]) -> Peeked:
    """What routing needs to know. Raises `InvalidParams` naming the field and the mend."""
    del context
    fields = fields_of_body(body)
    facts = _beside.of(fields, vocabulary)
    messages, system = fields.get("messages"), fields.get("system")
    if messages is None or not _is_filled_list(messages):
        raise InvalidParams("`messages` must be a list with at least one message.", param="messages")
    turns = usual_turns(messages, system)
    if turns is None:
        size, modalities = measured(messages)
        size += size_of_system(system)
    else:
        size, modalities = size_of(turns)
    size += facts.prompt_bytes
    return Peeked(fields, msgspec.structs.replace(facts, prompt_bytes=size, modalities=modalities), turns)


def _facts_beside(fields: Fields, vocabulary: frozenset[str]) -> RequestFacts:
    """Of all but the conversation."""
    refuse_threads(fields)
    asked = _asked(fields)
    if not asked.model:
        raise InvalidParams("`model` is missing: name one, for example `anthropic/claude-sonnet-4.5`.", param="model")
    wishes = wishes_of(fields)
    said = _said(fields, asked)
    names = [name for attribute, name in _WORDS.items() if said.get(attribute)]
    extras = [name for name in fields if name not in _KNOWN]
    return RequestFacts(
        protocol=NAME,
        model=asked.model,
        stream=bool(asked.stream),
        prompt_bytes=sum(len(fields[name]) for name in ("tools", "output_config") if name in fields),
        max_output_tokens=asked.max_tokens,
        parameters=tuple(name for name in (*names, *extras) if name in vocabulary),
        needs=_needs(said, asked),
        stop=tuple(word for word in asked.stop_sequences or () if word),
        require_parameters=wishes.require_parameters,
        include_cost=wishes.include_cost,
        wish=wishes.wish,
    )


_beside = Beside(frozenset({"messages", "system"}), _facts_beside)


def _asked(fields: Fields) -> _Asked:
    small = {name: value for name, value in fields.items() if name in _Asked.__struct_fields__}
    try:
        return _asked_decoder.decode(join(small))
    except UNREADABLE as error:
        field = _FAULTY_FIELD.search(str(error))
        name = field[1] if field is not None else "model"
        raise InvalidParams(f"`{name}` is not right: {error}.", param=name) from error


def _said(fields: Fields, asked: _Asked) -> dict[str, bool]:
    """Attributes of the canonical request that the caller set to something."""
    kinds = _kinds_of_tools(fields)
    searches = [kind for kind in kinds if kind.startswith("web_search_")]
    choice, config = asked.tool_choice, asked.output_config
    return {
        "max_output_tokens": asked.max_tokens is not None,
        "temperature": asked.temperature is not None,
        "top_p": asked.top_p is not None,
        "top_k": asked.top_k is not None,
        "stop": any(asked.stop_sequences or ()),
        # The first search is no tool but a wish of its own.
        "tools": len(kinds) > min(1, len(searches)),
        "tool_choice": choice is not None,
        "parallel_tool_calls": choice is not None and choice.disable_parallel_tool_use is not None,
        "web_search": bool(searches),
        "reasoning": asked.thinking is not None or bool(config and config.effort),
        "format": asked.output_format is not None or bool(config and not is_null(config.format)),
        "service_tier": bool(asked.service_tier),
    }


def _kinds_of_tools(fields: Fields) -> list[str]:
    raw = fields.get("tools")
    if raw is None:
        return []
    try:
        return [tool.type or "" for tool in _tools_decoder.decode(raw) or ()]
    except UNREADABLE as error:
        raise InvalidParams(f"`tools` must be a list of tools: {error}.", param="tools") from error


def _needs(said: dict[str, bool], asked: _Asked) -> tuple[str, ...]:
    thinking, config = asked.thinking, asked.output_config
    reasoning = thinking.type != "disabled" if thinking is not None else bool(config and config.effort)
    needs = {"tools": said["tools"], "response_format": said["format"], "reasoning": reasoning}
    return tuple(name for name, needed in needs.items() if needed)


def _is_filled_list(value: msgspec.Raw) -> bool:
    view = memoryview(value)
    return view[0] == _LIST and (len(view) >= 64 or bool(bytes(view[1:-1]).strip()))

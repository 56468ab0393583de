"""What routing needs of a Responses request, without its canonical form. In: the caller's body. Out: its top level, and `RequestFacts`.

Equal to `facts.facts_of`, but that `prompt_bytes` counts of tools the JSON as well.
"""

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.facts import RequestFacts
from trunkline.protocols.beside import Beside
from trunkline.protocols.codec import RESPONSES, Peeked, RequestContext
from trunkline.protocols.openai_responses.measure import measured
from trunkline.protocols.openai_responses.request_in import (
    CONVERSATION,
    ENCRYPTED,
    LOGPROBS,
    Asked,
    asked_of,
    fields_of,
)
from trunkline.protocols.openai_responses.tools_in import added_tools, has_added_tools
from trunkline.protocols.openai_responses.usual_in import size_of, usual_turns
from trunkline.protocols.openai_responses.wire import is_null, take_text
from trunkline.protocols.rawjson import UNREADABLE, Fields
from trunkline.protocols.wishes import named, wishes_of

# The catalog's words are Chat's: https://developers.openai.com/api/reference/resources/chat
_WORDS = {
    "max_output_tokens": "max_completion_tokens", "temperature": "temperature", "top_p": "top_p", "top_logprobs": "top_logprobs",
    "parallel_tool_calls": "parallel_tool_calls", "tool_choice": "tool_choice", "reasoning": "reasoning_effort", "prompt_cache_key": "prompt_cache_key",
    "prompt_cache_retention": "prompt_cache_retention", "service_tier": "service_tier",
}  # fmt: skip


class _Kind(msgspec.Struct):
    type: str = ""


def peek(body: bytes, context: RequestContext, vocabulary: frozenset[str]) -> Peeked:
    """Look at a request. Raises `InvalidParams` naming the field and the mend."""
    fields = fields_of(body)
    facts = _facts_beside(fields, vocabulary) if has_added_tools(fields) else _beside.of(fields, vocabulary)
    read, instructions = fields.get("input"), fields.get("instructions")
    turns = None if context.previous or read is None else usual_turns(read, instructions)
    size, modalities = measured(read, instructions, context.previous) if turns is None else size_of(turns)
    size += facts.prompt_bytes
    return Peeked(fields, msgspec.structs.replace(facts, prompt_bytes=size, modalities=modalities), turns)


def _facts_beside(fields: Fields, vocabulary: frozenset[str]) -> RequestFacts:
    """Of all but the conversation."""
    asked = asked_of(fields)
    model, wishes = named(asked.model, wishes_of(fields))
    if not model:
        mend = "name one, for example `openai/o4-mini`. GET /api/v1/models lists them."
        raise InvalidParams(f"`model` is missing: {mend}", param="model")
    size = sum(len(memoryview(fields[name])) for name in ("tools", "text") if name in fields)
    kinds = _tool_kinds(fields)
    return RequestFacts(
        protocol=RESPONSES,
        model=model,
        stream=bool(asked.stream),
        prompt_bytes=size,
        max_output_tokens=asked.max_output_tokens,
        parameters=_parameters(fields, asked, kinds, vocabulary),
        needs=_needs(asked, kinds),
        require_parameters=wishes.require_parameters,
        include_cost=wishes.include_cost,
        wish=wishes.wish,
        session_id=(asked.prompt_cache_key or "")[:256],
    )


_beside = Beside(CONVERSATION, _facts_beside)


def _tool_kinds(fields: Fields) -> list[str]:
    value = fields.get("tools")
    try:
        added = [take_text(tool, "type", "") for tool in added_tools(fields)]
        if value is None or is_null(value):
            return added
        return [*added, *(tool.type for tool in msgspec.json.decode(value, type=list[_Kind]))]
    except UNREADABLE as error:
        raise InvalidParams(f"`tools` must be a list of objects: {error}.", param="tools") from error


def _needs(asked: Asked, kinds: list[str]) -> tuple[str, ...]:
    form = asked.text.format if asked.text else None
    effort = asked.reasoning.effort if asked.reasoning else None
    needs = {
        "tools": any(not kind.startswith("web_search") for kind in kinds),
        "response_format": form is not None and form.type in ("json_object", "json_schema"),
        "reasoning": bool(effort) and effort != "none",
    }
    return tuple(name for name, needed in needs.items() if needed)


def _parameters(fields: Fields, asked: Asked, kinds: list[str], vocabulary: frozenset[str]) -> tuple[str, ...]:
    said = [word for name, word in _WORDS.items() if not is_null(fields.get(name))]
    include = asked.include or ()
    derived = {
        "logprobs": LOGPROBS in include,
        "tools": any(not kind.startswith("web_search") for kind in kinds),
        "web_search_options": any(kind.startswith("web_search") for kind in kinds),
        "response_format": "response_format" in _needs(asked, kinds),
        "verbosity": bool(asked.text and asked.text.verbosity),
        "reasoning_effort": ENCRYPTED in include and "reasoning_effort" not in said,
    }
    said += [name for name, is_said in derived.items() if is_said]
    others = [name for name in fields if name not in _WORDS and name not in said and not is_null(fields[name])]
    return tuple(name for name in (*said, *others) if name in vocabulary)

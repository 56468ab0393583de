"""What routing must know of a request, from its canonical form. In: the request. Out: `RequestFacts`, in the words of the catalog, which are Chat's."""

from collections.abc import Iterable, Iterator

from trunkline.ir.facts import RequestFacts
from trunkline.ir.parts import Media, Part, Text, Thinking, ToolCall, ToolResult
from trunkline.ir.request import Reasoning, Request
from trunkline.protocols.codec import CHAT, GEMINI, MESSAGES, RESPONSES
from trunkline.protocols.fields import REQUEST, rule, word

_NO_PARAMETERS = ("model", "cache", "user", "safety_identifier", "metadata")
_WORDS = {field.name: word(field.name, CHAT) for field in REQUEST if field.name not in _NO_PARAMETERS}


_ATTRIBUTES = {name: attribute for attribute, name in _WORDS.items()}


def attributes(words: Iterable[str]) -> frozenset[str]:
    """The attributes of `Request` that the catalog's words for parameters mean."""
    return frozenset(_ATTRIBUTES[name] for name in words if name in _ATTRIBUTES)


_CONVERSATION = {CHAT: "messages", RESPONSES: "input", MESSAGES: "messages", GEMINI: "contents"}


def in_words_of(protocol: str, name: str) -> str:
    """A parameter that routing names in Chat's words, as the caller's protocol has it; unchanged where that has none of its own."""
    if name == _CONVERSATION[CHAT]:
        return _CONVERSATION.get(protocol, name)
    attribute = _ATTRIBUTES.get(name)
    found = rule(attribute, protocol) if attribute is not None else None
    return found.says if found is not None and found.action == "mapped" else name


def facts_of(request: Request, vocabulary: frozenset[str]) -> RequestFacts:
    """The facts. `vocabulary` are the names of parameters that the catalog knows."""
    parts = list(_all_parts(request))
    return RequestFacts(
        protocol=request.origin,
        model=request.model,
        stream=request.stream,
        prompt_bytes=sum(map(_size, parts)) + _size_of_tools(request),
        max_output_tokens=request.max_output_tokens,
        parameters=_parameters(request, vocabulary),
        modalities=frozenset({"text"} | {part.kind for part in parts if isinstance(part, Media) and not part.text}),
        needs=_needs(request),
        stop=request.stop,
        wants_usage=request.include_usage,
        session_id=request.cache_key[:256],
    )


def _all_parts(request: Request) -> Iterator[Part]:
    for turn in request.turns:
        for part in turn.parts:
            yield part
            if isinstance(part, ToolResult):
                yield from part.parts


def _size(part: Part) -> int:
    if isinstance(part, Text | Thinking | Media):
        return bytes_of(part.text)
    return bytes_of(part.name) + bytes_of(part.arguments) if isinstance(part, ToolCall) else 0


def bytes_of(text: str) -> int:
    """Of a text in UTF-8. Never fewer than its tokens, so it tells for sure that a prompt is not too long."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _size_of_tools(request: Request) -> int:
    schema = len(bytes(request.format.schema)) if request.format else 0
    return schema + sum(len(tool.name) + len(tool.description) + len(bytes(tool.parameters)) for tool in request.tools)


def _parameters(request: Request, vocabulary: frozenset[str]) -> tuple[str, ...]:
    said = [name for attribute, name in _WORDS.items() if getattr(request, attribute) not in (None, (), "")]
    return tuple(name for name in (*said, *request.extras) if name in vocabulary)


def _needs(request: Request) -> tuple[str, ...]:
    needs = {
        "tools": bool(request.tools),
        "response_format": request.format is not None,
        "reasoning": _wants_reasoning(request.reasoning),
    }
    return tuple(name for name, needed in needs.items() if needed)


def _wants_reasoning(asked: Reasoning | None) -> bool:
    return (
        asked is not None and asked.enabled is not False and bool(asked.enabled or asked.effort or asked.budget_tokens)
    )

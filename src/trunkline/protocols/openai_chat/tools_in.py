"""Tools and the choice among them, in a caller's request. In: its keys. Out: canonical tools and choice.

https://platform.openai.com/docs/api-reference/chat/create#chat_create-tools; `functions` is what they were called first.
"""

from collections.abc import Iterator

import msgspec

from trunkline.ir.parts import Carry
from trunkline.ir.request import ANY_OBJECT, Tool, ToolChoice, WebSearch
from trunkline.protocols.openai_chat import NAME
from trunkline.protocols.openai_chat.looking import FLAG, OBJECTS, TEXT, Keys, begins
from trunkline.protocols.rawjson import join

LEGACY = Carry(f"{NAME}/functions", msgspec.Raw(b"{}"))
"""Marks tools that came as `functions`: their calls go back as `function_call`. It has no keys, so it adds none."""

_MODES = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
"""`any` is Mistral's word: https://docs.mistral.ai/capabilities/function_calling"""


def read_tools(request: Keys) -> tuple[Tool, ...]:
    given, functions = request.take("tools", OBJECTS), request.take("functions", OBJECTS)
    tools = [_tool(Keys(tool, f"tools[{at}]")) for at, tool in enumerate(given or ())]
    legacy = [_function(Keys(tool, f"functions[{at}]"), None, LEGACY) for at, tool in enumerate(functions or ())]
    return (*tools, *legacy)


def is_legacy(tools: tuple[Tool, ...]) -> bool:
    """Whether calls go back in the form of `functions`."""
    return any(tool.carry is not None and tool.carry.origin == LEGACY.origin for tool in tools)


def read_choice(request: Keys) -> ToolChoice | None:
    value = request.raw("tool_choice")
    if value is not None:
        return _choice(request, "tool_choice", value)
    value = request.raw("function_call")
    return None if value is None else _choice(request, "function_call", value)


def read_web_search(request: Keys) -> WebSearch | None:
    """https://platform.openai.com/docs/guides/tools-web-search?api-mode=chat"""
    keys = request.below("web_search_options")
    if keys is None:
        return None
    size, place = keys.text("search_context_size"), keys.below("user_location")
    location = place.raw("approximate") if place is not None else None
    return WebSearch(context_size=size, location=location or msgspec.Raw(b""), carry=keys.carry())


def _tool(keys: Keys) -> Tool:
    kind = keys.text("type")
    if kind in ("function", ""):
        inner = keys.below("function")
        return _function(inner or keys, keys if inner else None, None)
    if kind == "custom":
        return _custom(keys)
    whole = {"type": msgspec.Raw(msgspec.json.encode(kind)), **keys.left}
    return Tool(name=kind, kind="hosted", carry=Carry(NAME, msgspec.Raw(join(whole))))


def _function(keys: Keys, outer: Keys | None, carry: Carry | None) -> Tool:
    name = keys.text("name")
    if not name:
        raise keys.wrong("name", "a function must have a name")
    parameters = keys.raw("parameters")
    if parameters is not None and begins(parameters) != "{":
        raise keys.wrong("parameters", "it must be a JSON Schema, an object")
    cache = (outer or keys).cache() or keys.cache()
    return Tool(
        name=name,
        description=keys.text("description"),
        parameters=ANY_OBJECT if parameters is None else parameters,
        strict=keys.take("strict", FLAG),
        cache=cache,
        carry=carry or (outer.carry(function=keys) if outer else _flat(keys)),
    )


def _flat(keys: Keys) -> Carry | None:
    """Keys of a function that stood without `function` around it belong into it."""
    return Keys({}).carry(function=keys)


def _custom(keys: Keys) -> Tool:
    inner = keys.below("custom")
    if inner is None or not (name := inner.text("name")):
        raise keys.wrong("custom", "it must be an object with a `name`")
    description, cache = inner.text("description"), keys.cache()
    return Tool(name=name, description=description, kind="custom", cache=cache, carry=keys.carry(custom=inner))


def _choice(request: Keys, name: str, value: msgspec.Raw) -> ToolChoice:
    if begins(value) == '"':
        mode = _MODES.get(request.decoded(name, value, TEXT))
        if mode is None:
            raise request.wrong(name, "it must be `auto`, `none`, `required`, or name a tool")
        return ToolChoice(mode)  # type: ignore[arg-type]
    request.left[name] = value
    keys = request.below(name)
    assert keys is not None
    allowed = keys.below("allowed_tools")
    if allowed is None:
        return ToolChoice("required", (_named(keys),))
    tools = allowed.take("tools", OBJECTS) or ()
    mode = _MODES.get(allowed.text("mode") or "auto", "auto")
    return ToolChoice(mode, tuple(_all_named(allowed, tools)))  # type: ignore[arg-type]


def _all_named(keys: Keys, tools: "list[dict[str, msgspec.Raw]] | tuple[()]") -> Iterator[str]:
    for at, tool in enumerate(tools):
        yield _named(Keys(tool, f"{keys.name('tools')}[{at}]"))


def _named(keys: Keys) -> str:
    """`{"type": "function", "function": {"name"}}`, or the name alone as `function_call` has it."""
    inner = keys.below("function") or keys.below("custom") or keys
    name = inner.text("name")
    if not name:
        raise inner.wrong("name", "it must be the name of a tool")
    return name

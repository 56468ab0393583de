"""Tools of a Responses request, read: functions, custom tools, namespaces, web search, what only OpenAI runs, and `additional_tools` in the input.

In: the top level of a body. Out: canonical tools, and the web search. https://developers.openai.com/api/docs/guides/function-calling
"""

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.parts import Carry
from trunkline.ir.request import ANY_OBJECT, Tool, WebSearch
from trunkline.protocols.carry import carry
from trunkline.protocols.codec import RESPONSES
from trunkline.protocols.openai_responses.wire import (
    WrongField,
    drop_nulls,
    is_null,
    objects,
    raw,
    take,
    take_flag,
    take_object,
    take_objects,
    take_text,
    text_at,
)  # fmt: skip
from trunkline.protocols.rawjson import Fields, join

TYPED = frozenset({"computer", "computer_use_preview", "local_shell", "shell", "apply_patch"})
"""Run by the client; what their calls look like is OpenAI's matter."""
SPACE = "namespace"
"""In the carry of a namespace's first tool: what else the namespace says, its description above all."""
IN_INPUT = "in_input"
"""In the carry of a tool that stood in the input, in an item `additional_tools`, as Codex sends them: what else the item says."""


def read_tools(fields: Fields) -> tuple[tuple[Tool, ...], WebSearch | None]:
    """All tools of a request. A web search is no tool."""
    try:
        wire = [(tool, None) for tool in added_tools(fields)] + [
            (tool, f"tools[{at}]") for at, tool in enumerate(take_objects(dict(fields), "tools"))
        ]
    except WrongField as error:
        raise InvalidParams(f"`{error.field}` {error.mend}", param=error.field) from error
    found: list[Tool] = []
    search: WebSearch | None = None
    for tool, path in wire:
        try:
            kind = text_at(tool, "type", "")
            if kind.startswith("web_search") and search is None:
                search = _web_search(tool)
            else:
                found += _tools(tool)
        except WrongField as error:
            wrong = error.within(path or "input.tools")
            raise InvalidParams(f"`{wrong.field}` {wrong.mend}", param=wrong.field) from error
    return tuple(found), search


def has_added_tools(fields: Fields) -> bool:
    """Whether there may be some."""
    value = fields.get("input")
    if value is None:
        return False
    view = memoryview(value)
    return view[0] == ord("[") and view[:_NEAR].tobytes().find(b'"additional_tools"') >= 0


def added_tools(fields: Fields) -> list[Fields]:
    """The tools that stand in the input."""
    if not has_added_tools(fields):
        return []
    found: list[Fields] = []
    for item in objects(fields["input"], "input"):
        if text_at(item, "type", "") != "additional_tools":
            continue
        tools = take_objects(item, "tools")
        for tool in tools:
            tool[IN_INPUT] = msgspec.Raw(join(drop_nulls({key: item[key] for key in item if key != "type"})))
        found += tools
    return found


_NEAR = 4096
"""Bytes. Codex sends such an item as its first, before anything that is long."""


def _tools(wire: Fields) -> list[Tool]:
    kind = take_text(wire, "type", "function")
    if kind == "function":
        return [_function(wire)]
    if kind == "custom":
        return [
            Tool(
                kind="custom",
                name=take_text(wire, "name"),
                description=take_text(wire, "description", ""),
                carry=_carry(wire),
            )
        ]
    if kind == "namespace":
        return _namespace(wire)
    return [_vendors(kind, wire)]


def _vendors(kind: str, wire: Fields) -> Tool:
    whole = Carry(RESPONSES, msgspec.Raw(join({"type": raw(kind), **wire})))
    return Tool(kind="typed" if kind in TYPED else "hosted", name=kind, carry=whole)


def _function(wire: Fields) -> Tool:
    parameters = wire.pop("parameters", None)
    if parameters is None or is_null(parameters):
        parameters = ANY_OBJECT
    elif memoryview(parameters)[0] != ord("{"):
        raise WrongField("parameters", "must be an object, a JSON schema.")
    return Tool(
        name=take_text(wire, "name"),
        description=take_text(wire, "description", ""),
        parameters=parameters,
        strict=take_flag(wire, "strict"),
        carry=_carry(wire),
    )


def _namespace(wire: Fields) -> list[Tool]:
    name, inner = take_text(wire, "name"), take_objects(wire, "tools")
    added = wire.pop(IN_INPUT, None)
    for at, tool in enumerate(inner):
        if added is not None:
            tool[IN_INPUT] = added
        if at == 0 and wire:
            tool[SPACE] = msgspec.Raw(join(drop_nulls(wire)))
    found = [tool for one in inner for tool in _tools(one)]
    return [msgspec.structs.replace(tool, namespace=name) for tool in found]


def _carry(wire: Fields) -> Carry | None:
    return carry(RESPONSES, drop_nulls(wire))


def _web_search(wire: Fields) -> WebSearch:
    filters = take_object(wire, "filters") or {}
    location = take_object(wire, "user_location")
    if location is not None:
        location = drop_nulls({key: value for key, value in location.items() if key != "type"})
    try:
        allowed, blocked = (take(filters, key, list[str], []) for key in ("allowed_domains", "blocked_domains"))
    except WrongField as error:
        raise error.within("filters") from error
    return WebSearch(
        context_size=take_text(wire, "search_context_size", ""),
        allowed_domains=tuple(allowed),
        blocked_domains=tuple(blocked),
        location=msgspec.Raw(join(location)) if location is not None else msgspec.Raw(b""),
        carry=_carry(wire),
    )

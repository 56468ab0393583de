"""Tools of a Messages request -> canonical ones. In: the raw list. Out: functions and vendor's tools, and the web search apart.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/tool-reference lists Anthropic's own.
"""

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.request import ANY_OBJECT, Tool, WebSearch
from trunkline.protocols.anthropic_messages import NAME
from trunkline.protocols.anthropic_messages.wire import (
    bool_of,
    fields_of,
    need,
    peek_text,
    take,
    take_cache,
    take_text,
    text_of,
)
from trunkline.protocols.carry import carry
from trunkline.protocols.rawjson import UNREADABLE, Fields, join

_texts = msgspec.json.Decoder(list[str]).decode
_count = msgspec.json.Decoder(int).decode
_RUN_BY_THE_CLIENT = ("bash_", "computer_", "text_editor_", "memory_", "browser_")


def read_tools(listed: list[msgspec.Raw]) -> tuple[tuple[Tool, ...], WebSearch | None]:
    """The tools. Raises `InvalidParams` naming the one that is wrong."""
    tools: list[Tool] = []
    search: WebSearch | None = None
    for at, raw in enumerate(listed):
        try:
            fields = fields_of(raw)
            kind = peek_text(fields, "type")
            if kind.startswith("web_search_") and search is None:
                search = _web_search(fields)
            else:
                tools.append(_function(fields) if kind in ("", "custom") else _vendors(kind, fields))
        except UNREADABLE as error:
            raise InvalidParams(f"`tools.{at}` is not a right tool: {error}.", param=f"tools.{at}") from error
    return tuple(tools), search


def _function(fields: Fields) -> Tool:
    name, cache, strict = text_of(need(fields, "name")), take_cache(fields), take(fields, "strict")
    return Tool(
        name=name,
        description=take_text(fields, "description"),
        parameters=take(fields, "input_schema") or ANY_OBJECT,
        strict=None if strict is None else bool_of(strict),
        cache=cache,
        carry=carry(NAME, fields),
    )


def _vendors(kind: str, fields: Fields) -> Tool:
    """A tool of Anthropic's own. Its mark for the cache is ours to put back, all else is in the carry."""
    cache = take_cache(fields)
    run_by = "typed" if kind.startswith(_RUN_BY_THE_CLIENT) else "hosted"
    return Tool(name=kind, kind=run_by, cache=cache, carry=carry(NAME, fields))  # type: ignore[arg-type]


def _web_search(fields: Fields) -> WebSearch:
    uses, allowed, blocked = take(fields, "max_uses"), take(fields, "allowed_domains"), take(fields, "blocked_domains")
    return WebSearch(
        max_uses=None if uses is None else _count(uses),
        allowed_domains=() if allowed is None else tuple(_texts(allowed)),
        blocked_domains=() if blocked is None else tuple(_texts(blocked)),
        location=_location(take(fields, "user_location")),
        cache=take_cache(fields),
        carry=carry(NAME, fields),
    )


def _location(raw: msgspec.Raw | None) -> msgspec.Raw:
    if raw is None:
        return msgspec.Raw(b"")
    fields = fields_of(raw)
    fields.pop("type", None)
    return msgspec.Raw(join(fields))

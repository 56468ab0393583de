"""Schemas of other protocols' callers -> what Anthropic holds an answer to. In: JSON Schema. Out: the same, every object closed, without bounds.

https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations: bounds of numbers, lengths and counts are refused,
and so is an object that does not say `additionalProperties: false`. A request in Anthropic's own words goes on as it is.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from trunkline.protocols.anthropic_messages.wire import encode, fields_of
from trunkline.protocols.rawjson import join

_BOUNDS = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"}
) | {
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
}
_NAMED = ("properties", "$defs", "definitions")
"""Words whose members are schemas by name: a property may well be called `minimum`."""


def with_type(schema: msgspec.Raw) -> msgspec.Raw:
    """Of a tool: Anthropic wants `type: object` said, which others take for granted."""
    fields = fields_of(schema)
    return schema if "type" in fields else msgspec.Raw(join({"type": msgspec.Raw(b'"object"'), **fields}))


def narrowed(schema: msgspec.Raw) -> tuple[msgspec.Raw, bool]:
    """The schema that can be held to, and whether a bound was left out."""
    before = msgspec.json.decode(schema)
    lost: list[str] = []
    after = _narrow(before, lost)
    return (schema if after == before else msgspec.Raw(encode(after))), bool(lost)


def _narrow(schema: Any, lost: list[str]) -> Any:
    if isinstance(schema, list):
        return [_narrow(one, lost) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    found: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _BOUNDS or (name == "minItems" and value not in (0, 1)):
            lost.append(name)
        elif name in _NAMED and isinstance(value, Mapping):
            found[name] = {key: _narrow(one, lost) for key, one in value.items()}
        else:
            found[name] = value if name in ("enum", "const", "default", "examples") else _narrow(value, lost)
    if found.get("type") == "object" or "properties" in found:
        found["additionalProperties"] = False
    return found

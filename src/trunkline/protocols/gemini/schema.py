"""Schemas: Google's `Schema` (an OpenAPI subset, types in upper case) read as JSON Schema, and JSON Schema lowered to it where an offer takes no more.

In: raw schemas. Out: raw schemas, and what the lowering lost. https://ai.google.dev/api/caching#Schema
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from trunkline.protocols.gemini.wire import camel
from trunkline.protocols.rawjson import UNREADABLE

Schema = dict[str, Any]

_MAX_DEPTH = 32
_MAX_SCHEMAS = 5000
"""References may multiply what they stand for; no real schema comes near."""


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


_COMBINED = ("anyOf", "oneOf")
_KEPT = _words(
    "title description nullable default items minItems maxItems enum properties propertyOrdering required minProperties maxProperties"
    " minimum maximum minLength maxLength pattern example anyOf type format"
)
_SILENT = _words(
    "$schema $id $comment $defs definitions $ref const oneOf allOf exclusiveMinimum exclusiveMaximum examples prefixItems"
)
"""Words that are carried in another way, or say nothing about the value."""
_FORMATS = {"NUMBER": ("float", "double"), "INTEGER": ("int32", "int64"), "STRING": ("enum", "date-time")}


def lifted(raw: msgspec.Raw) -> msgspec.Raw:
    """A Google `Schema` as JSON Schema. What is no schema stays as it is: the provider will say so."""
    try:
        return msgspec.Raw(msgspec.json.encode(_lifted(msgspec.json.decode(raw), 0)))
    except UNREADABLE:
        return raw


def lowered(raw: msgspec.Raw) -> tuple[msgspec.Raw | None, tuple[str, ...]]:
    """JSON Schema as a Google `Schema`, and the words that were lost. None for an object without properties, which Google wants left out."""
    try:
        schema = msgspec.json.decode(raw)
    except UNREADABLE:
        return raw, ()
    if not isinstance(schema, dict):
        return None, ()
    lowering = _Lowering(schema)
    found = lowering.schema(schema, 0, ())
    if found.get("type") == "OBJECT" and not found.get("properties"):
        return None, tuple(sorted(lowering.lost))
    return msgspec.Raw(msgspec.json.encode(found)), tuple(sorted(lowering.lost))


def _lifted(schema: Any, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return schema
    found: Schema = {}
    for name, value in schema.items():
        key = camel(name) if "_" in name else name
        if key == "type" and isinstance(value, str):
            found[key] = value.lower()
        elif key == "properties" and isinstance(value, dict):
            found[key] = {each: _lifted(inner, depth + 1) for each, inner in value.items()}
        elif key in ("items", "additionalProperties", "not"):
            found[key] = _lifted(value, depth + 1)
        elif key in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
            found[key] = [_lifted(inner, depth + 1) for inner in value]
        elif key in ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"):
            found[key] = int(value) if isinstance(value, str) and value.isdigit() else value
        else:
            found[key] = value
    return _without_nullable(found)


def _without_nullable(schema: Schema) -> Schema:
    nullable = schema.pop("nullable", False)
    if nullable is not True:
        return schema
    kind = schema.get("type")
    if isinstance(kind, str) and kind != "null":
        schema["type"] = [kind, "null"]
    elif isinstance(schema.get("anyOf"), list):
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    if isinstance(schema.get("enum"), list):
        schema["enum"] = [*schema["enum"], None]
    return schema


class _Lowering:
    """Lives while one schema is lowered: it knows the root, which references point into, and gathers what is lost."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self.lost: set[str] = set()
        self._count = 0

    def schema(self, schema: Any, depth: int, seen: tuple[str, ...]) -> Schema:
        """One schema. A schema that holds itself ends in a plain object at its second occurrence."""
        self._count += 1
        if not isinstance(schema, dict) or self._count > _MAX_SCHEMAS or depth > _MAX_DEPTH:
            return {"type": "OBJECT"} if isinstance(schema, dict) else {"type": "STRING"}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if reference in seen:
                self.lost.add("$ref")
                return {"type": "OBJECT", **_described(schema)}
            seen = (*seen, reference)
            schema = {**self._referenced(reference), **{k: v for k, v in schema.items() if k != "$ref"}}
            if "$ref" in schema:
                return self.schema(schema, depth + 1, seen)
        if isinstance(schema.get("allOf"), list):
            schema = self._all(schema, depth, seen)
        found = self._words(schema, depth, seen)
        self._types(schema, found, depth, seen)
        self._values(schema, found)
        self.lost |= {word for word in schema if word not in _KEPT and word not in _SILENT}
        return found

    def _words(self, schema: Schema, depth: int, seen: tuple[str, ...]) -> Schema:
        found = {word: schema[word] for word in schema if word in _KEPT and word not in ("type", "format", "enum")}
        for limit, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if isinstance(schema.get(limit), int | float) and not isinstance(schema[limit], bool):
                found[bound] = schema[limit]
        properties = found.get("properties")
        if isinstance(properties, dict):
            inner = {
                name: self.schema(value, depth + 1, seen) for name, value in properties.items() if value is not False
            }
            found["properties"] = inner
            if isinstance(found.get("required"), list):
                found["required"] = [name for name in found["required"] if name in inner]
            if not inner:
                found.pop("properties")
            if not found.get("required"):
                found.pop("required", None)
        else:
            found.pop("required", None)
        return found

    def _types(self, schema: Schema, found: Schema, depth: int, seen: tuple[str, ...]) -> None:
        choices = [
            self.schema(each, depth + 1, seen) for word in _COMBINED for each in schema.get(word) or () if each != {}
        ]
        kinds = [str(kind).upper() for kind in _listed(schema.get("type"))]
        if "NULL" in kinds and len(kinds) > 1:
            found["nullable"] = True
        kinds = [kind for kind in kinds if kind != "NULL"] or kinds
        if len(kinds) > 1:
            choices = [{"type": kind} for kind in kinds]
        some = [choice for choice in choices if choice.get("type") != "NULL"]
        if len(some) < len(choices):
            found["nullable"] = True
        found.pop("anyOf", None)
        if len(some) == 1:
            found |= {word: value for word, value in some[0].items() if word not in found}
        elif some:
            found["anyOf"] = some
        if len(kinds) == 1:
            found["type"] = kinds[0]
        elif not some and "type" not in found:
            found["type"] = _guessed(schema)
        if found.get("type") == "ARRAY":
            found["items"] = self._items(schema, depth, seen)
        else:
            found.pop("items", None)

    def _items(self, schema: Schema, depth: int, seen: tuple[str, ...]) -> Schema:
        """Google wants to know what a list is of. Of a tuple it may be any of its places."""
        items = schema.get("items")
        if isinstance(items, dict) and items:
            return self.schema(items, depth + 1, seen)
        places = [self.schema(each, depth + 1, seen) for each in _listed(schema.get("prefixItems"))]
        if len(places) > 1:
            return {"anyOf": places}
        return places[0] if places else {"type": "STRING"}

    def _values(self, schema: Schema, found: Schema) -> None:
        """Enumerations are of strings alone there; other values go into the description, where the model reads them."""
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(values, list) and values:
            if None in values:
                found["nullable"] = True
                values = [value for value in values if value is not None]
            if all(isinstance(value, str) for value in values):
                found |= {"type": "STRING", "format": "enum", "enum": values}
                return
            words = ", ".join(msgspec.json.encode(value).decode() for value in values)
            found["description"] = " ".join((*_listed(found.get("description")), f"One of: {words}."))
        wanted = schema.get("format")
        if wanted in _FORMATS.get(str(found.get("type")), ()):
            found["format"] = wanted
        elif wanted is not None:
            self.lost.add("format")

    def _referenced(self, reference: str) -> Schema:
        found: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            if not step:
                continue
            key = step.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def _all(self, schema: Schema, depth: int, seen: tuple[str, ...]) -> Schema:
        """All of several schemas as one: properties and what is required add up, of any other word the first counts."""
        joined = {word: value for word, value in schema.items() if word != "allOf"}
        for each in _flattened(schema["allOf"]):
            part = each
            if isinstance(each.get("$ref"), str) and each["$ref"] not in seen:
                part = {**self._referenced(each["$ref"]), **{k: v for k, v in each.items() if k != "$ref"}}
            if isinstance(part.get("allOf"), list) and depth < _MAX_DEPTH:
                part = self._all(part, depth + 1, seen)
            for word, value in part.items():
                if word == "properties" and isinstance(value, dict):
                    joined["properties"] = {**value, **(joined.get("properties") or {})}
                elif word == "required" and isinstance(value, list):
                    joined["required"] = list(dict.fromkeys([*(joined.get("required") or ()), *value]))
                else:
                    joined.setdefault(word, value)
        return joined


def _described(schema: Schema) -> Schema:
    return {"description": schema["description"]} if isinstance(schema.get("description"), str) else {}


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _flattened(schemas: list[Any]) -> Iterator[Schema]:
    for each in schemas:
        if isinstance(each, dict):
            yield each


def _guessed(schema: Schema) -> str:
    if "properties" in schema or "additionalProperties" in schema:
        return "OBJECT"
    if "items" in schema or "prefixItems" in schema:
        return "ARRAY"
    return "STRING"

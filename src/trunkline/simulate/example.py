"""An instance of a JSON schema: the same one for the same schema and hash.

In: a schema as vendors take it for structured output and tools, bytes that the choices hang on. Out: JSON values. Knows
what https://platform.openai.com/docs/guides/structured-outputs lists as supported, and the usual rest; `pattern` it
does not solve.
"""

from collections.abc import Iterator
from math import ceil, floor
from typing import Any

DEEP = 6
"""Depth from which a recursive schema is brought to an end."""
FORMATS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "PT1S",
    "email": "simulated@example.com",
    "hostname": "simulated.example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/simulated",
}
FILLER = "[simulated] "


def example(schema: dict[str, Any], choices: bytes) -> Any:
    """An instance of `schema`. `choices` needs at least one byte; it is read round and round."""
    return instance(schema, schema, round_and_round(choices), 0)


def round_and_round(choices: bytes) -> Iterator[int]:
    while True:
        yield from choices


def instance(schema: Any, root: dict[str, Any], choices: Iterator[int], depth: int) -> Any:
    if not isinstance(schema, dict):
        return FILLER.strip()
    if "$ref" in schema:
        return instance(resolve(schema["$ref"], root), root, choices, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][next(choices) % len(schema["enum"])]
    if schema.get("allOf"):
        return instance(joined(schema, root), root, choices, depth + 1)
    for word in ("anyOf", "oneOf"):
        if schema.get(word):
            return instance(pick(schema[word], choices, depth), root, choices, depth + 1)
    return MAKERS.get(type_of(schema, depth), text)(schema, root, choices, depth)


def resolve(reference: str, root: dict[str, Any]) -> Any:
    """The schema at a local reference, e.g. `#/$defs/step`."""
    found: Any = root
    for step in reference.lstrip("#").split("/")[1:]:
        found = found.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, dict) else {}
    return found


def joined(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """`allOf` as one schema; enough for the objects that it is used for."""
    whole: dict[str, Any] = {name: value for name, value in schema.items() if name != "allOf"}
    for part in schema["allOf"]:
        seen = resolve(part["$ref"], root) if "$ref" in part else part
        properties = {**whole.get("properties", {}), **seen.get("properties", {})}
        required = [*whole.get("required", []), *seen.get("required", [])]
        whole |= seen
        if properties:
            whole |= {"properties": properties, "required": required}
    return whole


def pick(options: list[Any], choices: Iterator[int], depth: int) -> Any:
    """One of the options; where it is deep already, one that does not lead on."""
    ends = [option for option in options if isinstance(option, dict) and is_leaf(option)]
    if depth >= DEEP and ends:
        return ends[0]
    return options[next(choices) % len(options)]


def is_leaf(schema: dict[str, Any]) -> bool:
    return "$ref" not in schema and schema.get("type") not in ("object", "array")


def type_of(schema: dict[str, Any], depth: int) -> str:
    named = schema.get("type")
    if isinstance(named, list):
        if depth >= DEEP and "null" in named:
            return "null"
        named = next((name for name in named if name != "null"), "null")
    if named is None:
        return "object" if "properties" in schema else "string"
    return str(named)


def thing(schema: dict[str, Any], root: dict[str, Any], choices: Iterator[int], depth: int) -> dict[str, Any]:
    properties = schema.get("properties") or {}
    required = schema.get("required")
    wanted = properties if required is None or depth < DEEP else [name for name in properties if name in required]
    return {name: instance(properties[name], root, choices, depth + 1) for name in wanted}


def items(schema: dict[str, Any], root: dict[str, Any], choices: Iterator[int], depth: int) -> list[Any]:
    least = schema.get("minItems", 0)
    count = least if depth >= DEEP else max(least, min(1 + next(choices) % 2, schema.get("maxItems", 2)))
    return [instance(schema.get("items", {}), root, choices, depth + 1) for _ in range(count)]


def text(schema: dict[str, Any], _root: dict[str, Any], choices: Iterator[int], _depth: int) -> str:
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    made = f"{FILLER}{next(choices)}"
    if len(made) < schema.get("minLength", 0):
        made = made.ljust(schema["minLength"], ".")
    return made[: schema.get("maxLength", len(made))]


def bounds(schema: dict[str, Any], step: float) -> tuple[float, float]:
    """Least and greatest value, exclusive bounds moved in by `step`."""
    least = schema.get("minimum", schema["exclusiveMinimum"] + step if "exclusiveMinimum" in schema else None)
    most = schema.get("maximum", schema["exclusiveMaximum"] - step if "exclusiveMaximum" in schema else None)
    if least is None:
        least = 0 if most is None or most >= 0 else most
    return least, least + 255 * step if most is None else most


def integer(schema: dict[str, Any], _root: dict[str, Any], choices: Iterator[int], _depth: int) -> int:
    least, most = (ceil(bounds(schema, 1)[0]), floor(bounds(schema, 1)[1]))
    step = int(schema.get("multipleOf", 1)) or 1
    first = -(-least // step) * step
    return first + step * (next(choices) % ((most - first) // step + 1)) if most >= first else first


def number(schema: dict[str, Any], _root: dict[str, Any], choices: Iterator[int], _depth: int) -> float:
    if "multipleOf" in schema:
        step = schema["multipleOf"]
        return float(ceil(bounds(schema, step)[0] / step) * step)
    least, most = bounds(schema, 0.5)
    return float(least if most - least > 1e9 else least + (most - least) * (next(choices) / 255))


def boolean(_schema: dict[str, Any], _root: dict[str, Any], choices: Iterator[int], _depth: int) -> bool:
    return next(choices) % 2 == 0


def nothing(_schema: dict[str, Any], _root: dict[str, Any], _choices: Iterator[int], _depth: int) -> None:
    return None


MAKERS = {
    "object": thing,
    "array": items,
    "string": text,
    "integer": integer,
    "number": number,
    "boolean": boolean,
    "null": nothing,
}

"""Writes docs/management-api.md from the description that the console serves. `--check` says whether the page is that of the code, and writes nothing.

In: the routes. Out: the page. Run it after a change of a route or of a body: `python scripts/api_reference.py`.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trunkline.web.app import make_app

PAGE = Path(__file__).parent.parent / "docs" / "management-api.md"
METHODS = ("get", "post", "patch", "put", "delete")


def document() -> dict[str, Any]:
    """The OpenAPI document, without a console behind it."""
    nothing: Any = None
    found: dict[str, Any] = make_app(nothing).openapi()
    return found


def reference(described: Mapping[str, Any]) -> str:
    """The page."""
    return "\n".join(_page(described)) + "\n"


def _page(described: Mapping[str, Any]) -> Iterator[str]:
    yield "# Management API"
    yield ""
    yield "Made from the code by `scripts/api_reference.py`; a running gateway serves the same as OpenAPI 3.1 at `/api/v1/management/openapi.json`."
    yield ""
    yield described["info"]["description"]
    yield ""
    yield "Lists come newest first in pages: `limit` is the length of a page, `after` (or `before`) the `next` of the page before. A call that makes"
    yield "something may carry an `Idempotency-Key`: the same call with the same key is then done once within a day, and answered again. Times are"
    yield "ISO 8601 in UTC, money is exact."
    yield ""
    yield "## Errors"
    yield ""
    yield "Every error has this shape. `message` says what was wrong and what mends it, `param` names the field."
    yield ""
    yield from _code(described["components"]["schemas"]["Error"]["examples"][0])
    sections: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
    for path, operations in described["paths"].items():
        for method in METHODS:
            if method in operations:
                section = operations[method]["tags"][0]
                sections.setdefault(section, []).append((method.upper(), path, operations[method]))
    for section in sorted(sections):
        yield f"## {section}"
        yield ""
        for method, path, operation in sections[section]:
            yield from _route(described, method, path, operation)


def _route(described: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {method} {path}"
    yield ""
    yield f"{operation['summary']}. {_line(operation.get('description', ''))}".strip()
    yield ""
    parameters = [one for one in operation.get("parameters", ()) if one["in"] != "path"]
    if parameters:
        yield "| Parameter | Type | Meaning |"
        yield "|---|---|---|"
        for one in parameters:
            place = " (header)" if one["in"] == "header" else ""
            needed = ", required" if one.get("required") else _default(one["schema"])
            yield f"| `{one['name']}`{place} | {_type(described, one['schema'])}{needed} | {_line(one.get('description', ''))} |"
        yield ""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body:
        yield from _fields(described, "Body", body)
        example = _resolved(described, body).get("examples")
        if example:
            yield from _code(example[0])
    for status in sorted(operation["responses"]):
        if status < "300":
            schema = operation["responses"][status].get("content", {}).get("application/json", {}).get("schema", {})
            yield from _fields(described, f"Answer ({status})", schema)
    yield f"Errors: {', '.join(status for status in sorted(operation['responses']) if status >= '400')}."
    yield ""


def _fields(described: Mapping[str, Any], title: str, schema: Mapping[str, Any]) -> Iterator[str]:
    found = _resolved(described, schema)
    properties = found.get("properties")
    if not properties:
        return
    needed = set(found.get("required", ()))
    yield f"| {title} | Type | Meaning |"
    yield "|---|---|---|"
    for name, one in properties.items():
        mark = (", required" if name in needed else _default(one)) if title == "Body" else ""
        yield f"| `{name}` | {_type(described, one)}{mark} | {_line(one.get('description', ''))} |"
    yield ""


def _type(described: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return _named(described, schema)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(described, one) for one in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{one or chr(34) * 2}`" for one in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(described, schema.get('items', {}))}"
    return {"string": "text", "integer": "whole number", "boolean": "flag", "object": "table"}.get(kind, kind)


def _named(described: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """A struct by its fields: readers do not know our names."""
    found = _resolved(described, schema)
    names = ", ".join(f"`{name}`" for name in found.get("properties", {}))
    return (
        f"table of {names}"
        if names
        else _type(described, {key: value for key, value in found.items() if key != "$ref"})
    )


def _resolved(described: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: Mapping[str, Any] = described["components"]["schemas"][name] if name else schema
    return found


def _default(schema: Mapping[str, Any]) -> str:
    value = schema.get("default")
    return "" if value in (None, "", [], False) or isinstance(value, dict) else f", default `{json.dumps(value)}`"


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _code(value: Any) -> Iterator[str]:
    yield "```json"
    yield json.dumps(value, indent=2, ensure_ascii=False)
    yield "```"
    yield ""


def main() -> int:
    """Write the page, or check it."""
    text = reference(document())
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text)
        return 0
    if PAGE.exists() and PAGE.read_text() == text:
        return 0
    sys.stderr.write(f"{PAGE.name} is not that of the code: run python scripts/api_reference.py\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""The description of the management API. In: the console's app. Out: an OpenAPI 3.1 document: who may call, what goes wrong and how that looks.

FastAPI writes the document from the routes; here is added what holds for all of them (https://spec.openapis.org/oas/v3.1.0).
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

DESCRIPTION = (
    "Manages a Trunkline gateway: keys, budgets, members, projects, providers, credits, records and figures. Send the master key or a management key as "
    "`Authorization: Bearer KEY`; pages of a session may call with its cookie. What a caller may not see is not there: 404."
)
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The master key, or a management key."},
    "x-api-key": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "The same key, in another header.",
    },
}
ERRORS = {
    "400": "A field is wrong; `param` names it.",
    "403": "No key came, it does not hold, or its role may not do this.",
    "404": "There is no such thing, or the caller may not see it.",
    "409": "It does not go with what is there.",
    "422": "The `Idempotency-Key` came with another request before.",
    "503": "The store cannot answer.",
}
ERROR: dict[str, Any] = {
    "type": "object",
    "description": "What went wrong; the same shape everywhere.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "type", "message", "param", "request_id"],
            "properties": {
                "code": {"type": "string", "description": "The status, as text."},
                "type": {"type": "string", "description": "A word for programs."},
                "message": {"type": "string", "description": "For people: what was wrong, and what mends it."},
                "param": {"type": ["string", "null"], "description": "The field that is at fault."},
                "request_id": {"type": ["string", "null"]},
            },
        }
    },
    "examples": [
        {
            "error": {
                "code": "400",
                "type": "invalid_params",
                "message": "rules.models: there is no model 'openai/o4-mni'; did you mean openai/o4-mini?",
                "param": "rules.models",
                "request_id": "req_0193",
            }
        }
    ],
}
_REF = {"$ref": "#/components/schemas/Error"}


def describe(app: FastAPI) -> dict[str, Any]:
    """The document; made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, openapi_version="3.1.0", description=DESCRIPTION, routes=app.routes
        )
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["Error"] = ERROR
        made["components"]["securitySchemes"] = SECURITY
        made["security"] = [{name: []} for name in SECURITY]
        for path, operations in made["paths"].items():
            for operation in operations.values():
                _complete(path, operation)
                _exemplify(operation, schemas)
        app.openapi_schema = made
    return app.openapi_schema


def _complete(path: str, operation: dict[str, Any]) -> None:
    """Its errors, and where it stands in a reference."""
    responses = operation["responses"]
    responses.pop("422", None)
    for status in _statuses(path, operation):
        responses[status] = {"description": ERRORS[status], "content": {"application/json": {"schema": _REF}}}
    operation.setdefault("tags", [_section(path)])


def _exemplify(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """A body that shows no example gets one of its fields' own, or of their kinds."""
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    body = schemas.get(schema.get("$ref", "").rpartition("/")[2])
    if body is not None and "examples" not in body:
        body["examples"] = [{name: _example(one, schemas) for name, one in body.get("properties", {}).items()}]


def _example(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    if schema.get("examples"):
        return schema["examples"][0]
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], schemas)
    if "enum" in schema:
        return schema["enum"][0]
    if "default" in schema:
        return schema["default"]
    by_kind: dict[str, Any] = {"string": "text", "integer": schema.get("minimum", 1), "boolean": True, "array": []}
    return by_kind.get(schema.get("type", ""), {})


def _statuses(path: str, operation: dict[str, Any]) -> list[str]:
    names = {parameter["name"] for parameter in operation.get("parameters", ())}
    changes = "requestBody" in operation
    found = ["403", "503"]
    # A wrong parameter or body; a body that is no JSON.
    found += ["400"] if names or changes else []
    found += ["404"] if "{" in path or changes or names else []
    found += ["409"] if changes or path.rpartition("/")[2] in ("disable", "enable", "password-link") else []
    found += ["422"] if "Idempotency-Key" in names else []
    return sorted(found)


def _section(path: str) -> str:
    """After the first word below the prefix."""
    rest = path.removeprefix("/api/v1/").removeprefix("management/")
    return rest.partition("/")[0].replace("_", " ").replace("-", " ").capitalize()

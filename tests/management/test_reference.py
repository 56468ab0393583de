"""The description of the management API: valid OpenAPI 3.1, complete for every route, and the same as the page in docs."""

import sys
from pathlib import Path
from typing import Any

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from api_reference import PAGE, document, reference  # noqa: E402 - a script, not a package

DOCUMENT = document()
OPERATIONS = [
    pytest.param(path, method, operation, id=f"{method} {path}")
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


def test_it_is_openapi_3_1(client):
    served = client.get("/api/v1/management/openapi.json").json()
    assert served["openapi"] == "3.1.0"
    assert [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(served)] == []
    assert served == DOCUMENT


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_route_is_described_with_its_errors_and_an_example(path: str, method: str, operation: dict[str, Any]):
    assert operation["summary"]
    assert operation["tags"]
    assert DOCUMENT["security"]
    responses = operation["responses"]
    assert any(status.startswith("2") for status in responses)
    for status in ("403", "503"):
        assert responses[status]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}
    assert "HTTPValidationError" not in str(operation)
    if "{" in path:
        assert "404" in responses
    body = operation.get("requestBody")
    if body:
        schema = body["content"]["application/json"]["schema"]
        found = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert "examples" in str(found), f"{schema['$ref']} shows no example"
        assert {"400", "404"} <= set(responses)


def test_every_reference_leads_somewhere():
    def refs(value: Any):
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for one in value.values():
                yield from refs(one)
        elif isinstance(value, list):
            for one in value:
                yield from refs(one)

    schemas = DOCUMENT["components"]["schemas"]
    assert {ref.rpartition("/")[2] for ref in refs(DOCUMENT)} <= set(schemas)


def test_the_page_is_that_of_the_code():
    assert PAGE.read_text() == reference(DOCUMENT), "run: python scripts/api_reference.py"

"""Whatever is sent to the management API, it answers as its own description says, and never with a fault of ours. Through the gateway's own port."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fakes.gateway import MASTER_KEY, GatewayProcess, base_toml, eventually, start_gateway

DOCUMENT = "/api/v1/management/openapi.json"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 6
"""For each route and each way of making them: valid, and not."""
ODD = [
    "' OR 1=1 --", "'; DROP TABLE api_keys; --", "<script>alert(1)</script>", "\u0000", "%00", "../../etc/passwd",
    "\ud7ff", "𝔘" * 50, "{{7*7}}", "\r\nx-evil: 1", "-1", "1e999", "9" * 400,
]  # fmt: skip
QUICK = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("described")
    made = start_gateway(folder, base_toml(folder))
    eventually(lambda: made.get(DOCUMENT).status == 200, "the console's readiness")
    yield made
    assert made.stop() == 0, made.log
    assert '"level": "error"' not in made.log, made.log


def address(gateway: GatewayProcess) -> str:
    return f"http://127.0.0.1:{gateway.port}"


def operations(gateway: GatewayProcess) -> Iterator[Any]:
    schema = schemathesis.openapi.from_dict(gateway.get(DOCUMENT).json)
    for found in schema.get_all_operations():
        yield found.ok()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_route_answers_as_it_is_described(described: GatewayProcess, mode: GenerationMode) -> None:
    count = 0
    for operation in operations(described):
        strategy = operation.as_strategy(generation_mode=mode)

        @QUICK
        @given(case=strategy)
        def ask(case: Any) -> None:
            answer = case.call(base_url=address(described), headers={"authorization": f"Bearer {MASTER_KEY}"})
            case.validate_response(answer, checks=CHECKS)

        ask()
        count += 1
    assert count > 20


def test_odd_texts_in_every_place_are_answered_and_not_shown_as_they_are(described: GatewayProcess) -> None:
    paths = described.get(DOCUMENT).json["paths"]

    @settings(max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(sorted(paths)), st.sampled_from(ODD) | st.text(max_size=20), st.data())
    def ask(path: str, text: str, data: st.DataObject) -> None:
        method = data.draw(st.sampled_from(sorted(paths[path])))
        filled = re.sub(r"\{[^}]+\}", quote(text, safe="", errors="replace") or "x", path)
        named = [one["name"] for one in paths[path][method].get("parameters", ()) if one["in"] == "query"]
        query = "&".join(f"{name}={quote(text, safe='', errors='replace')}" for name in named)
        body = {
            "name": text,
            "provider": text,
            "email": text,
            "secret": text,
            "scope_id": text,
            "rules": {"models": [text]},
        }
        answer = described.request(method.upper(), f"{filled}?{query}", body if method in ("post", "patch") else None)
        assert answer.status < 500, (method, filled, answer.body)
        if answer.headers["content-type"].startswith("text/html"):
            assert b"<script>alert" not in answer.body

    ask()
    assert described.get("/api/v1/management/keys").status == 200


def test_without_a_key_every_route_is_closed(described: GatewayProcess) -> None:
    for path, methods in described.get(DOCUMENT).json["paths"].items():
        for method in methods:
            answer = described.request(method.upper(), path, {} if method in ("post", "patch") else None, key="")
            assert answer.status == 403, (method, path, answer.status)
            assert answer.error["type"] == "access_denied"

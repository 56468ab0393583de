"""The official SDKs, the AI SDK, LangChain and Pydantic AI over upstreams of all four protocols; what they do is in the programs of `sdk/`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients import programs
from tests.clients.conftest import PROTOCOLS
from tests.clients.runs import Desk
from tests.fakes.gateway import MASTER_KEY

pytestmark = pytest.mark.clients
FOLDER = Path(__file__).parent / "sdk"
CHECKS = 30
"""More models than a program has checks: each takes one."""
Check = Callable[[list[str]], None]


@pytest.fixture(params=PROTOCOLS)
def upstream(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def check(desk: Desk, upstream: str, next_model: Callable[[str], str]) -> Check:
    """Runs a program of `sdk/`; every check that it reports has to be a good one."""

    def check(words: list[str]) -> None:
        models = " ".join(next_model(upstream) for _ in range(CHECKS))
        ran = desk.run(words, {"GATEWAY_URL": desk.root, "GATEWAY_KEY": MASTER_KEY, "MODELS": models})
        ran.shows('"check":')
        outcomes: list[dict[str, Any]] = [json.loads(line) for line in ran.text.splitlines() if line[:1] == "{"]
        failed = [outcome for outcome in outcomes if "failed" in outcome]
        told = "\n".join(f"{one['check']}: {one['failed']} ({one['at']})" for one in failed)
        assert not failed, f"over {upstream}, {len(failed)} of {len(outcomes)} checks failed\n{told}"

    return check


@pytest.mark.parametrize("name", ["openai", "anthropic", "google"])
def test_python(check: Check, name: str) -> None:
    check([programs.sdk_python(), str(FOLDER / f"{name}_python.py")])


@pytest.mark.parametrize("name", ["langchain", "pydantic_ai"])
def test_framework(check: Check, name: str) -> None:
    check([programs.frameworks_python(), str(FOLDER / f"{name}_python.py")])


@pytest.mark.parametrize("name", ["openai", "anthropic", "google", "ai_sdk"])
def test_javascript(check: Check, desk: Desk, name: str) -> None:
    # Packages are looked for in the folders above a program, so it has to lie beside them.
    (desk.project / "node_modules").symlink_to(programs.node_modules("sdk"))
    for file in ("checks", name):
        shutil.copy(FOLDER / f"{file}.mjs", desk.project)
    check(["node", str(desk.project / f"{name}.mjs")])

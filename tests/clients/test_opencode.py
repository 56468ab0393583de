"""opencode, a coding agent: its loop of tool calls over Chat Completions. Fetches some 100 MB, so only `make test-clients` runs it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.clients import programs
from tests.clients.conftest import MODEL
from tests.fakes.gateway import MASTER_KEY, GatewayProcess

pytestmark = pytest.mark.clients


@pytest.fixture
def project(gateway: GatewayProcess, tmp_path: Path) -> Path:
    options = {"baseURL": gateway.base_url, "apiKey": MASTER_KEY}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "gateway",
        "options": options,
        "models": {MODEL: {"name": "m"}},
    }
    settings = {
        "autoupdate": False,
        "share": "disabled",
        "permission": "allow",
        "small_model": f"gateway/{MODEL}",
        "provider": {"gateway": provider},
    }
    (tmp_path / "opencode.json").write_text(json.dumps(settings))
    return tmp_path


def ask(project: Path, prompt: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(project / "home"), "TERM": "dumb", "LANG": "C.UTF-8"}
    quiet = {
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    }
    # Word by word: an argument with a blank in it would be put in quotes.
    command = [*programs.opencode(), "run", "-m", f"gateway/{MODEL}", *prompt.split(" ")]
    done = subprocess.run(
        command,
        cwd=project,
        env=env | quiet,
        capture_output=True,
        text=True,
        timeout=180,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.stdout + done.stderr


def test_it_answers(project: Path) -> None:
    assert "walnut" in ask(project, "<<say walnut>>")


def test_its_agent_writes_a_file_through_a_tool_call(project: Path) -> None:
    arguments = json.dumps({"command": "echo written > out.txt", "description": "write"})
    out = ask(project, f"<<call bash {arguments}>>")
    assert (project / "out.txt").exists(), out
    assert (project / "out.txt").read_text() == "written\n"

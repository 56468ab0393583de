"""The samples of a model's page for programs that have to be fetched, as they stand there: Node, Claude Code, Codex."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients import programs
from tests.clients.runs import Desk, backwards
from tests.fakes.gateway import MASTER_KEY, GatewayProcess
from trunkline.web.samples import KEY_NAME, samples

pytestmark = pytest.mark.clients
MODEL = "openai/o4-mini"
KEY = {KEY_NAME: MASTER_KEY}


@pytest.fixture
def model(next_model: Callable[[str], str]) -> str:
    return next_model("chat")


def sample(id_: str, root: str, slug: str) -> str:
    return next(one.text for one in samples(root, slug) if one.id == id_)


@pytest.fixture
def simulated_desk(gateway: GatewayProcess, tmp_path: Path) -> Desk:
    """Before the gateway over simulated providers."""
    return Desk(tmp_path, gateway)


def test_typescript(simulated_desk: Desk) -> None:
    desk = simulated_desk
    (desk.project / "sample.mjs").write_text(sample("typescript", desk.root, MODEL))
    desk.run(["node", desk.path("sample.mjs")], KEY).shows("[simulated] ")


def test_openai_typescript(simulated_desk: Desk) -> None:
    desk = simulated_desk
    (desk.project / "node_modules").symlink_to(programs.node_modules("sdk"))
    (desk.project / "sample.mjs").write_text(sample("openai-typescript", desk.root, MODEL))
    desk.run(["node", desk.path("sample.mjs")], KEY).shows("[simulated] ")


def test_claude_code(desk: Desk, model: str) -> None:
    prompt, answer = backwards()
    text = sample("claude-code", desk.root, model)
    assert f"claude --model {model}" in text
    # Without a terminal it takes its question as an argument.
    asked = text.replace("claude --model", f'"$CLAUDE" -p "{prompt}" --model')
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
    desk.run(["sh", "-c", asked], {**KEY, **quiet, "CLAUDE": programs.command("claude-code")}).shows(answer)


def test_codex(desk: Desk, model: str) -> None:
    prompt, answer = backwards()
    folder = desk.home / ".codex"
    folder.mkdir()
    quiet = "check_for_update_on_startup = false\n[analytics]\nenabled = false\n"
    before, table, rest = sample("codex", desk.root, model).partition("[model_providers")
    (folder / "config.toml").write_text(before + quiet + table + rest)
    options = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json")
    desk.run([programs.command("codex"), "exec", *options, prompt], KEY).shows(answer)

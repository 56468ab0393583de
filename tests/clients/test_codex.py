"""Codex CLI (Responses) as its users run it, over upstreams of the other three protocols."""

import json
from collections.abc import Callable

import pytest

from tests.clients import programs
from tests.clients.runs import Desk, Ran, backwards
from tests.fakes.gateway import MASTER_KEY

pytestmark = pytest.mark.clients
Ask = Callable[..., Ran]
SHELL = "exec_command|shell_command|shell"
OPTIONS = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json")


@pytest.fixture(params=["chat", "messages", "gemini"])
def upstream(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def ask_as(desk: Desk) -> Ask:
    """A question to a model; `key`, and more lines for the provider in its configuration."""

    def ask(model: str, prompt: str, key: str = MASTER_KEY, more: str = "") -> Ran:
        folder = desk.home / ".codex"
        folder.mkdir(exist_ok=True)
        (folder / "config.toml").write_text(_config(desk.root, model, more))
        return desk.run([programs.command("codex"), "exec", *OPTIONS, prompt], {"TRUNKLINE_API_KEY": key})

    return ask


def _config(root: str, model: str, more: str) -> str:
    return f"""
model_provider = "trunkline"
model = "{model}"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.trunkline]
name = "Trunkline"
base_url = "{root}/api/v1"
env_key = "TRUNKLINE_API_KEY"
wire_api = "responses"
{more}
"""


@pytest.fixture
def ask(ask_as: Ask, model: str) -> Ask:
    return lambda *words, **more: ask_as(model, *words, **more)


def runs(command: str) -> str:
    """A directive that runs a command, whatever this version calls its tool and its argument."""
    return f"<<call {SHELL} {json.dumps({'cmd': command, 'command': command})}>>"


def test_it_answers(ask: Ask) -> None:
    prompt, answer = backwards()
    ask(prompt).shows(answer)


def test_its_agent_reads_a_file(ask: Ask, desk: Desk) -> None:
    word = desk.hide()
    prompt = rf"{runs('cat secret.txt')} <<say file says {{{{tool:KEY-\w+}}}}>>"
    ask(prompt).shows(f'"text":"file says {word}"')


def test_its_agent_reads_a_file_and_then_edits_it(ask: Ask, desk: Desk) -> None:
    desk.hide()
    edit = runs("sed -i 's/the key is/edited:/' secret.txt")
    ask(f"<<think read first>> {runs('cat secret.txt')} <<think then edit>> {edit} <<say edited it>>").shows(
        "edited it"
    )
    assert desk.read("secret.txt").startswith("edited: KEY-")


def test_it_sees_the_usage(ask: Ask) -> None:
    ask("<<usage 1234 56>> <<say usage>>").shows('"input_tokens":1234')


def test_it_shows_a_thought(ask: Ask) -> None:
    prompt, answer = backwards()
    ran = ask(f"<<think considering>> {prompt}")
    ran.shows(answer)
    ran.shows("considering")


@pytest.mark.parametrize("failure", ["429 1 1", "500 1"])
def test_it_gets_over_a_busy_upstream(ask: Ask, failure: str) -> None:
    prompt, answer = backwards()
    ask(f"<<fail {failure}>> {prompt}").shows(answer)


def test_a_refused_request_is_final_and_shown(ask: Ask) -> None:
    ask("<<fail 400 99>> <<say no>>").failed_with("scripted failure 400")


def test_a_wrong_key_is_refused(ask: Ask) -> None:
    ran = ask("<<say no>>", key="sk-wrong", more="request_max_retries = 0\nstream_max_retries = 0")
    ran.failed_with("API key is not valid")


def test_a_model_that_it_knows_runs_its_own_kind_of_tool(ask_as: Ask, desk: Desk) -> None:
    # For such names Codex declares its tools as an item of the input, in namespaces, one of them taking a program as text:
    # over another protocol that one is a function with one argument.
    word = desk.hide()
    script = "const r = await tools.exec_command({cmd: 'cat secret.txt'}); text(r)"
    call = f"<<call functions__exec {json.dumps({'input': script})}>>"
    ask_as("gpt-5.6-terra", rf"{call} <<say file says {{{{tool:KEY-\w+}}}}>>").shows(f'"text":"file says {word}"')

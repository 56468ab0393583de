"""Gemini CLI (Gemini) as its users run it, over upstreams of the other three protocols."""

import json
from collections.abc import Callable

import pytest

from tests.clients import programs
from tests.clients.runs import Desk, Ran, backwards
from tests.fakes.gateway import MASTER_KEY

pytestmark = pytest.mark.clients
Ask = Callable[..., Ran]
SETTINGS = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "general": {"disableAutoUpdate": True, "maxAttempts": 4},
}


@pytest.fixture(params=["chat", "responses", "messages"])
def upstream(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def ask_as(desk: Desk) -> Ask:
    folder = desk.home / ".gemini"
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps(SETTINGS))

    def ask(model: str, prompt: str, *options: str, key: str = MASTER_KEY) -> Ran:
        env = {
            "GEMINI_API_KEY": key,
            "GEMINI_MODEL": model,
            "GOOGLE_GEMINI_BASE_URL": f"{desk.root}/api/vertex-ai",
        }
        return desk.run([programs.command("gemini-cli"), "--skip-trust", "-p", prompt, *options], env)

    return ask


@pytest.fixture
def ask(ask_as: Ask, model: str) -> Ask:
    return lambda *words, **more: ask_as(model, *words, **more)


def test_it_answers(ask: Ask) -> None:
    prompt, answer = backwards()
    ask(prompt, "--output-format", "json").shows(f'"response": "{answer}"')


def test_its_agent_reads_a_file(ask: Ask, desk: Desk) -> None:
    word = desk.hide()
    call = f'<<call read_file {{"file_path": "{desk.path("secret.txt")}"}}>>'
    ask(rf"{call} <<say file says {{{{tool:KEY-\w+}}}}>>").shows(f"file says {word}")


def test_its_agent_reads_a_file_and_then_edits_it(ask: Ask, desk: Desk) -> None:
    desk.hide()
    path = desk.path("secret.txt")
    read = f'<<think read first>> <<call read_file {{"file_path": "{path}"}}>>'
    edit = {"file_path": path, "old_string": "the key is", "new_string": "edited:", "instruction": "replace"}
    prompt = f"{read} <<think then edit>> <<call replace {json.dumps(edit)}>> <<say edited it>>"
    ask(prompt, "--approval-mode", "yolo").shows("edited it")
    assert desk.read("secret.txt").startswith("edited: KEY-")


def test_its_agent_runs_a_command(ask: Ask) -> None:
    call = '<<call run_shell_command {"command": "echo KEY-walnut"}>>'
    ask(rf"{call} <<say shell says {{{{tool:KEY-\w+}}}}>>", "--approval-mode", "yolo").shows("shell says KEY-walnut")


def test_it_sees_the_usage(ask: Ask) -> None:
    ask("<<usage 1234 56>> <<say usage>>", "--output-format", "json").shows('"prompt": 1234')


def test_it_streams(ask: Ask) -> None:
    ask("<<say one>>", "--output-format", "stream-json").shows('"type":"message"')


@pytest.mark.parametrize("failure", ["429 1 1", "503 1"])
def test_it_gets_over_a_busy_upstream(ask: Ask, failure: str) -> None:
    prompt, answer = backwards()
    ask(f"<<fail {failure}>> {prompt}").shows(answer)


def test_a_wrong_key_is_refused(ask: Ask) -> None:
    ask("<<say no>>", key="sk-wrong").failed_with("API key is not valid")


@pytest.mark.parametrize("name", ["gemini-3.1-pro-preview", "google/gemini-3.1-pro-preview"])
def test_a_model_answers_by_a_name_that_it_knows(ask_as: Ask, name: str) -> None:
    prompt, answer = backwards()
    ask_as(name, prompt).shows(answer)

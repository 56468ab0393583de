"""Claude Code (Messages) as its users run it, over upstreams of the other three protocols."""

from collections.abc import Callable

import pytest

from tests.clients import programs
from tests.clients.runs import Desk, Ran, backwards
from tests.fakes.gateway import MASTER_KEY

pytestmark = pytest.mark.clients
Ask = Callable[..., Ran]


@pytest.fixture(params=["chat", "responses", "gemini"])
def upstream(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def ask_as(desk: Desk) -> Ask:
    """A question to a model, with options; `key` and more environment by name."""

    def ask(model: str, prompt: str, *options: str, key: str = MASTER_KEY, **env: str) -> Ran:
        told = {
            "ANTHROPIC_BASE_URL": f"{desk.root}/api/anthropic",
            "ANTHROPIC_AUTH_TOKEN": key,
            "ANTHROPIC_API_KEY": "",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        }
        return desk.run([programs.command("claude-code"), "-p", prompt, "--model", model, *options], told | env)

    return ask


@pytest.fixture
def ask(ask_as: Ask, model: str) -> Ask:
    return lambda *words, **more: ask_as(model, *words, **more)


def test_it_answers(ask: Ask) -> None:
    prompt, answer = backwards()
    ask(prompt).shows(answer)


def test_its_agent_reads_a_file(ask: Ask, desk: Desk) -> None:
    word = desk.hide()
    call = f'<<call Read {{"file_path": "{desk.path("secret.txt")}"}}>>'
    ask(rf"{call} <<say file says {{{{tool:KEY-\w+}}}}>>", "--allowedTools", "Read").shows(f"file says {word}")


def test_its_agent_reads_a_file_and_then_edits_it(ask: Ask, desk: Desk) -> None:
    desk.hide()
    path = desk.path("secret.txt")
    read = f'<<call Read {{"file_path": "{path}"}}>>'
    edit = f'<<call Edit {{"file_path": "{path}", "old_string": "the key is", "new_string": "edited:"}}>>'
    options = ("--allowedTools", "Read", "Edit", "--permission-mode", "acceptEdits")
    ask(f"{read} {edit} <<say edited it>>", *options).shows("edited it")
    assert desk.read("secret.txt").startswith("edited: KEY-")


def test_its_agent_writes_a_file_after_a_thought(ask: Ask, desk: Desk) -> None:
    call = (
        f'<<think it should be there>> <<call Write {{"file_path": "{desk.path("out.txt")}", "content": "written"}}>>'
    )
    options = ("--allowedTools", "Write", "--permission-mode", "acceptEdits")
    ask(f"{call} <<think done>> <<say wrote it>>", *options).shows("wrote it")
    assert desk.read("out.txt") == "written"


def test_its_agent_runs_a_command(ask: Ask) -> None:
    call = '<<call Bash {"command": "echo KEY-walnut", "description": "print"}>>'
    ask(rf"{call} <<say shell says {{{{tool:KEY-\w+}}}}>>", "--allowedTools", "Bash(echo:*)").shows(
        "shell says KEY-walnut"
    )


def test_it_streams_and_sees_the_usage(ask: Ask) -> None:
    options = ("--output-format", "stream-json", "--include-partial-messages", "--verbose")
    ran = ask("<<usage 1234 56>> <<say usage>>", *options)
    ran.shows('"text_delta"')
    ran.shows('"input_tokens":1234')
    ran.shows('"output_tokens":56')


@pytest.mark.parametrize("failure", ["429 1 1", "529 1"])
def test_it_gets_over_a_busy_upstream(ask: Ask, failure: str) -> None:
    prompt, answer = backwards()
    ask(f"<<fail {failure}>> {prompt}").shows(answer)


def test_a_wrong_key_is_refused(ask: Ask) -> None:
    ask("<<say no>>", key="sk-wrong", CLAUDE_CODE_MAX_RETRIES="0").failed_with("authenticate")


class TestByItsOwnNames:
    @pytest.mark.parametrize("name", ["claude-sonnet-4-6", "anthropic/claude-sonnet-4.6"])
    def test_a_model_answers(self, ask_as: Ask, name: str) -> None:
        prompt, answer = backwards()
        ask_as(name, prompt).shows(answer)

    def test_it_finds_the_models_that_it_can_use(self, ask_as: Ask, desk: Desk) -> None:
        ask_as("claude-sonnet-4-6", "<<say x>>", CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY="1").shows("x")
        found = next(desk.home.rglob("gateway-models.json"))
        assert '"anthropic/claude-sonnet-4.6"' in found.read_text()

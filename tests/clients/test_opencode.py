"""opencode over each of the protocols that it speaks: Chat Completions over two foreign upstreams, Responses and Messages over one."""

import json
from collections.abc import Callable

import pytest

from tests.clients import programs
from tests.clients.runs import Desk, Ran, backwards
from tests.fakes.gateway import MASTER_KEY

pytestmark = pytest.mark.clients
Ask = Callable[..., Ran]
SDKS = {
    # Our name of the protocol: its package, its base path.
    "chat": ("@ai-sdk/openai-compatible", "/api/v1"),
    "responses": ("@ai-sdk/openai", "/api/v1"),
    "messages": ("@ai-sdk/anthropic", "/api/anthropic/v1"),
}
WAYS = [("chat", "messages"), ("chat", "gemini"), ("responses", "messages"), ("messages", "chat")]


@pytest.fixture(params=WAYS, ids="-over-".join)
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture
def upstream(way: tuple[str, str]) -> str:
    return way[1]


@pytest.fixture
def ask(desk: Desk, way: tuple[str, str], model: str) -> Ask:
    package, path = SDKS[way[0]]
    provider = {
        "npm": package,
        "name": "Trunkline",
        "options": {"baseURL": desk.root + path, "apiKey": "{env:TRUNKLINE_API_KEY}"},
        "models": {model: {"name": "scripted"}},
    }
    settings = {
        "autoupdate": False,
        "share": "disabled",
        "permission": "allow",
        "small_model": f"trunkline/{model}",
        "provider": {"trunkline": provider},
    }
    (desk.project / "opencode.json").write_text(json.dumps(settings))
    quiet = ("MODELS_FETCH", "AUTOUPDATE", "LSP_DOWNLOAD")
    env = {f"OPENCODE_DISABLE_{what}": "1" for what in quiet} | {"TRUNKLINE_API_KEY": MASTER_KEY}
    words = [programs.command("opencode"), "run", "-m", f"trunkline/{model}"]
    return lambda prompt, *options: desk.run([*words, *options, prompt], env)


def test_it_answers(ask: Ask) -> None:
    prompt, answer = backwards()
    ask(prompt).shows(answer)


def test_its_agent_reads_a_file_and_then_edits_it(ask: Ask, desk: Desk) -> None:
    word = desk.hide()
    path = desk.path("secret.txt")
    read = f'<<think read first>> <<call read {{"filePath": "{path}"}}>>'
    edit = {"filePath": path, "oldString": "the key is", "newString": "edited:"}
    call = f"<<think then edit>> <<call edit {json.dumps(edit)}>>"
    # The word comes from the file; the later result does not have it.
    ask(rf"{read} {call} <<say file says {{{{tool:KEY-\w+}}}}>>").shows(f"file says {word}")
    assert desk.read("secret.txt") == f"edited: {word}\n"


def test_its_agent_writes_a_file_by_a_command(ask: Ask, desk: Desk) -> None:
    arguments = json.dumps({"command": "echo written > out.txt", "description": "write"})
    ask(f"<<call bash {arguments}>> <<say wrote it>>").shows("wrote it")
    assert desk.read("out.txt") == "written\n"


def test_it_sees_the_usage(ask: Ask) -> None:
    ask("<<usage 1234 56>> <<say usage>>", "--format", "json").shows('"input":1234')

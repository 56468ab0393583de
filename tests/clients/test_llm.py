"""`llm` with the plugin llm-zenmux, a real ZenMux client: its list of models, chats, options, images, errors.

Over a simulated provider in every run of the tests; over upstreams of all four protocols with `make test-clients`.
"""

import base64
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients import programs
from tests.clients.conftest import MODEL, PROTOCOLS
from tests.clients.runs import backwards
from tests.fakes.gateway import MASTER_KEY, GatewayProcess

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
NAME = f"zenmux/{MODEL}"


class Llm:
    """The program, with a home of its own."""

    def __init__(self, command: list[str], gateway: GatewayProcess, home: Path) -> None:
        self.command = command
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        # llm-openrouter comes with it and would fetch a catalogue of its own.
        self.env = kept | {
            "HOME": str(home),
            "LLM_USER_PATH": str(home),
            "LLM_LOAD_PLUGINS": "llm-zenmux",
            "ZENMUX_API_KEY": MASTER_KEY,
            "GATEWAY_URL": f"http://127.0.0.1:{gateway.port}",
        }

    def __call__(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [*self.command, *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done.stdout + done.stderr

    def last(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self("logs", "-n", "1", "--json"))[0]
        return found


@pytest.fixture(scope="module")
def llm(gateway: GatewayProcess, tmp_path_factory: pytest.TempPathFactory) -> Llm:
    program = Llm(programs.llm(), gateway, tmp_path_factory.mktemp("llm"))
    assert NAME in program("zenmux", "models", "--refresh")
    return program


@pytest.mark.parametrize("options", [(), ("--no-stream",)])
def test_it_chats(llm: Llm, options: tuple[str, ...]) -> None:
    assert "walnut" in llm("-m", NAME, *options, "<<say walnut>>")


def test_the_usage_of_a_stream_reaches_it(llm: Llm) -> None:
    llm("-m", NAME, "<<usage 1234 56>> <<say ok>>")
    assert (llm.last()["input_tokens"], llm.last()["output_tokens"]) == (1234, 56)


def test_a_conversation_goes_on(llm: Llm) -> None:
    llm("-m", NAME, "first")
    assert "second" in llm("-c", "<<say second>>")


def test_an_image_goes_with_it(llm: Llm, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(base64.b64decode(PIXEL))
    assert "seen" in llm("-m", NAME, "-a", str(picture), "<<say seen>>")


def test_its_routing_options_are_no_obstacle(llm: Llm) -> None:
    routing = {"routing": {"type": "priority", "providers": ["openai"]}, "fallback": "true"}
    assert "routed" in llm("-m", NAME, "-o", "provider", json.dumps(routing), "<<say routed>>")


def test_a_wrong_key_is_refused_in_words(llm: Llm) -> None:
    assert "API key is not valid" in llm("-m", NAME, "--key", "sk-wrong", "hi", check=False)


@pytest.fixture(scope="module")
def agent(agents: GatewayProcess, tmp_path_factory: pytest.TempPathFactory) -> Llm:
    return Llm(programs.llm(), agents, tmp_path_factory.mktemp("llm"))


@pytest.mark.clients
@pytest.mark.parametrize("upstream", PROTOCOLS)
class TestOverEveryProtocol:
    @pytest.fixture
    def name(self, next_model: Callable[[str], str], upstream: str) -> str:
        return f"zenmux/{next_model(upstream)}"

    @pytest.mark.parametrize("options", [(), ("--no-stream",)])
    def test_it_chats(self, agent: Llm, name: str, options: tuple[str, ...]) -> None:
        prompt, answer = backwards()
        assert answer in agent("-m", name, *options, prompt)

    def test_it_keeps_usage_and_thoughts(self, agent: Llm, name: str) -> None:
        agent("-m", name, "-o", "reasoning", '{"effort":"high"}', "<<usage 1234 56>> <<think let me see>> <<say fine>>")
        assert (agent.last()["input_tokens"], agent.last()["output_tokens"]) == (1234, 56)
        assert "let me see" in json.dumps(agent.last())

    def test_an_image_goes_with_it(self, agent: Llm, name: str, tmp_path: Path) -> None:
        picture = tmp_path / "a.png"
        picture.write_bytes(base64.b64decode(PIXEL))
        assert "images=1" in agent("-m", name, "-a", str(picture), "<<say images={{nimg}}>>")


@pytest.mark.clients
@pytest.mark.parametrize("options", [(), ("--no-stream", "-s", "be brief")])
def test_models_of_anthropic_are_asked_over_messages(agent: Llm, options: tuple[str, ...]) -> None:
    # The plugin takes the protocol from the name; the model is behind Chat Completions.
    prompt, answer = backwards()
    assert answer in agent("-m", "zenmux/anthropic/claude-sonnet-4.6", *options, prompt)

"""Every sample of a model's page does what it says: run as it stands against a real gateway over simulated providers.

Those for Node, Claude Code and Codex are run by tests/clients/test_samples.py, which fetches these programs.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html import unescape

import pytest

from tests.fakes.gateway import MASTER_KEY, GatewayProcess, base_toml, o4_mini_toml, start_gateway
from tests.fakes.simulated import SimulatedProvider, simulated_server
from trunkline.web.samples import KEY_NAME, Sample, is_key_name, samples, shown

__all__ = ["simulated_server"]

ROOT, SLUG = "https://llm.example.com", "openai/o4-mini"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, simulated_server: SimulatedProvider) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("samples")
    made = start_gateway(folder, base_toml(folder) + o4_mini_toml(simulated_server))
    yield made
    assert made.stop() == 0, made.log


def sample(id_: str, root: str = ROOT, slug: str = SLUG, key_name: str = KEY_NAME) -> Sample:
    return next(one for one in samples(root, slug, key_name) if one.id == id_)


def run(words: list[str], key_name: str = KEY_NAME) -> str:
    """What it printed."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", key_name: MASTER_KEY, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("id_", ["openai-python", "python", "anthropic-python", "gemini-python"])
def test_samples_in_python_print_an_answer(gateway: GatewayProcess, id_: str) -> None:
    text = sample(id_, f"http://127.0.0.1:{gateway.port}").text
    assert run([sys.executable, "-W", "ignore", "-c", text]).startswith("[simulated] ")


def test_the_sample_for_curl_prints_an_answer(gateway: GatewayProcess) -> None:
    assert '"content":"[simulated] ' in run(["sh", "-c", sample("curl", f"http://127.0.0.1:{gateway.port}").text])


def test_the_key_may_be_in_any_variable(gateway: GatewayProcess) -> None:
    text = sample("openai-python", f"http://127.0.0.1:{gateway.port}", key_name="MY_KEY_2").text
    assert run([sys.executable, "-c", text], "MY_KEY_2").startswith("[simulated] ")


def test_the_configuration_for_codex_is_toml_with_this_address() -> None:
    read = tomllib.loads(sample("codex").text)
    assert (read["model"], read["model_provider"]) == (SLUG, "trunkline")
    assert read["model_providers"]["trunkline"] == {
        "name": "Trunkline",
        "base_url": f"{ROOT}/api/v1",
        "env_key": KEY_NAME,
        "wire_api": "responses",
    }


def test_claude_code_gets_this_address_and_the_key_and_no_other() -> None:
    environment = 'printf "%s|%s|%s" "$ANTHROPIC_BASE_URL" "$ANTHROPIC_AUTH_TOKEN" "$ANTHROPIC_API_KEY"'
    text = sample("claude-code").text.replace("claude --model openai/o4-mini", environment)
    assert run(["sh", "-c", text]) == f"{ROOT}/api/anthropic|{MASTER_KEY}|"


def test_every_sample_has_address_model_and_key_and_none_shows_a_secret() -> None:
    for one in samples(ROOT, SLUG):
        assert ROOT in one.text
        assert SLUG in one.text
        assert KEY_NAME in one.text
        assert "sk-" not in one.text
        assert "%" not in one.text


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "$A", "A;B", "É", "A" * 65, "A\n"])
def test_what_no_variable_can_be_called_is_refused(name: str) -> None:
    assert not is_key_name(name)
    with pytest.raises(ValueError, match="no name of a variable"):
        samples(ROOT, SLUG, name)


def test_highlighting_changes_no_letter_and_escapes_what_it_shows() -> None:
    for one in shown(ROOT, 'acme/<b>"quoted"</b>'):
        assert "<b>" not in one.html
        assert unescape(re.sub(r"</?span[^>]*>", "", one.html)).rstrip("\n") == one.sample.text.rstrip("\n")
        assert '<span class="' in one.html

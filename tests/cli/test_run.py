"""`trunkline run`: what a newcomer sees, without a local model and without any provider's key; and with a provider that
can be called."""

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.fakes.simulated import SimulatedProvider, simulated, simulated_server

__all__ = ["simulated", "simulated_server"]

QUIET = "[embedded]\nenabled = false\n[detect]\nlocal_servers = false\n"
ACME = """
[providers.acme]
base_url = "{url}"
api_key = "acme-secret-1"
[[models]]
slug = "acme/alpha"
[[models.offers]]
provider = "acme"
upstream_model = "o4-mini"
protocols = ["openai.chat"]
"""


@pytest.fixture
def run(trunkline, tmp_path: Path):
    def run(text: str, *options: str, **env: str):
        (tmp_path / "t.toml").write_text(text)
        return trunkline("run", "--config", "t.toml", "--port", "0", *options, **env)

    return run


def keys_that_hold(trunkline) -> list[str]:
    listed = trunkline("keys", "list", "--config", "t.toml", "--json")
    assert listed.end() == 0
    return [key["id"] for key in json.loads("\n".join(listed.said)) if key["revoked_ms"] is None]


def test_what_is_printed_works_when_pasted_and_the_key_ends_with_the_run(
    run, program, trunkline, simulated: SimulatedProvider, tmp_path
):
    running = run(QUIET + ACME.format(url=simulated.base_url))
    curl = running.until(r"^curl .*")[0]
    running.until("Ctrl-C stops")
    answer = subprocess.run(curl, shell=True, capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout)["choices"][0]["message"]["content"].startswith("[simulated]")

    said = "\n".join(running.said)
    (tmp_path / "sample.py").write_text(said[said.index("from openai import") : said.index("Ctrl-C")])
    tried = program("sample.py")
    assert tried.end() == 0
    assert tried.said[0].startswith("[simulated]")

    assert len(keys_that_hold(trunkline)) == 1
    assert running.stop(signal.SIGINT) == 0
    assert keys_that_hold(trunkline) == []
    assert re.search(r"● +acme", said)
    assert re.search(r"○ +Anthropic +set ANTHROPIC_API_KEY", said)
    assert "acme-secret-1" not in said


def test_a_download_that_cannot_be_had_is_told_with_the_next_step_and_the_gateway_starts(run, trunkline, tmp_path):
    # Every source is behind a proxy that is not there.
    nowhere = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), "http://127.0.0.1:9")
    text = f"[embedded]\ncache_dir = '{tmp_path}/cache'\n[detect]\nlocal_servers = false\n"
    running = run(text, **nowhere, PIP_RETRIES="0", PIP_DEFAULT_TIMEOUT="2")
    running.until("No local model: .*trunkline models import FILE")
    running.until("^Address")
    running.until("No model can be called yet")
    running.until("trunkline models pull")
    # A run that is killed cannot revoke its key; the next one does.
    running.stop(signal.SIGKILL)
    second = run(QUIET)
    second.until("^Key")
    assert len(keys_that_hold(trunkline)) == 1
    assert second.stop() == 0


def test_what_serve_cannot_do_is_said_once(run):
    refused = run("[server]\nprot = 1")
    assert refused.end() == 2
    assert len(refused.said) == 1

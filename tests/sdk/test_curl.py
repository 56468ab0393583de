"""The line that the newcomer pastes."""

import json
import shutil
import subprocess

import pytest

from tests.fakes.gateway import MASTER_KEY

BODY = json.dumps({"model": "openai/o4-mini", "messages": [{"role": "user", "content": "<<say hello>>"}]})


def curl(*arguments: str) -> str:
    program = shutil.which("curl")
    if program is None:
        pytest.fail("curl is not installed")
    done = subprocess.run([program, "-sS", "--max-time", "20", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def test_curl_gets_an_answer(gateway, simulated) -> None:
    headers = ("-H", f"Authorization: Bearer {MASTER_KEY}", "-H", "Content-Type: application/json")
    answer = json.loads(curl(f"{gateway.base_url}/chat/completions", *headers, "-d", BODY))
    assert answer["choices"][0]["message"]["content"].endswith("hello")


def test_curl_needs_no_content_type(gateway, simulated) -> None:
    key = f"Authorization: Bearer {MASTER_KEY}"
    assert "hello" in curl("-N", f"{gateway.base_url}/chat/completions", "-H", key, "-d", BODY)


def test_curl_shows_a_stream(gateway, simulated) -> None:
    body = json.dumps(json.loads(BODY) | {"stream": True})
    shown = curl("-N", f"{gateway.base_url}/chat/completions", "-H", f"x-api-key: {MASTER_KEY}", "-d", body)
    assert shown.startswith("data: {")
    assert shown.endswith("data: [DONE]\n\n")


def test_curl_lists_models_without_a_key(gateway) -> None:
    assert "openai/o4-mini" in curl(f"{gateway.base_url}/models")

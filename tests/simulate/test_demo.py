"""`trunkline demo` as a newcomer runs it: the whole gateway, in processes of its own."""

import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from trunkline.catalog.load import load, shipped_catalog
from trunkline.catalog.schema import parse_layer
from trunkline.simulate.config import load_config
from trunkline.simulate.showcase import MODEL, gateway_file, simulation, simulation_file


class Demo:
    """A running demo, and what it said."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "trunkline.cli.main", "demo", "--port", "0", "--speed", "1000"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        assert self.process.stdout is not None
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if line.startswith("Ctrl-C"):
                break

    def word_after(self, name: str) -> str:
        found = re.search(rf"^{name}\s+(\S+)", self.said, re.MULTILINE)
        assert found, self.said
        return found[1]

    def stop(self) -> tuple[int, str]:
        """Exit code and last words."""
        self.process.send_signal(signal.SIGINT)
        rest, _ = self.process.communicate(timeout=30)
        return self.process.returncode, rest


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    running = Demo(tmp_path)
    yield running
    running.process.kill()
    running.process.communicate()


def test_the_demo_answers_at_the_address_and_with_the_key_that_it_prints(demo: Demo, tmp_path: Path) -> None:
    assert "with all waiting divided by 1000" in demo.said
    with openai.OpenAI(base_url=demo.word_after("Address"), api_key=demo.word_after("Key")) as client:
        assert [model.id for model in client.models.list()] == [MODEL]
        for model in (MODEL, f"{MODEL}:azure", f"{MODEL}:openai"):
            answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}])
            assert (answer.choices[0].message.content or "").startswith("[simulated] ")
    code, last_words = demo.stop()
    assert code == 0
    assert re.search(r"[1-9]\d* answered, .* 0 failed", last_words), last_words
    assert list(tmp_path.glob("trunkline*")) == []


def test_the_python_lines_that_it_prints_work_as_they_are(demo: Demo) -> None:
    lines = demo.said[demo.said.index("from openai") : demo.said.index("Ctrl-C")]
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("[simulated] ")


@pytest.fixture
def catalog(tmp_path: Path) -> Any:
    """The catalog as the demo's gateway has it."""
    text = gateway_file(8080, "http://127.0.0.1:9101", tmp_path, shipped_catalog())
    raw = tomllib.loads(text)
    return load([parse_layer({name: raw[name] for name in ("providers", "models")}, "demo")])


def test_only_the_demos_model_is_served_by_the_simulator(catalog: Any) -> None:
    simulated = {"openai", "azure"}
    served = {
        offer.id: offer.simulated
        for model in catalog.models.values()
        for offer in model.offers
        if offer.provider in simulated
    }
    assert served == {f"{MODEL}:openai": True, f"{MODEL}:azure": True}


def test_the_offers_carry_the_data_policy_of_the_page_that_the_demo_shows(catalog: Any) -> None:
    policies = {offer.provider: offer.data_policy for offer in catalog.models[MODEL].offers}
    assert (policies["openai"].training, policies["openai"].retention_days) == (False, 0)
    assert (policies["azure"].training, policies["azure"].retention_days) == (False, 30)
    assert policies["azure"].moderation == "developer"


def test_the_simulators_file_is_read_back_as_it_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "simulate.json"
    path.write_bytes(simulation_file(20))
    assert load_config(path) == simulation(20)
    figures = simulation(1).behaviour("azure-sim").ttft_ms
    assert msgspec.to_builtins(figures) == {"min": 1945, "max": 223821, "avg": 30199.85}

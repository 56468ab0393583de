"""Two gateways for client programs: `gateway` over simulated providers, and `agents` over the scripted model in all four protocols."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.runs import Desk
from tests.clients.scripted.server import ScriptedModel
from tests.fakes.gateway import (
    OPERATOR_KEY,
    PRICE,
    GatewayProcess,
    base_toml,
    o4_mini_toml,
    start_gateway,
    upstream_name,
)
from tests.fakes.simulated import SimulatedProvider, simulated, simulated_server

__all__ = ["simulated", "simulated_server"]

MODEL = "openai/o4-mini"
PROTOCOLS = {
    "chat": "openai.chat",
    "responses": "openai.responses",
    "messages": "anthropic.messages",
    "gemini": "gemini",
}
EACH = 450
"""Models of each upstream protocol: every test has one of its own, so that no failure of one rests another's."""
WELL_KNOWN = {
    # Names that programs have built in, each behind a protocol that is not its vendor's.
    "anthropic/claude-sonnet-4.6": "chat",
    "openai/gpt-5.6-terra": "messages",
    "google/gemini-3.1-pro-preview": "responses",
}


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, simulated_server: SimulatedProvider) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("clients")
    made = start_gateway(folder, base_toml(folder) + o4_mini_toml(simulated_server))
    yield made
    assert made.stop() == 0, made.log


@pytest.fixture(scope="session")
def scripted_model() -> Iterator[ScriptedModel]:
    made = ScriptedModel(OPERATOR_KEY)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def agents(tmp_path_factory: pytest.TempPathFactory, scripted_model: ScriptedModel) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("agents")
    made = start_gateway(folder, base_toml(folder) + _providers(scripted_model) + _models())
    yield made
    assert made.stop() == 0, made.log


@pytest.fixture(scope="session")
def next_model() -> Callable[[str], str]:
    """A model behind an upstream protocol that no test has used."""
    numbers = {upstream: itertools.count() for upstream in PROTOCOLS}
    return lambda upstream: f"acme/{upstream}-{next(numbers[upstream])}"


@pytest.fixture
def model(upstream: str, next_model: Callable[[str], str]) -> str:
    """One for this test, behind the upstream protocol that its module names."""
    return next_model(upstream)


@pytest.fixture
def desk(agents: GatewayProcess, tmp_path: Path) -> Desk:
    return Desk(tmp_path, agents)


def _providers(scripted: ScriptedModel) -> str:
    lines = []
    for name, protocol in PROTOCOLS.items():
        address = f'base_urls = {{ "{protocol}" = "{scripted.bases[protocol]}" }}'
        lines += [f"[providers.scripted-{name}]", f'name = "{name}"', address, f'api_key = "{OPERATOR_KEY}"']
    return "\n".join(lines) + "\n"


def _models() -> str:
    own = [(f"acme/{name}-{number}", name) for name in PROTOCOLS for number in range(EACH)]
    return "\n".join(_model(slug, upstream) for slug, upstream in [*own, *WELL_KNOWN.items()])


def _model(slug: str, upstream: str) -> str:
    return f"""
[[models]]
slug = "{slug}"
context_tokens = 200000
max_output_tokens = 32000
input = ["text", "image", "file"]
reasoning = true
[[models.offers]]
provider = "scripted-{upstream}"
upstream_model = "{upstream_name(slug)}"
protocols = ["{PROTOCOLS[upstream]}"]
price = {PRICE}
"""

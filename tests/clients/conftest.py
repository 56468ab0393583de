"""A gateway over simulated providers, for client programs."""

from collections.abc import Iterator

import pytest

from tests.fakes.gateway import GatewayProcess, base_toml, o4_mini_toml, start_gateway
from tests.fakes.simulated import SimulatedProvider, simulated, simulated_server

__all__ = ["simulated", "simulated_server"]

MODEL = "openai/o4-mini"


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, simulated_server: SimulatedProvider) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("clients")
    made = start_gateway(folder, base_toml(folder) + o4_mini_toml(simulated_server))
    yield made
    assert made.stop() == 0, made.log

"""OpenAI's own Python client, against the gateway over simulated providers; the scripted provider where it must fail."""

from collections.abc import AsyncIterator, Iterator

import anthropic
import openai
import pytest
from google import genai

from tests.fakes.four import four
from tests.fakes.gateway import (
    MASTER_KEY,
    GatewayProcess,
    base_toml,
    model_toml,
    o4_mini_toml,
    provider_toml,
    session_id,
    start_gateway,
)
from tests.fakes.simulated import SimulatedProvider, simulated, simulated_server
from tests.fakes.upstream import Upstream, upstream

__all__ = ["four", "session_id", "simulated", "simulated_server", "upstream"]

SCRIPTED = 40


@pytest.fixture(scope="session")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, simulated_server: SimulatedProvider
) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("sdk")
    scripted = [model_toml(f"acme/scripted-{number}", ("first",)) for number in range(SCRIPTED)]
    parts = [
        base_toml(folder),
        provider_toml("first", upstream.url("first")),
        o4_mini_toml(simulated_server),
        *scripted,
    ]
    parts += [model_toml("acme/hasty", ("first",), "", "deadlines = { first_event_s = 0.3, total_s = 5.0 }")]
    made = start_gateway(folder, "\n".join(parts))
    yield made
    assert made.stop() == 0, made.log


@pytest.fixture
def client(gateway: GatewayProcess, simulated: SimulatedProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.base_url, api_key=MASTER_KEY, max_retries=0, timeout=20) as made:
        yield made


@pytest.fixture
async def async_client(gateway: GatewayProcess, simulated: SimulatedProvider) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=MASTER_KEY, max_retries=0, timeout=20) as made:
        yield made


class Scripted:
    """A model with one offer, that only this test uses."""

    def __init__(self, upstream: Upstream, number: int) -> None:
        self.upstream = upstream
        self.slug = f"acme/scripted-{number}"
        self.name = f"acme--scripted-{number}"

    def plays(self, *scripts) -> None:
        self.upstream.plays("first", self.name, *scripts)

    @property
    def calls(self) -> list:
        return self.upstream.calls(self.name)


@pytest.fixture(scope="session")
def scripted_numbers() -> Iterator[int]:
    return iter(range(SCRIPTED))


@pytest.fixture
def scripted(upstream: Upstream, scripted_numbers: Iterator[int]) -> Scripted:
    return Scripted(upstream, next(scripted_numbers))


# --- the other vendors' clients, over providers of all four protocols


@pytest.fixture
def claude(four: GatewayProcess, simulated: SimulatedProvider) -> Iterator[anthropic.Anthropic]:
    base_url = f"http://127.0.0.1:{four.port}/anthropic"
    with anthropic.Anthropic(base_url=base_url, api_key=MASTER_KEY, max_retries=0, timeout=20) as made:
        yield made


@pytest.fixture
async def async_claude(four: GatewayProcess, simulated: SimulatedProvider) -> AsyncIterator[anthropic.AsyncAnthropic]:
    base_url = f"http://127.0.0.1:{four.port}/anthropic"
    async with anthropic.AsyncAnthropic(base_url=base_url, api_key=MASTER_KEY, max_retries=0, timeout=20) as made:
        yield made


@pytest.fixture
def google(four: GatewayProcess, simulated: SimulatedProvider) -> Iterator[genai.Client]:
    options = genai.types.HttpOptions(base_url=f"http://127.0.0.1:{four.port}", timeout=20_000)
    made = genai.Client(api_key=MASTER_KEY, http_options=options)
    yield made
    made.close()


@pytest.fixture
def responses(four: GatewayProcess, simulated: SimulatedProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=four.base_url, api_key=MASTER_KEY, max_retries=0, timeout=20) as made:
        yield made

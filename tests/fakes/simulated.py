"""Simulated providers in a thread of the test process, on a free port of 127.0.0.1.

`start_simulator()` -> `SimulatedProvider`; the session-wide fixture `simulated_server` and the per-test `simulated`
(reset between tests) come with `pytest_plugins = ("tests.fakes.simulated",)`, or by importing both names in a conftest.
"""

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from trunkline.simulate.config import SimulationConfig
from trunkline.simulate.server import listen, make_server


class SimulatedProvider:
    """Lives until `stop`. Every path prefix is a provider: one that begins with `azure` speaks Azure's dialect."""

    def __init__(self, config: SimulationConfig) -> None:
        listener = listen("127.0.0.1", 0)
        self.port: int = listener.getsockname()[1]
        self.server = make_server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]}, daemon=True)
        self.thread.start()

    @property
    def base_url(self) -> str:
        """Of the unprefixed provider `openai`; requests go to `{base_url}/chat/completions`."""
        return f"http://127.0.0.1:{self.port}/v1"

    def url(self, provider: str) -> str:
        """The base URL of a provider: `.../NAME/v1`, or `.../NAME/openai/v1` where the name begins with `azure`."""
        return f"http://127.0.0.1:{self.port}/{provider}{'/openai' if provider.startswith('azure') else ''}/v1"

    def log(self, provider: str | None = None) -> list[dict[str, Any]]:
        """Requests as received, oldest first; fields: see `trunkline.simulate.journal.Entry`."""
        entries: list[dict[str, Any]] = self.control("GET", "log")
        return [entry for entry in entries if provider in (None, entry["provider"])]

    def behaviour(self, provider: str, **fields: Any) -> dict[str, Any]:
        """Changes a provider's behaviour until the next reset, e.g. `ttft_ms={"min": 5, "max": 5, "avg": 5}`."""
        changed: dict[str, Any] = self.control("POST", "behaviour", {"provider": provider, **fields})
        return changed

    def idle(self) -> None:
        """Returns when no request is under way any more, e.g. once a client that left has been noticed."""
        self.control("GET", "idle")

    def reset(self) -> None:
        """Forgets the log, scripted failures played so far, and changed behaviours."""
        self.control("POST", "reset")

    def control(self, method: str, action: str, body: dict[str, Any] | None = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, f"/__simulate/{action}", json.dumps(body) if body else None)
            answer = connection.getresponse()
            value = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(value["error"]["message"])
        return value

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(timeout=10)


def start_simulator(config: SimulationConfig | None = None) -> SimulatedProvider:
    """Starts at once: connections are taken before this returns."""
    return SimulatedProvider(config or SimulationConfig())


@pytest.fixture(scope="session")
def simulated_server() -> Iterator[SimulatedProvider]:
    provider = start_simulator()
    yield provider
    provider.stop()


@pytest.fixture
def simulated(simulated_server: SimulatedProvider) -> SimulatedProvider:
    """The simulated providers, with an empty log and their default behaviour."""
    simulated_server.reset()
    return simulated_server

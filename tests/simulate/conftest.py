"""The simulated protocols, over the real port, as raw HTTP and through the vendor's own SDK."""

import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from tests.fakes.simulated import SimulatedProvider, simulated, simulated_server

__all__ = ["simulated", "simulated_server"]

OPENAI = "/openai-sim/v1/chat/completions"
AZURE = "/azure-sim/openai/v1/chat/completions"
RESPONSES = "/openai-sim/v1/responses"
MESSAGES = "/anthropic-sim/v1/messages"
GEMINI = "/gemini-sim/v1beta/models"
VERSION = {"anthropic-version": "2023-06-01"}


class Answer:
    """A raw answer, its body read to the end or to where it broke."""

    def __init__(self, response: http.client.HTTPResponse, body: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def chunks(self) -> list[dict[str, Any]]:
        events = self.body.decode().split("\n\n")
        return [json.loads(event[6:]) for event in events if event.startswith("data: {")]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The data of all events, each with its name as `event` where it has one."""
        found = []
        for event in self.body.decode().replace("\r\n", "\n").split("\n\n"):
            lines = dict(line.split(": ", 1) for line in event.split("\n") if ": " in line)
            if lines.get("data", "[DONE]") != "[DONE]":
                found.append(json.loads(lines["data"]) | ({"event": lines["event"]} if "event" in lines else {}))
        return found


Post = Callable[..., Answer]
Call = Callable[..., Answer]


@pytest.fixture
def call(simulated: SimulatedProvider) -> Iterator[Call]:
    """Posts any body to any path: `call(MESSAGES, {...})`."""
    opened: list[http.client.HTTPConnection] = []

    def send(path: str, body: Any, headers: dict[str, str] | None = None, method: str = "POST") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", simulated.port, timeout=10)
        opened.append(connection)
        sent = VERSION if headers is None and "/messages" in path else headers or {}
        connection.request(method, path, json.dumps(body) if body is not None else None, sent)
        response = connection.getresponse()
        return Answer(response, response.read())

    yield send
    for connection in opened:
        connection.close()


@pytest.fixture
def post(simulated: SimulatedProvider) -> Iterator[Post]:
    """Posts to a path and reads the answer: `post("<<say hi>>", path=AZURE, stream=True)`."""
    opened: list[http.client.HTTPConnection] = []

    def send(
        message: str = "hi", *, path: str = OPENAI, headers: dict[str, str] | None = None, **fields: Any
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", simulated.port, timeout=10)
        opened.append(connection)
        body = {"model": "o4-mini", "messages": [{"role": "user", "content": message}]} | fields
        kept = {name: value for name, value in body.items() if value is not None}
        connection.request("POST", path, json.dumps(kept), headers or {})
        response = connection.getresponse()
        return Answer(response, response.read())

    yield send
    for connection in opened:
        connection.close()


@pytest.fixture
def client(simulated: SimulatedProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=simulated.url("openai-sim"), api_key="k", max_retries=0, timeout=10) as made:
        yield made


@pytest.fixture
def azure(simulated: SimulatedProvider) -> Iterator[openai.AzureOpenAI]:
    endpoint = f"http://127.0.0.1:{simulated.port}/azure-sim"
    with openai.AzureOpenAI(
        azure_endpoint=endpoint, api_key="k", api_version="2024-10-21", max_retries=0, timeout=10
    ) as made:
        yield made

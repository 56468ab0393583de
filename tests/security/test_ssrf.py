"""Nobody makes the gateway ask an address of their choice: what callers name is never fetched, where providers send us is not gone to.

That addresses are checked between the resolver and the connection, so that a name which changes gains nothing, is in
`tests/execution/transport/test_guard.py`; here is every way by which an address could get that far.
"""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.gateway import CHAT, GatewayProcess
from tests.fakes.upstream import Upstream
from trunkline.execution.transport import guard
from trunkline.providers.origins import origin_of

INSIDE = [
    "http://127.0.0.1:{port}/a.png",
    "http://localhost:{port}/a.png",
    "http://[::ffff:127.0.0.1]:{port}/a.png",
    "http://2130706433:{port}/a.png",
    "http://169.254.169.254/latest/meta-data/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_GET",
]


class Trap:
    """A port of this machine at which nobody must call."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.calls = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        try:
            while True:
                self._listener.accept()[0].close()
                self.calls += 1
        except OSError:
            return

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(scope="module")
def trap() -> Iterator[Trap]:
    made = Trap()
    yield made
    made.close()


def asked(door: str, model: str, url: str) -> tuple[str, dict[str, Any]]:
    """A request that names an address wherever its protocol has a place for one."""
    if door == "chat":
        parts: list[Any] = [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "file", "file": {"file_id": url}},
        ]
        return CHAT, {"model": model, "messages": [{"role": "user", "content": parts}]}
    if door == "responses":
        parts = [{"type": "input_image", "image_url": url}, {"type": "input_file", "file_url": url}]
        return "/v1/responses", {"model": model, "input": [{"role": "user", "content": parts}]}
    if door == "messages":
        source = {"type": "url", "url": url}
        parts = [{"type": "image", "source": source}, {"type": "document", "source": source}]
        return "/v1/messages", {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": parts}]}
    parts = [{"fileData": {"fileUri": url, "mimeType": "image/png"}}]
    return f"/v1beta/models/{model}:generateContent", {"contents": [{"role": "user", "parts": parts}]}


@pytest.mark.parametrize("door", ["chat", "responses", "messages", "gemini"])
@pytest.mark.parametrize("target", ["chat", "responses", "messages", "gemini", "bedrock"])
def test_what_a_caller_names_is_never_fetched(four: GatewayProcess, trap: Trap, door: str, target: str) -> None:
    model = "acme/bedrock-nova" if target == "bedrock" else f"acme/over-{target}"
    for url in INSIDE:
        path, body = asked(door, model, url.format(port=trap.port))
        assert four.request("POST", path, body).status in (200, 400, 404, 502)
    assert trap.calls == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_where_a_provider_sends_us_is_not_gone_to(
    four: GatewayProcess, upstream: Upstream, trap: Trap, status: int
) -> None:
    for rank in ("first", "second"):
        script = lambda call: call.answer(status, b"", {"location": f"http://127.0.0.1:{trap.port}/"})  # noqa: E731
        upstream.plays(f"{rank}-chat", "chat-5", script)
    assert four.chat("acme/chat-5").status >= 500
    assert trap.calls == 0


@pytest.mark.parametrize("name", ["base_url", "base_urls", "api_base", "url", "endpoint", "proxy"])
def test_a_request_cannot_say_where_its_provider_is(four: GatewayProcess, trap: Trap, name: str) -> None:
    url = f"http://127.0.0.1:{trap.port}/v1"
    for place in (
        {name: url},
        {"provider": {name: url}},
        {"model_routing_config": {name: url}},
        {"extra_body": {name: url}},
    ):
        four.chat("acme/over-chat", **place)
    for header in ("x-base-url", "x-portkey-custom-host", "host", "x-forwarded-host"):
        four.chat("acme/over-chat", headers={header: f"127.0.0.1:{trap.port}"})
    assert trap.calls == 0


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/v1", "http://[fd00:ec2::254]/v1", "http://10.0.0.1/v1", "http://192.168.1.1:8080/v1"],
)
def test_an_address_that_nobody_trusted_stays_guarded(url: str) -> None:
    origin = origin_of(url, trusted=False)
    address = guard.literal(origin.host)
    assert origin.guarded
    assert address is not None
    assert guard.refusal(address, guarded=origin.guarded)


def test_a_provider_that_the_operator_put_on_loopback_is_called(four: GatewayProcess) -> None:
    """All of these tests' providers are."""
    assert four.chat("acme/over-chat").status == 200


def test_the_traps_work(trap: Trap) -> None:
    before = trap.calls
    with socket.create_connection(("127.0.0.1", trap.port), timeout=5) as client:
        assert client.recv(1) == b""
    assert trap.calls > before

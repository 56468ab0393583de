"""A request that meets a fault of our own: it is answered, recorded and logged all the same."""

import json
from pathlib import Path

import pytest

from trunkline.execution.exchange import Exchange
from trunkline.execution.gateway import Clock, Gateway
from trunkline.execution.respond import Reply, Watchers
from trunkline.execution.run import run
from trunkline.records.types import Intent, Record
from trunkline.routing.health import Health
from trunkline.settings import load_settings
from trunkline.snapshot import build

CONFIG = """
[providers.first]
base_url = "http://127.0.0.1:9/v1"
api_key = "sk-operator"
[[models]]
slug = "acme/alpha"
[[models.offers]]
provider = "first"
upstream_model = "alpha"
protocols = ["openai.chat"]
[embedded]
enabled = false
"""


class Sink:
    def __init__(self) -> None:
        self.intents: list[Intent] = []
        self.records: list[Record] = []

    def intend(self, intent: Intent) -> None:
        self.intents.append(intent)

    def end(self, record: Record) -> None:
        self.records.append(record)

    is_full = False

    async def room(self) -> None:
        pass


class BrokenTransport:
    async def send(self, request):
        raise ZeroDivisionError("a mistake of ours")

    async def aclose(self) -> None:
        pass


class Log:
    def __init__(self) -> None:
        self.exceptions: list[dict] = []

    def exception(self, event: str, **fields: str) -> None:
        self.exceptions.append({"event": event, **fields})


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def gateway(tmp_path: Path, sink: Sink) -> Gateway:
    path = tmp_path / "trunkline.toml"
    path.write_text(CONFIG)
    clock = Clock(now_s=lambda: 1.0, unix_ms=lambda: 1_000.0, today=lambda: "2026-01-01", new_id=lambda: "req_1")
    return Gateway(build(load_settings(path, {})), {"": BrokenTransport()}, Health(), sink, clock)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_mistake_of_ours_is_500_one_record_and_a_trace_in_the_log(gateway, sink, stream) -> None:
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    async def receive() -> dict:
        raise AssertionError("nothing is read after the body")

    reply, log = Reply(receive, send, [], Watchers()), Log()
    body = json.dumps({"model": "acme/alpha", "messages": [{"role": "user", "content": "hi"}], "stream": stream})
    await run(gateway, Exchange("req_1", "openai.chat", 1.0, 1_000.0), reply, body.encode(), log)
    reply.close()

    assert sent[0]["status"] == 500
    assert (b"x-should-retry", b"false") in sent[0]["headers"]
    error = json.loads(sent[1]["body"])["error"]
    assert (error["type"], error["request_id"]) == ("internal_server_error", "req_1")
    assert "mistake" not in error["message"]
    (record,) = sink.records
    assert (record.id, record.outcome, record.status) == ("req_1", "error", 500)
    assert [intent.id for intent in sink.intents] == ["req_1"]
    assert log.exceptions == [{"event": "request failed inside the gateway", "request_id": "req_1"}]

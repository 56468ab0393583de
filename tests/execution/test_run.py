"""A request that meets a fault of our own: it is answered, recorded and logged all the same."""

import json
from pathlib import Path

import pytest

from tests.fakes.caller import CallerConnection
from tests.fakes.services import gateway_of
from trunkline.errors import PayloadTooLarge
from trunkline.execution.asked import Door
from trunkline.execution.exchange import Exchange
from trunkline.execution.gateway import Clock, Gateway
from trunkline.execution.run import abandon, begin, refuse, run
from trunkline.protocols.codec import CHAT
from trunkline.records.types import Intent, Record
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
    return gateway_of(build(load_settings(path, {})), clock, transports={"": BrokenTransport()}, sink=sink)


def exchange(gateway: Gateway) -> Exchange:
    begun = Exchange("req_1", CHAT, 1.0, 1_000.0)
    begin(gateway, begun)
    return begun


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_mistake_of_ours_is_500_one_record_and_a_trace_in_the_log(gateway, sink, stream) -> None:
    caller, log = CallerConnection(), Log()
    reply = caller.reply(caller.call())
    body = json.dumps({"model": "acme/alpha", "messages": [{"role": "user", "content": "hi"}], "stream": stream})
    await run(gateway, exchange(gateway), reply, Door(CHAT), body.encode(), log)

    assert caller.status == 500
    assert (b"x-should-retry", b"false") in caller.headers
    error = json.loads(caller.body)["error"]
    assert (error["type"], error["request_id"]) == ("internal_server_error", "req_1")
    assert "mistake" not in error["message"]
    (record,) = sink.records
    assert (record.id, record.outcome, record.status) == ("req_1", "error", 500)
    assert [intent.id for intent in sink.intents] == ["req_1"]
    assert log.exceptions == [{"event": "request failed inside the gateway", "request_id": "req_1"}]
    assert gateway.open == 0


async def test_a_body_that_is_refused_is_recorded(gateway, sink) -> None:
    caller = CallerConnection()
    refuse(gateway, exchange(gateway), caller.reply(caller.call()), Door(CHAT), PayloadTooLarge("too large"))
    assert (caller.status, caller.ended, gateway.open) == (413, True, 0)
    (record,) = sink.records
    assert (record.outcome, record.status, record.error_message) == ("error", 413, "too large")


async def test_a_caller_that_leaves_while_sending_is_recorded(gateway, sink) -> None:
    caller = CallerConnection()
    abandon(gateway, exchange(gateway), caller.reply(caller.call()))
    assert (caller.written, gateway.open) == (b"", 0)
    (record,) = sink.records
    assert (record.outcome, record.status) == ("client_left", 499)

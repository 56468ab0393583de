"""Two attempts that speak in the same moment: one answers, and of the other not a byte reaches the caller."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.services import gateway_of
from tests.fakes.upstream import completion, stream_of
from trunkline.execution.asked import Door
from trunkline.execution.exchange import Exchange
from trunkline.execution.gateway import Clock, Gateway
from trunkline.execution.respond import Headers, Reply
from trunkline.execution.run import begin, run
from trunkline.execution.transport.types import Take, UpstreamRequest
from trunkline.protocols.codec import CHAT
from trunkline.records.types import Intent, Record
from trunkline.settings import load_settings
from trunkline.snapshot import build

CONFIG = """
[routing]
spread = false
[embedded]
enabled = false
[[models]]
slug = "acme/alpha"
"""
OFFER = """
[[models.offers]]
provider = "{name}"
upstream_model = "alpha"
protocols = ["openai.chat"]
price = [{{ item = "completion", unit = "perMTokens", value = "1" }}, {{ item = "prompt", unit = "perMTokens", value = "0" }}]
abortable = {abortable}
[providers.{name}]
base_url = "http://127.0.0.1:9/{name}/v1"
api_key = "sk-operator"
"""
STREAM = [event + b"\n\n" for event in stream_of().split(b"\n\n")[:-1]]


class Sink:
    is_full = False

    def __init__(self) -> None:
        self.records: list[Record] = []

    def intend(self, intent: Intent) -> None:
        """Nothing crashes here."""

    def end(self, record: Record) -> None:
        self.records.append(record)


class Caller:
    """Counts what is begun and ended."""

    common, is_full = b"", False
    on_left: Callable[[], None] | None = None

    def __init__(self) -> None:
        self.begun: list[bytes] = []
        self.body = b""
        self.ends = 0

    def room(self) -> "asyncio.Future[None]":
        raise AssertionError("it is never full")

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        self.start(status, headers, body)
        self.ends += 1

    def start(self, status: int, headers: Headers, first: bytes = b"") -> None:
        self.begun.append(dict(headers)[b"x-trunkline-provider"])
        self.body += first

    def send(self, data: bytes) -> bool:
        self.body += data
        return False

    def end(self) -> None:
        self.ends += 1


class Answer:
    """Gives all that it has in the moment in which the other one does."""

    status, reused, sent_at, idle_s = 200, False, 0.0, 1.0

    def __init__(self, together: asyncio.Barrier, *, stream: bool) -> None:
        self._together = together
        self.headers = [(b"content-type", b"text/event-stream" if stream else b"application/json")]

    async def read(self, limit_bytes: int) -> bytes:
        await self._together.wait()
        return completion()

    async def pump(self, take: Take) -> None:
        await self._together.wait()
        for event in STREAM:
            take(event)
            await asyncio.sleep(0)

    def abort(self) -> None:
        """Nothing is open."""


class Together:
    """A transport whose two answers come at once."""

    def __init__(self, *, stream: bool) -> None:
        self._together = asyncio.Barrier(2)
        self._stream = stream
        self.sent = 0

    async def send(self, request: UpstreamRequest) -> Any:
        self.sent += 1
        return Answer(self._together, stream=self._stream)


def made(
    tmp_path: Path, sink: Sink, transport: Any, *, abortable: bool, now_s: Callable[[], float] = lambda: 1.0
) -> Gateway:
    path = tmp_path / "trunkline.toml"
    offers = [OFFER.format(name=name, abortable=str(abortable).lower()) for name in ("first", "second")]
    path.write_text(CONFIG + "".join(offers))
    clock = Clock(now_s=now_s, unix_ms=lambda: 1_000.0, today=lambda: "2026-01-01", new_id=lambda: "req_1")
    return gateway_of(build(load_settings(path, {})), clock, transports={"": transport}, sink=sink)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("abortable", [False, True], ids=["drained", "cancelled"])
async def test_of_two_that_speak_at_once_one_answers(tmp_path: Path, stream: bool, abortable: bool) -> None:
    sink, caller, transport = Sink(), Caller(), Together(stream=stream)
    gateway = made(tmp_path, sink, transport, abortable=abortable)
    exchange = Exchange("req_1", CHAT, 1.0, 1_000.0)
    begin(gateway, exchange)
    asked = {"model": "acme/alpha", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    body = json.dumps(asked | {"provider": {"hedge": {"after_ms": 0}}, "usage": {"include": False}}).encode()
    await run(gateway, exchange, Reply(caller, "req_1", asyncio.get_running_loop()), Door(CHAT), body, None)

    assert (transport.sent, len(caller.begun), caller.ends) == (2, 1, 1)
    # The usage event was asked for by us, so it is taken out.
    assert caller.body.count(b"hello") == 1
    (record,) = sink.records
    lost, won = record.attempts
    assert (lost.outcome, lost.after_leaving) == ("lost", "cancelled" if abortable else "drained")
    assert (won.outcome, won.provider.encode()) == ("ok", caller.begun[0])
    assert {lost.kind, won.kind} == {"plain", "hedge"}
    assert (record.outcome, record.offer) == ("ok", won.offer)
    assert record.cost_pico_usd == lost.cost.total_pico_usd + won.cost.total_pico_usd
    assert abortable or lost.cost == won.cost
    assert gateway.open == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Speaking:
    """A transport whose first answer speaks in the turn of the loop in which the second attempt is made, before that has taken a step."""

    status, reused, sent_at, idle_s = 200, False, 0.0, 1.0
    headers = ((b"content-type", b"text/event-stream"),)

    def __init__(self) -> None:
        self.sent = 0
        self._speak: Callable[[], None] | None = None

    def now_s(self) -> float:
        """Nobody but the second attempt asks for the time while the first is silent."""
        speak, self._speak = self._speak, None
        if speak is not None:
            # As what a socket brings: before the tasks that are made from now on.
            asyncio.get_running_loop().call_soon(speak)
        return 1.0

    async def send(self, request: UpstreamRequest) -> Any:
        self.sent += 1
        return self

    async def pump(self, take: Take) -> None:
        ended = asyncio.get_running_loop().create_future()

        def speak() -> None:
            for event in STREAM:
                take(event)
            ended.set_result(None)

        self._speak = speak
        await ended

    def abort(self) -> None:
        """Nothing is open."""


async def asked_of(gateway: Gateway, caller: Caller, wish: dict[str, Any], *, has_left: bool = False) -> None:
    exchange = Exchange("req_1", CHAT, 1.0, 1_000.0)
    begin(gateway, exchange)
    reply = Reply(caller, "req_1", asyncio.get_running_loop())
    if has_left:
        assert caller.on_left is not None
        caller.on_left()
    asked = {"model": "acme/alpha", "messages": [{"role": "user", "content": "hi"}], "stream": True, "provider": wish}
    async with asyncio.timeout(10):
        await run(gateway, exchange, reply, Door(CHAT), json.dumps(asked).encode(), None)
    assert gateway.open == 0
    assert [gateway.health.figures(f"acme/alpha:{name}", 1.0).in_flight for name in ("first", "second")] == [0, 0]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("abortable", [False, True], ids=["drained", "cancelled"])
async def test_a_second_that_is_beaten_before_its_first_step_was_never_sent(tmp_path: Path, abortable: bool) -> None:
    sink, caller, transport = Sink(), Caller(), Speaking()
    gateway = made(tmp_path, sink, transport, abortable=abortable, now_s=transport.now_s)
    await asked_of(gateway, caller, {"hedge": {"after_ms": 1}})
    assert (transport.sent, caller.ends, caller.body.count(b"hello")) == (1, 1, 1)
    (record,) = sink.records
    assert [(one.outcome, one.kind) for one in record.attempts] == [("ok", "plain")]
    assert record.outcome == "ok"


@pytest.mark.parametrize("wish", [{"hedge": {"after_ms": 1}}, {}], ids=["hedged", "plain"])
async def test_nobody_is_asked_for_a_caller_that_has_left(tmp_path: Path, wish: dict[str, Any]) -> None:
    sink, caller, transport = Sink(), Caller(), Together(stream=True)
    await asked_of(made(tmp_path, sink, transport, abortable=True), caller, wish, has_left=True)
    (record,) = sink.records
    assert (record.outcome, record.attempts, transport.sent) == ("client_left", (), 0)

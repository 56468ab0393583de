"""Probes: which offers are asked, when, for how much, and what their records say."""

import itertools
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fakes.records import a_record
from tests.fakes.services import gateway_of
from trunkline.execution.gateway import Clock, Gateway
from trunkline.execution.probes import ProbePolicy, Probes
from trunkline.execution.transport.types import Take, pump_chunks
from trunkline.records.types import Intent, Record
from trunkline.routing.health import Sample
from trunkline.settings import load_settings
from trunkline.snapshot import build

PRICE = (
    '[{ item = "prompt", unit = "perMTokens", value = "1" }, { item = "completion", unit = "perMTokens", value = "4" }]'
)
OFFER = f'[[models.offers]]\nprovider = "%s"\nupstream_model = "alpha"\nprotocols = ["openai.chat"]\nprice = {PRICE}\n'
PROVIDER = '[providers.%s]\nbase_url = "http://127.0.0.1:9/v1"\napi_key = "sk-operator"\n'
CONFIG = (
    "[embedded]\nenabled = false\n"
    + "".join(PROVIDER % name for name in ("first", "second", "here"))
    + PROVIDER.replace("http://127.0.0.1:9", "https://llm.example.com") % "far"
    + '[[models]]\nslug = "acme/alpha"\n'
    + OFFER % "first"
    + OFFER % "second"
    + '[[models]]\nslug = "acme/unused"\n'
    + OFFER % "first"
    + '[[models]]\nslug = "acme/unpriced"\n'
    + (OFFER % "far").replace(PRICE, "[]")
    + (OFFER % "here").replace(PRICE, "[]")
)
EVENTS = [
    {"id": "c1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "OK"}}]},
    {"id": "c1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"id": "c1", "object": "chat.completion.chunk", "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}},
]  # fmt: skip


class Sink:
    durable_changes = 0
    is_full = False

    def __init__(self) -> None:
        self.intents: list[Intent] = []
        self.records: list[Record] = []

    def intend(self, intent: Intent) -> None:
        self.intents.append(intent)

    def end(self, record: Record) -> None:
        self.records.append(record)

    async def room(self) -> None:
        pass


class Response:
    """A stream that is there at once."""

    status = 200
    reused = False
    sent_at = 0.0
    idle_s = 60.0

    def __init__(self) -> None:
        self.headers = [(b"content-type", b"text/event-stream")]
        self._pieces = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in EVENTS] + [b"data: [DONE]\n\n"]

    async def chunk(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    async def pump(self, take: Take) -> None:
        await pump_chunks(self, take)

    async def read(self, limit_bytes: int) -> bytes:
        return b"".join(self._pieces)

    def abort(self) -> None:
        pass


class Transport:
    """Answers OK, and keeps what it was asked."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    async def send(self, request: Any) -> Response:
        self.bodies.append(json.loads(request.body))
        return Response()


class World:
    """A gateway at a time that the test sets."""

    def __init__(self, path: Path) -> None:
        path.write_text(CONFIG)
        self.now_s = 1000.0
        self.today = "2026-01-01"
        self.sink, self.transport = Sink(), Transport()
        ids = itertools.count(1)
        clock = Clock(lambda: self.now_s, lambda: self.now_s * 1000, lambda: self.today, lambda: f"req_{next(ids)}")
        self.gateway: Gateway = gateway_of(
            build(load_settings(path, {})), clock, transports={"": self.transport}, sink=self.sink
        )
        self.probes = Probes(self.gateway, None)
        self.probes.take_over(ProbePolicy(every_s=300.0, budget_usd_per_day=1.0))

    def used(self, offer: str = "acme/alpha:first") -> None:
        """A caller's request was answered by it."""
        model, _, provider = offer.rpartition(":")
        attempt = msgspec.structs.replace(a_record(1).attempts[1], offer=offer, provider=provider)
        self.probes.see([a_record(1, model=model, provider=provider, offer=offer, attempts=(attempt,), session_id="")])

    @property
    def due(self) -> list[str]:
        return [offer.id for offer in self.probes.due()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "trunkline.toml")


def test_without_a_policy_nothing_is_asked(world) -> None:
    world.used()
    world.probes.take_over(None)
    assert world.due == []


def test_an_offer_of_a_model_in_use_is_due_when_it_was_silent_for_so_long(world) -> None:
    assert world.due == []
    world.used()
    assert world.due == ["acme/alpha:second"]
    world.now_s += 301
    assert world.due == ["acme/alpha:first", "acme/alpha:second"]


def test_a_model_that_nobody_asked_for_within_a_day_is_left_alone(world) -> None:
    world.used()
    world.now_s += 86_401
    assert world.due == []


def test_an_offer_without_a_price_is_left_alone_unless_it_is_on_this_machine(world) -> None:
    world.used("acme/unpriced:far")
    world.now_s += 301
    assert world.due == ["acme/unpriced:here"]


def test_one_that_asked_for_rest_is_left_alone(world) -> None:
    world.used()
    world.gateway.health.rest("acme/alpha:second", world.now_s, 60.0, 429)
    assert world.due == []


def test_one_whose_breaker_wants_to_know_is_due_at_once(world) -> None:
    world.used()
    for _ in range(5):
        world.gateway.health.observe("acme/alpha:first", Sample(world.now_s, up=False))
    assert "acme/alpha:first" not in world.due
    world.now_s += 30
    assert world.gateway.health.figures("acme/alpha:first", world.now_s).breaker == "half_open"
    assert "acme/alpha:first" in world.due


async def test_a_probe_is_a_tiny_request_to_that_offer_alone(world) -> None:
    world.used()
    assert await world.probes.look() == 1
    (body,) = world.transport.bodies
    assert (body["model"], body["max_completion_tokens"], body["stream"]) == ("alpha", 16, True)
    assert "provider" not in body


async def test_its_record_says_that_it_was_a_probe_and_health_learns_of_it(world) -> None:
    world.used()
    await world.probes.look()
    (record,) = world.sink.records
    assert (record.outcome, record.session_id, record.key_id) == ("ok", "probe", "")
    assert [(attempt.kind, attempt.offer) for attempt in record.attempts] == [("probe", "acme/alpha:second")]
    assert [intent.id for intent in world.sink.intents] == [record.id]
    assert world.gateway.health.figures("acme/alpha:second", world.now_s).attempts == 1
    assert world.gateway.open == 0


async def test_what_was_just_probed_is_not_due_again(world) -> None:
    world.used()
    await world.probes.look()
    assert world.due == []


async def test_the_budget_of_a_day_is_kept_to_and_a_new_day_has_a_new_one(world) -> None:
    world.used()
    # One costs at most 1.75 USD a million times 80 tokens, and in fact 10 + 4 * 1 of a million.
    world.probes.take_over(ProbePolicy(every_s=300.0, budget_usd_per_day=0.00015))
    assert await world.probes.look() == 1
    assert world.sink.records[0].cost_pico_usd == 14_000_000
    world.now_s += 301
    assert world.due == []
    world.today = "2026-01-02"
    assert len(world.due) == 1


def test_probes_themselves_do_not_keep_a_model_in_use(world) -> None:
    world.used()
    attempt = msgspec.structs.replace(a_record(1).attempts[1], offer="acme/alpha:first", kind="probe")
    world.now_s += 86_000
    world.probes.see([a_record(1, model="acme/alpha", session_id="probe", attempts=(attempt,))])
    world.now_s += 500
    assert world.due == []

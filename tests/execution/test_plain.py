"""The short way of a request whose shape is known: what the provider gets, the caller's answer and the record are those of the long way."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.fakes.caller import CallerConnection
from tests.fakes.services import gateway_of
from tests.fakes.upstream import USAGE, completion
from trunkline.accounts.keys import ApiKey
from trunkline.accounts.shared import Claim, Grant, Refusal
from trunkline.accounts.terms import KeyTerms
from trunkline.accounts.types import Budget, KeyRules
from trunkline.api.call import Call
from trunkline.api.doors import CHAT_DOOR
from trunkline.catalog.types import PARAMETERS
from trunkline.errors import RequestError
from trunkline.execution import explain, plain
from trunkline.execution.accounting import Accounting
from trunkline.execution.asked import Asked
from trunkline.execution.exchange import Client, Exchange
from trunkline.execution.gateway import Clock, Gateway
from trunkline.execution.learning import learn_shape
from trunkline.execution.plain import Head, begin_plainly
from trunkline.execution.planning import plan
from trunkline.execution.run import begin, run
from trunkline.execution.transport.client import HttpTransport
from trunkline.execution.transport.options import TransportOptions
from trunkline.execution.upstream import REQUEST_IDS, SHOWN, shown_of
from trunkline.execution.worst import Ceilings
from trunkline.protocols.codec import CHAT
from trunkline.protocols.openai_chat.measure import text_bytes
from trunkline.protocols.openai_chat.request import read, upstream_body
from trunkline.records.types import Intent, Record
from trunkline.settings import load_settings
from trunkline.shared.memory import InMemory
from trunkline.snapshot import build

CONFIG = """
[providers.first]
base_url = "http://127.0.0.1:{port}/first/v1"
api_key = "sk-operator"
[providers.second]
base_url = "http://127.0.0.1:{port}/second/v1"
api_key = "sk-operator"
[[models]]
slug = "acme/alpha"
[[models.offers]]
provider = "first"
upstream_model = "alpha"
protocols = ["openai.chat"]
abortable = true
price = [
  {{ item = "prompt", unit = "perMTokens", value = "1.10" }},
  {{ item = "completion", unit = "perMTokens", value = "4.40" }},
]
{more}
[routing]
spread = false
[embedded]
enabled = false
"""
SECOND = """
[[models.offers]]
provider = "second"
upstream_model = "alpha"
protocols = ["openai.chat"]
"""
KEY = ApiKey("", "tests", "", "", 0)
PRICE = """
price = [
  { item = "prompt", unit = "perMTokens", value = "1" },
  { item = "completion", unit = "perMTokens", value = "40" },
]
"""
Answer = Callable[[bytes], bytes | None]
"""Of a request's head what is answered; None: nothing is said, until the gateway leaves."""


def ok(
    body: bytes = completion(), headers: bytes = b"x-request-id: up-1\r\nopenai-processing-ms: 5\r\nset-cookie: a=b\r\n"
) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n%b" % (
        headers,
        len(body),
        body,
    )


class Provider:
    """Answers each request with the next of `answers`, the last one again and again; notes what came."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [lambda _: ok()]
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.left = asyncio.Event()
        self.came = asyncio.Event()
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await _head(reader):
                self.heads.append(head)
                self.bodies.append(
                    await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r")[0]))
                )
                self.came.set()
                answer = self.answers[0](head) if len(self.answers) == 1 else self.answers.pop(0)(head)
                if answer is None:
                    await reader.read()
                    self.left.set()
                    break
                if not answer:
                    break
                writer.write(answer)
        finally:
            writer.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


class Sink:
    is_full = False

    def __init__(self) -> None:
        self.intents: list[Intent] = []
        self.records: list[Record] = []

    def intend(self, intent: Intent) -> None:
        self.intents.append(intent)

    def end(self, record: Record) -> None:
        self.records.append(record)


class World:
    """A gateway, its provider, and callers without sockets."""

    def __init__(self, gateway: Gateway, provider: Provider, sink: Sink) -> None:
        self.gateway = gateway
        self.provider = provider
        self.sink = sink
        self.last: tuple[CallerConnection, Call] | None = None

    def sent(self, body: bytes, key: ApiKey = KEY, terms: KeyTerms | None = None) -> bool:
        """Whether the request went the short way; where not, nothing was done."""
        self.provider.came.clear()
        caller = CallerConnection()
        call = caller.call(method="POST")
        clock = self.gateway.clock
        self.last = caller, call
        head = Head(CHAT_DOOR, Client(), None)
        now_s, now_ms = clock.now_s(), clock.unix_ms()
        went = begin_plainly(self.gateway, call, head, key, "req_1", now_s, now_ms, body, None, terms)
        if went:
            self.gateway.open += 1
        return went

    async def answered(self) -> CallerConnection:
        """The answer to the request that was sent last, once its record is made."""
        assert self.last is not None
        caller, _ = self.last
        async with asyncio.timeout(5):
            while self.gateway.open:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)
            if caller.task is not None:
                # One whose caller had left before may end cancelled, with its record made.
                await asyncio.wait([caller.task])
                assert caller.task.cancelled() or caller.task.exception() is None
        return caller

    async def long(self, body: bytes, log: Any = None, terms: KeyTerms | None = None) -> CallerConnection:
        caller = CallerConnection()
        exchange = Exchange("req_1", CHAT, self.gateway.clock.now_s(), self.gateway.clock.unix_ms(), terms=terms)
        if terms is not None:
            exchange.key_id, exchange.rules, exchange.prepaid_by = terms.key.id, terms.key.rules, terms.prepaid_by
        begin(self.gateway, exchange)
        reply = caller.reply(caller.call(method="POST"))
        reply.told = partial(explain.told, exchange, False)
        await run(self.gateway, exchange, reply, CHAT_DOOR, body, log)
        return caller

    @property
    def in_flight(self) -> int:
        """Attempts that have begun and of which nobody said that they ended."""
        health, now_s = self.gateway.health, self.gateway.clock.now_s()
        offers = [one for model in self.gateway.snapshot.catalog.models.values() for one in model.offers]
        return sum(health.figures(one.id, now_s).in_flight for one in offers)

    async def learned(self, more: bytes = b"") -> None:
        """Two requests of the kind of `asking` have been answered."""
        for _ in range(2):
            assert (await self.long(asking(more=more))).status == 200


def asking(words: str = "hi", more: bytes = b"") -> bytes:
    return b'{"model": "acme/alpha", "messages": %b%b}' % (
        json.dumps([{"role": "user", "content": words}]).encode(),
        more,
    )


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Callable[[str], World]]:
    provider, transport = Provider(), HttpTransport(TransportOptions())
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    def make(more: str = "") -> World:
        path = tmp_path / "trunkline.toml"
        path.write_text(CONFIG.format(port=port, more=more))
        clock = Clock(time.monotonic, lambda: 1.7e12 + time.monotonic() * 1000, lambda: "2026-01-01", lambda: "req_1")
        sink = Sink()
        snapshot = build(load_settings(path, {}))
        return World(gateway_of(snapshot, clock, transports={"": transport}, sink=sink), provider, sink)

    yield make
    await transport.aclose()
    server.close()
    await server.wait_closed()


@pytest.fixture
def world(made: Callable[[str], World]) -> World:
    return made("")


def told(record: Record) -> Record:
    """A record but for the times."""
    attempts = tuple(replace(one, started_ms=0.0, ended_ms=0.0) for one in record.attempts)
    return replace(record, received_ms=0.0, ended_ms=0.0, attempts=attempts)


@pytest.mark.parametrize(
    "more",
    [
        b"",
        b', "max_tokens": 50',
        b', "usage": {"include": false}',
        b', "tools": [{"type": "function", "function": {"name": "f"}}]',
        b', "session_id": "s"',
    ],
    ids=["plain", "limit", "no cost", "tools", "session"],
)
async def test_all_that_anyone_sees_is_the_same_as_on_the_long_way(world: World, more: bytes) -> None:
    await world.learned(more)
    long = await world.long(asking("now", more))
    assert world.sent(asking("now", more))
    short = await world.answered()
    assert short.task is None
    assert short.body == long.body
    assert sorted(short.headers) == sorted(long.headers)
    assert world.provider.bodies[-1] == world.provider.bodies[-2]
    assert world.provider.heads[-1] == world.provider.heads[-2]
    assert told(world.sink.records[-1]) == told(world.sink.records[-2])
    assert len(world.sink.intents) == len(world.sink.records) == 4
    assert world.gateway.open == 0


@pytest.mark.parametrize("name", sorted(SHOWN | REQUEST_IDS))
@pytest.mark.parametrize("spelt", [bytes.lower, bytes.title, bytes.swapcase])
def test_each_header_that_is_looked_at_is_found_in_a_head(name: bytes, spelt: Callable[[bytes], bytes]) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n%b:  Some Value \r\nDate: x\r\n\r\n" % spelt(name)
    assert (name, b"Some Value") in shown_of(head)
    assert shown_of(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Other: x\r\n\r\n") == []


async def test_a_first_and_a_second_request_go_the_long_way(world: World) -> None:
    assert not world.sent(asking())
    await world.long(asking())
    assert not world.sent(asking())
    await world.long(asking())
    assert world.sent(asking("something else"))
    await world.answered()


@pytest.mark.parametrize(
    "body",
    [
        asking(more=b', "temperature": 1'),
        asking(more=b', "stream": true'),
        b'{"model": "acme/alpha", "messages": [{"role": "user", "content": "hi"}], "seed": [1]}',
        b'{"model": "acme/alpha", "messages": [{"role": "user", "content": "hi"}',
        b'{"model": "acme/alpha", "messages": [{"role": "user", "content": "hi"}]}]}',
        b'{"model": "acme/alpha", "messages": []}',
        b'{"model": "acme/alpha", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}',
        asking('"tl1'),
        b"[]",
        b"",
    ],
)
async def test_what_is_not_of_the_shape_goes_the_long_way(world: World, body: bytes) -> None:
    await world.learned()
    assert not world.sent(body)
    assert len(world.sink.intents) == 2


async def test_a_reload_forgets_what_was_learned(made: Callable[[str], World]) -> None:
    world = made("")
    await world.learned()
    world.gateway.snapshot = made("").gateway.snapshot
    assert not world.sent(asking())


async def test_a_failure_goes_on_with_the_next_offer_and_makes_one_record(made: Callable[[str], World]) -> None:
    world = made(SECOND)
    await world.learned()
    busy = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
    world.provider.answers = [lambda _: busy, lambda _: ok()]
    assert world.sent(asking())
    caller = await world.answered()
    assert caller.status == 200
    record = world.sink.records[-1]
    assert [(one.provider, one.outcome, one.status) for one in record.attempts] == [
        ("first", "status", 503),
        ("second", "ok", 200),
    ]
    assert (b"x-trunkline-attempts", b"first:status 503; second:ok") in caller.headers
    assert len(world.sink.intents) == 4
    assert len(world.sink.records) == 3


@pytest.mark.parametrize(
    ("body", "estimated"),
    [
        (completion(usage=None), True),
        (completion(usage={"prompt_tokens": 3, "completion_tokens": None, "total_tokens": None}), False),
    ],
    ids=["no usage", "nulls"],
)
async def test_an_unusual_answer_is_answered_all_the_same(world: World, body: bytes, *, estimated: bool) -> None:
    await world.learned()
    world.provider.answers = [lambda _: ok(body)]
    assert world.sent(asking())
    assert (await world.answered()).status == 200
    assert world.sink.records[-1].usage.estimated is estimated
    assert len(world.provider.bodies) == 3


async def test_an_answer_that_comes_in_pieces_is_waited_for(world: World) -> None:
    await world.learned()
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
        len(completion()),
        completion(),
    )
    world.provider.answers = [lambda _: chunked]
    assert world.sent(asking())
    caller = await world.answered()
    assert (caller.status, caller.task) == (200, None)
    assert json.loads(caller.body)["usage"]["prompt_tokens"] == USAGE["prompt_tokens"]


async def test_a_kept_connection_that_was_closed_meanwhile_is_replaced(world: World) -> None:
    await world.learned()
    world.provider.answers = [lambda _: b"", lambda _: ok()]
    assert world.sent(asking())
    assert (await world.answered()).status == 200
    assert world.provider.connections == 2
    (attempt,) = world.sink.records[-1].attempts
    assert attempt.outcome == "ok"
    assert len(world.sink.intents) == 3


async def test_a_caller_that_leaves_ends_the_call_and_makes_a_record(world: World) -> None:
    await world.learned()
    world.provider.answers = [lambda _: None]
    assert world.sent(asking())
    await world.provider.came.wait()
    assert world.last is not None
    _, call = world.last
    assert call.on_left is not None
    call.on_left()
    await world.answered()
    await asyncio.wait_for(world.provider.left.wait(), 5)
    record = world.sink.records[-1]
    assert (record.outcome, record.status) == ("client_left", 499)
    assert [(one.outcome, one.after_leaving) for one in record.attempts] == [("client_left", "cancelled")]


async def test_a_stop_is_told_to_the_caller(world: World) -> None:
    await world.learned()
    world.provider.answers = [lambda _: None]
    assert world.sent(asking())
    await world.provider.came.wait()
    assert world.last is not None
    caller, call = world.last
    assert call.on_stop is not None
    call.on_stop()
    await asyncio.sleep(0)
    assert caller.task is not None
    caller.task.cancel()
    await world.answered()
    assert caller.status == 503
    assert world.sink.records[-1].outcome == "interrupted"


@pytest.mark.parametrize("is_stopped", [False, True], ids=["beside an error", "beside a stop"])
async def test_a_caller_that_leaves_in_the_turn_in_which_its_request_is_handed_over_makes_one_record(
    world: World, *, is_stopped: bool
) -> None:
    await world.learned()
    world.provider.answers = [lambda _: None if is_stopped else b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"]
    assert world.sent(asking())
    assert world.last is not None
    caller, call = world.last
    runs = []

    def go_on(call: Call, work: Any) -> None:
        runs.append(work)
        CallerConnection.go_on(caller, call, work)
        if len(runs) == 1 and call.on_left is not None:
            call.on_left()

    caller.go_on = go_on  # type: ignore[method-assign]  # a caller that leaves just then
    await world.provider.came.wait()
    if is_stopped:
        assert call.on_stop is not None
        call.on_stop()
    await world.answered()
    assert len(runs) == 1
    assert [one.outcome for one in world.sink.records] == ["ok", "ok", "client_left"]
    assert len(world.sink.records[-1].attempts) == 1
    assert (world.gateway.open, world.in_flight) == (0, 0)


# --- keys that are held to something

LIMIT = b', "max_tokens": 50'
USD = 10**12


class State(InMemory):
    """Notes what is claimed."""

    def __init__(self) -> None:
        super().__init__()
        self.claims: list[Claim] = []

    def claim(self, claim: Claim, now_ms: float) -> Grant | Refusal:
        self.claims.append(claim)
        return super().claim(claim, now_ms)


class Held:
    """The world's gateway holds a key to its rules, a budget of so much, and credits."""

    def __init__(self, world: World, limit_pico_usd: int | None, **rules: Any) -> None:
        nobody: Any = None
        self.world = world
        self.state = State()
        accounting = Accounting(self.state, nobody, world.gateway.clock, Ceilings())
        world.gateway.accounting = accounting
        self.key = replace(KEY, id="key_1", rules=KeyRules(**rules))
        if limit_pico_usd is None:
            self.terms = KeyTerms(self.key, (), None)
        else:
            budget = Budget("b", self.key.org_id, "key", "key_1", "total", limit_pico_usd, 0)
            self.terms = KeyTerms(self.key, (budget,), 5 * USD)
        accounting.terms = {"key_1": self.terms}
        for hold in self.terms.holds(world.gateway.clock.unix_ms()):
            self.state.open(hold)
            self.state.fill(hold.name, 0, ())

    def sent(self, words: str = "hi") -> bool:
        return self.world.sent(asking(words, LIMIT), self.key, self.terms)

    async def long(self, words: str = "hi") -> CallerConnection:
        return await self.world.long(asking(words, LIMIT), None, self.terms)

    async def learned(self) -> None:
        for _ in range(2):
            assert (await self.long()).status == 200

    @property
    def money(self) -> list[tuple[int, int]]:
        """What is spent and held of budget and credits."""
        now_ms = self.world.gateway.clock.unix_ms()
        names = [hold.name for hold in self.terms.holds(now_ms)]
        return [(one.spent_pico_usd, one.held_pico_usd) for one in self.state.spent(names, now_ms)]


async def test_a_key_with_limits_and_budgets_claims_and_settles_as_on_the_long_way(world: World) -> None:
    held = Held(world, USD, requests_per_minute=100, tokens_per_minute=100_000, concurrency=2, models=("acme/*",))
    await held.learned()
    long = await held.long("now")
    assert held.sent("now")
    assert all(held_pico_usd > 0 for _, held_pico_usd in held.money)
    short = await world.answered()
    assert short.task is None
    assert short.body == long.body
    names = [sorted(name for name, _ in caller.headers) for caller in (short, long)]
    assert names[0] == names[1]
    assert b"x-ratelimit-remaining-tokens" in names[0]
    assert told(world.sink.records[-1]) == told(world.sink.records[-2])
    assert world.sink.records[-1].prepaid_by == held.key.org_id
    claims = [replace(one, least_pico_usd=0) for one in held.state.claims[-2:]]
    assert claims[0] == claims[1]
    reserved = [one.reserved_pico_usd for one in world.sink.intents[-2:]]
    assert reserved == [claims[0].amount_pico_usd] * 2
    cost = world.sink.records[-1].cost_pico_usd
    assert cost > 0
    assert held.money == [(4 * cost, 0)] * 2


async def test_what_a_limit_does_not_let_go_is_left_to_the_long_way_which_says_so(world: World) -> None:
    held = Held(world, USD, concurrency=1)
    await held.learned()
    world.provider.answers = [lambda _: None]
    assert held.sent()
    first = world.last
    assert not held.sent()
    assert (await held.long()).status == 429
    assert first is not None
    assert first[1].on_left is not None
    first[1].on_left()
    world.last = first
    await world.answered()
    assert [spent_and_held[1] for spent_and_held in held.money] == [0, 0]
    world.provider.answers = [lambda _: ok()]
    assert (await held.long()).status == 200


async def test_a_budget_with_less_than_all_of_it_is_left_to_the_long_way(world: World) -> None:
    held = Held(world, USD)
    await held.learned()
    amount, spent = held.state.claims[-1].amount_pico_usd, held.money[0][0]
    budget = held.terms.holds(world.gateway.clock.unix_ms())[0]
    held.state.settle("another", USD - spent - amount, 0, 0.0, [budget.name])
    assert held.sent()
    await world.answered()
    left = USD - held.money[0][0]
    assert 0 < left < amount
    assert not held.sent()
    assert held.money[0][1] == 0
    assert world.gateway.open == 0


async def test_a_failure_goes_on_with_what_was_claimed_and_settles_once(made: Callable[[str], World]) -> None:
    world = made(SECOND + PRICE)
    held = Held(world, USD, requests_per_minute=100)
    await held.learned()
    before = len(held.state.claims)
    world.provider.answers = [lambda _: b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", lambda _: ok()]
    assert held.sent()
    caller = await world.answered()
    assert caller.status == 200
    assert b"x-ratelimit-remaining-requests" in dict(caller.headers)
    assert len(held.state.claims) == before + 1
    records = world.sink.records
    assert [one.provider for one in records[-1].attempts] == ["first", "second"]
    assert held.money == [(sum(one.cost_pico_usd for one in records), 0)] * 2


async def test_what_is_claimed_pays_the_dearest_offer_as_on_the_long_way(made: Callable[[str], World]) -> None:
    world = made(SECOND + PRICE)
    held = Held(world, USD)
    await held.learned()
    await held.long()
    assert held.sent()
    await world.answered()
    assert held.state.claims[-1].amount_pico_usd == held.state.claims[-2].amount_pico_usd


async def test_an_answer_that_costs_nothing_frees_its_place(made: Callable[[str], World]) -> None:
    world = made("")
    held = Held(world, None, concurrency=1)
    await held.learned()
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    world.provider.answers = [lambda _: ok(completion(usage=nothing))]
    for _ in range(2):
        assert held.sent()
        await world.answered()
    assert world.sink.records[-1].cost_pico_usd == 0


async def test_a_request_that_is_not_let_go_leaves_its_connection_to_others(world: World) -> None:
    await world.learned(LIMIT)
    await Held(world, USD).learned()
    held = Held(world, 0)
    assert not held.sent()
    assert world.sent(asking("hi", LIMIT))
    await world.answered()
    assert world.provider.connections == 1


async def test_keys_share_no_shapes_with_keys_of_other_rules(made: Callable[[str], World]) -> None:
    world = made(SECOND)
    await world.learned(LIMIT)
    held = Held(world, USD, providers=("second",))
    assert not held.sent()
    held = Held(world, USD, providers=("first",))
    await held.learned()
    assert held.sent()
    await world.answered()
    assert world.sink.records[-1].provider == "first"


def nested(depth: int) -> bytes:
    return b'{"model": "acme/alpha", "messages": [{"role": "user", "content": "hi", "x": %b%b}]}' % (
        b"[" * depth,
        b"]" * depth,
    )


async def test_messages_that_are_nested_deeply_go_the_long_way(world: World) -> None:
    await world.learned()
    assert not any(world.sent(nested(depth)) for depth in range(800, 1000))


async def test_an_attempt_whose_body_the_long_way_refuses_ends_and_stands_in_the_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.learned()
    world.provider.answers = [lambda _: None]
    monkeypatch.setattr(plain, "_MAX_NESTED", 10_000)
    # The deepest that can be read as messages is too deep as a body.
    assert any(world.sent(nested(depth)) for depth in range(1000, 800, -1))
    await world.provider.came.wait()
    assert world.last is not None
    caller, call = world.last
    assert call.on_stop is not None
    call.on_stop()
    await world.answered()
    await asyncio.wait_for(world.provider.left.wait(), 5)
    assert caller.status == 400
    record = world.sink.records[-1]
    assert [(one.provider, one.outcome) for one in record.attempts] == [("first", "internal")]
    assert world.in_flight == 0


async def test_of_a_request_with_much_beside_its_messages_no_shape_is_kept(world: World) -> None:
    more = b', "user": "%b"' % (b"u" * 9000)
    await world.learned(more)
    assert not world.sent(asking(more=more))


async def test_a_long_body_goes_the_long_way(world: World) -> None:
    await world.learned()
    assert not world.sent(asking("x" * 70_000))


async def test_who_answered_a_long_prompt_is_remembered_as_on_the_long_way(made: Callable[[str], World]) -> None:
    world = made(SECOND + 'shutdown_on = "2020-01-01"\n')
    await world.learned()
    await world.long(asking("long " * 1000))
    assert len(world.gateway.holds) == 1
    assert world.sent(asking("short " * 1000))
    await world.answered()
    assert len(world.gateway.holds) == 2


async def test_a_shape_follows_the_plan_that_is_remembered(world: World) -> None:
    await world.learned()
    world.gateway.snapshot.plans.clear()
    await world.long(asking())
    assert world.sent(asking())
    await world.answered()


async def test_a_request_of_which_nothing_can_be_learned_is_answered_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("messages")

    class Log:
        def __init__(self) -> None:
            self.said: list[str] = []

        def exception(self, what: str, **_: Any) -> None:
            self.said.append(what)

    log = Log()
    monkeypatch.setattr("trunkline.execution.trying.learn_shape", broken)
    caller = await world.long(asking(), log)
    assert caller.written.count(b"HTTP/1.1") == 1
    assert world.sink.records[-1].outcome == "ok"
    assert log.said == ["nothing could be learned of a request"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"model":"acme/alpha","messages":', b',"messages":[{"role":"user","content":"hi"}]}'),
        (b'{"messages":[{"role":"user","content":"hi"}],"model":"acme/alpha","messages":', b"}"),
        (b'{"model":"acme/alpha","messages":', b',"\\u006dessages":[{"role":"user","content":"hi"}]}'),
        (b'{"metadata":{"messages":', b'},"model":"acme/alpha","messages":[{"role":"user","content":"hi"}]}'),
    ],
    ids=["twice", "twice before", "escaped", "inside"],
)
async def test_a_body_in_which_two_places_may_be_the_messages_has_no_shape(
    world: World, before: bytes, after: bytes
) -> None:
    same, other = (before + b'[{"role":"user","content":"%b"}]' % words + after for words in (b"hi", b"now"))
    for _ in range(3):
        assert (await world.long(same)).status == 200
    assert not world.sent(same)
    assert not world.sent(other)


# --- what is learned of a body holds for every other

values = st.sampled_from([b"1", b'"m"', b"null", b"[1]", b'{"messages": [1]}', b'"\\u006d"', b'"x[y"', b"[]"])
keys = st.sampled_from([b'"model"', b'"seed"', b'"messages"', b'"\\u006dessages"', b'"metadata"', b'"user"'])
texts = st.text(max_size=20)
messages = st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": texts}), min_size=1, max_size=3)
SPACE = st.sampled_from([b"", b" ", b"\n"])


@st.composite
def around(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Bytes before and after the messages of a body."""
    before = [b"%b:%b%b" % (draw(keys), draw(SPACE), draw(values)) for _ in range(draw(st.integers(0, 3)))]
    after = [b"%b:%b%b" % (draw(keys), draw(SPACE), draw(values)) for _ in range(draw(st.integers(0, 3)))]
    first = b"".join(one + b"," + draw(SPACE) for one in [b'"model":"acme/alpha"', *before])
    return b"{" + first + b'"messages":' + draw(SPACE), b"".join(b"," + draw(SPACE) + one for one in after) + b"}"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(around(), messages, messages)
async def test_what_the_provider_gets_is_what_the_long_way_makes_of_the_body(
    world: World, ends: tuple[bytes, bytes], first: list[Any], second: list[Any]
) -> None:
    if not world.provider.bodies:
        # Somebody has been there before.
        await world.long(asking())
    gateway, snapshot = world.gateway, world.gateway.snapshot
    before, after = ends
    bodies = [b"%b%b%b" % (before, json.dumps(one).encode(), after) for one in (first, second)]
    asked, again = (_asked(gateway, body) for body in bodies)
    if asked is None:
        return
    try:
        step = plan(gateway, snapshot, asked.facts).steps[0]
    except RequestError:
        return
    for _ in range(2):
        learn_shape(gateway, snapshot, asked, step, gateway.keys.take(snapshot.account("first")))
    found = snapshot.shapes.find(bodies[1])
    size = text_bytes(found[1]) if found is not None else None
    event(f"found {size is not None}")
    if found is None or size is None:
        # Or what is between the ends is no list, as `begin_plainly` finds out too.
        return
    shape, inside = found
    assert again is not None
    assert inside == bytes(again.fields["messages"])
    road = shape.roads[step.offer.id]
    sent = upstream_body(read(bodies[1], PARAMETERS), model="alpha", drop=(), rename={}, ask_usage=False)
    assert road.before + inside + road.after == sent
    assert replace(shape.facts, prompt_bytes=0) == replace(again.facts, prompt_bytes=0)
    assert shape.beside_bytes + size == again.facts.prompt_bytes


def _asked(gateway: Gateway, body: bytes) -> Asked | None:
    try:
        return Asked(CHAT_DOOR, body, "req_1", 0, gateway.vault, has_state=False)
    except Exception:  # noqa: BLE001 - a body that the long way refuses
        return None

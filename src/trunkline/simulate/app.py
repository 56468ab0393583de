"""The simulated providers as an ASGI app: `make_app(config, clock, random)`.

In: a config, a clock, randomness. Out: an app that speaks all four protocols, each with its vendor's errors; `routes`
has the paths. `/__simulate/...` is for tests: log, reset, behaviour. Nothing here is a real model, and every answer
says so.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any

import msgspec

from trunkline.simulate import wire
from trunkline.simulate.answer import Answer, answer, empty_answer
from trunkline.simulate.arrival import Arrival, headers_of, query_of
from trunkline.simulate.asked import Asked
from trunkline.simulate.config import Behaviour, SimulationConfig, changed
from trunkline.simulate.dialects import DIALECTS, OPERATIONS, Dialect, Operation
from trunkline.simulate.directives import BadDirectiveError, Script, read_script
from trunkline.simulate.journal import Entry, Journal
from trunkline.simulate.messages.cache import PromptCache
from trunkline.simulate.pace import Fate, fate, gap_s, retry_after_s
from trunkline.simulate.peer import Peer, Receive, Send
from trunkline.simulate.play import Headers, play_body, play_stream
from trunkline.simulate.routes import Route, find_route
from trunkline.simulate.vendor_errors import ErrorAnswer, RefusedError

App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]
JSON = (b"content-type", b"application/json")


class Visit(msgspec.Struct, frozen=True):
    """One request on its way through: where it goes, with what, and its line in the log."""

    route: Route
    arrival: Arrival
    entry: Entry
    received: float

    @property
    def dialect(self) -> Dialect:
        return DIALECTS[self.route.dialect]


def make_app(config: SimulationConfig, clock: Callable[[], float], random: Random) -> App:
    """`clock` gives seconds since 1970, for `created` and processing times; `random` draws delays, mishaps and ids."""
    return Simulator(config, clock, random)


class Simulator:
    """Lives as long as the server: the journal, what is kept of prompts, and behaviours that tests have changed."""

    def __init__(self, config: SimulationConfig, clock: Callable[[], float], random: Random) -> None:
        self.config = config
        self.clock = clock
        self.random = random
        self.journal = Journal()
        self.cache = PromptCache()
        self.changed: dict[str, Behaviour] = {}
        self.running: set[asyncio.Task[Any]] = set()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        peer = Peer(scope, receive, send)
        try:
            body = await peer.body()
            if body is None:
                return
            if scope["path"].startswith("/__simulate/"):
                await self.control(peer, scope, body)
            else:
                await self.tracked(self.serve(peer, scope, body))
        finally:
            await peer.release()

    async def tracked(self, serving: Coroutine[Any, Any, None]) -> None:
        """Runs in the request's task, and lets `idle` wait for its end."""
        task = asyncio.current_task()
        assert task is not None
        self.running.add(task)
        try:
            await serving
        finally:
            self.running.discard(task)

    def behaviour(self, provider: str) -> Behaviour:
        return self.changed.get(provider) or self.config.behaviour(provider)

    # The providers

    async def serve(self, peer: Peer, scope: dict[str, Any], body: bytes) -> None:
        """One request, from the log entry to its outcome."""
        received = self.clock()
        found = find_route(scope)
        entry = self.journal.note(found.provider if found else "", scope, body)
        route = found or Route("openai", "", None, scope["path"])
        visit = Visit(route, self.arrival(route, scope), entry, received)
        try:
            if found is None:
                raise visit.dialect.unknown_path(scope["method"], scope["path"])
            check_key(visit)
            await self.answer(peer, scope, visit, body)
        except RefusedError as refused:
            await self.send_error(peer, visit, refused.answer, "refused")

    def arrival(self, route: Route, scope: dict[str, Any]) -> Arrival:
        owner = route.provider if DIALECTS[route.dialect].binds_provider else route.dialect
        return Arrival(
            behaviour=self.behaviour(route.provider),
            provider=route.provider,
            secret=f"simulated {self.config.seed} {owner}".encode(),
            model=route.model,
            operation=route.rest,
            headers=headers_of(scope),
            query=query_of(scope),
        )

    async def answer(self, peer: Peer, scope: dict[str, Any], visit: Visit, body: bytes) -> None:
        route, entry, behaviour = visit.route, visit.entry, visit.arrival.behaviour
        if route.rest.startswith("/models"):
            entry.status, entry.outcome = 200, "answered"
            await self.send_models(peer, visit)
            return
        operation = operation_of(scope, visit)
        asked = operation.read(body, visit.arrival)
        if behaviour.models and asked.model not in behaviour.models:
            raise visit.dialect.unknown_model(asked.model)
        script = scripted(asked, visit)
        met = self.meet(behaviour, script, asked, route.provider)
        if not await peer.waited(met.first_s):
            entry.outcome = "left"
            return
        if met.status == 200 and met.fault and met.fault.kind == "error" and not asked.stream:
            met = msgspec.structs.replace(met, status=500)  # Without a stream there is no event to say it in.
        if met.status != 200:
            await self.send_error(peer, visit, visit.dialect.failed(met.status, met.retry_after_s), "failed")
            return
        entry.status = 200 if met.fault is None or met.fault.after >= 0 or met.fault.kind == "error" else None
        entry.outcome = await self.play(peer, visit, operation, asked, script, met)

    def meet(self, behaviour: Behaviour, script: Script, asked: Asked, provider: str) -> Fate:
        """The fate of this request, a scripted failure counted."""
        met = fate(behaviour, script, self.random)
        failure = script.failure
        if failure is None or self.journal.counted(provider, asked.message) > failure.times:
            return met
        after = failure.retry_after_s
        told = after if after is not None else retry_after_s(behaviour, failure.status)
        return msgspec.structs.replace(met, status=failure.status, retry_after_s=told)

    async def play(
        self, peer: Peer, visit: Visit, operation: Operation, asked: Asked, script: Script, met: Fate
    ) -> str:
        given = self.given(visit, operation, asked, script, met)
        arrival = visit.arrival
        id_ = self.new_id(operation.id_prefix)
        head = wire.Head(visit.route.dialect, id_, int(visit.received), asked.model, arrival.secret)
        headers = self.headers(visit, self.new_id("req_sim"))
        with_usage = not script.without_usage
        if asked.stream and not script.empty_body:
            shown = operation.events(given, asked, head, with_usage=with_usage)
            headers = with_type(headers, shown.content_type, met)
            return await play_stream(peer, headers, shown, met, gap_s(met, len(given.pieces), given.usage.completion))
        body = b"" if script.empty_body else operation.body(given, asked, head, with_usage=with_usage)
        if met.tokens_per_s and not await peer.waited(given.usage.completion / met.tokens_per_s):
            return "left"
        kind = b"text/event-stream; charset=utf-8" if asked.stream else JSON[1]
        return await play_body(peer, with_type(headers, kind, met), body, met)

    def given(self, visit: Visit, operation: Operation, asked: Asked, script: Script, met: Fate) -> Answer:
        """The answer, with what of its prompt was read from the cache and what was written into it."""
        behaviour = visit.arrival.behaviour
        said = answer(asked, script, self.config.seed, behaviour.tool_call_rate)
        if met.empty:
            said = empty_answer(asked)
        if script.usage is not None or not operation.keeps_prompts:
            return said
        kept = self.cache.use(visit.route.provider, asked.marks, behaviour.cache_min_tokens, visit.received)
        usage = msgspec.structs.replace(
            said.usage, cached=kept.read, written_5m=kept.written_5m, written_1h=kept.written_1h
        )
        return msgspec.structs.replace(said, usage=usage)

    def headers(self, visit: Visit, request_id: str) -> Headers:
        spent_ms = b"%d" % round((self.clock() - visit.received) * 1000)
        return visit.dialect.headers(request_id.encode(), spent_ms)

    def new_id(self, prefix: str) -> str:
        return f"{prefix}{self.random.getrandbits(96):024x}"

    async def send_error(self, peer: Peer, visit: Visit, error: ErrorAnswer, outcome: str) -> None:
        visit.entry.status, visit.entry.outcome = error.status, outcome
        request_id = self.new_id("req_sim")
        body = visit.dialect.dressed(error.body, request_id, visit.arrival)
        told = {name for name, _ in error.headers}
        kept = [header for header in self.headers(visit, request_id) if header[0] not in told]
        await self.send_json(peer, body, [*kept, *error.headers], error.status)

    async def send_models(self, peer: Peer, visit: Visit) -> None:
        listed = visit.arrival.behaviour.models
        created = int(self.clock())
        wanted = visit.route.rest.removeprefix("/models").removeprefix("/")
        if wanted and listed and wanted not in listed:
            raise visit.dialect.unknown_model(wanted)
        names = listed or visit.dialect.names
        body = visit.dialect.model(wanted, created) if wanted else visit.dialect.models(names, created)
        await self.send_json(peer, body, self.headers(visit, self.new_id("req_sim")))

    async def send_json(self, peer: Peer, body: bytes, headers: Headers = (), status: int = 200) -> None:
        await peer.start(status, [JSON, (b"content-length", b"%d" % len(body)), *headers])
        await peer.write(body, more=False)

    # What tests use

    async def control(self, peer: Peer, scope: dict[str, Any], body: bytes) -> None:
        action = (scope["method"], scope["path"].removeprefix("/__simulate/"))
        if action == ("GET", "log"):
            after = re.fullmatch(rb"after=(\d+)", scope["query_string"])
            await self.send_json(peer, self.journal.after(int(after[1]) if after else 0))
        elif action == ("GET", "idle"):
            if self.running:
                await asyncio.wait(self.running)
            await self.send_json(peer, b'{"ok":true}')
        elif action == ("POST", "reset"):
            self.journal.clear()
            self.cache.clear()
            self.changed.clear()
            await self.send_json(peer, b'{"ok":true}')
        elif action == ("POST", "behaviour"):
            await self.change(peer, body)
        else:
            message = (
                b'{"error":{"message":"GET log?after=N, GET idle, POST reset and POST behaviour are what there is"}}'
            )
            await self.send_json(peer, message, status=404)

    async def change(self, peer: Peer, body: bytes) -> None:
        """`{"provider": NAME, ...fields}` changes these fields of its behaviour until the next reset."""
        try:
            fields = msgspec.json.decode(body, type=dict[str, Any])
            provider = str(fields.pop("provider"))
            self.changed[provider] = changed(self.behaviour(provider), fields)
        except (msgspec.MsgspecError, KeyError, ValueError) as error:
            await self.send_json(peer, wire.encode({"error": {"message": f"{error}"}}), status=400)
            return
        await self.send_json(peer, wire.encode(self.changed[provider]))


def operation_of(scope: dict[str, Any], visit: Visit) -> Operation:
    """What is asked for, by POST; Azure's older paths demand their api-version."""
    route = visit.route
    operation = OPERATIONS.get((route.dialect, route.rest))
    undated = route.dialect == "azure" and route.model and "api-version" not in visit.arrival.query
    if operation is None or undated:
        raise visit.dialect.unknown_path(scope["method"], scope["path"])
    if scope["method"] != "POST":
        raise visit.dialect.wrong_method(scope["method"], scope["path"])
    return operation


def check_key(visit: Visit) -> None:
    good = visit.arrival.behaviour.api_keys
    given = [key for key in visit.dialect.keys(visit.arrival) if key]
    if good and not any(key in good for key in given):
        raise visit.dialect.wrong_key(bool(given))


def scripted(asked: Asked, visit: Visit) -> Script:
    try:
        return read_script(asked.message, visit.route.provider)
    except BadDirectiveError as error:
        raise visit.dialect.bad_directive(f"{error}") from error


def with_type(headers: Headers, right: bytes, met: Fate) -> Headers:
    """With the right content type, a wrong one, or none."""
    sent = right if met.content_type is None else met.content_type.encode()
    return [(b"content-type", sent), *headers] if sent else headers

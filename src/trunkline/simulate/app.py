"""The simulated providers as an ASGI app: `make_app(config, clock, random)`.

Paths: `[/NAME]/v1/...` speaks OpenAI's dialect, `[/NAME]/openai/...` Azure's; NAME is the provider (without it `openai`
or `azure`). `/__simulate/...` is for tests: log, reset, behaviour. Nothing here is a real model, and every answer says
so.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any

import msgspec

from trunkline.simulate import wire
from trunkline.simulate.answer import answer, empty_answer
from trunkline.simulate.asked import Asked, read_request
from trunkline.simulate.config import Behaviour, SimulationConfig, changed
from trunkline.simulate.directives import BadDirectiveError, Script, read_script
from trunkline.simulate.journal import Entry, Journal
from trunkline.simulate.pace import Fate, fate, gap_s, retry_after_s
from trunkline.simulate.peer import Peer, Receive, Send
from trunkline.simulate.play import Headers, play_body, play_stream
from trunkline.simulate.vendor_errors import (
    ErrorAnswer,
    RefusedError,
    failed,
    refuse,
    unknown_model,
    unknown_path,
    wrong_key,
    wrong_method,
)  # fmt: skip

App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]
PATHS = (
    ("azure", re.compile(r"(?:/(?P<name>[^/]+))?/openai(?:/v1)?(?:/deployments/(?P<deployment>[^/]+))?(?P<rest>/.*)")),
    ("openai", re.compile(r"(?:/(?P<name>[^/]+))?/v1(?P<deployment>)(?P<rest>/.*)")),
)
JSON = (b"content-type", b"application/json")
EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")


class Route(msgspec.Struct, frozen=True):
    dialect: str
    provider: str
    deployment: str | None
    rest: str
    """What is left of the path, e.g. `/chat/completions`."""


def make_app(config: SimulationConfig, clock: Callable[[], float], random: Random) -> App:
    """`clock` gives seconds since 1970, for `created` and processing times; `random` draws delays, mishaps and ids."""
    return Simulator(config, clock, random)


class Simulator:
    """Lives as long as the server: the journal, and behaviours that tests have changed."""

    def __init__(self, config: SimulationConfig, clock: Callable[[], float], random: Random) -> None:
        self.config = config
        self.clock = clock
        self.random = random
        self.journal = Journal()
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
        route = find_route(scope["path"])
        entry = self.journal.note(route.provider if route else "", scope, body)
        try:
            if route is None:
                raise unknown_path("openai", scope["method"], scope["path"])
            check_key(scope, route.dialect, self.behaviour(route.provider))
            await self.answer(peer, scope, route, body, entry, received)
        except RefusedError as refused:
            await self.send_error(peer, route.dialect if route else "openai", refused.answer, entry, "refused")

    async def answer(
        self, peer: Peer, scope: dict[str, Any], route: Route, body: bytes, entry: Entry, received: float
    ) -> None:
        behaviour = self.behaviour(route.provider)
        if route.rest.startswith("/models"):
            entry.status, entry.outcome = 200, "answered"
            await self.send_models(peer, route, behaviour)
            return
        check_path(scope, route)
        asked = read_request(body, behaviour, route.deployment)
        if behaviour.models and asked.model not in behaviour.models:
            raise unknown_model(route.dialect, asked.model)
        script = scripted(asked, route.provider)
        met = self.meet(behaviour, script, asked, route.provider)
        if not await peer.waited(met.first_s):
            entry.outcome = "left"
            return
        if met.status == 200 and met.fault and met.fault.kind == "error" and not asked.stream:
            met = msgspec.structs.replace(met, status=500)  # Without a stream there is no event to say it in.
        if met.status != 200:
            failure = failed(route.dialect, met.status, met.retry_after_s)
            await self.send_error(peer, route.dialect, failure, entry, "failed")
            return
        entry.status = 200 if met.fault is None or met.fault.after >= 0 or met.fault.kind == "error" else None
        entry.outcome = await self.play(peer, route, asked, script, met, received)

    def meet(self, behaviour: Behaviour, script: Script, asked: Asked, provider: str) -> Fate:
        """The fate of this request, a scripted failure counted."""
        met = fate(behaviour, script, self.random)
        failure = script.failure
        if failure is None or self.journal.counted(provider, asked.message) > failure.times:
            return met
        after = failure.retry_after_s
        told = after if after is not None else retry_after_s(behaviour, failure.status)
        return msgspec.structs.replace(met, status=failure.status, retry_after_s=told)

    async def play(self, peer: Peer, route: Route, asked: Asked, script: Script, met: Fate, received: float) -> str:
        rate = self.behaviour(route.provider).tool_call_rate
        given = empty_answer(asked) if met.empty else answer(asked, script, self.config.seed, rate)
        head = wire.Head(route.dialect, self.new_id("chatcmpl-sim"), int(received), asked.model)
        headers = self.headers(route.dialect, received)
        content_type = EVENT_STREAM if asked.stream else JSON
        if met.content_type is not None:
            content_type = (b"content-type", met.content_type.encode())
        if content_type[1]:
            headers = [content_type, *headers]
        if asked.stream and not script.empty_body:
            shown = wire.events(given, head, with_usage=asked.include_usage and not script.without_usage)
            return await play_stream(peer, headers, shown, met, gap_s(met, len(given.pieces), given.usage.completion))
        body = b"" if script.empty_body else wire.body(given, head, with_usage=not script.without_usage)
        if met.tokens_per_s and not await peer.waited(given.usage.completion / met.tokens_per_s):
            return "left"
        return await play_body(peer, headers, body, met)

    def headers(self, dialect: str, received: float) -> Headers:
        """As the vendors send them, cookie and account limits included, since a gateway must not pass those on
        (https://platform.openai.com/docs/api-reference/debugging-requests)."""
        request_id = self.new_id("req_sim").encode()
        spent_ms = b"%d" % round((self.clock() - received) * 1000)
        if dialect == "azure":
            return [
                (b"apim-request-id", request_id),
                (b"x-request-id", request_id),
                (b"x-ms-region", b"Simulated"),
                (b"x-ms-rai-invoked", b"true"),
                (b"x-ratelimit-remaining-requests", b"999"),
                (b"x-ratelimit-remaining-tokens", b"999999"),
                (b"x-simulated", b"true"),
            ]
        return [
            (b"x-request-id", request_id),
            (b"openai-organization", b"simulated"),
            (b"openai-processing-ms", spent_ms),
            (b"openai-version", b"2020-10-01"),
            (b"x-ratelimit-limit-requests", b"1000"),
            (b"x-ratelimit-remaining-requests", b"999"),
            (b"set-cookie", b"__cf_bm=simulated; path=/; HttpOnly; Secure"),
            (b"x-simulated", b"true"),
        ]

    def new_id(self, prefix: str) -> str:
        return f"{prefix}{self.random.getrandbits(96):024x}"

    async def send_error(self, peer: Peer, dialect: str, error: ErrorAnswer, entry: Entry, outcome: str) -> None:
        entry.status, entry.outcome = error.status, outcome
        length = (b"content-length", b"%d" % len(error.body))
        headers = self.headers(dialect, self.clock())
        told = {name for name, _ in error.headers}
        kept = [header for header in headers if header[0] not in told]
        await peer.start(error.status, [JSON, length, *kept, *error.headers])
        await peer.write(error.body, more=False)

    async def send_models(self, peer: Peer, route: Route, behaviour: Behaviour) -> None:
        names = behaviour.models or ("o4-mini", "gpt-4.1")
        created = int(self.clock())
        wanted = route.rest.removeprefix("/models").removeprefix("/")
        if wanted and behaviour.models and wanted not in names:
            raise unknown_model(route.dialect, wanted)
        body = wire.encode(wire.model(wanted, created)) if wanted else wire.models(names, created)
        await self.send_json(peer, body, self.headers(route.dialect, self.clock()))

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


def find_route(path: str) -> Route | None:
    for dialect, pattern in PATHS:
        match = pattern.fullmatch(path)
        if match:
            return Route(dialect, match["name"] or dialect, match["deployment"] or None, match["rest"])
    return None


def check_path(scope: dict[str, Any], route: Route) -> None:
    """Only chat completions are served, by POST; Azure's older paths demand their api-version."""
    if route.rest != "/chat/completions":
        raise unknown_path(route.dialect, scope["method"], scope["path"])
    if route.deployment and b"api-version=" not in scope["query_string"]:
        raise unknown_path(route.dialect, scope["method"], scope["path"])
    if scope["method"] != "POST":
        raise wrong_method(scope["method"], scope["path"])


def check_key(scope: dict[str, Any], dialect: str, behaviour: Behaviour) -> None:
    """OpenAI takes a bearer key, Azure that or an `api-key` header."""
    if not behaviour.api_keys:
        return
    headers = dict(scope["headers"])
    given = [headers.get(b"authorization", b"").removeprefix(b"Bearer ")]
    if dialect == "azure":
        given.append(headers.get(b"api-key", b""))
    if not any(key.decode("latin-1") in behaviour.api_keys for key in given):
        raise wrong_key(dialect)


def scripted(asked: Asked, provider: str) -> Script:
    try:
        return read_script(asked.message, provider)
    except BadDirectiveError as error:
        raise refuse(f"[simulated] {error}", param="messages", code="bad_directive") from error

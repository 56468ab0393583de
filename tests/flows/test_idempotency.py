"""`Idempotency-Key` over the running gateway: one call and one bill for however many requests, in all four protocols, across leaving callers and crashes."""

import contextlib
import hashlib
import json
import os
import signal
import sqlite3
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.fakes.gateway import (
    CHAT,
    MASTER_KEY,
    Answer,
    Fresh,
    GatewayProcess,
    Open,
    base_toml,
    eventually,
    models_toml,
    provider_toml,
    start_gateway,
    upstream_name,
)
from tests.fakes.talking import PROTOCOLS, USERS, request
from tests.fakes.upstream import Script, Upstream, chunk, completion, fails, says, stream_of, streams

MAX_BYTES = 20_000
RESPONSES = "/api/v1/responses"
CLIENTS = pytest.mark.parametrize("client", PROTOCOLS)
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("once")
    base = base_toml(folder, gateway=f"keepalive_s = 0.05\nidempotency_max_bytes = {MAX_BYTES}")
    providers = provider_toml("first", upstream.url("first")) + provider_toml("second", upstream.url("second"))
    made = start_gateway(folder, base + providers + models_toml("once", most=40))
    yield made
    assert made.stop() == 0, made.log


@pytest.fixture(scope="module")
def fresh_once(keeping: GatewayProcess, upstream: Upstream) -> Fresh:
    return Fresh(keeping, upstream, "once")


class Once:
    """A model that only this test uses, and one key with which it is asked."""

    def __init__(self, gateway: GatewayProcess, upstream: Upstream, slug: str) -> None:
        self.gateway = gateway
        self._upstream = upstream
        self.slug = slug
        self.key = uuid.uuid4().hex

    def plays(self, *scripts: Script) -> None:
        for provider in ("first", "second"):
            self._upstream.plays(provider, self.name, *scripts)

    @property
    def name(self) -> str:
        return upstream_name(self.slug)

    @property
    def headers(self) -> dict[str, str]:
        return {"idempotency-key": self.key}

    def ask(self, message: str = "hi", *, api_key: str | None = None, **fields: Any) -> Answer:
        body = {"model": self.slug, "messages": [{"role": "user", "content": message}]} | fields
        return self.gateway.request("POST", CHAT, body, self.headers, key=api_key)

    @property
    def called(self) -> int:
        return len(self._upstream.calls(self.name))

    def call(self, number: int = 0) -> Any:
        return self._upstream.call(self.name, number)

    @property
    def row(self) -> bytes | None:
        """What lies in the store for its key, whoever sent that."""
        name = f"answer/%/{hashlib.sha256(self.key.encode()).hexdigest()}"
        with contextlib.closing(sqlite3.connect(f"file:{self.gateway.database}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT data FROM kept WHERE key LIKE ?", (name,)).fetchone()
        return row[0] if row else None


@pytest.fixture
def once(fresh_once: Fresh) -> Once:
    return Once(fresh_once.gateway, fresh_once.upstream, fresh_once())


@pytest.fixture
def abortable(fresh_once: Fresh) -> Once:
    """Its offers stop their meter when they are left."""
    return Once(fresh_once.gateway, fresh_once.upstream, fresh_once("abortable"))


def replays(answer: Answer, first: Answer) -> bool:
    assert answer.status == 200, answer.body
    assert (answer.body, answer.headers["content-type"]) == (first.body, first.headers["content-type"])
    return (answer.headers["idempotent-replayed"], answer.headers["x-trunkline-original-request-id"]) == (
        "true",
        first.id,
    )


@STREAMED
def test_the_same_key_and_body_get_the_same_bytes_and_one_call_is_made(once, stream) -> None:
    once.plays(says("first"), says("second"))
    first = once.ask(stream=stream)
    assert "idempotent-replayed" not in first.headers
    again, third = once.ask(stream=stream), once.ask(stream=stream)
    assert replays(again, first)
    assert replays(third, first)
    assert again.id != first.id
    assert once.called == 1


@CLIENTS
@STREAMED
def test_it_is_so_in_every_protocol(four, simulated, client, stream) -> None:
    path, body = request(client, "acme/everywhere", USERS[client]("<<say hi>>"), stream=stream)
    headers = {"idempotency-key": uuid.uuid4().hex}
    first = four.request("POST", path, body, headers)
    assert (first.status, "[simulated]" in first.body.decode()) == (200, True)
    assert replays(four.request("POST", path, body, headers), first)


def test_a_replay_is_one_record_that_names_the_first_and_costs_nothing(once) -> None:
    once.plays(says("first"))
    first = once.ask()
    again = once.ask()
    assert again.headers["x-trunkline-cost"] == "0"
    record = once.gateway.record(again.id)
    assert (record.outcome, record.status, record.model) == ("ok", 200, once.slug)
    assert (record.attempts, record.cost_pico_usd, record.usage.total_output_tokens) == ((), 0, 0)
    assert record.notes == (f"replayed from {first.id}",)
    assert record.answer_bytes == len(first.body)
    assert once.gateway.record(first.id).cost_pico_usd > 0


@CLIENTS
def test_another_body_is_refused_by_the_headers_name_in_the_callers_protocol(four, simulated, client) -> None:
    headers = {"idempotency-key": uuid.uuid4().hex}
    path, body = request(client, "acme/everywhere", USERS[client]("<<say hi>>"))
    assert four.request("POST", path, body, headers).status == 200
    path, other = request(client, "acme/everywhere", USERS[client]("<<say ho>>"))
    refused = four.request("POST", path, other, headers)
    assert refused.status == 422
    assert "Idempotency-Key" in refused.error["message"]
    assert ("type" in refused.json) == (client == "anthropic.messages")
    assert ("details" in refused.error) == (client == "gemini")
    assert four.record(refused.id).error_message == refused.error["message"]


def test_one_path_is_not_another(four, simulated) -> None:
    headers = {"idempotency-key": uuid.uuid4().hex}
    body = {"contents": USERS["gemini"]("<<say hi>>")}
    assert four.request("POST", "/v1beta/models/acme/everywhere:generateContent", body, headers).status == 200
    assert four.request("POST", "/v1beta/models/acme/over-gemini:generateContent", body, headers).status == 422


@STREAMED
def test_while_the_first_is_answered_others_are_told_when_to_come_again(once, stream) -> None:
    once.plays(streams(chunk({"content": "a"}), lambda call: call.pause(), stream_of("b")) if stream else _paused)
    with once.gateway.begun(once.slug, headers=once.headers, stream=stream) as connection:
        call = once.call()
        early = once.ask(stream=stream)
        assert (early.status, early.error["type"]) == (409, "request_in_progress")
        assert "Idempotency-Key" in early.error["message"]
        assert int(early.headers["retry-after"]) >= 1
        assert once.ask("another", stream=stream).status == 422
        call.go_on()
        first = Answer(response := connection.getresponse(), response.read())
    assert replays(once.ask(stream=stream), first)
    assert once.called == 1


def _paused(call: Any) -> None:
    call.pause()
    call.answer(200, completion("late"))


@pytest.mark.parametrize("status", [400, 503])
def test_errors_are_not_kept(once, status) -> None:
    once.plays(fails(status), says("now it goes"))
    once._upstream.plays("second", once.name, fails(status), says("now it goes"))
    assert once.ask().status >= 400
    once.plays(says("now it goes"))
    answer = once.ask()
    assert (answer.text, "idempotent-replayed" in answer.headers) == ("now it goes", False)


def test_a_stream_that_breaks_off_is_not_kept(once) -> None:
    once.plays(streams(chunk({"content": "half an ans"})), says("whole"))
    once._upstream.plays("second", once.name, streams(chunk({"content": "half an ans"})), says("whole"))
    broken = once.ask(stream=True)
    assert "error" in broken.events[-1]
    once.plays(says("whole"))
    assert once.ask(stream=True).streamed_text == "whole"


@pytest.mark.parametrize("kind", ["once", "abortable"])
def test_a_caller_that_leaves_finds_the_whole_answer_when_it_comes_again(kind, request) -> None:
    once: Once = request.getfixturevalue(kind)
    once.plays(streams(chunk({"content": "one "}), lambda call: call.pause(), stream_of("two")))
    with once.gateway.open(once.slug, headers=once.headers) as stream:
        assert b"one " in stream.event()
        stream.leave()
        once.call().go_on()
        record = once.gateway.record(stream.id)
    assert (record.outcome, record.attempts[0].outcome) == ("client_left", "ok")
    again = once.ask(stream=True)
    assert (again.streamed_text, again.events[-1]) == ("one two", "[DONE]")
    assert again.headers["x-trunkline-original-request-id"] == record.id
    assert once.called == 1


def test_a_caller_that_leaves_before_an_answer_finds_it_too(abortable) -> None:
    abortable.plays(_paused)
    with abortable.gateway.begun(abortable.slug, headers=abortable.headers):
        call = abortable.call()
    eventually(lambda: abortable.gateway.readyz["requests"]["open"] <= 1, "nothing else under way")
    call.go_on()
    answer = eventually(lambda: _answered(abortable.ask()), "the answer")
    assert (answer.text, answer.headers["idempotent-replayed"]) == ("late", "true")
    assert abortable.called == 1


def _answered(answer: Answer) -> Answer | None:
    return answer if answer.status == 200 else None


def test_a_response_whose_caller_left_is_stored_as_well(once) -> None:
    once.plays(streams(chunk({"content": "one "}), lambda call: call.pause(), stream_of("two")))
    body = {"model": once.slug, "input": "hi", "stream": True}
    with Open(*once.gateway._send("POST", RESPONSES, body, once.headers, None)) as stream:
        stream.event()
        stream.leave()
        once.call().go_on()
        assert once.gateway.record(stream.id)
    told = once.gateway.request("POST", RESPONSES, body, once.headers).events[-1]["response"]
    assert told["output"][0]["content"][0]["text"] == "one two"
    assert once.gateway.get(f"{RESPONSES}/{told['id']}").json["output"] == told["output"]


def test_of_many_at_once_one_is_answered_by_a_provider(once) -> None:
    once.plays(says("hello"))
    with ThreadPoolExecutor(16) as many:
        answers = list(many.map(lambda _: once.ask(), range(32)))
    assert {answer.status for answer in answers} <= {200, 409}
    assert {answer.text for answer in answers if answer.status == 200} == {"hello"}
    assert once.called == 1


def test_signs_of_life_are_replayed_with_the_rest(once) -> None:
    once.plays(streams(lambda call: call.left.wait(0.15), stream_of("slow")))
    first = once.ask(stream=True)
    assert first.body.startswith(b": ")
    assert replays(once.ask(stream=True), first)


def test_a_key_is_its_api_keys_own(once) -> None:
    once.plays(says("hello"))
    assert once.ask().status == 200
    assert "idempotent-replayed" not in once.ask(api_key=_api_key(once.gateway)).headers
    assert once.called == 2


def _api_key(gateway: GatewayProcess, *options: str) -> str:
    made = json.loads(gateway.trunkline("keys", "create", "--name", "other", "--json", *options).stdout)
    return str(made["secret"])


@pytest.mark.parametrize("key", ["", "x" * 256, "snow\u00ebman"], ids=["empty", "long", "latin"])
def test_a_key_that_can_be_none_is_refused_by_name(once, key) -> None:
    once.key = key
    refused = once.ask()
    assert (refused.status, refused.error["param"]) == (400, "Idempotency-Key")
    assert once.gateway.record(refused.id).status == 400


@pytest.mark.parametrize(
    "key", ["x", "x" * 255, '"8e03978e-40d5-43e8-bc93-6894a57f9324"'], ids=["one", "most", "quoted"]
)
def test_any_other_key_is_taken(once, key) -> None:
    once.key = key
    once.plays(says("taken"))
    first = once.ask()
    assert replays(once.ask(), first)


def test_an_answer_above_the_limit_is_given_and_not_kept(once) -> None:
    once.plays(says("x" * MAX_BYTES), says("short"))
    once._upstream.plays("second", once.name, says("x" * MAX_BYTES))
    first = once.ask()
    assert len(first.text) == MAX_BYTES
    assert once.gateway.record(first.id).notes == (
        f"not kept for its Idempotency-Key: the answer has more than {MAX_BYTES} bytes",
    )
    once.plays(says("short"))
    assert once.ask().text == "short"


@STREAMED
def test_what_is_kept_survives_a_crash_and_is_readable_to_nobody(once, stream) -> None:
    once.plays(says("the launch code is 0000"))
    first = once.ask(stream=stream)
    once.gateway.record(first.id)
    row = eventually(lambda: once.row, "the row")
    assert b"launch" not in row
    assert once.key.encode() not in row
    _crash(once.gateway)
    assert replays(once.ask(stream=stream), first)
    assert once.called == 1


def test_for_a_key_of_zero_retention_it_is_kept_in_memory_only(once) -> None:
    api_key = _api_key(once.gateway, "--zero-retention")
    once.plays(says("unstored"))
    first = once.ask(api_key=api_key)
    again = once.ask(api_key=api_key)
    assert replays(again, first)
    assert once.gateway.record(again.id)
    assert once.row is None
    _crash(once.gateway)
    assert "idempotent-replayed" not in once.ask(api_key=api_key).headers
    assert once.called == 2


def _crash(gateway: GatewayProcess) -> None:
    os.kill(gateway.data_plane_pid, signal.SIGKILL)
    eventually(lambda: _is_up(gateway), "the data plane's return")


def _is_up(gateway: GatewayProcess) -> bool:
    with contextlib.suppress(OSError):
        return gateway.get("/readyz", key=MASTER_KEY).status == 200
    return False

"""What can go wrong on the way of an answer from one protocol into another, and what goes on its way at once."""

import itertools
import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.fakes.four import HASTY, KINDS, SCRIPTED
from tests.fakes.gateway import Answer, GatewayProcess, Open
from tests.fakes.talking import CHAT, GEMINI, MESSAGES, PROTOCOLS, RESPONSES, USERS, request, understood
from tests.fakes.upstream import Call, Script, Upstream, chunk
from tests.fakes.wires import WIRES, named, refuses, speaks, streams

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
PAIRS = pytest.mark.parametrize(
    ("client", "kind"), [(client, kind) for client in PROTOCOLS for kind in KINDS if KINDS[kind] != client]
)


@dataclass
class Model:
    """A model at two scripted providers of one protocol, that only this test uses."""

    gateway: GatewayProcess
    upstream: Upstream
    client: str
    kind: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.number}"

    @property
    def slug(self) -> str:
        return f"acme/{self.name}"

    def plays(self, *first: Script, second: Script | None = None) -> None:
        self.upstream.plays(f"first-{self.kind}", self.name, *first)
        if second is not None:
            self.upstream.plays(f"second-{self.kind}", self.name, second)

    def request(self, *, stream: bool = False) -> tuple[str, dict[str, Any]]:
        return request(self.client, self.slug, USERS[self.client]("hi"), stream=stream)

    def ask(self, *, stream: bool = False) -> Answer:
        path, body = self.request(stream=stream)
        return self.gateway.request("POST", path, body)

    def open(self) -> Open:
        path, body = self.request(stream=True)
        return Open(*self.gateway._send("POST", path, body, None, None))

    def call(self, number: int = 0) -> Call:
        return self.upstream.call(self.name, number)

    @property
    def asked(self) -> list[str]:
        return [call.provider.partition("-")[0] for call in self.upstream.calls(self.name)]


@pytest.fixture(scope="session")
def numbers():
    return {
        hasty: {kind: itertools.count(SCRIPTED - HASTY if hasty else 0) for kind in KINDS} for hasty in (False, True)
    }


@pytest.fixture
def model(four, upstream, numbers, client, kind) -> Model:
    return Model(four, upstream, client, kind, next(numbers[False][kind]))


@pytest.fixture
def hasty(four, upstream, numbers, client, kind) -> Model:
    return Model(four, upstream, client, kind, next(numbers[True][kind]))


def text_of(client: str, answer: Answer, *, stream: bool) -> str:
    assert answer.status == 200, answer.body
    return understood(client, answer, stream=stream).text


# --- at once


@PAIRS
def test_each_delta_is_with_the_client_before_the_next_is_made(model, client, kind) -> None:
    words = ["one ", "two ", "three"]
    steps = [step for word in words for step in (word, Call.pause)]
    model.plays(streams(kind, *steps, WIRES[kind].closing("".join(words))))
    with model.open() as stream:
        for word in words:
            until_said(stream, word)
            model.call().go_on()
        rest = stream.answer()
    assert model.gateway.record(stream.id).outcome == "ok"
    assert not rest.broken


def until_said(stream: Open, word: str) -> None:
    event = b" "
    while word.encode() not in event:
        event = stream.event()
        assert event, f"the stream ended without {word!r}"


CALL_ITEM = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "f",
    "arguments": "",
    "status": "in_progress",
}
ARGUMENTS = {
    "chat": (
        chunk({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": '}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "12345}"}}]}),
    ),
    "messages": (
        named("content_block_start", index=1, content_block={"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}})
        + named("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"a": '}),
        named("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": "12345}"}),
    ),
    "responses": (
        named("response.output_item.added", output_index=1, item=CALL_ITEM, sequence_number=4)
        + named("response.function_call_arguments.delta", item_id="fc_1", output_index=1, delta='{"a": ', sequence_number=5),
        named("response.function_call_arguments.delta", item_id="fc_1", output_index=1, delta="12345}", sequence_number=6),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("client", "kind"),
    [(client, kind) for client in (CHAT, RESPONSES, MESSAGES) for kind in ARGUMENTS if KINDS[kind] != client],
)
def test_arguments_of_a_call_come_while_they_are_made(model, client, kind) -> None:
    begun, more = ARGUMENTS[kind]
    model.plays(streams(kind, begun, Call.pause, more, Call.pause))
    with model.open() as stream:
        until_said(stream, '{\\"a\\": ')
        model.call().go_on()
        until_said(stream, "12345")
        model.call().go_on()
        stream.answer()


@PAIRS
def test_a_silent_provider_is_bridged_by_signs_of_life(model, client, kind) -> None:
    model.plays(streams(kind, Call.pause, "hello", WIRES[kind].closing("hello")))
    with model.open() as stream:
        sign = stream.line()
        model.call().go_on()
        rest = stream.answer()
    assert sign.startswith({CHAT: b":", RESPONSES: b":", MESSAGES: b"event: ping", GEMINI: b"\r\n"}[client])
    assert understood(client, rest, stream=True).text == "hello"


# --- another provider takes over


def half(call: Call) -> None:
    call.send(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"id":"x","mess')
    call.close()


def broken_whole(kind: str) -> dict[str, tuple[Script, str]]:
    wire = WIRES[kind]
    return {
        "429": (refuses(kind, 429, "slow down"), "status"),
        "500": (refuses(kind, 500, "in trouble"), "status"),
        "reset": (Call.reset, "reset"),
        "truncated": (half, "truncated"),
        "malformed": (lambda call: call.answer(200, wire.whole("hello")[:-20]), "malformed"),
        "html": (lambda call: call.answer(200, b"<html>", {"content-type": "text/html"}), "malformed"),
        "no body": (lambda call: call.answer(200, b""), "malformed"),
    }


def broken_stream(kind: str) -> dict[str, tuple[Script, str]]:
    wire = WIRES[kind]
    return {
        "500": (refuses(kind, 500, "in trouble"), "status"),
        "cut before the answer": (streams(kind), "empty"),
        "reset before the answer": (streams(kind, Call.reset), "truncated"),
        "error before the answer": (streams(kind, wire.error("overloaded")), "in_stream_error"),
        "malformed": (streams(kind, wire.malformed), "malformed"),
        "html": (lambda call: call.answer(200, b"<html>", {"content-type": "text/html"}), "malformed"),
        "comments": (streams(kind, b": thinking\n\n"), "empty"),
    }


@PAIRS
def test_the_next_provider_answers_whatever_happens_to_a_whole_answer(four, upstream, numbers, client, kind) -> None:
    wrong = {}
    for what, (script, cause) in broken_whole(kind).items():
        model = Model(four, upstream, client, kind, next(numbers[False][kind]))
        model.plays(script, second=speaks(kind, "from the second"))
        answer = model.ask()
        outcomes = [attempt.outcome for attempt in four.record(answer.id).attempts]
        if (answer.status, outcomes) != (200, [cause, "ok"]) or "from the second" not in answer.body.decode():
            wrong[what] = (answer.status, outcomes, answer.body)
    assert not wrong


@PAIRS
def test_the_next_provider_answers_whatever_happens_before_the_first_delta(
    four, upstream, numbers, client, kind
) -> None:
    wrong = {}
    for what, (script, cause) in broken_stream(kind).items():
        model = Model(four, upstream, client, kind, next(numbers[False][kind]))
        model.plays(script, second=speaks(kind, "from the second"))
        answer = model.ask(stream=True)
        outcomes = [attempt.outcome for attempt in four.record(answer.id).attempts]
        if (answer.status, outcomes) != (200, [cause, "ok"]) or text_of(
            client, answer, stream=True
        ) != "from the second":
            wrong[what] = (answer.status, outcomes, answer.body)
    assert not wrong


@PAIRS
@STREAMED
def test_the_next_provider_answers_where_the_first_takes_no_connection(four, upstream, client, kind, stream) -> None:
    upstream.plays(f"second-{kind}", f"refused-{kind}", speaks(kind, "from the second"))
    path, body = request(client, f"acme/refused-{kind}", USERS[client]("hi"), stream=stream)
    answer = four.request("POST", path, body)
    assert text_of(client, answer, stream=stream) == "from the second"


@PAIRS
def test_the_next_provider_answers_where_the_first_says_nothing_in_time(hasty, client, kind) -> None:
    hasty.plays(streams(kind, Call.stall), second=speaks(kind, "from the second"))
    answer = hasty.ask(stream=True)
    assert text_of(client, answer, stream=True) == "from the second"
    assert [attempt.outcome for attempt in hasty.gateway.record(answer.id).attempts] == ["timeout_first_event", "ok"]


# --- no provider takes over


def error_of(client: str, told: Any) -> tuple[str, str]:
    """Type and message, in the client's own shape."""
    if client == MESSAGES:
        assert told["type"] == "error"
        return told["error"]["type"], told["error"]["message"]
    error = told["error"]
    if client == GEMINI:
        assert isinstance(error["code"], int)
        return error["status"], error["message"]
    return error["type"], error["message"]


WORDS = {
    400: {MESSAGES: "invalid_request_error", GEMINI: "INVALID_ARGUMENT"},
    429: {MESSAGES: "rate_limit_error", GEMINI: "RESOURCE_EXHAUSTED"},
    502: {MESSAGES: "api_error", GEMINI: "UNAVAILABLE"},
}


@PAIRS
@pytest.mark.parametrize(
    ("status", "shown", "stream"), [(400, 400, False), (400, 400, True), (429, 429, False), (500, 502, True)]
)
def test_an_error_is_told_in_the_clients_shape(model, client, kind, status, shown, stream) -> None:
    refusal = refuses(kind, status, "the provider's own words")
    model.plays(refusal, second=refusal)
    answer = model.ask(stream=stream)
    assert answer.status == shown
    type_, message = error_of(client, answer.json)
    if client in WORDS[shown]:
        assert type_ == WORDS[shown][client]
    assert ("the provider's own words" in message) == (status == 400)
    record = model.gateway.record(answer.id)
    assert (record.outcome, record.status, record.protocol) == ("error", shown, client)
    assert model.asked == (["first"] if status == 400 else ["first", "second"])


BREAKS: dict[str, Any] = {
    "an error": (lambda wire: wire.error("overloaded"), "in_stream_error"),
    "a cut": (lambda wire: lambda call: None, "truncated"),
    "a reset": (lambda wire: Call.reset, "truncated"),
}


@PAIRS
@pytest.mark.parametrize("what", BREAKS)
def test_what_breaks_after_the_first_delta_ends_in_the_clients_own_error_event(model, client, kind, what) -> None:
    made, cause = BREAKS[what]
    model.plays(streams(kind, "half an answer", Call.pause, made(WIRES[kind])), second=speaks(kind, "never asked"))
    with model.open() as stream:
        until_said(stream, "half an answer")
        model.call().go_on()
        rest = stream.answer()
    check_error_event(client, rest)
    record = model.gateway.record(stream.id)
    assert (record.outcome, record.status, [one.outcome for one in record.attempts]) == ("cut", 200, [cause])
    assert model.asked == ["first"]


@PAIRS
def test_what_stalls_after_the_first_delta_ends_in_an_error_event(hasty, client, kind) -> None:
    hasty.plays(streams(kind, "half an answer", Call.stall), second=speaks(kind, "never asked"))
    answer = hasty.ask(stream=True)
    check_error_event(client, answer)
    (attempt,) = hasty.gateway.record(answer.id).attempts
    assert attempt.outcome == "timeout_idle"
    # What was said until then was paid for; it is estimated.
    assert attempt.usage.total_output_tokens > 0


def check_error_event(client: str, answer: Answer) -> None:
    """The last event is the error, and no word of a good end comes with it."""
    assert not answer.broken
    last = [event for event in answer.events if event != "[DONE]" and event.get("type") != "ping"][-1]
    assert "broke off" in json.dumps(last)
    good = {CHAT: '"finish_reason":"stop"', RESPONSES: "response.completed", MESSAGES: "message_stop", GEMINI: '"STOP"'}
    assert good[client] not in answer.body.decode()
    if client == RESPONSES:
        assert last["type"] in ("error", "response.failed")
    else:
        error_of(client, last)


@PAIRS
def test_a_client_that_leaves_ends_in_one_record_and_the_provider_is_let_go(model, client, kind) -> None:
    model.plays(streams(kind, "half an answer", Call.pause, WIRES[kind].closing("half an answer")))
    stream = model.open()
    until_said(stream, "half an answer")
    stream.leave_at_once()
    model.call().go_on()
    record = model.gateway.record(stream.id)
    assert record.outcome == "client_left"
    assert len(record.attempts) == 1


@pytest.mark.parametrize("kind", list(KINDS))
def test_gemini_without_sse_gets_an_array(four, upstream, numbers, kind) -> None:
    number = next(numbers[False][kind])
    upstream.plays(f"first-{kind}", f"{kind}-{number}", speaks(kind, "hello"))
    path = f"/v1beta/models/acme/{kind}-{number}:streamGenerateContent"
    answer = four.request("POST", path, {"contents": USERS[GEMINI]("hi")})
    chunks = answer.json
    assert answer.headers["content-type"] == "application/json"
    assert "".join(p["text"] for c in chunks for p in c["candidates"][0].get("content", {}).get("parts", [])) == "hello"
    assert chunks[-1]["usageMetadata"]["cost"] > 0

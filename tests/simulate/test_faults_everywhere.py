"""Every way to fail, in all four protocols, each with its vendor's own words."""

import http.client
import json
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.simulated import SimulatedProvider
from tests.simulate import test_gemini_wire, test_messages_wire, test_responses_wire
from tests.simulate.conftest import MESSAGES, OPENAI, RESPONSES, Answer, Call
from tests.simulate.test_gemini_wire import ARRAY, PLAIN, SSE


def chat(message: str, **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4.1", "messages": [{"role": "user", "content": message}]} | fields


# Name -> path of a plain answer, path of a stream, body, fields of a stream, what ends a whole stream.
SPOKEN: dict[str, tuple[str, str, Callable[..., dict[str, Any]], dict[str, Any], bytes]] = {
    "chat": (OPENAI, OPENAI, chat, {"stream": True}, b"[DONE]\n\n"),
    "responses": (RESPONSES, RESPONSES, test_responses_wire.asking, {"stream": True}, b"response.completed"),
    "messages": (MESSAGES, MESSAGES, test_messages_wire.asking, {"stream": True}, b"message_stop"),
    "gemini": (PLAIN, SSE, test_gemini_wire.asking, {}, b'"finishReason":"STOP"'),
    "gemini array": (PLAIN, ARRAY, test_gemini_wire.asking, {}, b"\r\n]"),
}
Ask = Callable[..., Answer]


@pytest.fixture(params=SPOKEN)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ask(call: Call, protocol: str) -> Ask:
    plain, stream, asking, streaming, _ = SPOKEN[protocol]

    def send(message: str, *, streamed: bool = False) -> Answer:
        return call(stream if streamed else plain, asking(message, **(streaming if streamed else {})))

    return send


def error_of(answer: Answer) -> dict[str, Any]:
    told = answer.json[0] if isinstance(answer.json, list) else answer.json
    error: dict[str, Any] = told["error"]
    return error


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504, 529])
def test_a_scripted_failure_has_the_vendors_shape(ask: Ask, protocol: str, status: int, streamed: bool) -> None:
    answer = ask(f"<<fail {status} 1>><<say well>>", streamed=streamed)
    assert answer.status == status
    error = error_of(answer)
    if protocol in ("chat", "responses"):
        assert set(error) == {"message", "type", "param", "code"}
    elif protocol == "messages":
        assert set(error) == {"type", "message"}
        assert answer.json["request_id"] == answer.headers["request-id"]
    else:
        assert (error["code"], error["status"].isupper()) == (status, True)
    assert ask(f"<<fail {status} 1>><<say well>>", streamed=streamed).status == 200


def test_a_429_says_when_to_come_back(ask: Ask, protocol: str) -> None:
    answer = ask("<<fail 429 1 2.5>>")
    assert answer.headers["retry-after"] == "3"
    if protocol.startswith("gemini"):
        assert error_of(answer)["details"][0]["retryDelay"] == "2.5s"


def test_a_whole_stream_ends_as_the_vendors_does(ask: Ask, protocol: str) -> None:
    body = ask("hello", streamed=True).body
    assert b"[simulated]" in body
    assert SPOKEN[protocol][4] in body[-1500:]


@pytest.mark.parametrize("after", [0, 2])
def test_an_error_in_the_middle_of_a_stream_is_its_last_event(ask: Ask, protocol: str, after: int) -> None:
    answer = ask(f"<<say one two three>><<errmid {after}>>", streamed=True)
    assert answer.status == 200
    assert SPOKEN[protocol][4] not in answer.body or protocol == "gemini array"
    assert b" three" not in answer.body
    last = json.loads(answer.body)[-1] if protocol == "gemini array" else answer.events[-1]
    if protocol == "responses":
        assert [event["event"] for event in answer.events[-2:]] == ["error", "response.failed"]
        assert [event["sequence_number"] for event in answer.events] == list(range(len(answer.events)))
        assert last["response"]["error"]["code"] == "server_error"
    elif protocol == "messages":
        assert last["event"] == "error"
        assert last["error"]["type"] == "overloaded_error"
    else:
        assert last["error"]["message"]


def test_a_plain_answer_has_a_500_in_its_place(ask: Ask) -> None:
    assert ask("<<errmid 1>>").status == 500


def test_malformed_answers_are_no_json(ask: Ask, protocol: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        _ = ask("<<malformed>>").json
    streamed = ask("<<say one two three>><<malformed>>", streamed=True)
    with pytest.raises(json.JSONDecodeError):
        _ = json.loads(streamed.body) if protocol == "gemini array" else streamed.events


def test_the_content_type_can_be_missing_or_wrong(ask: Ask) -> None:
    assert ask("<<notype>>").headers["content-type"] is None
    assert ask("<<notype text/html>>", streamed=True).headers["content-type"] == "text/html"


@pytest.mark.parametrize("streamed", [False, True])
def test_an_empty_answer_or_body_can_be_asked_for(ask: Ask, streamed: bool) -> None:
    assert ask("<<empty>>", streamed=streamed).status == 200
    assert b"[simulated]" not in ask("<<empty>>", streamed=streamed).body
    assert ask("<<empty body>>", streamed=streamed).body == b""


def test_usage_can_be_left_out(ask: Ask, protocol: str) -> None:
    assert "usage" not in ask("<<nousage>>").body.decode()
    assert b'"usageMetadata"' not in ask("<<nousage>>", streamed=True).body


def test_a_directive_that_makes_no_sense_is_refused(ask: Ask) -> None:
    answer = ask("<<fail soon>>")
    assert answer.status == 400
    assert "<<fail soon>>" in error_of(answer)["message"]


def raw(protocol: str, message: str, *, streamed: bool) -> bytes:
    plain, stream, asking, streaming, _ = SPOKEN[protocol]
    body = json.dumps(asking(message, **(streaming if streamed else {})))
    head = f"POST {stream if streamed else plain} HTTP/1.1\r\nHost: x\r\nanthropic-version: 2023-06-01\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def read_all(line: socket.socket) -> bytes:
    received = b""
    while part := line.recv(65536):
        received += part
    return received


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("when", ["", "2"])
def test_a_reset_is_a_real_one(simulated: SimulatedProvider, protocol: str, when: str, streamed: bool) -> None:
    with socket.create_connection(("127.0.0.1", simulated.port), timeout=10) as line:
        line.sendall(raw(protocol, f"<<reset {when}>>", streamed=streamed))
        with pytest.raises(ConnectionResetError):
            read_all(line)


def test_a_cut_stream_ends_without_its_end(simulated: SimulatedProvider, protocol: str) -> None:
    with socket.create_connection(("127.0.0.1", simulated.port), timeout=10) as line:
        line.sendall(raw(protocol, "<<say one two three>><<cut 2>>", streamed=True))
        received = read_all(line)
    assert b" one" in received
    assert b" two" not in received
    assert SPOKEN[protocol][4] not in received
    assert not received.endswith(b"0\r\n\r\n")


def test_a_plain_answer_is_cut_short_of_its_length(ask: Ask) -> None:
    with pytest.raises(http.client.IncompleteRead):
        ask("<<cut 1>>")


def test_a_stall_keeps_the_connection_open(simulated: SimulatedProvider, protocol: str) -> None:
    with socket.create_connection(("127.0.0.1", simulated.port), timeout=10) as line:
        line.sendall(raw(protocol, "<<say one two>><<stall 2>>", streamed=True))
        received = b""
        while b" one" not in received:
            received += line.recv(65536)
        assert simulated.log()[0]["outcome"] == "open"
        line.shutdown(socket.SHUT_WR)
        assert b" two" not in read_all(line)
    simulated.idle()
    assert simulated.log()[0]["outcome"] == "stalled"


def test_rates_hold_in_all_protocols(ask: Ask, protocol: str, simulated: SimulatedProvider) -> None:
    provider = SPOKEN[protocol][0].split("/")[1]
    simulated.behaviour(provider, error_rates={"503": 1}, retry_after_s=4)
    answer = ask("hi")
    assert (answer.status, answer.headers["retry-after"]) == (503, "4")


CHANGING = re.compile(rb'(sim)?[0-9a-f]{24}|"(created|created_at|completed_at)":\d+')


def test_paced_streams_are_the_same_as_unpaced_ones(ask: Ask, protocol: str, simulated: SimulatedProvider) -> None:
    unpaced = ask("<<say one two three four>>", streamed=True).body
    rate = {"min": 20000, "max": 20000, "avg": 20000}
    simulated.behaviour(SPOKEN[protocol][0].split("/")[1], tokens_per_s=rate)
    paced = ask("<<say one two three four>>", streamed=True).body
    assert CHANGING.sub(b"", paced) == CHANGING.sub(b"", unpaced)


def test_a_refusal_is_told_in_the_protocols_own_place(ask: Ask, protocol: str) -> None:
    plain, streamed = ask("<<refuse not this>>").json, ask("<<refuse not this>>", streamed=True)
    words = "[simulated] not this"
    if protocol == "chat":
        message = plain["choices"][0]["message"]
        assert (message["refusal"], message["content"], plain["choices"][0]["finish_reason"]) == (words, None, "stop")
        assert "".join(c["choices"][0]["delta"].get("refusal") or "" for c in streamed.chunks) == words
    elif protocol == "responses":
        assert plain["output"][-1]["content"] == [{"type": "refusal", "refusal": words}]
        deltas = [event["delta"] for event in streamed.events if event["type"] == "response.refusal.delta"]
        assert "".join(deltas) == words
        assert streamed.events[-1]["response"]["output"] == plain["output"]
    elif protocol == "messages":
        assert (plain["stop_reason"], plain["stop_details"]["type"]) == ("refusal", "refusal")
        assert streamed.events[-2]["delta"]["stop_reason"] == "refusal"
    else:
        assert plain["candidates"][0] == {"content": {"role": "model"}, "index": 0, "finishReason": "SAFETY"}
        assert b"not this" not in streamed.body

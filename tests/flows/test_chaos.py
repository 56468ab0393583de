"""Everything that can go wrong with a provider, in all four protocols, before and after something useful came, streamed or not.

Each test says exactly which attempts were made and what was decided about them, what the caller got, what the record says and what is billed.
"""

import contextlib
import json
from dataclasses import dataclass

import pytest

from tests.fakes.chaos import ANSWER_PICO_USD, UNREACHABLE, told
from tests.fakes.four import KINDS
from tests.fakes.talking import CHAT, GEMINI, MESSAGES, RESPONSES
from tests.fakes.upstream import STREAM_HEAD, Call, Script, chunk
from tests.fakes.wires import WIRES, refuses, speaks, streams

ALL_KINDS = pytest.mark.parametrize("kind", list(KINDS))
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
OPERATORS = "cannot be used with this gateway's account"


@dataclass
class Cause:
    """What a provider does, what the attempt's outcome is then, and what a caller is told whose every provider does it."""

    script: Script
    outcome: str
    status: int = 502
    words: str = ""
    sort: str = "plain"
    pico_usd: int = 0
    """What the provider bills for it, by its own word."""


def half_a_body(call: Call) -> None:
    call.send(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"id":"x","mess')
    call.close()


def html(call: Call) -> None:
    call.answer(200, b"<html>Sign in</html>", {"content-type": "text/html"})


def no_http(call: Call) -> None:
    call.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    call.close()


def anyhow(kind: str) -> dict[str, Cause]:
    """Of answers that are streamed and that are not."""
    return {
        **{str(status): Cause(refuses(kind, status), "status", words=f"status {status}") for status in (408, 409, 500, 503, 529)},
        "429": Cause(refuses(kind, 429), "status", 429, "status 429"),
        "429 with a time": Cause(refuses(kind, 429, headers={"retry-after": "7"}), "status", 429, "status 429"),
        "401": Cause(refuses(kind, 401, "wrong key"), "status", words=OPERATORS),
        "402": Cause(refuses(kind, 402, "Insufficient Balance"), "status", words=OPERATORS),
        "403": Cause(refuses(kind, 403, "no access"), "status", words=OPERATORS),
        "404": Cause(refuses(kind, 404, "The model `x` does not exist"), "status", words=OPERATORS),
        "reset": Cause(Call.reset, "reset", words="failed (reset)"),
        "closed": Cause(Call.close, "reset", words="failed (reset)"),
        "no HTTP": Cause(no_http, "malformed", words="failed (malformed)"),
        "another content type": Cause(html, "malformed", words="failed (malformed)"),
    }  # fmt: skip


def whole(kind: str) -> dict[str, Cause]:
    return anyhow(kind) | {
        "truncated": Cause(half_a_body, "truncated"),
        "malformed": Cause(lambda call: call.answer(200, WIRES[kind].whole("hello")[:-20]), "malformed"),
        "no body": Cause(lambda call: call.answer(200, b""), "malformed"),
        "not in time": Cause(Call.stall, "timeout_total", 504, "failed (timeout", "brief"),
    }


def streamed(kind: str) -> dict[str, Cause]:
    wire = WIRES[kind]
    # Messages counts the prompt, and a first token, in the event that opens a stream.
    opened = 10 * 1_100_000 + 4_400_000 if kind == "messages" else 0
    return anyhow(kind) | {
        "nothing but an opening": Cause(streams(kind), "empty", pico_usd=opened),
        "nothing but comments": Cause(streams(kind, b": thinking\n\n"), "empty", pico_usd=opened),
        "reset after the opening": Cause(streams(kind, Call.reset), "truncated", pico_usd=opened),
        "an error": Cause(streams(kind, wire.error("overloaded")), "in_stream_error", pico_usd=opened),
        "malformed": Cause(streams(kind, wire.malformed), "malformed", pico_usd=opened),
        "silence": Cause(Call.stall, "timeout_first_event", 504, "failed (timeout", "quick"),
        "silence after the opening": Cause(streams(kind, Call.stall), "timeout_first_event", 504, "failed (timeout", "quick", opened),
    }  # fmt: skip


def causes_of(kind: str, *, stream: bool) -> dict[str, Cause]:
    return streamed(kind) if stream else whole(kind)


@ALL_KINDS
@STREAMED
def test_before_the_first_useful_event_the_next_offer_answers(chaos, kind, stream) -> None:
    seen, expected = {}, {}
    asked = []
    for name, cause in causes_of(kind, stream=stream).items():
        model = chaos.model(cause.sort, kind)
        model.plays(cause.script, second=speaks(kind, "from the second"))
        asked.append((name, cause, model, model.ask(stream=stream)))
    for name, cause, model, answer in asked:
        record = model.record(answer)
        seen[name] = {
            "text": model.text(answer, stream=stream),
            "attempts": told(record.attempts),
            "record": (record.outcome, record.status, record.provider),
            "bill": ([one.cost.total_pico_usd for one in record.attempts], record.cost_pico_usd),
            # A kept connection that is closed before anything came is replaced by the transport, within one attempt.
            "called": list(dict.fromkeys(model.asked)),
        }
        expected[name] = {
            "text": "from the second",
            "attempts": [("first", cause.outcome, "next_offer"), ("second", "ok", "")],
            "record": ("ok", 200, f"second-{kind}"),
            "bill": ([cause.pico_usd, ANSWER_PICO_USD], cause.pico_usd + ANSWER_PICO_USD),
            "called": ["first", "second"],
        }
    assert seen == expected


def error_of(protocol: str, answer) -> str:
    """Its message, in the client's own shape."""
    error = answer.json["error"]
    if protocol == GEMINI:
        assert error["code"] == answer.status
    elif protocol == MESSAGES:
        assert answer.json["type"] == "error"
    return error["message"]


@ALL_KINDS
@STREAMED
def test_where_every_offer_fails_so_the_caller_is_told_in_its_protocol(chaos, kind, stream) -> None:
    seen, expected = {}, {}
    asked = []
    for name, cause in causes_of(kind, stream=stream).items():
        model = chaos.model(cause.sort, kind)
        model.plays(cause.script, second=cause.script)
        asked.append((name, cause, model, model.ask(stream=stream)))
    for name, cause, model, answer in asked:
        record, message = model.record(answer), error_of(model.protocol, answer)
        seen[name] = {
            "status": (answer.status, answer.headers["x-should-retry"], answer.headers["retry-after"]),
            "words": [word for word in (f"first-{kind}", f"second-{kind}", cause.words) if word in message],
            "attempts": told(record.attempts),
            "record": (record.outcome, record.status, record.cost_pico_usd),
        }
        final, wait = "false" if cause.status >= 500 else None, "7" if name == "429 with a time" else None
        expected[name] = {
            "status": (cause.status, final, wait),
            "words": [f"first-{kind}", f"second-{kind}", cause.words],
            "attempts": [("first", cause.outcome, "next_offer"), ("second", cause.outcome, "give_up")],
            "record": ("error", cause.status, 2 * cause.pico_usd),
        }
    assert seen == expected


@ALL_KINDS
@STREAMED
@pytest.mark.parametrize("how", UNREACHABLE)
def test_where_nobody_can_be_connected_to_the_next_offer_answers(chaos, kind, stream, how) -> None:
    model = chaos.unreachable(how, kind, stream=stream)
    model.plays(second=speaks(kind, "from the second"))
    answer = model.ask(stream=stream)
    assert model.text(answer, stream=stream) == "from the second"
    record = model.record(answer)
    assert told(record.attempts) == [(how, UNREACHABLE[how], "next_offer"), ("second", "ok", "")]
    assert record.cost_pico_usd == ANSWER_PICO_USD


@ALL_KINDS
@STREAMED
@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_fault_of_the_caller_is_tried_once_and_told(chaos, kind, stream, status) -> None:
    model = chaos.model("plain", kind)
    model.plays(refuses(kind, status, "prompt is too long"), second=speaks(kind, "never asked"))
    answer = model.ask(stream=stream)
    assert (answer.status, error_of(model.protocol, answer)) == (status, "prompt is too long")
    record = model.record(answer)
    assert told(record.attempts) == [("first", "status", "tell_client")]
    assert (record.outcome, record.status, record.cost_pico_usd) == ("error", status, 0)


# --- after the commit

AFTER = {
    # what happens: (outcome of the attempt, sort of models)
    "an error": "in_stream_error",
    "a cut": "truncated",
    "a reset": "truncated",
    "a stall": "timeout_idle",
}


def after(kind: str, name: str) -> Script:
    acts = {
        "an error": WIRES[kind].error("overloaded"),
        "a cut": Call.close,
        "a reset": Call.reset,
        "a stall": Call.stall,
    }
    return streams(kind, "half an ", Call.pause, acts[name])


def read_to_the_break(model, **fields):
    """The stream from its beginning, which the caller has before the rest is made."""
    said = b""
    with model.open(**fields) as stream:
        while b"half an " not in said:
            event = stream.event()
            assert event, said
            said += event
        model.call().go_on()
        answer = stream.answer()
    answer.body = said + answer.body
    return answer


@ALL_KINDS
@pytest.mark.parametrize("name", AFTER)
def test_after_it_a_stream_that_nobody_can_go_on_with_ends_in_the_clients_own_error(chaos, kind, name) -> None:
    model = chaos.model("quick" if name == "a stall" else "plain", kind)
    model.plays(after(kind, name), second=speaks(kind, "never asked"))
    answer = read_to_the_break(model)
    last = [event for event in answer.events if event != "[DONE]" and event.get("type") != "ping"][-1]
    assert f"broke off ({AFTER[name]})" in json.dumps(last)
    good = {CHAT: '"finish_reason":"stop"', RESPONSES: "response.completed", MESSAGES: "message_stop", GEMINI: '"STOP"'}
    assert good[model.protocol] not in answer.body.decode()
    assert not answer.broken
    record = model.record(answer)
    assert told(record.attempts) == [("first", AFTER[name], "give_up")]
    assert (record.outcome, record.status) == ("cut", 200)
    # What came is paid for, by an estimate.
    usage = record.usage
    assert (usage.estimated, usage.total_output_tokens) == (True, 2)
    assert record.cost_pico_usd == usage.input_tokens * 1_100_000 + 2 * 4_400_000 > 0
    assert model.asked == ["first"]


@ALL_KINDS
@pytest.mark.parametrize("name", AFTER)
def test_after_it_an_offer_that_continues_answers_goes_on(chaos, kind, name) -> None:
    model = chaos.model("quick-continuing" if name == "a stall" else "continuing", kind)
    model.plays(after(kind, name), second=speaks(kind, "answer"))
    answer = read_to_the_break(model)
    assert model.text(answer, stream=True) == "half an answer"
    record = model.record(answer)
    assert told(record.attempts) == [("first", AFTER[name], "rescue"), ("second", "ok", "")]
    assert [one.kind for one in record.attempts] == ["plain", "rescue"]
    assert (record.outcome, record.provider) == ("ok", f"second-{kind}")
    assert "rescued after 8 characters" in record.notes
    first, second = (one.cost.total_pico_usd for one in record.attempts)
    assert (first > 0, second, record.cost_pico_usd) == (True, ANSWER_PICO_USD, first + ANSWER_PICO_USD)
    assert record.usage.total_output_tokens == 2 + 5


@ALL_KINDS
@pytest.mark.parametrize("status", [400, 429, 500])
def test_where_the_other_does_not_go_on_either_the_stream_ends_in_an_error(chaos, kind, status) -> None:
    model = chaos.model("continuing", kind)
    model.plays(after(kind, "a cut"), second=refuses(kind, status, "prefill is not supported"))
    answer = read_to_the_break(model)
    record = model.record(answer)
    assert told(record.attempts) == [("first", "truncated", "rescue"), ("second", "status", "give_up")]
    assert (record.outcome, record.status, record.usage.total_output_tokens) == ("cut", 200, 2)
    assert record.cost_pico_usd == record.attempts[0].cost.total_pico_usd > 0
    assert "half an " in answer.body.decode()
    assert "broke off" in answer.body.decode()


# --- the caller leaves


@ALL_KINDS
@pytest.mark.parametrize(("sort", "became"), [("abortable", "cancelled"), ("plain", "drained")])
def test_when_the_caller_leaves_the_record_says_what_became_of_the_call(chaos, kind, sort, became) -> None:
    model = chaos.model(sort, kind)
    model.plays(
        streams(kind, "half an ", Call.pause, WIRES[kind].closing("half an ")), second=speaks(kind, "never asked")
    )
    with model.open() as stream:
        while b"half an " not in stream.event():
            pass
        stream.leave()
    if became == "drained":
        model.call().go_on()
    record = model.record(stream)
    model.call().go_on()
    (attempt,) = record.attempts
    assert (record.outcome, record.status, attempt.after_leaving) == ("client_left", 499, became)
    assert attempt.outcome == ("client_left" if became == "cancelled" else "ok")
    assert attempt.usage.estimated == (became == "cancelled")
    assert record.cost_pico_usd == attempt.cost.total_pico_usd > 0
    assert attempt.decision == ""


@STREAMED
def test_nothing_more_is_tried_for_a_caller_that_left(chaos, session_id, stream) -> None:
    model = chaos.model()

    def fail_later(call: Call) -> None:
        call.pause()
        refuses("chat", 500)(call)

    model.plays(fail_later, second=speaks("chat", "never asked"))
    with model.gateway.begun(model.slug, headers={"x-session-id": session_id}, stream=stream):
        model.call()
    # Another request shows that the first one's leaving was seen by then.
    chaos.gateway.get("/healthz")
    model.call().go_on()
    (record,) = model.gateway.records(session_id)
    assert told(record.attempts) == [("first", "status", "stop")]
    assert (record.outcome, record.attempts[0].after_leaving) == ("client_left", "drained")
    assert model.asked == ["first"]


def health(model) -> tuple[str, float | None]:
    """Breaker and uptime of its first offer."""
    asked = {"model": model.slug, "messages": [{"role": "user", "content": "hi"}]}
    answer = model.gateway.request("POST", "/api/v1/management/route/explain", asked)
    (first,) = (one for one in answer.json["data"]["candidates"] if one["offer"].endswith(":first-chat"))
    return first.get("breaker", "closed"), first.get("uptime")


@pytest.mark.parametrize(
    ("code", "words", "status"), [(400, "Input was flagged by moderation", 400), (429, "Rate limit reached", 429)]
)
def test_what_is_told_inside_a_stream_counts_as_the_status_that_it_means(chaos, code, words, status) -> None:
    model = chaos.model()
    error = {"error": {"message": words, "type": "invalid_request_error", "code": code, "param": None}}
    refused = streams("chat", b"data: " + json.dumps(error).encode() + b"\n\n")
    model.plays(refused, second=refused)
    wish = {"order": list(model.providers)}
    answers = [model.ask(stream=True, provider=wish) for _ in range(4)]
    assert {answer.status for answer in answers} == {status}
    attempts = [attempt for answer in answers for attempt in model.record(answer).attempts]
    assert {(one.outcome, one.status, one.told_status) for one in attempts} == {("in_stream_error", 200, code)}
    # It is no downtime, which would keep the next callers away.
    assert health(model) == ("closed", None)


def test_a_caller_that_does_not_read_is_no_downtime(chaos, session_id) -> None:
    model = chaos.model("brief")

    def flood(call: Call) -> None:
        with contextlib.suppress(OSError):
            call.send(STREAM_HEAD)
            while True:
                call.send(chunk({"content": "x" * 60_000}))
        call.close()
        call.left.set()

    model.plays(flood)
    with model.gateway.begun(model.slug, headers={"x-session-id": session_id}, stream=True):
        assert model.call().left.wait(10)
    (record,) = model.gateway.records(session_id)
    assert told(record.attempts) == [("first", "client_slow", "give_up")]
    assert health(model) == ("closed", None)

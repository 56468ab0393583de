"""Tool calls whose arguments no tool can take are counted, however the answer came."""

import json

import pytest

from trunkline.execution.seen import Seen
from trunkline.ir.events import Delta, PartEnd, PartStart
from trunkline.ir.parts import Text, ToolCall
from trunkline.protocols.openai_chat import answer
from trunkline.protocols.openai_chat.stream import StreamObserver
from trunkline.protocols.tool_arguments import ToolCalls

GOOD, BAD = '{"city": "Oslo"}', '{"city": "Os'


def chunk(*calls: dict[str, object]) -> bytes:
    return (
        b"data: "
        + json.dumps({"id": "x", "choices": [{"index": 0, "delta": {"tool_calls": calls}}]}).encode()
        + b"\n\n"
    )


def call(index: int | None, arguments: str, **more: object) -> dict[str, object]:
    return {**({} if index is None else {"index": index}), "function": {"arguments": arguments}, **more}


@pytest.mark.parametrize(
    ("arguments", "bad"),
    [(GOOD, 0), ("{}", 0), ("", 0), (" ", 0), (BAD, 1), ("[1]", 1), ("null", 1), ("\ud800", 1), ('{"a":1}{', 1)],
)
def test_arguments_must_be_an_object_or_nothing(arguments: str, bad: int) -> None:
    calls = ToolCalls()
    calls.add(0, arguments)
    assert calls.counts() == (1, bad)


def test_of_chat_streams_read_or_passed_by() -> None:
    seen = StreamObserver()
    seen.see(chunk(call(0, "", id="a")), 1.0)
    for piece in (GOOD[:5], GOOD[5:]):
        seen.pass_by(chunk(call(0, piece)), 2.0)
    seen.pass_by(chunk(call(1, BAD, id="b")), 3.0)
    assert seen.tool_calls == (2, 1)


def test_calls_without_a_number_are_told_apart_by_their_ids() -> None:
    seen = StreamObserver()
    seen.see(chunk(call(None, GOOD, id="a"), call(None, GOOD, id="b")), 1.0)
    assert seen.tool_calls == (2, 0)


def test_of_whole_chat_answers() -> None:
    message = {"tool_calls": [call(None, GOOD), call(None, BAD)]}
    found = answer.read(json.dumps({"choices": [{"message": message}]}).encode())
    assert found.tool_calls == (2, 1)
    assert answer.read(b'{"choices": [{"message": {"content": "hi"}}]}').tool_calls == (0, 0)


def test_of_canonical_events() -> None:
    seen = Seen()
    events = [PartStart(0, Text("hi")), Delta(0, "{"), PartStart(1, ToolCall("a", "f")), Delta(1, BAD), PartEnd(1)]
    for event in events:
        seen.see(event, 1.0)
    assert seen.tool_calls == (1, 1)

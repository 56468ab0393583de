"""A custom tool that went out as a function comes back as itself, piece by piece."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.ir.events import Delta, PartEnd, PartStart
from trunkline.ir.parts import Text, ToolCall, ToolResult, Turn
from trunkline.ir.request import Request, Tool, ToolChoice
from trunkline.ir.response import Candidate, Response
from trunkline.protocols.codec import CHAT, GEMINI, MESSAGES, QUIRKS, RESPONSES, Target
from trunkline.protocols.settle import settle
from trunkline.protocols.tools import Unwrap, as_object, is_whole, restorer, unwrapped, wrapped_call

TOOLS = (Tool(name="patch", kind="custom"), Tool(name="read", namespace="files"), Tool(name="plain"))
REQUEST = Request(origin="openai.responses", model="m", turns=(), tools=TOOLS)


def cut(text: str, at: list[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in at} | {len(text)})
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(st.text(), st.booleans(), st.lists(st.integers(0, 1000), max_size=20))
def test_wrapped_text_cut_anywhere_comes_out_whole(text: str, ascii_only: bool, at: list[int]) -> None:
    arguments = wrapped_call(ToolCall("c", "patch", text, "custom")).arguments
    if ascii_only:
        arguments = "".join(
            f"\\u{int.from_bytes(unit, 'big'):04x}" if char > "~" else char
            for char in arguments
            for unit in _units(char)
        )
    unwrap = Unwrap()
    assert "".join(unwrap.feed(piece) for piece in cut(arguments, at)) == text


def _units(char: str) -> list[bytes]:
    encoded = char.encode("utf-16-be", "surrogatepass")
    return [encoded[start : start + 2] for start in range(0, len(encoded), 2)]


def test_text_comes_out_as_soon_as_it_is_decided() -> None:
    unwrap = Unwrap()
    assert [unwrap.feed(piece) for piece in ('{"inp', 'ut": "a', "b\\", "n", 'c"', "}")] == [
        "",
        "a",
        "b",
        "\n",
        "c",
        "",
    ]


def test_arguments_that_are_no_wrapped_text_are_left_alone() -> None:
    assert unwrapped('{"input":"x"}') == "x"
    assert unwrapped("broken") == "broken"
    assert unwrapped('{"other":"x"}') == '{"other":"x"}'


def test_a_stream_has_the_callers_tools_again() -> None:
    restore = restorer(REQUEST)
    assert restore is not None
    events = [
        PartStart(0, Text("")), Delta(0, "hi"), PartEnd(0),
        PartStart(1, ToolCall("a", "patch")), Delta(1, '{"input":"*** '), Delta(1, 'x"'), Delta(1, "}"), PartEnd(1),
        PartStart(2, ToolCall("b", "files__read")), Delta(2, "{}"), PartEnd(2),
    ]  # fmt: skip
    found = [seen for event in events if (seen := restore.feed(event)) is not None]
    assert found == [
        *events[:3],
        PartStart(1, ToolCall("a", "patch", kind="custom")), Delta(1, "*** "), Delta(1, "x"), PartEnd(1),
        PartStart(2, ToolCall("b", "read", namespace="files")), Delta(2, "{}"), PartEnd(2),
    ]  # fmt: skip


def test_a_whole_answer_has_the_callers_tools_again() -> None:
    restore = restorer(REQUEST)
    assert restore is not None
    parts = (ToolCall("a", "patch", '{"input":"x"}'), ToolCall("b", "files__read", "{}"), Text("t"))
    answer = restore.response(Response(candidates=(Candidate(parts),)))
    assert answer.candidates[0].parts == (
        ToolCall("a", "patch", "x", "custom"),
        ToolCall("b", "read", "{}", namespace="files"),
        Text("t"),
    )


def test_without_such_tools_there_is_nothing_to_restore() -> None:
    assert restorer(msgspec.structs.replace(REQUEST, tools=(Tool(name="plain"),))) is None


def test_arguments_become_an_object_whatever_the_model_wrote() -> None:
    assert bytes(as_object('{"a": 1.0}')) == b'{"a": 1.0}'
    assert bytes(as_object(" ")) == b"{}"
    assert bytes(as_object('{"a":')) == b'{"arguments":"{\\"a\\":"}'
    assert bytes(as_object("[1]")) == b'{"arguments":"[1]"}'


def test_arguments_are_whole_when_their_object_is_closed() -> None:
    assert [is_whole(text) for text in ("", '{"a":{}', '{"a":{}}', "{} x")] == [False, False, True, False]


ODD_NAMES = ("a.b", "a:b", "1st", "x" * 70, "lire_le_fichier_\u00e9", "-v", "mcp.files/read")
WORDS = r"[a-zA-Z0-9_-]{1,64}"
TAKEN = {CHAT: WORDS, RESPONSES: WORDS, MESSAGES: WORDS, GEMINI: r"[a-zA-Z_][a-zA-Z0-9_.-]{0,63}"}


@pytest.mark.parametrize("protocol", list(TAKEN))
def test_names_that_a_target_does_not_take_are_changed_on_the_way_and_back_on_the_way_back(protocol: str) -> None:
    origin = CHAT if protocol == GEMINI else GEMINI
    history = tuple(
        turn
        for at, name in enumerate(ODD_NAMES)
        for turn in (
            Turn("assistant", (ToolCall(f"c{at}", name, "{}"),)),
            Turn("user", (ToolResult(f"c{at}", name, (Text("ok"),)),)),
        )
    )
    asked = Request(
        origin=origin,
        model="m",
        turns=history,
        tools=tuple(Tool(name=name) for name in ODD_NAMES),
        tool_choice=ToolChoice("required", ("a.b",)),
    )
    settled = settle(asked, Target(protocol=protocol, upstream_model="up", quirks=QUIRKS[protocol]))
    sent = [tool.name for tool in settled.request.tools]
    assert all(re.fullmatch(TAKEN[protocol], name) for name in sent)
    assert len(set(sent)) == len(ODD_NAMES)
    assert ("x" * 70 in sent, "1st" in sent) == (False, protocol != GEMINI)
    assert settled.request.tool_choice == ToolChoice("required", (sent[0],))
    parts = [part for turn in settled.request.turns for part in turn.parts]
    assert [part.name for part in parts if isinstance(part, ToolCall)] == sent
    assert [part.name for part in parts if isinstance(part, ToolResult)] == sent
    assert "renamed" in {loss.action for loss in settled.losses}
    restore = restorer(asked)
    assert restore is not None
    back = [restore.feed(PartStart(at, ToolCall("c", name))) for at, name in enumerate(sent)]
    assert back == [PartStart(at, ToolCall("c", name)) for at, name in enumerate(ODD_NAMES)]


def test_names_that_are_taken_stay_and_a_protocols_own_callers_know_theirs() -> None:
    plain = Request(origin=GEMINI, model="m", turns=(), tools=(Tool(name="read-file_2"),))
    for protocol in TAKEN:
        assert (
            settle(plain, Target(protocol=protocol, upstream_model="up", quirks=QUIRKS[protocol])).request.tools
            == plain.tools
        )
    own = Request(origin=MESSAGES, model="m", turns=(), tools=(Tool(name="x" * 100),))
    target = Target(protocol=MESSAGES, upstream_model="up", quirks=QUIRKS[MESSAGES])
    assert settle(own, target).request.tools == own.tools

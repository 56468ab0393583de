"""Hidden state through a Gemini client: it leaves in `thoughtSignature` and is whole and in its place when it comes back."""

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from trunkline.ir.events import Delta, Event, PartEnd
from trunkline.ir.fold import unfold
from trunkline.ir.parts import Carry, Opaque, Part, Text, Thinking, ToolCall, ToolResult
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.protocols.carry import Kept, seal
from trunkline.protocols.codec import GEMINI, MESSAGES, AnswerContext, Bill, RequestContext, Target
from trunkline.protocols.gemini import codec
from trunkline.protocols.settle import settle

NO_BILL = Bill()
SIGNED = Carry(MESSAGES, msgspec.Raw(b'{"signature":"EqQB+/=="}'))
THOUGHT = Thinking("First this, then that.", carry=SIGNED)
REDACTED = Thinking(redacted=True, carry=Carry(MESSAGES, msgspec.Raw(b'{"data":"xx"}')))
CALL = ToolCall("toolu_1", "f", '{"a": 1}')
OWN = Carry(GEMINI, msgspec.Raw(b'{"thoughtSignature":"U2lnQQ=="}'))


def answered(*parts: Part) -> Response:
    return Response(candidates=(Candidate(parts, FinishReason.TOOL_CALLS),))


def whole(answer: Response, context: AnswerContext) -> list[Any]:
    written = json.loads(codec.write_response(answer, context, NO_BILL))
    return list(written["candidates"][0]["content"].get("parts", []))


def late_carries(answer: Response) -> list[Event]:
    """The events of an answer, with its signatures at the end of their parts, as Anthropic sends them."""
    found: list[Event] = []
    carries: dict[int, Carry | None] = {}
    for event in unfold(answer):
        part = getattr(event, "part", None)
        if isinstance(part, Thinking) and not part.redacted:
            carries[event.index] = part.carry  # type: ignore[union-attr]
            event = msgspec.structs.replace(event, part=msgspec.structs.replace(part, carry=None))
        elif isinstance(event, PartEnd) and event.index in carries:
            event = PartEnd(event.index, carries[event.index])
        found.append(event)
    return found


def in_pieces(event: Event, size: int) -> list[Event]:
    if not isinstance(event, Delta):
        return [event]
    return [Delta(event.index, event.text[at : at + size]) for at in range(0, len(event.text), size)]


def streamed(answer: Response, context: AnswerContext, size: int = 100) -> list[Any]:
    writer = codec.stream_writer(context)
    small = [piece for event in late_carries(answer) for piece in in_pieces(event, size)]
    pieces = [writer.feed(event) for event in small] + [writer.end(NO_BILL)]
    bodies = [json.loads(piece[6:]) for piece in pieces if piece]
    return [part for body in bodies for part in body["candidates"][0]["content"]["parts"]]


def returned(parts: list[Any], asked: RequestContext, *more: Any) -> tuple[Part, ...]:
    history = [{"role": "user", "parts": [{"text": "x"}]}, {"role": "model", "parts": parts}, *more]
    return codec.read_request(json.dumps({"contents": history}).encode(), asked).turns[1].parts


WRITERS = pytest.mark.parametrize("write", [whole, streamed])
SHOWN = pytest.mark.parametrize("shown", [True, None])


@WRITERS
@SHOWN
@pytest.mark.parametrize(
    "parts",
    [
        (THOUGHT, CALL),
        (THOUGHT, Text("I look."), CALL),
        (REDACTED, THOUGHT, Text("Done.")),
        (THOUGHT,),
        (Opaque("server_tool_use", Carry(MESSAGES, msgspec.Raw(b'{"type":"server_tool_use"}'))), Text("a")),
        (THOUGHT, CALL, Thinking("More.", carry=SIGNED), ToolCall("toolu_2", "g", "{}")),
        (Text("a", carry=Carry("openai.responses", msgspec.Raw(b'{"id":"msg_1"}'))), CALL),
        (CALL, THOUGHT, REDACTED),
    ],
)
def test_foreign_state_comes_back_in_its_place(
    write: Any,
    shown: bool | None,
    parts: tuple[Part, ...],
    asked: RequestContext,
    answering: Callable[..., AnswerContext],
) -> None:
    assert returned(write(answered(*parts), answering(shown)), asked) == parts


@WRITERS
@SHOWN
def test_foreign_state_survives_clients_that_throw_thoughts_away(
    write: Any, shown: bool | None, asked: RequestContext, answering: Callable[..., AnswerContext]
) -> None:
    parts = [part for part in write(answered(THOUGHT, CALL), answering(shown)) if not part.get("thought")]
    assert returned(parts, asked) == (THOUGHT, CALL)


def test_state_for_the_next_part_goes_to_it_and_its_slot_is_left_out(asked: RequestContext) -> None:
    slot = {"text": "", "thought": True, "thoughtSignature": seal(Kept(carry=SIGNED, place="next"), asked.secret)}
    call = {"functionCall": {"id": "toolu_1", "name": "f", "args": {}}}
    assert returned([slot, {"text": "a"}, call], asked)[0] == Text("a", carry=SIGNED)
    assert returned([slot, call], asked) == (ToolCall("toolu_1", "f", "{}", carry=SIGNED),)


def test_what_is_hidden_counts_for_routing(asked: RequestContext, answering: Callable[..., AnswerContext]) -> None:
    history = [{"role": "model", "parts": whole(answered(THOUGHT, CALL), answering(None))}]
    body = json.dumps({"contents": history}).encode()
    assert codec.peek(body, asked, frozenset()).facts.prompt_bytes >= len(THOUGHT.text)


@SHOWN
@pytest.mark.parametrize("parts", [(THOUGHT, CALL), (THOUGHT, Text("I look."), CALL)])
def test_a_history_of_single_events_is_one_turn(
    shown: bool | None, parts: tuple[Part, ...], asked: RequestContext, answering: Callable[..., AnswerContext]
) -> None:
    pieces = streamed(answered(*parts), answering(shown), size=4)
    history = [{"role": "user", "parts": [{"text": "x"}]}, *({"role": "model", "parts": [piece]} for piece in pieces)]
    turns = codec.read_request(json.dumps({"contents": history}).encode(), asked).turns
    assert [turn.parts for turn in turns[1:]] == [parts]


def test_texts_of_googles_own_with_signatures_stay_apart(asked: RequestContext) -> None:
    pieces: list[Any] = [{"text": "a"}, {"text": "b", "thoughtSignature": "cw=="}, {"text": "c"}, {"text": "d"}]
    history = [{"role": "model", "parts": [piece]} for piece in pieces]
    turns = codec.read_request(json.dumps({"contents": history}).encode(), asked).turns
    assert [part.text for part in turns[0].parts if isinstance(part, Text)] == ["a", "b", "cd"]


@WRITERS
def test_googles_sdks_may_write_the_signature_in_the_other_alphabet(
    write: Any, asked: RequestContext, answering: Callable[..., AnswerContext]
) -> None:
    parts = write(answered(THOUGHT, CALL), answering())
    for part in parts:
        if "thoughtSignature" in part:
            decoded = base64.b64decode(part["thoughtSignature"], validate=True)
            part["thoughtSignature"] = base64.urlsafe_b64encode(decoded).decode()
    assert returned(parts, asked) == (THOUGHT, CALL)


@WRITERS
def test_a_call_whose_id_the_client_lost_gets_it_back(
    write: Any, asked: RequestContext, answering: Callable[..., AnswerContext]
) -> None:
    parts = write(answered(THOUGHT, CALL), answering())
    for part in parts:
        part.get("functionCall", {}).pop("id", None)
    result = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "1"}}}]}
    assert returned(parts, asked, result) == (THOUGHT, CALL)
    history = [{"role": "user", "parts": [{"text": "x"}]}, {"role": "model", "parts": parts}, result]
    answer = codec.read_request(json.dumps({"contents": history}).encode(), asked).turns[2].parts[0]
    assert isinstance(answer, ToolResult)
    assert answer.call_id == "toolu_1"


@WRITERS
def test_googles_own_signatures_go_out_and_come_back_unchanged(
    write: Any, asked: RequestContext, answering: Callable[..., AnswerContext]
) -> None:
    call = msgspec.structs.replace(CALL, carry=OWN)
    parts = write(answered(Text("a"), call), answering())
    assert {"functionCall": {"id": "toolu_1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "U2lnQQ=="} in parts
    assert returned(parts, asked) == (Text("a"), call)


@WRITERS
def test_a_thought_of_googles_own_that_is_not_shown_is_still_returned(
    write: Any, asked: RequestContext, answering: Callable[..., AnswerContext]
) -> None:
    thought = Thinking("hm", carry=OWN)
    parts = write(answered(thought, CALL), answering(None))
    assert not any(part.get("thought") for part in parts)
    assert returned(parts, asked) == (thought, CALL)


def test_what_another_account_sealed_is_left_out(
    asked: RequestContext, answering: Callable[..., AnswerContext]
) -> None:
    parts = whole(answered(THOUGHT, CALL), answering())
    other = msgspec.structs.replace(asked, secret=b"another secret")
    assert returned(parts, other) == (Thinking(THOUGHT.text), CALL)


def test_a_signature_of_googles_stays_out_of_other_offers_and_the_dummy_takes_the_place_of_a_foreign_one(
    asked: RequestContext, answering: Callable[..., AnswerContext], offer: Callable[..., Target]
) -> None:
    parts = whole(answered(THOUGHT, CALL), answering())
    history = [{"role": "user", "parts": [{"text": "x"}]}, {"role": "model", "parts": parts}]
    request = codec.read_request(json.dumps({"contents": history}).encode(), asked)
    written = json.loads(codec.write_request(request, offer()).body)["contents"][1]["parts"]
    assert written == [
        {
            "functionCall": {"id": "toolu_1", "name": "f", "args": {"a": 1}},
            "thoughtSignature": "skip_thought_signature_validator",
        }
    ]
    toward_claude = settle(request, Target(protocol=MESSAGES, upstream_model="claude"))
    assert toward_claude.request.turns[1].parts == (THOUGHT, CALL)

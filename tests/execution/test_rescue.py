"""An answer that broke off and is gone on with: nothing is lost or said twice, whoever speaks which protocol and wherever it broke."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.relay import Relay, beginning_in, on_the_wire, said_events
from tests.fakes.talking import CHAT, GEMINI, MESSAGES, PROTOCOLS, RESPONSES, WITH_TOOL, Said, tokens, understood
from tests.fakes.upstream import chunk
from trunkline.execution.transport.types import Reset
from trunkline.ir.events import Delta, Event, Finish, PartEnd, PartStart, Start
from trunkline.ir.parts import Refusal, Text, Thinking, ToolCall
from trunkline.ir.response import FinishReason

PIECES = ["One", " two ", " \n", "three", "\n\n    ", "four ", '"fi\\ve"', " sechs é\U0001f600 ", "  "]
TEXT = "".join(PIECES)
PAIRS = list(itertools.product(PROTOCOLS, PROTOCOLS))
TRIPLES = list(itertools.product(PROTOCOLS, PROTOCOLS, PROTOCOLS))


def broken() -> Reset:
    return Reset("the connection was reset")


def pieces_of(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


async def first(relay: Relay, cut: int, pieces: list[str] = PIECES) -> bool:
    """The first offer says so many events, and breaks."""
    wire = on_the_wire(relay.kinds[0], said_events(pieces), 0)
    return await relay.offer(0, lambda sent: (wire[:cut], broken()))


async def other(relay: Relay, at: int = 1, text: str = TEXT, cut: int | None = None, repeats: bool = False) -> bool:
    """Another one says the rest of the text."""
    kind = relay.kinds[at]

    def wire(sent: bytes) -> tuple[list[bytes], Exception | None]:
        beginning = beginning_in(kind, sent)
        assert text.startswith(beginning)
        rest = text if repeats else text[len(beginning) :]
        told = on_the_wire(kind, said_events(pieces_of(rest, 4)), at)
        return (told, None) if cut is None else (told[:cut], broken())

    return await relay.offer(at, wire)


def read(relay: Relay) -> Said:
    return understood(relay.client, relay, stream=True)  # type: ignore[arg-type]


def relay(client: str, *kinds: str, prefill: Any = True, **fields: Any) -> Relay:
    return Relay(client, list(kinds), [prefill] * len(kinds), fields)


def wire_of(kind: str, pieces: list[str] = PIECES) -> list[bytes]:
    return on_the_wire(kind, said_events(pieces), 0)


# --- the text


@pytest.mark.parametrize(("client", "one", "two"), TRIPLES)
async def test_a_text_cut_between_any_events_is_whole_for_the_caller(client, one, two) -> None:
    rescued = 0
    for cut in range(1, len(wire_of(one))):
        made = relay(client, one, two)
        if await first(made, cut):
            # Its reason to finish was told: nothing is missing.
            assert cut > len(PIECES)
            assert read(made).text == TEXT
            continue
        if not made.started:
            continue
        assert made.continuation is not None
        rescued += 1
        assert await other(made), made.failure
        said = read(made)
        assert said.text == TEXT
        assert said.finish in ("stop", "end_turn", "completed", "STOP")
    assert rescued >= len(PIECES)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
async def test_any_text_cut_anywhere_and_gone_on_with_by_any_number_of_offers_is_whole(data: st.DataObject) -> None:
    client, *kinds = data.draw(st.lists(st.sampled_from(PROTOCOLS), min_size=3, max_size=5), label="protocols")
    pieces = data.draw(st.lists(st.text('ab \n\t"\\é\U0001f600', min_size=1, max_size=5), min_size=1, max_size=8))
    text = "".join(pieces)
    made = relay(client, *kinds)

    def torn(wire: list[bytes], last: bool) -> tuple[list[bytes], Any]:
        whole = b"".join(wire)
        end = len(whole) if last else data.draw(st.integers(0, len(whole)), label="cut")
        borders = sorted(data.draw(st.lists(st.integers(0, end), max_size=4), label="borders"))
        chunks = [whole[a:b] for a, b in itertools.pairwise([0, *borders, end]) if a < b]
        return chunks, None if last else broken()

    for at, kind in enumerate(kinds):

        def wire(sent: bytes, at: int = at, kind: str = kind) -> tuple[list[bytes], Any]:
            beginning = beginning_in(kind, sent)
            assert text.startswith(beginning)
            rest = text[len(beginning) :]
            told = pieces if rest == text else pieces_of(rest, 3)
            return torn(on_the_wire(kind, said_events(told), at), at == len(kinds) - 1)

        if await made.offer(at, wire):
            assert read(made).text == text
            return
        assert made.continuation is not None or not made.started
    raise AssertionError("the last offer says it to the end")


# --- what else is one


@pytest.mark.parametrize(("client", "one", "two"), TRIPLES)
async def test_usage_and_cost_are_those_of_one_answer(client, one, two) -> None:
    made = relay(client, one, two)
    await first(made, 5)
    assert await other(made)
    before, after = (attempt.usage for attempt in made.attempts)
    counted = tokens(client, read(made).usage)
    assert counted == (before.total_input_tokens, 0, before.total_output_tokens + after.total_output_tokens)
    cost = sum(attempt.cost.total_pico_usd for attempt in made.attempts)
    assert f'"cost":{cost / 10**12:.12f}'.rstrip("0").encode() in made.caller.written


@pytest.mark.parametrize(("one", "two"), PAIRS)
async def test_a_chat_keeps_its_id_its_time_and_its_one_role(one, two) -> None:
    made = relay(CHAT, one, two)
    await first(made, 6)
    assert await other(made)
    assert len({(event["id"], event["created"], event["model"]) for event in made.events}) == 1
    assert sum("role" in choice["delta"] for event in made.events for choice in event["choices"]) == 1
    assert made.caller.written.count(b"[DONE]") == 1


@pytest.mark.parametrize(("one", "two"), PAIRS)
async def test_a_message_goes_on_in_the_block_that_was_open(one, two) -> None:
    made = relay(MESSAGES, one, two)
    await first(made, 6)
    assert await other(made)
    kinds = [event["type"] for event in made.events]
    assert [kinds.count(f"content_block_{border}") for border in ("start", "stop")] == [1, 1]
    assert kinds.count("message_start") == 1
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


async def test_a_message_whose_block_had_ended_goes_on_in_the_next_one() -> None:
    made = relay(MESSAGES, MESSAGES, MESSAGES)
    pieces = ["One", " two", " three"]
    # Start of message and block, three deltas, end of the block.
    await first(made, 6, pieces)
    assert await other(made, text="".join(pieces) + " four")
    said = read(made)
    assert [block["text"] for block in said.kept[0]["content"]] == ["One two three", " four"]


@pytest.mark.parametrize(("one", "two"), PAIRS)
async def test_a_response_keeps_its_ids_its_numbers_and_its_one_item(one, two) -> None:
    made = relay(RESPONSES, one, two)
    await first(made, 8)
    assert await other(made)
    first_event, last = made.events[0], made.events[-1]
    assert first_event["response"]["id"] == last["response"]["id"]
    assert first_event["response"]["model"] == last["response"]["model"]
    assert len(read(made).kept) == 1
    named = {event["item_id"] for event in made.events if "item_id" in event}
    assert named == {last["response"]["output"][0]["id"]}


@pytest.mark.parametrize(("one", "two"), PAIRS)
async def test_chunks_of_gemini_keep_their_id(one, two) -> None:
    made = relay(GEMINI, one, two)
    await first(made, 6)
    assert await other(made)
    assert len({(event["responseId"], event["modelVersion"]) for event in made.events}) == 1


@pytest.mark.parametrize("two", PROTOCOLS)
@pytest.mark.parametrize("client", PROTOCOLS)
async def test_an_answer_that_was_complete_but_for_its_end_gets_it(client, two) -> None:
    made = relay(client, client, two)
    pieces = ["all", " of it"]
    await first(made, next(cut for cut in range(1, 9) if b" of it" in wire_of(client, pieces)[cut - 1]), pieces)
    assert made.continuation is not None
    ends = [event for event in said_events([]) if not isinstance(event, PartStart | PartEnd)]
    assert await made.offer(1, lambda sent: (on_the_wire(two, ends, 1), None))
    assert read(made).text == "all of it"


@pytest.mark.parametrize(("client", "two"), PAIRS)
async def test_a_call_may_come_behind_the_text_that_was_gone_on_with(client, two) -> None:
    made = relay(client, CHAT, two)
    await first(made, 4)
    call = [PartStart(1, ToolCall("call_1", "weather")), Delta(1, '{"city":"Oslo"}'), PartEnd(1)]
    start, begun, said, ended, *_ = said_events(["and so"])
    answer = [start, begun, said, ended, *call, Finish(FinishReason.TOOL_CALLS), said_events([])[-1]]
    assert await made.offer(1, lambda sent: (on_the_wire(two, answer, 1), None)), made.failure
    told = read(made)
    assert (told.text, told.calls[0].name, told.calls[0].arguments) == (
        "One two  \nand so",
        "weather",
        {"city": "Oslo"},
    )


@pytest.mark.parametrize("two", PROTOCOLS)
async def test_a_call_alone_ends_the_text_before_it(two) -> None:
    made = relay(MESSAGES, CHAT, two)
    await first(made, 4)
    call = [PartStart(0, ToolCall("call_1", "weather")), Delta(0, '{"city":"Oslo"}'), PartEnd(0)]
    answer = [Start(), *call, Finish(FinishReason.TOOL_CALLS), said_events([])[-1]]
    assert await made.offer(1, lambda sent: (on_the_wire(two, answer, 1), None))
    kinds = [event["type"] for event in made.events]
    borders = [kind for kind in kinds if kind in ("content_block_start", "content_block_stop")]
    assert borders == ["content_block_start", "content_block_stop"] * 2
    assert read(made).calls[0].name == "weather"


# --- how it breaks


@pytest.mark.parametrize(("client", "one"), PAIRS)
async def test_a_connection_that_just_ends_is_a_break_too(client, one) -> None:
    made = relay(client, one, CHAT)
    assert not await made.offer(0, lambda sent: (wire_of(one)[:6], None))
    assert made.failure is not None
    assert made.failure.cause == "truncated"
    assert await other(made)
    said = read(made)
    assert said.text == TEXT
    if client == MESSAGES:
        assert len(said.kept[0]["content"]) == 1, "what was open has stayed so"


@pytest.mark.parametrize(("client", "one"), PAIRS)
async def test_an_event_that_cannot_be_read_is_a_break_where_another_can_go_on(client, one) -> None:
    made = relay(client, one, CHAT)
    wire = wire_of(one)
    half = [wire[6][: len(wire[6]) // 2].rstrip(b"\n") + b"\n\n"]
    assert not await made.offer(0, lambda sent: ([*wire[:6], *half, *wire[7:]], None))
    assert made.failure is not None
    assert made.failure.cause == "malformed"
    assert await other(made)
    assert read(made).text == TEXT


ERRORS = {
    CHAT: b'data: {"error":{"message":"overloaded","type":"server_error","code":null}}\n\n',
    RESPONSES: b'event: error\ndata: {"type":"error","sequence_number":9,"code":"server_error","message":"overloaded","param":null}\n\n',
    MESSAGES: b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"overloaded"}}\n\n',
    GEMINI: b'data: {"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}\n\n',
}


@pytest.mark.parametrize(("client", "one"), PAIRS)
async def test_an_error_inside_the_stream_never_reaches_a_caller_that_is_rescued(client, one) -> None:
    made = relay(client, one, MESSAGES)
    assert not await made.offer(0, lambda sent: ([*wire_of(one)[:6], ERRORS[one]], None))
    assert await other(made)
    assert read(made).text == TEXT
    assert b"overloaded" not in made.caller.written


@pytest.mark.parametrize(("client", "one"), PAIRS)
async def test_where_nobody_is_left_the_stream_ends_in_the_callers_own_error(client, one) -> None:
    made = relay(client, one, CHAT)
    await first(made, 6)
    assert not await other(made, cut=4)
    made.give_up()
    last = made.events[-1]
    assert "It broke off." in str(last)
    if client == RESPONSES:
        assert [event["sequence_number"] for event in made.events] == list(range(len(made.events)))


async def test_an_offer_that_adds_nothing_leaves_everything_to_the_next_one() -> None:
    made = relay(MESSAGES, CHAT, GEMINI, RESPONSES)
    await first(made, 6)
    before = made.continuation
    assert not await other(made, cut=0)
    assert made.continuation is not None
    assert before is not None
    assert made.continuation.text == before.text
    assert await other(made, 2)
    assert read(made).text == TEXT


@pytest.mark.parametrize("client", PROTOCOLS)
async def test_an_answer_that_had_only_not_said_goodbye_needs_nobody_else(client) -> None:
    made = relay(client, CHAT, CHAT)
    # Behind the reason to finish, before the usage.
    assert await first(made, len(PIECES) + 2)
    said = read(made)
    assert (said.text, tokens(client, said.usage)[2]) == (TEXT, made.attempts[0].usage.total_output_tokens)
    if client == CHAT:
        assert made.caller.written.endswith(b"data: [DONE]\n\n")


async def test_the_end_of_one_of_two_answers_is_not_the_end() -> None:
    made = relay(CHAT, CHAT, CHAT, n=2)
    assert not await made.offer(0, lambda sent: ([*wire_of(CHAT)[:6], chunk({}, finish="stop")], broken()))
    assert made.continuation is None


@pytest.mark.parametrize("client", [CHAT, MESSAGES, RESPONSES, GEMINI])
async def test_an_event_of_an_unknown_shape_is_passed_on_and_is_no_break(client) -> None:
    made = relay(client, client, CHAT)
    odd = b'data: {"type":"response.output_text.delta","index":"x","delta":[5],"choices":5,"candidates":7}\n\n'
    wire = wire_of(client)
    assert await made.offer(0, lambda sent: ([*wire[:6], odd, *wire[6:]], None))
    assert odd in made.caller.written


@pytest.mark.parametrize("cut", range(4, 9))
async def test_a_stop_word_across_the_break_is_still_kept_to(cut) -> None:
    pieces = ["One ", "#", "#, ", "two", " #", "#", "!", " never said"]
    made = relay(CHAT, RESPONSES, RESPONSES, stop=["##!"])
    assert not await first(made, cut, pieces)
    assert await other(made, text="".join(pieces))
    assert read(made).text == "One ##, two "


@pytest.mark.parametrize("client", PROTOCOLS)
async def test_an_offer_that_thinks_the_answer_over_is_not_let_to_begin_anew(client) -> None:
    thought = [Start(), PartStart(0, Thinking()), Delta(0, "Hm."), PartEnd(0), PartStart(1, Text("")), Delta(1, "Anew")]
    with_thinking = on_the_wire(CHAT, thought, 1)
    made = relay(client, CHAT, CHAT, CHAT)
    await first(made, 6)
    assert not await made.offer(1, lambda sent: (with_thinking, None))
    assert made.failure is not None
    assert made.failure.cause == "malformed"
    assert await other(made, 2)
    assert read(made).text == TEXT


# --- when it cannot be


def answers_of_other_kinds() -> dict[str, list[Event]]:
    start, begun, said, *_ = said_events(["Well"])
    call = PartStart(1, ToolCall("call_1", "weather"))
    return {
        "reasoning": [start, PartStart(0, Thinking()), Delta(0, "Hm."), PartEnd(0), PartStart(1, Text("")), Delta(1, "a")],
        "a call": [start, begun, said, PartEnd(0), call, Delta(1, '{"ci')],
        "after a call": [start, begun, said, PartEnd(0), call, Delta(1, "{}"), PartEnd(1), PartStart(2, Text("")), Delta(2, "a")],
        "a refusal": [start, PartStart(0, Refusal("")), Delta(0, "I will not")],
    }  # fmt: skip


# A refusal is a text in these protocols; Gemini's calls come whole.
NOT_ON_THE_WIRE = {("a refusal", MESSAGES), ("a refusal", GEMINI), ("a call", GEMINI)}


@pytest.mark.parametrize("kind", answers_of_other_kinds())
@pytest.mark.parametrize(("client", "one"), PAIRS)
async def test_only_text_is_gone_on_with(client, one, kind) -> None:
    if (kind, one) in NOT_ON_THE_WIRE:
        return
    made = relay(client, one, CHAT)
    wire = on_the_wire(one, answers_of_other_kinds()[kind], 0)
    # Without the end that the writer has put there.
    ends = {CHAT: 1, RESPONSES: 1, MESSAGES: 2, GEMINI: 1}[one]
    assert not await made.offer(0, lambda sent: (wire[:-ends], broken()))
    assert made.continuation is None


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"response_format": {"type": "json_object"}}),
    (CHAT, {"logprobs": True}),
    (CHAT, {"reasoning_effort": "low"}),
    (CHAT, {"n": 2}),
    (CHAT, {"web_search_options": {}}),
    (RESPONSES, {"reasoning": {"effort": "low"}}),
    (RESPONSES, {"text": {"format": {"type": "json_object"}}}),
    (MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
    (MESSAGES, {**WITH_TOOL[MESSAGES], "tool_choice": {"type": "any"}}),
    (GEMINI, {"generationConfig": {"responseMimeType": "application/json"}}),
    (GEMINI, {"generationConfig": {"thinkingConfig": {"thinkingBudget": 2000}}}),
]


@pytest.mark.parametrize(("client", "fields"), REQUESTS)
async def test_requests_whose_answers_are_more_than_a_text_are_left_to_the_error(client, fields) -> None:
    made = relay(client, CHAT, CHAT, **fields)
    await first(made, 6)
    assert made.started
    assert made.continuation is None


async def test_nothing_is_kept_where_no_other_offer_could_go_on() -> None:
    made = Relay(CHAT, [CHAT, CHAT], [True, False])
    await first(made, 6)
    assert made.started
    assert made.continuation is None


async def test_a_stream_too_long_to_be_kept_is_not_gone_on_with(monkeypatch) -> None:
    monkeypatch.setattr("trunkline.execution.rescue.MAX_KEPT_BYTES", 100)
    made = relay(CHAT, CHAT, CHAT)
    await first(made, 1000, [f"{number:x}" for number in range(1000)])
    assert made.started
    assert made.continuation is None


async def test_a_translated_stream_too_long_to_be_kept_is_not_gone_on_with(monkeypatch) -> None:
    pieces = [f"{number:x}" for number in range(1000)]
    made = relay(MESSAGES, CHAT, CHAT)
    await first(made, 900, pieces)
    assert made.continuation is not None
    monkeypatch.setattr("trunkline.execution.translation.MAX_KEPT_CHARACTERS", 100)
    made = relay(MESSAGES, CHAT, CHAT)
    await first(made, 900, pieces)
    assert made.started
    assert made.continuation is None


async def test_a_long_stream_is_kept_packed() -> None:
    made = relay(CHAT, CHAT, MESSAGES)
    pieces = [f"{number:x} " for number in range(1000)]
    await first(made, 900, pieces)
    assert await other(made, text="".join(pieces))
    assert read(made).text == "".join(pieces)


# --- what the next offer is asked


WAYS = [(True, {}, {}), ("prefix", {"prefix": True}, {}), ("partial", {"partial": True}, {}),
        ("continue_final_message", {}, {"continue_final_message": True, "add_generation_prompt": False})]  # fmt: skip


@pytest.mark.parametrize(("prefill", "mark", "switches"), WAYS)
async def test_each_vendor_is_told_in_its_own_way(prefill, mark, switches) -> None:
    made = relay(MESSAGES, MESSAGES, CHAT, prefill=prefill)
    await first(made, 3, ["Once upon "])
    assert await other(made, text="Once upon a time")
    body = made.bodies[1]
    assert body["messages"][-1] == {"role": "assistant", "content": "Once upon"} | mark
    assert {name: body.get(name) for name in switches} == switches
    assert read(made).text == "Once upon a time"


@pytest.mark.parametrize("size", [1, 3, 5, 200])
@pytest.mark.parametrize("repeats", [True, False])
async def test_an_answer_may_repeat_its_beginning_where_its_vendor_may(repeats, size) -> None:
    made = relay(CHAT, CHAT, CHAT, prefill="prefix")
    await first(made, 6)

    def wire(sent: bytes) -> tuple[list[bytes], None]:
        rest = TEXT if repeats else TEXT[len(beginning_in(CHAT, sent)) :]
        return on_the_wire(CHAT, said_events(pieces_of(rest, size)), 1), None

    assert await made.offer(1, wire)
    assert read(made).text == TEXT


async def test_a_text_that_only_begins_like_its_beginning_is_no_repetition() -> None:
    made = relay(CHAT, CHAT, CHAT, prefill="prefix")
    await first(made, 2, ["ha ha "])
    assert await made.offer(1, lambda sent: (on_the_wire(CHAT, said_events(["ha", " h", "i"]), 1), None))
    assert read(made).text == "ha ha ha hi"


async def test_what_only_looked_like_a_repetition_is_said_at_the_end() -> None:
    made = relay(CHAT, CHAT, CHAT, prefill="prefix")
    await first(made, 3, ["ha ha! "])
    assert await made.offer(1, lambda sent: (on_the_wire(CHAT, said_events(["ha"]), 1), None))
    assert read(made).text == "ha ha! ha"


@pytest.mark.parametrize(
    ("before", "after", "whole"),
    [
        ("One\n\n", "\n\nTwo", "One\n\nTwo"),
        ("One\n\n", "\n\n\nTwo", "One\n\n\nTwo"),
        ("One ", "Two", "One Two"),
        ("One \n", " Two", "One \nTwo"),
        ("One\n", " Two", "One\n Two"),
        ("One", " Two", "One Two"),
    ],
)
async def test_blanks_at_the_break_stand_once(before, after, whole) -> None:
    made = relay(CHAT, CHAT, CHAT)
    await first(made, 2, [before])
    assert await made.offer(1, lambda sent: (on_the_wire(CHAT, said_events(pieces_of(after, 1)), 1), None))
    assert made.bodies[1]["messages"][-1]["content"] == before.rstrip()
    assert read(made).text == whole


async def test_an_answer_of_blanks_alone_begins_again() -> None:
    made = relay(CHAT, CHAT, MESSAGES)
    await first(made, 2, ["\n\n"])
    assert await other(made, text="\n\nOnce")
    assert [turn["role"] for turn in made.bodies[1]["messages"]] == ["user"]
    assert read(made).text == "\n\nOnce"


async def test_the_limit_of_the_answer_counts_what_was_said() -> None:
    made = relay(MESSAGES, MESSAGES, MESSAGES, max_tokens=100)
    await first(made, 3, ["x" * 80])
    assert await other(made, text="x" * 100)
    assert made.bodies[1]["max_tokens"] == 100 - made.attempts[0].usage.total_output_tokens == 80


async def test_the_callers_own_beginning_and_the_answers_are_one() -> None:
    fields = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Dear"}]}
    made = relay(MESSAGES, MESSAGES, CHAT, **fields)
    await first(made, 3, [" all"])
    assert await made.offer(1, lambda sent: (on_the_wire(CHAT, said_events([", hello"]), 1), None))
    assert [turn["content"] for turn in made.bodies[1]["messages"]] == ["hi", "Dear all"]
    assert read(made).text == " all, hello"

"""How streams end that go through a codec: whole without a goodbye, cut, estimated. Over an answer that comes in pieces."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.caller import CallerConnection
from trunkline.api.call import Call
from trunkline.catalog.types import Offer
from trunkline.errors import NoProviderAvailable
from trunkline.execution.bill import Bill
from trunkline.execution.codecs import codec_of
from trunkline.execution.gateway import Policy, Snapshot
from trunkline.execution.respond import Reply
from trunkline.execution.streaming import Terms
from trunkline.execution.translation import Route, Translation, Watching
from trunkline.execution.transport.types import Reset, Take
from trunkline.ir.facts import RequestFacts
from trunkline.ir.request import Request
from trunkline.ir.usage import Usage
from trunkline.pricing.types import Cost, CostLine
from trunkline.protocols.codec import CHAT, GEMINI, MESSAGES, RESPONSES, AnswerContext, Target
from trunkline.protocols.sse import data_of, events


class Pieces:
    """An answer of these pieces, that then ends or breaks."""

    status, headers, reused, sent_at, idle_s = 200, [], False, 0.0, 1.0

    def __init__(self, pieces: list[bytes], error: Exception | None = None) -> None:
        self._pieces = pieces
        self._error = error

    async def pump(self, take: Take) -> None:
        for piece in self._pieces:
            take(piece)
        if self._error is not None:
            raise self._error

    def abort(self) -> None:
        self._pieces = []


def event(data: dict[str, Any], name: str = "") -> bytes:
    head = f"event: {name or data['type']}\n" if "type" in data else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def price(offer: Offer, usage: Usage, at_ms: float, tier: str | None) -> Cost:
    amount = usage.total_output_tokens * 10**6
    return Cost((CostLine("completion", usage.total_output_tokens, "perMTokens", "1", amount),), amount)


def bill_of(protocol: str) -> Bill:
    offer = Offer(model="acme/alpha", provider="acme", upstream_model="alpha", protocols=(protocol,))
    facts = RequestFacts(protocol, "acme/alpha", True, 40)
    return Bill(Snapshot({}, {}, Policy(), price), offer, facts, codec_of(protocol).read_usage, 0.0, [])  # type: ignore[arg-type]  # no catalog is asked


def context(protocol: str) -> AnswerContext:
    request = Request(origin=protocol, model="acme/alpha", turns=(), stream=True, include_usage=True)
    return AnswerContext(
        request=request,
        request_id="req_1",
        model="acme/alpha",
        created_s=1,
        secret=b"s" * 32,
        keep=lambda key, data: None,
    )


def terms() -> Terms:
    return Terms(head=[], first_event_s=60.0, idle_s=60.0, include_cost=True, earlier=[])


Made = tuple[Any, CallerConnection, Bill]


def _reply(caller: CallerConnection) -> Reply:
    """Of HTTP/1.0, so that the body is not in chunks."""
    return caller.reply(Call(caller, "POST", b"/", [], keep_alive=False, http_10=True))  # type: ignore[arg-type]


def watching(protocol: str, pieces: Pieces) -> Made:
    caller, bill = CallerConnection(), bill_of(protocol)
    reader = codec_of(protocol).stream_reader(Target(protocol=protocol, upstream_model="alpha"))
    made = Watching(pieces, _reply(caller), bill, terms(), reader, protocol, lambda: 0.0, lambda at: None)  # type: ignore[arg-type]  # as much of an answer as is asked for
    return made, caller, bill


def translation(source: str, target: str, pieces: Pieces, on_commit: Callable[[float], None] = lambda at: None) -> Made:
    caller, bill = CallerConnection(), bill_of(source)
    reader = codec_of(source).stream_reader(Target(protocol=source, upstream_model="alpha"))
    route = Route(reader, codec_of(target).stream_writer(context(target)))
    made = Translation(pieces, _reply(caller), bill, terms(), route, lambda: 0.0, on_commit)  # type: ignore[arg-type]
    return made, caller, bill


def gemini(text: str = "", **more: Any) -> bytes:
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}} if text else {}
    finish = {"finishReason": more.pop("finish")} if "finish" in more else {}
    candidates = {"candidates": [candidate | finish]} if candidate or finish else {}
    return event(candidates | more)


COUNTS = {"promptTokenCount": 4, "candidatesTokenCount": 3, "totalTokenCount": 7}
MESSAGE = [
    event({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "alpha", "content": [],
                                                "usage": {"input_tokens": 12, "output_tokens": 1}}}),
    event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 400}}),
]  # fmt: skip
RESPONSE = {
    "id": "resp_9",
    "object": "response",
    "created_at": 1,
    "status": "in_progress",
    "model": "alpha",
    "output": [],
}
BEGUN = [
    event({"type": "response.created", "sequence_number": 0, "response": RESPONSE}),
    event({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0,
           "item": {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}}),
    event({"type": "response.content_part.added", "sequence_number": 2, "item_id": "msg_1", "output_index": 0, "content_index": 0,
           "part": {"type": "output_text", "text": "", "annotations": []}}),
    event({"type": "response.output_text.delta", "sequence_number": 3, "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": "hi"}),
]  # fmt: skip


def told(caller: CallerConnection) -> list[Any]:
    found = [data_of(one) for one in events(caller.body)]
    return [json.loads(data) for data in found if data is not None and data != b"[DONE]"]


async def test_a_cut_answer_is_billed_by_what_came_not_by_the_first_count() -> None:
    made, _, bill = watching(MESSAGES, Pieces(MESSAGE, Reset("gone")))
    with pytest.raises(Reset):
        await made.run()
    bill.settle(made.observed)
    assert (bill.usage.input_tokens, bill.usage.output_tokens, bill.usage.estimated) == (12, 100, True)


async def test_a_provider_that_breaks_off_after_the_end_of_its_answer_did_no_harm() -> None:
    whole = [gemini("hello"), gemini(finish="STOP", usageMetadata=COUNTS)]
    made, caller, bill = translation(GEMINI, CHAT, Pieces(whole, Reset("gone")))
    assert await made.run() is None
    assert bill.usage.output_tokens == 3
    assert caller.body.rstrip().endswith(b"[DONE]")


async def test_one_that_breaks_off_before_it_is_told_as_broken() -> None:
    made, _, _ = translation(GEMINI, CHAT, Pieces([gemini("hello", usageMetadata=COUNTS)], Reset("gone")))
    with pytest.raises(Reset):
        await made.run()


async def test_usage_that_comes_after_the_finish_has_the_cost_too() -> None:
    late = [gemini("hello", finish="STOP"), gemini(usageMetadata=COUNTS)]
    made, caller, _ = watching(GEMINI, Pieces(late))
    assert await made.run() is None
    assert told(caller)[-1]["usageMetadata"]["cost"] == 3e-6


@pytest.mark.parametrize("target", [CHAT, RESPONSES, GEMINI])
async def test_an_estimate_is_shown_with_its_cost(target) -> None:
    unmetered = [gemini("x" * 40), gemini(finish="STOP")]
    made, caller, bill = translation(GEMINI, target, Pieces(unmetered))
    assert await made.run() is None
    assert bill.usage.estimated
    usage = [
        one.get("usage") or one.get("usageMetadata") or one.get("response", {}).get("usage") for one in told(caller)
    ]
    assert [one["cost"] for one in usage if one and "cost" in one] == [1e-5]


async def test_a_broken_event_is_noted() -> None:
    broken = [gemini("hello"), b"data: {broken\n\n", gemini(finish="STOP", usageMetadata=COUNTS)]
    made, _, bill = translation(GEMINI, CHAT, Pieces(broken))
    assert await made.run() is None
    assert bill.notes == ["an event of the stream could not be read"]


async def test_a_responses_stream_that_is_cut_ends_numbered_on_in_its_own_name() -> None:
    made, _, _ = watching(RESPONSES, Pieces(BEGUN, Reset("gone")))
    with pytest.raises(Reset):
        await made.run()
    end = json.loads(data_of(made.fail(NoProviderAvailable("it broke off"))) or b"")
    assert (end["type"], end["sequence_number"], end["response"]["id"]) == ("response.failed", 4, "resp_9")
    assert (end["response"]["status"], end["response"]["error"]["message"]) == ("failed", "it broke off")

"""A conversation that is kept is what was asked and answered before, item by item, under ids that a later request can name."""

import json
from typing import Any

import pytest

from trunkline.errors import InvalidParams
from trunkline.ir.fold import unfold
from trunkline.ir.parts import Text, Thinking, ToolCall
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.protocols.codec import Bill, RequestContext
from trunkline.protocols.openai_responses import codec, stored

FIRST = b'{"model":"m","input":"One"}'


def answered(wire: Any, *parts: Any) -> bytes:
    response = Response(candidates=(Candidate(parts, FinishReason.END),))
    return codec.write_response(response, wire.answering(), Bill())


def test_a_conversation_goes_on_where_it_was(wire: Any) -> None:
    answer = answered(wire, Thinking("Hm"), Text("Two"))
    kept = stored.conversation(b"", stored.input_items(FIRST, "req_1"), stored.output_items(answer))
    context = RequestContext(request_id="req_2", secret=b"secret", previous=kept)
    request = codec.read_request(b'{"model":"m","input":"Three","previous_response_id":"resp_1"}', context)
    assert [(turn.role, [part.text for part in turn.parts]) for turn in request.turns] == [
        ("user", ["One"]),
        ("assistant", ["Hm", "Two"]),
        ("user", ["Three"]),
    ]


def test_a_longer_conversation_keeps_growing(wire: Any) -> None:
    call = b'{"model":"m","input":[{"type":"function_call_output","call_id":"c1","output":"14"}],"previous_response_id":"resp_1"}'
    kept = stored.conversation(
        b"", stored.input_items(FIRST, "req_1"), stored.output_items(answered(wire, ToolCall("c1", "f", "{}")))
    )
    kept = stored.conversation(kept, stored.input_items(call, "req_2"), stored.output_items(answered(wire, Text("14"))))
    kinds = [item["type"] for item in json.loads(kept)]
    assert kinds == ["message", "function_call", "function_call_output", "message"]
    assert stored.previous_id(call) == "resp_1"


def test_a_stream_leaves_the_same_items_as_a_body(wire: Any) -> None:
    writer = codec.stream_writer(wire.answering())
    response = Response(candidates=(Candidate((Text("Two"),), FinishReason.END),))
    for event in unfold(response):
        writer.feed(event)
    writer.end(Bill())
    assert stored.output_items(writer.body) == stored.output_items(answered(wire, Text("Two")))


def test_items_of_the_caller_get_ids(wire: Any) -> None:
    body = b'{"model":"m","input":[{"role":"user","content":"x"},{"type":"function_call_output","call_id":"c","output":""}]}'
    ids = [json.loads(bytes(item["id"])) for item in stored.input_items(body, "req_1")]
    assert ids == ["msg_in_1_0", "fco_in_1_1"]


def test_an_item_can_be_named_later(wire: Any) -> None:
    items = stored.by_id(stored.output_items(answered(wire, Text("Two"))))
    body = b'{"model":"m","input":[{"type":"item_reference","id":"msg_1_0"}]}'
    assert stored.referenced_ids(body) == ("msg_1_0",)
    request = codec.read_request(body, RequestContext(request_id="req_2", secret=b"secret", states=items))
    assert request.turns[0].parts[0].text == "Two"
    kept = stored.conversation(b"", stored.input_items(body, "req_2"), [], items)
    assert json.loads(kept)[0]["content"][0]["text"] == "Two"


def test_pages_of_input_items_go_both_ways(wire: Any) -> None:
    body = json.dumps({"model": "m", "input": [{"role": "user", "content": str(n)} for n in range(5)]}).encode()
    items = stored.input_items(body, "req_1")
    page = json.loads(stored.input_page(items, limit=2, order="asc"))
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("msg_in_1_0", "msg_in_1_1", True)
    page = json.loads(stored.input_page(items, limit=20, after="msg_in_1_1", order="desc"))
    assert ([item["content"] for item in page["data"]], page["has_more"]) == (["0"], False)


@pytest.mark.parametrize("asked", [{"limit": 0}, {"limit": 101}, {"after": "msg_x"}])
def test_a_page_that_cannot_be_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams):
        stored.input_page(stored.input_items(FIRST, "req_1"), **asked)


def test_a_response_is_kept_unless_the_caller_says_no() -> None:
    assert stored.wants_store(FIRST)
    assert not stored.wants_store(b'{"model":"m","input":"x","store":false}')


def test_what_is_deleted_is_told() -> None:
    assert json.loads(stored.deleted("resp_1")) == {"id": "resp_1", "object": "response", "deleted": True}


def test_an_answer_that_cannot_be_read_has_no_items() -> None:
    assert stored.output_items(b"<html>") == []

"""Stored responses: what becomes of an answer, and what the next request gets of it."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.fakes.kept import DAY_MS, NOW_MS, Sink, Source
from trunkline.errors import InvalidParams, NotFound
from trunkline.execution.conversations import Conversations, Remembering, input_items, refuse_background
from trunkline.execution.shelf import Shelf
from trunkline.protocols.rawjson import Fields, split

ANSWER_ITEM = {
    "type": "message",
    "id": "msg_a_0",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "hello"}],
}
USER_ITEM = {"role": "user", "content": "hi"}


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def kept(sink) -> Iterator[Conversations]:
    with ThreadPoolExecutor(1) as thread:
        yield Conversations(Shelf(sink, Source(), thread, lambda: NOW_MS), days=30)


def request(**fields: Any) -> Fields:
    return split(json.dumps({"model": "acme/alpha", "input": "hi"} | fields).encode())


def answer(id_: str = "resp_a", **fields: Any) -> dict[str, Any]:
    said = {"id": id_, "object": "response", "status": "completed", "store": False, "output": [ANSWER_ITEM]}
    return said | {"previous_response_id": None} | fields


def remember(
    kept: Conversations, asked: Fields, told: dict[str, Any], previous: bytes = b"", key: str = "key_1", **more: Any
) -> str:
    return kept.remember(key, asked, previous, json.dumps(told).encode(), False, NOW_MS, **more)


async def conversation(kept: Conversations, response_id: str = "resp_a", key: str = "key_1") -> list[Any]:
    items: list[Any] = json.loads(await kept.previous(response_id, key))
    return items


def stream(*events: dict[str, Any], named: bool = True) -> bytes:
    lines = [(f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join(lines).encode()


async def test_the_next_request_gets_what_was_asked_and_what_was_answered(kept):
    assert remember(kept, request(), answer()) == ""
    asked, answered = await conversation(kept)
    assert (asked["role"], asked["content"]) == ("user", [{"type": "input_text", "text": "hi"}])
    assert answered == ANSWER_ITEM


async def test_items_are_handed_on_as_they_came_with_ids(kept):
    items = [USER_ITEM, {"type": "function_call_output", "call_id": "call_1", "output": "22 °C", "x_unknown": [1.50]}]
    remember(kept, request(input=items), answer())
    first, second, _ = await conversation(kept)
    assert first | USER_ITEM == first
    assert second | items[1] == second
    assert first["id"] != second["id"]


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"id": "msg_7"},
        {"id": None, "role": "user"},
        {"type": "message"},
        {"type": "message", "id": "x", "role": "user"},
    ],
    ids=str,
)
async def test_every_item_has_a_type_and_one_id_and_keeps_the_rest(kept, item):
    remember(kept, request(input=[item, item]), answer())
    first, second, _ = await conversation(kept)
    assert first["type"] == "message"
    assert first | {name: value for name, value in item.items() if value} == first
    assert first["id"]
    assert (first["id"] == second["id"]) == bool(item.get("id"))


async def test_a_third_turn_gets_the_whole_conversation_in_its_order(kept):
    remember(kept, request(input="one"), answer("resp_1"))
    previous = await kept.previous("resp_1", "key_1")
    remember(kept, request(input="two", previous_response_id="resp_1"), answer("resp_2"), previous)
    third = await conversation(kept, "resp_2")
    assert [item.get("role") for item in third] == ["user", "assistant"] * 2
    assert [third[0]["content"][0]["text"], third[2]["content"][0]["text"]] == ["one", "two"]
    assert third[: len(json.loads(previous))] == json.loads(previous)


async def test_instructions_are_not_handed_on(kept):
    remember(kept, request(instructions="be a secret pirate"), answer())
    assert b"pirate" not in await kept.previous("resp_a", "key_1")


async def test_deleting_a_response_leaves_those_whole_that_go_on_from_it(kept):
    remember(kept, request(input="one"), answer("resp_1"))
    remember(kept, request(input="two"), answer("resp_2"), await kept.previous("resp_1", "key_1"))
    await kept.delete("resp_1", "key_1")
    assert len(await conversation(kept, "resp_2")) == 4
    with pytest.raises(InvalidParams):
        await kept.previous("resp_1", "key_1")
    with pytest.raises(NotFound):
        await kept.delete("resp_1", "key_1")


@pytest.mark.parametrize("response_id", ["resp_unknown", "", "a/b", "é", "x" * 300])
async def test_a_response_that_is_not_known_is_told_in_openai_s_words(kept, response_id):
    with pytest.raises(InvalidParams, match=r"^Previous response with id '.*' not found\.$") as told:
        await kept.previous(response_id, "key_1")
    assert told.value.param == "previous_response_id"


async def test_a_response_is_of_no_other_key(kept):
    remember(kept, request(), answer())
    with pytest.raises(InvalidParams):
        await kept.previous("resp_a", "key_2")
    with pytest.raises(NotFound):
        await kept.response("resp_a", "key_2")
    with pytest.raises(NotFound):
        await kept.delete("resp_a", "key_2")
    assert await conversation(kept)


async def test_two_keys_may_get_the_same_id_from_a_provider(kept):
    remember(kept, request(input="of one"), answer(), key="key_1")
    remember(kept, request(input="of two"), answer(), key="key_2")
    assert (await conversation(kept, key="key_1"))[0]["content"][0]["text"] == "of one"
    assert (await conversation(kept, key="key_2"))[0]["content"][0]["text"] == "of two"


async def test_the_object_is_kept_as_its_caller_got_it_but_says_that_it_is_stored(kept):
    told = answer(usage={"input_tokens": 3, "cost": 0.0000012}, x_unknown={"a": [1.50, None]})
    remember(kept, request(previous_response_id="resp_0"), told)
    found = json.loads(bytes((await kept.response("resp_a", "key_1")).response))
    assert found == told | {"store": True, "previous_response_id": "resp_0"}


async def test_its_input_is_all_that_it_was_made_from(kept):
    remember(kept, request(input="one"), answer("resp_1"))
    remember(kept, request(input="two"), answer("resp_2"), await kept.previous("resp_1", "key_1"))
    items = input_items(await kept.response("resp_2", "key_1"))
    assert [bytes(item["role"]) for item in items] == [b'"user"', b'"assistant"', b'"user"']


async def test_it_is_kept_for_its_days(kept, sink):
    remember(kept, request(), answer())
    (only,) = sink.changes
    assert (only.kind, only.key_id, only.expires_ms - only.created_ms) == ("response", "key_1", 30 * DAY_MS)


@pytest.mark.parametrize("stored", [True, None, "unsaid"])
async def test_unsaid_a_response_is_stored(kept, sink, stored):
    asked = request() if stored == "unsaid" else request(store=stored)
    assert kept.stores(asked)
    remember(kept, asked, answer())
    assert len(sink.changes) == 1


async def test_store_false_leaves_nothing(kept, sink):
    assert not kept.stores(request(store=False))
    assert remember(kept, request(store=False), answer()) == ""
    assert sink.changes == []


async def test_without_days_nothing_is_stored_and_what_was_stays(kept, sink):
    remember(kept, request(), answer("resp_1"))
    kept.retain(0)
    assert not kept.stores(request())
    assert remember(kept, request(), answer("resp_2")) == ""
    assert len(sink.changes) == 1
    assert await conversation(kept, "resp_1")


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete"])
@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
async def test_a_stream_is_stored_by_the_event_that_ends_it(kept, kind, named):
    delta = {"type": "response.output_text.delta", "delta": 'say "response.completed"'}
    told = answer(status=kind.removeprefix("response."))
    written = stream(delta, {"type": kind, "sequence_number": 9, "response": told}, named=named)
    assert kept.remember("key_1", request(stream=True), b"", written, True, NOW_MS) == ""
    assert (await conversation(kept))[-1] == ANSWER_ITEM


UNREADABLE = {
    "empty": b"",
    "no JSON": b"<html>",
    "a list": b"[]",
    "half": b'{"id":"resp_a","output":[{"ty',
    "no id": b'{"object":"response","status":"completed","output":[]}',
    "a number for an id": b'{"id":5,"status":"completed"}',
    "an id with a slash": b'{"id":"a/b","status":"completed"}',
    "an output that is none": b'{"id":"resp_a","status":"completed","output":{}}',
    "not text": b'{"id":"resp_a","status":"completed","output":["\xff"]}',
    "failed": b'{"id":"resp_a","status":"failed","output":[]}',
    "an error": b'{"error":{"message":"no"}}',
}


@pytest.mark.parametrize("written", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_what_cannot_be_stored_is_noted_and_harms_nobody(kept, sink, written, streamed):
    if streamed:
        written = b'data: {"type":"response.completed","response":%b}\n\n' % written
    note = kept.remember("key_1", request(), b"", written, streamed, NOW_MS)
    assert note.startswith("the response is not stored: ")
    assert sink.changes == []


async def test_a_stream_that_did_not_come_to_its_end_is_not_stored(kept):
    written = stream({"type": "response.failed", "response": answer(status="failed")})
    assert "did not end" in kept.remember("key_1", request(), b"", written, True, NOW_MS)
    assert "did not end" in kept.remember("key_1", request(), b"", b": keep-alive\n\ndata: [DONE]\n\n", True, NOW_MS)


async def test_input_that_is_none_is_noted(kept):
    assert "not stored" in remember(kept, request(input=7), answer())


async def test_items_that_are_only_named_are_found_and_stored_whole(kept):
    remember(kept, request(input=[USER_ITEM]), answer("resp_a"))
    asked_id = (await conversation(kept))[0]["id"]
    found = await kept.referenced((asked_id, "msg_a_0", "msg_b_0", "rs_else"), "key_1")
    assert {item_id: json.loads(item) for item_id, item in found.items()} == {
        asked_id: {"type": "message", "id": asked_id} | USER_ITEM,
        "msg_a_0": ANSWER_ITEM,
    }
    named = [{"type": "item_reference", "id": "msg_a_0"}, USER_ITEM]
    remember(kept, request(input=named), answer("resp_b"), recalled=found)
    assert (await conversation(kept, "resp_b"))[0] == ANSWER_ITEM


async def test_items_of_the_conversation_itself_are_found_by_any_id(kept):
    previous = json.dumps([{"type": "reasoning", "id": "rs_of_a_provider"}]).encode()
    assert list(await kept.referenced(("rs_of_a_provider",), "key_1", previous)) == ["rs_of_a_provider"]


async def test_items_of_another_key_s_answer_are_not_found(kept):
    remember(kept, request(), answer())
    assert await kept.referenced(("msg_a_0",), "key_2") == {}


def test_the_background_is_refused_by_name():
    refuse_background(request())
    refuse_background(request(background=False))
    with pytest.raises(InvalidParams, match="stream the answer") as told:
        refuse_background(request(background=True))
    assert told.value.param == "background"


def remembering(kept: Conversations, *, streamed: bool, **fields: Any) -> Remembering:
    return Remembering(kept, "key_1", request(**fields), b"", {}, lambda: NOW_MS, streamed=streamed)


async def test_a_stream_is_stored_with_the_write_that_ends_it_and_with_no_other(kept, sink):
    watcher = remembering(kept, streamed=True)
    watcher.see(stream({"type": "response.created", "response": answer(status="in_progress")}))
    watcher.see(stream({"type": "response.output_text.delta", "delta": 'say "response.completed"'}))
    assert (len(sink.changes), watcher.note) == (0, "the response is not stored: its stream did not end with it")
    watcher.see(stream({"type": "response.completed", "response": answer()}))
    watcher.see(b": keep-alive\n\n")
    assert (len(sink.changes), watcher.note) == (1, "")
    assert (await conversation(kept))[-1] == ANSWER_ITEM


async def test_a_whole_answer_is_stored_as_it_is_sent(kept):
    watcher = remembering(kept, streamed=False)
    watcher.see(json.dumps(answer()).encode())
    assert watcher.note == ""
    assert await conversation(kept)


def test_an_answer_that_cannot_be_stored_leaves_its_note(kept):
    watcher = remembering(kept, streamed=False)
    watcher.see(b'{"error":{}}')
    assert watcher.note.startswith("the response is not stored: ")

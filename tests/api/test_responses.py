"""GET, DELETE and the input items of stored responses, as a caller sees them."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.fakes.caller import CallerConnection
from tests.fakes.kept import NOW_MS, Sink, Source
from trunkline.api.responses import StoredResponses
from trunkline.errors import InvalidParams, RequestError, StoreError
from trunkline.execution.conversations import Conversations
from trunkline.execution.respond import JSON_HEADERS, Reply
from trunkline.execution.shelf import Shelf
from trunkline.protocols.openai_responses.errors import error_body
from trunkline.protocols.rawjson import split

ITEMS = [{"type": "message", "id": f"msg_in_{number}", "role": "user", "content": str(number)} for number in range(5)]
OUTPUT = [{"type": "message", "id": "msg_0", "role": "assistant", "content": []}]


def answer_error(reply: Reply, error: RequestError) -> None:
    reply.whole(error.status, JSON_HEADERS, error_body(error, reply.request_id))


class Asker:
    """Asks with a key. Lives for one test."""

    def __init__(self, conversations: Conversations) -> None:
        self.conversations = conversations
        self.responses = StoredResponses(conversations, answer_error)
        told = {"id": "resp_1", "object": "response", "status": "completed", "store": True, "output": OUTPUT}
        asked = json.dumps({"model": "acme/alpha", "input": ITEMS}).encode()
        conversations.remember("key_1", split(asked), b"", json.dumps(told).encode(), False, NOW_MS)

    async def __call__(
        self, method: str, target: str, *headers: tuple[bytes, bytes], key: str = "key_1", body: bytes = b""
    ) -> CallerConnection:
        connection = CallerConnection()
        call = connection.call(target.encode(), *headers, method=method)
        make = self.responses.handler(method, call.target)
        assert make is not None
        await make(call, connection.reply(call), key).run(body)
        assert connection.ended
        return connection

    async def json(self, method: str, target: str, **more: Any) -> Any:
        connection = await self(method, target, **more)
        assert connection.status == 200
        return json.loads(connection.body)

    async def error(self, method: str, target: str, **more: Any) -> tuple[int, Any]:
        connection = await self(method, target, **more)
        return connection.status, json.loads(connection.body)["error"]


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def ask(source) -> Iterator[Asker]:
    with ThreadPoolExecutor(1) as thread:
        yield Asker(Conversations(Shelf(Sink(), source, thread, lambda: NOW_MS), days=30))


@pytest.mark.parametrize("prefix", ["/api/v1", "/v1"])
async def test_a_stored_response_is_given_as_it_was(ask, prefix):
    found = await ask.json("GET", f"{prefix}/responses/resp_1")
    assert (found["id"], found["object"], found["output"]) == ("resp_1", "response", OUTPUT)


async def test_a_response_that_is_not_there_is_404_in_openai_s_words_and_shape(ask):
    status, error = await ask.error("GET", "/v1/responses/resp_9")
    assert (status, error["message"]) == (404, "Response with id 'resp_9' not found.")
    assert set(error) >= {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel")], ids=str
)
async def test_another_key_s_response_is_as_one_that_is_not_there(ask, method, path):
    status, error = await ask.error(method, f"/v1/responses/resp_1{path}", key="key_2")
    assert (status, error["message"]) == (404, "Response with id 'resp_1' not found.")
    assert await ask.json("GET", "/v1/responses/resp_1")


async def test_a_deleted_response_is_gone(ask):
    assert await ask.json("DELETE", "/api/v1/responses/resp_1", body=b"{}") == {
        "id": "resp_1", "object": "response", "deleted": True,
    }  # fmt: skip
    assert (await ask.error("GET", "/api/v1/responses/resp_1"))[0] == 404
    assert (await ask.error("DELETE", "/api/v1/responses/resp_1"))[0] == 404


async def test_input_items_come_newest_first(ask):
    page = await ask.json("GET", "/v1/responses/resp_1/input_items")
    assert page == {
        "object": "list", "data": ITEMS[::-1], "first_id": "msg_in_4", "last_id": "msg_in_0", "has_more": False,
    }  # fmt: skip


async def test_all_pages_together_are_all_items(ask):
    found, query = [], "order=asc&limit=2"
    while True:
        page = await ask.json("GET", f"/v1/responses/resp_1/input_items?{query}")
        found += page["data"]
        if not page["has_more"]:
            break
        query = f"order=asc&limit=2&after={page['last_id']}"
    assert found == ITEMS


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=many", "limit"),
        ("order=up", "order"),
        ("after=x", "after"),
    ],
)
async def test_a_query_that_cannot_be_is_refused_by_name(ask, query, param):
    status, error = await ask.error("GET", f"/v1/responses/resp_1/input_items?{query}")
    assert (status, error["param"]) == (400, param)


async def test_a_response_cannot_be_cancelled_nor_streamed_again(ask):
    assert (await ask.error("POST", "/v1/responses/resp_1/cancel"))[0] == 400
    status, error = await ask.error("GET", "/v1/responses/resp_1?stream=true")
    assert (status, error["param"]) == (400, "stream")


async def test_a_socket_is_refused_so_that_codex_goes_on_with_post(ask):
    assert (await ask("GET", "/v1/responses", (b"upgrade", b"websocket"))).status == 403
    assert (await ask("GET", "/v1/responses")).status == 404


async def test_an_id_may_come_percent_encoded(ask):
    assert await ask.json("GET", "/v1/responses/resp%5F1")


async def test_a_store_that_cannot_be_read_is_503(ask, source):
    source.error = StoreError("locked")
    assert (await ask.error("GET", "/v1/responses/resp_9"))[0] == 503


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", b"/v1/responses"), ("POST", b"/v1/responses/input_tokens"), ("PUT", b"/v1/responses/resp_1"),
        ("GET", b"/v1/responses/resp_1/a/b"), ("GET", b"/v1/models"), ("GET", b"/v1/responses/resp_1/other"),
    ],
)  # fmt: skip
def test_everything_else_is_left_to_others(ask, method, target):
    assert ask.responses.handler(method, target) is None


async def test_a_body_that_is_not_taken_is_answered(ask):
    connection = CallerConnection()
    call = connection.call(b"/v1/responses/resp_1", method="DELETE")
    handler = ask.responses.handler("DELETE", call.target)(call, connection.reply(call), "key_1")
    handler.refuse(InvalidParams("too large"))
    assert (connection.status, connection.ended) == (400, True)

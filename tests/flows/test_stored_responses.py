"""Stored responses over the running gateway: a conversation goes on at offers of any protocol, survives a crash, and is its key's alone."""

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.fakes.gateway import (
    DEADLINE_S,
    MASTER_KEY,
    OPERATOR_KEY,
    Answer,
    GatewayProcess,
    base_toml,
    eventually,
    start_gateway,
)
from tests.fakes.upstream import Call, Script, Upstream, says

RESPONSES = "/api/v1/responses"
PROTOCOLS = {"chat": "openai.chat", "same": "openai.responses"}
KINDS = pytest.mark.parametrize("kind", list(PROTOCOLS))
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def config(folder: Any, upstream: Upstream) -> str:
    parts = [base_toml(folder)]
    for name, protocol in PROTOCOLS.items():
        url = f'base_urls = {{ "{protocol}" = "{upstream.url(f"kept-{name}")}" }}'
        parts.append(f'[providers.kept-{name}]\nname = "{name}"\n{url}\napi_key = "{OPERATOR_KEY}"\n')
        offer = f'provider = "kept-{name}"\nupstream_model = "kept-{name}"\nprotocols = ["{protocol}"]\nprice = []\n'
        parts.append(f'[[models]]\nslug = "acme/{name}"\n[[models.offers]]\n{offer}')
    return "\n".join(parts)


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("keeping")
    made = start_gateway(folder, config(folder, upstream))
    yield made
    assert made.stop() == 0, made.log


def responds(text: str) -> Script:
    """A provider that speaks Responses."""

    def script(call: Call) -> None:
        message = {
            "type": "message", "id": f"msg_{text}", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        }  # fmt: skip
        told = {
            "id": f"resp_{text}", "object": "response", "created_at": 1, "status": "completed", "model": "m", "store": False,
            "output": [message], "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
        }  # fmt: skip
        if not call.json.get("stream"):
            call.answer(200, json.dumps(told).encode())
            return
        part = {"type": "output_text", "text": "", "annotations": []}
        at = {"item_id": f"msg_{text}", "output_index": 0, "content_index": 0}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": told | {"status": "in_progress", "output": [], "usage": None}},
            {"type": "response.output_item.added", "output_index": 0, "item": message | {"content": []}},
            {"type": "response.content_part.added", "part": part} | at,
            {"type": "response.output_text.delta", "delta": text} | at,
            {"type": "response.output_text.done", "text": text} | at,
            {"type": "response.content_part.done", "part": part | {"text": text}} | at,
            {"type": "response.output_item.done", "output_index": 0, "item": message},
            {"type": "response.completed", "response": told},
        ]
        lines = [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events]
        call.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        call.send("".join(lines).encode())
        call.close()

    return script


ANSWERS = {"chat": says, "same": responds}


class Conversation:
    """One model of one kind, and what is asked of it."""

    def __init__(self, gateway: GatewayProcess, upstream: Upstream, kind: str) -> None:
        self._gateway = gateway
        self._upstream = upstream
        self._kind = kind
        self._before = len(upstream.calls(f"kept-{kind}"))

    def ask(
        self, text: str, *, says: str = "hello", stream: bool = False, key: str | None = None, **fields: Any
    ) -> Answer:
        self._upstream.plays(f"kept-{self._kind}", f"kept-{self._kind}", ANSWERS[self._kind](says))
        body = {"model": f"acme/{self._kind}", "input": text, "stream": stream} | fields
        return self._gateway.request("POST", RESPONSES, body, key=key)

    @property
    def sent(self) -> list[Any]:
        """What the provider got, call after call."""
        return [call.json for call in self._upstream.calls(f"kept-{self._kind}")[self._before :]]


@pytest.fixture
def talk(keeping, upstream):
    return lambda kind: Conversation(keeping, upstream, kind)


def response_of(answer: Answer) -> Any:
    """The object, of a whole answer or of the event that ends a stream."""
    assert answer.status == 200, answer.body
    if answer.headers["content-type"].startswith("text/event-stream"):
        return answer.events[-1]["response"]
    return answer.json


def texts(sent: Any) -> list[str]:
    """What is said in a request to a provider, of either protocol."""
    items = sent.get("input") or sent["messages"]
    return [
        item["content"] if isinstance(item["content"], str) else item["content"][0]["text"]
        for item in items
        if "content" in item
    ]


@KINDS
@STREAMED
def test_a_conversation_goes_on_from_a_stored_response(talk, kind, stream) -> None:
    conversation = talk(kind)
    first = response_of(conversation.ask("one", says="first", stream=stream))
    second = response_of(conversation.ask("two", says="second", stream=stream, previous_response_id=first["id"]))
    response_of(conversation.ask("three", stream=stream, previous_response_id=second["id"]))
    assert texts(conversation.sent[2]) == ["one", "first", "two", "second", "three"]


def test_it_may_go_on_at_an_offer_of_another_protocol(talk) -> None:
    first = response_of(talk("same").ask("one", says="first"))
    other = talk("chat")
    response_of(other.ask("two", previous_response_id=first["id"]))
    assert texts(other.sent[0]) == ["one", "first", "two"]


def test_the_provider_is_asked_not_to_store_and_never_told_of_ids_of_ours(talk) -> None:
    conversation = talk("same")
    first = response_of(conversation.ask("one"))
    response_of(conversation.ask("two", previous_response_id=first["id"]))
    assert [sent["store"] for sent in conversation.sent] == [False, False]
    assert not any("previous_response_id" in sent for sent in conversation.sent)


@KINDS
@STREAMED
def test_a_stored_response_is_given_again_with_its_input_and_deleted(talk, keeping, kind, stream) -> None:
    told = response_of(talk(kind).ask("one", stream=stream))
    path = f"{RESPONSES}/{told['id']}"
    found = keeping.get(path).json
    assert {name: found[name] for name in ("id", "status", "output", "usage")} == {
        name: told[name] for name in ("id", "status", "output", "usage")
    }
    assert found["store"] is True
    (item,) = keeping.get(f"{path}/input_items").json["data"]
    assert item["content"] == [{"type": "input_text", "text": "one"}]
    assert keeping.request("DELETE", path).json == {"id": told["id"], "object": "response", "deleted": True}
    assert keeping.get(path).status == 404


@KINDS
def test_store_false_leaves_nothing_to_go_on_from(talk, keeping, kind) -> None:
    told = response_of(talk(kind).ask("one", says="unstored", store=False))
    assert keeping.get(f"{RESPONSES}/{told['id']}").status == 404
    refused = talk(kind).ask("two", previous_response_id=told["id"])
    assert (refused.status, refused.error["param"]) == (400, "previous_response_id")
    assert refused.error["message"] == f"Previous response with id '{told['id']}' not found."


def test_a_response_is_of_no_other_key(talk, keeping) -> None:
    made = json.loads(keeping.trunkline("keys", "create", "--name", "other", "--json").stdout)
    told = response_of(talk("chat").ask("one"))
    assert keeping.get(f"{RESPONSES}/{told['id']}", key=made["secret"]).status == 404
    refused = talk("chat").ask("two", previous_response_id=told["id"], key=made["secret"])
    assert (refused.status, refused.error["param"]) == (400, "previous_response_id")
    assert keeping.get(f"{RESPONSES}/{told['id']}", key="").status == 403


@KINDS
def test_nothing_is_stored_for_a_key_of_zero_retention(talk, keeping, kind) -> None:
    made = json.loads(keeping.trunkline("keys", "create", "--name", "none", "--zero-retention", "--json").stdout)
    told = response_of(talk(kind).ask("one", says="unkept", key=made["secret"]))
    assert keeping.get(f"{RESPONSES}/{told['id']}", key=made["secret"]).status == 404
    assert not _kept(keeping, told["id"])


@KINDS
def test_a_response_is_durable_with_its_record_and_survives_a_crash(talk, keeping, kind) -> None:
    answer = talk(kind).ask("before the crash", says=f"of_{kind}")
    told = response_of(answer)
    assert keeping.record(answer.id).notes == ()
    assert _kept(keeping, told["id"])
    os.kill(keeping.data_plane_pid, signal.SIGKILL)
    found = eventually(lambda: _if_up(keeping, f"{RESPONSES}/{told['id']}"), "the data plane's return")
    assert found.json["output"] == told["output"]
    conversation = talk(kind)
    response_of(conversation.ask("two", previous_response_id=told["id"]))
    assert texts(conversation.sent[0]) == ["before the crash", f"of_{kind}", "two"]


def _if_up(gateway: GatewayProcess, path: str) -> Answer | None:
    with contextlib.suppress(OSError):
        answer = gateway.get(path)
        return answer if answer.status == 200 else None
    return None


def test_nothing_of_a_conversation_is_readable_in_the_store(talk, keeping) -> None:
    told = response_of(talk("chat").ask("the launch code is 0000", says="I will not tell"))
    kept = eventually(lambda: _kept(keeping, told["id"]), "the row")
    assert b"launch" not in kept
    assert b"tell" not in kept


def _kept(gateway: GatewayProcess, response_id: str) -> bytes | None:
    with contextlib.closing(sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True)) as connection:
        row = connection.execute("SELECT data FROM kept WHERE key LIKE ?", (f"%/{response_id}",)).fetchone()
    return row[0] if row else None


def test_the_background_is_refused_by_name(talk) -> None:
    refused = talk("chat").ask("one", background=True)
    assert (refused.status, refused.error["param"]) == (400, "background")


def test_the_official_sdk_finds_lists_and_deletes(talk, keeping) -> None:
    talk("chat").ask("warm up", says="sdk")
    with openai.OpenAI(base_url=keeping.base_url, api_key=MASTER_KEY, max_retries=0) as client:
        told = client.responses.create(model="acme/chat", input="one", instructions="be brief")
        again = client.responses.create(model="acme/chat", input="two", previous_response_id=told.id)
        assert again.previous_response_id == told.id
        assert client.responses.retrieve(told.id).output_text == told.output_text == "sdk"
        roles = [item.role for item in client.responses.input_items.list(again.id, order="asc", limit=1)]
        assert roles == ["user", "assistant", "user"]
        client.responses.delete(told.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(told.id)


def completes_and_lingers(text: str, gate: threading.Event) -> Script:
    """A provider that has said everything, and keeps the connection open."""

    def script(call: Call) -> None:
        really_close = call.close
        call.close = lambda: None
        responds(text)(call)
        gate.wait(DEADLINE_S)
        really_close()

    return script


@pytest.fixture
def lingering(keeping, upstream, request) -> Iterator[tuple[http.client.HTTPConnection, http.client.HTTPResponse]]:
    """A stream whose last event has come and whose end has not."""
    gate = threading.Event()
    upstream.plays("kept-same", "kept-same", completes_and_lingers(request.node.name, gate))
    body = {"model": "acme/same", "input": "one", "stream": True}
    connection, response = keeping._send("POST", RESPONSES, body, None, None)
    while b"response.completed" not in response.readline():
        pass
    response.readline()
    yield connection, response
    gate.set()
    response.close()
    connection.close()


def test_a_conversation_may_go_on_as_soon_as_the_last_event_has_come(talk, lingering, request) -> None:
    name = request.node.name
    conversation = talk("chat")
    response_of(conversation.ask("two", previous_response_id=f"resp_{name}"))
    assert texts(conversation.sent[0]) == ["one", name, "two"]


def test_a_client_that_leaves_with_the_last_event_has_its_response_stored(keeping, lingering, request) -> None:
    connection, response = lingering
    response.close()
    connection.close()
    assert keeping.record(response.headers["x-request-id"]).status
    assert keeping.get(f"{RESPONSES}/resp_{request.node.name}").status == 200

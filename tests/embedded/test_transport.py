"""Requests for local models on the wire: a scripted llama-server on a unix socket, answering with what small models write."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from openai.types.chat import ChatCompletion

from trunkline.embedded.supervisor import LocalEndpoint
from trunkline.embedded.transport import LOCAL_HOST, SmallModelTransport
from trunkline.execution.transport.client import HttpTransport
from trunkline.execution.transport.options import TransportOptions
from trunkline.execution.transport.types import Malformed, Origin, Truncated, UpstreamRequest, UpstreamResponse

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
WRONG = '{"name": "get_weather", "arguments": {"town": "Paris"}}'
RIGHT = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def event(value: Any) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def says(*texts: str) -> list[bytes]:
    choices = [{"index": 0, "delta": {"content": text}, "finish_reason": None} for text in texts]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    events = [event({"id": "chatcmpl-1", "created": 1, "choices": [choice]}) for choice in choices]
    return [*events, event({"id": "chatcmpl-1", "created": 1, "choices": [], "usage": USAGE}), b"data: [DONE]\n\n"]


class Server:
    """Answers one script after the other. `Exception` in a script breaks the connection; an Event is waited for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.scripts: list[list[Any]] = []
        self.heads: list[bytes] = []
        self.bodies: list[dict[str, Any]] = []
        self.busy = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        self.heads.append(head)
        self.bodies.append(msgspec.json.decode(await reader.readexactly(length)))
        script = self.scripts.pop(0)
        if isinstance(script[0], int):
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (script[0], len(script[1]), script[1]))
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            await self._write(script, writer)
        await writer.drain()
        writer.close()

    async def _write(self, script: list[Any], writer: asyncio.StreamWriter) -> None:
        for step in script:
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, bytes):
                writer.write(b"%x\r\n%b\r\n" % (len(step), step))
            else:
                return
        writer.write(b"0\r\n\r\n")

    # What the transport asks of `LocalModels`, for a server that is always there.
    async def endpoint(self, name: str) -> LocalEndpoint:
        return LocalEndpoint(str(self.path), f"key-of-{name}")

    def begin(self, name: str) -> None:
        self.busy += 1

    def end(self, name: str) -> None:
        self.busy -= 1

    async def lost(self, name: str) -> None:
        pass

    async def stop(self) -> None:
        pass


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path / "m.sock")
    listening = await asyncio.start_unix_server(server.talk, server.path)
    yield server
    listening.close()
    await listening.wait_closed()


@pytest_asyncio.fixture
async def transport(server: Server) -> AsyncIterator[SmallModelTransport]:
    transport = SmallModelTransport(HttpTransport(TransportOptions()), server, lambda: "call_1")  # type: ignore[arg-type]
    yield transport
    await transport.aclose()
    assert server.busy == 0


async def send(transport: SmallModelTransport, **body: Any) -> UpstreamResponse:
    content = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **body})
    headers = ((b"authorization", b"Bearer sk-of-the-caller"),)
    origin = Origin("http", LOCAL_HOST, 80)
    return await transport.send(UpstreamRequest(origin, b"POST", b"/v1/chat/completions", headers, content))


async def whole(response: UpstreamResponse) -> ChatCompletion:
    return ChatCompletion.model_validate_json(await response.read(1 << 20), strict=True)


async def test_the_child_gets_its_own_key_and_nothing_of_the_callers(
    server: Server, transport: SmallModelTransport
) -> None:
    server.scripts = [says("Hello")]
    answer = await whole(await send(transport))
    assert answer.choices[0].message.content == "Hello"
    assert b"Bearer key-of-m" in server.heads[0]
    assert b"sk-of-the-caller" not in server.heads[0]


async def test_words_go_out_before_the_answer_has_ended(server: Server, transport: SmallModelTransport) -> None:
    more = asyncio.Event()
    script = says("Once", " upon")
    server.scripts = [[script[0], more, *script[1:]]]
    response = await send(transport, stream=True, tools=[TOOL])
    assert b'"content":"Once"' in await response.chunk()
    more.set()
    assert (await response.read(1 << 20)).endswith(b"data: [DONE]\n\n")


async def test_a_wrong_call_is_tried_again_in_the_same_answer(server: Server, transport: SmallModelTransport) -> None:
    server.scripts = [says("I look.\n<tool_call>\n", WRONG), says(RIGHT)]
    answer = await whole(await send(transport, tools=[TOOL]))
    (call,) = answer.choices[0].message.tool_calls or ()
    assert call.type == "function"
    assert call.function.arguments == '{"city": "Paris"}'
    assert answer.choices[0].message.content == "I look.\n"
    assert answer.usage
    assert answer.usage.total_tokens == 14
    assert "response_format" in server.bodies[1]


async def test_a_further_try_that_is_refused_leaves_the_words(server: Server, transport: SmallModelTransport) -> None:
    server.scripts = [says(WRONG), [400, b'{"error":{"message":"no such schema"}}']]
    answer = await whole(await send(transport, tools=[TOOL]))
    assert answer.choices[0].message.content == WRONG
    assert answer.choices[0].finish_reason == "stop"


async def test_a_refusal_comes_in_openais_shape(server: Server, transport: SmallModelTransport) -> None:
    server.scripts = [[400, b'{"error":{"code":400,"message":"bad schema","type":"invalid_request_error"}}']]
    response = await send(transport)
    error = msgspec.json.decode(await response.read(1 << 20))["error"]
    assert (response.status, error["message"], error["type"]) == (400, "bad schema", "invalid_request_error")


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_stream_that_is_cut_is_no_answer(
    server: Server, transport: SmallModelTransport, streamed: bool
) -> None:
    server.scripts = [[says("Hel")[0], None]]
    with pytest.raises(Truncated):
        await (await send(transport, stream=streamed)).read(1 << 20)


async def test_a_stream_without_its_last_event_is_no_answer(server: Server, transport: SmallModelTransport) -> None:
    server.scripts = [says("Hel")[:1]]
    with pytest.raises(Truncated, match="ended inside the answer"):
        await send(transport)


async def test_an_error_inside_the_stream_ends_it(server: Server, transport: SmallModelTransport) -> None:
    broken = [says("Hel")[0], event({"error": {"message": "out of memory", "type": "server_error"}})]
    server.scripts = [broken, broken]
    streamed = await (await send(transport, stream=True)).read(1 << 20)
    assert b'"error":{"message":"out of memory"' in streamed
    assert not streamed.endswith(b"[DONE]\n\n")
    response = await send(transport)
    assert response.status == 500
    assert b"out of memory" in await response.read(1 << 20)


async def test_an_answer_over_the_readers_limit_is_left(server: Server, transport: SmallModelTransport) -> None:
    server.scripts = [says("Hello"), says("Hello")]
    for streamed in (True, False):
        response = await send(transport, stream=streamed)
        with pytest.raises(Malformed):
            await response.read(10)


async def test_a_stream_left_halfway_is_closed_and_counted_out(server: Server, transport: SmallModelTransport) -> None:
    more = asyncio.Event()
    server.scripts = [[says("Hel")[0], more]]
    response = await send(transport, stream=True)
    assert await response.chunk()
    assert server.busy == 1
    response.abort()
    response.abort()
    assert server.busy == 0
    assert await response.chunk() == b""
    more.set()


async def test_the_silence_allowed_is_that_of_the_child(server: Server, transport: SmallModelTransport) -> None:
    server.scripts = [says("Hello")]
    response = await send(transport, stream=True)
    response.idle_s = 7.5
    assert response.idle_s == 7.5
    await response.read(1 << 20)
    assert response.idle_s == 7.5


async def test_requests_for_others_pass_untouched(server: Server, transport: SmallModelTransport) -> None:
    server.scripts = [[200, b"{}"]]
    origin = Origin("http", "api.acme.example", 80, unix_path=str(server.path), guarded=False)
    body = b'{"model":"x","grammar":"kept"}'
    response = await transport.send(UpstreamRequest(origin, b"POST", b"/v1/chat/completions", (), body))
    assert await response.read(100) == b"{}"
    assert server.bodies == [{"model": "x", "grammar": "kept"}]

"""The local model itself: a real child process with real weights (SmolLM2 135M), through the real transport."""

import asyncio
import itertools
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from jsonschema import validate
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.embedded.conftest import SMALL, make_weights
from trunkline.embedded.errors import EmbeddedUnavailable
from trunkline.embedded.supervisor import LocalModels, LocalOptions
from trunkline.embedded.transport import LOCAL_HOST, SmallModelTransport
from trunkline.execution.transport.client import HttpTransport
from trunkline.execution.transport.options import TransportOptions
from trunkline.execution.transport.types import Origin, UpstreamRequest, UpstreamResponse

pytestmark = pytest.mark.asyncio(loop_scope="module")

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "Rome"]}, "unit": {"enum": ["c", "f"]}},
            "required": ["city", "unit"],
        },
    },
}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}


class Gateway:
    """What a test needs: the transport and the models behind it."""

    def __init__(self, cache_dir: Path, options: LocalOptions | None = None, env: dict[str, str] | None = None) -> None:
        env = {**os.environ, "ACME_API_KEY": "sk-secret"} if env is None else env
        self.models = LocalModels(cache_dir, env, options, monotonic=time.monotonic)
        ids = itertools.count(1)
        self.transport = SmallModelTransport(
            HttpTransport(TransportOptions()), self.models, lambda: f"call_{next(ids)}"
        )

    async def send(self, **body: Any) -> UpstreamResponse:
        content = msgspec.json.encode({"model": SMALL, "temperature": 0, "seed": 1, **body})
        origin = Origin("http", LOCAL_HOST, 80)
        return await self.transport.send(UpstreamRequest(origin, b"POST", b"/v1/chat/completions", (), content))

    async def ask(self, text: str, **body: Any) -> ChatCompletion:
        response = await self.send(messages=[{"role": "user", "content": text}], **body)
        assert response.status == 200
        return ChatCompletion.model_validate_json(await response.read(1 << 20), strict=True)

    async def stream(self, text: str, **body: Any) -> list[ChatCompletionChunk]:
        response = await self.send(messages=[{"role": "user", "content": text}], stream=True, **body)
        events = (await response.read(1 << 20)).split(b"\n\n")
        assert events[-2:] == [b"data: [DONE]", b""]
        return [ChatCompletionChunk.model_validate_json(event[6:], strict=True) for event in events[:-2]]

    def child(self) -> Any:
        return self.models._children[SMALL]


@asynccontextmanager
async def running(cache_dir: Path, options: LocalOptions | None = None) -> AsyncIterator[Gateway]:
    gateway = Gateway(cache_dir, options)
    try:
        yield gateway
    finally:
        await gateway.transport.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(weights_cache: Path) -> AsyncIterator[Gateway]:
    async with running(weights_cache) as gateway:
        yield gateway


async def test_an_answer_comes_whole_with_its_usage(gateway: Gateway) -> None:
    answer = await gateway.ask("What is the capital of France?", max_tokens=12)
    assert answer.choices[0].message.content
    assert answer.model == SMALL
    assert answer.usage
    assert answer.usage.completion_tokens <= 12
    assert answer.usage.prompt_tokens > 10


async def test_an_answer_comes_as_a_stream_of_the_same_words(gateway: Gateway) -> None:
    chunks = await gateway.stream("Say hello.", max_tokens=8, stream_options={"include_usage": True})
    whole = await gateway.ask("Say hello.", max_tokens=8)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason in ("stop", "length")
    assert chunks[-1].usage
    assert whole.usage
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


async def test_a_talk_of_several_turns_is_answered(gateway: Gateway) -> None:
    turns = [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": "My name is Alice."},
        {"role": "assistant", "content": "Hello Alice."},
        {"role": "user", "content": "What is my name?"},
    ]
    response = await gateway.send(messages=turns, max_tokens=16)
    answer = ChatCompletion.model_validate_json(await response.read(1 << 20), strict=True)
    assert "Alice" in (answer.choices[0].message.content or "")


async def test_a_schema_is_kept_at_any_temperature(gateway: Gateway) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "age": {"type": "integer", "minimum": 1, "maximum": 99},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    answers = await asyncio.gather(
        *(gateway.ask("Invent a person.", response_format=wanted, temperature=1.2, seed=seed) for seed in (1, 2))
    )
    for answer in answers:
        validate(msgspec.json.decode(answer.choices[0].message.content or ""), schema)


async def test_a_required_tool_is_called_with_arguments_that_fit(gateway: Gateway) -> None:
    answer = await gateway.ask("Weather in Paris?", tools=[WEATHER, ADD], tool_choice="required")
    (call,) = answer.choices[0].message.tool_calls or ()
    assert call.type == "function"
    tools = {tool["function"]["name"]: tool["function"]["parameters"] for tool in (WEATHER, ADD)}
    validate(msgspec.json.decode(call.function.arguments), tools[call.function.name])
    assert answer.choices[0].finish_reason == "tool_calls"


async def test_a_named_tool_is_called_and_its_arguments_are_streamed(gateway: Gateway) -> None:
    named = {"type": "function", "function": {"name": "get_weather"}}
    chunks = await gateway.stream("Hello!", tools=[WEATHER, ADD], tool_choice=named)
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert calls[0].function
    assert (calls[0].index, calls[0].type, calls[0].function.name) == (0, "function", "get_weather")
    arguments = [call.function.arguments or "" for call in calls if call.function]
    assert len(arguments) > 3
    validate(msgspec.json.decode("".join(arguments)), WEATHER["function"]["parameters"])  # type: ignore[index]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_a_prompt_over_the_limit_is_the_clients_fault(gateway: Gateway) -> None:
    response = await gateway.send(messages=[{"role": "user", "content": "hello " * 5000}])
    assert response.status == 400
    assert msgspec.json.decode(await response.read(1 << 20))["error"]["code"] == "context_length_exceeded"


async def test_a_request_that_is_none_never_reaches_the_child(gateway: Gateway) -> None:
    response = await gateway.send(messages="hi")
    assert response.status == 400
    assert msgspec.json.decode(await response.read(1 << 20))["error"]["param"] == "messages"


ENDLESS = {
    "type": "json_schema",
    "json_schema": {"name": "numbers", "schema": {"type": "array", "items": {"type": "integer"}, "minItems": 900}},
}
"""An answer that would keep a slot for a minute."""


async def assert_a_slot_is_free(gateway: Gateway) -> None:
    """Both slots were taken: an answer now means that one came free when its reader left."""
    async with asyncio.timeout(20):
        await gateway.ask("Hi", max_tokens=1)
    assert gateway.child().busy == 0


async def test_a_stream_that_is_left_frees_its_slot(gateway: Gateway) -> None:
    turns = [{"role": "user", "content": "Count."}]
    left = [await gateway.send(messages=turns, stream=True, response_format=ENDLESS) for _ in range(2)]
    for response in left:
        assert await response.chunk()
        response.abort()
    await assert_a_slot_is_free(gateway)


async def test_a_caller_who_leaves_a_whole_answer_frees_its_slot(gateway: Gateway) -> None:
    asked = [asyncio.create_task(gateway.ask("Count.", response_format=ENDLESS)) for _ in range(2)]
    await until(lambda: gateway.child().busy == 2)
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    assert all(task.cancelled() for task in asked)
    await assert_a_slot_is_free(gateway)


async def test_a_child_that_was_killed_is_replaced(gateway: Gateway) -> None:
    await gateway.ask("Hi", max_tokens=1)
    before = gateway.child().pid
    os.kill(before, signal.SIGKILL)
    await gateway.ask("Hi", max_tokens=1)
    assert gateway.child().pid != before


async def test_the_child_has_no_secret_in_its_environment_and_a_private_socket(gateway: Gateway) -> None:
    endpoint = await gateway.models.endpoint(f"local/{SMALL}")
    directory = Path(endpoint.unix_path).parent
    assert mode_of(directory) == 0o700
    if sys.platform == "linux":
        environment = bytes_of(Path(f"/proc/{gateway.child().pid}/environ"))
        assert b"sk-secret" not in environment
        assert endpoint.api_key.encode() not in environment
        assert b"OMP_WAIT_POLICY=passive" in environment
        assert endpoint.api_key.encode() not in bytes_of(Path(f"/proc/{gateway.child().pid}/cmdline"))


async def test_the_child_wants_its_key_and_shows_no_pages(gateway: Gateway) -> None:
    endpoint = await gateway.models.endpoint(SMALL)
    assert b" 401 " in await raw_get(endpoint.unix_path, "/v1/models")
    assert b" 404 " in await raw_get(endpoint.unix_path, "/", endpoint.api_key)


async def raw_get(unix_path: str, path: str, key: str = "") -> bytes:
    reader, writer = await asyncio.open_unix_connection(unix_path)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_two_first_callers_share_one_start_and_stop_ends_it(weights_cache: Path) -> None:
    async with running(weights_cache) as gateway:
        first, second = await asyncio.gather(gateway.models.endpoint(SMALL), gateway.models.endpoint(SMALL))
        assert first == second
        pid = gateway.child().pid
    assert not alive(pid)
    assert not os.path.exists(first.unix_path)  # noqa: ASYNC240
    with pytest.raises(EmbeddedUnavailable, match="stopping"):
        await gateway.models.endpoint(SMALL)


async def test_an_idle_child_is_stopped_and_started_again_when_it_is_asked(weights_cache: Path) -> None:
    async with running(weights_cache, LocalOptions(idle_stop_s=0.05)) as gateway:
        await gateway.ask("Hi", max_tokens=1)
        pid = gateway.child().pid
        async with asyncio.timeout(10):
            await gateway.child()._watch
        assert not alive(pid)
        assert gateway.models.running() == []
        await gateway.ask("Hi", max_tokens=1)


async def test_a_child_that_answers_is_not_idle(weights_cache: Path) -> None:
    async with running(weights_cache, LocalOptions(idle_stop_s=0.02)) as gateway:
        answer = await gateway.ask("Count to ten.", max_tokens=24)
        assert answer.choices[0].finish_reason in ("length", "stop")


@pytest.mark.parametrize("how", ["SIGKILL", "stdin"])
async def test_a_child_ends_with_its_parent(weights_cache: Path, how: str) -> None:
    program = Path(__file__).with_name("parent.py")
    parent = await asyncio.create_subprocess_exec(
        sys.executable, str(program), str(weights_cache), how, stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    assert parent.stdout is not None
    child, directory = (await parent.stdout.readline()).decode().split()
    if how == "SIGKILL":
        parent.kill()
    await parent.communicate()
    async with asyncio.timeout(10):
        # A zombie counts as gone, but a thread of it may still be at its last step.
        await until(lambda: not alive(int(child)) and not os.path.exists(directory))


async def until(holds: Callable[[], bool]) -> None:
    """Give way to others until it holds; the caller sets the time limit."""
    while not holds():  # noqa: ASYNC110 - the other side is a process that cannot set an event
        await asyncio.sleep(0.001)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def bytes_of(path: Path) -> bytes:
    return path.read_bytes()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text() if sys.platform == "linux" else True


@pytest.fixture
def broken(tmp_path: Path) -> LocalModels:
    """A model whose file has the right name and is no model."""
    weights = make_weights(b"GGUF nonsense")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / f"{weights.sha256}.gguf").write_bytes(b"GGUF nonsense")
    now = itertools.count(0, 0.001)
    return LocalModels(tmp_path, os.environ, monotonic=lambda: next(now), manifest={"broken": weights})


async def test_a_model_that_cannot_be_loaded_is_explained_and_backed_off_from(broken: LocalModels) -> None:
    for _ in range(2):
        with pytest.raises(EmbeddedUnavailable, match=r"local/broken did not start: exit code 1; .+"):
            await broken.endpoint("broken")
    with pytest.raises(EmbeddedUnavailable, match=r"broke 2 times in a row; next try in 1 s"):
        await broken.endpoint("broken")
    await broken.stop()


async def test_absent_weights_name_the_command_that_brings_them(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    with pytest.raises(EmbeddedUnavailable, match=f"run `trunkline models pull {SMALL}`") as failure:
        await gateway.send(messages=[])
    assert failure.value.kind == "connect"
    await gateway.transport.aclose()


async def test_a_name_that_is_no_model_is_told(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    with pytest.raises(EmbeddedUnavailable, match="no local model is called gpt"):
        await gateway.models.endpoint("gpt")
    await gateway.transport.aclose()

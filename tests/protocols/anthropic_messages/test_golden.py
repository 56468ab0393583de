"""What was read from Messages and is written to Messages again is the same; a stream is the same however it is cut, and is its answer."""

import json
import random
from typing import Any

import msgspec
import pytest

from tests.protocols.anthropic_messages.golden import (
    BUDGET,
    CONTEXT,
    TARGET,
    answering,
    body,
    files,
    loaded,
    read_stream,
)
from trunkline.ir.fold import fold, unfold
from trunkline.ir.parts import Text, Turn
from trunkline.ir.response import Response
from trunkline.protocols.anthropic_messages import codec
from trunkline.protocols.codec import Bill
from trunkline.protocols.facts import facts_of
from trunkline.protocols.fields import CHAT, REQUEST, word

VOCABULARY = frozenset(word(field.name, CHAT) for field in REQUEST)
# These three end early, or begin with something else than a message.
BROKEN = {"cut.sse", "error_first.sse", "error_in_the_middle.sse"}
ANSWERED = sorted(
    {name.removesuffix(".json") for name in files("answers")} & {name.removesuffix(".sse") for name in files("streams")}
)


def test_there_are_enough() -> None:
    assert sum(len(files(kind)) for kind in ("requests", "answers", "streams", "errors")) >= 60


def _expected(name: str) -> Any:
    """A request as it is expected back: whether it streams is the target's to say, and the web search is the last tool."""
    wanted = loaded(body("requests", name))
    wanted.pop("stream", None)
    if "tools" in wanted:
        wanted["tools"].sort(key=lambda tool: tool.get("type", "").startswith("web_search_"))
    return wanted


@pytest.mark.parametrize("name", files("requests"))
def test_a_request_is_the_same_again(name: str) -> None:
    request = codec.read_request(body("requests", name), CONTEXT)
    target = BUDGET if request.reasoning is not None and request.reasoning.budget_tokens else TARGET
    written = codec.write_request(request, target)
    assert loaded(written.body) == _expected(name)
    assert written.losses == ()


@pytest.mark.parametrize("name", files("requests"))
def test_what_is_peeked_is_what_is_read(name: str) -> None:
    peeked = codec.peek(body("requests", name), CONTEXT, VOCABULARY).facts
    found = facts_of(codec.read_request(body("requests", name), CONTEXT), VOCABULARY)
    assert msgspec.structs.replace(peeked, prompt_bytes=0) == msgspec.structs.replace(found, prompt_bytes=0)
    assert peeked.prompt_bytes >= found.prompt_bytes


@pytest.mark.parametrize("name", files("answers"))
def test_an_answer_is_the_same_again(name: str) -> None:
    response = codec.read_response(body("answers", name), TARGET)
    written = loaded(codec.write_response(response, answering(), Bill()))
    wanted = loaded(body("answers", name))
    wanted["id"] = "msg_1"
    if wanted["stop_reason"] == "compaction":
        wanted["stop_reason"] = "end_turn"  # a word that is not known
    assert written == wanted


@pytest.mark.parametrize("name", files("streams"))
def test_a_stream_is_the_same_however_it_is_cut(name: str) -> None:
    data = body("streams", name)
    whole = read_stream([data])
    assert read_stream([data[at : at + 1] for at in range(len(data))]) == whole
    places = sorted(random.Random(name).sample(range(len(data)), 12))
    assert read_stream([data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]) == whole


@pytest.mark.parametrize("name", ANSWERED)
def test_a_stream_is_its_answer(name: str) -> None:
    found = fold(read_stream([body("streams", f"{name}.sse")]))
    response = codec.read_response(body("answers", f"{name}.json"), TARGET)
    assert _compared(found) == _compared(response)


def _compared(response: Response) -> Any:
    """Without what a stream has no place for, and with raw JSON read."""
    bare = msgspec.structs.replace(response, carry=None, raw_usage=msgspec.Raw(b"null"))
    built = msgspec.to_builtins(bare, builtin_types=(msgspec.Raw,))
    return _read_raw(built)


def _read_raw(value: Any) -> Any:
    if isinstance(value, msgspec.Raw):
        return json.loads(bytes(value))
    if isinstance(value, dict):
        found = {key: _read_raw(one) for key, one in value.items()}
        if "arguments" in found:
            found["arguments"] = json.loads(found["arguments"])
        return found
    return [_read_raw(one) for one in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("name", [name for name in files("streams") if name not in BROKEN])
def test_a_stream_that_is_read_and_written_is_the_same_answer(name: str) -> None:
    seen = read_stream([body("streams", name)])
    writer = codec.stream_writer(answering())
    again = b"".join(writer.feed(event) for event in seen) + writer.end(Bill())
    found, before = _compared(fold(read_stream([again]))), _compared(fold(seen))
    assert found["candidates"][0].pop("native_finish", "") in (
        "end_turn",
        before["candidates"][0].pop("native_finish", ""),
        "tool_use",
    )
    assert found | {"id": ""} == before | {"id": "", "model": found["model"]} | _other(before)


def _other(before: Any) -> Any:
    """`OTHER` has no word of its own."""
    candidate = before["candidates"][0]
    return {"candidates": [candidate | {"finish": "stop"}]} if candidate["finish"] == "other" else {}


@pytest.mark.parametrize("name", files("answers"))
def test_an_answer_as_a_stream_is_that_answer(name: str) -> None:
    """For a caller who wants a stream of a provider that has none."""
    response = codec.read_response(body("answers", name), TARGET)
    writer = codec.stream_writer(answering())
    streamed = b"".join(writer.feed(event) for event in unfold(response)) + writer.end(Bill())
    whole = codec.read_response(codec.write_response(response, answering(), Bill()), TARGET)
    assert _compared(fold(read_stream([streamed]))) == _compared(whole)


@pytest.mark.parametrize("name", files("errors"))
def test_the_words_of_an_error_are_found(name: str) -> None:
    data = json.loads(body("errors", name))
    said = data[0]["error"] if isinstance(data, list) else data.get("error", data)
    fault = codec.read_fault(body("errors", name))
    assert fault.message == said["message"]
    assert fault.type == said.get("type", said.get("status", ""))


def test_a_broken_stream_ends_as_it_came() -> None:
    cut = fold(read_stream([body("streams", "cut.sse")]))
    assert cut.candidates[0].parts == (Text("Hel"),)
    assert cut.candidates[0].finish is None
    failed = fold(read_stream([body("streams", "error_in_the_middle.sse")]))
    assert failed.fault is not None
    assert (failed.fault.type, failed.fault.message) == ("overloaded_error", "Overloaded")


def test_an_empty_turn_stays_empty() -> None:
    request = codec.read_request(b'{"model":"m","messages":[{"role":"user","content":""}]}', CONTEXT)
    assert request.turns == (Turn("user", ()),)

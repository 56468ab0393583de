"""Every golden request, answer, stream and error of each protocol, written for each of the four: as it was when somebody last looked at it.

A change of what goes on the wire shows here as a changed line of a snapshot. `python -m tests.protocols.test_matrix` writes them anew; read the difference.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trunkline.errors import InvalidParams, NoProviderAvailable
from trunkline.execution.codecs import codec_of
from trunkline.ir.events import Event, Failed
from trunkline.ir.request import Reasoning, Request
from trunkline.protocols.codec import (
    CHAT,
    CONVERSE,
    GEMINI,
    MESSAGES,
    QUIRKS,
    RESPONSES,
    AnswerContext,
    Bill,
    RequestContext,
    Target,
)
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.protocols.sse import Framer, events

GOLDEN = Path(__file__).parent.parent / "golden"
FOLDERS = {CHAT: "openai_chat", RESPONSES: "openai_responses", MESSAGES: "anthropic_messages", GEMINI: "gemini"}
PROVIDERS = {**FOLDERS, CONVERSE: "bedrock_converse"}
"""Converse is spoken by providers alone: requests are written for it, and its answers, streams and errors read."""
SECRET = b"s" * 32
BILL = Bill(b"0.001", b'{"prompt":0.001}')


def wire_of(path: Path) -> bytes:
    """The bytes of a fixture; Chat's have their page beside them."""
    if path.suffix == ".sse":
        return path.read_bytes()
    found = json.loads(path.read_text())
    return msgspec.json.encode(found["wire"] if isinstance(found, dict) and "wire" in found else found)


def told(protocol: str) -> Target:
    return Target(
        protocol=protocol, upstream_model="alpha", quirks=QUIRKS[protocol], max_output_tokens=8192, request_id="req_1"
    )


def asked(protocol: str) -> AnswerContext:
    reasoning = Reasoning(enabled=True, shown=True, encrypted=True)
    request = Request(origin=protocol, model="acme/alpha", turns=(), include_usage=True, reasoning=reasoning)
    return AnswerContext(
        request=request, request_id="req_1", model="acme/alpha", created_s=1, secret=SECRET, keep=lambda key, data: None
    )


def of_request(body: bytes, source: str, target: str) -> Any:
    context = RequestContext(request_id="req_1", secret=SECRET, path_model="acme/alpha" if source == GEMINI else "")
    try:
        made = codec_of(target).write_request(codec_of(source).read_request(body, context), told(target))
    except InvalidParams as error:
        return {"refused": error.message, "param": error.param}
    losses = [[loss.field, loss.action, loss.reason] for loss in made.losses]
    rest = {"losses": losses, "headers": [name.decode() for name, _ in made.headers], "stop_here": list(made.stop_here)}
    return {"body": json.loads(made.body), **{name: value for name, value in rest.items() if value}}


def of_answer(body: bytes, source: str, target: str) -> Any:
    try:
        response = codec_of(source).read_response(body, told(source))
    except UNREADABLE as error:
        return {"unreadable": type(error).__name__}
    written = json.loads(codec_of(target).write_response(response, asked(target), BILL))
    return {"usage": msgspec.to_builtins(response.usage), "body": written}


def of_stream(body: bytes, source: str, target: str) -> Any:
    reader, writer = codec_of(source).stream_reader(told(source)), codec_of(target).stream_writer(asked(target))
    written = b""
    for event in _read(body, reader):
        if isinstance(event, Failed):
            written += writer.fail(NoProviderAvailable(event.fault.message))
            break
        written += writer.feed(event)
    else:
        written += writer.end(BILL)
    return written.decode().split("\n\n")


def _read(body: bytes, reader: Any) -> Iterator[Event]:
    for one in events(Framer().feed(body + b"\n\n")):
        try:
            yield from reader.feed(one)
        except UNREADABLE:
            continue
    yield from reader.end()


def of_error(body: bytes, source: str, target: str) -> Any:
    fault = codec_of(source).read_fault(body)
    error = InvalidParams(fault.message or "no words", param=fault.param)
    return {"fault": msgspec.to_builtins(fault), "body": json.loads(codec_of(target).error_body(error, "req_1"))}


MAKERS: dict[str, Callable[[bytes, str, str], Any]] = {
    "requests": of_request,
    "answers": of_answer,
    "streams": of_stream,
    "errors": of_error,
}
CASES = [
    (kind, source, target)
    for kind in MAKERS
    for source in PROVIDERS
    for target in PROVIDERS
    if (source if kind == "requests" else target) != CONVERSE
]


def snapshot_of(kind: str, source: str, target: str) -> Path:
    return GOLDEN / "matrix" / f"{kind}-{PROVIDERS[source]}-{PROVIDERS[target]}.json"


def made(kind: str, source: str, target: str) -> dict[str, Any]:
    paths = sorted((GOLDEN / PROVIDERS[source] / kind).iterdir())
    found = {path.stem: path for path in paths if ".expected." not in path.name}
    recorded = {f"llama_server/{path.stem}": path for path in recordings(kind, source)}
    return {name: MAKERS[kind](wire_of(path), source, target) for name, path in {**found, **recorded}.items()}


def recordings(kind: str, source: str) -> list[Path]:
    """What `scripts/record_fixtures.py` has recorded of a real server."""
    return sorted((GOLDEN / "llama_server" / PROVIDERS[source] / kind).glob("*"))


@pytest.mark.parametrize(("kind", "source", "target"), CASES)
def test_what_goes_on_the_wire_is_what_was_looked_at(kind: str, source: str, target: str) -> None:
    kept = json.loads(snapshot_of(kind, source, target).read_text())
    again = json.loads(json.dumps(made(kind, source, target)))
    assert set(again) == set(kept)
    assert [name for name in kept if again[name] != kept[name]] == []


if __name__ == "__main__":
    for case in CASES:
        lines = [f"{json.dumps(name)}: {json.dumps(value, sort_keys=True)}" for name, value in made(*case).items()]
        snapshot_of(*case).write_text("{\n" + ",\n".join(lines) + "\n}\n")

"""What the tests of this codec share: fixtures as files, the contexts, and the declared differences between a body and what is written again."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trunkline.ir.events import Event
from trunkline.ir.request import Request
from trunkline.protocols import sse
from trunkline.protocols.codec import QUIRKS, RESPONSES, AnswerContext, RequestContext, Target
from trunkline.protocols.openai_responses import codec

GOLDEN = Path(__file__).parents[2] / "golden" / "openai_responses"
ASKING = RequestContext(request_id="req_1", secret=b"secret")
QUIRK = msgspec.structs.replace(QUIRKS[RESPONSES], media=frozenset({"image", "file", "audio"}))
TARGET = Target(protocol=RESPONSES, upstream_model="up", quirks=QUIRK)


class Wire:
    """Bodies, contexts and the streams in between."""

    golden = GOLDEN
    asking = ASKING
    target = TARGET

    def request(self, body: Any) -> Request:
        return codec.read_request(body if isinstance(body, bytes) else json.dumps(body).encode(), ASKING)

    def answering(self, request: Request | None = None, **fields: Any) -> AnswerContext:
        asked = request or self.request({"model": "m", "input": "x"})
        said = {
            "request_id": "req_1",
            "model": "m",
            "created_s": 7,
            "secret": b"secret",
            "keep": _keep_nothing,
            **fields,
        }
        return AnswerContext(request=asked, **said)

    def events(self, stream: bytes, cuts: list[int] | None = None) -> list[Event]:
        """The events of a stream, fed in pieces that end at `cuts`."""
        framer, reader = sse.Framer(), codec.stream_reader(TARGET)
        ends = [*(cuts or []), len(stream)]
        found: list[Event] = []
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            block = framer.feed(stream[start:end])
            for one in sse.events(block) if block else []:
                found += reader.feed(one)
        return found + reader.end()

    def told(self, stream: bytes) -> list[dict[str, Any]]:
        """The data of the events of a stream that was written."""
        return [json.loads(data) for one in sse.events(stream) if (data := sse.data_of(one)) and data != b"[DONE]"]


def _keep_nothing(key: str, data: bytes) -> None:
    raise AssertionError("nothing of this protocol goes into the store")


def comparable_request(body: dict[str, Any]) -> dict[str, Any]:
    """A request without the declared differences: strings for lists of one text, what is unsaid by default, what the gateway sets."""
    body = {key: value for key, value in body.items() if key not in ("model", "store", "stream")}
    body["include"] = sorted(
        set(body.get("include", [])) - {"reasoning.encrypted_content", "web_search_call.action.sources"}
    )
    said = body["input"]
    items = [{"role": "user", "content": said}] if isinstance(said, str) else said
    if "instructions" not in body and items[0].get("role") == "system" and len(items) > 1:
        body["instructions"], *items = items[0]["content"], *items[1:]
    body["input"] = [_comparable_item(item) for item in items]
    return _without_defaults(body)


def _comparable_item(item: dict[str, Any]) -> dict[str, Any]:
    item = {"type": "message", **item}
    if item["type"] == "message" and isinstance(item["content"], str):
        kind = "output_text" if item["role"] == "assistant" else "input_text"
        item["content"] = [{"type": kind, "text": item["content"]}] if item["content"] else []
    return item


def _without_defaults(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_defaults(one) for one in value]
    if not isinstance(value, dict):
        return value
    empty = {"annotations": [], "logprobs": [], "detail": "auto", "include": [], "summary": []}
    schema = {"parameters": {"type": "object", "properties": {}}}
    defaults = {**empty, **schema}
    return {
        key: _without_defaults(inner)
        for key, inner in value.items()
        if inner is not None and not (key in defaults and inner == defaults[key])
    }


def comparable_answer(body: dict[str, Any]) -> dict[str, Any]:
    """An answer without what is the gateway's own: ids, names, what is repeated of the request."""
    kept = ("object", "status", "incomplete_details", "output", "usage", "service_tier", "error")
    answer = {key: body.get(key) for key in kept}
    answer["output"] = [_without_own(item) for item in body["output"]]
    return _without_defaults(answer)


def _without_own(item: dict[str, Any]) -> dict[str, Any]:
    own = ("id", "status") if item["type"] in ("message", "reasoning", "function_call", "custom_tool_call") else ("id",)
    item = {key: value for key, value in item.items() if key not in own}
    sealed = (item.get("encrypted_content") or "tl1e").startswith("tl1e")
    if item["type"] == "reasoning" and sealed:
        shown = item.get("summary") or item.get("content") or []
        return {"type": "reasoning", "text": "".join(piece["text"] for piece in shown)}
    return item


@pytest.fixture(scope="session")
def wire() -> Wire:
    return Wire()


@pytest.fixture(scope="session")
def comparable() -> Any:
    class Comparable:
        request = staticmethod(comparable_request)
        answer = staticmethod(comparable_answer)

    return Comparable()


def names(kind: str) -> list[str]:
    return sorted(path.name for path in (GOLDEN / kind).iterdir())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`request_file`, `answer_file`, `stream_file`, `error_file`: one test for each fixture of the kind."""
    for name in metafunc.fixturenames:
        found = re.fullmatch(r"(request|answer|stream|error)_file", name)
        if found is not None:
            paths = [GOLDEN / f"{found[1]}s" / file for file in names(f"{found[1]}s")]
            metafunc.parametrize(name, paths, ids=[path.stem for path in paths])

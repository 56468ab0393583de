"""What the gateway is asked, and what it tells, is the same at every door."""

import json
import tracemalloc
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import msgspec
import pytest

from trunkline.errors import InvalidParams
from trunkline.ir.events import Finish, Start, UsageSeen
from trunkline.ir.facts import RequestFacts
from trunkline.ir.request import Request
from trunkline.ir.response import FinishReason
from trunkline.ir.usage import Usage
from trunkline.protocols.anthropic_messages import codec as messages
from trunkline.protocols.codec import QUIRKS, AnswerContext, Bill, RequestContext, Target
from trunkline.protocols.facts import facts_of
from trunkline.protocols.gemini import codec as gemini
from trunkline.protocols.openai_chat import codec as chat
from trunkline.protocols.openai_responses import codec as responses
from trunkline.protocols.rawjson import join, split

DOORS: Mapping[str, ModuleType] = {module.NAME: module for module in (chat, messages, responses, gemini)}
ASKING = RequestContext(request_id="req_1", secret=b"s", path_model="m")


@pytest.fixture(params=list(DOORS))
def door(request: pytest.FixtureRequest) -> ModuleType:
    return DOORS[request.param]


def asking(door: ModuleType, text: str, **more: Any) -> bytes:
    """A request with one text of the user."""
    said: dict[str, Any] = {"messages": [{"role": "user", "content": text}]}
    if door is responses:
        said = {"input": text}
    if door is gemini:
        said = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    return json.dumps({"model": "m", **said, **more}, ensure_ascii=False, separators=(",", ":")).encode()


def facts(door: ModuleType, text: str = "hi", **more: Any) -> RequestFacts:
    found: RequestFacts = door.peek(asking(door, text, **more), ASKING, frozenset()).facts
    return found


@pytest.mark.parametrize("said", [True, False, None])
def test_wishes_to_the_gateway_are_obeyed(door: ModuleType, said: bool | None) -> None:
    found = facts(door, usage={"include": said}, provider={"require_parameters": said, "order": ["azure"]})
    assert (found.include_cost, found.require_parameters) == (said, said)


def test_without_wishes_the_settings_decide(door: ModuleType) -> None:
    found = facts(door)
    assert (found.include_cost, found.require_parameters) == (None, None)


@pytest.mark.parametrize("name", ["usage", "provider"])
def test_wishes_that_are_none_are_told(door: ModuleType, name: str) -> None:
    with pytest.raises(InvalidParams) as told:
        facts(door, **{name: 5})
    assert told.value.param == name


def test_wishes_to_the_gateway_never_reach_a_provider(door: ModuleType) -> None:
    body = asking(
        door, "hi", usage={"include": True}, provider={"order": ["azure"]}, model_routing_config={}, route="x"
    )
    written = door.write_request(door.read_request(body, ASKING), Target(protocol=door.NAME, upstream_model="up"))
    sent = set(json.loads(written.body))
    assert sent.isdisjoint({"usage", "provider", "model_routing_config", "modelRoutingConfig", "route"})
    assert written.losses == ()


def counts(stream: bytes) -> Any:
    """All objects of counts in a stream, those within other objects, too."""
    found: list[Any] = []
    waiting: list[Any] = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith(b"data: {")]
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, list):
            waiting += value
        if isinstance(value, dict):
            found += [value[key] for key in ("usage", "usageMetadata") if value.get(key)]
            waiting += value.values()
    return found


def test_counts_of_our_own_are_shown_at_the_end_of_a_stream(door: ModuleType) -> None:
    request = Request(origin=door.NAME, model="m", turns=(), include_usage=True)
    context = AnswerContext(
        request=request, request_id="req_1", model="m", created_s=1, secret=b"s", keep=lambda key, data: None
    )
    writer = door.stream_writer(context)
    for event in (Start("id", "up"), Finish(FinishReason.END, "stop")):
        writer.feed(event)
    guessed = Usage(input_tokens=31, output_tokens=17, estimated=True)
    assert writer.feed(UsageSeen(guessed, msgspec.Raw(b"null"))) == b""
    last = counts(writer.end(Bill(cost=b"0.5")))[-1]
    assert [list(last.values()).count(number) for number in (31, 17)] == [1, 1]
    assert last["cost"] == 0.5


@pytest.mark.parametrize(
    "text", ["hi", 'so "quoted"\n', "\u043f\u0440\u0438\u0432\u0435\u0442 \U0001f600", "A" * 100_000]
)
def test_a_prompt_is_as_long_as_its_text_at_every_door(door: ModuleType, text: str) -> None:
    length = len(text.encode())
    assert facts(door, text).prompt_bytes == length
    assert facts_of(door.read_request(asking(door, text), ASKING), frozenset()).prompt_bytes == length
    escaped = json.dumps(json.loads(asking(door, text))).encode()
    assert door.peek(escaped, ASKING, frozenset()).facts.prompt_bytes == length


PICTURE = b"iVBOR" + b"A" * 4_000_000
PARTS: Mapping[str, bytes] = {
    chat.NAME: b'"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,%b"}}]}]',
    messages.NAME: b'"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"%b"}}]}]',
    responses.NAME: b'"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,%b"}]}]',
    gemini.NAME: b'"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"%b"}}]}]',
}  # fmt: skip


def most_held(work: Callable[[], object]) -> int:
    """Bytes that a piece of work holds at most."""
    tracemalloc.start()
    try:
        held = work()
        most = tracemalloc.get_traced_memory()[1]
        del held
        return most
    finally:
        tracemalloc.stop()


def test_a_picture_is_no_text_and_looked_at_without_a_copy(door: ModuleType) -> None:
    body = b'{"model":"m",%b}' % (PARTS[door.NAME] % PICTURE)
    found = door.peek(body, ASKING, frozenset()).facts
    assert (found.prompt_bytes, found.modalities) == (0, {"text", "image"})
    assert most_held(lambda: door.peek(body, ASKING, frozenset())) < 200_000
    assert most_held(lambda: door.read_request(body, ASKING)) < 200_000


@pytest.mark.parametrize("name", list(DOORS))
def test_a_picture_is_copied_once_into_the_body_that_is_sent(door: ModuleType, name: str) -> None:
    request = door.read_request(b'{"model":"m",%b}' % (PARTS[door.NAME] % PICTURE), ASKING)
    target = Target(protocol=name, upstream_model="up", quirks=QUIRKS[name])
    assert most_held(lambda: DOORS[name].write_request(request, target)) < len(PICTURE) + 200_000


def test_a_body_that_is_put_together_is_copied_once() -> None:
    fields = split(b'{"model":"m","data":"%b"}' % PICTURE)
    assert most_held(lambda: join(fields)) < len(PICTURE) + 200_000

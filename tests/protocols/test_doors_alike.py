"""What the gateway is asked, and what it tells, is the same at every door."""

import json
from collections.abc import Mapping
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
from trunkline.protocols.codec import AnswerContext, Bill, RequestContext, Target
from trunkline.protocols.gemini import codec as gemini
from trunkline.protocols.openai_chat import codec as chat
from trunkline.protocols.openai_responses import codec as responses

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

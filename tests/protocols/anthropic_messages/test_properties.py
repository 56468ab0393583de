"""What Messages can carry comes back as it was; what only another vendor understands comes back through a client of Messages."""

import json
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.protocols.anthropic_messages import strategies
from tests.protocols.anthropic_messages.golden import CONTEXT, TARGET, answering, asking, read_stream
from trunkline.ir.events import Delta, Event
from trunkline.ir.fold import fold, unfold
from trunkline.ir.parts import Part, Refusal, Text, Thinking, ToolCall
from trunkline.ir.request import Reasoning, Request
from trunkline.ir.response import Candidate, Response
from trunkline.protocols.anthropic_messages import codec
from trunkline.protocols.codec import Bill

ASKED = Reasoning(enabled=True)
usual = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def builtins(value: Any) -> Any:
    """For comparison: raw JSON and arguments read, and views as bytes."""
    if isinstance(value, msgspec.Raw):
        return json.loads(bytes(value) or b"null")
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, msgspec.Struct):
        found = {name: builtins(getattr(value, name)) for name in value.__struct_fields__}
        if isinstance(value, ToolCall):
            found["arguments"] = json.loads(value.arguments)
        return {"": type(value).__name__, **found}
    if isinstance(value, dict):
        return {key: builtins(one) for key, one in value.items()}
    return [builtins(one) for one in value] if isinstance(value, list | tuple) else value


@usual
@given(strategies.requests)
def test_a_request_comes_back(request: Request) -> None:
    written = codec.write_request(request, TARGET)
    assert builtins(codec.read_request(written.body, CONTEXT)) == builtins(request)
    assert written.losses == ()


@usual
@given(strategies.answers(strategies.own_parts))
def test_an_answer_comes_back(response: Response) -> None:
    written = codec.read_response(codec.write_response(response, answering(), Bill()), TARGET)
    assert _essence(written) == _essence(response)


@usual
@given(strategies.answers(strategies.own_parts))
def test_an_answer_comes_back_as_a_stream(response: Response) -> None:
    assert _essence(fold(read_stream([_streamed(unfold(response), answering())]))) == _essence(response)


@usual
@given(strategies.answers(strategies.others_parts), st.booleans(), st.sampled_from([None, False]))
def test_another_vendors_state_comes_back_in_its_place(response: Response, streamed: bool, shown: bool | None) -> None:
    """All parts, in their order, with what their vendor needs. A caller who does not look at thinking brings it back all the same."""
    states: dict[str, bytes] = {}
    asked = msgspec.structs.replace(ASKED, shown=shown)
    found = _brought_back(_content(response, answering(asking(asked), states.__setitem__), streamed), states)
    assert builtins(found) == builtins([_as_text(part) for part in response.candidates[0].parts])


@usual
@given(strategies.answers(strategies.others_parts), st.booleans())
def test_hidden_state_comes_back_with_the_next_call(response: Response, streamed: bool) -> None:
    """A caller who did not ask for thinking sees none, and brings that before a call back by the call's id."""
    states: dict[str, bytes] = {}
    content = _content(response, answering(asking(None), states.__setitem__), streamed)
    assert {block["type"] for block in content} <= {"text", "tool_use"}
    parts = response.candidates[0].parts
    last = max((at for at, part in enumerate(parts) if isinstance(part, ToolCall)), default=-1)
    wanted = [part for at, part in enumerate(parts) if at <= last or isinstance(part, Text | Refusal)]
    found = _brought_back(content, states)
    assert sorted(map(_key, found)) == sorted(_key(_bare(part)) for part in wanted)


@usual
@given(st.text(max_size=30), st.integers(1, 5))
def test_every_delta_is_on_the_wire_at_once(text: str, size: int) -> None:
    response = Response(candidates=(Candidate((Text(text), Thinking(text), ToolCall("c", "f", text))),))
    writer = codec.stream_writer(answering())
    for event in _pieces(unfold(response), size):
        written = writer.feed(event)
        if isinstance(event, Delta):
            assert msgspec.json.encode(event.text) in written


def _pieces(events: Any, size: int) -> list[Event]:
    found: list[Event] = []
    for event in events:
        if isinstance(event, Delta):
            found += [Delta(event.index, event.text[at : at + size]) for at in range(0, len(event.text), size)]
        else:
            found.append(event)
    return found


def _essence(response: Response) -> Any:
    first = response.candidates[0]
    return builtins((first.parts, first.finish, first.stop_sequence, response.usage, response.service_tier))


def _streamed(events: Any, context: Any) -> bytes:
    writer = codec.stream_writer(context)
    return b"".join(writer.feed(event) for event in _pieces(events, 3)) + writer.end(Bill())


def _content(response: Response, context: Any, streamed: bool) -> Any:
    """The blocks that a client has in its hands."""
    if not streamed:
        return json.loads(codec.write_response(response, context, Bill()))["content"]
    data = _streamed(unfold(response), context)
    blocks: dict[int, Any] = {}
    for event in (json.loads(one.split(b"data: ")[1]) for one in data.split(b"\n\n")[:-1]):
        if event["type"] == "content_block_start":
            blocks[event["index"]] = event["content_block"]
        elif event["type"] == "content_block_delta":
            _add(blocks[event["index"]], event["delta"])
    for block in blocks.values():
        if "json" in block:
            block["input"] = json.loads(block.pop("json"))
    assert list(blocks) == list(range(len(blocks)))
    return list(blocks.values())


def _add(block: Any, delta: Any) -> None:
    if delta["type"] == "input_json_delta":
        block["json"] = block.get("json", "") + delta["partial_json"]
    elif delta["type"] == "signature_delta":
        block["signature"] = delta["signature"]
    else:
        name = delta["type"].removesuffix("_delta")
        block[name] += delta[name]


def _brought_back(content: Any, states: dict[str, bytes]) -> list[Part]:
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "assistant", "content": content}]})
    context = msgspec.structs.replace(CONTEXT, states=states)
    return list(codec.read_request(body, context).turns[0].parts)


def _as_text(part: Part) -> Part:
    return Text(part.text) if isinstance(part, Refusal) else part


def _bare(part: Part) -> Part:
    """State of a text has no place where there are no blocks of thinking."""
    return Text(part.text) if isinstance(part, Text | Refusal) else part


def _key(part: Part) -> str:
    return json.dumps(builtins(part), sort_keys=True)

"""Whatever stands in the place of any value, readers raise what they say that they raise, and nothing else."""

import json
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import InvalidParams
from trunkline.protocols import sse
from trunkline.protocols.openai_responses import codec
from trunkline.protocols.openai_responses.stored import conversation, input_items, referenced_ids
from trunkline.protocols.rawjson import UNREADABLE

odd = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.5,
        1e300,
        "",
        "x",
        "message",
        "reasoning",
        "tl1ex",
        [],
        [1],
        [{}],
        [[]],
        {},
        {"type": "message"},
        {"type": 3},
    ]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values within a value."""
    keys = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, inner in keys for found in ((*path, key), *places(inner, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = by
    return copy


@st.composite
def broken(draw: st.DrawFn, kind: str, wire: Any) -> bytes:
    path = draw(st.sampled_from(sorted((wire.golden / kind).iterdir())))
    value = json.loads(path.read_bytes())
    return json.dumps(replaced(value, draw(st.sampled_from(places(value))), draw(odd))).encode()


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_request_with_an_odd_value_is_read_or_refused_by_name(data: st.DataObject, wire: Any) -> None:
    body = data.draw(broken("requests", wire))
    with suppress(InvalidParams):
        codec.peek(body, wire.asking, frozenset())
    with suppress(InvalidParams):
        codec.write_request(wire.request(body), wire.target)
    with suppress(InvalidParams):
        conversation(b"", input_items(body, "req_1"), [])
        referenced_ids(body)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_an_answer_with_an_odd_value_is_read_or_marked(data: st.DataObject, wire: Any) -> None:
    with suppress(*UNREADABLE):
        codec.read_response(data.draw(broken("answers", wire)), wire.target)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_stream_with_odd_values_is_read_or_marked(data: st.DataObject, wire: Any) -> None:
    stream = data.draw(st.sampled_from(sorted((wire.golden / "streams").iterdir()))).read_bytes()
    events = [json.loads(found) for one in sse.events(stream) if (found := sse.data_of(one)) and found != b"[DONE]"]
    reader, writer = codec.stream_reader(wire.target), codec.stream_writer(wire.answering())
    at = data.draw(st.integers(0, len(events) - 1))
    events[at] = replaced(events[at], data.draw(st.sampled_from(places(events[at]))), data.draw(odd))
    for told in events:
        with suppress(*UNREADABLE):
            for event in reader.feed(sse.event(json.dumps(told).encode())):
                writer.feed(event)

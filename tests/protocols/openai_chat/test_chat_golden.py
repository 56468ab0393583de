"""What comes in Chat Completions goes out in Chat Completions: the same JSON but for declared differences, and streams are answers in pieces."""

import json
import random
from typing import Any

import msgspec
import pytest

from tests.protocols.openai_chat.chat_golden import (
    CONTEXT,
    NO_BILL,
    answer_context,
    fixtures,
    patched,
    read_stream,
    streams,
    target,
    written,
)
from trunkline.ir.events import Event, Failed, Finish, PartEnd, PartStart
from trunkline.ir.fold import fold
from trunkline.ir.parts import Carry, Citation, Text, Thinking, ToolCall
from trunkline.ir.response import Response
from trunkline.protocols.openai_chat import codec

REQUESTS, ANSWERS, ERRORS, STREAMS = fixtures("requests"), fixtures("answers"), fixtures("errors"), streams()
FAILING = {"error_in_the_middle", "error_at_once", "vllm_error"}
WHOLE = sorted(set(STREAMS) - FAILING - {"cut_off"})


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_written_as_it_was_read(name: str) -> None:
    wire = REQUESTS[name]["wire"]
    streamed = wire.get("stream", False)
    request = codec.read_request(json.dumps(wire).encode(), CONTEXT)
    body = codec.write_request(request, target(stream=streamed))
    assert json.loads(body.body) == patched(wire, REQUESTS[name].get("written", {}))
    assert body.stop_here == ()


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_that_was_written_is_read_as_the_same(name: str) -> None:
    request = codec.read_request(json.dumps(REQUESTS[name]["wire"]).encode(), CONTEXT)
    once = codec.write_request(request, target(stream=request.stream)).body
    again = codec.write_request(codec.read_request(once, CONTEXT), target(stream=request.stream)).body
    assert json.loads(once) == json.loads(again)


@pytest.mark.parametrize("name", sorted(set(ANSWERS) - {"mistral_thinking"}))
def test_an_answer_is_written_as_it_was_read(name: str) -> None:
    wire = ANSWERS[name]["wire"]
    response = codec.read_response(json.dumps(wire).encode(), target())
    found = json.loads(codec.write_response(response, answer_context(), NO_BILL))
    assert found.pop("id") == "chatcmpl-1"
    assert found == patched({key: wire[key] for key in wire if key != "id"}, ANSWERS[name].get("written", {}))


@pytest.mark.parametrize("name", WHOLE)
def test_a_stream_is_the_same_however_it_is_cut(name: str) -> None:
    stream = STREAMS[name]
    whole = read_stream([stream])
    assert read_stream([stream[at : at + 1] for at in range(len(stream))]) == whole
    cuts = sorted(random.Random(name).sample(range(len(stream)), 9))
    assert read_stream([stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]) == whole


@pytest.mark.parametrize("name", sorted(set(ANSWERS) & set(STREAMS)))
def test_a_stream_is_its_answer(name: str) -> None:
    answer = codec.read_response(json.dumps(ANSWERS[name]["wire"]).encode(), target())
    assert comparable(fold(read_stream([STREAMS[name]]))) == comparable(answer)


@pytest.mark.parametrize("name", WHOLE)
def test_a_stream_that_is_written_again_is_the_same_answer(name: str) -> None:
    found = [event for event in read_stream([STREAMS[name]]) if not is_state(event)]
    again = read_stream([written(found)])
    assert shown(fold(again)) == shown(fold(found))


@pytest.mark.parametrize("name", WHOLE)
def test_every_part_begins_and_ends_once_and_before_its_candidate(name: str) -> None:
    found = read_stream([STREAMS[name]])
    begun = [event.index for event in found if isinstance(event, PartStart)]
    ended = [event.index for event in found if isinstance(event, PartEnd)]
    assert begun == list(range(len(begun)))
    assert sorted(ended) == begun
    for at, event in enumerate(found):
        if isinstance(event, Finish):
            late = [one for one in found[at:] if isinstance(one, PartStart) and one.choice == event.choice]
            assert late == []


@pytest.mark.parametrize("name", sorted(FAILING))
def test_an_error_in_a_stream_is_its_last_event(name: str) -> None:
    found = read_stream([STREAMS[name]])
    assert isinstance(found[-1], Failed)
    assert found[-1].fault.message
    assert not [event for event in found if isinstance(event, Finish)]


def test_errors_in_streams_have_the_status_that_is_told() -> None:
    statuses = {name: read_stream([STREAMS[name]])[-1].status for name in FAILING}  # type: ignore[union-attr]
    assert statuses == {"error_in_the_middle": 502, "error_at_once": 0, "vllm_error": 500}


def test_a_stream_that_is_cut_has_no_finish() -> None:
    found = read_stream([STREAMS["cut_off"]])
    assert not [event for event in found if isinstance(event, Finish)]
    assert fold(found).candidates[0].finish is None


@pytest.mark.parametrize("name", ERRORS)
def test_the_providers_words_are_read_of_every_shape_of_error(name: str) -> None:
    fault = codec.read_fault(json.dumps(ERRORS[name]["wire"]).encode())
    assert msgspec.to_builtins(fault) == ERRORS[name]["fault"] | {"retry_after_s": None}


def is_state(event: Event) -> bool:
    """The end of reasoning that has to come back; what becomes of that is not told by the answer alone."""
    return isinstance(event, PartEnd) and event.carry is not None


def comparable(response: Response) -> Any:
    """Without what a stream has no place for, and with carries as JSON."""
    plain = msgspec.structs.replace(response, carry=None, raw_usage=msgspec.Raw(b"null"))
    return without_carry_bytes(plain)


def shown(response: Response) -> Any:
    """What a caller is shown: our ids, carries that had to be sealed and the dialect's words are not."""
    found = msgspec.structs.replace(response, id="", carry=None, raw_usage=msgspec.Raw(b"null"), service_tier="")
    candidates = []
    for candidate in found.candidates:
        parts = [part for part in candidate.parts if getattr(part, "text", True)]
        candidates.append(msgspec.structs.replace(candidate, parts=tuple(map(bare, by_kind(parts))), native_finish=""))
    return msgspec.structs.replace(found, candidates=tuple(candidates))


def bare(part: Any) -> Any:
    if isinstance(part, ToolCall):
        return msgspec.structs.replace(part, carry=None, arguments=part.arguments or "{}")
    if isinstance(part, Text):
        sources = tuple(Citation(url=one.url, title=one.title) for one in part.citations)
        return msgspec.structs.replace(part, carry=None, citations=sources)
    if isinstance(part, Thinking):
        return msgspec.structs.replace(part, carry=None, text=part.text.strip())
    return msgspec.structs.replace(part, carry=None)


def by_kind(parts: list[Any]) -> list[Any]:
    """Chat has what is said by kind, not in its order."""
    return sorted(parts, key=lambda part: type(part).__name__)


def without_carry_bytes(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=_encoded))


def _encoded(value: Any) -> Any:
    if isinstance(value, Carry):
        return [value.origin, value.data]
    raise NotImplementedError(type(value))

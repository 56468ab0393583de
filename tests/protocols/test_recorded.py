"""What a real server said (llama.cpp's, by `scripts/record_fixtures.py`) is understood: whole and as a stream the same, however it is cut."""

import itertools
import json
import random
from pathlib import Path

import pytest

from tests.protocols.test_matrix import FOLDERS, SECRET, recordings, told
from trunkline.execution.codecs import codec_of
from trunkline.ir.events import Event, Failed
from trunkline.ir.fold import fold
from trunkline.ir.parts import Text, ToolCall
from trunkline.ir.response import Candidate, Response
from trunkline.protocols.codec import RequestContext
from trunkline.protocols.sse import Framer, events

PROTOCOLS = [protocol for protocol in FOLDERS if recordings("answers", protocol)]


def cases(kind: str) -> list[tuple[str, Path]]:
    return [(protocol, path) for protocol in PROTOCOLS for path in recordings(kind, protocol)]


def recorded(kind: str) -> pytest.MarkDecorator:
    found = cases(kind)
    return pytest.mark.parametrize(
        ("protocol", "path"), found, ids=[f"{protocol}-{path.stem}" for protocol, path in found]
    )


def read(protocol: str, pieces: list[bytes]) -> list[Event]:
    reader, framer = codec_of(protocol).stream_reader(told(protocol)), Framer()
    found: list[Event] = []
    for piece in pieces:
        block = framer.feed(piece)
        found += [event for one in events(block) for event in reader.feed(one)] if block else []
    return [*found, *reader.end()]


def said(response: Response) -> tuple[str, list[tuple[str, object]], object, int, int]:
    """Texts, calls, finish and counts; ids and what was cached differ from one asking to the next."""
    (candidate,) = response.candidates
    assert isinstance(candidate, Candidate)
    assert response.usage is not None
    texts = "".join(part.text for part in candidate.parts if isinstance(part, Text))
    calls = [(part.name, json.loads(part.arguments)) for part in candidate.parts if isinstance(part, ToolCall)]
    return texts, calls, candidate.finish, response.usage.total_input_tokens, response.usage.total_output_tokens


def test_at_least_six_of_each_kind_were_recorded_in_three_protocols() -> None:
    assert len(PROTOCOLS) == 3
    for protocol in PROTOCOLS:
        assert min(len(recordings(kind, protocol)) for kind in ("requests", "answers", "streams")) >= 6
        assert len(recordings("errors", protocol)) >= 4


@recorded("streams")
def test_a_stream_is_the_same_however_it_is_cut(protocol: str, path: Path) -> None:
    data, rng = path.read_bytes(), random.Random(3)
    places = [0, *sorted(rng.sample(range(len(data)), 20)), len(data)]
    whole = read(protocol, [data])
    assert whole == read(protocol, [data[at : at + 1] for at in range(len(data))])
    assert whole == read(protocol, [data[a:b] for a, b in itertools.pairwise(places)])
    assert not [event for event in whole if isinstance(event, Failed)]


@recorded("streams")
def test_a_stream_put_together_says_what_the_answer_says(protocol: str, path: Path) -> None:
    (answer,) = [one for one in recordings("answers", protocol) if one.stem == path.stem]
    whole = codec_of(protocol).read_response(answer.read_bytes(), told(protocol))
    assert said(fold(read(protocol, [path.read_bytes()]))) == said(whole)
    assert whole.candidates[0].parts


@recorded("requests")
def test_a_request_is_read_and_written_without_loss_in_its_own_protocol(protocol: str, path: Path) -> None:
    codec = codec_of(protocol)
    request = codec.read_request(path.read_bytes(), RequestContext(request_id="req_1", secret=SECRET))
    written = codec.write_request(request, told(protocol))
    again = codec.read_request(written.body, RequestContext(request_id="req_1", secret=SECRET))
    assert again.turns == request.turns
    assert (again.tools, again.max_output_tokens) == (request.tools, request.max_output_tokens)


@recorded("errors")
def test_an_error_has_the_servers_words(protocol: str, path: Path) -> None:
    fault = codec_of(protocol).read_fault(path.read_bytes())
    assert fault.message == json.loads(path.read_bytes())["error"]["message"]
    assert fault.type

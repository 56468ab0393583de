"""The rows of translation: what is asked, what the upstream says, and what the tables make of the samples."""

import itertools
import json
import re

import pytest

from bench import answers, bodies, gateway, report, translation
from bench.load import request_bytes
from bench.types import Report, Sample, Target

PROTOCOLS = list(bodies.SHORT.values())
WITH_SIZES = list(itertools.product(PROTOCOLS, [4096, 1_000_000], [False, True]))


def dechunked(framed: bytes) -> bytes:
    data, rest = b"", framed
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        data, rest = data + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return data


@pytest.mark.parametrize(("protocol", "size", "image"), WITH_SIZES)
def test_a_body_has_exactly_the_size_that_is_asked_for(protocol: str, size: int, image: bool) -> None:
    body = bodies.body(protocol, "bench/chat", "Say hello.", stream=False, size_bytes=size, image=image)
    assert len(body) == size
    text = json.dumps(json.loads(body))
    assert "Say hello." in text
    assert ("iVBORw0KGg" in text) is image


def test_a_gemini_request_names_model_and_operation_in_its_path() -> None:
    target = Target("127.0.0.1", 1, bodies.PATHS[bodies.GEMINI], "bench/chat", protocol=bodies.GEMINI)
    line = b"POST /api/vertex-ai/v1beta/models/bench/chat:"
    assert request_bytes(target, "Say hello.", stream=True).startswith(line + b"streamGenerateContent?alt=sse HTTP/1.1")
    assert request_bytes(target, "Say hello.", stream=False).startswith(line + b"generateContent HTTP/1.1")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stream_of_the_upstream_is_json_in_whole_events_and_repeats_its_text_where_the_protocol_does(
    protocol: str,
) -> None:
    voice = answers.voices()[protocol]
    stream = dechunked(voice.begin + voice.event * 3 + voice.end(3, True))
    events = re.split(rb"\r?\n\r?\n", stream)
    assert events.pop() == b""
    data = [event.partition(b"data: ")[2] for event in events]
    said = [json.loads(one) for one in data if one != b"[DONE]"]
    deltas = json.dumps(said).count('" token"')
    assert deltas == 3
    assert (" token token token" in json.dumps(said)) is (protocol == bodies.RESPONSES)
    assert json.loads(voice.answer)


def samples(worst: float) -> list[Sample]:
    rows = [translation.cell(row, *pair) for row in translation.ROWS for pair in translation.directions()]
    return [
        Sample(row=row, stack=report.OURS, round=1, value=worst if row.endswith("chat->gemini") else 1.0)
        for row in rows
    ]


def made(samples: list[Sample]) -> Report:
    meta = {"date": "2026-01-01", "commit": "abc"}
    return Report(meta=meta, stacks={report.OURS: "1"}, samples=samples)


def test_the_bar_judges_the_worst_of_the_twelve_directions() -> None:
    table = report.markdown(made(samples(500.0)))
    assert "| CPU a translated request of 4 KB, worst direction | 400 µs | 500 µs | DOES NOT HOLD |" in table
    assert "| chat | (1) | 1 | 1 | **500** |" in table


def test_a_protocol_to_itself_has_no_bar() -> None:
    slow = [
        Sample(row=translation.cell(translation.EVENT, name, name), stack=report.OURS, round=2, value=900.0)
        for name in bodies.SHORT
    ]
    assert "CPU a translated event, worst direction | 60 µs | 1 µs | holds" in report.markdown(
        made(samples(1.0) + slow)
    )


def test_a_direction_without_a_figure_is_told() -> None:
    whole = samples(1.0)
    assert report.translation_holes(made(whole)) == []
    (missing,) = report.translation_holes(made([one for one in whole if one.row != "translated_event@gemini->chat"]))
    assert "translated_event@gemini->chat" in missing


def test_the_words_about_an_interpreter_tell_how_it_was_built() -> None:
    plain = gateway.Interpreter("CPython 3.11.7", "'--enable-shared'", "-g -O3", False, "0.1.0")
    fast = gateway.Interpreter(
        "CPython 3.14.0", "'--enable-optimizations' '--with-lto=full'", "-O2 -fwrapv -O3", True, "0.1.0"
    )
    assert plain.words == "CPython 3.11.7, -O3, no PGO, no LTO"
    assert fast.words == "CPython 3.14.0, -O3, PGO, LTO, free-threaded"
    assert gateway.interpreter().words.startswith("CPython")


def test_an_interpreter_without_the_gateway_is_refused() -> None:
    with pytest.raises(RuntimeError, match="/bin/false has no trunkline"):
        gateway.interpreter("/bin/false")

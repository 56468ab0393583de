"""AWS: signatures and frames against what botocore makes of the same, `vectors/aws.json` (made by `vectors/make_aws.py`)."""

import itertools
import json
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from trunkline.providers.eventstream import BedrockEvents, Broken, Messages
from trunkline.providers.sigv4 import AwsCredential, sign

VECTORS = json.loads((Path(__file__).parent / "vectors" / "aws.json").read_text(encoding="utf-8"))
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
FRAMES = [bytes.fromhex(vector["frame"]) for vector in VECTORS["eventstream"]]


@pytest.mark.parametrize("case", VECTORS["sigv4"], ids=lambda case: case["target"][:40])
def test_a_signature_is_the_one_that_botocore_makes(case: dict[str, Any]) -> None:
    credential = AwsCredential(
        access_key_id="AKIDEXAMPLE", secret_access_key=SECRET, session_token=case["session_token"]
    )
    headers = tuple((name.encode(), value.encode()) for name, value in case["headers"])
    where = {key: case[key] for key in ("method", "host", "target", "region", "service", "now")}
    signed = sign(credential, headers=headers, body=case["body"].encode(), **where)
    assert signed[: len(headers)] == headers
    more = dict(signed[len(headers) :])
    assert more.pop(b"authorization").decode() == case["authorization"]
    token = {b"x-amz-security-token": case["session_token"].encode()} if case["session_token"] else {}
    assert more == {b"x-amz-date": case["now"].encode(), **token}


def test_no_text_of_an_access_key_has_its_secret() -> None:
    shown = repr(AwsCredential(access_key_id="AKIDEXAMPLE", secret_access_key=SECRET, session_token="st-1"))
    assert "AKIDEXAMPLE" in shown
    assert SECRET not in shown
    assert "st-1" not in shown


@pytest.mark.parametrize("vector", VECTORS["eventstream"], ids=lambda vector: vector["frame"][:12])
def test_a_frame_is_read_as_botocore_reads_it(vector: dict[str, Any]) -> None:
    (message,) = Messages().feed(bytes.fromhex(vector["frame"]))
    assert (message.headers, message.payload.decode()) == (vector["headers"], vector["payload"])


def cuts(data: bytes) -> list[list[bytes]]:
    whole, single = [data], [data[at : at + 1] for at in range(len(data))]
    rng = random.Random(11)
    places = [0, *sorted(rng.sample(range(len(data)), 9)), len(data)]
    return [whole, single, [data[a:b] for a, b in itertools.pairwise(places)]]


@pytest.mark.parametrize("pieces", cuts(b"".join(FRAMES)), ids=["whole", "byte by byte", "cut at random"])
def test_frames_are_the_same_however_they_come(pieces: list[bytes]) -> None:
    messages = Messages()
    found = [message for piece in pieces for message in messages.feed(piece)]
    assert [message.payload.decode() for message in found] == [vector["payload"] for vector in VECTORS["eventstream"]]
    assert not messages.cut


@pytest.mark.parametrize("pieces", cuts(b"".join(FRAMES)), ids=["whole", "byte by byte", "cut at random"])
def test_claudes_frames_become_anthropics_own_events(pieces: list[bytes]) -> None:
    events = BedrockEvents()
    sse = b"".join(map(events.feed, pieces)).decode()
    names = [line.removeprefix("event: ") for line in sse.splitlines() if line.startswith("event: ")]
    assert names == ["message_start", "content_block_delta", "error", "error", "message_stop"]
    data = [json.loads(line.removeprefix("data: ")) for line in sse.splitlines() if line.startswith("data: ")]
    assert data[1]["delta"]["text"] == "Grüße 😀"
    busy, broken = data[2], data[3]
    assert busy["error"] == {"type": "rate_limit_error", "message": "Too many requests"}
    assert broken["error"] == {"type": "api_error", "message": "Something broke"}
    assert [(one["type"], one["exception"]) for one in (busy, broken)] == [
        ("error", "throttlingException"),
        ("error", "InternalError"),
    ]
    assert sse.endswith("\n\n")
    assert not events.cut


def test_a_stream_that_ends_in_a_frame_is_cut() -> None:
    events = BedrockEvents()
    events.feed(FRAMES[0][:-1])
    assert events.cut


@pytest.mark.parametrize("at", [0, 5, 9, 20, -1])
def test_a_frame_with_a_wrong_bit_is_refused(at: int) -> None:
    frame = bytearray(FRAMES[0])
    frame[at] ^= 1
    with pytest.raises(Broken):
        list(Messages().feed(bytes(frame)))


def test_text_is_no_event_stream() -> None:
    with pytest.raises(Broken):
        list(Messages().feed(b'{"message": "The security token included in the request is invalid."}'))


def framed(headers: bytes, payload: bytes, total: int | None = None, said: int | None = None) -> bytes:
    total = 16 + len(headers) + len(payload) if total is None else total
    prelude = struct.pack(">II", total, len(headers) if said is None else said)
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize(
    "frame",
    [
        framed(b"", b"", total=15),
        framed(b"", b"", total=100_000_000),
        framed(b"", b"x", said=2),
        framed(b"\x01a\x07\x00\x05abc", b""),
        framed(b"\x05a", b""),
        framed(b"\x01a\x63", b""),
        framed(b"\x01a\x05\x00", b""),
        framed(b"\x01a\x07\x00\x01\xff", b""),
    ],
    ids=["too short", "too long", "more headers than frame", "value", "name", "type", "number", "utf-8"],
)
def test_lengths_that_lie_are_refused(frame: bytes) -> None:
    with pytest.raises(Broken):
        list(Messages().feed(frame))


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"bytes": "?"}', b'{"bytes": "AA=="}'])
def test_a_chunk_that_holds_no_event_is_refused(payload: bytes) -> None:
    headers = b"\x0b:event-type\x07\x00\x05chunk"
    with pytest.raises(Broken):
        BedrockEvents().feed(framed(headers, payload))


def test_an_event_stays_on_one_line() -> None:
    headers = b"\x0b:event-type\x07\x00\x05chunk"
    sse = BedrockEvents().feed(framed(headers, b'{"bytes": "eyJ0eXBlIjoKICJwaW5nIn0="}'))
    assert sse == b'event: ping\ndata: {"type":  "ping"}\n\n'

"""Megabytes go through as views: read without a copy, and copied once, into the body that is sent."""

import tracemalloc

import msgspec

from trunkline.protocols.media import Blobs, base64_of, data_url


class Image(msgspec.Struct):
    url: msgspec.Raw


def raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def test_a_data_url_is_taken_apart() -> None:
    assert data_url(raw('"data:image/png;base64,iVBORw0KGgo="')) == ("image/png", b"iVBORw0KGgo=")
    assert data_url(raw('"data:text/plain;charset=utf-8;base64,QQ=="')) == ("text/plain", b"QQ==")


def test_escaped_slashes_are_no_part_of_the_data() -> None:
    assert data_url(raw(r'"data:image\/png;base64,ab\/cd"')) == ("image/png", b"ab/cd")
    assert base64_of(raw(r'"ab\/cd"')) == b"ab/cd"
    assert data_url(raw('"data:image/png;base64,' + "A" * 400 + r'\/A"')) == ("image/png", b"A" * 400 + b"/A")


def test_another_url_is_none() -> None:
    assert data_url(raw('"https://a.example/cat.png"')) is None
    assert data_url(raw('"data:,hello"')) is None


def test_large_strings_are_put_in_the_places_of_their_marks() -> None:
    blobs = Blobs()
    first, second = b"A" * 5000, memoryview(b"B" * 5000)
    body = {"b": blobs.put(second, b"data:image/png;base64,"), "a": blobs.put(first), "small": blobs.put(b"QQ==")}
    found = msgspec.json.decode(blobs.fill(msgspec.json.encode(body)))
    assert found == {"b": f"data:image/png;base64,{'B' * 5000}", "a": "A" * 5000, "small": "QQ=="}


def test_a_mark_that_a_caller_made_up_is_left_alone() -> None:
    blobs = Blobs()
    blobs.put(b"A" * 5000)
    assert blobs.fill(b'{"schema":"\x007\x00"}') == b'{"schema":"\x007\x00"}'


def test_ten_megabytes_are_held_twice_at_most() -> None:
    body = b'{"url":"data:image/png;base64,%b"}' % (b"A" * 10_000_000)
    tracemalloc.start()
    found = data_url(msgspec.json.decode(body, type=Image).url)
    assert found is not None
    blobs = Blobs()
    sent = blobs.fill(msgspec.json.encode({"data": blobs.put(found[1])}))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(sent) == 10_000_011
    assert peak_bytes < 10_100_000

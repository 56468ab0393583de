"""Events are found whole, wherever the bytes were cut and whatever ends their lines."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.protocols.sse import Framer, comment, data_of, event, events

ENDS = [b"\n", b"\r\n", b"\r"]
LINES = [
    b'data: {"a": 1}',
    b": comment",
    b"event: ping",
    b"data",
    b"data:x",
    b"data: \xe2\x82\xac \xe2\x80\xa8",
    b"id: 7",
    b"retry: 10",
]


def stream_of(seed: int) -> tuple[bytes, list[bytes]]:
    """A stream with one kind of line end for each event, and its events."""
    chance = random.Random(seed)
    found = []
    for _ in range(chance.randint(1, 8)):
        end = chance.choice(ENDS)
        found.append(b"".join(line + end for line in chance.choices(LINES, k=chance.randint(1, 3))) + end)
    return b"".join(found), found


def framed(chunks: list[bytes]) -> tuple[list[bytes], bytes]:
    framer = Framer()
    blocks = [block for chunk in chunks if (block := framer.feed(chunk))]
    return [one for block in blocks for one in events(block)], framer.rest()


@pytest.mark.parametrize("seed", range(60))
def test_a_stream_cut_at_every_byte_gives_the_events_of_the_whole(seed: int) -> None:
    stream, expected = stream_of(seed)
    whole, rest = framed([stream])
    assert whole == expected
    assert rest == b""
    for cut in range(1, len(stream)):
        pieces, left = framed([stream[:cut], stream[cut:]])
        assert b"".join(pieces) + left == stream
        assert [data_of(piece) for piece in pieces if data_of(piece)] == [
            data_of(one) for one in expected if data_of(one)
        ]


@pytest.mark.parametrize("seed", range(60))
def test_a_stream_of_single_bytes_gives_the_data_of_the_whole(seed: int) -> None:
    stream, expected = stream_of(seed)
    pieces, left = framed([stream[at : at + 1] for at in range(len(stream))])
    assert b"".join(pieces) + left == stream
    assert [data_of(piece) for piece in pieces if data_of(piece)] == [data_of(one) for one in expected if data_of(one)]


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_no_byte_is_lost_or_changed_for_any_input(chunks: list[bytes]) -> None:
    framer = Framer()
    out = b"".join(framer.feed(chunk) for chunk in chunks)
    assert out + framer.rest() == b"".join(chunks)


def test_the_beginning_of_an_event_is_held_until_its_end_has_come() -> None:
    framer = Framer()
    assert framer.feed(b"data: a\n\ndata: b") == b"data: a\n\n"
    assert framer.feed(b"\n") == b""
    assert framer.feed(b"\n") == b"data: b\n\n"


def test_one_line_end_of_two_bytes_is_not_a_blank_line() -> None:
    assert Framer().feed(b"data: a\r\n") == b""


def test_unicode_line_separators_do_not_end_a_line() -> None:
    assert data_of(b"data: a\xe2\x80\xa8b\x0bc\x85\n\n") == b"a\xe2\x80\xa8b\x0bc\x85"


@pytest.mark.parametrize(
    ("one", "data"),
    [
        (b"data: x\n\n", b"x"),
        (b"data:x\n\n", b"x"),
        (b"data:  x\n\n", b" x"),
        (b"data\n\n", b""),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"event: e\r\ndata: a\r\n\r\n", b"a"),
        (b"data: a\r\r", b"a"),
        (b": only a comment\n\n", None),
        (b"dataset: x\n\n", None),
        (b"\n", None),
    ],
)
def test_the_data_of_an_event(one: bytes, data: bytes | None) -> None:
    assert data_of(one) == data


def test_what_is_written_can_be_read() -> None:
    assert data_of(event(b"{}")) == b"{}"
    assert data_of(comment(b"wait")) is None

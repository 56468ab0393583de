"""Makes odd HTTP/1.1 answers. In: a seed. Out: the pieces to write, and the names of the oddities that are in it."""

import random
from collections.abc import Callable

import msgspec


class OddAnswer(msgspec.Struct, frozen=True):
    pieces: tuple[bytes, ...]
    """As they are written to the socket, one by one; after the last one the peer closes."""
    oddities: frozenset[str]


class _Draft:
    """Lives while one answer is made."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.oddities: set[str] = set()
        self.status_line = b"HTTP/1.1 %d OK" % chance.choice((200, 200, 200, 201, 404, 429, 500, 599))
        self.headers: list[bytes] = [b"Content-Type: text/plain", b"X-Request-Id: req_%d" % chance.randrange(1000)]
        self.interim = b""
        self.body = bytes(chance.choices(b"abc \r\n01;\xff\x00", k=chance.choice((0, 1, 5, 40, 400))))
        self.chunks: list[bytes] = []
        self.framed_body = self.body
        self.line_end = b"\r\n"


def odd_answer(seed: int) -> OddAnswer:
    draft = _Draft(random.Random(seed))
    chance = draft.chance
    _pick(draft, _FRAMINGS)
    for _ in range(chance.choice((0, 1, 1, 1, 2))):
        _pick(draft, _ODDITIES)
    head = draft.line_end.join((draft.status_line, *draft.headers, b"", b""))
    answer = draft.interim + head + draft.framed_body
    if chance.random() < 0.12:
        draft.oddities.add("early_close")
        answer = answer[: chance.randrange(len(answer))]
    return OddAnswer(_cut(chance, answer), frozenset(draft.oddities))


def _pick(draft: _Draft, table: tuple[Callable[[_Draft], None], ...]) -> None:
    oddity = draft.chance.choice(table)
    draft.oddities.add(oddity.__name__.strip("_"))
    oddity(draft)


def _cut(chance: random.Random, answer: bytes) -> tuple[bytes, ...]:
    """Whole, at every byte (of short ones), or at random places."""
    way = chance.choices(("whole", "bytes", "random"), weights=(4, 1, 4))[0]
    if way == "whole" or len(answer) < 2:
        return (answer,)
    if way == "bytes" and len(answer) < 400:
        return tuple(answer[at : at + 1] for at in range(len(answer)))
    places = sorted(chance.sample(range(1, len(answer)), k=min(chance.randrange(1, 12), len(answer) - 1)))
    return tuple(answer[start:end] for start, end in zip((0, *places), (*places, len(answer)), strict=True))


def _chunked(draft: _Draft, line: Callable[[bytes], bytes], last: bytes = b"0\r\n\r\n") -> None:
    size = draft.chance.choice((1, 3, 100))
    parts = [draft.body[at : at + size] for at in range(0, len(draft.body), size)]
    draft.headers.append(b"Transfer-Encoding: chunked")
    draft.framed_body = b"".join(line(part) + b"\r\n" + part + b"\r\n" for part in parts) + last


# Framings.


def _length(draft: _Draft) -> None:
    draft.headers.append(b"Content-Length: %d" % len(draft.body))


def _length_with_zeros(draft: _Draft) -> None:
    draft.headers.append(b"Content-Length: 000%d" % len(draft.body))


def _length_too_large(draft: _Draft) -> None:
    draft.headers.append(b"Content-Length: %d" % (len(draft.body) + draft.chance.randrange(1, 50)))


def _length_too_small(draft: _Draft) -> None:
    draft.headers.append(b"Content-Length: %d" % draft.chance.randrange(len(draft.body) + 1))


def _length_no_number(draft: _Draft) -> None:
    draft.headers.append(
        b"Content-Length: " + draft.chance.choice((b"+3", b"-3", b"0x3", b"3 3", b"", b"3.0", b"9" * 30))
    )


def _length_twice_the_same(draft: _Draft) -> None:
    draft.headers += [b"Content-Length: %d" % len(draft.body)] * 2


def _length_list_of_the_same(draft: _Draft) -> None:
    draft.headers.append(b"Content-Length: %d, %d" % (len(draft.body), len(draft.body)))


def _lengths_differ(draft: _Draft) -> None:
    draft.headers += [b"Content-Length: %d" % len(draft.body), b"Content-Length: %d" % (len(draft.body) + 1)]


def _until_close(draft: _Draft) -> None:
    """No framing at all."""


def _chunks(draft: _Draft) -> None:
    _chunked(draft, lambda part: draft.chance.choice((b"%x", b"%X", b"00%x")) % len(part))


def _chunk_extensions(draft: _Draft) -> None:
    extension = draft.chance.choice((b";a", b";a=b", b';a="b c"', b";a=b;c=d"))
    _chunked(draft, lambda part: b"%x" % len(part) + extension, b"0" + extension + b"\r\n\r\n")


def _chunk_size_padded(draft: _Draft) -> None:
    _chunked(draft, lambda part: b"%x  " % len(part))


def _trailers(draft: _Draft) -> None:
    _chunked(draft, lambda part: b"%x" % len(part), b"0\r\nX-Checksum: 1\r\nX-Other:\r\n\r\n")


def _chunk_size_wrong(draft: _Draft) -> None:
    _chunked(draft, lambda part: b"%x" % (len(part) + draft.chance.choice((-1, 1, 20))) if len(part) > 1 else b"1")


def _chunk_size_no_number(draft: _Draft) -> None:
    _chunked(draft, lambda part: draft.chance.choice((b"g", b"", b"-1", b"+1", b"0x1", b"f" * 20)))


def _last_chunk_missing(draft: _Draft) -> None:
    _chunked(draft, lambda part: b"%x" % len(part), draft.chance.choice((b"", b"0\r\n", b"0")))


def _length_and_chunks(draft: _Draft) -> None:
    _chunked(draft, lambda part: b"%x" % len(part))
    draft.headers.insert(draft.chance.randrange(4), b"Content-Length: %d" % len(draft.body))


def _other_transfer_coding(draft: _Draft) -> None:
    _chunked(draft, lambda part: b"%x" % len(part))
    draft.headers[-1] = b"Transfer-Encoding: " + draft.chance.choice(
        (b"gzip, chunked", b"identity", b"chunked, gzip", b"x")
    )


def _chunked_twice(draft: _Draft) -> None:
    _chunked(draft, lambda part: b"%x" % len(part))
    draft.headers.append(b"Transfer-Encoding: chunked")


# Oddities of the head and around it.


def _interim_answers(draft: _Draft) -> None:
    lines = (
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        b"HTTP/1.1 102 P\r\n\r\n",
    )
    draft.interim = b"".join(draft.chance.choices(lines, k=draft.chance.randrange(1, 4)))


def _connection_close(draft: _Draft) -> None:
    draft.headers.append(draft.chance.choice((b"Connection: close", b"connection: Close", b"Connection: x, close")))


def _keep_alive(draft: _Draft) -> None:
    draft.headers += [b"Connection: keep-alive", b"Keep-Alive: timeout=5"]


def _old_version(draft: _Draft) -> None:
    draft.status_line = draft.status_line.replace(b"/1.1", b"/1.0")


def _strange_version(draft: _Draft) -> None:
    version = draft.chance.choice(
        (b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b"HTTP/1", b"HTP/1.1", b"RTSP/1.0")
    )
    draft.status_line = draft.status_line.replace(b"HTTP/1.1", version)


def _no_reason(draft: _Draft) -> None:
    draft.status_line = b"HTTP/1.1 200" + draft.chance.choice((b"", b" "))


def _odd_reason(draft: _Draft) -> None:
    draft.status_line = b"HTTP/1.1 200 " + draft.chance.choice(
        (b"all\tis  well", "schön".encode(), b"200 OK", b"x" * 500)
    )


def _strange_status(draft: _Draft) -> None:
    status = draft.chance.choice((b"20", b"2000", b"abc", b"099", b"-20", b"999", b"101"))
    draft.status_line = b"HTTP/1.1 " + status + b" OK"


def _no_content(draft: _Draft) -> None:
    draft.status_line = draft.chance.choice((b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified"))


def _odd_spacing(draft: _Draft) -> None:
    draft.headers += [b"X-A:one", b"X-B:   two  ", b"X-C:\tthree\t \t", b"X-D:", b"X-E:    ", b"X-F: a  b"]


def _obs_fold(draft: _Draft) -> None:
    draft.headers.insert(
        draft.chance.randrange(1, 3), b"X-Folded: one\r\n" + draft.chance.choice((b" ", b"\t")) + b"two"
    )


def _space_before_colon(draft: _Draft) -> None:
    draft.headers.insert(draft.chance.randrange(3), b"X-Space : one")


def _no_colon(draft: _Draft) -> None:
    draft.headers.insert(draft.chance.randrange(3), b"X-No-Colon")


def _name_no_token(draft: _Draft) -> None:
    draft.headers.append(draft.chance.choice((b"X(A): 1", b": 1", b"X\0: 1", "Ü: 1".encode(), b"X Y: 1", b'X"Y: 1')))


def _value_obs_text(draft: _Draft) -> None:
    draft.headers.append(b"X-Text: " + draft.chance.choice(("schön".encode(), b"\xff\xfe", b"a\tb")))


def _value_control_character(draft: _Draft) -> None:
    draft.headers.append(b"X-Control: a" + draft.chance.choice((b"\0", b"\x01", b"\x7f", b"\r", b"\x0b")) + b"b")


def _many_headers(draft: _Draft) -> None:
    draft.headers += [b"X-Many-%d: value" % number for number in range(90)]


def _same_name_often(draft: _Draft) -> None:
    draft.headers += [b"Set-Cookie: a=%d" % number for number in range(5)]


def _huge_head(draft: _Draft) -> None:
    draft.headers.append(b"X-Huge: " + b"x" * 200_000)


def _bare_line_feeds(draft: _Draft) -> None:
    draft.line_end = b"\n"


def _line_ends_before(draft: _Draft) -> None:
    draft.interim = b"\r\n" * draft.chance.randrange(1, 3) + draft.interim


def _content_encoding(draft: _Draft) -> None:
    draft.headers.append(b"Content-Encoding: " + draft.chance.choice((b"identity", b"unknown")))


def _garbage_before(draft: _Draft) -> None:
    draft.interim = draft.chance.choice((b"garbage\r\n", b"\x16\x03\x01", b" ")) + draft.interim


def _garbage_after(draft: _Draft) -> None:
    draft.framed_body += draft.chance.choice((b"garbage", b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"))


_FRAMINGS = (
    *(_length, _chunks, _chunk_extensions, _trailers, _until_close) * 3,
    _length_with_zeros,
    _length_too_large,
    _length_too_small,
    _length_no_number,
    _length_twice_the_same,
    _length_list_of_the_same,
    _lengths_differ,
    _chunk_size_padded,
    _chunk_size_wrong,
    _chunk_size_no_number,
    _last_chunk_missing,
    _length_and_chunks,
    _other_transfer_coding,
    _chunked_twice,
)
_ODDITIES = (
    _interim_answers,
    _connection_close,
    _keep_alive,
    _old_version,
    _strange_version,
    _no_reason,
    _odd_reason,
    _strange_status,
    _no_content,
    _odd_spacing,
    _obs_fold,
    _space_before_colon,
    _no_colon,
    _name_no_token,
    _value_obs_text,
    _value_control_character,
    _many_headers,
    _same_name_often,
    _huge_head,
    _bare_line_feeds,
    _line_ends_before,
    _content_encoding,
    _garbage_before,
    _garbage_after,
)

"""Which reads are taken for a whole answer, without a look at each header. All others go the ordinary way, which these tests' neighbours are about."""

import pytest

from trunkline.execution.transport.response_head import WholeAnswers, headers_of

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n"
WHOLE = HEAD + b"\r\nhello"
LIMIT = 65_536


@pytest.mark.parametrize("more", [b"", b"Connection: keep-alive\r\n", b"X: a\r\nx-request-id: 1\r\n"])
def test_one_answer_after_another_is_taken(more: bytes) -> None:
    answers, data = WholeAnswers(), HEAD + more + b"\r\nhello"
    for _ in range(3):
        start = answers.body_start(data, LIMIT)
        assert data[start:] == b"hello"


@pytest.mark.parametrize(
    "data",
    [
        WHOLE[:-1],
        WHOLE + b"x",
        WHOLE + b"\r\n",
        WHOLE + WHOLE,
        HEAD,
        b"\r\n" + WHOLE,
        WHOLE.replace(b"200 OK", b"503 Busy"),
        WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        WHOLE.replace(b"HTTP", b"RTSP"),
        HEAD + b"Connection: close\r\n\r\nhello",
        HEAD + b"Connection: Keep-Alive, close\r\n\r\nhello",
        HEAD + b"Connection: keep-alive\r\nConnection: close\r\n\r\nhello",
        HEAD + b"Content-Length: 5\r\n\r\nhello",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nhello",
        HEAD + b"Upgrade: h2c\r\nConnection: upgrade\r\n\r\nhello",
        HEAD + b"no colon\r\n\r\nhello",
        HEAD + b"X: a\x00b\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE,
    ],
)
def test_what_leaves_a_doubt_is_not(data: bytes) -> None:
    assert WholeAnswers().body_start(data, LIMIT) == 0


def test_a_head_over_the_limit_is_not() -> None:
    assert WholeAnswers().body_start(WHOLE, len(HEAD) + 1) == 0


def test_headers_are_told_in_lower_case_and_in_order() -> None:
    assert headers_of(HEAD + b"X-A:  b \r\n\r\n") == [
        (b"content-type", b"application/json"),
        (b"content-length", b"5"),
        (b"x-a", b"b"),
    ]

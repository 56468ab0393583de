"""What may be sent, and that nothing else is: a caller's bytes never end a line or frame a body."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.execution.transport.options import Unsendable
from trunkline.execution.transport.request_head import OWNED_BY_TRANSPORT, RequestHeads, authority
from trunkline.execution.transport.types import Origin, UpstreamRequest

ORIGIN = Origin("https", "api.example.com", 443)


def encode(method=b"POST", target=b"/v1", headers=(), body=b"x", heads=None) -> bytes:
    request = UpstreamRequest(origin=ORIGIN, method=method, target=target, headers=tuple(headers), body=body)
    return (heads or RequestHeads(ORIGIN, absolute_form=False)).encode(request)


def test_a_head_is_written_in_one_piece_with_the_callers_spelling_and_order():
    assert encode(headers=[(b"X-b", b"1"), (b"a", b"")]) == (
        b"POST /v1 HTTP/1.1\r\nHost: api.example.com\r\nAccept-Encoding: identity\r\n"
        b"X-b: 1\r\na: \r\nContent-Length: 1\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("method", "body", "announced"),
    [(b"POST", b"", True), (b"PUT", b"", True), (b"GET", b"", False), (b"DELETE", b"", False), (b"DELETE", b"x", True)],
)
def test_a_length_is_announced_where_a_body_is_expected(method, body, announced):
    assert (b"Content-Length" in encode(method=method, body=body)) is announced


@pytest.mark.parametrize("name", sorted(OWNED_BY_TRANSPORT))
def test_headers_that_frame_or_route_are_the_transports_own(name):
    for spelling in (name, name.title(), name.upper()):
        with pytest.raises(Unsendable):
            encode(headers=[(spelling, b"1")])


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\nb", b"a\0", "ä".encode(), b"(a)", b" a"])
def test_a_header_name_that_is_no_token_is_refused(name):
    with pytest.raises(Unsendable):
        encode(headers=[(name, b"1")])


@pytest.mark.parametrize("value", [b"a\r\nX: b", b"a\n", b"\r", b"a\0b", "ä".encode(), b"\xff"])
def test_a_header_value_that_could_end_the_line_is_refused_without_being_shown(value):
    with pytest.raises(Unsendable) as refused:
        encode(headers=[(b"Authorization", b"sk-secret" + value)])
    assert "sk-secret" not in str(refused.value)


@pytest.mark.parametrize(
    "target", [b"", b"v1", b"/a b", b"/a\r\nX: y", b"/\0", "/ä".encode(), b"/a\tb", b"http://other/", b"*"]
)
def test_a_target_that_is_no_encoded_path_is_refused(target):
    with pytest.raises(Unsendable):
        encode(target=target)


@pytest.mark.parametrize("method", [b"", b"GET ", b"G\r\nET", b"CONNECT"])
def test_a_method_that_is_no_token_is_refused(method):
    with pytest.raises(Unsendable):
        encode(method=method)


@pytest.mark.parametrize("host", ["", "a b", "a\r\nb", "a/b", "a@b", "bücher.example", "fe80::1%eth0", "a:b:zz"])
def test_a_host_that_is_neither_name_nor_address_is_refused(host):
    with pytest.raises(Unsendable):
        authority(Origin("https", host, 443))


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (Origin("https", "a.example", 443), "a.example"),
        (Origin("https", "a.example", 80), "a.example:80"),
        (Origin("http", "a.example", 80), "a.example"),
        (Origin("http", "::1", 8000), "[::1]:8000"),
        (Origin("http", "[::1]", 80), "[::1]"),
    ],
)
def test_the_default_port_is_left_out_and_ipv6_is_in_brackets(origin, expected):
    assert authority(origin) == expected


def test_what_was_kept_from_one_request_does_not_show_in_the_next():
    heads = RequestHeads(ORIGIN, absolute_form=False)
    first = encode(headers=[(b"A", b"1")], heads=heads)
    assert encode(headers=[(b"A", b"2")], heads=heads) == first.replace(b"A: 1", b"A: 2")
    assert encode(target=b"/v2", heads=heads).startswith(b"POST /v2 HTTP/1.1\r\n")
    assert encode(headers=[(b"A", b"1")], heads=heads) == first
    with pytest.raises(Unsendable):
        encode(headers=[(b"A", b"1\n")], heads=heads)
    assert encode(headers=[(b"A", b"1")], heads=heads) == first


def test_to_a_plain_proxy_the_target_is_absolute():
    origin = Origin("http", "api.example.com", 8000)
    heads = RequestHeads(origin, absolute_form=True, extra=b"Proxy-Authorization: Basic eA==\r\n")
    request = UpstreamRequest(origin=origin, method=b"GET", target=b"/v1?a=b", headers=(), body=b"")
    assert heads.encode(request) == (
        b"GET http://api.example.com:8000/v1?a=b HTTP/1.1\r\nHost: api.example.com:8000\r\n"
        b"Accept-Encoding: identity\r\nProxy-Authorization: Basic eA==\r\n\r\n"
    )


@given(
    st.binary(max_size=12),
    st.binary(max_size=12),
    st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=12)), max_size=3),
)
def test_whatever_is_given_is_refused_or_is_one_head_of_as_many_lines(method, target, headers):
    try:
        head = encode(method=method, target=b"/" + target, headers=headers, body=b"")
    except Unsendable:
        return
    lines = head.split(b"\r\n")
    assert lines[-2:] == [b"", b""]
    assert len(lines) - 5 - (b"Content-Length: 0" in lines) == len(headers)
    assert head.count(b"\n") == head.count(b"\r") == len(lines) - 1

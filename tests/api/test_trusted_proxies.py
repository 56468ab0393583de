"""Whose word about a caller's address counts."""

import pytest

from trunkline.api.trusted_proxies import TrustedProxies

OURS = TrustedProxies(("10.0.0.0/8", "192.0.2.1", "2001:db8::/32"))


def told(peer: str, *heard: str, proto: str | None = None) -> tuple[str, str]:
    headers = [(b"x-forwarded-for", one.encode()) for one in heard]
    return OURS.caller(peer, "http", headers + ([(b"x-forwarded-proto", proto.encode())] if proto is not None else []))


def test_a_stranger_may_say_what_it_likes() -> None:
    assert told("198.51.100.7", "203.0.113.9", proto="https") == ("198.51.100.7", "http")


def test_nobody_is_trusted_without_a_setting() -> None:
    headers = [(b"x-forwarded-for", b"203.0.113.9")]
    assert TrustedProxies(()).caller("127.0.0.1", "https", headers) == ("127.0.0.1", "https")


def test_over_a_unix_socket_there_is_no_address() -> None:
    assert told("", "203.0.113.9") == ("", "http")


@pytest.mark.parametrize(
    ("peer", "heard", "caller"),
    [
        ("10.1.2.3", ["203.0.113.9"], "203.0.113.9"),
        ("::ffff:10.1.2.3", ["203.0.113.9"], "203.0.113.9"),
        ("2001:db8::1", ["2001:db9::5"], "2001:db9::5"),
        ("10.1.2.3", ["203.0.113.9, 192.0.2.1"], "203.0.113.9"),
        ("10.1.2.3", ["203.0.113.9", "192.0.2.1"], "203.0.113.9"),
        ("10.1.2.3", ["1.1.1.1, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),
        ("10.1.2.3", ["10.7.7.7, 10.9.9.9"], "10.7.7.7"),
        ("10.1.2.3", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.1.2.3", ["[2001:db9::5]:4711"], "2001:db9::5"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", [" , "], "10.1.2.3"),
        ("10.1.2.3", ["203.0.113.9, unknown, 10.9.9.9"], "10.9.9.9"),
        ("10.1.2.3", ["жанна"], "10.1.2.3"),
    ],
)
def test_the_caller_is_the_last_that_a_proxy_of_ours_has_heard(peer: str, heard: list[str], caller: str) -> None:
    assert told(peer, *heard)[0] == caller


@pytest.mark.parametrize(
    ("proto", "scheme"),
    [("https", "https"), ("HTTPS ", "https"), ("http, https", "https"), ("ftp", "http"), ("", "http")],
)
def test_the_scheme_is_what_the_last_proxy_says(proto: str, scheme: str) -> None:
    assert told("10.1.2.3", proto=proto)[1] == scheme

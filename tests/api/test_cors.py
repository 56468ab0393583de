"""Which pages of other origins are told what."""

from trunkline.api.cors import Cors

APP = b"https://app.example.com"


def test_without_origins_nothing_is_ever_said() -> None:
    assert Cors(()).headers(APP) == []
    assert not Cors(()).allows(APP)


def test_an_allowed_origin_is_named_and_others_are_not() -> None:
    cors = Cors(("https://app.example.com",))
    assert dict(cors.headers(APP))[b"access-control-allow-origin"] == APP
    assert cors.headers(b"https://app.example.com.evil.example") == []
    assert cors.headers(b"") == []


def test_a_star_allows_everyone_and_names_nobody() -> None:
    assert dict(Cors(("*",)).headers(APP))[b"access-control-allow-origin"] == b"*"


def test_no_answer_is_ever_for_cookies() -> None:
    for cors in (Cors(("*",)), Cors(("https://app.example.com",))):
        told = [*cors.headers(APP), *cors.preflight([(b"access-control-request-headers", b"x-one")])]
        assert b"access-control-allow-credentials" not in dict(told)
        assert dict(told)[b"access-control-allow-headers"] == b"x-one"


def test_pages_may_read_the_headers_that_clients_act_on() -> None:
    exposed = dict(Cors(("*",)).headers(APP))[b"access-control-expose-headers"].split(b", ")
    for name in (b"retry-after", b"retry-after-ms", b"x-should-retry", b"x-request-id", b"x-zenmux-requestid"):
        assert name in exposed

"""Signing in with the master key: the cookie, where it leads, and what a form from elsewhere cannot do."""

import re

import pytest

from tests.fakes.console import MASTER_KEY
from trunkline.web.session import COOKIE, TRIES


@pytest.fixture
def people(console):
    with console.client(None, accept="text/html") as made:
        yield made


def sign_in(people, key=MASTER_KEY, next="/models"):
    return people.post("/sign-in", data={"key": key, "next": next})


def test_the_right_key_leads_to_the_page_that_was_asked_for(people):
    answer = sign_in(people)
    assert (answer.status_code, answer.headers["location"]) == (303, "/models")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" in cookie, "this gateway's public address is https"


def test_a_wrong_key_says_so_and_gives_no_cookie(people):
    answer = sign_in(people, key="wrong")
    assert answer.status_code == 403
    assert "This is not the master key" in answer.text
    assert "set-cookie" not in answer.headers


def test_wrong_keys_are_taken_so_many_times_a_minute(people):
    people.headers["x-trunkline-peer"] = "192.0.2.1"
    for _ in range(TRIES):
        assert sign_in(people, key="wrong").status_code == 403
    assert sign_in(people).status_code == 429
    people.headers["x-trunkline-peer"] = "192.0.2.2"
    assert sign_in(people).status_code == 303


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/sign-out"]
)
def test_it_leads_nowhere_else(people, elsewhere):
    assert sign_in(people, next=elsewhere).headers["location"] == "/platform/logs"


@pytest.mark.parametrize("cookie", ["", "x", "x.y", "WyJhIiw5OTk5OTk5OTk5OTk5XQ==.0000"])
def test_a_made_up_cookie_is_nobodys(people, cookie):
    assert "Sign out" not in people.get("/", headers={"cookie": f"{COOKIE}={cookie}"}).text


def test_signing_out_ends_the_session_wherever_its_cookie_is(people):
    cookie = sign_in(people).headers["set-cookie"].partition(";")[0]
    held = {"cookie": cookie}
    page = people.get("/", headers=held).text
    assert "Sign out" in page
    csrf = re.search(r'name="csrf" value="([0-9a-f]+)"', page)[1]
    assert people.post("/sign-out", data={"csrf": csrf}, headers=held).status_code == 303
    assert "Sign out" not in people.get("/", headers=held).text


@pytest.mark.parametrize("csrf", ["", "0" * 64])
def test_a_form_from_elsewhere_does_nothing(people, csrf):
    held = {"cookie": sign_in(people).headers["set-cookie"].partition(";")[0]}
    assert people.post("/sign-out", data={"csrf": csrf}, headers=held).status_code == 403
    assert "Sign out" in people.get("/", headers=held).text

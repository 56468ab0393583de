"""Signing in with the master key: the cookie, where it leads, and what a form from elsewhere cannot do."""

import re
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.fakes.console import CONFIG, MASTER_KEY, RunningConsole
from trunkline.web.session import COOKIE, MAX_FORM_FIELDS, TRIES


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


@pytest.mark.parametrize("cookie", ["", "x", "x.y", "WyJhIiw5OTk5OTk5OTk5OTk5XQ==.0000", '"x.\\351"'])
def test_a_made_up_cookie_is_nobodys(people, cookie):
    answer = people.get("/", headers={"cookie": f"{COOKIE.format(port=8080)}={cookie}"})
    assert answer.status_code == 200
    assert "Sign out" not in answer.text


def test_gateways_at_two_ports_of_a_host_have_cookies_of_their_own(people, console):
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        other = RunningConsole(Path(folder), CONFIG.replace("[server]", "[server]\nport = 8081", 1))
        with other.client(None, accept="text/html") as elsewhere:
            cookies = [sign_in(one).headers["set-cookie"].partition(";")[0] for one in (people, elsewhere)]
        assert other.stop() == 0
    assert len({cookie.partition("=")[0] for cookie in cookies}) == 2
    assert "Sign out" in people.get("/", headers={"cookie": "; ".join(cookies)}).text


def test_a_form_of_too_many_fields_is_refused(people):
    answer = people.post("/sign-in", data={f"field{number}": "x" for number in range(MAX_FORM_FIELDS + 1)})
    assert answer.status_code == 400
    assert "more than 200 fields" in answer.text


@pytest.mark.parametrize(
    ("shown", "back"),
    [
        ("http://localhost:8080/platform/logs?model=a%2Fb", "/platform/logs?model=a%2Fb"),
        ("https://evil.example//evil.example/x", "/platform/logs"),
        ("http://[", "/platform/logs"),
        ("", "/platform/logs"),
    ],
)
def test_from_a_part_of_a_page_it_leads_back_to_the_page(people, shown, back):
    answer = people.get("/platform/logs/tail?mark=1", headers={"hx-request": "true", "hx-current-url": shown})
    where = parse_qs(urlsplit(answer.headers["hx-redirect"]).query).get("next", [""])[0]
    assert sign_in(people, next=where).headers["location"] == back


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

"""Signing in with an account of another provider: who joins, who is bound, who is refused, and what of a token is checked."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.console import CONFIG, RunningConsole
from tests.fakes.oidc import CLIENT_ID, CLIENT_SECRET, OidcProvider
from tests.fakes.people import MEMBERS, browser, signed_in

SECTION = """
[auth.oidc]
issuer = "ISSUER"
client_id = "trunkline"
client_secret = "s3cret/+"
name = "Acme"
allowed_domains = ["example.com"]
admin_emails = ["root@example.com"]
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    made = OidcProvider()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def gateway(provider: OidcProvider) -> Iterator[RunningConsole]:
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        config = CONFIG + SECTION.replace("ISSUER", provider.issuer)
        running = RunningConsole(Path(folder), config)
        yield running
        running.stop()


@pytest.fixture
def who(provider: OidcProvider) -> Iterator[OidcProvider]:
    """Alice signs in and nothing goes wrong, unless the test says else."""
    provider.claims = {"sub": "alice", "email": "Alice@example.com", "email_verified": True, "name": "Alice"}
    provider.more, provider.broken = {}, ""
    yield provider
    provider.more, provider.broken = {}, ""


@pytest.fixture
def people(gateway: RunningConsole, request: pytest.FixtureRequest):
    # An address of its own for each test: what goes wrong is counted by address.
    with browser(gateway, f"192.0.2.{request.session.items.index(request.node) % 250}") as made:
        yield made


def leave(people, next="/platform/keys"):
    """Off to the issuer: its address, and what the browser keeps."""
    answer = people.get("/sign-in/oidc", params={"next": next})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"], answer.headers["set-cookie"].partition(";")[0]


def come_back(people, provider):
    there, cookie = leave(people)
    back = provider.authorize(there).removeprefix("https://llm.example.com")
    return people.get(back, headers={"cookie": cookie})


def member(gateway, email):
    with gateway.client() as root:
        return root.get(MEMBERS, params={"text": email}).json()["data"][0]


def test_the_page_offers_it(people):
    assert "Sign in with Acme" in people.get("/sign-in").text


def test_whoever_has_an_address_of_the_domain_joins_and_comes_again(gateway, people, who):
    first = come_back(people, who)
    assert first.headers["location"] == "/platform/keys"
    signed_in(people, first)
    card = member(gateway, "alice@example.com")
    assert (card["name"], card["role"], card["state"], card["signs_in_with"]) == ("Alice", "member", "active", ["oidc"])
    who.claims["email"] = "alice.new@elsewhere.example"
    assert come_back(people, who).status_code == 303, "the account is known by its subject"
    assert member(gateway, "alice@example.com")["id"] == card["id"]


def test_those_who_are_named_are_administrators(gateway, people, who):
    who.claims |= {"sub": "root", "email": "root@example.com"}
    assert come_back(people, who).status_code == 303
    assert member(gateway, "root@example.com")["role"] == "admin"


def test_whoever_was_invited_is_bound_to_the_account(gateway, people, who):
    with gateway.client() as root:
        root.post(MEMBERS, json={"email": "guest@elsewhere.example", "role": "admin"})
    who.claims = {"sub": "guest", "email": "guest@elsewhere.example", "email_verified": True}
    assert come_back(people, who).status_code == 303
    assert member(gateway, "guest@")["state"] == "active"
    who.claims["sub"] = "another account with the same address"
    refused = come_back(people, who)
    assert (refused.status_code, "signs in with another account" in refused.text) == (403, True)


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"sub": "eve", "email": "eve@elsewhere.example", "email_verified": True}, "no member"),
        (
            {"sub": "eve", "email": "eve@example.com", "email_verified": False},
            "not say that the address of mail is verified",
        ),
        ({"sub": "eve", "email": "eve@example.com"}, "not say that the address of mail is verified"),
        ({"sub": "eve", "email": "eve@example.com.evil.example", "email_verified": True}, "no member"),
    ],
)
def test_strangers_are_refused(people, who, claims, words):
    who.claims = claims
    answer = come_back(people, who)
    assert (answer.status_code, words in answer.text) == (403, True), answer.text
    assert "trunkline_session_8080=" not in answer.headers.get("set-cookie", "")


def test_a_disabled_member_is_refused(gateway, people, who):
    who.claims |= {"sub": "off", "email": "off@example.com"}
    come_back(people, who)
    with gateway.client() as root:
        root.post(f"{MEMBERS}/{member(gateway, 'off@')['id']}/disable")
    answer = come_back(people, who)
    assert (answer.status_code, "disabled" in answer.text) == (403, True)


@pytest.mark.parametrize("broken", ["signature", "none"])
def test_a_token_that_the_issuer_did_not_sign_is_refused(people, who, broken):
    who.broken = broken
    answer = come_back(people, who)
    assert (answer.status_code, "signature" in answer.text) == (403, True), answer.text


@pytest.mark.parametrize(
    "more",
    [
        {"iss": "https://evil.example"},
        {"aud": "another client"},
        {"nonce": "of another signing in"},
        {"exp": 1_700_000_000},
        {"azp": "another client"},
        {"at_hash": "bm90IHRoZSBoYXNo"},
    ],
)
def test_a_token_that_is_for_somebody_or_something_else_is_refused(people, who, more):
    who.more = more
    answer = come_back(people, who)
    assert (answer.status_code, "is not good" in answer.text) == (403, True), answer.text


def test_a_state_of_another_browser_is_refused(people, who):
    there, _ = leave(people)
    back = who.authorize(there).removeprefix("https://llm.example.com")
    _, cookie = leave(people)
    for held in ({}, {"cookie": cookie}):
        answer = people.get(back, headers=held)
        assert (answer.status_code, "not begun in this browser" in answer.text) == (403, True)


def test_a_made_up_cookie_is_no_beginning(people, who):
    there, cookie = leave(people)
    back = who.authorize(there).removeprefix("https://llm.example.com")
    assert people.get(back, headers={"cookie": cookie[:-1] + ("0" if cookie[-1] != "0" else "1")}).status_code == 403


def test_a_code_works_once(people, who):
    there, cookie = leave(people)
    back = who.authorize(there).removeprefix("https://llm.example.com")
    assert people.get(back, headers={"cookie": cookie}).status_code == 303
    assert people.get(back, headers={"cookie": cookie}).status_code == 403


def test_an_answer_of_another_issuer_is_refused(people, who):
    there, cookie = leave(people)
    back = who.authorize(there).removeprefix("https://llm.example.com").partition("&iss=")[0]
    answer = people.get(f"{back}&iss=https%3A%2F%2Fevil.example", headers={"cookie": cookie})
    assert (answer.status_code, "another issuer" in answer.text) == (403, True)


def test_who_says_no_over_there_is_told_so(people, who):
    there, cookie = leave(people)
    state = there.partition("state=")[2].partition("&")[0]
    answer = people.get(f"/sign-in/oidc/callback?error=access_denied&state={state}", headers={"cookie": cookie})
    assert (answer.status_code, "access_denied" in answer.text) == (403, True)


def test_the_address_may_stand_in_userinfo_of_the_same_person_alone(gateway, people, who):
    who.claims |= {"sub": "thin", "email": "thin@example.com"}
    who.broken = "userinfo"
    assert come_back(people, who).status_code == 403
    who.broken = "thin"
    assert come_back(people, who).status_code == 303
    assert member(gateway, "thin@")["email"] == "thin@example.com"


def test_where_it_leads_is_this_site(people, who):
    there, cookie = leave(people, next="//evil.example")
    back = who.authorize(there).removeprefix("https://llm.example.com")
    assert people.get(back, headers={"cookie": cookie}).headers["location"] == "/platform/logs"


def test_the_secret_is_told_nowhere(gateway, people, who):
    assert CLIENT_ID in (there := leave(people)[0])
    assert CLIENT_SECRET not in there
    with browser(gateway) as root:
        from tests.fakes.people import sign_in_with_master_key

        page = sign_in_with_master_key(root).get("/platform/settings").text
    assert "client_secret" in page
    assert CLIENT_SECRET not in page


def test_without_the_setting_there_is_nothing(console):
    with browser(console) as people:
        assert people.get("/sign-in/oidc").status_code == 404


def test_an_issuer_that_calls_itself_something_else_is_refused():
    provider = OidcProvider()
    provider.broken = "issuer"
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        running = RunningConsole(Path(folder), CONFIG + SECTION.replace("ISSUER", provider.issuer))
        with browser(running) as people:
            answer = people.get("/sign-in/oidc")
            assert (answer.status_code, "calls itself" in answer.text) == (403, True)
            provider.stop()
            answer = people.get("/sign-in/oidc")
            assert (answer.status_code, "cannot be asked" in answer.text) == (403, True)
        running.stop()

"""Members sign in: the first link, invitations, passwords, sessions that end, tries that are counted."""

import tempfile
from pathlib import Path

import pytest

from tests.fakes.console import CONFIG, MASTER_KEY, RunningConsole
from tests.fakes.people import (
    MEMBERS,
    PASSWORD,
    browser,
    joined,
    member_browser,
    sign_in,
    sign_in_with_master_key,
    signed_in,
)
from tests.fakes.used import words
from trunkline.api.management.sessions import ACCOUNT_TRIES, TRIES
from trunkline.cli.main import run


@pytest.fixture
def people(console):
    with browser(console) as made:
        yield made


@pytest.fixture(scope="module")
def alice(console):
    with member_browser(console, "alice@example.com", "admin") as made:
        yield made


def invited(client, email: str, **more: str) -> str:
    answer = client.post(MEMBERS, json={"email": email, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]["link"]


def test_the_first_link_makes_the_first_administrator_once(capsys, monkeypatch):
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        fresh = RunningConsole(Path(folder), CONFIG)
        monkeypatch.setenv("MASTER_KEY", MASTER_KEY)
        assert run(["members", "first-link", "--config", str(fresh.config)]) == 0
        link = capsys.readouterr().out.strip()
        assert link.startswith("https://llm.example.com/sign-in/first?token=")
        with browser(fresh) as people:
            assert "The first administrator" in people.get(link.removeprefix("https://llm.example.com")).text
            short = joined(people, link, email="alice@example.com", name="Alice", password="short", again="short")
            assert (short.status_code, "12 characters" in short.text) == (400, True)
            signed_in(people, joined(people, link, email="Alice@Example.com", name="Alice"))
            assert "Alice" in people.get("/platform/members").text
            assert joined(people, link, email="bob@example.com", name="Bob").status_code == 403
        assert run(["members", "first-link", "--config", str(fresh.config)]) == 1
        assert fresh.stop() == 0


def test_an_invitation_makes_a_member_who_can_sign_in_again(client, people):
    answer = joined(people, invited(client, "bob@example.com"), name="Bob")
    signed_in(people, answer)
    assert "Bob" in words(people.get("/platform/account").text)
    assert sign_in(people, " BOB@example.com ").status_code == 303


def test_a_link_is_not_used_up_by_looking_at_it_and_then_works_once(client, people):
    link = invited(client, "carol@example.com")
    path = link.removeprefix("https://llm.example.com")
    assert [people.get(path).status_code for _ in range(2)] == [200, 200]
    assert joined(people, link, name="Carol").status_code == 303
    assert people.get(path).status_code == 403
    assert joined(people, link, name="Mallory").status_code == 403


@pytest.mark.parametrize("path", ["/sign-in/first", "/sign-in/password"])
def test_a_link_of_one_kind_is_none_of_another(client, people, path):
    token = invited(client, f"dave{len(path)}@example.com").partition("token=")[2]
    assert (
        people.post(
            path, data={"token": token, "password": PASSWORD, "email": "e@example.com", "name": "E"}
        ).status_code
        == 403
    )


def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(alice, people):
    people.headers["x-trunkline-peer"] = "192.0.2.60"
    wrong, unknown = (
        sign_in(people, email, "not the password") for email in ("alice@example.com", "nobody@example.com")
    )
    assert wrong.status_code == unknown.status_code == 403
    assert "do not belong together" in wrong.text
    assert wrong.text.replace("alice@", "nobody@") == unknown.text
    assert "set-cookie" not in wrong.headers


def test_wrong_passwords_of_an_account_are_counted_over_all_addresses(client, people):
    joined(people, invited(client, "erin@example.com"), name="Erin")
    for number in range(ACCOUNT_TRIES):
        assert (
            sign_in(people, "erin@example.com", "wrong", **{"x-trunkline-peer": f"192.0.2.{100 + number}"}).status_code
            == 403
        )
    assert sign_in(people, "erin@example.com", **{"x-trunkline-peer": "192.0.2.200"}).status_code == 429
    assert sign_in(people, "bob@example.com", "wrong", **{"x-trunkline-peer": "192.0.2.200"}).status_code == 403
    failed = client.get("/api/v1/management/audit?action=sign_in.failed&limit=200").json()["data"]
    assert any(act["address"] == f"192.0.2.{99 + ACCOUNT_TRIES}" for act in failed), "and they are in the log"


def test_links_that_do_not_hold_are_counted_too(people):
    people.headers["x-trunkline-peer"] = "192.0.2.61"
    for _ in range(TRIES):
        assert people.get("/sign-in/join?token=made-up").status_code == 403
    assert people.get("/sign-in/join?token=made-up").status_code == 429


def test_a_link_for_a_new_password_ends_the_sessions_of_the_old_one(client, console, people):
    with member_browser(console, "frank@example.com") as frank:
        (card,) = client.get(MEMBERS, params={"text": "frank@"}).json()["data"]
        link = client.post(f"{MEMBERS}/{card['id']}/password-link").json()["data"]["link"]
        assert joined(people, link, password="another horse battery", again="another horse battery").status_code == 303
        assert frank.get("/platform/account").status_code == 303, "signed out"
    assert sign_in(people, "frank@example.com").status_code == 403
    assert sign_in(people, "frank@example.com", "another horse battery").status_code == 303


def test_a_member_changes_their_password_and_stays_signed_in_here_alone(console, people):
    with member_browser(console, "grace@example.com") as grace:
        signed_in(people, sign_in(people, "grace@example.com"))
        form = {"old": "not this", "password": "a new password of mine", "again": "a new password of mine"}
        refused = grace.post("/platform/account/password", data=form)
        assert (refused.status_code, "not your password" in refused.text) == (400, True)
        assert grace.post("/platform/account/password", data={**form, "old": PASSWORD}).status_code == 303
        assert grace.get("/platform/account").status_code == 200
        assert people.get("/platform/account").status_code == 303


def test_a_member_ends_their_other_sessions(console, people):
    with member_browser(console, "heidi@example.com") as heidi:
        signed_in(people, sign_in(people, "heidi@example.com"))
        key = people.post("/platform/session-key").json()["key"]
        assert heidi.post("/platform/account/sign-out-others").status_code == 303
        assert people.get("/platform/account").status_code == 303
        with console.client(key) as other:
            assert other.get("/api/v1/generation?id=none").status_code == 403, "the key of the page ended with it"


def test_a_disabled_member_is_out_at_once(client, console):
    with member_browser(console, "ivan@example.com") as ivan:
        key = ivan.post("/platform/session-key").json()["key"]
        (card,) = client.get(MEMBERS, params={"text": "ivan@"}).json()["data"]
        assert client.post(f"{MEMBERS}/{card['id']}/disable").json()["data"]["state"] == "disabled"
        assert ivan.get("/platform/account").status_code == 303
        with console.client(key) as other:
            assert other.get("/api/v1/generation?id=none").status_code == 403
        assert sign_in(ivan, "ivan@example.com").status_code == 403


def test_sessions_outlive_the_console():
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        first = RunningConsole(Path(folder), CONFIG)
        with browser(first) as people:
            cookie = sign_in_with_master_key(people).headers["cookie"]
        assert first.stop() == 0
        (Path(folder) / "console.sock").unlink(missing_ok=True)
        second = RunningConsole(Path(folder), CONFIG)
        with browser(second) as people:
            assert people.get("/platform/logs", headers={"cookie": cookie}).status_code == 200
        assert second.stop() == 0


def test_the_cookie_is_not_in_the_store(console, alice):
    value = alice.headers["cookie"].partition("=")[2]
    assert len(value) > 40
    for path in console.folder.glob("trunkline.db*"):
        assert value.encode() not in path.read_bytes()


def test_a_member_without_a_password_cannot_sign_in_with_an_empty_one(client, people):
    people.headers["x-trunkline-peer"] = "192.0.2.62"
    invited(client, "judy@example.com")
    assert sign_in(people, "judy@example.com", "").status_code == 403


def test_the_head_of_a_page_leads_a_member_to_what_they_may_do(console, alice):
    with member_browser(console, "mallory@example.com") as member:
        page = member.get("/platform/account").text
        assert 'href="/platform/members"' not in page
        assert 'href="/platform/settings"' not in page
        assert 'href="/platform/keys"' in page
        for path in ("/platform/members", "/platform/audit", "/platform/settings", "/platform/routing"):
            answer = member.get(path)
            assert (answer.status_code, "Your role may not" in answer.text) == (403, True)
    assert 'href="/platform/members"' in alice.get("/platform/account").text

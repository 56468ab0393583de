"""`/platform/members`: invite, look, change, disable; the link is shown once."""

import re

import pytest

from tests.fakes.people import MEMBERS, browser, joined, member_browser, sign_in_with_master_key
from tests.fakes.used import words

PATH = "/platform/members"


@pytest.fixture(scope="module")
def admin(console):
    with member_browser(console, "alice@example.com", "admin") as made:
        yield made


def id_of(client, email):
    return client.get(MEMBERS, params={"text": email}).json()["data"][0]["id"]


def test_an_administrator_invites_somebody_who_joins(console, admin):
    page = admin.post(PATH, data={"email": "bob@example.com", "name": "Bob", "role": "member"})
    assert page.status_code == 200
    link = re.search(r'id="secret">([^<]+)<', page.text)[1]
    with browser(console) as people:
        assert joined(people, link, name="Robert").status_code == 303
    page = admin.get(PATH)
    assert "Robert bob@example.com Member active password" in words(page.text)
    assert link.partition("token=")[2] not in page.text


@pytest.mark.parametrize(
    ("email", "fault"), [("nobody", "must be an address of mail"), ("alice@example.com", "is a member already")]
)
def test_what_is_wrong_is_told_and_what_was_typed_stays(admin, email, fault):
    page = admin.post(PATH, data={"email": email, "name": "Typed", "role": "member"})
    assert page.status_code == 400
    assert fault in page.text
    assert 'value="Typed"' in page.text


def test_a_member_is_changed(client, admin):
    admin.post(PATH, data={"email": "carol@example.com", "role": "member"})
    id_ = id_of(client, "carol@")
    answer = admin.post(f"{PATH}/{id_}", data={"name": "Carol", "role": "admin"})
    assert "Carol is changed" in admin.get(answer.headers["location"]).text
    assert client.get(f"{MEMBERS}/{id_}").json()["data"]["role"] == "admin"


def test_a_member_is_disabled_and_let_in_again(client, console, admin):
    with member_browser(console, "dave@example.com") as dave:
        id_ = id_of(client, "dave@")
        assert "Disable Dave" in words(admin.get(f"{PATH}/{id_}").text)
        admin.post(f"{PATH}/{id_}/disable")
        assert dave.get("/platform/account").status_code == 303
        assert "cannot sign in" in admin.get(f"{PATH}/{id_}").text
        admin.post(f"{PATH}/{id_}/enable")
        assert "active" in words(admin.get(f"{PATH}/{id_}").text)


def test_the_last_administrator_stays_one(client, console):
    with browser(console) as people:
        root = sign_in_with_master_key(people)
        for card in client.get(MEMBERS, params={"role": "admin", "state": "active"}).json()["data"]:
            answer = root.post(f"{PATH}/{card['id']}/disable")
        assert (answer.status_code, "last administrator" in answer.text) == (409, True)
        client.post(f"{MEMBERS}/{id_of(client, 'alice@')}/enable")


def test_without_the_token_nothing_is_done(console, client):
    with member_browser(console, "erin@example.com", "admin") as erin:
        del erin.headers["x-csrf-token"]
        assert erin.post(PATH, data={"email": "frank@example.com", "role": "member"}).status_code == 403
    assert client.get(MEMBERS, params={"text": "frank@"}).json()["data"] == []


def test_a_name_is_text(console, client):
    client.post(MEMBERS, json={"email": "grace@example.com", "name": "<script>alert(1)</script>"})
    with browser(console) as people:
        page = sign_in_with_master_key(people).get(PATH).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page

"""`/platform/keys/ID`: what a key may do, changed by a form; a new secret in place of it."""

import re

import pytest

from tests.fakes.console import RunningConsole
from tests.fakes.used import reader, words

PATH = "/platform/keys"
KEYS = "/api/v1/management/keys"
NASTY = '<script>alert("1")</script>'


@pytest.fixture
def people(console: RunningConsole):
    with reader(console) as client:
        yield client


def a_key(client, **fields) -> dict:
    return client.post(KEYS, json={"name": "laptop"} | fields).json()


def form(people, **fields: str) -> dict[str, str]:
    return {"csrf": people.headers["x-csrf-token"], "name": "laptop", **fields}


def test_it_is_made_with_rules(people, client):
    answer = people.post(
        PATH,
        data=form(
            people,
            name="with rules",
            models="acme/alpha, acme/*",
            providers="acme",
            requests_per_minute="1,000",
            no_training="on",
            **{"protocol.gemini": "on"},
        ),
    )
    assert answer.status_code == 200, words(answer.text)
    (card,) = client.get(KEYS, params={"text": "with rules"}).json()["data"]
    assert card["rules"]["models"] == ["acme/alpha", "acme/*"]
    assert card["rules"]["requests_per_minute"] == 1000
    assert card["rules"]["protocols"] == ["gemini"]
    assert card["rules"]["data_policy"]["no_training"] is True
    assert "2 models · 1 provider · 1 protocol · 1,000 requests/min · data policy" in words(people.get(PATH).text)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"models": "acme/alpa"}, "did you mean acme/alpha"),
        ({"models": NASTY}, "there is no model"),
        ({"requests_per_minute": "many"}, "Requests_per_minute: input should be a valid integer"),
        ({"kind": "root"}, "Kind: input should be"),
        ({"member_id": "mem_none"}, "there is no member mem_none"),
    ],
)
def test_a_wrong_rule_is_told_and_what_was_typed_kept(people, fields, said):
    answer = people.post(PATH, data=form(people, name="kept name", **fields))
    assert answer.status_code == 400
    assert said in words(answer.text)
    assert 'value="kept name"' in answer.text
    assert NASTY not in answer.text


def test_the_form_shows_the_rules_and_changes_them(people, client):
    card = a_key(client, rules={"models": ["acme/alpha"], "concurrency": 3}, expires_in_s=86_400)
    page = people.get(f"{PATH}/{card['id']}").text
    assert re.search(r'name="concurrency"[^>]*value="3"', page)
    assert "acme/alpha</textarea>" in page
    until = re.search(r'name="until"[^>]*value="([^"]+)"', page)[1]
    answer = people.post(f"{PATH}/{card['id']}", data=form(people, name="desk", until=until, concurrency="5"))
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PATH}/{card['id']}?changed=1")
    changed = client.get(f"{KEYS}/{card['id']}").json()
    assert (changed["name"], changed["rules"]["concurrency"], changed["rules"]["models"]) == ("desk", 5, [])
    assert changed["expires_at"] == card["expires_at"], "an end that was not touched stays to the second"
    people.post(f"{PATH}/{card['id']}", data=form(people))
    assert client.get(f"{KEYS}/{card['id']}").json()["expires_at"] is None


def test_a_rotated_key_is_shown_once_with_the_end_of_the_old_one(people, client):
    card = a_key(client)
    answer = people.post(f"{PATH}/{card['id']}/rotate", data=form(people, overlap="3600"))
    secret = re.search(r'<code id="secret">(sk-tl-[^<]+)</code>', answer.text)[1]
    assert f"…{card['hint']} ends" in words(answer.text)
    (new,) = [
        one for one in client.get(KEYS, params={"limit": 500}).json()["data"] if one["rotated_from"] == card["id"]
    ]
    assert new["hint"] == secret[-4:]
    assert client.get(f"{KEYS}/{card['id']}").json()["expires_at"]
    assert people.post(f"{PATH}/{card['id']}/rotate", data=form(people, overlap="5")).status_code == 400


@pytest.mark.parametrize("path", [f"{PATH}/key_1", f"{PATH}/key_1/rotate"])
def test_a_form_of_another_site_changes_nothing(people, path):
    del people.headers["x-csrf-token"]
    assert people.post(path, data={"name": "evil", "csrf": "0" * 64}).status_code == 403


def test_a_key_that_is_not_there_is_a_404(people):
    for path in (f"{PATH}/key_none", f"{PATH}/{NASTY}"):
        answer = people.get(path)
        assert answer.status_code == 404
        assert "<script>alert" not in answer.text


def test_the_list_is_filtered(people, client):
    a_key(client, name="needle one")
    page = people.get(PATH, params={"text": "needle"}).text
    assert "needle one" in page
    assert "with rules" not in page
    assert "No key is so" in people.get(PATH, params={"text": NASTY}).text

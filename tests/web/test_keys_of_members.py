"""Keys, budgets and kept keys of providers by role: a member's own, an administrator's organisation's, and nothing of another organisation."""

import pytest

from tests.fakes.people import member_browser
from tests.fakes.used import words

API = "/api/v1/management"
KEYS, BUDGETS, PROVIDERS = "/platform/keys", "/platform/budgets", "/platform/providers"
SECRET = "sk-a-key-of-openai-0123456789"


@pytest.fixture(scope="module")
def world(console):
    """Alice and Bob are members of the first organisation, Root its administrator, Kim the administrator of another one."""
    with console.client() as root:
        org = root.post(f"{API}/organisations", json={"name": "other"}).json()["data"]["id"]
        with (
            member_browser(console, "alice@example.com") as alice,
            member_browser(console, "bob@example.com") as bob,
            member_browser(console, "root@example.com", "admin") as admin,
            member_browser(console, "kim@example.com", "admin", org) as kim,
        ):
            yield {"alice": alice, "bob": bob, "root": admin, "kim": kim}


def form(people, **fields: str) -> dict[str, str]:
    return {"csrf": people.headers["x-csrf-token"], **fields}


def made(people, name: str) -> dict:
    """A key, made on the page."""
    answer = people.post(KEYS, data=form(people, name=name))
    assert answer.status_code == 200, words(answer.text)
    (card,) = people.get(f"{API}/keys", params={"text": name}).json()["data"]
    return card


def test_each_sees_the_keys_that_are_theirs(world):
    for name in ("alice", "bob", "kim"):
        made(world[name], f"seen of {name}")
    seen = {
        who: {name for name in ("alice", "bob", "kim") if f"seen of {name}" in world[who].get(KEYS).text}
        for who in world
    }
    assert seen == {"alice": {"alice"}, "bob": {"bob"}, "root": {"alice", "bob"}, "kim": {"kim"}}


def test_a_key_of_a_member_is_the_members(world):
    card = made(world["alice"], "whose")
    assert card["member_id"]
    assert card["kind"] == "inference"
    page = world["root"].get(f"{KEYS}?member={card['member_id']}").text
    assert "whose" in page
    assert "seen of bob" not in page


def test_nobody_changes_rotates_or_revokes_a_key_of_others(world):
    card = made(world["bob"], "untouched")
    for who in ("alice", "kim"):
        people = world[who]
        assert people.get(f"{KEYS}/{card['id']}").status_code == 404
        for act in ("", "/rotate", "/revoke"):
            answer = people.post(f"{KEYS}/{card['id']}{act}", data=form(people, name="taken", overlap="0"))
            assert answer.status_code == 404
    after = world["bob"].get(f"{API}/keys/{card['id']}").json()
    assert (after["name"], after["state"], after["expires_at"]) == ("untouched", "valid", None)
    assert world["root"].post(f"{KEYS}/{card['id']}/revoke", data=form(world["root"])).status_code == 303


@pytest.mark.parametrize("fields", [{"kind": "management"}, {"member_id": "mem_of_somebody_else"}])
def test_a_member_makes_no_key_that_opens_more(world, fields):
    people = world["alice"]
    answer = people.post(KEYS, data=form(people, name="more", **fields))
    assert answer.status_code == 400
    assert people.get(f"{API}/keys", params={"text": "more"}).json()["data"] == []
    assert 'name="kind"' not in people.get(KEYS).text


def test_a_member_sees_own_budgets_and_those_of_own_keys_and_sets_none(world):
    alice, bob, root = world["alice"], world["bob"], world["root"]
    keys = {who: made(world[who], f"budget of {who}") for who in ("alice", "bob")}
    for who, limit in (("alice", "11"), ("bob", "22")):
        answer = root.post(
            BUDGETS, data=form(root, of=f"key:{keys[who]['id']}", limit=limit, period="day", alerts="80")
        )
        assert answer.status_code == 303
    of_alice = form(root, of=f"member:{keys['alice']['member_id']}", limit="33", period="day", alerts="80")
    assert root.post(BUDGETS, data=of_alice).status_code == 303
    page = words(alice.get(BUDGETS).text)
    assert "$11.00" in page
    assert "$33.00" in page
    assert "$22.00" not in page
    assert "Set the budget" not in page
    assert alice.post(BUDGETS, data=form(alice, of="organisation:org_default", limit="1")).status_code == 403
    of_bob = bob.get(f"{API}/budgets").json()["data"][0]["id"]
    assert alice.get(f"{BUDGETS}/{of_bob}").status_code == 404
    for act in ("", "/end"):
        assert bob.post(f"{BUDGETS}/{of_bob}{act}", data=form(bob, limit="9", alerts="80")).status_code == 403
    assert "$22.00" not in words(world["kim"].get(BUDGETS).text)


def test_a_member_keeps_a_key_of_a_provider_for_the_own_requests_alone(world):
    alice = world["alice"]
    page = words(alice.get(PROVIDERS).text)
    assert "Your own keys of providers" in page
    assert "Take the file over" not in page
    assert "OPENAI_API_KEY" not in page
    kept = alice.post("/platform/credentials", data=form(alice, provider="openai", secret=SECRET, name="of alice"))
    assert kept.status_code == 303
    (card,) = alice.get(f"{API}/credentials").json()["data"]
    assert card["member_id"]
    assert "of alice" in world["root"].get(PROVIDERS).text
    for who in ("bob", "kim"):
        assert "of alice" not in world[who].get(PROVIDERS).text
        assert world[who].get(f"/platform/credentials/{card['id']}").status_code == 404
        answer = world[who].post(f"/platform/credentials/{card['id']}/revoke", data=form(world[who]))
        assert answer.status_code == 404


def test_a_member_tests_no_provider_and_takes_no_file_over(world):
    alice = world["alice"]
    test = form(alice, offer="acme/alpha:acme")
    assert alice.post(f"{PROVIDERS}/acme/test", data=test).status_code == 403
    assert alice.post("/platform/reload", data=form(alice)).status_code == 403

"""Members see what they asked themselves, administrators what their organisation did: in logs, use, cost, records and files of them."""

import time

import pytest

from tests.fakes.people import MEMBERS, browser, member_browser, sign_in_with_master_key
from tests.fakes.used import a_use, words

API = "/api/v1/management"


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
            people = {"alice": alice, "bob": bob, "root": admin, "kim": kim}
            keys = {
                name: people[name].post(f"{API}/keys", json={"name": f"key of {name}"}).json()["id"]
                for name in ("alice", "bob", "kim")
            }
            console.keep(
                *(
                    a_use(number, usd=number, key_id=key_id, session_id="")
                    for number, key_id in enumerate([keys["alice"], keys["bob"], keys["kim"], "master"], 1)
                )
            )
            yield people, keys


PLACES = (
    "/platform/logs/{}",
    *(f"/platform/logs/{{}}/{part}" for part in ("curl", "replay", "bodies/0")),
    "/platform/logs?id={}",
)
RECORDS = {"alice": 1, "bob": 2, "kim": 3, "master": 4}
SEEN = {"alice": {"alice"}, "bob": {"bob"}, "root": {"alice", "bob", "master"}, "kim": {"kim"}}


def record(name: str) -> str:
    return f"req_{RECORDS[name]:06}"


@pytest.mark.parametrize("who", list(SEEN))
def test_the_logs_show_ones_own(world, who):
    page = world[0][who].get("/platform/logs").text
    assert {name for name in RECORDS if record(name) in page} == SEEN[who]


@pytest.mark.parametrize("who", list(SEEN))
def test_what_comes_in_meanwhile_too(world, who):
    part = world[0][who].get("/platform/logs/tail?mark=0", headers={"hx-request": "true"}).text
    assert {name for name in RECORDS if record(name) in part} == SEEN[who]


@pytest.mark.parametrize("who", list(SEEN))
@pytest.mark.parametrize("path", PLACES)
def test_a_request_of_others_is_not_there(world, who, path):
    for name in RECORDS:
        answer = world[0][who].get(path.format(record(name)))
        if name not in SEEN[who]:
            assert (answer.status_code, record(name) in answer.text) == (404, True)
        elif path in ("/platform/logs/{}", "/platform/logs?id={}"):
            assert answer.status_code in (200, 303)


@pytest.mark.parametrize("who", list(SEEN))
@pytest.mark.parametrize("page", ["usage", "cost"])
def test_use_and_cost_are_ones_own(world, who, page):
    client, keys = world[0][who], world[1]
    file = client.get(f"/platform/{page}", params={"by": "key", "format": "csv"}).text
    assert ("key of alice" in file) == ("alice" in SEEN[who])
    assert ("key of bob" in file) == ("bob" in SEEN[who])
    assert ("key of kim" in file) == ("kim" in SEEN[who])
    assert ("master key" in file) == ("master" in SEEN[who])
    by_model = client.get("/platform/cost", params={"by": "model", "format": "csv"}).text
    total = sum(RECORDS[name] for name in SEEN[who])
    assert f"acme/alpha,{total}" in by_model
    for name, key in keys.items():
        status = client.get(f"/platform/{page}", params={"key": key}).status_code
        assert status == (200 if name in SEEN[who] else 404)
        assert client.get("/platform/logs", params={"key": key}).status_code == status


@pytest.mark.parametrize("who", list(SEEN))
def test_others_keys_are_not_offered_as_a_filter(world, who):
    for path in ("/platform/logs", "/platform/usage"):
        page = world[0][who].get(path).text
        assert {name for name, key in world[1].items() if f'value="{key}"' in page} == SEEN[who] - {"master"}


@pytest.mark.parametrize("who", list(SEEN))
def test_the_api_gives_ones_own_records(world, who):
    client = world[0][who]
    found = client.get(f"{API}/records").json()
    assert {one["id"] for one in found["data"]} == {record(name) for name in SEEN[who]}
    paged = client.get(f"{API}/records", params={"limit": 1}).json()
    rest = client.get(f"{API}/records", params={"before": paged["next"]}).json() if paged["next"] else {"data": []}
    assert len(paged["data"]) + len(rest["data"]) == len(SEEN[who])
    for name in RECORDS:
        status = client.get("/api/v1/generation", params={"id": record(name)}).status_code
        assert status == (200 if name in SEEN[who] else 404)


def test_the_master_key_sees_everything(console, world):
    with browser(console) as people:
        page = sign_in_with_master_key(people).get("/platform/logs").text
    assert all(record(name) in page for name in RECORDS)


def test_what_a_member_asks_in_the_chat_is_their_own(console, world):
    alice, bob = world[0]["alice"], world[0]["bob"]
    alice.post("/platform/session-key")
    own = alice.get(f"{API}/keys").json()["data"]
    assert "console session" in {card["name"] for card in own}
    assert "console session" not in {card["name"] for card in bob.get(f"{API}/keys").json()["data"]}


def test_a_page_without_anything_of_ones_own_is_one(console, world):
    with member_browser(console, f"new{int(time.time())}@example.com") as new:
        for path in ("/platform/logs", "/platform/usage", "/platform/cost", "/platform/keys"):
            answer = new.get(path)
            assert answer.status_code == 200
            assert "acme/alpha:acme" not in words(answer.text)
        assert new.get(MEMBERS).status_code == 403

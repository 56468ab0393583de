"""`/api/v1/management/keys`: what a key may do, by whom it is changed; rotation, repeated calls, filters and pages of the list."""

import pytest

KEYS = "/api/v1/management/keys"


def made(client, **fields) -> dict:
    answer = client.post(KEYS, json={"name": "app"} | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_rules_are_kept_with_slugs_and_shown(client):
    rules = {
        "models": ["Alpha", "acme/*"],
        "providers": ["Acme & Sons", "OpenAI"],
        "protocols": ["openai.chat"],
        "requests_per_minute": 60,
        "tokens_per_minute": 10_000,
        "concurrency": 3,
        "data_policy": {"no_training": True, "zero_retention": False, "region": "eu"},
    }
    rules["models"] = ["acme/alpha", "acme/*"]
    card = made(client, rules=rules)
    assert card["rules"] == rules | {"providers": ["acme", "openai"]}
    assert client.get(f"{KEYS}/{card['id']}").json()["rules"] == card["rules"]


@pytest.mark.parametrize(
    ("rules", "param", "said"),
    [
        ({"models": ["acme/alpa"]}, "rules.models", "did you mean acme/alpha"),
        ({"models": ["acmee/*"]}, "rules.models", "did you mean acme"),
        ({"models": ["acme/alpha:acme"]}, "rules.models", "write 'acme/alpha'"),
        ({"providers": ["opnai"]}, "rules.providers", "did you mean openai"),
        ({"protocols": ["smtp"]}, "rules.protocols.0", "openai.chat"),
        ({"requests_per_minute": 0}, "rules.requests_per_minute", "greater than or equal to 1"),
        ({"concurrency": -1}, "rules.concurrency", "greater than or equal to 1"),
        ({"data_policy": {"region": "e u"}}, "rules.data_policy.region", "pattern"),
        ({"budget": 1}, "rules.budget", "Extra inputs"),
    ],
)
def test_a_wrong_rule_is_named_with_its_mend(client, rules, param, said):
    answer = client.post(KEYS, json={"name": "x", "rules": rules})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert said in answer.json()["error"]["message"]


def test_only_what_is_named_is_changed(client):
    card = made(client, rules={"models": ["acme/alpha"], "concurrency": 3}, expires_in_s=3600)
    changed = client.patch(f"{KEYS}/{card['id']}", json={"rules": {"concurrency": None}, "name": "new name"}).json()
    assert (changed["name"], changed["rules"]["concurrency"]) == ("new name", None)
    assert changed["rules"]["models"] == ["acme/alpha"]
    assert changed["expires_at"] == card["expires_at"]
    for policy in ({"no_training": True}, {"region": "eu"}):
        changed = client.patch(f"{KEYS}/{card['id']}", json={"rules": {"data_policy": policy}}).json()
    assert changed["rules"]["data_policy"] == {"no_training": True, "zero_retention": False, "region": "eu"}
    assert client.patch(f"{KEYS}/{card['id']}", json={"expires_at": None}).json()["expires_at"] is None


def test_what_has_ended_cannot_be_changed_or_rotated(client):
    card = made(client)
    client.delete(f"{KEYS}/{card['id']}")
    for answer in (
        client.patch(f"{KEYS}/{card['id']}", json={"name": "x"}),
        client.post(f"{KEYS}/{card['id']}/rotate", json={}),
    ):
        assert (answer.status_code, "was revoked" in answer.json()["error"]["message"]) == (400, True)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2027-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "9999-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2027-01-01T00:00:00Z", "expires_in_s": 5}, "body"),
        ({"project_id": "prj_none"}, "project_id"),
        ({"member_id": "mem_none"}, "member_id"),
        ({"organisation": "org_none"}, "organisation"),
    ],
)
def test_what_does_not_go_together_or_is_not_there_is_refused(client, fields, param):
    answer = client.post(KEYS, json={"name": "x"} | fields)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == param


def test_a_rotated_key_has_its_rules_and_the_lifetime_of_the_old_one(client):
    old = made(client, rules={"concurrency": 3}, expires_in_s=86_400, zero_retention=True)
    new = client.post(f"{KEYS}/{old['id']}/rotate", json={"overlap_s": 60}).json()
    assert new["secret"] != old["secret"]
    assert (new["rules"], new["zero_retention"], new["rotated_from"]) == (old["rules"], True, old["id"])
    assert new["expires_at"] >= old["expires_at"]
    ends = client.get(f"{KEYS}/{old['id']}").json()["expires_at"]
    assert ends < old["expires_at"]
    third = client.post(f"{KEYS}/{new['id']}/rotate", json={}).json()
    assert third["rotated_from"] == old["id"], "the first of them, of which budgets are"


def test_making_twice_with_one_idempotency_key_makes_one(client, console):
    headers, body = {"Idempotency-Key": "make-1"}, {"name": "once", "expires_in_s": 3600}
    first, second = (client.post(KEYS, json=body, headers=headers) for _ in range(2))
    assert first.json() == second.json()
    assert len(client.get(KEYS, params={"text": "once"}).json()["data"]) == 1
    other = client.post(KEYS, json={**body, "name": "twice"}, headers=headers)
    assert (other.status_code, other.json()["error"]["param"]) == (422, "Idempotency-Key")
    management = made(client, kind="management")["secret"]
    with console.client(management) as someone_else:
        theirs = someone_else.post(KEYS, json=body, headers=headers).json()
    assert theirs["secret"] != first.json()["secret"]


def test_rotating_twice_with_one_idempotency_key_rotates_once(client):
    old = made(client)
    path, headers = f"{KEYS}/{old['id']}/rotate", {"Idempotency-Key": "rotate-1"}
    first, second = (client.post(path, json={}, headers=headers).json() for _ in range(2))
    assert (first["id"], first["secret"]) == (second["id"], second["secret"])
    found = client.get(KEYS, params={"state": "valid", "limit": 500}).json()["data"]
    assert len([one for one in found if one["rotated_from"] == old["id"]]) == 1


def test_the_list_comes_in_pages_and_by_what_is_asked(client):
    names = [made(client, name=f"page {number} 50%")["id"] for number in range(5)]
    client.delete(f"{KEYS}/{names[0]}")
    first = client.get(KEYS, params={"text": "50%", "limit": 3}).json()
    rest = client.get(KEYS, params={"text": "50%", "limit": 3, "after": first["next"]}).json()
    assert [one["id"] for one in first["data"] + rest["data"]] == names[::-1]
    assert rest["next"] is None
    states = client.get(KEYS, params={"text": "50%", "state": "revoked"}).json()["data"]
    assert [one["id"] for one in states] == names[:1]
    assert client.get(KEYS, params={"text": names[2]}).json()["data"][0]["id"] == names[2]


def test_a_management_key_manages_and_opens_no_other_organisation(client, console):
    org = client.post("/api/v1/management/organisations", json={"name": "Other"}).json()["data"]["id"]
    ours, theirs = made(client), made(client, organisation=org, kind="management")
    with console.client(theirs["secret"]) as other:
        assert ours["id"] not in other.get(KEYS, params={"limit": 500}).text
        for answer in (
            other.get(f"{KEYS}/{ours['id']}"),
            other.patch(f"{KEYS}/{ours['id']}", json={"name": "taken"}),
            other.post(f"{KEYS}/{ours['id']}/rotate", json={}),
            other.delete(f"{KEYS}/{ours['id']}"),
            other.post(KEYS, json={"name": "x", "organisation": "org_default"}),
        ):
            assert answer.status_code == 404
        assert other.post(KEYS, json={"name": "x"}).json()["organisation"] == org
    assert client.get(f"{KEYS}/{ours['id']}").json()["state"] == "valid"


def test_a_call_whose_budgets_cannot_be_made_makes_no_key(client):
    body = {"name": "too long a call", "budgets": [{"period": "day", "limit_usd": "1"}]}
    answer = client.post(KEYS, json=body, headers={"idempotency-key": "x" * 254})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Idempotency-Key")
    assert client.get(KEYS, params={"text": "too long a call"}).json()["data"] == []
    assert client.post(KEYS, json=body, headers={"idempotency-key": "x" * 253}).status_code == 201

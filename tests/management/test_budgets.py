"""`/api/v1/management/budgets`: set for what there is, shown with what is spent of them, changed and ended."""

import pytest

from tests.fakes.people import member_browser
from tests.fakes.used import a_use

BUDGETS = "/api/v1/management/budgets"
KEYS = "/api/v1/management/keys"


def key(client) -> str:
    return client.post(KEYS, json={"name": "app"}).json()["id"]


def a_budget(client, **fields) -> dict:
    answer = client.post(BUDGETS, json={"scope": "organisation", "period": "month", "limit_usd": "10"} | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_budget_of_a_key_tells_what_is_left(client, console):
    id_ = key(client)
    console.keep(*(a_use(number, usd=1.25, key_id=id_) for number in (1, 2)))
    card = a_budget(client, scope="key", scope_id=id_, limit_usd="4")
    spent = client.get(f"{BUDGETS}/{card['id']}").json()
    assert (spent["spent_usd"], spent["left_usd"]) == ("2.5", "1.5")
    assert spent["period_started_at"].endswith("-01T00:00:00Z")
    assert spent["resets_at"].endswith("-01T00:00:00Z")


def test_money_is_exact_to_the_pico_dollar(client):
    assert a_budget(client, limit_usd="0.000000000001")["limit_usd"] == "0.000000000001"
    assert a_budget(client, limit_usd="9000000")["limit_usd"] == "9000000"


def test_one_of_a_rotated_key_goes_on_over_the_rotation(client):
    first = key(client)
    second = client.post(f"{KEYS}/{first}/rotate", json={}).json()["id"]
    assert a_budget(client, scope="key", scope_id=second)["scope_id"] == first


def test_a_key_is_made_with_budgets_by_those_who_set_them(client, console):
    body = {"name": "limited", "budgets": [{"period": "day", "limit_usd": "1"}, {"period": "month", "limit_usd": "9"}]}
    made = client.post(KEYS, json=body, headers={"Idempotency-Key": "with-budgets"}).json()
    assert client.post(KEYS, json=body, headers={"Idempotency-Key": "with-budgets"}).json() == made
    found = client.get(BUDGETS, params={"scope": "key", "scope_id": made["id"]}).json()["data"]
    assert {(one["period"], one["limit_usd"]) for one in found} == {("day", "1"), ("month", "9")}
    assert len(found) == 2
    with member_browser(console, "alice@example.com") as alice:
        assert alice.post(KEYS, json=body).status_code == 403
        assert alice.get(KEYS).json()["data"] == []


def test_it_is_changed_and_ended(client):
    card = a_budget(client)
    changed = client.patch(f"{BUDGETS}/{card['id']}", json={"limit_usd": 12.5}).json()
    assert (changed["limit_usd"], changed["alerts"]) == ("12.5", [80, 100])
    assert client.delete(f"{BUDGETS}/{card['id']}").json()["ended_at"]
    assert client.patch(f"{BUDGETS}/{card['id']}", json={"limit_usd": 1}).status_code == 400
    assert card["id"] not in client.get(BUDGETS, params={"limit": 500}).text
    assert card["id"] in client.get(BUDGETS, params={"limit": 500, "ended": True}).text


def test_the_same_call_again_is_done_once(client):
    headers = {"Idempotency-Key": "one"}
    first, second = (
        client.post(BUDGETS, json={"scope": "organisation", "period": "day", "limit_usd": "3"}, headers=headers).json()
        for _ in range(2)
    )
    assert first["id"] == second["id"]
    other = client.post(BUDGETS, json={"scope": "organisation", "period": "day", "limit_usd": "4"}, headers=headers)
    assert other.status_code == 422


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"scope": "key"}, "scope_id"),
        ({"scope": "key", "scope_id": "key_none"}, "scope_id"),
        ({"scope": "member", "scope_id": "mem_none"}, "scope_id"),
        ({"scope": "project", "scope_id": "prj_none"}, "scope_id"),
        ({"scope": "galaxy"}, "scope"),
        ({"limit_usd": "-1"}, "limit_usd"),
        ({"limit_usd": "1e30"}, "limit_usd"),
        ({"limit_usd": "0.0000000000001"}, "limit_usd"),
        ({"limit_usd": "NaN"}, "limit_usd"),
        ({"alerts": [0]}, "alerts.0"),
        ({"period": "year"}, "period"),
    ],
)
def test_wrong_input_names_the_field(client, fields, param):
    answer = client.post(BUDGETS, json={"scope": "organisation", "period": "month", "limit_usd": "10"} | fields)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == param


def test_another_organisations_are_not_there(client, console):
    org = client.post("/api/v1/management/organisations", json={"name": "Other"}).json()["data"]["id"]
    secret = client.post(KEYS, json={"name": "m", "kind": "management", "organisation": org}).json()["secret"]
    ours, our_key = a_budget(client)["id"], key(client)
    with console.client(secret) as other:
        assert other.get(BUDGETS).json()["data"] == []
        for method in ("GET", "PATCH", "DELETE"):
            body = {"limit_usd": 1} if method == "PATCH" else None
            assert other.request(method, f"{BUDGETS}/{ours}", json=body).status_code == 404
        body = {"scope": "key", "scope_id": our_key, "period": "day", "limit_usd": 1}
        assert other.post(BUDGETS, json=body).status_code == 404

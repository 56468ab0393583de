"""Members, projects, organisations and the audit log by the API: made once, paged, changed, and nobody else's."""

import pytest

from tests.fakes.people import MEMBERS, browser, joined

PROJECTS = "/api/v1/management/projects"
ORGANISATIONS = "/api/v1/management/organisations"
AUDIT = "/api/v1/management/audit"


def data(answer, status=200):
    assert answer.status_code == status, answer.text
    assert answer.json()["success"] is True
    return answer.json()["data"]


def invited(client, email, **more):
    return data(client.post(MEMBERS, json={"email": email, **more}), 201)


def test_a_member_is_invited_changed_disabled_and_let_in_again(client):
    made = invited(client, " Alice@Example.com ", name="Alice")
    assert made["link"].startswith("https://llm.example.com/sign-in/join?token=")
    card = made["member"]
    assert (card["email"], card["state"], card["role"], card["signs_in_with"]) == (
        "alice@example.com",
        "invited",
        "member",
        [],
    )
    at = f"{MEMBERS}/{card['id']}"
    assert data(client.patch(at, json={"role": "admin"}))["role"] == "admin"
    assert data(client.post(f"{at}/disable"))["state"] == "disabled"
    assert client.post(f"{at}/password-link").status_code == 409
    assert data(client.post(f"{at}/enable"))["state"] == "invited"
    assert data(client.get(at))["name"] == "Alice"


def test_inviting_again_gives_a_new_link_to_the_same_member(client, console):
    first, second = (invited(client, "bob@example.com") for _ in range(2))
    assert first["member"] == second["member"]
    with browser(console) as people:
        assert joined(people, first["link"], name="Bob").status_code == 403
        assert joined(people, second["link"], name="Bob").status_code == 303
    assert client.post(MEMBERS, json={"email": "bob@example.com"}).json()["error"]["type"] == "conflict"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"email": "nobody"}, "email"),
        ({"email": "a@b", "role": "owner"}, "role"),
        ({}, "email"),
        ({"email": "a@b", "x": 1}, "x"),
    ],
)
def test_a_wrong_invitation_names_the_field(client, body, param):
    answer = client.post(MEMBERS, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_members_come_page_by_page(client):
    for name in ("page1", "page2", "page3"):
        invited(client, f"{name}@example.com")
    first = client.get(MEMBERS, params={"text": "page", "limit": 2}).json()
    rest = client.get(MEMBERS, params={"text": "page", "limit": 2, "after": first["next"]}).json()
    emails = [card["email"] for page in (first, rest) for card in page["data"]]
    assert emails == ["page3@example.com", "page2@example.com", "page1@example.com"]
    assert rest["next"] is None


def test_nobody_is_not_found(client):
    for method, path in (
        ("GET", "mem_x"),
        ("PATCH", "mem_x"),
        ("POST", "mem_x/disable"),
        ("POST", "mem_x/password-link"),
    ):
        answer = client.request(method, f"{MEMBERS}/{path}", json={} if method == "PATCH" else None)
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found")


def test_a_project_is_made_renamed_and_archived(client):
    card = data(client.post(PROJECTS, json={"name": " search "}), 201)
    assert card["name"] == "search"
    at = f"{PROJECTS}/{card['id']}"
    assert client.post(PROJECTS, json={"name": "Search"}).status_code == 409
    assert data(client.patch(at, json={"name": "find"}))["name"] == "find"
    assert data(client.patch(at, json={"archived": True}))["archived_at"]
    assert card["id"] not in [one["id"] for one in data(client.get(PROJECTS, params={"archived": False}))]
    assert data(client.patch(at, json={"archived": False}))["archived_at"] is None


def test_the_same_making_twice_makes_one(client):
    headers = {"idempotency-key": "making-1"}
    first, second = (data(client.post(PROJECTS, json={"name": "once"}, headers=headers), 201) for _ in range(2))
    assert first == second
    first, second = (data(client.post(ORGANISATIONS, json={"name": "once"}, headers=headers), 201) for _ in range(2))
    assert first == second


def test_an_organisation_keeps_its_own_to_itself(client):
    org = data(client.post(ORGANISATIONS, json={"name": "acme"}), 201)
    assert data(client.patch(f"{ORGANISATIONS}/{org['id']}", json={"prepaid": True}))["prepaid"] is True
    query = {"organisation": org["id"]}
    member = data(client.post(MEMBERS, params=query, json={"email": "kim@example.com"}), 201)["member"]
    assert member["organisation"] == org["id"]
    assert [card["id"] for card in data(client.get(MEMBERS, params=query))] == [member["id"]]
    assert member["id"] not in [card["id"] for card in data(client.get(MEMBERS, params={"limit": 200}))]
    assert client.get(MEMBERS, params={"organisation": "org_none"}).json()["data"] == []
    assert client.post(PROJECTS, params={"organisation": "org_none"}, json={"name": "x"}).status_code == 404


def test_acts_are_in_the_log_with_who_and_whence(client):
    client.headers["x-trunkline-peer"] = "198.51.100.7"
    card = data(client.post(PROJECTS, json={"name": "audited"}), 201)
    (act,) = data(client.get(AUDIT, params={"target": card["id"]}))
    assert (act["action"], act["actor"], act["actor_kind"], act["address"]) == (
        "project.create",
        "master",
        "master",
        "198.51.100.7",
    )
    assert act["at"].endswith("Z")


def test_the_log_is_filtered_and_paged(client):
    ids = [data(client.post(PROJECTS, json={"name": f"paged {number}"}), 201)["id"] for number in range(3)]
    first = client.get(AUDIT, params={"action": "project", "limit": 2}).json()
    rest = client.get(AUDIT, params={"action": "project", "limit": 1, "after": first["next"]}).json()
    assert [act["target"] for page in (first, rest) for act in page["data"]] == ids[::-1]
    assert data(client.get(AUDIT, params={"since": "2999-01-01"})) == []
    assert data(client.get(AUDIT, params={"until": "2000-01-01T00:00:00Z"})) == []
    answer = client.get(AUDIT, params={"since": "yesterday"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "since")


@pytest.mark.parametrize("path", [PROJECTS, ORGANISATIONS])
def test_an_idempotency_key_that_came_with_another_request_is_refused(client, path):
    again = {"idempotency-key": "one making"}
    made = data(client.post(path, json={"name": "first of two"}, headers=again), 201)
    assert data(client.post(path, json={"name": "first of two"}, headers=again), 201) == made
    answer = client.post(path, json={"name": "another"}, headers=again)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "Idempotency-Key")

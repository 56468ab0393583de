"""`/api/v1/management/keys`: made once, shown once, listed without secrets, revoked at once; and who may call at
all."""

import pytest

KEYS = "/api/v1/management/keys"
MASTER_ONLY = [("GET", KEYS), ("POST", KEYS), ("DELETE", f"{KEYS}/key_x"), ("GET", "/api/v1/management/providers")]
MASTER_ONLY += [("GET", "/api/v1/management/records")]


def test_a_key_is_made_listed_and_revoked(client):
    made = client.post(KEYS, json={"name": "laptop", "expires_in_s": 3600})
    assert made.status_code == 201
    card = made.json()
    assert card["secret"].startswith("sk-tl-")
    listed = next(key for key in client.get(KEYS).json()["data"] if key["id"] == card["id"])
    assert "secret" not in listed
    assert listed["valid"] is True
    assert listed["hint"] == card["secret"][-4:]
    assert listed["expires_at"].endswith("Z")
    assert "." not in listed["expires_at"]
    assert listed["zero_retention"] is False

    revoked = client.delete(f"{KEYS}/{card['id']}").json()
    assert revoked["valid"] is False
    assert revoked["revoked_at"]


def test_a_key_can_be_one_without_retention(client):
    card = client.post(KEYS, json={"name": "quiet", "zero_retention": True}).json()
    assert next(key for key in client.get(KEYS).json()["data"] if key["id"] == card["id"])["zero_retention"] is True


def test_a_revoked_key_is_refused(console, client):
    card = client.post(KEYS, json={"name": "short-lived"}).json()
    with console.client(card["secret"]) as own:
        assert own.get("/api/v1/generation", params={"id": "req_none"}).status_code == 404
        client.delete(f"{KEYS}/{card['id']}")
        assert own.get("/api/v1/generation", params={"id": "req_none"}).status_code == 403


@pytest.mark.parametrize(("method", "path"), MASTER_ONLY)
def test_without_the_master_key_nothing_is_done(console, client, method, path):
    inference = client.post(KEYS, json={"name": "app"}).json()["secret"]
    for key in (None, "sk-wrong", inference):
        with console.client(key) as other:
            answer = other.request(method, path, json={"name": "x"} if method == "POST" else None)
        assert answer.status_code == 403
        assert answer.json()["error"]["type"] == "access_denied"


@pytest.mark.parametrize("header", ["x-api-key", "x-goog-api-key"])
def test_the_key_may_come_in_any_of_the_clients_headers(console, header):
    with console.client(None, **{header: "sk-master-0123456789"}) as other:
        assert other.get(KEYS).status_code == 200


@pytest.mark.parametrize(
    ("body", "param"),
    [({}, "name"), ({"name": ""}, "name"), ({"name": "x", "expires_in_s": -1}, "expires_in_s"), ({"nam": "x"}, "name")],
)
def test_a_wrong_body_is_a_400_that_names_the_field(client, body, param):
    answer = client.post(KEYS, json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_a_key_that_is_not_there_cannot_be_revoked(client):
    answer = client.delete(f"{KEYS}/key_none")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "404"


def test_an_error_names_the_request_that_the_data_plane_gave_an_id(console):
    with console.client(None, **{"x-request-id": "req_7"}) as other:
        assert other.get(KEYS).json()["error"]["request_id"] == "req_7"

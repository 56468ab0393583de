"""Credits over the management API, and ZenMux's questions about an account."""

import itertools

import pytest

from tests.fakes.records import a_record
from trunkline.pricing.money import pico_usd, usd

PATH = "/api/v1/management/credits"
COST = a_record(1).cost_pico_usd
NUMBERS = itertools.count(1)


@pytest.fixture
def org(client):
    """A prepaid organisation of the test's own."""
    body = {"name": "acme", "prepaid": True}
    return client.post("/api/v1/management/organisations", json=body).json()["data"]["id"]


@pytest.fixture
def put_in(client, org):
    def put_in(amount, headers=None, **fields):
        body = {"amount_usd": amount, **fields}
        return client.post(PATH, params={"organisation": org}, json=body, headers=headers or {})

    return put_in


@pytest.fixture
def card(client, org):
    return lambda: client.get(PATH, params={"organisation": org}).json()["data"]


def test_what_is_put_in_is_left(put_in, card):
    made = put_in("12.50", kind="bonus", name="Welcome", expires_at="2099-01-01T00:00:00Z")
    assert made.status_code == 201
    assert made.json()["data"]["left_usd"] == "12.5"
    assert put_in(0.000000000001).status_code == 201
    found = card()
    assert (found["prepaid"], found["funded_usd"], found["left_usd"]) == (True, "12.500000000001", "12.500000000001")
    assert [(one["name"], one["expires_at"]) for one in found["wallets"]] == [
        ("Welcome", "2099-01-01T00:00:00Z"),
        ("Top-up", None),
    ]


def test_the_same_call_again_counts_once(put_in, card):
    for _ in range(2):
        assert put_in("5", {"idempotency-key": "invoice 7"}).status_code == 201
    assert card()["left_usd"] == "5"
    assert put_in("6", {"idempotency-key": "invoice 7"}).status_code == 400


@pytest.mark.parametrize("amount", ["0", "-1", "x", "1.0000000000001", 1e9, "NaN", None])
def test_what_is_no_amount_is_refused(put_in, card, amount):
    assert put_in(amount).status_code == 400
    assert card()["left_usd"] == "0"


def test_what_requests_cost_is_taken_and_in_the_statement(console, client, org, put_in, card):
    put_in("5")
    console.keep(a_record(next(NUMBERS), id=f"req_of_{org}", prepaid_by=org))
    assert card()["left_usd"] == usd(pico_usd("5") - COST)
    asked = {"organisation": org, "limit": 1, "spending": True}
    first = client.get(f"{PATH}/statement", params=asked).json()
    rest = client.get(f"{PATH}/statement", params={**asked, "after": first["next"]}).json()
    # The record is older than the test.
    assert [first["data"][0]["kind"], rest["data"][0]["kind"], rest["next"]] == ["top_up", "spend", None]
    assert client.get(f"{PATH}/statement", params={"organisation": org}).json()["data"][0]["kind"] == "top_up"
    assert client.get(f"{PATH}/statement", params={"after": "x"}).status_code == 400


def test_a_wallet_is_put_right_with_a_reason(client, put_in, card):
    wallet = put_in("5").json()["data"]["id"]
    path = f"{PATH}/{wallet}/adjustments"
    assert client.post(path, json={"amount_usd": "-1.5"}).status_code == 400
    assert client.post(path, json={"amount_usd": "-1.5", "note": "typed wrong"}).json()["data"]["left_usd"] == "3.5"
    assert client.post(path, json={"amount_usd": "-4", "note": "too much"}).status_code == 400
    assert client.post(f"{PATH}/wal_none/adjustments", json={"amount_usd": "1", "note": "x"}).status_code == 404
    assert card()["left_usd"] == "3.5"


def test_an_organisation_that_is_not_there_has_none(client):
    assert client.get(PATH, params={"organisation": "org_none"}).status_code == 404
    assert client.post(PATH, params={"organisation": "org_none"}, json={"amount_usd": "1"}).status_code == 404


def test_every_act_is_in_the_audit_log(client, org, put_in):
    wallet = put_in("5").json()["data"]["id"]
    acts = client.get("/api/v1/management/audit", params={"organisation": org, "action": "credits"}).json()["data"]
    assert [(one["action"], one["target"], one["actor"]) for one in acts] == [("credits.top_up", wallet, "master")]


def test_the_balance_is_told_as_zenmux_does(client):
    client.post(PATH, json={"amount_usd": "35"})
    client.post(PATH, json={"amount_usd": "447.74", "kind": "bonus"})
    # https://docs.zenmux.ai/api/platform/payg-balance.html
    assert client.get("/api/v1/management/payg/balance").json() == {
        "success": True,
        "data": {"currency": "usd", "total_credits": 482.74, "top_up_credits": 35.0, "bonus_credits": 447.74},
    }


def test_a_flow_is_a_dollar_and_a_plan_has_no_end(client):
    rate = client.get("/api/v1/management/flow_rate").json()
    assert rate["data"] == {"currency": "usd", "base_usd_per_flow": 1.0, "effective_usd_per_flow": 1.0}
    detail = client.get("/api/v1/management/subscription/detail").json()["data"]
    assert detail["plan"] == {"tier": "self-hosted", "amount_usd": 0.0, "interval": "month", "expires_at": None}
    assert (detail["account_status"], detail["quota_5_hour"], detail["quota_7_day"]) == ("healthy", None, None)


def test_only_who_may_see_credits_does(console, client):
    made = client.post("/api/v1/management/keys", json={"name": "laptop"}).json()
    secret = made.get("secret") or made["data"]["secret"]
    with console.client(secret) as caller:
        for path in (PATH, f"{PATH}/statement", "/api/v1/management/payg/balance", "/api/v1/management/flow_rate"):
            assert caller.get(path).status_code == 403
        assert caller.post(PATH, json={"amount_usd": "1"}).status_code == 403

"""`/platform/credits`: what is left, put in and put right, and the statement."""

import re

import pytest

from tests.fakes.used import a_use, reader, rows, words

PATH = "/platform/credits"


@pytest.fixture
def people(console):
    with reader(console) as client:
        yield client


def post(people, path=PATH, **fields):
    return people.post(path, data={"csrf": people.headers["x-csrf-token"], **fields})


@pytest.fixture
def org(client):
    """An organisation of the test's own."""
    body = {"name": "acme", "prepaid": True}
    return client.post("/api/v1/management/organisations", json=body).json()["data"]["id"]


def test_an_organisation_without_wallets_says_what_to_do(people):
    text = words(people.get(PATH).text)
    assert "There is no wallet yet" in text
    assert "Default is not prepaid" in text


def test_credit_is_put_in_by_a_form_and_shown(people, org):
    answer = post(
        people, organisation=org, amount_usd="12.50", kind="bonus", name="Welcome", until="2099-01-01", note="hi"
    )
    assert answer.status_code == 303
    page = people.get(answer.headers["location"]).text
    assert "The credit was put in." in words(page)
    assert "is not prepaid" not in words(page)
    wallet, statement = rows(page)[1], rows(page)[3]
    assert (wallet[0].split()[0], wallet[1], wallet[3], wallet[4]) == ("Welcome", "bonus", "2099-01-01", "$12.50")
    assert statement[1:6] == ["Bonus", "$12.50", "Welcome", "hi", "master key"]


def test_a_form_that_is_sent_twice_counts_once(people, org):
    for _ in range(2):
        post(people, organisation=org, amount_usd="5", kind="top_up", again="abc")
    assert "Left $5.00" in words(people.get(f"{PATH}?organisation={org}").text)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"amount_usd": "5,00"}, "The amount is in USD"),
        ({"amount_usd": "0"}, "An amount must be more than nothing"),
        ({"amount_usd": "5", "until": "2020-01-01"}, "The credit would have expired already."),
        ({"amount_usd": "5", "kind": "gift"}, "The kind"),
    ],
)
def test_what_cannot_be_is_said_and_the_form_stays_filled(people, org, fields, said):
    answer = post(people, organisation=org, note="invoice 7", **fields)
    assert answer.status_code == 400
    assert said in words(answer.text)
    assert 'value="invoice 7"' in answer.text


def test_a_wallet_is_put_right(people, org):
    post(people, organisation=org, amount_usd="5", kind="top_up")
    wallet = re.search(r'action="/platform/credits/(wal_[0-9a-f]+)"', people.get(f"{PATH}?organisation={org}").text)[1]
    assert post(people, f"{PATH}/{wallet}", organisation=org, amount_usd="-2", note="typed wrong").status_code == 303
    assert post(people, f"{PATH}/{wallet}", organisation=org, amount_usd="-9", note="x").status_code == 400
    page = people.get(f"{PATH}?organisation={org}").text
    assert "Left $3.00" in words(page)
    assert rows(page)[3][1:3] == ["Put right", "-$2.00"]


def test_spending_is_by_day_and_line_by_line_where_asked_for(console, people, org):
    post(people, organisation=org, amount_usd="50", kind="top_up")
    console.keep(a_use(1, id=f"req_of_{org}", usd=2, prepaid_by=org))
    page = people.get(f"{PATH}?organisation={org}").text
    assert "Left $48.00" in words(page)
    assert "Spent" not in [row[1] for row in rows(page) if len(row) == 6]
    page = people.get(f"{PATH}?organisation={org}&spending=1").text
    assert "-$2.00" in [row[2] for row in rows(page) if len(row) == 6 and row[1] == "Spent"]


def test_nobody_sees_or_changes_it_without_signing_in_or_from_another_site(console, people):
    with console.client(None, accept="text/html") as nobody:
        assert nobody.get(PATH).status_code == 303
        assert nobody.post(PATH, data={"amount_usd": "5"}).status_code == 303
    del people.headers["x-csrf-token"]
    assert people.post(PATH, data={"amount_usd": "5", "csrf": "0" * 64}).status_code == 403

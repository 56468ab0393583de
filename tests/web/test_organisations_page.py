"""`/platform/organisations`: the master key makes, renames and prepays organisations; nobody else sees the page."""

import pytest

from tests.fakes.people import browser, member_browser, sign_in_with_master_key
from tests.fakes.used import rows, words

PATH = "/platform/organisations"
API = "/api/v1/management/organisations"
NASTY = '<script>alert("1")</script>'


@pytest.fixture(scope="module")
def master(console):
    with browser(console) as people:
        yield sign_in_with_master_key(people)


def id_of(client, name):
    return next(one["id"] for one in client.get(API).json()["data"] if one["name"] == name)


def test_one_is_made_renamed_and_pays_beforehand(client, master):
    answer = master.post(PATH, data={"name": "acme"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PATH}?told=made")
    assert "The organisation is made." in words(master.get(answer.headers["location"]).text)
    id_ = id_of(client, "acme")
    assert master.post(f"{PATH}/{id_}", data={"name": NASTY}).status_code == 303
    assert master.post(f"{PATH}/{id_}", data={"prepaid": "on"}).status_code == 303
    client.post("/api/v1/management/credits", json={"amount_usd": "5"}, params={"organisation": id_})
    page = master.get(PATH).text
    assert NASTY not in page
    (row,) = [cells for cells in rows(page) if id_ in cells[1]]
    assert (row[0], row[2]) == (NASTY, "$5.00 left")
    master.post(f"{PATH}/{id_}", data={"prepaid": "off"})
    assert client.get(f"{API}/{id_}").json()["data"]["prepaid"] is False


@pytest.mark.parametrize("name", ["", "   ", "x" * 101])
def test_a_wrong_name_is_told_and_changes_nothing(client, master, name):
    before = client.get(API).json()
    for path in (PATH, f"{PATH}/org_default"):
        answer = master.post(path, data={"name": name})
        assert (answer.status_code, "1 to 100 characters" in answer.text) == (400, True)
    assert client.get(API).json() == before


def test_one_that_is_not_there_is_not_changed(master):
    assert master.post(f"{PATH}/org_none", data={"name": "acme"}).status_code == 404


def test_an_administrator_neither_sees_nor_changes_them(console):
    with member_browser(console, "alice@example.com", "admin") as admin:
        assert admin.get(PATH).status_code == 403
        assert admin.post(PATH, data={"name": "mine"}).status_code == 403
        assert admin.post(f"{PATH}/org_default", data={"name": "mine"}).status_code == 403
        assert PATH not in admin.get("/platform/projects").text

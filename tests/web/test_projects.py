"""`/platform/projects`: administrators make and change them, members see them."""

import pytest

from tests.fakes.people import member_browser
from tests.fakes.used import words

PATH = "/platform/projects"
API = "/api/v1/management/projects"


@pytest.fixture(scope="module")
def admin(console):
    with member_browser(console, "alice@example.com", "admin") as made:
        yield made


def id_of(client, name):
    return next(one["id"] for one in client.get(API).json()["data"] if one["name"] == name)


def test_one_is_made_renamed_archived_and_restored(client, admin):
    assert admin.post(PATH, data={"name": "search"}).status_code == 303
    id_ = id_of(client, "search")
    assert admin.post(f"{PATH}/{id_}", data={"name": "find"}).status_code == 303
    assert "find" in words(admin.get(PATH).text)
    admin.post(f"{PATH}/{id_}", data={"do": "archive"})
    assert id_ not in admin.get(PATH).text
    assert id_ in admin.get(PATH, params={"archived": 1}).text
    admin.post(f"{PATH}/{id_}", data={"do": "restore"})
    assert id_ in admin.get(PATH).text


@pytest.mark.parametrize(
    ("name", "fault"), [("", "1 to 100 characters"), ("x" * 101, "1 to 100"), ("twice", "already")]
)
def test_what_is_wrong_with_a_name_is_told(client, admin, name, fault):
    client.post(API, json={"name": "twice"})
    answer = admin.post(PATH, data={"name": name})
    assert (answer.status_code, fault in answer.text) == (400, True)


def test_a_member_sees_them_and_changes_none(console, client, admin):
    admin.post(PATH, data={"name": "seen"})
    with member_browser(console, "bob@example.com") as bob:
        page = bob.get(PATH).text
        assert "seen" in words(page)
        assert "Make the project" not in page
        assert bob.post(PATH, data={"name": "mine"}).status_code == 403
        assert bob.post(f"{PATH}/{id_of(client, 'seen')}", data={"do": "archive"}).status_code == 403

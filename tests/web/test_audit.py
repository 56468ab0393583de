"""`/platform/audit`: acts with names beside their ids, by actor, act and time, page by page."""

import pytest

from tests.fakes.people import member_browser
from tests.fakes.used import words
from trunkline.web.audit_page import ROWS

PATH = "/platform/audit"
PROJECTS = "/api/v1/management/projects"


@pytest.fixture(scope="module")
def admin(console):
    with member_browser(console, "alice@example.com", "admin") as made:
        yield made


def test_an_act_is_shown_with_who_did_it_to_what(admin):
    admin.post("/platform/projects", data={"name": "search"})
    text = words(admin.get(PATH).text)
    assert "project.create Alice search 192.0.2.50" in text
    assert "sign_in Alice Alice 192.0.2.50 way link" in text


def test_acts_are_shown_by_kind_actor_and_time(admin, client):
    me = client.get("/api/v1/management/members").json()["data"][0]["id"]
    assert "member.invite" not in rows(admin, actor=me)
    assert set(rows(admin, action="member")) <= {"member.invite", "member.join"}
    assert rows(admin, since="2999-01-01T00:00") == []
    assert "No such act" in admin.get(PATH, params={"since": "2999-01-01T00:00"}).text


@pytest.mark.parametrize("query", [{"since": "soon"}, {"after": "x"}, {"after": "9" * 40}])
def test_what_cannot_be_read_is_told(admin, query):
    assert admin.get(PATH, params=query).status_code == 400


def test_older_acts_are_on_the_next_page(admin, client):
    for number in range(ROWS + 1):
        client.post(PROJECTS, json={"name": f"paged {number}"})
    page = admin.get(PATH, params={"action": "project.create"}).text
    assert "paged 0<" not in page
    older = page.partition('">Older</a>')[0].rpartition('href="')[2].replace("&amp;", "&")
    assert "paged 0<" in admin.get(older).text


def rows(admin, **query) -> list[str]:
    page = admin.get(PATH, params=query).text
    return [part.partition("<")[0] for part in page.split('<th scope="row">')[1:] for part in [part.partition(">")[2]]]

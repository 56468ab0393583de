"""`/platform/keys`: made by the API's rules, shown once, ended with a question before it."""

import re
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from tests.fakes.console import RunningConsole
from tests.fakes.used import a_use, reader, rows, words

PATH = "/platform/keys"


@pytest.fixture
def people(console: RunningConsole):
    with reader(console) as client:
        yield client


def token(people) -> str:
    return people.headers["x-csrf-token"]


def made(people, **fields: str) -> str:
    """The secret of a new key."""
    answer = people.post(PATH, data={"csrf": token(people), "name": "laptop", **fields})
    assert answer.status_code == 200, words(answer.text)
    found = re.search(r'<code id="secret">(sk-tl-[^<]+)</code>', answer.text)
    assert found
    return found[1]


def card(client, secret: str) -> dict:
    (found,) = [one for one in client.get("/api/v1/management/keys").json()["data"] if one["hint"] == secret[-4:]]
    return found


def test_nobody_sees_makes_or_ends_one_without_signing_in(console):
    with console.client(None, accept="text/html") as nobody:
        assert nobody.get(PATH).status_code == 303
        assert nobody.post(PATH, data={"name": "x"}).status_code == 303
        assert nobody.get(f"{PATH}/key_1/revoke").status_code == 303
        assert nobody.post(f"{PATH}/key_1/revoke").status_code == 303


@pytest.mark.parametrize("path", [PATH, f"{PATH}/key_1/revoke"])
def test_a_form_of_another_site_changes_nothing(people, path):
    del people.headers["x-csrf-token"]
    answer = people.post(path, data={"name": "evil", "csrf": "0" * 64})
    assert answer.status_code == 403
    assert "evil" not in people.get(PATH).text


def test_a_store_without_keys_says_what_to_do(people):
    assert "There is no key yet" in people.get(PATH).text


def test_a_key_opens_the_api_at_once(people, console):
    secret = made(people)
    with console.client(secret) as caller:
        assert caller.get("/api/v1/generation?id=none").status_code == 404, (
            "known, so it is the generation that is missing"
        )


def test_its_secret_is_shown_once_and_can_be_copied(people, console):
    answer = people.post(PATH, data={"csrf": token(people), "name": "once"})
    secret = re.search(r'<code id="secret">([^<]+)</code>', answer.text)[1]
    assert 'data-copy-from="secret"' in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert secret not in people.get(PATH).text
    with sqlite3.connect(console.folder / "trunkline.db") as store:
        assert secret not in repr(store.execute("SELECT * FROM api_keys").fetchall())
    store.close()


def test_it_ends_after_the_time_that_was_chosen(people, client):
    ends = card(client, made(people, expires="30"))["expires_at"]
    left = datetime.fromisoformat(ends) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)


def test_it_ends_with_the_last_day_that_was_named(people, client):
    day = datetime.now(UTC).date() + timedelta(days=3)
    ends = card(client, made(people, until=day.isoformat(), expires="7"))["expires_at"]
    assert abs(
        datetime.fromisoformat(ends) - datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=1)
    ) < (timedelta(minutes=1))


def test_it_can_be_one_without_retention(people, client):
    assert card(client, made(people, name="quiet", zero_retention="on"))["zero_retention"] is True
    assert card(client, made(people))["zero_retention"] is False
    assert "quiet zero retention" in words(people.get(PATH).text)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "Name: string should have at least 1 character."),
        ({"name": "   "}, "Name: string should have at least 1 character."),
        ({"name": "x" * 101}, "Name: string should have at most 100 characters."),
        ({"expires": "5"}, "A key ends after one of the times in the list"),
        ({"until": "soon"}, "The last day is a date such as 2027-01-31"),
        ({"until": "2020-01-01"}, "The last day, 2020-01-01, is over."),
        ({"until": "2500-01-01"}, "Expires_in_s: input should be less than or equal to"),
        ({"until": "9999-12-31"}, "Expires_in_s: input should be less than or equal to"),
    ],
)
def test_wrong_input_is_told_and_what_was_typed_kept(people, fields, said):
    answer = people.post(PATH, data={"csrf": token(people), "name": "kept name", "zero_retention": "on", **fields})
    assert answer.status_code == 400
    assert said in words(answer.text)
    assert 'name="zero_retention" checked' in answer.text
    assert "sk-tl-" not in answer.text


def test_names_are_escaped(people):
    made(people, name="<script>alert(1)</script>")
    assert "<script>alert(1)" not in people.get(PATH).text


def test_the_list_has_the_use_of_thirty_days_and_the_last_one(people, client, console):
    id_ = card(client, made(people, name="busy"))["id"]
    console.keep(a_use(1, key_id=id_), a_use(2, key_id=id_, usd=0.5), a_use(3, key_id=id_, ago_h=24 * 40))
    (row,) = [row for row in rows(people.get(PATH).text) if row[0] == "busy"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:00", row[4])
    assert row[5:8] == ["2", "3K", "$1.50"]


def test_a_key_that_was_not_used_of_late_says_the_day_or_that_it_was_not(people, client, console):
    earlier = card(client, made(people, name="earlier"))["id"]
    never = card(client, made(people, name="never"))["id"]
    console.keep(a_use(11, key_id=earlier, ago_h=24 * 5), a_use(12, key_id=never, ago_h=24 * 40))
    table = {row[0]: row for row in rows(people.get(PATH).text)}
    assert table["earlier"][4] == (datetime.now(UTC) - timedelta(days=5)).date().isoformat()
    assert table["never"][4] == "not in 30 days"


def test_before_a_key_ends_the_page_asks_and_says_who_may_miss_it(people, client):
    one = card(client, made(people, name="old laptop"))
    page = people.get(f"{PATH}/{one['id']}/revoke")
    assert "Revoke old laptop?" in words(page.text)
    assert "not in 30 days" in words(page.text)
    assert card_by_id(client, one["id"])["valid"], "asking ends nothing"


def card_by_id(client, id_: str) -> dict:
    (found,) = [one for one in client.get("/api/v1/management/keys").json()["data"] if one["id"] == id_]
    return found


def test_a_revoked_key_opens_nothing_and_is_among_those_that_ended(people, client, console):
    secret = made(people, name="leaked")
    id_ = card(client, secret)["id"]
    answer = people.post(f"{PATH}/{id_}/revoke", data={"csrf": token(people)})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PATH}?revoked={id_}")
    page = people.get(answer.headers["location"]).text
    assert f"leaked (…{secret[-4:]}) is revoked" in words(page)
    assert f"{PATH}/{id_}/revoke" not in page
    with console.client(secret) as caller:
        assert caller.get("/api/v1/generation?id=none").status_code == 403


def test_one_that_ended_cannot_be_ended_again(people, client):
    id_ = card(client, made(people, name="twice"))["id"]
    people.post(f"{PATH}/{id_}/revoke", data={"csrf": token(people)})
    page = people.get(f"{PATH}/{id_}/revoke").text
    assert "has ended already: it is revoked" in words(page)
    assert "Revoke the key" not in page


def test_a_key_that_is_not_there_is_a_404(people):
    assert people.get(f"{PATH}/key_none/revoke").status_code == 404
    assert people.post(f"{PATH}/key_none/revoke", data={"csrf": token(people)}).status_code == 404


def test_keys_of_sessions_stand_apart(people):
    people.post("/platform/session-key", data={"csrf": token(people)})
    text = words(people.get(PATH).text)
    assert re.search(r"\d+ of console sessions", text)

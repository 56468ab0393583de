"""`/platform/budgets`: how budgets stand; set, changed and ended by a form."""

import re
import sqlite3
from contextlib import closing

import pytest

from tests.fakes.console import RunningConsole
from tests.fakes.used import a_use, reader, rows, words

PATH = "/platform/budgets"
NASTY = '<script>alert("1")</script>'


@pytest.fixture
def people(console: RunningConsole):
    with reader(console) as client:
        yield client


def form(people, **fields: str) -> dict[str, str]:
    return {"csrf": people.headers["x-csrf-token"], "period": "month", "limit": "10", "alerts": "80, 100", **fields}


def test_nobody_sees_or_sets_one_without_signing_in(console):
    with console.client(None, accept="text/html") as nobody:
        for path in (PATH, f"{PATH}/bud_1", f"{PATH}/bud_1/end"):
            assert nobody.post(path, data={"limit": "1"}).status_code == 303
        assert nobody.get(PATH).status_code == 303


def test_without_any_it_says_what_to_do(people):
    assert "There is no budget in force" in words(people.get(PATH).text)


def test_one_is_set_shown_changed_and_ended(people, client, console):
    key = client.post("/api/v1/management/keys", json={"name": NASTY}).json()["id"]
    console.keep(a_use(1, usd=9, key_id=key))
    answer = people.post(PATH, data=form(people, of=f"key:{key}", limit="$10.00"))
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PATH}?told=set")
    page = people.get(answer.headers["location"]).text
    assert NASTY not in page
    (row,) = [cells for cells in rows(page) if "Key" in cells[0]]
    assert row[1:6] == ["a month", "$9.00 90 %", "$10.00", "-", "$1.00"]
    assert 'class="budget-bar fair"' in page
    id_ = re.search(rf'href="{PATH}/(bud_[0-9a-f]+)"', page)[1]
    assert people.post(f"{PATH}/{id_}", data=form(people, limit="20", alerts="50%")).status_code == 303
    text = words(people.get(f"{PATH}/{id_}").text)
    assert "Limit $20.00 a month" in text
    assert "Tells at 50 %" in text
    assert people.post(f"{PATH}/{id_}/end", data=form(people)).status_code == 303
    assert "There is no budget in force" in words(people.get(PATH).text)
    assert "ended" in words(people.get(PATH, params={"ended": "1"}).text)


def test_a_key_shows_its_budgets_over_its_rotation_and_leads_to_setting_one(people, client):
    first = client.post("/api/v1/management/keys", json={"name": "app"}).json()["id"]
    budget = {"scope": "key", "scope_id": first, "period": "day", "limit_usd": "7"}
    client.post("/api/v1/management/budgets", json=budget)
    second = client.post(f"/api/v1/management/keys/{first}/rotate", json={}).json()["id"]
    page = people.get(f"/platform/keys/{second}").text
    assert "$7.00 a day : $0 spent, $7.00 left" in words(page)
    assert f'href="{PATH}?key={first}"' in page
    assert f'value="key:{first}" selected' in people.get(f"{PATH}?key={first}").text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"limit": "much"}, "Limit_usd: input should be a valid decimal"),
        ({"limit": "-1"}, "Limit_usd: input should be greater than or equal to 0"),
        ({"alerts": "soon"}, "Alerts.0: input should be a valid integer"),
        ({"of": "key:key_none"}, "there is no key key_none"),
        ({"of": ""}, "Scope: input should be"),
        ({"period": "year"}, "Period: input should be"),
    ],
)
def test_wrong_input_is_told_and_what_was_typed_kept(people, fields, said):
    answer = people.post(PATH, data=form(people, **{"of": "organisation:org_default", **fields}))
    assert answer.status_code == 400
    assert said in words(answer.text)


def test_a_form_of_another_site_changes_nothing(people):
    del people.headers["x-csrf-token"]
    assert people.post(PATH, data={"of": "organisation:org_default", "limit": "1", "csrf": "0"}).status_code == 403


def test_one_that_is_not_there_is_a_404(people):
    assert people.get(f"{PATH}/bud_none").status_code == 404
    assert people.post(f"{PATH}/bud_none", data=form(people)).status_code == 404


def test_what_requests_under_way_hold_is_shown(people, client, console):
    key = client.post("/api/v1/management/keys", json={"name": "under way"}).json()["id"]
    people.post(PATH, data=form(people, of=f"key:{key}"))
    sent = "INSERT INTO intents (id, started_ms, protocol, model, offer, provider, key_id, reserved_pico_usd) VALUES (?, 1, '', '', '', '', ?, ?)"
    with closing(sqlite3.connect(console.folder / "trunkline.db")) as store, store:
        store.executemany(sent, [("req_1", key, 2 * 10**12), ("req_2", key, 10**12), ("req_3", "key_other", 10**12)])
    (row,) = [cells for cells in rows(people.get(PATH).text) if "under way" in cells[0]]
    assert row[2:6] == ["$0 0 %", "$10.00", "$3.00", "$10.00"]
    with closing(sqlite3.connect(console.folder / "trunkline.db")) as store, store:
        store.execute("DELETE FROM intents")

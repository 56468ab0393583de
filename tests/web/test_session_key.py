"""The key with which a page of a session asks for answers: one for a session, gone with it, and for nobody else."""

import base64
import re
import sqlite3

import pytest

from tests.fakes.console import CONFIG, MASTER_KEY
from trunkline.accounts.keys import hash_secret
from trunkline.api.management.console import Console
from trunkline.api.management.sessions import master_actor
from trunkline.settings import load_settings
from trunkline.snapshot import build_with_servers
from trunkline.storage import migrate
from trunkline.storage.queries import Store
from trunkline.storage.sign_in import Session, open_session
from trunkline.web.session import HOLDS_MS, Reader
from trunkline.web.session_key import end_session_keys, session_key

PATH = "/platform/session-key"


def signed_in(people) -> dict[str, str]:
    """Headers of a new session, with its token."""
    answer = people.post("/sign-in", data={"key": MASTER_KEY, "next": "/"})
    held = {"cookie": answer.headers["set-cookie"].partition(";")[0]}
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', people.get("/", headers={**held, "accept": "text/html"}).text)
    assert found
    return {**held, "x-csrf-token": found[1]}


@pytest.fixture
def people(console):
    with console.client(None, accept="application/json") as made:
        yield made


@pytest.fixture
def session(people) -> dict[str, str]:
    return signed_in(people)


def kept(client, key: str) -> list[dict]:
    """The keys of the store that end as this secret does."""
    found = client.get("/api/v1/management/keys").json()["data"]
    return [card for card in found if card["hint"] == key[-4:] and card["name"] == "console session"]


def test_it_is_a_key_like_any_other_that_ends_with_the_session(people, client, session):
    answer = people.post(PATH, headers=session)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    assert made["key"].startswith("sk-tl-")
    (card,) = kept(client, made["key"])
    assert card["valid"]
    assert card["expires_at"] is not None
    assert card["revoked_at"] is None
    with_it = people.get("/api/v1/generation?id=none", headers={"authorization": f"Bearer {made['key']}"})
    assert with_it.status_code == 404, "known, so it is the generation that is missing"


def test_it_ends_when_the_session_does(people, client, session, console):
    made = people.post(PATH, headers=session).json()
    cookie_age_s = int(
        re.search(r"Max-Age=(\d+)", people.post("/sign-in", data={"key": MASTER_KEY}).headers["set-cookie"])[1]
    )
    assert cookie_age_s * 1000 == HOLDS_MS
    with sqlite3.connect(console.folder / "trunkline.db") as store:
        row = store.execute(
            "SELECT expires_ms, created_ms FROM api_keys WHERE hint = ?", (made["key"][-4:],)
        ).fetchone()
    store.close()
    assert row[0] == made["expires_ms"]
    assert 0 <= row[1] + HOLDS_MS - row[0] < 60_000


def test_a_session_has_one_however_often_it_asks_and_another_session_another(people, client, session):
    first, again = (people.post(PATH, headers=session).json() for _ in range(2))
    assert first == again
    assert len(kept(client, first["key"])) == 1
    assert people.post(PATH, headers=signed_in(people)).json()["key"] != first["key"]


def test_one_that_was_revoked_has_a_successor(people, client, session):
    first = people.post(PATH, headers=session).json()["key"]
    (card,) = kept(client, first)
    client.delete(f"/api/v1/management/keys/{card['id']}")
    second = people.post(PATH, headers=session).json()["key"]
    assert second != first
    assert kept(client, second)[0]["valid"]


def test_the_secret_is_kept_nowhere(people, session, console):
    key = people.post(PATH, headers=session).json()["key"]
    with sqlite3.connect(console.folder / "trunkline.db") as store:
        rows = store.execute("SELECT * FROM api_keys").fetchall()
    store.close()
    assert key not in repr(rows)
    assert key[-4:] in repr(rows)
    assert hash_secret(b"", key) not in repr(rows), "hashed with the pepper"


def test_its_id_says_nothing_about_it(people, client, session):
    key = people.post(PATH, headers=session).json()["key"]
    secret = base64.urlsafe_b64decode(key.removeprefix("sk-tl-") + "=").hex()
    assert kept(client, key)[0]["id"].removeprefix("key_") not in secret


@pytest.mark.parametrize("token", ["", "0" * 64])
def test_a_page_of_another_site_gets_none(people, session, token):
    answer = people.post(PATH, headers={**session, "x-csrf-token": token})
    assert answer.status_code == 403
    assert "sk-tl-" not in answer.text


def test_nobody_gets_one(people):
    answer = people.post(PATH)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")


def test_an_api_key_gets_none_either(people, client):
    assert client.post(PATH).status_code == 303


def test_a_get_makes_none(people, session):
    assert people.get(PATH, headers=session).status_code == 405


async def test_it_can_be_ended_before_its_time(tmp_path):
    (tmp_path / "t.toml").write_text(CONFIG.format(folder=tmp_path))
    settings = load_settings(tmp_path / "t.toml", {"MASTER_KEY": MASTER_KEY, "TRUNKLINE_CACHE": str(tmp_path)})
    migrate.upgrade(settings.store.url)
    reader = Reader(signed_in=True, session_id="one", expires_ms=2**52)
    async with await Store.open(settings.store.url) as store:
        console = Console(settings, build_with_servers(settings, {}), b"pepper", MASTER_KEY, store)
        await end_session_keys(console, [reader.session_id])
        assert await store.list_keys() == [], "where there is none, there is nothing to end"
        await open_session(store, Session("one", 0, 2**52), master_actor(), "master_key")
        first = await session_key(console, reader)
        await end_session_keys(console, [reader.session_id])
        assert [key.revoked_ms is None for key in await store.list_keys()] == [False]
        assert await session_key(console, reader) != first


def test_signing_out_ends_it_at_once(people, client, session):
    key = people.post(PATH, headers=session).json()["key"]
    token = session["x-csrf-token"]
    assert people.post("/sign-out", data={"csrf": token}, headers=session).status_code == 303
    (card,) = kept(client, key)
    assert card["revoked_at"] is not None

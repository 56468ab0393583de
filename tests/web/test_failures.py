"""What went wrong is a page for people and JSON for programs, with the same strict headers, and says nothing that it should not."""

import contextlib
import sqlite3
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import pytest

from tests.fakes.console import MASTER_KEY, RunningConsole
from tests.fakes.operating import session_of, text_of
from trunkline.web.app import make_app


@pytest.fixture
def people(console):
    with console.client(None, accept="text/html") as made:
        yield made


def test_a_page_that_is_not_there_leads_on(people):
    answer = people.get("/platform/nothing")
    assert answer.status_code == 404
    assert "There is no such page" in text_of(answer)
    assert 'href="/models"' in answer.text
    assert 'href="/platform/logs"' not in answer.text
    signed_in = people.get("/platform/nothing", headers=session_of(people, MASTER_KEY))
    assert 'href="/platform/logs"' in signed_in.text


def test_what_a_page_does_not_do_is_told(people):
    answer = people.delete("/")
    assert answer.status_code == 405
    assert "This cannot be done here" in text_of(answer)


def test_a_change_from_elsewhere_is_a_page_in_words(people):
    session = session_of(people, MASTER_KEY)
    answer = people.post("/platform/reload", headers={**session, "x-csrf-token": "0"})
    assert answer.status_code == 403
    assert "This form is not from this session" in text_of(answer)


def test_a_store_that_cannot_answer_is_told_to_both():
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        broken = RunningConsole(Path(folder))
        with broken.client(None, accept="text/html") as people, broken.client(accept="application/json") as program:
            session = session_of(people, MASTER_KEY)
            with contextlib.closing(sqlite3.connect(broken.folder / "trunkline.db")) as store:
                store.execute("DROP TABLE records")
            page = people.get("/platform/settings", headers=session)
            told = program.get("/api/v1/management/providers").json()
        assert broken.stop() == 0
    assert page.status_code == 503
    assert "The store cannot answer" in text_of(page)
    assert told["error"]["type"] == "overloaded"


async def test_a_surprise_is_a_page_with_the_strict_headers_and_without_its_cause():
    async def surprising() -> None:
        raise RuntimeError("secret-1")

    app = make_app(cast(Any, SimpleNamespace()))
    app.add_api_route("/surprising", surprising)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://console") as client:
        page = await client.get("/surprising", headers={"accept": "text/html", "x-request-id": "req_7"})
        told = await client.get("/surprising")
    assert page.status_code == told.status_code == 500
    assert "Something broke here" in text_of(page)
    assert "at request req_7" in text_of(page)
    assert told.json()["error"]["type"] == "internal_server_error"
    for answer in (page, told):
        assert "secret-1" not in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")

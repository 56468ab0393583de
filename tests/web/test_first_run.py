"""The first steps: each is ticked off when it is done, the part answers only where something changed, and in the end it is gone."""

import html
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.console import CONFIG, MASTER_KEY, RunningConsole
from tests.fakes.operating import session_of, text_of
from tests.fakes.records import a_record
from trunkline.web.first_run import FIRST_RECORDS

STEPS = "/first-steps"


@pytest.fixture
def fresh() -> Iterator[RunningConsole]:
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        running = RunningConsole(Path(folder))
        yield running
        assert running.stop() == 0


@pytest.fixture
def empty() -> Iterator[RunningConsole]:
    """Without any provider."""
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        running = RunningConsole(Path(folder), CONFIG.partition("[providers.acme]")[0])
        yield running
        assert running.stop() == 0


def done(page: str) -> str:
    """1 for each step that is ticked off."""
    part = page.partition('<ol class="first-steps">')[2].partition("</ol>")[0]
    return "".join("1" if "done" in classes else "0" for classes in re.findall(r'<li class="([^"]*)">\s*<h3>', part))


def test_an_empty_gateway_leads_to_its_first_provider(empty):
    with empty.client(None, accept="text/html") as people:
        page = people.get("/")
        assert done(page.text) == "0000"
        text = text_of(page)
        assert "set OPENAI_API_KEY" in text
        assert "trunkline models pull" in text
        assert "As soon as there is a provider" in text
        assert "Try it" not in text
        session = session_of(people, MASTER_KEY)
        answer = people.get("/platform/providers", headers=session)
    assert "No provider is ready" in answer.text
    assert "[providers.openrouter]" in answer.text


def test_steps_are_ticked_off_one_by_one(fresh):
    with fresh.client(accept="text/html") as people:
        assert done(people.get("/").text) == "1000"
        session = session_of(people, MASTER_KEY)
        people.post("/platform/session-key", headers=session)
        assert done(people.get(STEPS).text) == "1000", "a key of a page is no key of the reader"
        people.post("/api/v1/management/keys", json={"name": "me"})
        part = people.get(STEPS)
        assert done(part.text) == "1100"
        assert "curl https://llm.example.com/api/v1/chat/completions" in text_of(part)
        assert "acme/alpha" in text_of(part)

        fresh.keep(a_record(1, outcome="error", status=502))
        assert done(people.get(STEPS).text) == "1110"
        assert "the log says why" in text_of(people.get(STEPS))
        assert "req_000001" not in people.get(STEPS).text.partition("hx-trigger")[2], (
            "not for those who have not signed in"
        )
        assert 'href="/platform/logs/req_000001"' in people.get(STEPS, headers=session).text

        fresh.keep(a_record(2))
        last = people.get(STEPS)
        assert done(last.text) == "1111"
        assert "hx-get" not in last.text, "nothing is left to wait for"
        assert "first-steps" not in people.get("/").text


def test_the_part_answers_only_where_something_changed(fresh):
    with fresh.client(accept="text/html") as people:
        (address,) = re.findall(r'hx-get="(/first-steps[^"]+)" hx-trigger="every 3s"', people.get("/").text)
        address = html.unescape(address)
        assert "samples below" in text_of(people.get("/"))
        assert people.get(address).status_code == 204
        people.post("/api/v1/management/keys", json={"name": "me"})
        changed = people.get(address)
        assert changed.status_code == 200
        assert address not in html.unescape(changed.text)
        fresh.keep(*(a_record(number, outcome="error", status=502) for number in range(FIRST_RECORDS)))
        assert "first-steps" not in people.get("/").text, "with so many requests somebody knows the way"

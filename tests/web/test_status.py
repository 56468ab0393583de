"""`/status`: one sentence, a bar a day, incidents from our own traffic; and who may read it."""

import html
import re
import tempfile
import time
from pathlib import Path

import msgspec
import pytest

from tests.fakes.console import CONFIG, MASTER_KEY, RunningConsole
from tests.fakes.records import a_record
from trunkline.records.figures import DAY_S, HOUR_S
from trunkline.records.types import Attempt
from trunkline.web.status import Line, sentence, worst
from trunkline.web.uptime import Now

OFFER = "acme/alpha:acme"


def at(ago_s: float, number: int, outcome: str = "ok", status: int = 200):
    """A request to the one offer, that long ago."""
    ended_ms = (time.time() - ago_s) * 1000
    attempt = Attempt("acme", OFFER, "alpha", ended_ms - 900, ended_ms, outcome, status)
    return msgspec.structs.replace(
        a_record(number), received_ms=ended_ms - 1000, ended_ms=ended_ms, model="acme/alpha", offer=OFFER, provider="acme",
        attempts=(attempt,), outcome="ok" if outcome == "ok" else "error",
    )  # fmt: skip


@pytest.fixture(scope="module")
def console():
    """An outage of ten days ago, one that goes on, and one well day in between."""
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        running = RunningConsole(Path(folder))
        records = [at(10 * DAY_S + HOUR_S, number, "status", 503) for number in range(8)]
        records += [at(5 * DAY_S, 100 + number) for number in range(8)]
        records += [at(1, 200 + number, "timeout_idle") for number in range(6)]
        running.keep(*records)
        yield running
        running.stop()


@pytest.fixture
def people(console):
    with console.client(None, accept="text/html") as made:
        yield made


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def test_the_state_of_all_is_in_one_sentence_at_the_top(people):
    text = text_of(people.get("/status").text)
    assert "Acme & Sons is down. 1 incident is ongoing." in text
    assert text.index("is down.") < text.index("The last 90 days")


def test_there_is_a_bar_for_each_of_90_days(people):
    page = people.get("/status").text
    bars = re.findall(r'<i class="(\w+)" title="(\d{4}-\d\d-\d\d): ([^"]+)"></i>', page)
    assert len(bars) == 90
    assert [grade for grade, _, _ in bars if grade != "none"] == ["bad", "good", "bad"]
    assert ("good", time.strftime("%Y-%m-%d", time.gmtime(time.time() - 5 * DAY_S)), "100.00 %") in bars


def test_incidents_say_when_how_long_and_what_failed(people):
    text = text_of(people.get("/status").text)
    assert "8 of 8 attempts failed (uptime 0.00 %), mostly status 503" in text
    assert "6 of 6 attempts failed (uptime 0.00 %), mostly the answer stood still" in text
    assert text.index("mostly the answer stood still") < text.index("mostly status 503")
    assert text.count("resolved") == 1
    assert text.count("ongoing") == 2, "at the incident, and in the sentence at the top"


def test_the_range_is_chosen(people):
    assert "status 503" not in people.get("/status?days=7").text
    assert "status 503" in people.get("/status?days=90").text


def test_few_offers_are_shown_at_once_and_htmx_gets_those_of_one_provider(people):
    assert "offers-over-time" in people.get("/status").text
    part = people.get("/status?provider=acme", headers={"hx-request": "true"}).text
    assert "<html" not in part
    assert 'href="/acme/alpha"' in part


@pytest.mark.parametrize(
    ("query", "status"), [("days=8", 400), ("days=x", 400), (f"days={'7' * 5000}", 400), ("provider=nobody", 404)]
)
def test_wrong_input_is_told_in_words(people, query, status):
    answer = people.get(f"/status?{query}")
    assert answer.status_code == status
    assert "<h1>" in answer.text


def test_a_closed_page_is_for_those_who_have_signed_in():
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        running = RunningConsole(Path(folder), CONFIG.replace("public = true", "public = false"))
        with running.client(None, accept="text/html") as people:
            for path in ("/status", "/models", "/models/compare", "/providers", "/providers/acme"):
                assert people.get(path).status_code == 403, path
            cookie = people.post("/sign-in", data={"key": MASTER_KEY}).headers["set-cookie"].partition(";")[0]
            page = people.get("/status", headers={"cookie": cookie}).text
        assert running.stop() == 0
    assert "There was no traffic in the last hour." in page
    assert "No incident in the last 30 days" in page


def line(name: str, state: str) -> Line:
    return Line(name, name, "", Now(state), None, 0, [])


@pytest.mark.parametrize(
    ("states", "text", "grade"),
    [
        ([], "No provider is set up yet.", "none"),
        (["quiet"], "There was no traffic in the last hour.", "none"),
        (["up"], "P0 is up.", "good"),
        (["up", "quiet", "up"], "All 2 providers with traffic are up.", "good"),
        (["down", "up"], "P0 is down; the other one is up.", "fair"),
        (["down", "down", "up", "up"], "P0 and P1 are down; the other 2 are up.", "fair"),
        (["down", "disturbed"], "P0 is down, P1 is disturbed.", "bad"),
        (["limited", "up", "disturbed"], "P2 is disturbed, P0 is limited; the other one is up.", "fair"),
    ],
)
def test_the_sentence(states, text, grade):
    lines = [line(f"P{number}", state) for number, state in enumerate(states)]
    assert sentence(lines, 0) == text
    assert worst([one.now for one in lines], 0) == grade


def test_an_ongoing_incident_is_told_too():
    assert sentence([line("P0", "up")], 1) == "P0 is up. 1 incident is ongoing."
    assert sentence([line("P0", "up")], 2) == "P0 is up. 2 incidents are ongoing."
    assert worst([Now("up")], 1) == "fair"

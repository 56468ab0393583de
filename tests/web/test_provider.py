"""`/providers/{slug}`: its offers with prices and figures, its terms, and what it needs."""

import html
import re
import tempfile
import time
from pathlib import Path

import msgspec
import pytest

from tests.fakes.console import CONFIG, RunningConsole
from tests.fakes.records import a_record
from trunkline.records.types import Attempt

TERMS = 'status_url = "https://status.example.com"\ndocs_url = "https://docs.example.com"\n'
CONFIG = CONFIG.replace('name = "Acme & Sons"\n', 'name = "Acme & Sons"\n' + TERMS)


@pytest.fixture(scope="module")
def console():
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        running = RunningConsole(Path(folder), CONFIG)
        running.keep(*(ended(number, ok=number < 3) for number in range(4)))
        yield running
        running.stop()


def ended(number: int, ok: bool):
    ended_ms = time.time() * 1000
    outcome, status = ("ok", 200) if ok else ("status", 503)
    attempt = Attempt("acme", "acme/alpha:acme", "alpha", ended_ms - 2000, ended_ms, outcome, status)
    return msgspec.structs.replace(
        a_record(number), received_ms=ended_ms - 2000, ended_ms=ended_ms, model="acme/alpha", offer="acme/alpha:acme",
        provider="acme", attempts=(attempt,),
    )  # fmt: skip


@pytest.fixture
def people(console):
    with console.client(None, accept="text/html") as made:
        yield made


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def test_it_shows_offers_prices_figures_and_terms(people):
    page = people.get("/providers/acme").text
    text = text_of(page)
    assert "Acme & Sons Ready" in text
    assert "Uptime 75.00 %" in text
    assert "Trains on prompts not stated" in text
    assert 'href="https://status.example.com"' in page
    assert 'href="https://docs.example.com"' in page
    row = text_of(re.search(r'<th scope="row"><a href="/acme/alpha">.*?</tr>', page, re.DOTALL)[0])
    assert "Alpha alpha 200K - $1.10 $4.40 - not stated" in row
    assert "75.00 %" in row


def test_uptime_has_a_bar_an_hour_of_three_days_and_a_day_of_thirty(people):
    page = people.get("/providers/acme").text
    hours = re.findall(r'<i class="(\w+)" title="\w+ \d+, \d{4} - \d+ [AP]M: ([^"]+)"></i>', page)
    assert len(hours) == 72
    assert [one for one in hours if one[1] != "no requests"] == [("bad", "75.00 %")]
    strip = re.search(r'<svg class="strip" viewBox="0 0 120 20".*?</svg>', page, re.DOTALL)[0]
    assert 'class="bad" d="M116 0h3v20h-3z"' in strip


def test_an_absent_one_says_what_it_needs(people):
    text = text_of(people.get("/providers/openai").text)
    assert "OpenAI Absent" in text
    assert "It cannot be called yet: set OPENAI_API_KEY" in text


def test_another_spelling_leads_to_it(people):
    answer = people.get("/providers/OpenAI")
    assert (answer.status_code, answer.headers["location"]) == (308, "/providers/openai")


@pytest.mark.parametrize("slug", ["nobody", "%3Cscript%3E", "a b"])
def test_one_that_is_not_there_is_told_in_words(people, slug):
    answer = people.get(f"/providers/{slug}")
    assert answer.status_code == 404
    assert "There is no provider" in answer.text
    assert "<script>" not in answer.text

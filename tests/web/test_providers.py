"""`/providers`: who is ready, who rests, and what the others need."""

import html
import re
import tempfile
import time
from pathlib import Path

import msgspec
import pytest

from tests.fakes.console import CONFIG, RunningConsole
from tests.fakes.records import a_record
from trunkline.api.management.providers import ProviderCard
from trunkline.ir.usage import Usage
from trunkline.records.figures import OfferFigures
from trunkline.records.types import Attempt
from trunkline.storage.outcomes import Outcomes
from trunkline.web.providers import ready
from trunkline.web.uptime import Recent

NOTHING = Recent({}, {})


@pytest.fixture(scope="module")
def console():
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        running = RunningConsole(Path(folder))
        running.keep(*(answered(number) for number in range(3)))
        yield running
        running.stop()


def answered(number: int):
    ended_ms = time.time() * 1000
    attempt = Attempt(
        "acme", "acme/alpha:acme", "alpha", ended_ms - 2000, ended_ms, status=200, first_token_ms=250.0, last_token_ms=1250.0,
        usage=Usage(input_tokens=10, output_tokens=80),
    )  # fmt: skip
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


def test_a_ready_provider_shows_its_figures_of_today(people):
    page = people.get("/providers").text
    card = text_of(re.search(r'<article.*?href="/providers/acme".*?</article>', page, re.DOTALL)[0])
    assert "Acme & Sons Ready" in card
    assert "1 model ·" in card
    assert "Latency 250 ms" in card
    assert "Throughput 80 tps" in card
    assert "Uptime 100.00 %" in card
    assert "100.00 % of today's traffic" in card


def test_an_absent_one_says_what_mends_it(people):
    row = re.search(r'<li><a href="/providers/openai">.*?</li>', people.get("/providers").text, re.DOTALL)[0]
    assert "set OPENAI_API_KEY" in text_of(row)
    assert 'data-copy="OPENAI_API_KEY"' in row


def test_a_gateway_without_any_provider_leads_to_the_first_step():
    bare = CONFIG.partition("[providers.acme]")[0]
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        running = RunningConsole(Path(folder), bare)
        with running.client(None, accept="text/html") as people:
            page, start = people.get("/providers").text, people.get("/status").text
        assert running.stop() == 0
    assert "No provider is ready yet" in page
    assert "No provider is set up yet." in start


def card(slug: str, state: str = "ready") -> ProviderCard:
    return ProviderCard(
        slug=slug, name=slug.title(), state=state, reason="", variables=[], hosts=[], models=1, local=False, status_page=None,
        last_fault=None,
    )  # fmt: skip


def figures(attempts: int) -> OfferFigures:
    made = OfferFigures()
    made.attempts = made.ok = attempts
    return made


def test_shares_are_of_all_traffic_and_the_busiest_comes_first():
    first, second, third = ready(
        [card("a"), card("b"), card("c"), card("d", "absent")],
        {"m:b": figures(6), "n:b": figures(3), "m:d": figures(1)},
        NOTHING,
    )
    assert (first.card.slug, first.share, first.live.attempts) == ("b", 0.9, 9)
    assert (second.card.slug, second.share) == ("a", 0.0)
    assert third.card.slug == "c"


def test_without_traffic_no_share_is_made_up():
    assert ready([card("a")], {}, NOTHING)[0].share is None


@pytest.mark.parametrize(
    ("outcomes", "rests"),
    [(Outcomes(0, "a", 9, failed=9), True), (Outcomes(0, "a", 9, limited=9), True), (Outcomes(0, "a", 9, ok=9), False)],
)
def test_one_of_which_little_goes_well_rests(outcomes, rests):
    assert ready([card("a")], {}, Recent({"a": [outcomes]}, {}))[0].is_resting is rests

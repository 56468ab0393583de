"""`/models`: what is listed, in which order, by which address; and what htmx gets."""

import html
import re
import tempfile
from pathlib import Path

import msgspec
import pytest

from tests.fakes.console import CONFIG, RunningConsole
from tests.fakes.traffic import traffic
from trunkline.ir.usage import Usage

MORE = """
data_policy = {{ training = false, retention_days = 0 }}
[[models]]
slug = "acme/beta"
name = "Beta <b>"
aliases = ["second"]
context_tokens = 1000000
input = ["text", "image"]
released_on = "2026-11-01"
[[models.offers]]
provider = "acme"
protocols = ["openai.chat", "anthropic.messages"]
supported_parameters = ["max_completion_tokens", "tools"]
price = [
  {{ item = "prompt", unit = "perMTokens", value = "0.20" }},
  {{ item = "completion", unit = "perMTokens", value = "9" }},
]
[[models]]
slug = "other/gamma"
name = "Gamma"
context_tokens = 32000
released_on = "2025-01-01"
[[models.offers]]
provider = "acme"
protocols = ["openai.chat"]
"""


@pytest.fixture(scope="module")
def console():
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        running = RunningConsole(Path(folder), CONFIG + MORE)
        now_ms = running_now_ms()
        running.keep(*(quick(record) for record in traffic(60, over_s=3_600, until_ms=now_ms)))
        yield running
        running.stop()


def running_now_ms() -> float:
    import time

    return time.time() * 1000


def quick(record):
    """Alpha is used little and quick, beta much and slow."""
    if record.model == "other/gamma":
        record = msgspec.json.decode(
            msgspec.json.encode(record).replace(b"other/gamma", b"acme/beta"), type=type(record)
        )
    first_ms, tokens = (100.0, 100) if record.model == "acme/alpha" else (900.0, 5_000)
    attempts = tuple(
        msgspec.structs.replace(
            attempt, provider="acme", offer=f"{record.model}:acme", first_token_ms=first_ms, last_token_ms=first_ms + 1000,
            usage=Usage(input_tokens=10, output_tokens=tokens),
        )
        for attempt in record.attempts
    )  # fmt: skip
    return msgspec.structs.replace(record, attempts=attempts, offer=f"{record.model}:acme", provider="acme")


@pytest.fixture
def people(console):
    with console.client(None, accept="text/html") as made:
        yield made


def listed(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return re.findall(r'<th scope="row"><a href="/([^"]+)"', answer.text)


def ask(people, query: str) -> list[str]:
    return listed(people.get(f"/models?{query}"))


def test_it_lists_what_can_be_called_with_its_facts(people):
    answer = people.get("/models")
    assert set(listed(answer)) == {"acme/alpha", "acme/beta", "other/gamma"}
    row = re.search(r'<a href="/acme/alpha">.*?</tr>', answer.text)[0]
    cells = [html.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]
    assert cells[1:4] == ["200K", "$1.10", "$4.40"]
    assert cells[4] == "100 ms"
    assert cells[5] == "100"
    assert cells[-1] == "Acme & Sons"
    assert 'title="200,000"' in row


def test_what_somebody_wrote_is_escaped(people):
    page = people.get("/models", params={"q": '"><script>alert(1)</script>'}).text
    assert "<script>alert" not in page
    assert "Beta &lt;b&gt;" in people.get("/models").text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=ALPHA", ["acme/alpha"]),
        ("q=second", ["acme/beta"]),
        ("q=acme+bet", ["acme/beta"]),
        ("q=nothing-like-it", []),
        ("input=image", ["acme/beta"]),
        ("input=image&input=text", ["acme/beta"]),
        ("input=audio", []),
        ("provider=acme&sort=name", ["acme/alpha", "acme/beta", "other/gamma"]),
        ("provider=openai", []),
        ("context=200000&sort=name", ["acme/alpha", "acme/beta"]),
        ("context=200001", ["acme/beta"]),
        ("price=0.2", ["acme/beta"]),
        ("price=1.1&sort=name", ["acme/alpha", "acme/beta"]),
        ("parameter=seed&sort=name", ["acme/alpha", "other/gamma"]),
        ("protocol=anthropic.messages", ["acme/beta"]),
        ("policy=zero_retention", ["acme/alpha"]),
        ("policy=no_training", ["acme/alpha"]),
        ("policy=zero_retention&input=image", []),
    ],
)
def test_it_is_searched_and_filtered(people, query, found):
    assert ask(people, query) == found


@pytest.mark.parametrize(
    ("sort", "found"),
    [
        ("use", ["acme/beta", "acme/alpha", "other/gamma"]),
        ("name", ["acme/alpha", "acme/beta", "other/gamma"]),
        ("newest", ["acme/beta", "other/gamma", "acme/alpha"]),
        ("price", ["acme/beta", "acme/alpha", "other/gamma"]),
        ("context", ["acme/beta", "acme/alpha", "other/gamma"]),
        ("latency", ["acme/alpha", "acme/beta", "other/gamma"]),
        ("throughput", ["acme/beta", "acme/alpha", "other/gamma"]),
    ],
)
def test_it_is_sorted_and_what_is_not_known_comes_last(people, sort, found):
    assert ask(people, f"sort={sort}") == found


def test_all_means_those_too_that_cannot_be_called(people):
    found = ask(people, "all=1&provider=openai&more=1")
    assert "openai/gpt-5.6-luna" in found
    assert "acme/alpha" not in found
    assert "not callable" in people.get("/models?all=1&q=gpt-5.6").text
    assert "openai/gpt-5.6-luna" not in ask(people, "")


def test_long_lists_come_in_two_parts(people):
    first = people.get("/models?all=1")
    assert len(listed(first)) == 100
    assert "Show the other" in first.text
    assert len(first.content) < 110_000
    assert len(ask(people, "all=1&more=1")) > 100


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("sort=size", 400, "newest"),
        ("provider=nobody", 400, "acme"),
        ("input=smell", 400, "audio"),
        ("protocol=smtp", 400, "anthropic.messages"),
        ("parameter=magic", 400, "temperature"),
        ("policy=all", 400, "no_training"),
        ("context=much", 400, "128000"),
        ("price=-1", 400, "0.5"),
        ("price=NaN", 400, "0.5"),
        ("m=acme/none", 404, "no model acme/none"),
        ("m=acme/alpha&m=acme/beta&m=other/gamma&m=openai/o4-mini&m=openai/gpt-5", 400, "At most 4"),
    ],
)
def test_wrong_input_is_told_in_words(people, query, status, words):
    answer = people.get(f"/models?{query}")
    assert answer.status_code == status
    assert words in html.unescape(answer.text)


def test_nothing_found_leads_on(people):
    page = people.get("/models?q=o4-mini").text
    assert "No model has all of this" in page
    assert 'href="/models?q=o4-mini&amp;all=1"' in page


def test_htmx_gets_the_list_alone_and_the_shortest_address(people):
    sent = "q=alpha&sort=use&all=&input=&provider=&context=&price=&parameter=&protocol=&policy="
    answer = people.get(f"/models?{sent}", headers={"hx-request": "true"})
    assert listed(answer) == ["acme/alpha"]
    assert "<html" not in answer.text
    assert answer.headers["hx-push-url"] == "/models?q=alpha"
    back = people.get("/models", headers={"hx-request": "true", "hx-history-restore-request": "true"})
    assert "<html" in back.text


def test_what_is_chosen_stays_when_the_list_no_longer_has_it(people):
    page = people.get("/models?m=acme/alpha&m=acme/beta&q=beta").text
    assert 'href="/models/compare?m=acme/alpha&amp;m=acme/beta"' in page
    assert re.search(r'<input type="hidden" name="m"[^>]*value="acme/alpha"', page)
    assert re.search(r'type="checkbox" name="m"[^>]*value="acme/beta"[^>]* checked', page)
    full = people.get("/models?m=acme/alpha&m=acme/beta&m=other/gamma&m=openai/o4-mini&all=1").text
    assert " disabled>" in full


def test_the_api_has_its_models_where_it_had_them(people):
    assert people.get("/v1/models").status_code == 404, "the data plane answers this, not the console"


def test_a_gateway_without_any_provider_leads_to_the_first_step():
    bare = CONFIG.partition("[providers.acme]")[0]
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        running = RunningConsole(Path(folder), bare)
        with running.client(None, accept="text/html") as people:
            page = people.get("/models").text
        assert running.stop() == 0
    assert "No model can be called yet" in page
    assert 'href="/providers"' in page

"""The page of openai/o4-mini over the demo's offers and past, beside the page it is made after: every label and figure has its place."""

import html
import re
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from tests.fakes.console import RunningConsole
from trunkline.catalog.load import shipped_catalog
from trunkline.simulate.showcase import MODEL, gateway_file, past
from trunkline.storage.backfill import backfill

TABLES = {
    # https://zenmux.ai/openai/o4-mini as of October 2025: provider -> (min, max, avg)
    "tokens/s": {"Azure": ("15.65", "138.49", "65.33"), "OpenAI": ("36.37", "100.14", "48.77")},
    "ms": {"Azure": ("1945", "223821", "30199.85"), "OpenAI": ("1677", "93499", "7973.91")},
}
PRICES = {"OpenAI": ("1.1", "4.4", "0.275"), "Azure": ("1.1", "4.4", "0.28")}
LABELS = (
    "OpenAI: o4 Mini", "openai/o4-mini", "By openai", "Input type", "Output type", "Recent activity on o4 Mini", "Tokens processed per day",
    "Throughput (tokens/s)", "Providers Min (tokens/s) Max (tokens/s) Avg (tokens/s)", "First Token Latency (ms)",
    "Providers Min (ms) Max (ms) Avg (ms)", "Providers for o4 Mini", "best provider", "prompt size and parameters", "falls back",
    "Sample code and API for o4 Mini", "Trunkline normalizes requests and responses across providers for you.",
)  # fmt: skip
CARD = (
    "Latency", "Throughput", "Uptime", "Recent uptime", "Price", "Input", "Output", "Cache read", "Cache write 5m", "Cache write 1h",
    "Cache write", "Web search", "Model limitation", "Context", "Max output", "Supported Parameters", "Model Protocol Compatibility", "openai",
    "anthropic", "Data policy", "Prompt training", "Prompt Logging", "Moderation", "Status Page", "status page",
)  # fmt: skip
"""Labels of a card, in this order."""
PARAMETERS = (
    ("max_completion_tokens", True), ("temperature", False), ("top_p", False), ("frequency_penalty", False), ("presence_penalty", False),
    ("seed", True), ("logit_bias", False), ("logprobs", False), ("top_logprobs", False), ("response_format", True),
    # Not supported there. Here Trunkline does it on the answer.
    ("stop", True),
    ("tools", True), ("tool_choice", True), ("parallel_tool_calls", False),
)  # fmt: skip
TABS = ["OpenAI-Python", "Python", "TypeScript", "OpenAI-TypeScript", "cURL"]
EXAMPLE = ("from openai import OpenAI", "client = OpenAI(", 'base_url="', "api_key=", "completion = client.chat.completions.create(",
           'model="openai/o4-mini"', '"role": "user"', '"type": "text"', "print(completion.choices[0].message.content)")  # fmt: skip


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        # The console's fixture fills in the folder's name; all other braces are TOML's.
        config = gateway_file(8080, "http://127.0.0.1:9", Path("FOLDER"), shipped_catalog()).replace(
            "demo.db", "trunkline.db"
        )
        running = RunningConsole(Path(folder), re.sub(r"([{}])", r"\1\1", config).replace("FOLDER", "{folder}"))
        now_ms = time.time() * 1000
        backfill(running.url, past(shipped_catalog(), now_ms, ["key_1"], Random(1)), now_ms, 100)
        with running.client(None, accept="text/html") as client:
            answer = client.get(f"/{MODEL}")
        assert answer.status_code == 200
        yield answer.text
        assert running.stop() == 0


def words_of(piece: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", piece)))


@pytest.fixture(scope="module")
def words(page: str) -> str:
    return words_of(page)


@pytest.fixture(scope="module")
def cards(page: str) -> dict[str, str]:
    """Provider -> the HTML of its card."""
    found = re.findall(r"<article .*?</article>", page, re.DOTALL)
    return {words_of(re.search(r"<h3.*?</h3>", one, re.DOTALL)[0]).strip(): one for one in found}  # type: ignore[index]


@pytest.mark.parametrize("label", LABELS)
def test_every_label_of_the_page_is_there(words: str, label: str) -> None:
    assert label in words


@pytest.mark.parametrize(("unit", "provider"), [(unit, provider) for unit in TABLES for provider in TABLES[unit]])
def test_tables_have_the_figures_of_the_page(words: str, unit: str, provider: str) -> None:
    least, greatest, average = (float(value) for value in TABLES[unit][provider])
    table = words[words.index(f"Providers Min ({unit})") :]
    found = re.search(rf" {provider} ([\d,.]+) ([\d,.]+) ([\d,.]+) ", table)
    assert found
    low, high, mean = (float(value.replace(",", "")) for value in found.groups())
    assert (low, high) == (least, greatest)
    # The seven days begin with the minute of the past that was made up for them.
    assert mean == pytest.approx(average, rel=0.02)


def test_there_is_a_card_for_each_offer_marked_as_simulated(cards: dict[str, str]) -> None:
    assert list(cards) == ["OpenAI", "Azure"]
    assert all("simulated" in words_of(card) for card in cards.values())


@pytest.mark.parametrize("provider", PRICES)
def test_cards_have_every_label_in_the_order_of_the_page(cards: dict[str, str], provider: str) -> None:
    said, at = words_of(cards[provider]), 0
    for label in CARD:
        at = said.index(f" {label} ", at - 1 if at else 0) + len(label) + 1


@pytest.mark.parametrize("provider", PRICES)
def test_cards_have_the_figures_of_the_page(cards: dict[str, str], provider: str) -> None:
    said = words_of(cards[provider])
    shown = re.search(
        r"Input \$([\d.]+) / M tokens Output \$([\d.]+) / M tokens Cache read \$([\d.]+) / M tokens", said
    )
    assert shown
    assert tuple(map(Decimal, shown.groups())) == tuple(map(Decimal, PRICES[provider]))
    assert "Cache write 5m - Cache write 1h - Cache write - Web search -" in said
    assert "Context 200K Max output 100K" in said
    assert re.search(r"Latency [\d.]+ s Throughput [\d.]+ tokens/s Uptime 100\.00 %", said)


@pytest.mark.parametrize("provider", PRICES)
def test_recent_uptime_is_bars_by_hour_with_the_words_of_the_page(cards: dict[str, str], provider: str) -> None:
    bars = re.findall(r'<i class="\w+" title="([^"]+)"', cards[provider])
    assert len(bars) == 72
    assert (
        sum(re.fullmatch(r"[A-Z][a-z]{2} \d{1,2}, \d{4} - \d{1,2} [AP]M: 100\.00 %", bar) is not None for bar in bars)
        > 50
    )


@pytest.mark.parametrize("provider", PRICES)
def test_parameters_are_supported_or_struck_out_as_on_the_page(cards: dict[str, str], provider: str) -> None:
    found = re.findall(r"<li[^>]*>(<s>)?(\w+)", cards[provider])
    assert [(name, not struck) for struck, name in found[: len(PARAMETERS)]] == list(PARAMETERS)


def test_protocols_and_policies_are_those_of_the_page(cards: dict[str, str]) -> None:
    for provider, logging in (("OpenAI", "Zero retention"), ("Azure", "30 day retention")):
        said = words_of(cards[provider])
        assert "openai native" in said
        # A dash there; here every model answers in every protocol.
        assert "anthropic by translation" in said
        assert (
            f"Prompt training false Prompt Logging {logging} Moderation Responsibility of developer Status Page status page"
            in said
        )


def test_samples_begin_with_those_of_the_page(page: str) -> None:
    tabs = re.findall(r'role="tab"[^>]*>([^<]+)<', page)
    assert tabs[: len(TABS)] == TABS
    code = html.unescape(re.findall(r'data-copy="([^"]*OpenAI[^"]*)"', page)[0])
    at = 0
    for line in EXAMPLE:
        at = code.index(line, at)


def test_the_reader_is_told_what_is_simulated_and_until_when_it_is_made_up(words: str) -> None:
    assert "no answer and no figure is a real model's" in words
    assert re.search(r"What is older than \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC is made up", words)

"""The page of a model: whose page it is, its figures, its offers, and what it says where there is nothing."""

import html
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.fakes.console import CONFIG, RunningConsole
from tests.fakes.records import a_record
from trunkline.ir.usage import Usage
from trunkline.records.types import Attempt, Record

MORE = """
aliases = ["alpha", "acme/alpha-2026"]
description = "Answers <everything>"
input = ["text", "image"]
released_on = "2026-05-01"
deprecated_on = "2026-06-01"
replacement = "acme/idle"
"""
CONFIGURED = (
    CONFIG.replace('name = "Alpha"\n', f'name = "Alpha"{MORE}')
    + """
[[models]]
slug = "acme/idle"
name = "Acme: Idle"
[[models.offers]]
provider = "anthropic"
protocols = ["anthropic.messages"]
supported_parameters = ["temperature", "min_p"]
emulated_parameters = ["stop"]
data_policy = {{ training = true, retention_days = 30, moderation = "provider", region = "eu" }}
price = [
  {{ item = "prompt", unit = "perMTokens", value = "3", when = {{ prompt_tokens_lte = 200000 }} }},
  {{ item = "prompt", unit = "perMTokens", value = "6", when = {{ prompt_tokens_gt = 200000 }} }},
  {{ item = "prompt", unit = "perMTokens", value = "1.5", when = {{ service_tier = "flex" }} }},
  {{ item = "completion", unit = "perMTokens", value = "15.125" }},
  {{ item = "web_search", unit = "perCount", value = "0.01" }},
]
[[models]]
slug = "acme/orphan"
[[models]]
slug = "anthropic/acme-a/b:8b"
[[models.offers]]
provider = "acme"
"""
)


@pytest.fixture(scope="module")
def console() -> Iterator[RunningConsole]:
    """Alpha has had traffic at Acme in this hour, and some a week ago."""
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        running = RunningConsole(Path(folder), CONFIGURED)
        now_ms = time.time() * 1000
        streams = [a_stream(number, now_ms - 1000 * number, 100.0 * (number + 1)) for number in range(5)]
        broken = a_stream(6, now_ms - 30 * 3_600_000, None)
        old = a_stream(7, now_ms - 8 * 86_400_000, 9_000.0)
        running.keep(*streams, broken, old)
        yield running
        assert running.stop() == 0


def a_stream(number: int, ended_ms: float, first_ms: float | None) -> Record:
    """A request for Alpha: 200 tokens within two seconds after the first one; without a first token it failed."""
    usage = Usage(input_tokens=1_000, cache_read_tokens=500, output_tokens=150, reasoning_tokens=50)
    attempt = Attempt(
        "acme", "acme/alpha:acme", "alpha", ended_ms - 3_000, ended_ms, "ok" if first_ms else "status", 200 if first_ms else 503,
        first_token_ms=first_ms, last_token_ms=first_ms + 2_000 if first_ms else None, usage=usage if first_ms else Usage(),
    )  # fmt: skip
    return a_record(
        number, received_ms=ended_ms - 3_001, ended_ms=ended_ms, model="acme/alpha", offer="acme/alpha:acme", provider="acme",
        attempts=(attempt,), outcome="ok" if first_ms else "error",
    )  # fmt: skip


@pytest.fixture
def people(console: RunningConsole) -> Iterator[httpx2.Client]:
    with console.client(None, accept="text/html") as made:
        yield made


@pytest.fixture
def text(people: httpx2.Client) -> Any:
    """The words of a page, spaces made one."""

    def words(path: str, **asked: str) -> str:
        answer = people.get(path, params=asked)
        assert answer.status_code == 200, answer.text
        return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text)))

    return words


# --- whose page it is


def test_the_head_says_what_the_model_is(text: Any, people: httpx2.Client) -> None:
    shown = text("/acme/alpha")
    for words in ("Alpha acme/alpha", "Answers <everything>", "By acme", "Input type text image", "Output type text", "Context 200K",
                  "Released 2026-05-01", "Also called alpha acme/alpha-2026"):  # fmt: skip
        assert words in shown
    assert "Deprecated by its author since 2026-06-01. In its place: Acme: Idle ." in shown
    assert 'data-copy="acme/alpha"' in people.get("/acme/alpha").text


def test_what_the_catalog_says_is_escaped(people: httpx2.Client) -> None:
    assert "Answers &lt;everything&gt;" in people.get("/acme/alpha").text


@pytest.mark.parametrize("path", ["/acme%2Falpha", "/acme/alpha"])
def test_the_slash_may_be_quoted(people: httpx2.Client, path: str) -> None:
    assert people.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/acme/alpha-2026", "/acme/alpha:acme", "/acme/alpha:floor"])
def test_another_name_leads_to_the_slug_for_good(people: httpx2.Client, path: str) -> None:
    answer = people.get(f"{path}?range=24h")
    assert (answer.status_code, answer.headers["location"]) == (308, "/acme/alpha?range=24h")


def test_an_alias_without_an_author_is_found_below_its_author_alone(people: httpx2.Client) -> None:
    assert people.get("/openai/o4-mini-2025-04-16").headers["location"] == "/openai/o4-mini"
    assert people.get("/other/o4-mini-2025-04-16").status_code == 404


def test_a_slug_may_have_more_parts_and_an_author_who_is_a_path_of_the_api(people: httpx2.Client) -> None:
    assert people.get("/anthropic/acme-a/b:8b").status_code == 200


def test_an_unknown_name_brings_the_nearest_ones(people: httpx2.Client) -> None:
    answer = people.get("/acme/alhpa<script>")
    assert answer.status_code == 404
    assert "There is no such model" in answer.text
    assert "acme/alhpa&lt;script&gt;" in answer.text
    assert 'href="/acme/alpha"' in answer.text


def test_a_program_gets_the_same_as_json(console: RunningConsole) -> None:
    with console.client(None, accept="application/json") as program:
        answer = program.get("/acme/alhpa")
        assert answer.status_code == 404
        assert "acme/alpha" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/platform/nothing", "/static/nothing.css", "/v1/nothing", "/api/nothing/at/all"])
def test_the_gateways_own_paths_are_no_models(people: httpx2.Client, path: str) -> None:
    answer = people.get(path)
    assert answer.status_code == 404
    assert "no such model" not in answer.text
    assert people.post(path).status_code in (404, 405)


@pytest.mark.parametrize(
    "asked", [{"range": "9d"}, {"days": "1"}, {"days": "x"}, {"key": "A-B"}, {"key": "'; rm -rf /"}, {"key": ""}]
)
def test_what_cannot_be_shown_is_refused_in_words(people: httpx2.Client, asked: dict[str, str]) -> None:
    answer = people.get("/acme/alpha", params=asked)
    assert answer.status_code == 400
    assert "This cannot be shown" in answer.text


def test_closed_pages_are_for_those_who_have_signed_in() -> None:
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        closed = RunningConsole(Path(folder), CONFIG.replace("public = true", "public = false"))
        with closed.client(None, accept="text/html") as client:
            assert client.get("/acme/alpha").status_code == 403
            assert client.get("/acme/nothing").status_code == 403
        assert closed.stop() == 0


# --- its figures


def test_tokens_are_summed_by_kind(text: Any) -> None:
    assert "Input 5K Cached input 2.5K Output 1K Requests 6" in text("/acme/alpha", days="7")
    assert "Input 6K Cached input 3K Output 1.2K Requests 7" in text("/acme/alpha", days="30")


def test_tables_have_least_greatest_and_average_and_percentiles_beside(text: Any) -> None:
    shown = text("/acme/alpha", range="24h")
    assert "Providers Min (ms) Max (ms) Avg (ms) Acme & Sons 100 500 300" in shown
    assert "Providers Min (tokens/s) Max (tokens/s) Avg (tokens/s) Acme & Sons 100 100 100" in shown
    assert re.search(r"Providers p50 p90 p99 Answers Acme & Sons (29\d|30\d)[\d.]* [\d.]+ [\d.]+ 5 ", shown)


def test_the_range_says_what_is_in_the_tables(text: Any) -> None:
    assert "Acme & Sons 100 9,000 1,750" in text("/acme/alpha", range="30d")


def test_a_card_has_the_medians_of_the_hour_and_the_uptime_of_the_day(text: Any, people: httpx2.Client) -> None:
    shown = text("/acme/alpha")
    found = re.search(r"Latency (\d+) ms Throughput ([\d.]+) tokens/s Uptime 100.00 %", shown)
    assert found
    assert abs(int(found[1]) - 300) <= 8
    assert 'title="First token, median of the last hour"' in people.get("/acme/alpha").text


def test_hours_without_requests_are_told_apart_from_bad_ones(people: httpx2.Client) -> None:
    bars = re.findall(r'<i class="(\w+)" title="([^"]+)"', people.get("/acme/alpha").text)
    assert len(bars) == 72
    kinds = [kind for kind, _ in bars]
    assert kinds.count("bad") == 1
    assert kinds.count("none") >= 68
    assert re.fullmatch(r"[A-Z][a-z]{2} \d+, 20\d\d - \d+ [AP]M: 0.00 %", bars[kinds.index("bad")][1])


def test_a_model_without_traffic_says_how_to_begin(text: Any) -> None:
    shown = text("/acme/idle")
    assert "No requests in these 30 days" in shown
    assert "Send the first one" in shown
    assert "No streams in this time" in shown
    assert "Latency - Throughput - Uptime -" in shown


# --- its offers


def test_prices_stand_in_the_order_of_the_page_with_dashes_where_there_are_none(text: Any) -> None:
    assert (
        "Price Input $1.10 / M tokens Output $4.40 / M tokens Cache read - Cache write 5m - Cache write 1h - Cache write - Web search -"
        in text("/acme/alpha")
    )


def test_tiers_are_shown_with_what_they_hold_for(text: Any) -> None:
    shown = text("/acme/idle")
    assert "Input $3.00 / M tokens prompts up to 200K tokens Output $15.125 / M tokens" in shown
    assert "Web search $0.01 / search" in shown
    assert "Input prompts over 200K tokens $6.00 / M tokens" in shown
    assert "Input service tier flex $1.50 / M tokens" in shown


def test_parameters_that_are_not_supported_are_struck_out(people: httpx2.Client, text: Any) -> None:
    page = people.get("/acme/idle").text
    assert re.findall(r"<li[^>]*>(?:<s>)?(\w+)", page)[:3] == ["max_completion_tokens", "temperature", "top_p"]
    assert "<s>seed</s>" in page
    assert "<s>min_p</s>" not in page
    assert "temperature top_p - not supported" in text("/acme/idle")
    assert "stop * (done by Trunkline)" in text("/acme/idle")


def test_protocols_are_native_or_translated(text: Any) -> None:
    assert "openai native openai responses by translation anthropic by translation gemini by translation" in text(
        "/acme/alpha"
    )
    assert "openai by translation openai responses by translation anthropic native gemini by translation" in text(
        "/acme/idle"
    )


def test_the_data_policy_is_in_words_and_a_dash_where_nobody_says(text: Any) -> None:
    assert (
        "Prompt training true Prompt Logging 30 day retention Moderation By the provider Region eu Status Page status page"
        in text("/acme/idle")
    )
    assert "Prompt training - Prompt Logging - Moderation - Status Page - Provider slug acme" in text("/acme/alpha")


def test_an_offer_that_cannot_be_called_says_what_is_missing(text: Any) -> None:
    shown = text("/acme/idle")
    assert "Anthropic not set up Cannot be called: set ANTHROPIC_API_KEY" in shown
    assert "No provider of this model can be called" in shown


def test_an_offer_that_has_ended_says_when(text: Any) -> None:
    assert re.search(r"OpenAI ended Ended at the provider on 2026-10-23\.", text("/openai/o4-mini"))


def test_a_model_that_nobody_serves_has_a_page(text: Any) -> None:
    assert "Nobody serves this model" in text("/acme/orphan")


# --- what it asks of the browser


def test_without_scripts_all_samples_are_there(people: httpx2.Client) -> None:
    page = people.get("/acme/alpha").text
    assert len(re.findall(r'role="tabpanel"', page)) == 9
    assert not re.search(r'role="tabpanel"[^>]* hidden', page)


def test_nothing_is_inline_and_nothing_is_asked_of_others(people: httpx2.Client) -> None:
    page = people.get("/acme/alpha").text
    assert not re.search(r"\s(?:style|on[a-z]+)=", page)
    assert all(" src=" in script or "application/json" in script for script in re.findall(r"<script[^>]*>", page))
    assert all(one.startswith(("/", "#")) for one in re.findall(r'\ssrc="([^"]+)"', page))


def test_the_page_is_small(people: httpx2.Client) -> None:
    assert len(people.get("/acme/alpha").content) < 80_000

"""The start page, and what every answer of the console has: a strict policy, 404s for people and for programs."""

import html
import re
import tempfile
from pathlib import Path

import pytest

from tests.fakes.console import CONFIG, RunningConsole
from trunkline.api.management.console import Console
from trunkline.api.management.providers import provider_cards
from trunkline.settings import load_settings
from trunkline.snapshot import build_with_servers
from trunkline.web.reachable import callable_models


@pytest.fixture
def people(console):
    with console.client(None, accept="text/html") as made:
        yield made


def text_of(answer) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", answer.text))


def test_it_shows_where_to_call_and_with_what(people):
    answer = people.get("/")
    assert answer.status_code == 200
    text = text_of(answer)
    assert "https://llm.example.com/api/v1" in text
    assert 'base_url="https://llm.example.com/api/v1"' in text
    assert '"model": "acme/alpha"' in text
    assert "$1.10 in · $4.40 out" in text
    assert "set OPENAI_API_KEY" in text


def test_the_samples_are_for_the_chosen_model_and_for_known_ones_only(people):
    assert "selected>acme/alpha" in people.get("/", params={"model": "acme/alpha"}).text
    nasty = people.get("/", params={"model": '"><script>alert(1)</script>'})
    assert "alert(1)" not in nasty.text


def test_what_is_shown_is_escaped(people):
    assert "Acme &amp; Sons" in people.get("/").text


def test_the_python_sample_is_python(people):
    sample = re.search(r'id="sample-python"><code>(.*?)</code>', people.get("/").text, re.DOTALL)
    assert sample
    compile(html.unescape(sample[1]), "sample", "exec")


def test_nothing_is_asked_of_anyone_else(people):
    page = people.get("/").text + people.get("/static/app.css").text
    loaded = re.findall(r'(?:src|href)="([^"]+)"|url\(([^)]+)\)|@import (\S+)', page)
    assert all(one.startswith(("/", "#")) for group in loaded for one in group if one)
    assert all(" src=" in script or "application/json" in script for script in re.findall(r"<script[^>]*>", page))
    assert not re.search(r"\s(?:style|on[a-z]+)=", page)


@pytest.mark.parametrize("path", ["/", "/nope", "/static/app.css", "/static/icon.svg", "/api/v1/management/keys"])
def test_every_answer_has_the_strict_policy(people, path):
    headers = people.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_a_page_shows_no_key(people):
    assert not re.search(r"sk-|acme-secret", people.get("/").text)


def test_people_get_a_page_for_a_404_and_programs_json(console, people):
    page = people.get("/nope")
    assert page.status_code == 404
    assert "There is no such page" in page.text
    with console.client(None, accept="application/json") as program:
        answer = program.get("/nope")
        assert answer.json()["error"]["type"] == "not_found"
        assert program.get("/api/v1/nope", headers={"accept": "text/html"}).json()["error"]["code"] == "404"


def test_head_has_no_body(people):
    answer = people.head("/")
    assert (answer.status_code, answer.content) == (200, b"")


def test_the_files_of_the_pages_cannot_be_left(people):
    assert people.get("/static/..%2fprocess.py").status_code == 404


def test_closed_pages_say_so_and_the_api_goes_on():
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        # Not said at all: this gateway has a public address, so it is not on this machine alone.
        closed = RunningConsole(Path(folder), CONFIG.replace("[pages]\npublic = true\n", ""))
        with closed.client(accept="text/html") as client:
            answer = client.get("/")
            assert answer.status_code == 403
            assert "Sign in to see them" in answer.text
            assert client.get("/api/v1/management/keys").status_code == 200
        assert closed.stop() == 0


JUNE_MS = 1_782_777_600_000.0
"""2026-06-30T00:00:00Z"""


@pytest.mark.parametrize(("at_ms", "count"), [(JUNE_MS - 1, 1), (JUNE_MS, 0)])
def test_a_model_that_has_ended_is_not_shown_as_one_to_call(tmp_path, at_ms, count):
    (tmp_path / "t.toml").write_text(CONFIG.format(folder=tmp_path) + 'shutdown_on = "2026-06-30"\n')
    settings = load_settings(tmp_path / "t.toml", {"MASTER_KEY": "sk-master", "TRUNKLINE_CACHE": str(tmp_path)})
    state = build_with_servers(settings, {})
    console = Console(settings, state, b"", "", store=None, now_ms=lambda: at_ms)
    assert len(callable_models(console)) == count
    assert next(card.models for card in provider_cards(console, {}) if card.slug == "acme") == count

"""`/platform/settings`: what holds, where it comes from, what waits; secrets as set or not."""

import re
import tempfile
from pathlib import Path

import pytest

from tests.fakes.console import CONFIG, MASTER_KEY, RunningConsole
from tests.fakes.operating import session_of, text_of
from tests.fakes.records import a_record
from trunkline import __version__
from trunkline.settings import NEEDS_START
from trunkline.storage.migrate import HEAD

PAGE = "/platform/settings"


@pytest.fixture
def people(console):
    with console.client(None, accept="text/html") as made:
        yield made


@pytest.fixture
def session(people):
    return session_of(people, MASTER_KEY)


def row(page: str, section: str, key: str) -> tuple[str, ...]:
    """Value, source, and what changes it."""
    part = page.partition(f'id="{section}"')[2].partition('class="group"')[0]
    found = re.search(
        rf"<code>{re.escape(key)}</code></th><td[^>]*>(.*?)</td><td>(.*?)</td><td[^>]*>(.*?)</td>", part, re.DOTALL
    )
    assert found, f"{section}.{key}"
    return tuple(" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in found.groups())


def test_it_is_for_whoever_has_signed_in(people):
    assert people.get(PAGE).headers["location"].startswith("/sign-in")


def test_each_setting_has_its_value_and_source(people, session):
    page = people.get(PAGE, headers=session).text
    assert row(page, "server", "public_url") == ("https://llm.example.com", "file", "reload")
    assert row(page, "server", "port") == ("8080", "default", "next start")
    assert row(page, "server", "max_body_bytes") == ("33,554,432", "default", "reload")
    assert row(page, "embedded", "enabled") == ("false", "file", "reload")
    assert row(page, "routing", "auto_models")[:2] == ("none", "default")


def test_secrets_are_set_or_not(people, session):
    page = people.get(PAGE, headers=session).text
    assert row(page, "auth", "master_key") == ("set", "file", "reload")
    assert row(page, "shared", "url")[:2] == ("not set", "default")
    assert MASTER_KEY not in page
    assert "acme-secret-1" not in page


def test_what_needs_a_start_is_what_the_settings_say(people, session):
    page = people.get(PAGE, headers=session).text
    for section, keys in NEEDS_START.items():
        for key in keys:
            assert row(page, section, key)[2] == "next start"


def test_catalog_store_and_versions(console, people, session):
    console.keep(a_record(1), a_record(2))
    answer = people.get(PAGE, headers=session)
    text = text_of(answer)
    assert __version__ in text
    assert f"Schema of the store {HEAD}" in text
    assert str(console.folder / "trunkline.db") in text
    assert re.search(r"Records 2 ?, from", text)
    assert "In the figures all of them" in text
    assert f"{console.config} 1 model, 1 provider" in text
    assert "1 models can be called" in text


def test_an_empty_store_has_no_dates(session, people):
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        empty = RunningConsole(Path(folder))
        with empty.client(None, accept="text/html") as fresh:
            text = text_of(fresh.get(PAGE, headers=session_of(fresh, MASTER_KEY)))
        assert empty.stop() == 0
    assert "Records 0 In the figures all of them" in text


def test_what_waits_in_the_file_is_told_apart(console, people, session):
    before = console.config.read_text()
    console.config.write_text(before.replace("[server]", "[server]\nport = 9090") + "\n[gateway]\nkeepalive_s = 5\n")
    page = people.get(PAGE, headers=session)
    console.config.write_text(before)
    assert "has changed since it was taken over: gateway.keepalive_s." in text_of(page)
    assert "taken over at the next start only: server.port." in text_of(page)
    assert row(page.text, "gateway", "keepalive_s")[0] == "10", "what runs is what is shown"


def test_a_key_that_changed_waits_without_being_shown(console, people, session):
    before = console.config.read_text()
    console.config.write_text(before.replace("acme-secret-1", "acme-secret-2"))
    page = people.get(PAGE, headers=session)
    console.config.write_text(before)
    assert "has changed since it was taken over: models and providers." in text_of(page)
    assert "acme-secret" not in page.text


def test_a_file_that_became_wrong_is_told_with_its_fault(console, people, session):
    before = console.config.read_text()
    console.config.write_text(before.replace("[server]", "[server]\nprot = 1"))
    answer = people.get(PAGE, headers=session)
    console.config.write_text(before)
    assert answer.status_code == 200
    assert "would be refused" in text_of(answer)
    assert "did you mean port?" in text_of(answer)


def test_an_unchanged_file_says_nothing(people, session):
    text = text_of(people.get(PAGE, headers=session))
    assert "has changed" not in text
    assert "next start only:" not in text


def test_what_serve_was_told_is_not_taken_for_the_file(live, operator):
    page = operator.get(PAGE).text
    assert row(page, "server", "port")[:2] == (str(live.port), "environment TRUNKLINE_PORT, or the command line")
    assert row(page, "server", "host")[1] == "default"
    assert row(page, "store", "url")[1] == "file"
    assert "next start only:" not in page


def test_an_address_with_a_password_is_shown_without(tmp_path):
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        config = CONFIG + '[telemetry]\notlp_endpoint = "http://alice:pass-word@127.0.0.1:4318"\n'
        config += '[shared]\nurl = "redis://:pass-word@127.0.0.1:6379/0"\n'
        running = RunningConsole(Path(folder), config)
        with running.client(None, accept="text/html") as people:
            page = people.get(PAGE, headers=session_of(people, MASTER_KEY)).text
        assert running.stop() == 0
    assert "pass-word" not in page
    assert row(page, "telemetry", "otlp_endpoint")[0] == "http://...@127.0.0.1:4318"
    assert row(page, "shared", "url")[0] == "set"

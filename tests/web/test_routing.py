"""`/platform/routing`: the strategy in words, the settings that hold, and what would become of a request."""

import json
import re
import tempfile
from pathlib import Path

import pytest

from tests.fakes.console import CONFIG, MASTER_KEY, RunningConsole
from tests.fakes.operating import session_of, text_of
from trunkline.web.routing import PARAMETERS

PAGE = "/platform/routing"
PART = {"hx-request": "true"}


@pytest.fixture
def people(console):
    with console.client(None, accept="text/html") as made:
        yield made


@pytest.fixture
def session(people):
    return session_of(people, MASTER_KEY)


def setting(page: str, key: str) -> str:
    found = re.search(rf"<code>{key}</code></th><td>(.*?)</td>", page)
    assert found, key
    return found[1]


def test_it_is_for_whoever_has_signed_in(people):
    assert people.get(PAGE).headers["location"].startswith("/sign-in")
    assert people.post(PAGE, data={"model": "acme/alpha"}).headers["location"].startswith("/sign-in")


def test_the_settings_of_a_bare_file_are_told_in_words(people, session):
    page = people.get(PAGE, headers=session).text
    assert setting(page, "routing.fallback_model") == "none"
    assert setting(page, "routing.auto_models") == "every model that can be called"
    assert setting(page, "routing.spread") == "yes"
    assert setting(page, "routing.probes") == "none"


def test_settings_that_were_made_are_told_as_they_hold():
    routing = 'fallback_model = "acme/alpha"\nauto_models = ["acme/alpha"]\nspread = false\nprobes = { every_s = 60 }\n'
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        config = CONFIG.replace(
            "[embedded]", f"[routing]\n{routing.replace('{', '{{').replace('}', '}}')}[embedded]", 1
        )
        running = RunningConsole(Path(folder), config)
        with running.client(None, accept="text/html") as people:
            page = people.get(PAGE, headers=session_of(people, MASTER_KEY)).text
        assert running.stop() == 0
    assert setting(page, "routing.fallback_model") == "acme/alpha"
    assert setting(page, "routing.auto_models") == "acme/alpha"
    assert setting(page, "routing.spread") == "no"
    assert setting(page, "routing.probes") == "every 60 s, at most $0.1 a day"


def test_an_address_may_name_the_model_and_it_is_shown_as_text(people, session):
    answer = people.get(PAGE, params={"model": '"><script>alert(1)</script>'}, headers=session)
    assert "<script>alert" not in answer.text
    assert 'value="&#34;&gt;&lt;script&gt;' in answer.text


def test_without_the_data_plane_it_says_so(people, session):
    answer = people.post(PAGE, data={"model": "acme/alpha"}, headers=session)
    assert answer.status_code == 400
    assert "The gateway does not answer at" in text_of(answer)


def test_a_form_from_elsewhere_is_not_answered(people, session):
    assert people.post(PAGE, data={"model": "x"}, headers={**session, "x-csrf-token": "1"}).status_code == 403


def test_a_request_that_was_put_together_is_explained(operator):
    asked = {
        "model": "openai/o4-mini",
        "prompt_tokens": "2,000",
        "answer_tokens": "100",
        "p-temperature": "on",
        "picture": "on",
    }
    answer = operator.post(PAGE, data=asked, headers=PART)
    text = text_of(answer)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert re.search(
        r"openai/o4-mini:openai .* openai/o4-mini:azure|openai/o4-mini:azure .* openai/o4-mini:openai", text
    )
    assert "without temperature" in text
    assert re.search(r"\$0\.00\d+", text)
    assert "image" in text


def test_wishes_are_kept_to(operator):
    asked = {"model": "openai/o4-mini", "only": "azure", "sort": "price", "no_training": "on"}
    text = text_of(operator.post(PAGE, data=asked, headers=PART))
    assert "openai/o4-mini:openai" in text.partition("left out, and why")[2]


def test_a_ceiling_that_no_price_meets_leaves_nobody(operator):
    text = text_of(operator.post(PAGE, data={"model": "openai/o4-mini", "max_prompt_usd": "0.01"}, headers=PART))
    assert "No offer can take it. The caller would get" in text


def test_the_automatic_model_says_what_it_chose(operator):
    text = text_of(operator.post(PAGE, data={"model": "trunkline/auto"}, headers=PART))
    assert re.search(r"trunkline/auto chooses \S+ ?:", text)


def test_every_parameter_of_the_form_is_one_that_is_understood(operator):
    for name in PARAMETERS:
        text = text_of(operator.post(PAGE, data={"model": "acme/alpha", f"p-{name}": "on"}, headers=PART))
        assert "acme/alpha:acme" in text, name
        assert name in text, name


@pytest.mark.parametrize(
    ("protocol", "body", "path_model"),
    [
        ("openai.chat", {"model": "acme/alpha", "messages": [{"role": "user", "content": "Hi"}]}, ""),
        ("openai.responses", {"model": "acme/alpha", "input": "Hi"}, ""),
        (
            "anthropic.messages",
            {"model": "acme/alpha", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
            "",
        ),
        ("gemini", {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}, "acme/alpha"),
    ],
)
def test_a_pasted_request_of_any_protocol_is_explained(operator, protocol, body, path_model):
    asked = {"protocol": protocol, "body": json.dumps(body), "path_model": path_model, "model": "not/this"}
    text = text_of(operator.post(PAGE, data=asked, headers=PART))
    assert "acme/alpha:acme" in text
    assert ("as it is" if protocol == "openai.chat" else "translated") in text


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"model": ""}, "Name a model."),
        ({"model": "acme/alhpa"}, "acme/alpha"),
        ({"model": "acme/alpha", "prompt_tokens": "many"}, "Prompt: 'many' is no number of tokens"),
        ({"model": "acme/alpha", "prompt_tokens": "99999999999999"}, "is no number of tokens from 1 to 200,000"),
        ({"model": "acme/alpha", "prompt_tokens": "000000000001999999999"}, "is no number of tokens"),
        ({"model": "acme/alpha", "prompt_tokens": "9" * 5000}, "is no number of tokens"),
        ({"model": "acme/alpha", "prompt_tokens": "0"}, "is no number of tokens"),
        ({"model": "acme/alpha", "answer_tokens": "-1"}, "Answer: '-1' is no number of tokens"),
        ({"model": "acme/alpha", "sort": "colour"}, "provider.sort"),
        ({"body": "{no"}, "This is no JSON"),
        ({"body": "[1]"}, "A request is a JSON object, in braces."),
        ({"body": "{}", "protocol": "morse"}, "morse"),
        ({"body": '{"contents": []}', "protocol": "gemini"}, "path_model"),
    ],
)
def test_what_cannot_be_asked_is_told_in_words_and_the_form_stays(operator, asked, words):
    answer = operator.post(PAGE, data=asked)
    assert answer.status_code == 400
    assert words in text_of(answer)
    assert f'value="{asked.get("model", "")}"' in answer.text
    part = operator.post(PAGE, data=asked, headers=PART)
    assert part.status_code == 200, "htmx shows only good answers"
    assert 'role="alert"' in part.text

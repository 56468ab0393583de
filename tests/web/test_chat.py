"""The studio's page: who sees it, what its script is told of each model, and addresses that name models."""

import html
import json
import re
import tempfile
from pathlib import Path

import pytest

from tests.fakes.console import CONFIG, MASTER_KEY, RunningConsole

PATH = "/platform/chat"
MORE = """
[[models]]
slug = "acme/seeing"
name = "</script><b>Seeing"
input = ["text", "image"]
aliases = ["seeing-1"]
[[models.offers]]
provider = "acme"
protocols = ["openai.chat"]
supported_parameters = ["temperature", "tools"]
emulated_parameters = ["stop"]
[[models.offers]]
provider = "other"
protocols = ["openai.chat"]
input = ["text"]
supported_parameters = ["seed"]
[[models]]
slug = "acme/painting"
output = ["image"]
[[models.offers]]
provider = "acme"
protocols = ["openai.chat"]
[[models]]
slug = "acme/gone"
[[models.offers]]
provider = "acme"
protocols = ["openai.chat"]
shutdown_on = "2020-01-01"
[providers.other]
base_url = "http://127.0.0.1:9002"
api_key = "other-secret-1"
"""


@pytest.fixture(scope="module")
def studio():
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        running = RunningConsole(Path(folder), CONFIG + MORE)
        yield running
        running.stop()


@pytest.fixture
def reader(studio):
    """Somebody who has signed in."""
    with studio.client(None, accept="text/html") as made:
        answer = made.post("/sign-in", data={"key": MASTER_KEY, "next": PATH})
        assert answer.headers["location"] == PATH
        made.headers["cookie"] = answer.headers["set-cookie"].partition(";")[0]
        yield made


def told(answer) -> dict:
    """What the script is told."""
    assert answer.status_code == 200
    found = re.search(r'<script type="application/json" id="chat-data">(.*?)</script>', answer.text, re.DOTALL)
    assert found
    return json.loads(found[1])


def card(reader, slug: str) -> dict:
    return next(model for model in told(reader.get(PATH))["models"] if model["slug"] == slug)


def test_nobody_sees_it_who_has_not_signed_in(studio):
    with studio.client(None, accept="text/html") as nobody:
        answer = nobody.get(PATH, params={"model": "acme/alpha"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fplatform%2Fchat%3Fmodel%3Dacme%252Falpha"


def test_a_key_alone_does_not_open_it(studio):
    with studio.client(accept="text/html") as program:
        assert program.get(PATH).status_code == 303


def test_it_has_a_place_for_everything_by_name(reader):
    text = reader.get(PATH).text
    for label in (
        "Message",
        "System prompt",
        "Temperature",
        "Top p",
        "Most tokens",
        "Reasoning effort",
        "Seed",
        "Add a model",
    ):
        assert f">{label}</label>" in text, label
    assert "The studio needs JavaScript." in text


def test_the_models_are_those_that_can_be_called_and_write_text(reader):
    slugs = [model["slug"] for model in told(reader.get(PATH))["models"]]
    assert slugs == ["trunkline/auto", "acme/alpha", "acme/seeing"]


def test_each_model_says_what_it_takes(reader):
    data = told(reader.get(PATH))
    seeing = next(model for model in data["models"] if model["slug"] == "acme/seeing")
    assert seeing["input"] == ["text", "image"]
    taken = {provider: data["parameters"][number] for provider, number in seeing["offers"].items()}
    assert taken == {"acme": ["stop", "temperature", "tools"], "other": ["seed"]}
    assert "temperature" in data["parameters"][card(reader, "acme/alpha")["offers"]["acme"]], (
        "without a list it takes all"
    )


def test_what_a_model_is_called_cannot_leave_its_place(reader):
    page = reader.get(PATH)
    assert card(reader, "acme/seeing")["name"] == "</script><b>Seeing"
    assert "<b>Seeing" not in page.text
    assert "<b>Seeing" in html.unescape(page.text)


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ([], []),
        (["acme/alpha"], ["acme/alpha"]),
        (["seeing-1"], ["acme/seeing"]),
        (["acme/seeing:other"], ["acme/seeing:other"]),
        (["acme/seeing:floor"], ["acme/seeing:floor"]),
        (["trunkline/auto", "acme/alpha", "acme/alpha"], ["trunkline/auto", "acme/alpha"]),
    ],
)
def test_an_address_may_name_the_models(reader, asked, chosen):
    assert told(reader.get(PATH, params={"model": asked}))["chosen"] == chosen


def test_a_name_that_means_nothing_is_not_found_with_those_it_may_mean(reader):
    answer = reader.get(PATH, params={"model": "acme/alhpa"})
    assert answer.status_code == 404
    assert "Did you mean acme/alpha" in answer.text


def test_a_name_is_shown_as_text(reader):
    answer = reader.get(PATH, params={"model": "<script>alert(1)</script>"})
    assert answer.status_code == 404
    assert "<script>alert(1)" not in answer.text


def test_five_models_are_too_many(reader):
    names = ["acme/alpha", "acme/seeing", "acme/seeing:acme", "acme/seeing:other", "trunkline/auto"]
    answer = reader.get(PATH, params={"model": names})
    assert answer.status_code == 400
    assert "At most 4 models" in answer.text


def test_it_asks_nobody_else_and_runs_no_script_of_its_own(reader):
    page = reader.get(PATH)
    assert not re.search(r"\s(?:style|on[a-z]+)=", page.text)
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert all(one.startswith(("/", "#")) for one in loaded)
    assert all(" src=" in script or "application/json" in script for script in re.findall(r"<script[^>]*>", page.text))
    for name in re.findall(r'"(/static/[^"]+)"', page.text):
        assert reader.get(name).status_code == 200, name


def test_no_key_stands_in_it(reader):
    assert not re.search(r"sk-|-secret-", reader.get(PATH).text)


def test_without_a_model_it_leads_to_what_is_missing():
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        empty = RunningConsole(Path(folder), CONFIG.partition("[[models]]")[0])
        with empty.client(None, accept="text/html") as people:
            cookie = people.post("/sign-in", data={"key": MASTER_KEY}).headers["set-cookie"].partition(";")[0]
            page = people.get(PATH, headers={"cookie": cookie})
        assert empty.stop() == 0
    assert page.status_code == 200
    assert "No model can be called yet" in page.text
    assert 'href="/platform/providers"' in page.text
    assert "chat-data" not in page.text

"""The log, the configuration file, and the command line."""

import random
from pathlib import Path

import openai
import pytest
from click.testing import CliRunner

from tests.fakes.simulated import SimulatedProvider, start_simulator
from tests.simulate.conftest import AZURE, Post
from trunkline.cli.simulate import SpreadType, simulate
from trunkline.errors import ConfigError
from trunkline.simulate.app import make_app
from trunkline.simulate.config import Behaviour, SimulationConfig, load_config
from trunkline.simulate.journal import Journal
from trunkline.simulate.spread import Spread

CONFIG = """
seed = 3
[default]
ttft_ms = { min = 1, max = 1, avg = 1 }
[providers.azure-sim]
models = ["o4-mini"]
tokens_per_s = { min = 15.65, max = 138.49, avg = 65.33 }
error_rates = { 429 = 0.02, 500 = 0.01 }
"""


def test_the_log_shows_requests_as_they_came_but_no_key(post: Post, simulated: SimulatedProvider) -> None:
    post("hi", headers={"authorization": "Bearer secret", "api-key": "secret", "x-other": "kept"}, odd={"b": 1, "a": 2})
    (entry,) = simulated.log()
    assert entry["provider"] == "openai-sim"
    assert (entry["status"], entry["outcome"]) == (200, "answered")
    assert entry["text"].endswith('"odd": {"b": 1, "a": 2}}')
    assert entry["body"]["messages"] == [{"role": "user", "content": "hi"}]
    assert ["authorization", "***"] in entry["headers"]
    assert ["x-other", "kept"] in entry["headers"]
    assert "secret" not in str(entry)


def test_the_log_can_be_read_on_from_a_number(post: Post, simulated: SimulatedProvider) -> None:
    for message in "abc":
        post(message)
    later = simulated.control("GET", "log?after=2")
    assert [entry["n"] for entry in later] == [3]


def test_the_log_tells_providers_and_outcomes_apart(post: Post, simulated: SimulatedProvider) -> None:
    post("<<fail 500 1>>")
    post("hi", path=AZURE, stop=["x"])
    post("hi", path="/acme/v1/nothing")
    assert [(entry["provider"], entry["outcome"]) for entry in simulated.log()] == [
        ("openai-sim", "failed"),
        ("azure-sim", "refused"),
        ("acme", "refused"),
    ]


def test_a_long_body_is_counted_but_not_kept(post: Post, simulated: SimulatedProvider) -> None:
    post("x" * 300_000)
    (entry,) = simulated.log()
    assert (entry["text"], entry["body"]) == ("", None)
    assert entry["body_bytes"] > 300_000


def test_a_long_log_drops_its_oldest_entries() -> None:
    journal = Journal()
    scope = {"method": "POST", "raw_path": b"/", "query_string": b"", "headers": []}
    for _ in range(300):
        journal.note("x", scope, b"x" * 262_144)
    assert [entry.n for entry in journal.entries] == list(range(45, 301))


def test_a_reset_forgets_how_often_a_failure_was_played(post: Post, simulated: SimulatedProvider) -> None:
    message = "<<fail 500 1>>"
    assert [post(message).status, post(message).status] == [500, 200]
    simulated.reset()
    assert post(message).status == 500
    assert len(simulated.log()) == 1


def test_a_wrong_behaviour_is_refused_by_the_fields_name(simulated: SimulatedProvider) -> None:
    with pytest.raises(ValueError, match="reset_rat"):
        simulated.behaviour("openai-sim", reset_rat=1)
    with pytest.raises(ValueError, match="sum must not pass 1"):
        simulated.behaviour("openai-sim", reset_rate=0.7, cut_rate=0.7)


def test_a_file_gives_each_provider_its_own_behaviour(tmp_path: Path) -> None:
    path = tmp_path / "simulate.toml"
    path.write_text(CONFIG)
    config = load_config(path)
    assert config.seed == 3
    assert config.behaviour("azure-sim").error_rates == {429: 0.02, 500: 0.01}
    assert config.behaviour("azure-sim").ttft_ms is None
    assert config.behaviour("anything").ttft_ms == Spread(1, 1, 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [("sed = 1", "sed"), ("[default]\nttft_ms = 3", r"default\.ttft_ms"), ("[default", "simulate.toml")],
)
def test_a_wrong_file_is_refused_by_file_and_key(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "simulate.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=found):
        load_config(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read"):
        load_config(tmp_path / "absent.toml")


def test_another_seed_gives_another_answer() -> None:
    answers = set()
    for seed in (1, 2):
        server = start_simulator(SimulationConfig(seed=seed))
        with openai.OpenAI(base_url=server.base_url, api_key="k") as client:
            answer = client.chat.completions.create(model="o4-mini", messages=[{"role": "user", "content": "why?"}])
        answers.add(answer.choices[0].message.content)
        server.stop()
    assert len(answers) == 2


async def test_it_is_an_asgi_app_that_takes_its_time_from_outside() -> None:
    app = make_app(SimulationConfig(), lambda: 1234.5, random.Random(1))
    sent = []
    scope = {
        "type": "http", "method": "GET", "path": "/v1/models", "raw_path": b"/v1/models", "query_string": b"",
        "headers": [],
    }  # fmt: skip

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    assert b'"created":1234' in bytes(sent[1]["body"])  # type: ignore[call-overload]


def test_a_port_in_use_is_a_clear_error(simulated: SimulatedProvider) -> None:
    result = CliRunner().invoke(simulate, ["--port", str(simulated.port)])
    assert isinstance(result.exception, ConfigError)
    assert f"cannot listen on 127.0.0.1:{simulated.port}" in str(result.exception)


@pytest.mark.parametrize(("text", "spread"), [("5", Spread(5, 5, 5)), ("1/9/3", Spread(1, 9, 3))])
def test_figures_are_given_as_one_number_or_three(text: str, spread: Spread) -> None:
    assert SpreadType().convert(text, None, None) == spread


def test_rates_must_be_shares() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Behaviour(cut_rate=-0.1)

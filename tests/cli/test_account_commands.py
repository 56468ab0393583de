"""`trunkline keys limit|rotate|show`, `budgets`, `credentials`: the API's rules from the command line, over a store that no gateway has opened yet."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from trunkline.cli.budgets import budgets
from trunkline.cli.credentials import credentials
from trunkline.cli.keys import keys
from trunkline.errors import TrunklineError

SECRET = "sk-a-key-of-openai-0123456789"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "trunkline.toml"
    path.write_text(
        f'[store]\nurl = "sqlite:///{tmp_path}/trunkline.db"\n[embedded]\nenabled = false\n[detect]\nlocal_servers = false\n'
    )
    return path


def call(config: Path, command: click.Command, *arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(command, [*arguments, "--config", str(config)], input=stdin)


def told(config: Path, command: click.Command, *arguments: str, stdin: str | None = None) -> Any:
    result = call(config, command, *arguments, "--json", stdin=stdin)
    assert result.exit_code == 0, result.output or result.exception
    return json.loads(result.stdout)


def fault(result: Result) -> str:
    """What `trunkline` would print in one line."""
    assert result.exit_code != 0
    return str(result.exception) if isinstance(result.exception, TrunklineError) else result.output


def test_a_key_is_made_with_rules_limited_and_shown(config):
    limits = (
        "--model",
        "openai/o4-mini",
        "--model",
        "anthropic/*",
        "--rpm",
        "60",
        "--protocol",
        "gemini",
        "--no-training",
    )
    made = told(config, keys, "create", "--name", "app", *limits)
    assert made["rules"]["models"] == ["openai/o4-mini", "anthropic/*"]
    changed = told(config, keys, "limit", made["id"], "--concurrency", "5", "--no-limit", "models")
    assert changed["rules"] == {
        "protocols": ["gemini"],
        "requests_per_minute": 60,
        "concurrency": 5,
        "data_policy": {"no_training": True, "zero_retention": False, "region": ""},
    }
    assert "concurrency: 5" in call(config, keys, "show", made["id"]).output


def test_a_key_is_made_with_a_budget(config):
    made = told(config, keys, "create", "--budget", "25/month")
    (budget,) = told(config, budgets, "list")
    assert (budget["scope_id"], budget["limit_usd"], budget["period"]) == (made["id"], "25", "month")
    assert "budgets.0.period" in fault(call(config, keys, "create", "--budget", "25/year"))
    assert "budgets.0.period" in fault(call(config, keys, "create", "--budget", "25"))


def test_an_unknown_model_is_refused_with_the_nearest(config):
    assert "did you mean openai/o4-mini" in fault(call(config, keys, "create", "--model", "openai/o4-mni"))


def test_a_key_without_an_end_again(config):
    made = told(config, keys, "create", "--expires", "1d")
    assert told(config, keys, "limit", made["id"], "--never-expires")["expires_ms"] is None
    assert "nothing is to be changed" in fault(call(config, keys, "limit", made["id"]))


def test_a_rotated_key_goes_on_for_the_overlap(config):
    made = told(config, keys, "create", "--name", "app", "--rpm", "7")
    new = told(config, keys, "rotate", made["id"], "--overlap", "1d")
    assert (new["rules"], new["rotated_from"], new["name"]) == (made["rules"], made["id"], "app")
    assert new["secret"] != made["secret"]
    old = told(config, keys, "show", made["id"])
    assert old["expires_ms"] == pytest.approx(new["created_ms"] + 86_400_000, abs=1000)


def test_the_list_is_filtered(config):
    made = told(config, keys, "create", "--name", "one")
    told(config, keys, "create", "--name", "two", "--management")
    told(config, keys, "revoke", made["id"])
    assert [one["name"] for one in told(config, keys, "list", "--state", "valid")] == ["two"]
    assert [one["name"] for one in told(config, keys, "list", "--kind", "inference")] == ["one"]
    assert [one["name"] for one in told(config, keys, "list", "--text", "TW")] == ["two"]


def test_a_budget_is_set_changed_and_ended(config):
    key = told(config, keys, "create")["id"]
    (made,) = told(config, budgets, "set", "12.50", "--for", "key", "--id", key, "--period", "day")
    assert (made["limit_usd"], made["left_usd"], made["scope_id"]) == ("12.5", "12.5", key)
    assert told(config, budgets, "change", made["id"], "--limit", "20", "--alert", "50")[0]["alerts"] == [50]
    assert "12.5" not in call(config, budgets, "list").output
    told(config, budgets, "end", made["id"])
    assert told(config, budgets, "list") == []
    assert len(told(config, budgets, "list", "--ended")) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("much",), "limit_usd"),
        (("1", "--for", "key"), "scope_id: name the key by its id"),
        (("1", "--for", "project", "--id", "prj_none"), "there is no project prj_none"),
    ],
)
def test_a_wrong_budget_is_told(config, arguments, said):
    assert said in fault(call(config, budgets, "set", *arguments))


def test_a_providers_key_is_kept_from_standard_input_replaced_and_revoked(config):
    (made,) = told(config, credentials, "add", "OpenAI", "--name", "team", stdin=f"{SECRET}\n")
    assert (made["provider"], made["hint"]) == ("openai", SECRET[-4:])
    assert told(config, credentials, "rotate", made["id"], stdin="sk-another-key-9876\n")[0]["hint"] == "9876"
    shown = call(config, credentials, "list").output
    assert "openai" in shown
    assert SECRET not in shown
    told(config, credentials, "revoke", made["id"])
    assert told(config, credentials, "list") == []
    assert len(told(config, credentials, "list", "--revoked")) == 1
    store = b"".join(path.read_bytes() for path in config.parent.glob("trunkline.db*"))
    assert SECRET.encode() not in store


def test_a_wrong_key_of_a_provider_is_not_repeated(config):
    result = call(config, credentials, "add", "openai", stdin="sk with blanks in it\n")
    assert "blanks" in fault(result)
    assert "with blanks in it" not in result.output

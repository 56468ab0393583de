"""`trunkline reconcile`."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.fakes.records import a_record
from tests.reconcile.exports import OPENAI_USAGE
from trunkline.cli.main import cli
from trunkline.ir.usage import Usage
from trunkline.reconcile.types import ReconcileError
from trunkline.records.types import Attempt
from trunkline.storage.migrate import upgrade
from trunkline.storage.sqlite_batch import SqliteBatch

NOON_MS = datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp() * 1000
ANSWERED = Attempt(
    "openai", "openai/gpt-4o-mini:openai", "gpt-4o-mini", NOON_MS, usage=Usage(input_tokens=200, output_tokens=100)
)  # fmt: skip


@pytest.fixture
def call(tmp_path: Path):
    config, export = tmp_path / "trunkline.toml", tmp_path / "usage.json"
    config.write_text(f'[store]\nurl = "sqlite:///{tmp_path}/trunkline.db"\n')
    export.write_text(OPENAI_USAGE)
    upgrade(f"sqlite:///{tmp_path}/trunkline.db")

    def call(requests: int, *arguments: str) -> Result:
        batch = SqliteBatch(tmp_path / "trunkline.db")
        batch.write([a_record(one, received_ms=NOON_MS, attempts=(ANSWERED,)) for one in range(requests)], [], [])
        batch.close()
        argv = ["reconcile", str(export), "--provider", "openai", "--config", str(config), *arguments]
        return CliRunner().invoke(cli, argv, catch_exceptions=False)

    return call


def test_an_export_that_says_the_same_ends_well(call):
    result = call(5)
    assert result.exit_code == 0
    assert "1 lines compared, 0 differ" in result.stdout
    assert "input tokens: ours 1,000, theirs 1,000, 0.000 % apart" in result.stdout


def test_every_difference_is_shown_and_ends_badly(call):
    result = call(4)
    assert result.exit_code == 1
    assert "gpt-4o-mini-2024-07-18" in result.stdout
    assert "output tokens: ours 400, theirs 500, 20.000 % apart" in result.stdout


def test_a_difference_within_the_tolerance_ends_well(call):
    assert call(4, "--tolerance", "20").exit_code == 0
    assert call(4, "--tolerance", "19.9").exit_code == 1


def test_programs_get_json(call):
    told = json.loads(call(4, "--json").stdout)
    assert told["differences"][0]["ours"] == {"requests": 4, "input_tokens": 800, "output_tokens": 400}
    assert told["percent"]["requests"] == 20.0


def test_what_is_no_export_is_said_in_words(call, tmp_path):
    (tmp_path / "usage.json").write_text("{}")
    with pytest.raises(ReconcileError, match="no `data`"):
        call(0)


def test_keys_are_told_apart_where_asked_for(call):
    assert call(5, "--key", "key_abc=#1").exit_code == 0
    assert call(5, "--key", "key_abc=#2").exit_code == 1
    assert "is no pair" in call(5, "--key", "key_abc").stderr

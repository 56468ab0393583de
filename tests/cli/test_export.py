"""`trunkline export records`."""

from pathlib import Path

import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from tests.fakes.records import a_record
from trunkline.cli.main import cli
from trunkline.storage.migrate import upgrade
from trunkline.storage.sqlite_batch import SqliteBatch


@pytest.fixture
def call(tmp_path: Path):
    config = tmp_path / "trunkline.toml"
    config.write_text(f'[store]\nurl = "sqlite:///{tmp_path}/trunkline.db"\n')
    upgrade(f"sqlite:///{tmp_path}/trunkline.db")
    batch = SqliteBatch(tmp_path / "trunkline.db")
    batch.write(
        [a_record(number, received_ms=1_767_225_600_000.0 + number * 43_200_000) for number in range(6)], [], []
    )
    batch.close()

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(
            cli, ["export", "records", "--config", str(config), *arguments], catch_exceptions=False
        )

    return call


def test_records_go_to_standard_output_as_csv(call):
    assert len(call().stdout_bytes.splitlines()) == 7


def test_a_day_begins_and_ends_in_utc(call):
    rows = call("--since", "2026-01-02", "--until", "2026-01-03").stdout.splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["req_000002", "req_000003"]


def test_a_file_is_written_and_never_written_over(call, tmp_path):
    out = tmp_path / "records.parquet"
    assert "6 records are in" in call("--format", "parquet", "--out", str(out)).stderr
    assert pyarrow.parquet.read_table(out).num_rows == 6
    again = call("--format", "parquet", "--out", str(out))
    assert again.exit_code == 1
    assert "is there already" in again.stderr

"""`trunkline figures rebuild`."""

import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.fakes.records import a_record
from trunkline.cli.figures import figures
from trunkline.errors import StoreError
from trunkline.storage.migrate import upgrade
from trunkline.storage.sqlite_batch import SqliteBatch
from trunkline.storage.writer_claim import WriterClaim


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "trunkline.toml"
    path.write_text(f'[store]\nurl = "sqlite:///{tmp_path}/trunkline.db"\n')
    return path


def call(config: Path) -> Result:
    return CliRunner().invoke(figures, ["rebuild", "--config", str(config)], catch_exceptions=False)


def requests_counted(folder: Path) -> int:
    connection = sqlite3.connect(folder / "trunkline.db")
    found = connection.execute("SELECT coalesce(sum(requests), 0) FROM use_rollups WHERE width_s = 86400").fetchone()[0]
    connection.close()
    return found


def test_the_figures_are_those_of_the_records(config: Path, tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path}/trunkline.db")
    batch = SqliteBatch(tmp_path / "trunkline.db")
    batch.write([a_record(number) for number in range(20)], [], [])
    batch.close()
    assert requests_counted(tmp_path) == 0
    for _ in range(2):
        assert "were made anew" in call(config).stdout
        assert requests_counted(tmp_path) == 20


def test_a_store_that_was_not_made_yet_has_none(config: Path, tmp_path: Path) -> None:
    assert call(config).exit_code == 0
    assert requests_counted(tmp_path) == 0


def test_while_a_gateway_writes_it_is_refused(config: Path, tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path}/trunkline.db")
    with WriterClaim(f"sqlite:///{tmp_path}/trunkline.db"), pytest.raises(StoreError, match="stop it"):
        call(config)

"""`trunkline erase`."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.fakes.records import a_record, count
from trunkline.cli.main import cli
from trunkline.errors import NotFound
from trunkline.storage.migrate import upgrade
from trunkline.storage.sqlite_batch import SqliteBatch


@pytest.fixture
def call(tmp_path: Path):
    config = tmp_path / "trunkline.toml"
    config.write_text(f'[store]\nurl = "sqlite:///{tmp_path}/trunkline.db"\n')
    upgrade(f"sqlite:///{tmp_path}/trunkline.db")
    batch = SqliteBatch(tmp_path / "trunkline.db")
    batch.write([a_record(1, session_id="alice-4711"), a_record(2, session_id="bob")], [], [])
    batch.close()

    def call(*arguments: str, **options: str) -> Result:
        argv = ["erase", *arguments, "--config", str(config)]
        return CliRunner().invoke(cli, argv, catch_exceptions=False, **options)

    return call


def test_an_end_user_is_taken_out_after_a_question(call, tmp_path):
    assert call("end-user", "alice-4711", input="n\n").exit_code == 1
    assert "what 1 records said" in call("end-user", "alice-4711", input="y\n").stdout
    assert "what 0 records said" in call("end-user", "alice-4711", "--yes").stdout
    assert count(tmp_path / "trunkline.db", "records") == 2


def test_a_member_that_is_not_there_is_said(call):
    with pytest.raises(NotFound, match="no member mem_9"):
        call("member", "mem_9", "--yes")

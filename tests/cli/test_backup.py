"""`trunkline backup` and `trunkline restore`."""

import sqlite3
import stat
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.fakes.records import a_record, count
from trunkline.cli.main import cli
from trunkline.errors import ConfigError, StoreError
from trunkline.storage.migrate import upgrade
from trunkline.storage.sqlite_batch import SqliteBatch
from trunkline.storage.writer_claim import WriterClaim


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "trunkline.toml").write_text(f'[store]\nurl = "sqlite:///{tmp_path}/trunkline.db"\n')
    upgrade(f"sqlite:///{tmp_path}/trunkline.db")
    keep(tmp_path / "trunkline.db", range(100))
    return tmp_path / "trunkline.db"


def keep(path: Path, numbers: range) -> None:
    batch = SqliteBatch(path)
    batch.write([a_record(number) for number in numbers], [], [])
    batch.close()


@pytest.fixture
def call(tmp_path: Path, store: Path):
    def call(*arguments: str, **options: str) -> Result:
        argv = [arguments[0], "--config", str(tmp_path / "trunkline.toml"), *arguments[1:]]
        return CliRunner().invoke(cli, argv, catch_exceptions=False, **options)

    return call


def test_a_copy_is_whole_one_file_and_its_owners_alone(call, store, tmp_path):
    copy = tmp_path / "copy.db"
    result = call("backup", str(copy))
    assert "the copy is whole" in result.stdout
    assert f"Not in it: {store}.secrets" in result.stdout
    assert count(copy, "records") == 100
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("copy.db-*")] == []


def test_a_copy_is_of_one_moment_while_records_come_in(call, store, tmp_path):
    stop = threading.Event()

    def write() -> None:
        batch, number = SqliteBatch(store), 1_000
        while not stop.is_set():
            batch.write([a_record(number), a_record(number + 1)], [], [])
            number += 2
        batch.close()

    writing = threading.Thread(target=write)
    writing.start()
    try:
        call("backup", str(tmp_path / "copy.db"))
    finally:
        stop.set()
        writing.join()
    copied = count(tmp_path / "copy.db", "records")
    assert 100 <= copied <= count(store, "records")
    assert copied % 2 == 0, "whole transactions"


def test_a_file_that_is_there_is_not_written_over(call, tmp_path):
    (tmp_path / "copy.db").write_text("mine")
    with pytest.raises(StoreError, match="is there already"):
        call("backup", str(tmp_path / "copy.db"))
    assert (tmp_path / "copy.db").read_text() == "mine"


def test_a_store_becomes_what_it_was(call, store, tmp_path):
    call("backup", str(tmp_path / "copy.db"))
    keep(store, range(100, 150))
    result = call("restore", str(tmp_path / "copy.db"), "--yes")
    assert count(store, "records") == 100
    (before,) = [path for path in tmp_path.glob("trunkline.db.before-*") if not path.name.endswith(("-wal", "-shm"))]
    assert str(before) in result.stdout
    assert count(before, "records") == 150
    keep(store, range(100, 101))
    assert count(store, "records") == 101


def test_it_is_asked_before_a_store_is_put_aside(call, store, tmp_path):
    call("backup", str(tmp_path / "copy.db"))
    assert call("restore", str(tmp_path / "copy.db"), input="n\n").exit_code == 1
    assert list(tmp_path.glob("trunkline.db.before-*")) == []


def test_a_lost_store_is_made_from_its_copy(call, store, tmp_path):
    call("backup", str(tmp_path / "copy.db"))
    for path in tmp_path.glob("trunkline.db*"):
        path.unlink()
    assert "is missing: put the copy of it back" in call("restore", str(tmp_path / "copy.db")).stdout
    assert count(store, "records") == 100


def test_while_a_gateway_runs_nothing_is_put_in_its_place(call, store, tmp_path):
    call("backup", str(tmp_path / "copy.db"))
    with WriterClaim(f"sqlite:///{store}"), pytest.raises(StoreError, match="stop it"):
        call("restore", str(tmp_path / "copy.db"), "--yes")


def test_what_is_no_store_or_damaged_does_not_take_its_place(call, store, tmp_path):
    (tmp_path / "text.db").write_text("no database at all, by no means")
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE a (b)").connection.close()
    call("backup", str(tmp_path / "torn.db"))
    data = (tmp_path / "torn.db").read_bytes()
    (tmp_path / "torn.db").write_bytes(data[: len(data) // 2])
    for name in ("text.db", "other.db", "torn.db", "none.db"):
        with pytest.raises(StoreError, match=r"no store of Trunkline|damaged|no such file"):
            call("restore", str(tmp_path / name), "--yes")
    assert count(store, "records") == 100


def test_postgresql_has_tools_of_its_own(tmp_path):
    (tmp_path / "trunkline.toml").write_text('[store]\nurl = "postgresql://u:secret@127.0.0.1:1/db"\n')
    for command, tool in (("backup", "pg_dump"), ("restore", "pg_restore")):
        argv = [
            command,
            "--config",
            str(tmp_path / "trunkline.toml"),
            str(tmp_path / "file"),
            *(["--yes"] * (command == "restore")),
        ]
        with pytest.raises(ConfigError, match=tool) as caught:
            CliRunner().invoke(cli, argv, catch_exceptions=False)
        assert "secret" not in str(caught.value)

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from tests.fakes.records import a_record, count
from trunkline.errors import StoreError
from trunkline.storage import columns, migrate, schema
from trunkline.storage.engine import migration_engine
from trunkline.storage.sqlite_batch import SqliteBatch


def pragma(path: Path, name: str) -> object:
    connection = sqlite3.connect(path)
    value = connection.execute(f"PRAGMA {name}").fetchone()[0]
    connection.close()
    return value


def test_a_store_that_is_not_there_is_not_current_and_is_not_made_by_asking(url, tmp_path):
    assert not migrate.is_current(url)
    assert list(tmp_path.iterdir()) == []


def test_upgrading_makes_a_current_store_that_only_its_owner_may_read(url, path: Path):
    assert migrate.is_current(url)
    assert path.stat().st_mode & 0o777 == 0o600


def test_upgrading_an_empty_file_makes_it_a_store(url, tmp_path):
    (tmp_path / "trunkline.db").touch()
    assert not migrate.is_current(url)
    migrate.upgrade(url)
    assert migrate.is_current(url)


def test_upgrading_twice_changes_nothing(url, path: Path):
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO meta VALUES ('mark', '1')")
    connection.commit()
    migrate.upgrade(url)
    assert connection.execute("SELECT value FROM meta WHERE key = 'mark'").fetchone() == ("1",)
    connection.close()


def test_a_store_of_the_first_version_keeps_its_records_and_gets_what_is_new(url, path: Path):
    batch = SqliteBatch(path)
    batch.write([a_record(1)], [], [])
    batch.close()
    connection = sqlite3.connect(path)
    connection.executescript(
        "DROP TABLE kept; ALTER TABLE api_keys DROP COLUMN zero_retention; DROP TABLE offer_rollups; DROP TABLE use_rollups;"
        "DELETE FROM meta WHERE key LIKE '%roll%'; UPDATE alembic_version SET version_num = '0001'"
    )
    connection.close()
    assert not migrate.is_current(url)
    migrate.upgrade(url)
    assert migrate.is_current(url)
    assert (count(path, "records"), count(path, "kept")) == (1, 0)


def test_processes_that_upgrade_at_once_all_succeed(url):
    program = "import sys; from trunkline.storage.migrate import upgrade; sys.stdin.read(); upgrade(sys.argv[1])"
    argv = [sys.executable, "-c", program, url]
    processes = [subprocess.Popen(argv, stdin=subprocess.PIPE) for _ in range(3)]
    for process in processes:
        process.stdin.close()
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert migrate.is_current(url)


def test_the_migrations_make_what_the_schema_says(path: Path):
    engine = migration_engine(path)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), schema.metadata)
        indexes = {index["name"] for table in ("records", "kept") for index in inspect(connection).get_indexes(table)}
    engine.dispose()
    assert differences == []
    assert indexes == {index.name for table in (schema.records, schema.kept) for index in table.indexes}


def test_head_is_the_newest_migration():
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == migrate.HEAD


@pytest.mark.parametrize(
    ("table", "names"),
    [
        (schema.records, columns.RECORD_COLUMNS),
        (schema.intents, columns.INTENT_COLUMNS),
        (schema.api_keys, columns.KEY_COLUMNS),
        (schema.kept, columns.KEPT_COLUMNS),
        (schema.offer_rollups, columns.OFFER_ROLLUP_COLUMNS),
        (schema.use_rollups, columns.USE_ROLLUP_COLUMNS),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_driver_level_code_knows_the_same_columns_as_the_schema(table, names):
    assert tuple(table.c.keys()) == names


def test_the_file_is_in_wal_mode_with_pages_that_fit_records(path: Path):
    assert pragma(path, "journal_mode") == "wal"
    assert pragma(path, "page_size") == 8192


def test_a_store_of_a_newer_version_is_left_alone(url, path: Path):
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    assert not migrate.is_current(url)
    with pytest.raises(StoreError, match="newer version"):
        migrate.upgrade(url)


def test_a_file_that_is_no_database_is_refused_and_left_alone(url, tmp_path):
    file = tmp_path / "trunkline.db"
    file.write_text("my diary, page one " * 1000)
    with pytest.raises(StoreError, match="not a database"):
        migrate.is_current(url)
    with pytest.raises(StoreError, match="not a database"):
        migrate.upgrade(url)
    assert file.read_text().startswith("my diary")


def test_a_missing_folder_is_named_with_the_mend(tmp_path):
    with pytest.raises(StoreError, match="does not exist; make it"):
        migrate.upgrade(f"sqlite:///{tmp_path}/nowhere/trunkline.db")


def test_a_migration_that_fails_leaves_the_store_as_it_was(url, tmp_path):
    file = tmp_path / "trunkline.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE intents (mine TEXT)")
    connection.close()
    with pytest.raises(StoreError, match="intents already exists"):
        migrate.upgrade(url)
    connection = sqlite3.connect(file)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    connection.close()
    assert tables == ["intents"]


def test_the_data_plane_starts_without_sqlalchemy_alembic_and_cryptography(url, path):
    program = (
        "import sys; import trunkline.records.writer, trunkline.records.recovery, trunkline.storage.sqlite_batch,"
        "trunkline.storage.keys_sync, trunkline.storage.kept, trunkline.storage.writer_claim, trunkline.storage.migrate as m;"
        "assert m.is_current(sys.argv[1]); print([n for n in ('sqlalchemy', 'alembic', 'cryptography') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, url], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from tests.fakes.records import a_record, an_intent
from tests.fakes.stores import AnyStore
from trunkline.errors import StoreError
from trunkline.storage import columns, migrate, schema
from trunkline.storage.answer_search import newest_with_answer
from trunkline.storage.engine import migration_engine
from trunkline.storage.rows import RecordEncoder, intent_row


def pragma(path: Path, name: str) -> object:
    connection = sqlite3.connect(path)
    value = connection.execute(f"PRAGMA {name}").fetchone()[0]
    connection.close()
    return value


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    return config


def make_store(folder: Path, revision: str) -> Path:
    """As the release made it that ended with this migration."""
    path = folder / "trunkline.db"
    path.touch()
    engine, config = migration_engine(path), alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    return path


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


def insert(connection: sqlite3.Connection, table: str, columns: Sequence[str], row: Sequence[object]) -> None:
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", row)


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_a_store_of_each_released_version_keeps_what_it_has_and_gets_what_is_new(url, tmp_path, revision):
    path = make_store(tmp_path, revision)
    connection = sqlite3.connect(path)
    insert(connection, "records", columns.RECORD_COLUMNS, RecordEncoder().row(a_record(1)))
    insert(connection, "intents", columns.INTENT_COLUMNS, intent_row(an_intent(2)))
    insert(connection, "api_keys", ("id", "name", "hash", "hint", "created_ms"), ("key_1", "laptop", "h", "abcd", 7))
    connection.commit()
    connection.close()
    assert not migrate.is_current(url)
    migrate.upgrade(url)
    assert migrate.is_current(url)
    store = AnyStore(url, tmp_path)
    assert store.records() == [a_record(1)]
    batch = store.batch()
    assert batch.open_intents() == [an_intent(2)]
    assert batch.fold(a_record(1).ended_ms)
    batch.close()
    assert store.rows("SELECT sum(requests) FROM use_rollups") == [(1,)]
    assert store.rows("SELECT id, org_id, kind, rules, zero_retention FROM api_keys") == [
        ("key_1", "org_default", "inference", "{}", 0)
    ]
    assert store.rows("SELECT id, name FROM organisations") == [("org_default", "Default")]
    assert differences(path) == []


def test_answers_that_a_former_version_indexed_by_their_ids_are_found_by_their_hashes(url, tmp_path):
    path = make_store(tmp_path, "0007")
    connection = sqlite3.connect(path)
    records = [a_record(number, answer_id="" if number == 2 else f"chatcmpl-{number}") for number in (1, 2, 3, 4)]
    for record in records:
        insert(connection, "records", columns.RECORD_COLUMNS, RecordEncoder().row(record))
    connection.execute("DELETE FROM records WHERE id = 'req_000003'")
    connection.commit()
    connection.close()
    migrate.upgrade(url)
    engine = migration_engine(path)
    with engine.connect() as connection:
        found = [newest_with_answer(connection, f"chatcmpl-{number}") for number in (1, 2, 3, 4)]
        assert "records_answer_id" not in index_names("records", connection)
    engine.dispose()
    assert [row and row.id for row in found] == ["req_000001", None, None, "req_000004"]
    assert AnyStore(url, tmp_path).rows("SELECT last_id, records, length(hashes) FROM answer_index") == [
        ("req_000004", 4, 8)
    ]


def test_processes_that_upgrade_at_once_all_succeed(url):
    program = "import sys; from trunkline.storage.migrate import upgrade; sys.stdin.read(); upgrade(sys.argv[1])"
    argv = [sys.executable, "-c", program, url]
    processes = [subprocess.Popen(argv, stdin=subprocess.PIPE) for _ in range(3)]
    for process in processes:
        process.stdin.close()
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert migrate.is_current(url)


def differences(path: Path) -> list:
    """Between a store and the schema."""
    engine = migration_engine(path)
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), schema.metadata)
    engine.dispose()
    return found


def index_names(table: str, connection: Connection) -> set[str]:
    return {index["name"] for index in inspect(connection).get_indexes(table)}


def test_the_migrations_make_what_the_schema_says(path: Path):
    assert differences(path) == []
    engine = migration_engine(path)
    with engine.connect() as connection:
        indexes = index_names("records", connection) | index_names("kept", connection)
    engine.dispose()
    assert indexes == {index.name for table in (schema.records, schema.kept) for index in table.indexes}


def test_head_is_the_newest_migration():
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == migrate.HEAD


@pytest.mark.parametrize(
    ("table", "names"),
    [
        (schema.records, columns.RECORD_COLUMNS),
        (schema.intents, (*columns.INTENT_COLUMNS, "gateway")),
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
